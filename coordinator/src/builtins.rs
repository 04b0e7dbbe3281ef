//! The applications that ship with Flame. Each is registered by the first leader that knows it, once: whoever
//! unregisters one does not find it back after the next election.

use flame_types::{AppName, AppSpec};

/// Raise it whenever [`builtins`] grows.
pub const BUILTINS_VERSION: u32 = 1;

/// Name and specification of each.
#[must_use]
pub fn builtins() -> Vec<(AppName, AppSpec)> {
    let name = |text| AppName::parse(text).expect("the names below follow the rules");
    let flmping = AppSpec {
        description: Some("Answers at once, or after the time and with the memory its input asks for.".into()),
        command: Some("${FLAME_HOME}/bin/flmping-service".into()),
        ..AppSpec::default()
    };
    vec![(name("flmping"), flmping)]
}
