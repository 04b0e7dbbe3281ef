//! Feature levels: what the members of a cluster can do together.
//!
//! A level is a whole number, of the *cluster*: it lies in the state and rises through the log
//! ([`Command::SetFeatureLevel`]), when an operator says so and every member's build understands it. It never falls. A
//! *build* understands a range of levels and behaves by the one that the cluster runs at, so that nodes of two builds do
//! the same with the same entries. Until the level is raised the older build can be put back; afterwards it cannot read
//! what is written, and refuses to start.
//!
//! | level | brings |
//! |---|---|
//! | 1 | everything that was there before the first release |
//!
//! What a level brings is gated in three places, each by what stands here:
//!
//! * a command by [`Command::level`]: apply refuses one that is above the cluster's level, and no coordinator writes it
//!   (`coordinator/src/consensus/level.rs`), because builds that do not know it could not even read it;
//! * a row, a field of one, or a changed behaviour by [`State::level`], where apply makes it;
//! * a frame by the level of its link, which both ends say in their first message.
//!
//! **Invariant:** below a level nothing that only it knows is written or sent: rows, entries and digests of two builds are
//! the same, byte for byte.

use std::fmt;
use std::ops::RangeInclusive;

use crate::command::Command;
use crate::state::State;

/// The level of the first release; that of a cluster that has agreed on none yet.
pub const FIRST_LEVEL: u32 = 1;

/// The highest level that this build understands. One that is made to test upgrades with understands one more, which
/// brings a command that does nothing but being told of.
pub const FEATURE_LEVEL: u32 = if cfg!(feature = "next-level") { 2 } else { 1 };

/// Which levels a build understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Levels {
    /// The lowest that it can still run at.
    pub lowest: u32,
    /// The highest that it knows.
    pub highest: u32,
}

impl Levels {
    /// Those of this build.
    pub const OWN: Levels = Levels { lowest: FIRST_LEVEL, highest: FEATURE_LEVEL };

    /// As a build says of itself. One that says nothing is of the first level.
    #[must_use]
    pub fn said(lowest: u32, highest: u32) -> Self {
        let highest = highest.max(FIRST_LEVEL);
        Self { lowest: lowest.clamp(FIRST_LEVEL, highest), highest }
    }

    /// All of them.
    #[must_use]
    pub fn all(self) -> RangeInclusive<u32> {
        self.lowest..=self.highest
    }

    /// Whether it can run at this level. 0: none is agreed on yet.
    #[must_use]
    pub fn understand(self, level: u32) -> bool {
        (self.lowest..=self.highest).contains(&level.max(FIRST_LEVEL))
    }
}

/// `level 1`, or `levels 1 to 2`.
impl fmt::Display for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.lowest, self.highest) {
            (lowest, highest) if lowest == highest => write!(f, "level {highest}"),
            (lowest, highest) => write!(f, "levels {lowest} to {highest}"),
        }
    }
}

impl State {
    /// The level that the cluster runs at: behaviour that a later level brings asks for it.
    #[must_use]
    pub fn level(&self) -> u32 {
        self.cluster.level.max(FIRST_LEVEL)
    }
}

impl Command {
    /// The level that brings this command. A variant that is added names its own here.
    #[must_use]
    pub fn level(&self) -> u32 {
        match self {
            #[cfg(feature = "next-level")]
            Self::TestOnly { .. } => 2,
            Self::Once { command, .. } => command.level(),
            _ => FIRST_LEVEL,
        }
    }
}
