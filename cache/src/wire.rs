//! What all protocols share: how large a message may be, and listing in pages.

use futures::{Stream, StreamExt, stream};

use crate::limits::{MESSAGE_SLACK_BYTES, PAGE_MAX};
use crate::model::Info;
use crate::objects::Objects;

/// Most bytes of one message that comes in: a whole object, and what is around it.
#[must_use]
pub fn message_max(objects: &Objects) -> usize {
    usize::try_from(objects.part_max()).unwrap_or(usize::MAX).saturating_add(MESSAGE_SLACK_BYTES)
}

/// Everything that this cache has, in the order of the keys. What comes and goes meanwhile may be in it or not.
pub fn everything(objects: Objects) -> impl Stream<Item = Info> + Send {
    let pages = stream::unfold((objects, Some(String::new())), |(objects, after)| async move {
        let (page, has_more) = objects.list(None, &after?, PAGE_MAX);
        let after = page.last().filter(|_| has_more).map(|info| info.key.to_string());
        Some((stream::iter(page), (objects, after)))
    });
    pages.flatten()
}
