//! The smallest service, for tests and demonstrations: it answers a task with its input, in either generation of the
//! published protocol, and misbehaves on demand.
//!
//! What a task does stands in its input: `sleep MS`, `fail TEXT`, `crash`, `hang`, `wait FILE` (until the file is
//! there); anything else is echoed at once. With `FLAME_ECHO_LOG=FILE` each call appends a line
//! `enter|invoke|leave SESSION TASK PID` *before* it is answered, so that executions can be counted from outside: a line
//! is one write and survives the death of the process.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use clap::{Parser, ValueEnum};
use flame_proto::instance::{RawInstance, RawInstanceServer};
use flame_proto::v1;
use flame_types::limits::MESSAGE_BYTES_MAX;
use prost::Message;
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, Status};

/// The published return code of a failure.
const FAILED: i32 = -1;

/// Pause between two looks for a file that a task waits for.
const LOOK_EVERY: Duration = Duration::from_millis(2);

#[derive(Debug, Parser)]
struct Flags {
    /// Generation of the replies.
    #[arg(long, value_enum, default_value_t = Dialect::New)]
    dialect: Dialect,
    /// Fail every OnSessionEnter with this text.
    #[arg(long)]
    fail_enter: Option<String>,
    /// Take so long for OnSessionEnter, in milliseconds.
    #[arg(long, default_value_t = 0)]
    enter_ms: u64,
    /// Write this text to standard error and end with status 3 instead of listening.
    #[arg(long)]
    die: Option<String>,
    /// Live on without listening.
    #[arg(long)]
    never_listen: bool,
    /// Publish this key on entering a session (0.7 only).
    #[arg(long)]
    publish: Option<String>,
    /// Ignore SIGTERM.
    #[arg(long)]
    stubborn: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Dialect {
    /// As flamepy 0.6.0 answers.
    #[value(name = "0.6")]
    Old,
    /// As flame-rs 0.7.0 answers.
    #[value(name = "0.7")]
    New,
}

struct Echo {
    flags: Flags,
    log: Option<File>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<ExitCode> {
    let flags = Flags::parse();
    if let Some(text) = &flags.die {
        eprintln!("{text}");
        return Ok(ExitCode::from(3));
    }
    let _stubborn = flags.stubborn.then(|| tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()));
    if flags.never_listen {
        std::future::pending::<()>().await;
    }
    let log = match std::env::var_os("FLAME_ECHO_LOG") {
        Some(file) => Some(OpenOptions::new().create(true).append(true).open(file)?),
        None => None,
    };
    let socket = std::env::var("FLAME_INSTANCE_ENDPOINT")?;
    let listener = UnixListenerStream::new(UnixListener::bind(socket)?);
    let service = RawInstanceServer::new(Echo { flags, log }).max_decoding_message_size(MESSAGE_BYTES_MAX);
    tonic::transport::Server::builder().add_service(service).serve_with_incoming(listener).await?;
    Ok(ExitCode::SUCCESS)
}

impl Echo {
    fn log(&self, call: &str, session: &str, task: &str) -> Result<(), Status> {
        let Some(mut log) = self.log.as_ref() else { return Ok(()) };
        let line = format!("{call} {session} {task} {}\n", std::process::id());
        log.write_all(line.as_bytes()).map_err(|error| Status::internal(format!("cannot write the log: {error}")))
    }

    fn result(&self, code: i32, message: Option<String>) -> Bytes {
        let result = v1::Result { return_code: code, message };
        match self.flags.dialect {
            Dialect::Old => result.encode_to_vec().into(),
            Dialect::New => {
                let publish = self.flags.publish.iter().map(|key| Bytes::from(key.clone())).collect();
                let attributes = Some(v1::ExecutorAttributes { publish, retract: Vec::new() });
                v1::OnSessionEnterResponse { result: Some(result), attributes }.encode_to_vec().into()
            }
        }
    }

    fn task_result(&self, result: v1::TaskResult) -> Bytes {
        match self.flags.dialect {
            Dialect::Old => result.encode_to_vec().into(),
            Dialect::New => {
                let attributes = Some(v1::ExecutorAttributes::default());
                v1::OnTaskInvokeResponse { task_result: Some(result), attributes }.encode_to_vec().into()
            }
        }
    }
}

#[tonic::async_trait]
impl RawInstance for Echo {
    async fn on_session_enter(&self, request: Request<v1::SessionContext>) -> Result<Response<Bytes>, Status> {
        let context = request.into_inner();
        self.log("enter", &context.session_id, "-")?;
        tokio::time::sleep(Duration::from_millis(self.flags.enter_ms)).await;
        let reply = match &self.flags.fail_enter {
            Some(text) => self.result(FAILED, Some(text.clone())),
            None => self.result(0, None),
        };
        Ok(Response::new(reply))
    }

    async fn on_task_invoke(&self, request: Request<v1::TaskContext>) -> Result<Response<Bytes>, Status> {
        let task = request.into_inner();
        self.log("invoke", &task.session_id, &task.task_id)?;
        let text = task.input.as_deref().map(String::from_utf8_lossy).unwrap_or_default().into_owned();
        let (order, rest) = text.split_once(' ').unwrap_or((&text, ""));
        match order {
            "sleep" => tokio::time::sleep(Duration::from_millis(rest.trim().parse().unwrap_or(0))).await,
            "fail" => {
                let result = v1::TaskResult { return_code: FAILED, output: None, message: Some(rest.to_owned()) };
                return Ok(Response::new(self.task_result(result)));
            }
            "crash" => {
                eprintln!("crashing as I was told");
                std::process::abort();
            }
            "hang" => std::future::pending().await,
            "wait" => {
                while !Path::new(rest).exists() {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            }
            _ => {}
        }
        Ok(Response::new(self.task_result(v1::TaskResult { return_code: 0, output: task.input, message: None })))
    }

    async fn on_session_leave(&self, _: Request<v1::EmptyRequest>) -> Result<Response<Bytes>, Status> {
        self.log("leave", "-", "-")?;
        Ok(Response::new(v1::Result::default().encode_to_vec().into()))
    }
}
