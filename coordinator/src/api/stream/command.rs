//! A numbered frame as a command. Whether it is allowed is decided by apply.

use flame_machine::command::{Command, Inputs, Submit};
use flame_proto::ha;
use flame_types::{Payload, Seq, SessionId, TaskNo, TaskOptions};
use tonic::Status;

/// What a frame counts beside its inputs.
const FRAME_BYTES: usize = 256;

/// What a task counts beside its input.
const TASK_BYTES: usize = 16;

/// A frame that its client has numbered.
pub(super) struct Numbered {
    pub(super) seq: Seq,
    pub(super) below: Seq,
    /// What it counts against the client's credit.
    pub(super) bytes: usize,
    pub(super) command: Command,
}

/// Tasks to add.
pub(super) fn submit(session: SessionId, frame: ha::SubmitTasks) -> Result<Numbered, Status> {
    let ha::SubmitTasks { seq, below, tasks, count, options, idempotency_key } = frame;
    let inputs: usize = tasks.iter().filter_map(|task| task.input.as_ref()).map(bytes::Bytes::len).sum();
    let affinity: usize = options.iter().flat_map(|options| &options.affinity).map(bytes::Bytes::len).sum();
    let bytes = FRAME_BYTES + TASK_BYTES * tasks.len() + inputs + affinity;
    let mut inputs = tasks.into_iter().map(|task| task.input.map(Payload));
    let inputs = match count {
        0 => Inputs::Each(inputs.collect()),
        count => {
            let input = inputs.next().ok_or_else(|| invalid("an array of tasks names the input of its tasks"))?;
            if inputs.next().is_some() {
                return Err(invalid("an array of tasks has one input"));
            }
            Inputs::Array { count, input }
        }
    };
    let idempotency_key = match idempotency_key.len() {
        0 => None,
        _ => Some(idempotency_key.as_ref().try_into().map_err(|_| invalid("an idempotency key has 16 bytes"))?),
    };
    let submit = Submit { session, inputs, options: task_options(options), idempotency_key };
    Ok(Numbered { seq: Seq(seq), below: Seq(below), bytes, command: Command::Submit(Box::new(submit)) })
}

/// One task to add.
pub(super) fn submit_one(session: SessionId, input: ha::TaskInput, options: Option<ha::TaskOptions>) -> Submit {
    let inputs = Inputs::Each(vec![input.input.map(Payload)]);
    Submit { session, inputs, options: task_options(options), idempotency_key: None }
}

/// A task to end.
pub(super) fn cancel(session: SessionId, frame: &ha::CancelTask) -> Numbered {
    let command = Command::Cancel { session, task: TaskNo(frame.task) };
    Numbered { seq: Seq(frame.seq), below: Seq(frame.below), bytes: FRAME_BYTES, command }
}

fn task_options(options: Option<ha::TaskOptions>) -> TaskOptions {
    let ha::TaskOptions { affinity, priority, timeout_ms } = options.unwrap_or_default();
    TaskOptions {
        affinity: affinity.into_iter().map(|key| key.to_vec()).collect(),
        priority,
        timeout_ms: (timeout_ms != 0).then_some(timeout_ms),
    }
}

fn invalid(why: &str) -> Status {
    Status::invalid_argument(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> SessionId {
        SessionId::parse("s1").unwrap()
    }

    fn inputs(numbered: &Numbered) -> &Inputs {
        match &numbered.command {
            Command::Submit(submit) => &submit.inputs,
            other => panic!("not a submit: {other:?}"),
        }
    }

    #[test]
    fn absent_and_empty_inputs_stay_different() {
        let tasks = vec![ha::TaskInput { input: None }, ha::TaskInput { input: Some(bytes::Bytes::new()) }];
        let numbered = submit(session(), ha::SubmitTasks { seq: 1, tasks, ..Default::default() }).unwrap();
        assert_eq!(*inputs(&numbered), Inputs::Each(vec![None, Some(Payload::default())]));
    }

    #[test]
    fn an_array_has_exactly_one_input() {
        let array = |tasks| submit(session(), ha::SubmitTasks { seq: 1, tasks, count: 9, ..Default::default() });
        let task = ha::TaskInput { input: Some("x".into()) };
        let one = array(vec![task.clone()]).unwrap();
        assert_eq!(*inputs(&one), Inputs::Array { count: 9, input: Some("x".into()) });
        assert!(array(vec![]).is_err() && array(vec![task.clone(), task]).is_err());
    }

    #[test]
    fn a_key_of_another_length_is_refused() {
        let frame = |key: &'static [u8]| ha::SubmitTasks { idempotency_key: key.into(), ..Default::default() };
        assert!(submit(session(), frame(b"short")).is_err());
        assert!(submit(session(), frame(b"sixteen bytes ok")).is_ok());
    }
}
