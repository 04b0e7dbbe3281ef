//! The methods: how a stream begins, and how its end is told; the call for one task is in `run.rs`.

use flame_machine::State;
use flame_proto::ha;
use flame_proto::ha::session_down::Frame as Down;
use flame_proto::ha::session_up::Frame as Up;
use flame_proto::ha::sessions_server::{Sessions, SessionsServer};
use flame_types::{ClientId, limits};
use tonic::{Request, Response, Status, Streaming};

use super::frames::position;
use super::run;
use super::session::{CREDIT_BYTES, CREDIT_FRAMES, End, Session, Whose};
use crate::api::call::Call;
use crate::api::frontend::{found_session, idempotency_key, known_id};
use crate::api::outbox::{Messages, Outbox, outbox};
use crate::drive::gateway::Gateway;

/// The streams of this node's clients.
pub struct SessionsService {
    gateway: Gateway,
}

impl SessionsService {
    /// The service for the client port.
    #[must_use]
    pub fn server(gateway: Gateway) -> SessionsServer<Self> {
        SessionsServer::new(Self { gateway })
            .max_decoding_message_size(limits::MESSAGE_BYTES_MAX)
            .max_encoding_message_size(limits::MESSAGE_BYTES_MAX)
    }
}

#[tonic::async_trait]
impl Sessions for SessionsService {
    type StreamStream = Messages<ha::SessionDown>;

    async fn stream(&self, request: Request<Streaming<ha::SessionUp>>) -> Result<Response<Self::StreamStream>, Status> {
        let call = Call::of(request.metadata());
        let (down, frames) = outbox(self.gateway.message_room());
        let (gateway, up) = (self.gateway.clone(), request.into_inner());
        tokio::spawn(async move {
            if let Err(End::Error(status)) = serve(gateway, call, up, &down).await {
                down.fail(status).await;
            }
        });
        Ok(Response::new(frames))
    }

    async fn run(&self, request: Request<ha::RunTask>) -> Result<Response<ha::RanTask>, Status> {
        let key = idempotency_key(request.metadata())?;
        let call = Call::of(request.metadata());
        run::run(&self.gateway, call, request.into_inner(), key).await.map(Response::new)
    }
}

async fn serve(
    gateway: Gateway,
    call: Call,
    mut up: Streaming<ha::SessionUp>,
    down: &Outbox<ha::SessionDown>,
) -> Result<(), End> {
    let first = tokio::time::timeout_at(call.deadline, up.message()).await;
    let first = first.map_err(|_| Status::deadline_exceeded("no frame came"))??;
    let Some(Up::Open(open)) = first.and_then(|first| first.frame) else {
        return Err(End::Error(Status::invalid_argument("the first frame must be OpenStream")));
    };
    let call = call.again();
    let id = known_id(&open.session_id)?;
    let key = found_session(&gateway, call, &open.session_id).await?;
    let client = known_client(&gateway, call, ClientId(open.client)).await?;
    let commands = gateway.open_stream(client);
    let generation = gateway.with_state(|state| state.cluster().generation).await.map_err(Status::from)?;
    let now = (generation, *gateway.applied_index().borrow());
    let opened = Down::Opened(ha::Opened {
        feature_level: gateway.level().with(open.feature_level),
        client: client.0,
        credit_bytes: CREDIT_BYTES as u64,
        credit_frames: CREDIT_FRAMES as u32,
        position: Some(position(now)),
    });
    down.send(ha::SessionDown { frame: Some(opened) }).await?;
    Session::new(gateway, Whose { call, id, key, client, generation }, commands, down).run(up).await
}

/// The client that the stream names, if the state still knows it; a new one when it names none.
async fn known_client(gateway: &Gateway, call: Call, client: ClientId) -> Result<ClientId, Status> {
    if client == ClientId::NONE {
        return Ok(gateway.register_client(call.deadline).await?);
    }
    let is_known = move |state: &State| state.clients().get(&client).is_some_and(|found| found.row.gateway.is_none());
    if gateway.with_state(is_known).await? {
        return Ok(client);
    }
    Err(Status::aborted(format!("client {client} has expired; open the stream without a client id")))
}
