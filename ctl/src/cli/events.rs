//! `flmctl cluster events -w`: go on and print what happens, by number.
//!
//! **Invariant:** nothing is printed twice, and what has left before it could be read is told of.

use std::time::Duration;

use flame_sdk::model::{ClusterEvent, ClusterEvents};
use tokio::time::sleep;

use super::Context;
use crate::exit::Failure;
use crate::output::{Reader, note, print};
use crate::render::{EventList, Format, Render, render};

/// Between an answer and the next question.
const INTERVAL: Duration = Duration::from_millis(500);

/// So many of the last rows say how wide the columns are.
const SHOWN_MAX: usize = 200;

/// Prints the last events, and then what comes, until the reader goes away or the user ends it.
pub(super) async fn follow(context: &Context, last: u32, format: Format) -> Result<(), Failure> {
    let first = context.connection.list_cluster_events(0, last).await?;
    let mut newest = first.newest;
    let mut shown = first.events.clone();
    let mut reader = context.show(&EventList(first), format)?;
    while reader == Reader::Present {
        sleep(INTERVAL).await;
        let news = context.connection.list_cluster_events(newest, 0).await?;
        if news.events.is_empty() {
            continue;
        }
        if news.oldest > newest + 1 {
            note(&format!("flmctl: {} events have left before they could be read\n", news.oldest - newest - 1));
        }
        newest = news.newest;
        reader = print(&told(&mut shown, news, format, context.color)?)?;
    }
    Ok(())
}

/// Tables: the new rows under the columns that are there. JSON and YAML: the reply.
fn told(shown: &mut Vec<ClusterEvent>, news: ClusterEvents, format: Format, color: bool) -> Result<String, Failure> {
    if format != Format::Table {
        let text = render(&EventList(news), format, color)?;
        return Ok(if format == Format::Yaml { format!("---\n{text}") } else { text });
    }
    shown.drain(..shown.len().saturating_sub(SHOWN_MAX));
    let list = |events: &[ClusterEvent]| EventList(ClusterEvents { events: events.to_vec(), ..<_>::default() }).sheet();
    let before = list(shown);
    shown.extend(news.events);
    Ok(list(shown).print_changes(&before, color))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(number: u64) -> ClusterEvent {
        let message = format!("worker w{number} attached");
        ClusterEvent { number, time: 0, kind: "worker_attached".into(), subject: format!("w{number}"), message }
    }

    #[test]
    fn only_new_rows_are_printed() {
        let mut shown = vec![event(8), event(9)];
        let news = |events: Vec<ClusterEvent>| ClusterEvents { events, oldest: 1, newest: 11 };
        let text = told(&mut shown, news(vec![event(10), event(11)]), Format::Table, false).unwrap();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.contains("worker w10 attached") && text.contains("worker w11 attached"), "{text}");
        let text = told(&mut shown, news(vec![event(12)]), Format::Yaml, false).unwrap();
        assert!(text.starts_with("---\n") && text.contains("number: 12"), "{text}");
    }

    #[test]
    fn what_is_kept_for_the_columns_is_bounded() {
        let mut shown = Vec::new();
        for number in 1..=1000 {
            let news = ClusterEvents { events: vec![event(number)], oldest: 1, newest: number };
            told(&mut shown, news, Format::Table, false).unwrap();
        }
        assert_eq!(shown.len(), SHOWN_MAX + 1);
    }
}
