//! Which coordinators are short of disk, as the leader knows it, and what it does about that.
//!
//! Every entry is written by a majority, so the cluster can take more in only while a majority has room. Each node tells
//! the leader over its link whether it is low. When too few have room the leader logs that nothing more is taken in, and
//! logs it again when that is over: so every node refuses the same, whoever leads.
//!
//! **Invariant:** silence alone is no shortage: somebody must have said that its disk is low. Coordinators that come back
//! after a while find a cluster that takes tasks at once.
//! **Invariant:** only what adds is refused. Results, closing, deleting and expiry go on: they are the way out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use flame_machine::command::Command;
use flame_types::CoordinatorId;
use tokio::time::Instant;

use super::leader::{Leader, Over};

/// A node that has said nothing for so long has no room for what another is low on, as far as anybody knows.
const REPORT_MAX: Duration = Duration::from_secs(30);

/// How often the reports are weighed.
const LOOK: Duration = Duration::from_secs(1);

/// What the nodes have said.
#[derive(Clone, Default)]
pub struct Shortage {
    reports: Arc<Mutex<Reports>>,
}

#[derive(Default)]
struct Reports {
    /// Since when this node leads: nobody is judged by reports that it cannot have heard.
    since: Option<Instant>,
    nodes: BTreeMap<CoordinatorId, (bool, Instant)>,
}

impl Shortage {
    /// A new leader has heard of nobody.
    pub fn begin(&self, now: Instant) {
        *self.lock() = Reports { since: Some(now), nodes: BTreeMap::new() };
    }

    /// A node says whether it is low.
    pub fn report(&self, node: CoordinatorId, is_low: bool, now: Instant) {
        self.lock().nodes.insert(node, (is_low, now));
    }

    /// Whether too few of the voters have room.
    #[must_use]
    pub fn is_short(&self, voters: &[CoordinatorId], now: Instant) -> bool {
        let reports = self.lock();
        let is_new = reports.since.is_none_or(|since| now.duration_since(since) < REPORT_MAX);
        let is_recent = |at: &Instant| now.duration_since(*at) < REPORT_MAX;
        let has_room = |voter: &&CoordinatorId| match reports.nodes.get(*voter) {
            Some((is_low, at)) => !is_low && is_recent(at),
            None => is_new,
        };
        let says_low =
            |voter: &CoordinatorId| reports.nodes.get(voter).is_some_and(|(is_low, at)| *is_low && is_recent(at));
        voters.iter().any(says_low) && voters.iter().filter(has_room).count() <= voters.len() / 2
    }

    fn lock(&self) -> MutexGuard<'_, Reports> {
        self.reports.lock().expect("no code panics while it holds this lock")
    }
}

impl Leader {
    /// Logs when the disks of the coordinators come to be short, and when they are no more.
    pub(super) async fn watch_disks(&self) -> Result<(), Over> {
        let mut known = self.consensus.with_state(|state| state.cluster().disk_short).await.map_err(|_| Over)?;
        loop {
            tokio::time::sleep(LOOK).await;
            let members = self.consensus.members().into_iter();
            let voters: Vec<CoordinatorId> = members.filter(|(.., votes)| *votes).map(|(id, ..)| id).collect();
            let is_short = self.shortage.is_short(&voters, Instant::now());
            if is_short == known {
                continue;
            }
            match is_short {
                true => tracing::warn!("no majority of coordinators has room on its disk: nothing more is taken in"),
                false => tracing::info!("a majority of coordinators has room on its disk again"),
            }
            // Dropped, it is found again at the next look.
            if self.try_propose(Command::DiskShort { on: is_short }).await.is_some() {
                known = is_short;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOTERS: [CoordinatorId; 3] = [CoordinatorId(1), CoordinatorId(2), CoordinatorId(3)];

    #[test]
    fn a_majority_with_room_is_enough() {
        let (shortage, now) = (Shortage::default(), Instant::now());
        shortage.begin(now);
        assert!(!shortage.is_short(&VOTERS, now), "nobody has said anything yet");
        shortage.report(VOTERS[0], true, now);
        assert!(!shortage.is_short(&VOTERS, now));
        shortage.report(VOTERS[1], true, now);
        assert!(shortage.is_short(&VOTERS, now));
        shortage.report(VOTERS[0], false, now);
        assert!(!shortage.is_short(&VOTERS, now));
    }

    #[test]
    fn who_is_silent_has_no_room_when_another_is_low_but_for_a_new_leader() {
        let (shortage, begun) = (Shortage::default(), Instant::now());
        shortage.begin(begun);
        shortage.report(VOTERS[0], false, begun);
        shortage.report(VOTERS[1], false, begun);
        let later = begun + REPORT_MAX;
        shortage.report(VOTERS[0], true, later);
        assert!(shortage.is_short(&VOTERS, later), "one is low, two are silent");
        shortage.report(VOTERS[1], false, later);
        shortage.report(VOTERS[2], false, later);
        assert!(!shortage.is_short(&VOTERS, later));
        shortage.begin(later);
        shortage.report(VOTERS[0], true, later);
        assert!(!shortage.is_short(&VOTERS, later), "a new leader has yet to hear of the others");
    }

    /// Found by a client: two of three coordinators were away for a while, and whoever submitted when they were back was
    /// told to give them more disk.
    #[test]
    fn silence_alone_is_no_shortage() {
        let (shortage, begun) = (Shortage::default(), Instant::now());
        shortage.begin(begun);
        VOTERS.iter().for_each(|voter| shortage.report(*voter, false, begun));
        let later = begun + REPORT_MAX;
        shortage.report(VOTERS[0], false, later);
        assert!(!shortage.is_short(&VOTERS, later), "two of three are silent");
    }
}
