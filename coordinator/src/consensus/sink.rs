//! What the rest of the coordinator gets from apply.

use flame_machine::effect::{CacheEffect, Effect};
use flame_machine::event::Event;
use flame_machine::reply::Reply;
use flame_types::{ClientId, Generation, LogIndex, Seq, Term};

/// Takes what apply gives. Called in log order, on whichever thread applies, after the rows of the entry are written. It must
/// not block: the whole node waits for it.
pub trait ApplySink: Send + 'static {
    /// An entry was applied. Every entry comes, those without commands too, so indexes have no gaps, except across
    /// [`ApplySink::installed`]. After a restart entries that were applied before may come again.
    fn applied(&mut self, entry: AppliedEntry);

    /// The state was replaced by a snapshot up to this index: the entries in between are never seen here.
    fn installed(&mut self, index: LogIndex);
}

/// What one entry did.
#[derive(Clone, Debug)]
pub struct AppliedEntry {
    /// Its place in the log.
    pub index: LogIndex,
    /// The term of the leader that wrote it.
    pub term: Term,
    /// Which life of the state it belongs to.
    pub generation: Generation,
    /// Replies to its commands.
    pub replies: Vec<(ClientId, Seq, Reply)>,
    /// What changed, for watchers.
    pub events: Vec<Event>,
    /// What a leader has to tell workers.
    pub effects: Vec<Effect>,
    /// What a leader has to tell cache nodes.
    pub cache_effects: Vec<CacheEffect>,
    /// Whether placement should be looked at again.
    pub placement_dirty: bool,
    /// Whether the object directory should be looked at.
    pub directory_dirty: bool,
}

impl AppliedEntry {
    /// An entry without commands.
    pub(super) fn nothing(index: LogIndex, term: Term, generation: Generation) -> Self {
        Self {
            index,
            term,
            generation,
            replies: Vec::new(),
            events: Vec::new(),
            effects: Vec::new(),
            cache_effects: Vec::new(),
            placement_dirty: false,
            directory_dirty: false,
        }
    }
}
