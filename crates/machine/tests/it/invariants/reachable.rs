//! No task goes to a detached, drained or expired node, nor from a session that is suspended or closed; and to an executor
//! that has not entered its session only right behind the order to do so.

use flame_machine::{Order, invariants};
use flame_types::{ExecutorState, SessionState};
use proptest::prelude::*;

use crate::generate::{config, run, steps};

proptest! {
    #![proptest_config(config())]

    #[test]
    fn tasks_go_only_where_they_can_run(steps in steps()) {
        run(&steps, &mut |world, batch| {
            // What a single command assigns can be judged by the state after it.
            let alone = batch.items.len() == 1 && batch.cluster_delta_ms == 0;
            let before = world.state.cluster().next_token;
            let applied = world.apply_batch(batch);
            invariants::reachable(&world.state).map_err(TestCaseError::fail)?;
            let mut told = None;
            for effect in applied.effects.into_iter().filter(|_| alone) {
                let before_it = told.take();
                if let Order::Start { executor, session, .. } = effect.order {
                    told = Some((executor, session));
                }
                let Order::Assign { executor, session, token, .. } = effect.order else { continue };
                let found = &world.state.executors()[&executor];
                prop_assert_eq!(&found.row.node, &effect.node);
                prop_assert_eq!(found.row.session, session);
                let node = &world.state.nodes()[&effect.node];
                prop_assert_eq!(node.row.epoch, effect.epoch);
                // Others are told again, after a Hello.
                if token >= before {
                    if before_it == Some((executor, session)) {
                        prop_assert_eq!(found.row.state, ExecutorState::Binding);
                        prop_assert_eq!(world.state.assignments()[&token].started, None);
                    } else {
                        prop_assert_eq!(found.row.state, ExecutorState::Bound);
                    }
                    prop_assert!(node.row.attached && !node.row.draining && node.row.expired.is_none());
                    prop_assert_eq!(world.state.sessions()[&session].row.state, SessionState::Open);
                }
            }
            Ok(())
        })?;
    }
}
