//! Why a task does not run: what the machine says of one that has not ended, and what the rows say of one that has.

use flame_machine::State;
use flame_machine::schedule::{self, Explanation, Standing};
use flame_machine::view::executor_uuid;
use flame_proto::convert::parse_task_id;
use flame_proto::ha;
use flame_types::{ExecutorKey, NodeName, TaskState, WallMs};
use tonic::Status;

use crate::api::call::Call;
use crate::api::errors::invalid;
use crate::api::frontend::{found_session, missing_task};
use crate::api::read::{self, TaskSnapshot};
use crate::drive::gateway::Gateway;

pub async fn explain(
    gateway: &Gateway,
    call: Call,
    message: ha::ExplainTaskRequest,
) -> Result<ha::ExplainTaskReply, Status> {
    let number = parse_task_id(&message.task_id).map_err(|error| invalid(&error))?;
    let session = message.session_id;
    let key = found_session(gateway, call, &session).await?;
    // One look: what is said and where the task stands belong together.
    let look = move |state: &State| (schedule::explain_task(state, key, number), read::standing(state, key, number));
    let (explanation, standing) = gateway.with_state(look).await?;
    let task = read::task_that_stands(gateway, key, number, standing).await?;
    match explanation.zip(task) {
        Some((explanation, task)) => Ok(reply(explanation, &task)),
        None => Err(missing_task(gateway, key, &session, number).await),
    }
}

fn reply(explanation: Explanation, task: &TaskSnapshot) -> ha::ExplainTaskReply {
    let Explanation { session, app, standing, reasons, nodes } = explanation;
    let (executor, node) = holder(&standing);
    let last = task.attempts.last();
    let node = node.or(last.map(|attempt| &attempt.node));
    ha::ExplainTaskReply {
        session_id: session.to_string(),
        task_id: task.number.to_string(),
        application: app.to_string(),
        state: task.state.number(),
        summary: summary(&standing, task),
        node: node.map(ToString::to_string).unwrap_or_default(),
        executor: executor.map(executor_uuid).unwrap_or_default(),
        attempt: last.map_or(0, |attempt| attempt.attempt),
        since: since(&standing, task).0,
        reasons: reasons.iter().map(|reason| shown(reason.kind(), reason)).collect(),
        nodes: nodes.iter().map(shown_node).collect(),
    }
}

fn holder(standing: &Standing) -> (Option<ExecutorKey>, Option<&NodeName>) {
    match standing {
        Standing::Queued { executor, node, .. } | Standing::Running { executor, node, .. } => {
            (Some(*executor), Some(node))
        }
        Standing::Waiting | Standing::Ended => (None, None),
    }
}

fn since(standing: &Standing, task: &TaskSnapshot) -> WallMs {
    match standing {
        Standing::Running { since, .. } => *since,
        _ => task.finished.unwrap_or(task.created),
    }
}

fn summary(standing: &Standing, task: &TaskSnapshot) -> String {
    if *standing != Standing::Ended {
        return standing.to_string();
    }
    let place = task.attempts.last();
    let place = place.map(|last| format!(" on node {}, start {}", last.node, last.attempt)).unwrap_or_default();
    let ended = match task.state {
        TaskState::Succeed => "it succeeded",
        TaskState::Cancelled => "it was cancelled",
        _ => "it failed",
    };
    let said = task.message.as_deref().filter(|said| !said.is_empty() && task.state != TaskState::Succeed);
    let said = said.map(|said| format!(": {said}")).unwrap_or_default();
    format!("{ended}{place}{said}")
}

fn shown(kind: &str, text: &impl ToString) -> ha::Reason {
    ha::Reason { kind: kind.to_owned(), message: text.to_string() }
}

fn shown_node(node: &schedule::NodeReasons) -> ha::NodeReasons {
    let executors = node.executors.iter().map(|here| ha::ExecutorReason {
        id: here.id(),
        kind: here.doing.kind().to_owned(),
        message: here.doing.to_string(),
    });
    ha::NodeReasons {
        node: node.node.to_string(),
        reasons: node.reasons.iter().map(|reason| shown(reason.kind(), reason)).collect(),
        executors: executors.collect(),
    }
}

#[cfg(test)]
mod tests {
    use flame_machine::row::AttemptRow;
    use flame_types::{AppName, SessionId, TaskNo};

    use super::*;

    fn said(standing: Standing, state: TaskState, message: Option<&str>, attempts: Vec<AttemptRow>) -> String {
        let finished = state.is_terminal().then_some(WallMs(9));
        let task = TaskSnapshot {
            number: TaskNo(3),
            state,
            created: WallMs(1),
            finished,
            input: None,
            affinity: Vec::new(),
            output: None,
            message: message.map(str::to_owned),
            attempts,
        };
        let explanation = Explanation {
            session: SessionId::parse("s").unwrap(),
            app: AppName::parse("a").unwrap(),
            standing,
            reasons: Vec::new(),
            nodes: Vec::new(),
        };
        let reply = reply(explanation, &task);
        format!("{} {} {} {}: {}", reply.state, reply.node, reply.attempt, reply.since, reply.summary)
    }

    #[test]
    fn what_has_ended_says_how_where_and_when() {
        let node = || NodeName::parse("w1").unwrap();
        let attempts = || vec![AttemptRow { attempt: 2, started: WallMs(5), node: node(), lost: None }];
        assert_eq!(said(Standing::Ended, TaskState::Cancelled, None, Vec::new()), "4  0 9: it was cancelled");
        assert_eq!(
            said(Standing::Ended, TaskState::Failed, Some("no"), attempts()),
            "3 w1 2 9: it failed on node w1, start 2: no"
        );
        assert_eq!(
            said(Standing::Ended, TaskState::Succeed, Some("yes"), attempts()),
            "2 w1 2 9: it succeeded on node w1, start 2"
        );
        let executor = ExecutorKey(1);
        let runs = Standing::Running { executor, node: node(), attempt: 2, since: WallMs(5), attached: false };
        assert_eq!(
            said(runs, TaskState::Running, None, attempts()),
            "1 w1 2 5: it runs on node w1, start 2; that worker is not attached at the moment"
        );
        assert_eq!(said(Standing::Waiting, TaskState::Pending, None, Vec::new()), "0  0 1: it waits in its session");
    }
}
