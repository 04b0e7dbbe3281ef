//! The bar that shows how many tasks have ended, as published; only on a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Drawn at most this often in a second.
const DRAWS_PER_SECOND: u8 = 10;

const TEMPLATE: &str = "[{percent}%] {bar:45.==-} {pos}/{len}";

pub(super) fn bar(tasks: u64) -> ProgressBar {
    // The target hides itself when stderr is no terminal.
    let target = ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND);
    let style = ProgressStyle::with_template(TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(Some(tasks), target).with_style(style.progress_chars("== "))
}

/// None at all.
pub(super) fn none() -> ProgressBar {
    ProgressBar::hidden()
}
