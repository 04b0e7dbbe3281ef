//! Why telemetry could not be set up. Each message says what to change.

/// Why telemetry could not be set up: all are mended by whoever started the process.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The filter is not written in the grammar of filters.
    #[error("{variable}={text:?} is not a log filter: {why}; write it like info or info,flame_coordinator=debug")]
    Filter {
        /// The environment variable that holds it.
        variable: &'static str,
        /// What it holds.
        text: String,
        /// What is wrong with it.
        why: String,
    },
    /// The format is unknown.
    #[error("{variable}={text:?} is not a log format; write text or json")]
    Format {
        /// The environment variable that holds it.
        variable: &'static str,
        /// What it holds.
        text: String,
    },
    /// Set up twice in one process.
    #[error("logging was already set up in this process; call flame_telemetry::init once, first thing in main")]
    Twice,
}
