//! What installs wrote on workers.

use std::fmt::Write as _;

use flame_sdk::model::InstallLog;
use serde::Serialize;

use super::{Render, Sheet};
use crate::time::date_and_clock;

/// `flmctl logs install`.
#[derive(Clone, Debug, Serialize)]
pub struct InstallLogs {
    /// By worker.
    pub logs: Vec<InstallLog>,
}

impl Render for InstallLogs {
    fn sheet(&self) -> Sheet {
        let mut text = String::new();
        for InstallLog { node, text: written, written: time, cut, error } in &self.logs {
            let gap = if text.is_empty() { "" } else { "\n" };
            if !error.is_empty() {
                let _ = writeln!(text, "{gap}==> {node}: {error}");
                continue;
            }
            let cut = if *cut { ", the end of it" } else { "" };
            let _ = writeln!(text, "{gap}==> {node}, {}{cut}", date_and_clock(*time));
            let shown: String = written.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect();
            text.push_str(shown.trim_end());
            text.push('\n');
        }
        Sheet::of_text(text)
    }
}
