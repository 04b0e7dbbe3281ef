//! The calls of Arrow Flight.

use std::pin::Pin;

use arrow_flight::flight_service_server::{FlightService, FlightServiceServer};
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, HandshakeResponse,
    PollInfo, PutResult, SchemaResult, Ticket,
};
use bytes::Bytes;
use flame_types::ObjectTarget;
use futures::{Stream, StreamExt, stream};
use tonic::{Request, Response, Status, Streaming};

use super::{describe, get, put};
use crate::error::Refusal;
use crate::inflow::Inflow;
use crate::objects::Objects;
use crate::wire;

/// The one action there is.
const DELETE: &str = "DELETE";

/// The service.
#[derive(Clone)]
pub struct FlightCache {
    objects: Objects,
}

impl FlightCache {
    /// The service of these objects.
    #[must_use]
    pub fn server(objects: Objects) -> FlightServiceServer<Self> {
        let max = wire::message_max(&objects);
        FlightServiceServer::new(Self { objects }).max_decoding_message_size(max).max_encoding_message_size(usize::MAX)
    }
}

type Items<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn one<T: Send + 'static>(item: T) -> Items<T> {
    Box::pin(stream::once(async move { Ok(item) }))
}

fn not_served<T>(call: &str) -> Result<Response<T>, Status> {
    Err(Status::unimplemented(format!("{call} is not served by the object cache")))
}

#[tonic::async_trait]
impl FlightService for FlightCache {
    type HandshakeStream = Items<HandshakeResponse>;
    type ListFlightsStream = Items<FlightInfo>;
    type DoGetStream = Items<FlightData>;
    type DoPutStream = Items<PutResult>;
    type DoActionStream = Items<arrow_flight::Result>;
    type ListActionsStream = Items<ActionType>;
    type DoExchangeStream = Items<FlightData>;

    async fn do_put(&self, request: Request<Streaming<FlightData>>) -> Result<Response<Self::DoPutStream>, Status> {
        Ok(Response::new(one(put::put(&self.objects, Inflow::of(request)).await?)))
    }

    async fn do_get(&self, request: Request<Ticket>) -> Result<Response<Self::DoGetStream>, Status> {
        Ok(Response::new(get::get(&self.objects, request.get_ref()).await?))
    }

    async fn do_action(&self, request: Request<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        let Action { r#type: name, body } = request.into_inner();
        if name != DELETE {
            return Err(Refusal::Wrong(format!("there is no action {name:?}; there is {DELETE}")).into());
        }
        let text = std::str::from_utf8(&body)
            .map_err(|_| Refusal::Wrong("the body of DELETE is text: a key, app/session or app/*".to_owned()))?;
        let target = ObjectTarget::parse(text).map_err(Refusal::from)?;
        self.objects.delete(&target).await?;
        Ok(Response::new(one(arrow_flight::Result { body: Bytes::from_static(b"OK") })))
    }

    async fn list_actions(&self, _request: Request<Empty>) -> Result<Response<Self::ListActionsStream>, Status> {
        let description = "Deletes app/session/object, app/session or app/*: its body says which.".to_owned();
        Ok(Response::new(one(ActionType { r#type: DELETE.to_owned(), description })))
    }

    async fn get_flight_info(&self, request: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        Ok(Response::new(describe::describe(&self.objects, request.into_inner()).await?))
    }

    async fn get_schema(&self, request: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        Ok(Response::new(describe::schema(&self.objects, request.get_ref()).await?))
    }

    async fn list_flights(&self, _request: Request<Criteria>) -> Result<Response<Self::ListFlightsStream>, Status> {
        let objects = self.objects.clone();
        let infos = wire::everything(objects.clone()).map(move |info| Ok(describe::listed(&objects, &info)));
        Ok(Response::new(Box::pin(infos)))
    }

    async fn handshake(
        &self,
        _request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        not_served("Handshake")
    }

    async fn do_exchange(
        &self,
        _request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoExchangeStream>, Status> {
        not_served("DoExchange")
    }

    async fn poll_flight_info(&self, _request: Request<FlightDescriptor>) -> Result<Response<PollInfo>, Status> {
        not_served("PollFlightInfo")
    }
}
