//! How objects are deleted: at once for everybody who asks, and in pieces from the directory, since there may be many.
//!
//! Of a session or an application it is noted that all entries made so far are deleted; from then on they count as not
//! there. Some leave with the same command, the others when the leader proposes so.

use std::ops::Bound;

use flame_types::{AppName, ObjectApp, ObjectKey, ObjectPrefix, ObjectTarget, SessionId};

use super::batch::{Apply, Outcome};
use super::objects::Drops;
use crate::reply::Reply;
use crate::state::DoomedRow;

/// Most entries that one command looks at.
const SWEPT_AT_ONCE_MAX: usize = 512;

impl Apply<'_> {
    pub(super) fn delete_objects(&mut self, target: ObjectTarget) -> Outcome {
        if let ObjectTarget::Object(key) = &target {
            let mut drops = Drops::new();
            self.remove_object(key, &mut drops);
            self.order_drops(drops);
        } else {
            self.doom(target);
            self.sweep();
        }
        Ok(Reply::Done)
    }

    pub(super) fn sweep_objects(&mut self) -> Outcome {
        self.sweep();
        Ok(Reply::Done)
    }

    /// A session is gone, and its objects with it. What sessions share is nobody's, whatever a session is called.
    pub(super) fn doom_session(&mut self, app: &AppName, id: &SessionId) {
        let Some(prefix) = ObjectPrefix::of_session(app.as_str(), id) else { return };
        if !prefix.is_durable() {
            self.doom(ObjectTarget::Session(prefix));
        }
    }

    /// An application is gone, and its objects with it.
    pub(super) fn doom_app(&mut self, app: &AppName) {
        if let Ok(app) = ObjectApp::parse(app.as_str()) {
            self.doom(ObjectTarget::App(app));
        }
    }

    /// All objects that are meant are deleted, as many as there are.
    fn doom(&mut self, target: ObjectTarget) {
        let (from, to) = target.range();
        let mut entries =
            self.state.directory.entries.range::<str, _>((Bound::Included(&*from), Bound::Excluded(&*to)));
        if entries.next().is_none() {
            return;
        }
        let row = DoomedRow { target, below: self.state.cluster.next_object, next: from.clone() };
        self.changes.doomed.insert(from.clone());
        self.state.directory.doomed.insert(from, row);
        self.directory_dirty = true;
    }

    /// Removes entries of deleted objects, some at a time.
    pub(super) fn sweep(&mut self) {
        let mut drops = Drops::new();
        let mut left = SWEPT_AT_ONCE_MAX;
        while left > 0
            && let Some((from, doomed)) = self.state.directory.doomed.first_key_value()
        {
            let (from, below, next) = (from.clone(), doomed.below, doomed.next.clone());
            let (_, to) = doomed.target.range();
            let entries =
                self.state.directory.entries.range::<str, _>((Bound::Included(&*next), Bound::Excluded(&*to)));
            let looked: Vec<(ObjectKey, u64)> =
                entries.take(left).map(|(key, row)| (key.clone(), row.number)).collect();
            let is_last = looked.len() < left;
            left -= looked.len();
            for (key, _) in looked.iter().filter(|(_, number)| *number < below) {
                self.remove_object(key, &mut drops);
            }
            self.changes.doomed.insert(from.clone());
            match looked.last().filter(|_| !is_last) {
                // The text right after the key: the next one begins there or later.
                Some((key, _)) => {
                    let doomed = self.state.directory.doomed.get_mut(&from).expect("it was found above");
                    doomed.next = format!("{key}\0");
                }
                None => drop(self.state.directory.doomed.remove(&from)),
            }
        }
        self.order_drops(drops);
        self.directory_dirty |= !self.state.directory.doomed.is_empty();
    }
}
