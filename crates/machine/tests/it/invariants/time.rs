//! Cluster time never decreases, what is shown does not run backwards, and nothing that is due waits.

use flame_machine::row::AttemptRow;
use flame_machine::{Row, RowChange};
use flame_types::WallMs;
use proptest::prelude::*;

use crate::generate::{config, run, steps};

/// The starts of tasks that a row tells of, each with when it ended or last began if it has.
fn told(row: &Row) -> Vec<(&[AttemptRow], Option<WallMs>)> {
    match row {
        Row::Pending(pending) => vec![(&pending.story.attempts, None)],
        Row::Executor(_, queue) => {
            let stories = queue.iter().filter_map(|(_, row)| Some((row.story.as_ref()?, row.started)));
            stories.map(|(story, started)| (&*story.attempts, started)).collect()
        }
        Row::Finished(finished) => vec![(&finished.attempts, Some(finished.finished))],
        _ => Vec::new(),
    }
}

proptest! {
    #![proptest_config(config())]

    /// Starts and losses of a task are told in the order in which they happened, none later than it is told.
    #[test]
    fn a_story_runs_forward(steps in steps()) {
        run(&steps, &mut |world, batch| {
            let applied = world.apply_batch(batch);
            let now = world.state.cluster().wall;
            for change in &applied.rows {
                let RowChange::Put(key, row) = change else { continue };
                for (attempts, end) in told(row) {
                    let lost = |attempt: &AttemptRow| attempt.lost.as_ref().map(|loss| loss.at);
                    let moments = attempts.iter().flat_map(|attempt| [Some(attempt.started), lost(attempt)]);
                    let moments: Vec<WallMs> = moments.chain([end]).flatten().collect();
                    prop_assert!(moments.is_sorted(), "{:?}: {:?}", key, moments);
                    prop_assert!(moments.last().is_none_or(|last| *last <= now));
                    let earlier = &attempts[..attempts.len().saturating_sub(1)];
                    prop_assert!(earlier.iter().all(|attempt| attempt.lost.is_some()), "{:?} runs twice", key);
                }
            }
            Ok(())
        })?;
    }

    #[test]
    fn time_only_advances(steps in steps(), backwards in any::<u16>()) {
        run(&steps, &mut |world, mut batch| {
            let (time, wall) = (world.state.now(), world.state.cluster().wall);
            // A proposer whose clock is behind.
            batch.wall_ms = WallMs(batch.wall_ms.0 - i64::from(backwards % 5000));
            let delta = u64::from(batch.cluster_delta_ms);
            world.apply_batch(batch);
            prop_assert_eq!(world.state.now(), time.plus(delta));
            prop_assert!(world.state.cluster().wall >= wall);
            let deadline = world.state.next_deadline();
            prop_assert!(deadline.is_none_or(|at| at > world.state.now()), "{:?} is due", deadline);
            Ok(())
        })?;
    }
}
