//! Who is a member, as far as this node knows: from its configuration while there is no log, from the log ever after.
//!
//! Ids are given out once. So the highest id that was ever a member's tells of every other one what became of it: a lower
//! one that is no member's has been removed, or will never be a member; a higher one may be news that has not come yet.
//!
//! **Invariant:** once the log names members, what the configuration lists means nothing any more.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flame_storage::MemberNode;
use flame_types::CoordinatorId;
use uuid::Uuid;

use super::rows::Rows;

pub(super) type Members = BTreeMap<CoordinatorId, MemberNode>;

/// What an id is to this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A member's.
    Member,
    /// Of one that was a member, or is lower than one: nobody's, for ever.
    Removed,
    /// Higher than any that this node has heard of: a member that was added since, or nobody.
    Newer,
    /// Nobody's. There is no log to say more.
    Stranger,
}

/// Members by all sources.
pub(super) struct Directory {
    listed: Members,
    named: Mutex<Named>,
    /// They remember the highest id that was ever a member's.
    rows: Arc<Rows>,
}

#[derive(Default)]
struct Named {
    /// By the log.
    log: Members,
    /// By the members whom this node asked to be added.
    trusted: Members,
}

impl Directory {
    pub(super) fn new(listed: Members, rows: Arc<Rows>) -> Self {
        Self { listed, named: Mutex::default(), rows }
    }

    fn lock(&self) -> MutexGuard<'_, Named> {
        // Nothing that is done under the lock can fail halfway.
        self.named.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The log names these.
    pub(super) fn set_log(&self, members: Members) {
        self.lock().log = members;
    }

    /// A member has named these to this node, which waits to be added.
    pub(super) fn trust(&self, members: Members) {
        self.lock().trusted = members;
    }

    /// What this id is.
    pub(super) fn place(&self, id: CoordinatorId) -> Place {
        let named = self.lock();
        if named.log.is_empty() {
            let known = self.listed.contains_key(&id) || named.trusted.contains_key(&id);
            return if known { Place::Member } else { Place::Stranger };
        }
        if named.log.contains_key(&id) {
            Place::Member
        } else if id.0 <= self.rows.highest_member() {
            Place::Removed
        } else {
            Place::Newer
        }
    }

    /// Whether the log names this id.
    pub(super) fn is_in_log(&self, id: CoordinatorId) -> bool {
        self.lock().log.contains_key(&id)
    }

    /// Whether a member has named members to this node, which waits to be added.
    pub(super) fn trusts_anybody(&self) -> bool {
        !self.lock().trusted.is_empty()
    }

    /// Members by the log.
    pub(super) fn by_log(&self) -> Members {
        self.lock().log.clone()
    }

    /// Members by whatever this node knows best.
    pub(super) fn best(&self) -> Members {
        let named = self.lock();
        if !named.log.is_empty() {
            return named.log.clone();
        }
        let mut known = self.listed.clone();
        known.extend(named.trusted.clone());
        known
    }

    /// The store that the member of this id has, if its word counts: that of the log, or of those whom this node trusts.
    pub(super) fn store_of(&self, id: CoordinatorId) -> Option<Uuid> {
        let named = self.lock();
        let member = named.log.get(&id).or_else(|| named.trusted.get(&id));
        member.map(|member| member.store_id).filter(|store| !store.is_nil())
    }

    /// The store that the log names for this id.
    pub(super) fn store_by_log(&self, id: CoordinatorId) -> Option<Uuid> {
        self.lock().log.get(&id).map(|member| member.store_id).filter(|store| !store.is_nil())
    }

    /// The lowest id that was never taken.
    pub(super) fn next_id(&self) -> CoordinatorId {
        let highest = self.lock().log.keys().next_back().map_or(0, |id| id.0);
        CoordinatorId(highest.max(self.rows.highest_member()).saturating_add(1))
    }
}
