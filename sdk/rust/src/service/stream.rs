//! Our stream: frames in, frames out.

use std::pin::Pin;
use std::sync::Arc;

use flame_clock::SharedClock;
use flame_proto::ha;
use flame_proto::ha::service_down::Frame as Down;
use flame_proto::ha::service_stream_server::ServiceStream;
use flame_types::Token;
use futures::{Stream, StreamExt, stream};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Request, Response, Status, Streaming, async_trait};

use super::api::FlameService;
use super::desk::{Desk, Order, TooMany};
use super::runner::Runner;

/// The streams of a service; its worker opens one.
pub(super) struct Streams<S> {
    service: Arc<S>,
    user_code: Handle,
    clock: SharedClock,
    stopping: CancellationToken,
}

impl<S: FlameService> Streams<S> {
    pub(super) fn new(service: Arc<S>, user_code: Handle, clock: SharedClock, stopping: CancellationToken) -> Self {
        Self { service, user_code, clock, stopping }
    }
}

/// What lives as long as somebody reads the answers.
struct Open {
    desk: Arc<Desk>,
    reader: AbortOnDropHandle<Result<(), Status>>,
    /// User code of a worker that is gone ends at its next wait.
    _runner: AbortOnDropHandle<()>,
}

#[async_trait]
impl<S: FlameService> ServiceStream for Streams<S> {
    type RunStream = Pin<Box<dyn Stream<Item = Result<ha::ServiceUp, Status>> + Send>>;

    async fn run(&self, request: Request<Streaming<ha::ServiceDown>>) -> Result<Response<Self::RunStream>, Status> {
        let desk = Arc::new(Desk::default());
        let service = Arc::clone(&self.service);
        let runner = Runner { service, desk: Arc::clone(&desk), clock: Arc::clone(&self.clock) };
        let runner = AbortOnDropHandle::new(self.user_code.spawn(runner.run()));
        let read = read(request.into_inner(), Arc::clone(&desk), self.stopping.clone());
        let reader = AbortOnDropHandle::new(tokio::spawn(read));
        let open = Open { desk, reader, _runner: runner };
        let frames = stream::unfold(Some(open), |open| async move {
            let open = open?;
            match open.desk.next_frame().await {
                Some(frame) => Some((Ok(ha::ServiceUp { frame: Some(frame) }), Some(open))),
                None => match open.reader.await {
                    Ok(Err(status)) => Some((Err(status), None)),
                    // Ended as it should be, or cut off: there is nothing to add.
                    Ok(Ok(())) | Err(_) => None,
                },
            }
        });
        Ok(Response::new(frames.boxed()))
    }
}

/// Reads frames until the worker ends the stream, breaks its rules, or the service is told to stop.
async fn read(
    mut frames: Streaming<ha::ServiceDown>,
    desk: Arc<Desk>,
    stopping: CancellationToken,
) -> Result<(), Status> {
    let read = async {
        while let Some(ha::ServiceDown { frame }) = frames.message().await? {
            match frame {
                Some(frame) => on_frame(&desk, frame)?,
                None => return Err(Status::invalid_argument("a frame that this service does not know")),
            }
        }
        Ok(())
    };
    let ended = stopping.run_until_cancelled(read).await.unwrap_or(Ok(()));
    desk.end();
    ended
}

fn on_frame(desk: &Desk, frame: Down) -> Result<(), Status> {
    let too_many =
        |TooMany| Status::resource_exhausted("more was handed over than the service said that it takes at a time");
    match frame {
        Down::Enter(enter) => desk.bring(Order::Enter(enter)).map_err(too_many),
        Down::Invoke(invoke) => desk.bring_tasks(invoke.tasks).map_err(too_many),
        Down::Leave(_) => desk.bring(Order::Leave).map_err(too_many),
        Down::Cancel(cancel) => {
            desk.cancel(Token(cancel.token));
            Ok(())
        }
        Down::Withdraw(_) => {
            desk.withdraw();
            Ok(())
        }
    }
}
