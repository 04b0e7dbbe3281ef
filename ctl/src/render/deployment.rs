//! What was deployed, or would be.

use std::fmt::Write as _;

use flame_sdk::model::ApplicationSpec;
use serde::Serialize;

use super::{Render, Sheet};
use crate::deploy::Kind;
use crate::time::span;

/// `flmctl deploy`.
#[derive(Clone, Debug, Serialize)]
pub struct Deployment {
    /// The application.
    pub name: String,
    /// What the user has named.
    pub input_kind: Kind,
    /// The package in the object cache.
    pub object: String,
    /// Its checksum.
    pub sha256: String,
    /// Nothing was done.
    pub dry_run: bool,
    /// What was registered.
    pub spec: ApplicationSpec,
}

impl Render for Deployment {
    fn sheet(&self) -> Sheet {
        let Self { name, input_kind, object, sha256, dry_run, spec } = self;
        let mut text = format!("Application <{name}> {}.\n", if *dry_run { "deploy plan" } else { "deployed" });
        let mut line = |label: &str, value: &str| {
            let _ = writeln!(text, "{label}: {value}");
        };
        line("Input Kind", &input_kind.to_string());
        line("Installer", spec.installer.as_deref().unwrap_or("-"));
        line("Command", spec.command.as_deref().unwrap_or("-"));
        if let Some(seconds) = spec.delay_release {
            line("Delay Release", &span(seconds.unsigned_abs()));
        }
        if !spec.arguments.is_empty() {
            line("Arguments", &spec.arguments.join(" "));
        }
        line("Object", object);
        line("SHA256", sha256);
        line("URL", spec.url.as_deref().unwrap_or("-"));
        if *dry_run {
            line("Dry Run", "true");
        }
        Sheet::of_text(text)
    }
}
