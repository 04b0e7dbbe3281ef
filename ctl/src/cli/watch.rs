//! `-w`: go on and print what changes.
//!
//! **Invariant:** the server is asked at most once in [`INTERVAL`], and never while an answer is outstanding.

use std::time::Duration;

use tokio::time::sleep;

use super::Context;
use crate::exit::Failure;
use crate::output::{Reader, print};
use crate::render::{Format, Render, render};

/// Between an answer and the next question.
const INTERVAL: Duration = Duration::from_millis(500);

/// Prints what `read` gives, and again what of it changes, until the reader goes away or the user ends it.
pub(super) async fn run<T, F>(context: &Context, format: Format, read: impl Fn() -> F) -> Result<(), Failure>
where
    T: Render,
    F: Future<Output = Result<T, Failure>>,
{
    let mut last = read().await?;
    let mut reader = context.show(&last, format)?;
    while reader == Reader::Present {
        sleep(INTERVAL).await;
        let now = read().await?;
        let news = changes(&last, &now, format, context.color)?;
        if !news.is_empty() {
            reader = print(&news)?;
            last = now;
        }
    }
    Ok(())
}

/// Tables: the rows that changed. JSON and YAML: the whole reply again, since half of it is no reply.
fn changes<T: Render>(before: &T, now: &T, format: Format, color: bool) -> Result<String, Failure> {
    if format == Format::Table {
        return Ok(now.sheet().print_changes(&before.sheet(), color));
    }
    let text = render(now, format, color)?;
    Ok(match format {
        _ if text == render(before, format, color)? => String::new(),
        Format::Yaml => format!("---\n{text}"),
        _ => text,
    })
}
