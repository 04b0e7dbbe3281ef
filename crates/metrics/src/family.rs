//! One handle for each value of a label.

use std::fmt;
use std::marker::PhantomData;

use crate::label::LabelSet;

/// The handles of a metric with labels. Finding one is an index into a list.
pub struct Family<L, H> {
    handles: Box<[H]>,
    labels: PhantomData<fn(L)>,
}

impl<L: LabelSet, H> Family<L, H> {
    pub(crate) fn new(handles: Vec<H>) -> Self {
        Self { handles: handles.into(), labels: PhantomData }
    }

    /// The handle of this value.
    #[must_use]
    pub fn of(&self, label: L) -> &H {
        &self.handles[label.series()]
    }
}

impl<L, H: Clone> Clone for Family<L, H> {
    fn clone(&self) -> Self {
        Self { handles: self.handles.clone(), labels: PhantomData }
    }
}

impl<L, H> fmt::Debug for Family<L, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Family").field("series", &self.handles.len()).finish()
    }
}
