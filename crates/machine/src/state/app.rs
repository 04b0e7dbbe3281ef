//! An application.

use std::collections::BTreeSet;

use flame_types::{AppName, AppSpec, AppState, SessionKey, WallMs};
use serde::{Deserialize, Serialize};

/// An application as it lies on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppRow {
    /// Its name.
    pub name: AppName,
    /// How its service is started.
    pub spec: AppSpec,
    /// Whether it takes new sessions.
    pub state: AppState,
    /// 1 when registered, one more with each update.
    pub revision: u64,
    /// Names this specification among all applications and updates for ever: an executor that runs another edition is
    /// never reused, even when the name was unregistered and registered again in between.
    pub edition: u64,
    /// When it was registered.
    pub created: WallMs,
}

/// An application in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    /// What lies on disk.
    pub row: AppRow,
    /// Its sessions that are not closed. Derived.
    pub sessions: BTreeSet<SessionKey>,
}
