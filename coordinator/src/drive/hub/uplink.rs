//! What a worker reports, turned into commands.

use flame_machine::command::{Attributes, Command, Completion, FailureCause, HeldExecutor, Hello, Host, Outcome};
use flame_proto::ha;
use flame_proto::ha::worker_up::Frame;
use flame_types::{
    Epoch, ExecutorKey, HelloNo, Incarnation, NodeName, Payload, Resources, SessionKey, Shim, Token, kept_text, limits,
};
use tonic::Streaming;

use super::Hub;
use super::attach::Down;
use crate::drive::batcher::{DropSignal, OnDrop, Parcel};
use crate::drive::replies::{NOBODY_WAITS, unnumbered};

/// Why a worker's stream ended.
pub(super) enum Ended {
    /// The worker said so: all its services have ended, and nothing more will come from it.
    Goodbye,
    /// Anything else. The worker may live, and its tasks may run.
    Broken(String),
}

/// Reads frames until the stream ends; says why it did.
pub(super) async fn run(
    hub: &Hub,
    node: &NodeName,
    epoch: Epoch,
    mut up: Streaming<ha::WorkerUp>,
    down: &Down,
) -> Ended {
    let dropped = DropSignal::default();
    loop {
        let frame = tokio::select! {
            frame = up.message() => frame,
            // Whatever was in it, the worker still has it: its next Hello and frames bring it again.
            () = dropped.raised() => return Ended::Broken("a report did not make it into the log".into()),
        };
        let frame = match frame {
            Ok(Some(ha::WorkerUp { frame: Some(frame) })) => frame,
            Ok(Some(_)) => continue,
            Ok(None) => return Ended::Broken("the worker closed it".into()),
            Err(status) => return Ended::Broken(status.message().to_owned()),
        };
        let commands = match frame {
            Frame::Heartbeat(heartbeat) => {
                let renewed = match hub.renew(node, epoch) {
                    Ok(renewed) => renewed,
                    Err(why) => return Ended::Broken(why),
                };
                if renewed {
                    let ack = ha::worker_down::Frame::LeaseAck(ha::LeaseAck { number: heartbeat.number });
                    if down.send(Ok(ha::WorkerDown { frame: Some(ack) })).await.is_err() {
                        return Ended::Broken("the worker went away".into());
                    }
                }
                continue;
            }
            Frame::Goodbye(_) => return Ended::Goodbye,
            Frame::InstallLog(log) => {
                hub.on_install_log(node, log);
                continue;
            }
            frame => match commands(node, epoch, frame) {
                Ok(commands) => commands,
                Err(why) => return Ended::Broken(why),
            },
        };
        let level = hub.inner.consensus.level();
        let items = commands.into_iter().map(|command| unnumbered(level, NOBODY_WAITS, command));
        let parcel = Parcel { items: items.collect(), on_drop: OnDrop::Signal(dropped.clone()) };
        if hub.inner.batcher.submit(parcel).await.is_err() {
            return Ended::Broken("this node is stopping".into());
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
        // Its stream and its lease stay as they are, but like a worker without a stream it gets nothing new.
        Frame::Stopping(_) => vec![Command::Detach { node, epoch }],
        Frame::Heartbeat(_) | Frame::Goodbye(_) | Frame::InstallLog(_) => Vec::new(),
        Frame::Hello(_) => return Err("a second Hello on one stream".into()),
    })
}

fn completion(done: ha::Completion) -> Result<Completion, String> {
    let (output, message) = (done.output.map(Payload), done.message);
    let outcome = if done.succeed { Outcome::Succeed { output, message } } else { Outcome::Failed { output, message } };
    let outcome = outcome.bounded();
    Ok(Completion { token: Token(done.token), outcome, ran_us: done.ran_us, attributes: attributes(done.attributes)? })
}

fn failure_cause(cause: Option<ha::executor_failed::Cause>) -> FailureCause {
    match cause {
        Some(ha::executor_failed::Cause::Bind(bind)) => {
            FailureCause::Bind { return_code: bind.return_code, message: kept_text(bind.message) }
        }
        Some(ha::executor_failed::Cause::Crashed(message)) => FailureCause::Crashed { message: kept_text(message) },
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
        host: Host {
            name: kept_text(host.name),
            boot_id: kept_text(host.boot_id),
            arch: kept_text(host.arch),
            os: kept_text(host.os),
        },
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
