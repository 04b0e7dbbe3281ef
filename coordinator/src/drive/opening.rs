//! The moment between an election and the first proposal of the new leader.
//!
//! Followers learn of a leader by its first message, before it has committed anything, and tell those who wait for one.
//! So workers and the links of other nodes come while the leader cannot take them yet. To send them away would cost them
//! a pause, and everybody behind them; here they wait until it is decided whether this node leads.

use std::time::Duration;

use crate::consensus::{Consensus, Leadership};
use crate::drive::batcher::BatcherHandle;

/// Longest wait. Between the votes and the first entry of a term are a few milliseconds, on a slow disk some hundred;
/// what takes longer is no beginning, and whoever waits may look elsewhere.
const AWAITED_MAX: Duration = Duration::from_millis(500);

/// Waits while nobody is known to lead, until this node is open for proposals or knows another leader. At most
/// [`AWAITED_MAX`].
pub(super) async fn awaited(batcher: &BatcherHandle, consensus: &Consensus) {
    let (mut open, mut leadership) = (batcher.watch_open(), consensus.leadership());
    let decided = async {
        tokio::select! {
            // A sender that is gone means that the node stops: nothing to wait for either.
            _ = open.wait_for(Option::is_some) => {}
            _ = leadership.wait_for(another_leads) => {}
        }
    };
    // Undecided: whoever came is told what this node knows.
    let _ = tokio::time::timeout(AWAITED_MAX, decided).await;
}

fn another_leads(leadership: &Leadership) -> bool {
    leadership.leader.is_some() && !leadership.is_self
}
