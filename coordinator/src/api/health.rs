//! `grpc.health.v1.Health` for load balancers and supervisors.
//!
//! | service | SERVING means |
//! |---|---|
//! | `liveness` | the state answers: the process need not be restarted |
//! | `readiness`, and the empty name | calls are served here now |
//! | `leader` | this node leads |

use std::pin::Pin;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::consensus::Role;
use crate::drive::gateway::Gateway;

/// How long the state may take to answer before this node counts as stuck.
const LIVENESS_MAX: Duration = Duration::from_secs(5);

/// How often a watched status is looked at.
const WATCH_PERIOD: Duration = Duration::from_millis(250);

const SERVICES: [(&str, Question); 4] = [
    ("", Question::Readiness),
    ("liveness", Question::Liveness),
    ("readiness", Question::Readiness),
    ("leader", Question::Leader),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    Liveness,
    Readiness,
    Leader,
}

impl Question {
    fn named(service: &str) -> Option<Self> {
        SERVICES.into_iter().find(|(name, _)| *name == service).map(|(_, question)| question)
    }
}

/// The service of this node. Nothing is cached: every answer is as of now.
pub struct HealthService {
    gateway: Gateway,
    stop: CancellationToken,
}

impl HealthService {
    /// Answers for this node until `stop`, which also ends its watches.
    #[must_use]
    pub fn new(gateway: Gateway, stop: CancellationToken) -> Self {
        Self { gateway, stop }
    }
}

async fn ask(gateway: &Gateway, question: Question) -> ServingStatus {
    let yes = match question {
        Question::Liveness => {
            let answered = tokio::time::timeout(LIVENESS_MAX, gateway.with_state(|_| ())).await;
            matches!(answered, Ok(Ok(())))
        }
        Question::Readiness => gateway.ready().is_ok(),
        Question::Leader => gateway.raft_status().role == Role::Leader,
    };
    if yes { ServingStatus::Serving } else { ServingStatus::NotServing }
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl Health for HealthService {
    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        let service = request.into_inner().service;
        let question = Question::named(&service).ok_or_else(|| {
            let names: Vec<&str> = SERVICES.iter().map(|(name, _)| *name).filter(|name| !name.is_empty()).collect();
            Status::not_found(format!("no such service; ask for {}", names.join(", ")))
        })?;
        Ok(Response::new(response(ask(&self.gateway, question).await)))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let question = Question::named(&request.into_inner().service);
        let (sender, receiver) = mpsc::channel(1);
        let (gateway, stop) = (self.gateway.clone(), self.stop.clone());
        tokio::spawn(async move {
            let mut last = None;
            loop {
                let status = match question {
                    Some(question) => ask(&gateway, question).await,
                    None => ServingStatus::ServiceUnknown,
                };
                if last != Some(status) {
                    last = Some(status);
                    if sender.send(Ok(response(status))).await.is_err() {
                        return;
                    }
                }
                tokio::select! {
                    () = tokio::time::sleep(WATCH_PERIOD) => {}
                    () = sender.closed() => return,
                    () = stop.cancelled() => return,
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_published_name_asks_its_own_question() {
        assert_eq!(Question::named(""), Some(Question::Readiness));
        assert_eq!(Question::named("liveness"), Some(Question::Liveness));
        assert_eq!(Question::named("leader"), Some(Question::Leader));
        assert_eq!(Question::named("flame.v1.Frontend"), None);
    }
}
