//! A point on the monotonic clock of this process.

use std::fmt;
use std::time::Duration;

/// A point in monotonic time, counted from an arbitrary origin of this process.
///
/// A type of its own, so that a point in time and a length of time cannot be mixed up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Mono(Duration);

impl Mono {
    /// The origin itself.
    pub const ZERO: Mono = Mono(Duration::ZERO);

    /// The point that lies `from_origin` after the origin.
    #[must_use]
    pub const fn at(from_origin: Duration) -> Self {
        Self(from_origin)
    }

    /// The point `span` later.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }

    /// How long after `earlier` this is; zero when `earlier` lies ahead.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Mono {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{}ms", self.0.as_millis())
    }
}
