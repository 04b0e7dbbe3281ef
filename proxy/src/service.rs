//! From a request to the way it takes. Messages stay the bytes that they came as.

use std::convert::Infallible;
use std::task::{Context, Poll};

use bytes::Bytes;
use flame_proto::instance::RawCodec;
use flame_sdk::Connection;
use flame_sdk::forward::{Call, Repeat};
use flame_types::limits::MESSAGE_BYTES_MAX;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::server::Grpc;
use tonic::{Request, Response, Status, Streaming};
use tower::service_fn;

use crate::method::{self, Way};
use crate::stream::{Replies, until_stopped};
use crate::{list, metadata, pipe, watch, watch_many};

/// Serves every method there is, over one client of the cluster.
#[derive(Clone)]
pub(crate) struct Service {
    connection: Connection,
    stop: CancellationToken,
}

type Codec = RawCodec<Bytes, Bytes>;

impl Service {
    /// `stop` ends its streams.
    pub(crate) fn new(connection: Connection, stop: CancellationToken) -> Self {
        Self { connection, stop }
    }

    async fn serve(self, request: http::Request<Body>) -> http::Response<Body> {
        let Some((path, way)) = method::find(request.uri().path()) else {
            let why = format!("this proxy does not serve {}; ask a coordinator", request.uri().path());
            return Status::unimplemented(why).into_http();
        };
        let mut grpc = Grpc::new(Codec::default()).max_decoding_message_size(MESSAGE_BYTES_MAX);
        match way {
            Way::Call(repeat) => {
                let call = service_fn(|request| self.clone().call(path, repeat, request));
                grpc.unary(call, request).await
            }
            Way::List | Way::Watch => {
                let open = service_fn(|request| self.clone().open(path, way, request));
                grpc.server_streaming(open, request).await
            }
            Way::WatchMany | Way::Pipe => {
                let open = service_fn(|requests| self.clone().open_both_ways(path, way, requests));
                grpc.streaming(open, request).await
            }
        }
    }

    async fn call(
        self,
        path: &'static str,
        repeat: Repeat,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, Status> {
        let within = metadata::time_allowed(request.metadata());
        let metadata = metadata::passed_on(request.metadata());
        let call = Call { path, message: request.into_inner(), metadata, repeat, within };
        let mut reply = self.connection.forward(call).await?;
        *reply.metadata_mut() = metadata::without_connection(reply.metadata());
        Ok(reply)
    }

    async fn open(self, path: &'static str, way: Way, request: Request<Bytes>) -> Result<Response<Replies>, Status> {
        let metadata = metadata::passed_on(request.metadata());
        let message = request.into_inner();
        let replies = match way {
            Way::List => list::list(&self.connection, path, metadata, message).await?,
            _ => watch::watch(&self.connection, path, metadata, message).await?,
        };
        Ok(Response::new(until_stopped(replies, self.stop)))
    }

    async fn open_both_ways(
        self,
        path: &'static str,
        way: Way,
        request: Request<Streaming<Bytes>>,
    ) -> Result<Response<Replies>, Status> {
        let metadata = metadata::passed_on(request.metadata());
        let requests = request.into_inner();
        let replies = match way {
            Way::WatchMany => watch_many::watch(&self.connection, path, metadata, requests),
            _ => pipe::pipe(&self.connection, path, metadata, requests).await?,
        };
        Ok(Response::new(until_stopped(replies, self.stop)))
    }
}

impl tower::Service<http::Request<Body>> for Service {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        self.clone().serve(request).map(Ok).boxed()
    }
}
