//! Keeps what goes wrong in user code inside: an error or a panic becomes a text.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use flame_types::limits::MESSAGE_TEXT_BYTES_MAX;
use futures::FutureExt;

use crate::FlameError;

/// The published return code of a success.
pub(super) const OK: i32 = 0;

/// The published return code of a failure.
pub(super) const FAILED: i32 = -1;

/// Runs user code; what goes wrong in it becomes a text.
pub(super) async fn shielded<T>(code: impl Future<Output = Result<T, FlameError>>) -> Result<T, String> {
    let text = match AssertUnwindSafe(code).catch_unwind().await {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(error)) => error.to_string(),
        Err(panic) => format!("the service panicked: {}", panic_text(panic.as_ref())),
    };
    Err(cut(text))
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a text")
}

fn cut(mut text: String) -> String {
    if text.len() > MESSAGE_TEXT_BYTES_MAX {
        const MARK: &str = "…";
        text.truncate(text.floor_char_boundary(MESSAGE_TEXT_BYTES_MAX - MARK.len()));
        text.push_str(MARK);
    }
    text
}
