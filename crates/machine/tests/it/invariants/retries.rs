//! However things go wrong: no task is tried again more often than its policy says for each cause, and its story says so.

use flame_machine::row::AttemptRow;
use flame_machine::state::Story;
use flame_machine::{Row, RowChange};
use flame_types::{RetryCause, TaskState};
use proptest::prelude::*;

use crate::generate::{STARTS_MAX, config, run, steps};

fn count(attempts: &[AttemptRow], cause: RetryCause) -> usize {
    attempts.iter().filter_map(|attempt| attempt.lost.as_ref()).filter(|loss| loss.cause == cause).count()
}

/// The story of a task that is to be started again.
fn check_story(story: &Story) -> Result<(), TestCaseError> {
    for (cause, starts) in
        [(RetryCause::Lost, story.lost), (RetryCause::Crashed, story.crashed), (RetryCause::Failed, story.failed)]
    {
        prop_assert!(starts < STARTS_MAX, "{:?}: {} starts came to nothing", cause, starts);
        // Fewer than are kept: all of them are told.
        prop_assert_eq!(count(&story.attempts, cause), starts as usize, "{:?}", cause);
    }
    prop_assert_eq!(count(&story.attempts, RetryCause::Refused), 0);
    Ok(())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn nothing_is_tried_too_often(steps in steps()) {
        run(&steps, &mut |world, batch| {
            for change in &world.apply_batch(batch).rows {
                match change {
                    RowChange::Put(_, Row::Pending(pending)) => check_story(&pending.story)?,
                    RowChange::Put(_, Row::Executor(_, queue)) => {
                        queue.iter().filter_map(|(_, row)| row.story.as_deref()).try_for_each(check_story)?;
                    }
                    RowChange::Put(_, Row::Finished(row)) => {
                        let last = row.attempts.last().and_then(|attempt| attempt.lost.as_ref());
                        // Only a loss ends a task by itself; a failure that ends one is what the task ends with.
                        let was_cancelled = row.state == TaskState::Cancelled;
                        let is_loss = last.is_none_or(|loss| was_cancelled || loss.cause != RetryCause::Failed);
                        prop_assert!(is_loss, "{:?}", row);
                        let numbers: Vec<u32> = row.attempts.iter().map(|attempt| attempt.attempt).collect();
                        prop_assert!(numbers.is_sorted_by(|one, next| one < next), "{:?}", numbers);
                    }
                    _ => {}
                }
            }
            Ok(())
        })?;
    }
}
