//! The socket over which `flmctl dev kill`, `start`, `stop` and `status` reach the supervisor: one line of JSON each way.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::DevStatus;
use crate::exit::{Exit, Failure};

/// Longest line either way, in bytes.
const LINE_BYTES_MAX: u64 = 1024 * 1024;

/// How long the other side may take. Stopping waits for daemons to end.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// How long a client may take to say what it wants.
const REQUEST_LIMIT: Duration = Duration::from_secs(5);

/// Requests that wait.
const REQUESTS_MAX: usize = 16;

/// Longest path of a data folder: the operating system allows 107 bytes for the path of a unix socket, and those of the
/// services (`w64/s/<executor>.sock`) need up to 50 of them.
const DATA_PATH_BYTES_MAX: usize = 57;

/// What a supervisor is asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Request {
    Status,
    Kill { who: String },
    Start { who: String },
    Stop,
}

/// What it answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reply {
    Done { text: String, status: DevStatus },
    Refused { exit: u8, message: String },
}

/// Where the socket of a data folder is.
fn socket(data: &Path) -> Result<PathBuf, Failure> {
    let length = data.as_os_str().len();
    if length > DATA_PATH_BYTES_MAX {
        let message =
            format!("the path {} has {length} bytes, at most {DATA_PATH_BYTES_MAX} are allowed", data.display());
        return Err(Failure::usage(message).hint("sockets lie below it; name a folder with a shorter path: --data DIR"));
    }
    Ok(data.join("control.sock"))
}

/// Asks the supervisor of a data folder.
pub(super) async fn ask(data: &Path, request: &Request) -> Result<Reply, Failure> {
    let path = socket(data)?;
    let stream = UnixStream::connect(&path).await.map_err(|_| {
        Failure::new(Exit::NotFound, format!("no cluster of `flmctl dev` runs in {}", data.display()))
            .hint("start one with `flmctl dev`, or name its folder with --data DIR")
    })?;
    let failed = |error: std::io::Error| Failure::failed(format!("{}: {error}", path.display()));
    let exchange = async {
        let (read, mut write) = stream.into_split();
        write_line(&mut write, request).await?;
        read_line::<Reply>(read).await
    };
    timeout(ANSWER_LIMIT, exchange)
        .await
        .map_err(|_| Failure::new(Exit::TimedOut, "the supervisor does not answer"))?
        .map_err(failed)
}

/// Listens on the socket of a data folder; requests come out in order, one that cannot be read is dropped with its
/// connection.
pub(super) fn listen(data: &Path) -> Result<mpsc::Receiver<(Request, UnixStream)>, Failure> {
    let path = socket(data)?;
    // The lock of the folder is ours: what lies there is of a supervisor that was killed.
    let _stale = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path)
        .map_err(|error| Failure::failed(format!("cannot listen on {}: {error}", path.display())))?;
    let (requests, incoming) = mpsc::channel(REQUESTS_MAX);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            if let Ok(Ok(request)) = timeout(REQUEST_LIMIT, read_line::<Request>(&mut stream)).await
                && requests.send((request, stream)).await.is_err()
            {
                return;
            }
        }
    });
    Ok(incoming)
}

/// Answers a request.
pub(super) async fn answer(mut stream: UnixStream, reply: &Reply) {
    // Who asked may have gone.
    let _unheard = timeout(REQUEST_LIMIT, write_line(&mut stream, reply)).await;
}

async fn read_line<T: for<'de> Deserialize<'de>>(stream: impl tokio::io::AsyncRead + Unpin) -> std::io::Result<T> {
    let mut line = String::new();
    BufReader::new(stream.take(LINE_BYTES_MAX)).read_line(&mut line).await?;
    serde_json::from_str(&line).map_err(std::io::Error::other)
}

async fn write_line<T: Serialize>(mut stream: impl tokio::io::AsyncWrite + Unpin, value: &T) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(value).map_err(std::io::Error::other)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    stream.flush().await
}
