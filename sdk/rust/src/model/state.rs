//! A state on the wire: one this client knows, or the number of a newer one.

use std::fmt;

use flame_types::{AppState, ExecutorState, NodeState, SessionState, Shim, TaskState};
use serde::{Serialize, Serializer};

/// A state as a server sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State<T> {
    /// A state of this version.
    Known(T),
    /// A state of a later version, by its number.
    Newer(i32),
}

impl<T: Copy> State<T> {
    /// The state, if this version knows it.
    pub fn known(self) -> Option<T> {
        match self {
            Self::Known(state) => Some(state),
            Self::Newer(_) => None,
        }
    }
}

impl<T: PartialEq> State<T> {
    /// Whether it is this state.
    pub fn is(&self, state: T) -> bool {
        matches!(self, Self::Known(known) if *known == state)
    }
}

impl<T: fmt::Display> fmt::Display for State<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(state) => state.fmt(f),
            Self::Newer(number) => write!(f, "Newer({number})"),
        }
    }
}

impl<T: fmt::Display> Serialize for State<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

macro_rules! from_number {
    ($($state:ident),+) => {
        $(impl From<i32> for State<$state> {
            fn from(number: i32) -> Self {
                $state::from_number(number).map_or(Self::Newer(number), Self::Known)
            }
        }

        impl From<$state> for State<$state> {
            fn from(state: $state) -> Self {
                Self::Known(state)
            }
        })+
    };
}

from_number!(AppState, ExecutorState, NodeState, SessionState, Shim, TaskState);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_state_is_kept_by_number() {
        let known = State::<TaskState>::from(2);
        let newer = State::<TaskState>::from(9);
        assert_eq!((known.known(), newer.known()), (Some(TaskState::Succeed), None));
        assert_eq!(serde_json::to_string(&[known, newer]).unwrap(), r#"["Succeed","Newer(9)"]"#);
    }
}
