//! What a worker reports, turned into commands.

use flame_machine::command::{Attributes, Command, Completion, FailureCause, HeldExecutor, Hello, Host, Outcome};
use flame_proto::ha;
use flame_proto::ha::worker_up::Frame;
use flame_types::{
    Epoch, ExecutorKey, HelloNo, Incarnation, NodeName, Payload, Resources, SessionKey, Shim, Token, limits,
};
use tonic::Streaming;

use super::Hub;
use super::attach::Down;
use crate::drive::batcher::{DropSignal, OnDrop, Parcel};
use crate::drive::replies::{NOBODY_WAITS, unnumbered};

/// Reads frames until the stream ends; says why it did.
pub(super) async fn run(
    hub: &Hub,
    node: &NodeName,
    epoch: Epoch,
    mut up: Streaming<ha::WorkerUp>,
    down: &Down,
) -> String {
    let dropped = DropSignal::default();
    loop {
        let frame = tokio::select! {
            frame = up.message() => frame,
            // Whatever was in it, the worker still has it: its next Hello and frames bring it again.
            () = dropped.raised() => return "a report did not make it into the log".into(),
        };
        let frame = match frame {
            Ok(Some(ha::WorkerUp { frame: Some(frame) })) => frame,
            Ok(Some(_)) => continue,
            Ok(None) => return "the worker closed it".into(),
            Err(status) => return status.message().to_owned(),
        };
        let commands = match frame {
            Frame::Heartbeat(heartbeat) => {
                if hub.table().leases.renew(node, epoch) {
                    let ack = ha::worker_down::Frame::LeaseAck(ha::LeaseAck { number: heartbeat.number });
                    if down.send(Ok(ha::WorkerDown { frame: Some(ack) })).await.is_err() {
                        return "the worker went away".into();
                    }
                }
                continue;
            }
            frame => match commands(node, epoch, frame) {
                Ok(commands) => commands,
                Err(why) => return why,
            },
        };
        let items = commands.into_iter().map(|command| unnumbered(NOBODY_WAITS, command));
        let parcel = Parcel { items: items.collect(), on_drop: OnDrop::Signal(dropped.clone()) };
        if hub.inner.batcher.submit(parcel).await.is_err() {
            return "this node is stopping".into();
        }
    }
}

fn commands(node: &NodeName, epoch: Epoch, frame: Frame) -> Result<Vec<Command>, String> {
    let node = node.clone();
    Ok(match frame {
        Frame::Complete(complete) => {
            let done: Result<_, _> = complete.done.into_iter().map(completion).collect();
            vec![Command::Complete { node, done: done? }]
        }
        Frame::Ready(ready) => vec![Command::ExecutorReady {
            node,
            epoch,
            executor: ExecutorKey(ready.executor),
            session: SessionKey(ready.session),
            attributes: attributes(ready.attributes)?,
        }],
        Frame::Failed(failed) => vec![Command::ExecutorFailed {
            node,
            epoch,
            executor: ExecutorKey(failed.executor),
            started: failed.started.into_iter().map(Token).collect(),
            cause: failure_cause(failed.cause),
        }],
        Frame::Left(left) => vec![Command::ExecutorLeft { node, epoch, executor: ExecutorKey(left.executor) }],
        Frame::RevokeAnswer(answer) => {
            let returned: Vec<Token> = answer.returned.into_iter().map(Token).collect();
            let started: Vec<Token> = answer.started.into_iter().map(Token).collect();
            let mut commands = Vec::new();
            if !returned.is_empty() {
                commands.push(Command::Return { node: node.clone(), epoch, tokens: returned });
            }
            if !started.is_empty() {
                commands.push(Command::Started { node, epoch, tokens: started });
            }
            commands
        }
        Frame::Heartbeat(_) => Vec::new(),
        Frame::Hello(_) => return Err("a second Hello on one stream".into()),
    })
}

fn completion(done: ha::Completion) -> Result<Completion, String> {
    let message = done.message.map(cut);
    let output = done.output.map(Payload);
    let outcome = match output {
        Some(output) if output.len() > limits::TASK_PAYLOAD_BYTES_MAX => Outcome::Failed {
            output: None,
            message: Some(format!(
                "the output has {} bytes, at most {} are allowed; give larger data by reference",
                output.len(),
                limits::TASK_PAYLOAD_BYTES_MAX
            )),
        },
        output if done.succeed => Outcome::Succeed { output, message },
        output => Outcome::Failed { output, message },
    };
    Ok(Completion { token: Token(done.token), outcome, ran_us: done.ran_us, attributes: attributes(done.attributes)? })
}

fn failure_cause(cause: Option<ha::executor_failed::Cause>) -> FailureCause {
    match cause {
        Some(ha::executor_failed::Cause::Bind(bind)) => {
            FailureCause::Bind { return_code: bind.return_code, message: cut(bind.message) }
        }
        Some(ha::executor_failed::Cause::Crashed(message)) => FailureCause::Crashed { message: cut(message) },
        None => FailureCause::Crashed { message: "the worker did not say why".into() },
    }
}

fn attributes(attributes: Option<ha::Attributes>) -> Result<Attributes, String> {
    let Some(ha::Attributes { publish, retract }) = attributes else { return Ok(Attributes::default()) };
    for keys in [&publish, &retract] {
        let bytes: usize = keys.iter().map(|key| key.len()).sum();
        let key_fits = |key: &bytes::Bytes| (1..=limits::ATTRIBUTE_KEY_BYTES_MAX).contains(&key.len());
        if keys.len() > limits::ATTRIBUTE_KEYS_MAX || bytes > limits::ATTRIBUTE_BYTES_MAX || !keys.iter().all(key_fits)
        {
            return Err("executor attributes exceed their limits".into());
        }
    }
    let owned = |keys: Vec<bytes::Bytes>| keys.into_iter().map(|key| key.to_vec()).collect();
    Ok(Attributes { publish: owned(publish), retract: owned(retract) })
}

/// The Hello of a worker; the error says what is wrong with it.
pub(super) fn hello(hello: ha::Hello) -> Result<Hello, String> {
    if hello.executors.len() > limits::NODE_EXECUTORS_MAX {
        return Err(format!("{} executors, at most {} are allowed", hello.executors.len(), limits::NODE_EXECUTORS_MAX));
    }
    let host = hello.host.unwrap_or_default();
    Ok(Hello {
        node: NodeName::parse(&hello.node).map_err(|error| error.to_string())?,
        incarnation: Incarnation { started_ms: hello.started_ms, nonce: hello.nonce },
        hello: HelloNo(hello.hello),
        host: Host { name: cut(host.name), boot_id: cut(host.boot_id), arch: cut(host.arch), os: cut(host.os) },
        capacity: resources(hello.capacity),
        shims: hello.shims.into_iter().filter_map(Shim::from_number).collect(),
        seen: Token(hello.seen),
        executors: hello.executors.into_iter().map(held).collect(),
        tokens: hello.tokens.into_iter().map(Token).collect(),
    })
}

fn held(held: ha::HeldExecutor) -> HeldExecutor {
    HeldExecutor {
        executor: ExecutorKey(held.executor),
        session: SessionKey(held.session),
        ready: held.ready,
        resources: resources(held.resources),
        attributes: held.attributes.into_iter().map(|key| key.to_vec()).collect(),
    }
}

fn resources(resources: Option<ha::Resources>) -> Resources {
    let resources = resources.unwrap_or_default();
    Resources { cpu: resources.cpu, memory: resources.memory, gpu: resources.gpu }
}

/// A text of bounded length.
fn cut(mut text: String) -> String {
    if text.len() > limits::MESSAGE_TEXT_BYTES_MAX {
        let mut end = limits::MESSAGE_TEXT_BYTES_MAX;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
    text
}
