//! Where a proxy is reached.

use serde::Serialize;

use super::{Render, Sheet};

/// `flmctl proxy`, once it listens.
#[derive(Clone, Debug, Serialize)]
pub struct ProxyView {
    /// For clients: their `FLAME_ENDPOINT`.
    pub endpoint: String,
}

impl Render for ProxyView {
    /// One line and nothing else, so that a shell can read it.
    fn sheet(&self) -> Sheet {
        Sheet::of_text(format!("{}\n", self.endpoint))
    }
}
