//! The first half of what a task that is alone costs: it goes to its worker before its entry is written, if the leader can
//! foresee what the entry will do ([`flame_machine::State::foresee`]). Its result then goes into the same entry.
//!
//! **Invariant:** only while nothing is under way into the log, so that the state is what its end says; and whatever is given
//! out is the first command of the very next entry.

use std::sync::{Arc, OnceLock};

use flame_machine::Item;
use flame_machine::command::{Command, Inputs};
use flame_storage::codec;

use super::Parcel;
use crate::consensus::Consensus;
use crate::drive::hub::WayAhead;
use crate::metrics::handles::BatcherMetrics;

/// Gives tasks out.
pub(super) struct Ahead {
    consensus: Consensus,
    way: Arc<OnceLock<WayAhead>>,
    metrics: BatcherMetrics,
}

impl Ahead {
    pub(super) fn new(consensus: Consensus, way: Arc<OnceLock<WayAhead>>, metrics: BatcherMetrics) -> Self {
        Self { consensus, way, metrics }
    }

    /// Gives out the task of a parcel that has one command, if that is such a task, and says in the command to whom.
    pub(super) fn give_out(&self, parcel: &mut Parcel) -> bool {
        let (Some(way), [bytes]) = (self.way.get(), parcel.items.as_mut_slice()) else { return false };
        // What cannot be read is refused where it is applied.
        let Ok(mut item) = codec::decode::<Item>(bytes.clone()) else { return false };
        let Command::Lone { submit, ahead } = &mut item.command else { return false };
        let Some(foreseen) = self.consensus.peek(|state| state.foresee(submit)).flatten() else { return false };
        let Inputs::Each(inputs) = &submit.inputs else { return false };
        let input = inputs.first().cloned().flatten();
        let is_given_out = way.give_out(&foreseen, input, (item.client, item.seq));
        if is_given_out {
            *ahead = Some(foreseen.ahead);
            *bytes = self.consensus.level().seal(&item);
            self.metrics.given_out();
        }
        is_given_out
    }
}
