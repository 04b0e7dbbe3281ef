//! The feature level that the cluster runs at, as this node knows it, and the one gate in front of whatever a later level
//! brings. What levels are, and what brings which, is told in `flame_machine::level`.
//!
//! * **Entries**: [`RunningLevel::seal`] is the only way by which a command becomes bytes. Whoever can refuse politely asks
//!   [`RunningLevel::admits`] first.
//! * **Rows** are made by apply, which goes by the level in the state. Before a raised level acts the data directory is
//!   marked with it, durably.
//! * **Frames** between coordinators may be those of the level the cluster runs at, since every member understands it; those
//!   to workers and clients the lower one of that and their own, [`RunningLevel::with`].
//! * **Peers**: the [`gate`](super::gate) lets nobody in who does not understand it. Who hears from a member that the cluster
//!   runs at a level that it does not understand itself ends ([`outdated`]).
//!
//! **Invariant:** what is known here was applied, so it never runs ahead of the log: what is written by it comes after the
//! entry that raised it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use flame_machine::command::{Command, Item};
use flame_machine::{FIRST_LEVEL, Levels, Refusal};
use flame_proto::ha::PeerHeader;
use flame_storage::{Cause, codec};

/// The level of the cluster. Cheap to clone; all clones are the same.
#[derive(Clone, Debug)]
pub struct RunningLevel(Arc<AtomicU32>);

impl Default for RunningLevel {
    fn default() -> Self {
        Self(Arc::new(AtomicU32::new(FIRST_LEVEL)))
    }
}

impl RunningLevel {
    /// The level.
    #[must_use]
    pub fn get(&self) -> u32 {
        self.0.load(Ordering::Acquire)
    }

    /// The state is at this level.
    pub(super) fn set(&self, level: u32) {
        self.0.store(level, Ordering::Release);
    }

    /// Whether this command may be written.
    ///
    /// # Errors
    /// What to tell whoever asks for it.
    pub fn admits(&self, command: &Command) -> Result<(), Refusal> {
        let (needed, present) = (command.level(), self.get());
        if needed <= present {
            return Ok(());
        }
        let how = "flmctl cluster upgrade raises it once every coordinator is of a release that can";
        Err(Refusal::FeatureLevel(format!("this needs level {needed}, and the cluster runs at level {present}; {how}")))
    }

    /// The bytes of a command on its way into the log.
    ///
    /// # Panics
    /// When the command belongs to a later level: written, it would stop every coordinator that does not know it. It is
    /// better that this one stops, which forgot to ask.
    #[must_use]
    pub fn seal(&self, item: &Item) -> Bytes {
        let refused = self.admits(&item.command).err();
        assert!(refused.is_none(), "a command was not held back: {refused:?}");
        codec::encode(item)
    }

    /// The level of a link to somebody who understands this one at most.
    #[must_use]
    pub fn with(&self, theirs: u32) -> u32 {
        self.get().min(theirs.max(FIRST_LEVEL))
    }
}

/// What a coordinator says that its build understands.
pub(super) fn levels_of(header: &PeerHeader) -> Levels {
    Levels::said(header.feature_level_min, header.feature_level)
}

/// What ends this node when a member says so: the cluster runs at a level that this build does not understand. That stays
/// so, since levels never fall.
pub(super) fn outdated(header: &PeerHeader) -> Option<Cause> {
    let (level, by) = (header.cluster_level, header.from);
    (!Levels::OWN.understand(level))
        .then(|| Cause::Outdated(why(&format!("coordinator {by} says that the cluster"), level)))
}

/// Why a node cannot go on at this level.
pub(super) fn why(who: &str, level: u32) -> String {
    format!("{who} runs at feature level {level}, and this build understands {}", Levels::OWN)
}

#[cfg(test)]
mod tests {
    use flame_machine::FEATURE_LEVEL;
    use flame_types::{ClientId, Seq};

    use super::*;

    fn item(command: Command) -> Item {
        Item { client: ClientId(1), seq: Seq(2), below: Seq(1), command }
    }

    #[test]
    fn a_link_speaks_the_lower_level_of_its_ends() {
        let level = RunningLevel::default();
        assert_eq!((level.with(0), level.with(1), level.with(7)), (1, 1, 1));
        level.clone().set(5);
        assert_eq!((level.with(0), level.with(1), level.with(7)), (1, 1, 5));
    }

    #[test]
    fn what_every_level_knows_passes() {
        let level = RunningLevel::default();
        assert_eq!(level.admits(&Command::Void), Ok(()));
        assert_eq!(level.seal(&item(Command::Void)), codec::encode(&item(Command::Void)));
    }

    #[test]
    fn a_member_at_a_later_level_ends_this_node() {
        let header = |cluster_level| PeerHeader { from: 2, cluster_level, ..PeerHeader::default() };
        for fine in 0..=FEATURE_LEVEL {
            assert_eq!(outdated(&header(fine)), None, "{fine}");
        }
        let Some(Cause::Outdated(why)) = outdated(&header(FEATURE_LEVEL + 1)) else { panic!("it goes on") };
        assert!(why.contains("coordinator 2 says") && why.contains("this build understands"), "{why}");
    }

    #[cfg(feature = "next-level")]
    #[test]
    #[should_panic(expected = "was not held back")]
    fn what_a_later_level_brings_is_held_back() {
        let level = RunningLevel::default();
        let command = Command::TestOnly { text: "x".into() };
        assert!(level.admits(&command).is_err());
        let _ = level.seal(&item(command));
    }
}
