//! `flmctl proxy`: the published API on this machine, for clients that know one endpoint and never try again.

use std::io;

use clap::Args;
use flame_proxy::Proxy;
use flame_sdk::{Endpoints, Options};
use tokio::net::lookup_host;
use tokio::signal::unix::{SignalKind, signal};

use super::{Context, GlobalArgs, OutputArgs};
use crate::exit::Failure;
use crate::output::{note, print};
use crate::render::{Format, ProxyView, render};

/// Flags of `flmctl proxy`.
#[derive(Clone, Debug, Args)]
pub struct ProxyArgs {
    /// Where it listens; port 0 is any free one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:0")]
    pub listen: String,
    /// Allow other machines to connect: they act with your rights, in plaintext
    #[arg(long)]
    pub insecure: bool,
    /// How to print
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Serves until the user ends it, which is its proper end.
pub(super) async fn run(args: &ProxyArgs, global: &GlobalArgs) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::failed(format!("cannot wait for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let context = Context::open_with(global, |options| Options { discovers: true, ..options })?;
    let proxy = listen(args).await?;
    let endpoint = format!("http://{}", proxy.address());
    refuse_itself(&endpoint, context.connection.endpoints())?;
    let cluster = context.connection.endpoints().urls().join(", ");
    print(&one_line(&ProxyView { endpoint }, args.output.format)?)?;
    note(&format!("flmctl: it serves the cluster at {cluster}; Ctrl-C ends it.\n"));
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let Context { connection, .. } = context;
    proxy.serve(connection, stop).await.map_err(|error| Failure::failed(format!("cannot serve: {error}")))
}

/// Whoever reads it cannot wait for the end of the output: there is none.
fn one_line(view: &ProxyView, format: Format) -> Result<String, Failure> {
    match format {
        Format::Json => {
            let json = serde_json::to_string(view).map_err(|error| Failure::failed(error.to_string()))?;
            Ok(json + "\n")
        }
        Format::Table | Format::Yaml => render(view, format, false),
    }
}

async fn listen(args: &ProxyArgs) -> Result<Proxy, Failure> {
    let listen = &args.listen;
    let wrong = |error: &io::Error| {
        let failure = Failure::usage(format!("--listen {listen}: {error}"));
        failure.hint("write it like 127.0.0.1:8080; port 0 is any free one")
    };
    let mut found = lookup_host(listen).await.map_err(|error| wrong(&error))?;
    let address = found.next().ok_or_else(|| wrong(&io::Error::other("it has no address")))?;
    if !address.ip().is_loopback() && !args.insecure {
        let failure = Failure::usage(format!(
            "--listen {listen} lies beyond this machine: whoever can connect acts with your rights"
        ));
        return Err(failure.hint("use 127.0.0.1, or say --insecure on a network that you trust"));
    }
    Proxy::bind(address).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable | io::ErrorKind::PermissionDenied => {
            Failure::failed(format!("cannot listen on {address}: {error}")).hint("choose another address with --listen")
        }
        _ => Failure::failed(format!("cannot listen on {address}: {error}")),
    })
}

/// A proxy of itself would call itself without end.
fn refuse_itself(endpoint: &str, cluster: &Endpoints) -> Result<(), Failure> {
    if cluster.urls().iter().all(|url| url != endpoint) {
        return Ok(());
    }
    Err(Failure::usage(format!("the proxy listens at {endpoint}, where the cluster should be"))
        .hint("name the coordinators with --endpoint or FLAME_ENDPOINT"))
}
