//! Waiting for a condition, with a deadline and a good message.

use std::future::Future;
use std::time::Duration;

use anyhow::{Result, anyhow};
use tokio::time::{Instant, sleep, timeout_at};

/// Between two questions. Short, because a local answer costs little and tests should not dawdle.
const PAUSE: Duration = Duration::from_millis(20);

/// Asks until the answer is `Ok`, or the deadline has come.
///
/// An `Err` means "not yet, because"; the last one is part of the message when time is up.
///
/// # Errors
/// Says what was waited for, how long, and why it had not come to pass when last asked.
pub async fn wait_until<T, F, Fut>(limit: Duration, what: &str, mut ask: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T>>,
{
    let deadline = Instant::now() + limit;
    let mut last_reason = None;
    loop {
        match timeout_at(deadline, ask()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(reason)) => last_reason = Some(reason),
            Err(_) => last_reason = last_reason.or_else(|| Some(anyhow!("the question itself got no answer"))),
        }
        if Instant::now() >= deadline {
            let reason = last_reason.map_or_else(|| "never asked".to_owned(), |reason| format!("{reason:#}"));
            return Err(anyhow!("waited {} s in vain for: {what}; at last: {reason}", limit.as_secs_f64()));
        }
        sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_value_comes_back_as_soon_as_there_is_one() {
        let mut asked = 0;
        let value = wait_until(Duration::from_secs(5), "the third answer", || {
            asked += 1;
            let answer = if asked == 3 { Ok(asked) } else { Err(anyhow!("only {asked}")) };
            async move { answer }
        })
        .await;
        assert_eq!(value.ok(), Some(3));
    }

    #[tokio::test]
    async fn the_message_names_the_wish_the_time_and_the_last_reason() {
        let never =
            wait_until(Duration::from_millis(100), "rain", || async { Err::<(), _>(anyhow!("the sky is blue")) });
        let text = never.await.expect_err("it never comes").to_string();
        assert_eq!(text, "waited 0.1 s in vain for: rain; at last: the sky is blue");
    }

    #[tokio::test]
    async fn a_question_without_an_answer_ends_too() {
        let never = wait_until(Duration::from_millis(100), "an answer", std::future::pending::<Result<()>>);
        let text = never.await.expect_err("it never comes").to_string();
        assert!(text.contains("got no answer"), "{text}");
    }
}
