//! Tasks: one call each. Following them is in `watch.rs` and `watch_many.rs`.

use bytes::Bytes;
use flame_machine::command::{Command, Inputs, Submit};
use flame_machine::refusal::Refusal;
use flame_machine::reply::Reply;
use flame_machine::view::{self, TaskPlace};
use flame_proto::convert::parse_task_id;
use flame_proto::{Invalid, v1};
use flame_types::limits::TASK_PAYLOAD_BYTES_MAX;
use flame_types::limits::{ATTRIBUTE_BYTES_MAX, ATTRIBUTE_KEY_BYTES_MAX, ATTRIBUTE_KEYS_MAX, REPLY_BYTES_MAX};
use flame_types::{Payload, SessionKey, TaskNo, TaskOptions, TaskState, WallMs};
use prost::Message;
use tonic::Status;
use tonic::metadata::MetadataMap;

use super::events;
use super::sessions::known_id;
use crate::api::call::Call;
use crate::api::dialect::Dialect;
use crate::api::errors::{invalid, refused};
use crate::api::outbox::{Messages, Outbox, outbox};
use crate::api::read::{self, TaskSnapshot};
use crate::drive::gateway::Gateway;

/// Metadata of CreateTask: 16 bytes that make it repeatable. The same key in the same session gives the same task.
pub const IDEMPOTENCY_METADATA: &str = "flame-idempotency-key-bin";

/// A caller's idempotency key, if there is one.
///
/// # Errors
/// INVALID_ARGUMENT when it has not 16 bytes.
pub fn idempotency_key(metadata: &MetadataMap) -> Result<Option<[u8; 16]>, Status> {
    let Some(value) = metadata.get_bin(IDEMPOTENCY_METADATA) else { return Ok(None) };
    let bytes = value.to_bytes().ok().and_then(|bytes| <[u8; 16]>::try_from(bytes.as_ref()).ok());
    bytes.map(Some).ok_or_else(|| Status::invalid_argument(format!("{IDEMPOTENCY_METADATA} must have 16 bytes")))
}

pub async fn create(
    gateway: &Gateway,
    call: Call,
    message: v1::CreateTaskRequest,
    idempotency_key: Option<[u8; 16]>,
) -> Result<v1::Task, Status> {
    let spec = message.task.ok_or_else(|| invalid(&Invalid::SessionSpecMissing))?;
    check_spec(&spec)?;
    let session = known_id(&spec.session_id)?;
    let v1::TaskSpec { session_id, input, affinity, .. } = spec;
    let affinity: Vec<Vec<u8>> = affinity.iter().map(|key| key.to_vec()).collect();
    let submit = Submit {
        session,
        inputs: Inputs::Each(vec![input.clone().map(Payload)]),
        options: TaskOptions { affinity: affinity.clone(), ..TaskOptions::default() },
        idempotency_key,
    };
    let reply = call.change(gateway, Command::Submit(Box::new(submit))).await?;
    let Reply::Submitted { session, first, .. } = reply else {
        return Err(Status::internal("a submit was answered with something else"));
    };
    let created = read::created(gateway, session, first)?;
    let created = created.ok_or_else(|| call.made_but(refused(&Refusal::SessionNotFound(session_id.clone()))))?;
    // As published, the reply shows the task as it was made, whatever has become of it since.
    let task = TaskSnapshot {
        number: first,
        state: TaskState::Pending,
        created,
        finished: None,
        input: input.map(Payload),
        affinity,
        output: None,
        message: None,
        attempts: Vec::new(),
    };
    Ok(shown(&session_id, task, call.dialect))
}

pub async fn get(gateway: &Gateway, call: Call, message: v1::GetTaskRequest) -> Result<v1::Task, Status> {
    let number = parse_task_id(&message.task_id).map_err(|error| invalid(&error))?;
    let session = message.session_id;
    let key = found_session(gateway, call, &session).await?;
    match read::task(gateway, key, number).await? {
        Some(task) => Ok(shown_in_full(&session, task, call.dialect)),
        None => Err(missing(gateway, key, &session, number).await),
    }
}

/// Streams the tasks of a session in the order of their numbers, page by page.
pub async fn list(gateway: &Gateway, call: Call, session: &str) -> Result<Messages<v1::Task>, Status> {
    let key = found_session(gateway, call, session).await?;
    let (outbox, stream) = outbox(gateway.message_room());
    tokio::spawn(send_all(gateway.clone(), key, session.to_owned(), call.dialect, outbox));
    Ok(stream)
}

async fn send_all(gateway: Gateway, key: SessionKey, session: String, dialect: Dialect, outbox: Outbox<v1::Task>) {
    let mut after = TaskNo::SESSION;
    loop {
        let page = match read::tasks_above(&gateway, key, after).await {
            Ok(Some(page)) => page,
            Ok(None) => return outbox.fail(deleted(&session)).await,
            Err(status) => return outbox.fail(status).await,
        };
        let Some(last) = page.last() else { return };
        after = last.number;
        for task in page {
            if outbox.send(shown(&session, task, dialect)).await.is_err() {
                return;
            }
        }
    }
}

/// The key of a session as of now, for all the cluster.
pub async fn found_session(gateway: &Gateway, call: Call, session: &str) -> Result<SessionKey, Status> {
    let id = known_id(session)?;
    gateway.barrier(call.deadline).await?;
    let key = read::find_session(gateway, id.as_str()).await?;
    key.ok_or_else(|| refused(&Refusal::SessionNotFound(session.to_owned())))
}

/// Why there is no such task: there never was one, or retention has removed it.
pub async fn missing(gateway: &Gateway, key: SessionKey, session: &str, task: TaskNo) -> Status {
    match has_left(gateway, key, task).await {
        Ok(true) => removed(session, task),
        Ok(false) => refused(&Refusal::TaskNotFound { session: session.to_owned(), task: task.0 }),
        Err(status) => status,
    }
}

/// Whether a task of which nothing is left was there once, in a session that is there still.
pub async fn has_left(gateway: &Gateway, key: SessionKey, task: TaskNo) -> Result<bool, Status> {
    Ok(gateway.with_state(move |state| view::task_place(state, key, task) != TaskPlace::Unknown).await?)
}

/// The task has ended, and nothing is left of it.
pub fn removed(session: &str, task: TaskNo) -> Status {
    let why = "it has ended, and retention has removed it since";
    Status::not_found(format!("task {task} of session {session} is not found: {why}"))
}

/// The session went away while a stream was showing it.
pub fn deleted(session: &str) -> Status {
    Status::not_found(format!("session {session} was deleted"))
}

/// The same with all its starts that are remembered, for a client that asks for this one task.
fn shown_in_full(session: &str, task: TaskSnapshot, dialect: Dialect) -> v1::Task {
    let attempts = events::attempts(&task);
    let mut shown = shown(session, task, dialect);
    if let Some(status) = &mut shown.status {
        status.attempts = attempts;
    }
    fit(&mut shown);
    shown
}

/// Leaves out what makes a reply so large that published clients would refuse it: the input, and if that is not enough the
/// starts, of which the events tell as well.
fn fit(shown: &mut v1::Task) {
    if shown.encoded_len() > REPLY_BYTES_MAX
        && let Some(spec) = &mut shown.spec
    {
        spec.input = None;
    }
    if shown.encoded_len() > REPLY_BYTES_MAX
        && let Some(status) = &mut shown.status
    {
        status.attempts.clear();
    }
}

/// A task as a client sees it. One whose reply published clients would refuse for its size leaves its input out.
pub fn shown(session: &str, task: TaskSnapshot, dialect: Dialect) -> v1::Task {
    let events = events::story(&task);
    let mut shown = v1::Task {
        metadata: Some(metadata(task.number.to_string())),
        spec: Some(v1::TaskSpec {
            session_id: session.to_owned(),
            input: task.input.map(|input| input.0),
            output: task.output.map(|output| output.0),
            affinity: task.affinity.into_iter().map(Bytes::from).collect(),
        }),
        status: Some(v1::TaskStatus {
            state: v1::TaskState::from(task.state) as i32,
            creation_time: task.created.0,
            completion_time: task.finished.map(|at| at.0),
            events,
            attempts: Vec::new(),
        }),
    };
    fit(&mut shown);
    dialect.task(shown)
}

/// A task that does not exist, in the only shape in which a stream that serves others too can say so.
pub fn shown_unknown(session: &str, id: String, why: String, now: WallMs) -> v1::Task {
    v1::Task {
        metadata: Some(metadata(id)),
        spec: Some(v1::TaskSpec { session_id: session.to_owned(), ..Default::default() }),
        status: Some(v1::TaskStatus {
            state: v1::TaskState::Failed as i32,
            creation_time: now.0,
            completion_time: Some(now.0),
            events: events::unknown(why, now),
            attempts: Vec::new(),
        }),
    }
}

fn metadata(id: String) -> v1::Metadata {
    v1::Metadata { name: id.clone(), id }
}

fn check_spec(spec: &v1::TaskSpec) -> Result<(), Status> {
    let wrong = |why: String| Err(Status::invalid_argument(why));
    let bytes = spec.input.as_ref().map_or(0, Bytes::len);
    if bytes > TASK_PAYLOAD_BYTES_MAX {
        return wrong(format!(
            "the input has {bytes} bytes, at most {TASK_PAYLOAD_BYTES_MAX} are allowed; put larger data into the object \
             cache and pass a reference"
        ));
    }
    if spec.output.is_some() {
        return wrong("a task is submitted without an output".into());
    }
    let keys = &spec.affinity;
    if keys.len() > ATTRIBUTE_KEYS_MAX {
        return wrong(format!("a task has at most {ATTRIBUTE_KEYS_MAX} affinity keys, got {}", keys.len()));
    }
    if let Some(key) = keys.iter().find(|key| key.is_empty() || key.len() > ATTRIBUTE_KEY_BYTES_MAX) {
        return wrong(format!("an affinity key has 1 to {ATTRIBUTE_KEY_BYTES_MAX} bytes, got {}", key.len()));
    }
    let bytes: usize = keys.iter().map(Bytes::len).sum();
    if bytes > ATTRIBUTE_BYTES_MAX {
        return wrong(format!("affinity keys have at most {ATTRIBUTE_BYTES_MAX} bytes together, got {bytes}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use flame_machine::row::{AttemptLoss, AttemptRow};
    use flame_types::{NodeName, RetryCause};
    use tonic::Code;
    use tonic::metadata::MetadataValue;

    use super::*;

    fn snapshot(input: usize, output: usize) -> TaskSnapshot {
        TaskSnapshot {
            number: TaskNo(3),
            state: TaskState::Succeed,
            created: WallMs(1),
            finished: Some(WallMs(2)),
            input: Some(vec![0; input].into()),
            affinity: vec![b"key".to_vec()],
            output: Some(vec![1; output].into()),
            message: None,
            attempts: Vec::new(),
        }
    }

    #[test]
    fn a_task_is_shown_under_its_number() {
        let task = shown("s1", snapshot(1, 0), Dialect::V07);
        assert_eq!(task.metadata, Some(v1::Metadata { id: "3".into(), name: "3".into() }));
        let spec = task.spec.unwrap();
        assert_eq!((spec.session_id.as_str(), spec.affinity), ("s1", vec![Bytes::from_static(b"key")]));
        assert_eq!(spec.output, Some(Bytes::new()), "an empty output is present");
        let status = task.status.unwrap();
        assert_eq!((status.state, status.creation_time, status.completion_time), (2, 1, Some(2)));
    }

    #[test]
    fn a_reply_that_published_clients_would_refuse_leaves_the_input_out() {
        let most = TASK_PAYLOAD_BYTES_MAX;
        let task = shown("s1", snapshot(most, most), Dialect::V07);
        assert!(task.encoded_len() <= REPLY_BYTES_MAX);
        let spec = task.spec.unwrap();
        assert_eq!((spec.input, spec.output.unwrap().len()), (None, most));
        assert_eq!(shown("s1", snapshot(1000, 1000), Dialect::V07).spec.unwrap().input.unwrap().len(), 1000);
    }

    #[test]
    fn starts_are_shown_to_who_asks_for_the_task_as_far_as_they_fit() {
        let start = |why: &str| AttemptRow {
            attempt: 1,
            started: WallMs(1),
            node: NodeName::parse("w1").unwrap(),
            lost: Some(AttemptLoss { at: WallMs(2), why: why.into(), cause: RetryCause::Lost }),
        };
        let with = |starts: Vec<AttemptRow>, output| TaskSnapshot { attempts: starts, ..snapshot(0, output) };
        let attempts = |task: v1::Task| task.status.unwrap().attempts;
        let few = || with(vec![start("gone")], 0);
        assert_eq!(attempts(shown("s1", few(), Dialect::V07)), []);
        let told = attempts(shown_in_full("s1", few(), Dialect::V07));
        assert_eq!((told[0].ended, told[0].cause.as_deref()), (Some(2), Some("lost")));
        let wordy = with(vec![start(&"x".repeat(4096)); 9], TASK_PAYLOAD_BYTES_MAX);
        let task = shown_in_full("s1", wordy, Dialect::V07);
        assert!(task.encoded_len() <= REPLY_BYTES_MAX);
        assert_eq!((attempts(task.clone()), task.status.unwrap().events.len()), (Vec::new(), 20));
    }

    fn refused_spec(spec: &v1::TaskSpec) -> String {
        let status = check_spec(spec).unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        status.message().to_owned()
    }

    #[test]
    fn limits_of_a_task_are_named_when_they_are_reached() {
        let spec = |input: usize| v1::TaskSpec { input: Some(vec![0; input].into()), ..Default::default() };
        assert!(check_spec(&spec(TASK_PAYLOAD_BYTES_MAX)).is_ok());
        let text = refused_spec(&spec(TASK_PAYLOAD_BYTES_MAX + 1));
        assert!(text.contains(&TASK_PAYLOAD_BYTES_MAX.to_string()) && text.contains("reference"));
        let keys = |affinity: Vec<Bytes>| v1::TaskSpec { affinity, ..Default::default() };
        assert!(check_spec(&keys(vec![Bytes::from_static(b"k"); ATTRIBUTE_KEYS_MAX])).is_ok());
        assert!(refused_spec(&keys(vec![Bytes::from_static(b"k"); ATTRIBUTE_KEYS_MAX + 1])).contains("1024"));
        assert!(refused_spec(&keys(vec![Bytes::new()])).contains("1 to 256"));
        assert!(refused_spec(&keys(vec![vec![0; ATTRIBUTE_KEY_BYTES_MAX + 1].into()])).contains("1 to 256"));
        assert!(refused_spec(&keys(vec![vec![0; 256].into(); 257])).contains("together"));
    }

    #[test]
    fn an_output_is_not_silently_dropped() {
        let spec = v1::TaskSpec { output: Some(Bytes::new()), ..Default::default() };
        assert!(refused_spec(&spec).contains("without an output"));
    }

    #[test]
    fn an_unknown_task_is_shown_as_failed_with_the_reason() {
        let task = shown_unknown("s1", "9".into(), "task 9 not found in session s1".into(), WallMs(5));
        let status = task.status.unwrap();
        assert_eq!((status.state, status.events[0].code), (3, 3));
        assert_eq!(status.events[0].message.as_deref(), Some("task 9 not found in session s1"));
    }

    #[test]
    fn an_idempotency_key_has_sixteen_bytes() {
        let with = |bytes: &[u8]| {
            let mut metadata = MetadataMap::new();
            metadata.insert_bin(IDEMPOTENCY_METADATA, MetadataValue::from_bytes(bytes));
            idempotency_key(&metadata)
        };
        assert_eq!(idempotency_key(&MetadataMap::new()).unwrap(), None);
        assert_eq!(with(&[7; 16]).unwrap(), Some([7; 16]));
        assert_eq!(with(&[7; 15]).unwrap_err().code(), Code::InvalidArgument);
    }
}
