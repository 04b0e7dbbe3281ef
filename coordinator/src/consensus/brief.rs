//! Which entries are certain to be applied within a fraction of a millisecond, so that the thread of Raft may do it
//! itself: handing a lone task to another thread and back costs more than applying it.

use flame_machine::{Batch, Command, State};

/// Most tasks that one such entry adds.
const TASKS_MAX: u64 = 64;

/// Whether a batch does little to the state: nothing in it can touch more than the few tasks and executors it names, and
/// no deadline passes with it.
pub(super) fn is_brief(state: &State, batch: &Batch) -> bool {
    let later = u64::from(batch.cluster_delta_ms);
    let nothing_due = state.next_deadline().is_none_or(|deadline| deadline.0 > state.now().0.saturating_add(later));
    let tasks = batch.items.iter().map(|item| tasks_added(item.command.what())).fold(0, u64::saturating_add);
    nothing_due && tasks <= TASKS_MAX && batch.items.iter().all(|item| is_small(item.command.what()))
}

fn tasks_added(command: &Command) -> u64 {
    match command {
        Command::Submit(submit) | Command::Lone { submit, .. } => submit.inputs.count(),
        _ => 0,
    }
}

fn is_small(command: &Command) -> bool {
    matches!(
        command,
        Command::Create { .. }
            | Command::Open { .. }
            | Command::Submit(_)
            | Command::Lone { .. }
            | Command::Cancel { .. }
            | Command::Complete { .. }
            | Command::Return { .. }
            | Command::Started { .. }
            | Command::ExecutorReady { .. }
            | Command::RegisterClient { .. }
            | Command::EndClient { .. }
            | Command::Void
    )
}

#[cfg(test)]
mod tests {
    use flame_machine::Item;
    use flame_machine::command::{Inputs, Submit};
    use flame_types::{ClientId, CoordinatorId, NodeName, RequestId, RequestNo, Seq, SessionId, TaskOptions};

    use super::*;

    fn batch(commands: impl IntoIterator<Item = Command>) -> Batch {
        let item = |command| Item { client: ClientId::NONE, seq: Seq(0), below: Seq(0), command };
        Batch { items: commands.into_iter().map(item).collect(), ..Batch::default() }
    }

    fn submit(inputs: Inputs) -> Command {
        let session = SessionId::parse("s").expect("a session id");
        Command::Submit(Box::new(Submit { session, inputs, options: TaskOptions::default(), idempotency_key: None }))
    }

    #[test]
    fn a_task_and_its_result_are_brief() {
        let state = State::new();
        assert!(is_brief(&state, &batch([submit(Inputs::Each(vec![None]))])));
        let done = Command::Complete { node: NodeName::parse("w").expect("a node name"), done: Vec::new() };
        assert!(is_brief(&state, &batch([done, Command::Void])));
        let once =
            |command| Command::Once { request: RequestId([1; 16]), seen: RequestNo(1), command: Box::new(command) };
        assert!(is_brief(&state, &batch([once(submit(Inputs::Each(vec![None])))])));
        assert!(!is_brief(&state, &batch([once(submit(Inputs::Array { count: TASKS_MAX + 1, input: None }))])));
        assert!(!is_brief(&state, &batch([once(Command::Drain { node: NodeName::parse("w").expect("a node name") })])));
    }

    #[test]
    fn many_tasks_and_whatever_may_reach_far_are_not() {
        let state = State::new();
        let array = |count| submit(Inputs::Array { count, input: None });
        assert!(is_brief(&state, &batch([array(TASKS_MAX)])));
        assert!(!is_brief(&state, &batch([array(TASKS_MAX), array(1)])));
        assert!(!is_brief(&state, &batch([array(u64::MAX), array(1)])));
        assert!(!is_brief(&state, &batch([Command::Void, Command::LeaderStart { leader: CoordinatorId(1) }])));
        assert!(!is_brief(&state, &batch([Command::Tick])));
    }
}
