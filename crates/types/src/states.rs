//! The published states. The numbers are those of the wire.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! states {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $number:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* $variant = $number),+ }

        impl $name {
            /// Every state, in the order of the wire.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            /// The number on the wire.
            #[must_use]
            pub fn number(self) -> i32 {
                self as i32
            }

            /// The state of a number on the wire.
            #[must_use]
            pub fn from_number(number: i32) -> Option<Self> {
                match number {
                    $($number => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self { $(Self::$variant => stringify!($variant)),+ })
            }
        }
    };
}

states! {
    /// State of an application.
    AppState {
        /// Takes new sessions.
        Enabled = 0,
        /// Takes no new sessions.
        Disabled = 1,
    }
}
states! {
    /// State of a session.
    SessionState {
        /// Takes and runs tasks.
        Open = 0,
        /// Ended: nothing is pending; what ran may still finish.
        Closed = 1,
        /// No task starts any more; some still run.
        Suspending = 2,
        /// No task starts and none runs, until it is resumed.
        Suspended = 3,
    }
}
states! {
    /// State of a task.
    TaskState {
        /// Waits for an executor.
        Pending = 0,
        /// Given to an executor.
        Running = 1,
        /// Ended well.
        Succeed = 2,
        /// Ended badly; its last event says why.
        Failed = 3,
        /// Ended by its user, or with its session.
        Cancelled = 4,
    }
}
states! {
    /// State of an executor.
    ExecutorState {
        /// Not known.
        Unknown = 0,
        /// Placed; its worker has not been told or has not begun.
        Void = 1,
        /// Runs without a session. (Ours never stay in it: an executor is placed for a session.)
        Idle = 2,
        /// Its worker starts the service and enters the session.
        Binding = 3,
        /// Serves its session.
        Bound = 4,
        /// Gave its session up; may serve another of the same application.
        Unbinding = 5,
        /// Its worker stops the service.
        Releasing = 6,
        /// Gone.
        Released = 7,
    }
}
states! {
    /// State of a worker.
    NodeState {
        /// Its stream is down; its lease still runs.
        Unknown = 0,
        /// Attached.
        Ready = 1,
        /// Its lease has expired.
        NotReady = 2,
    }
}
states! {
    /// How a service is run.
    Shim {
        /// A process on the worker's host.
        Host = 0,
        /// A WebAssembly component.
        Wasm = 1,
        /// A container through the container runtime interface. (2 is held back by the published protocol.)
        Cri = 3,
    }
}

impl TaskState {
    /// Whether the task has ended: it never changes again.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeed | Self::Failed | Self::Cancelled)
    }
}
