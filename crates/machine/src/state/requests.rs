//! Changes that carried a request id, and what was answered: the newest ones, for all clients together.
//!
//! They are numbered in the order of the log. A client that means to send a change asks for the next number first and names
//! it with every attempt: if the change was ever done, then under this number or a later one. So a change whose id is not
//! found here is certainly new as long as everything from that number on is still remembered, and otherwise nobody can say.
//!
//! **Invariant:** numbers only grow, over restores too, and what is forgotten is older than all that is remembered.

use std::collections::BTreeMap;

use flame_types::{RequestId, RequestNo};
use serde::{Deserialize, Serialize};

use super::State;
use crate::reply::Reply;

/// Numbers of one generation, far more than it ever uses: those of the next one are all greater.
const NUMBERS_PER_GENERATION: u64 = 1 << 40;

/// A change that carried a request id, as it lies on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestRow {
    /// Its id.
    pub id: RequestId,
    /// Fingerprint of the change: the same id for another one is refused.
    pub hash: u32,
    /// What was answered.
    pub reply: Reply,
}

/// The remembered ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    rows: BTreeMap<RequestNo, RequestRow>,
    numbers: BTreeMap<RequestId, RequestNo>,
}

impl Requests {
    /// How many are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// The one of this id.
    #[must_use]
    pub fn find(&self, id: RequestId) -> Option<&RequestRow> {
        self.rows.get(self.numbers.get(&id)?)
    }

    /// The one of this number.
    #[must_use]
    pub fn get(&self, number: RequestNo) -> Option<&RequestRow> {
        self.rows.get(&number)
    }

    /// All of them, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (RequestNo, &RequestRow)> {
        self.rows.iter().map(|(number, row)| (*number, row))
    }

    pub(crate) fn insert(&mut self, number: RequestNo, row: RequestRow) {
        self.numbers.insert(row.id, number);
        self.rows.insert(number, row);
    }

    /// Forgets the oldest one.
    pub(crate) fn forget_oldest(&mut self) -> Option<RequestNo> {
        let (number, row) = self.rows.pop_first()?;
        self.numbers.remove(&row.id);
        Some(number)
    }
}

impl State {
    /// The number of the next change that carries a request id.
    #[must_use]
    pub fn next_request(&self) -> RequestNo {
        let first = u64::from(self.cluster.generation.0).saturating_mul(NUMBERS_PER_GENERATION) + 1;
        let next = self.requests.rows.last_key_value().map_or(RequestNo(1), |(last, _)| last.next());
        next.max(RequestNo(first))
    }

    /// Whether everything that was done under this number or a later one is still remembered. A number that was not given
    /// yet is of another cluster, and nothing is known of it.
    #[must_use]
    pub(crate) fn remembers_since(&self, seen: RequestNo) -> bool {
        let all = self.requests.rows.first_key_value().is_none_or(|(oldest, _)| *oldest <= seen.max(RequestNo(1)));
        all && seen <= self.next_request()
    }
}
