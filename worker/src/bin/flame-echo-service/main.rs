//! The smallest service, for tests and demonstrations: it answers a task with its input, over our stream, by gRPC or in
//! bare frames, or in either generation of the published protocol, and misbehaves on demand.
//!
//! What a task does stands in its input ([`echo::Order`]). With `FLAME_ECHO_LOG=FILE` each call appends a line
//! `enter|invoke|leave SESSION TASK PID` *before* it is answered, so that executions can be counted from outside: a line
//! is one write and survives the death of the process.
//!
//! It is written without the SDK, so that the worker is tested against a second reading of the protocol.

mod echo;
mod frames;
mod stream;
mod unary;

use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, ValueEnum};
use flame_proto::ha::service_stream_server::ServiceStreamServer;
use flame_proto::instance::RawInstanceServer;
use flame_types::limits::MESSAGE_BYTES_MAX;
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;

use crate::echo::Echo;
use crate::stream::Streams;
use crate::unary::Calls;

#[derive(Debug, Parser)]
struct Flags {
    /// How it is called.
    #[arg(long, value_enum, default_value_t = Dialect::Stream)]
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
    /// Publish this key on entering a session (not in 0.6).
    #[arg(long)]
    publish: Option<String>,
    /// Ignore SIGTERM.
    #[arg(long)]
    stubborn: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Dialect {
    /// Over our stream, by gRPC.
    Stream,
    /// Over our stream, in bare frames.
    Frames,
    /// As flamepy 0.6.0 answers.
    #[value(name = "0.6")]
    Old,
    /// As flame-rs 0.7.0 answers.
    #[value(name = "0.7")]
    New,
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
    let dialect = flags.dialect;
    let echo = Arc::new(Echo::new(flags)?);
    if dialect == Dialect::Frames {
        let listener = UnixListener::bind(std::env::var("FLAME_FRAMES_ENDPOINT")?)?;
        return frames::serve(echo, listener).await;
    }
    let listener = UnixListenerStream::new(UnixListener::bind(std::env::var("FLAME_INSTANCE_ENDPOINT")?)?);
    // A published service has no other methods: whoever calls one gets UNIMPLEMENTED.
    let server = match dialect {
        Dialect::Stream | Dialect::Frames => {
            let streams = ServiceStreamServer::new(Streams::new(echo)).max_decoding_message_size(MESSAGE_BYTES_MAX);
            tonic::transport::Server::builder().add_service(streams)
        }
        Dialect::Old | Dialect::New => {
            let calls = RawInstanceServer::new(Calls::new(echo)).max_decoding_message_size(MESSAGE_BYTES_MAX);
            tonic::transport::Server::builder().add_service(calls)
        }
    };
    server.serve_with_incoming(listener).await?;
    Ok(ExitCode::SUCCESS)
}
