//! The promises, one file each. A checker looks at the facts of a recording and says what it found; it never asks whether
//! another one found the same.
//!
//! | checker | promise |
//! |---|---|
//! | [`c01_no_loss`] | what was acknowledged is there |
//! | [`c02_recorded_once`] | every task has one end, and every change was made once |
//! | [`c03_tokens`] | a result counts under the token that its task has, and no other |
//! | [`c04_linearizable`] | each task looks to everybody as if one thing happened after the other |
//! | [`c05_same_state`] | equal positions, equal states |
//! | [`c06_watches`] | watches skip nothing, repeat nothing and never go back |
//! | [`c07_conservation`] | what is allocated is what is used |
//! | [`c08_liveness`] | when nothing is broken any more, everything gets well |
//! | [`c09_availability`] | silences are short |
//! | [`c10_reruns`] | nothing runs twice without a cause, and no worker is given up without one |
//! | [`c11_raft`] | terms, votes, logs, members |
//! | [`c12_bounds`] | what can grow is bounded, and comes back |
//! | [`c13_honesty`] | an error says what is true |
//! | [`c14_logs`] | no panic, no damage, no death by surprise |
//! | [`c15_coverage`] | what was meant to happen did happen |

pub mod c01_no_loss;
pub mod c02_recorded_once;
pub mod c03_tokens;
pub mod c04_linearizable;
pub mod c05_same_state;
pub mod c06_watches;
pub mod c07_conservation;
pub mod c08_liveness;
pub mod c09_availability;
pub mod c10_reruns;
pub mod c11_raft;
pub mod c12_bounds;
pub mod c13_honesty;
pub mod c14_logs;
pub mod c15_coverage;
mod found;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use found::{Found, Note};

use crate::facts::Facts;
use crate::record::Witness;

/// Names a checker, as the tables of scenarios do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum CheckerId {
    C1,
    C2,
    C3,
    C4,
    C5,
    C6,
    C7,
    C8,
    C9,
    C10,
    C11,
    C12,
    C13,
    C14,
    C15,
}

impl fmt::Display for CheckerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// A promise and how to hold a recording against it.
#[derive(Clone, Copy)]
pub struct Checker {
    /// Its name in tables.
    pub id: CheckerId,
    /// What must hold, in a few words.
    pub promise: &'static str,
    /// Where it comes from.
    pub source: &'static str,
    /// Who must have been listened to. Without them it does not judge.
    pub needs: &'static [Witness],
    /// Looks.
    pub check: fn(&Facts<'_>, &mut Found),
}

impl fmt::Debug for Checker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.id, self.promise)
    }
}

/// All of them, in order.
pub const ALL: [Checker; 15] = [
    c01_no_loss::CHECKER,
    c02_recorded_once::CHECKER,
    c03_tokens::CHECKER,
    c04_linearizable::CHECKER,
    c05_same_state::CHECKER,
    c06_watches::CHECKER,
    c07_conservation::CHECKER,
    c08_liveness::CHECKER,
    c09_availability::CHECKER,
    c10_reruns::CHECKER,
    c11_raft::CHECKER,
    c12_bounds::CHECKER,
    c13_honesty::CHECKER,
    c14_logs::CHECKER,
    c15_coverage::CHECKER,
];
