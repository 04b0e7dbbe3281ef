//! States and shims: the same numbers under the same names.

use flame_types::{AppState, ExecutorState, NodeState, SessionState, Shim, TaskState};

use crate::{Invalid, v1};

macro_rules! same_numbers {
    ($($ours:ident $wire:ident $what:literal { $($ours_variant:ident = $wire_variant:ident),+ })+) => {$(
        impl From<$ours> for v1::$wire {
            fn from(state: $ours) -> Self {
                match state { $($ours::$ours_variant => Self::$wire_variant),+ }
            }
        }

        impl From<v1::$wire> for $ours {
            fn from(state: v1::$wire) -> Self {
                match state { $(v1::$wire::$wire_variant => Self::$ours_variant),+ }
            }
        }

        impl v1::$wire {
            /// Reads the number of a field.
            ///
            /// # Errors
            /// When the protocol has no such number.
            pub fn checked(number: i32) -> Result<$ours, Invalid> {
                $ours::from_number(number).ok_or(Invalid::UnknownNumber { what: $what, number })
            }
        }
    )+};
}

same_numbers! {
    AppState ApplicationState "application state" { Enabled = Enabled, Disabled = Disabled }
    SessionState SessionState "session state" {
        Open = Open, Closed = Closed, Suspending = Suspending, Suspended = Suspended
    }
    TaskState TaskState "task state" {
        Pending = Pending, Running = Running, Succeed = Succeed, Failed = Failed, Cancelled = Cancelled
    }
    ExecutorState ExecutorState "executor state" {
        Unknown = ExecutorUnknown, Void = ExecutorVoid, Idle = ExecutorIdle, Binding = ExecutorBinding,
        Bound = ExecutorBound, Unbinding = ExecutorUnbinding, Releasing = ExecutorReleasing,
        Released = ExecutorReleased
    }
    NodeState NodeState "node state" { Unknown = Unknown, Ready = Ready, NotReady = NotReady }
    Shim Shim "shim" { Host = Host, Wasm = Wasm, Cri = Cri }
}

#[cfg(test)]
mod tests {
    use super::*;

    macro_rules! check {
        ($($ours:ident $wire:ident),+) => {$(
            for state in $ours::ALL {
                let wire = v1::$wire::from(*state);
                assert_eq!(wire as i32, state.number(), "{state}");
                assert_eq!($ours::from(wire), *state);
                assert_eq!(v1::$wire::checked(state.number()), Ok(*state));
            }
            assert!(v1::$wire::checked(99).is_err() && v1::$wire::checked(-1).is_err());
        )+};
    }

    #[test]
    fn every_number_means_the_same_on_both_sides() {
        check!(
            AppState ApplicationState,
            SessionState SessionState,
            TaskState TaskState,
            ExecutorState ExecutorState,
            NodeState NodeState,
            Shim Shim
        );
    }

    #[test]
    fn the_number_held_back_for_a_sidecar_is_no_shim() {
        assert_eq!(v1::Shim::checked(2).unwrap_err().to_string(), "2 is not a known shim");
    }
}
