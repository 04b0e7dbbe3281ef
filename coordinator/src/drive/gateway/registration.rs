//! Getting a client id from the log, and a new one when the old one is gone.

use std::time::Duration;

use flame_machine::command::Command;
use flame_machine::reply::Reply;
use flame_types::ClientId;

use super::Gateway;
use crate::drive::replies::{Replies, unnumbered};

/// A registration that is not answered within this time is sent again: it carries a nonce, so that is harmless.
const REGISTRATION_PATIENCE: Duration = Duration::from_millis(500);

impl Gateway {
    /// Keeps this gateway registered for as long as the node runs.
    pub(crate) async fn keep_registered(self, replies: std::sync::Arc<Replies>) {
        let mut registered = self.inner.registered.subscribe();
        loop {
            if registered.wait_for(Option::is_none).await.is_err() {
                return;
            }
            let nonce: u128 = rand::random();
            let client = self.register(nonce, &replies).await;
            tracing::info!(%client, "this gateway is registered");
            self.windows().register(client);
            self.inner.registered.send_replace(Some(client));
        }
    }

    async fn register(&self, nonce: u128, replies: &Replies) -> ClientId {
        loop {
            let (ticket, reply) = replies.ticket();
            let command = Command::RegisterClient { nonce, gateway: Some(self.inner.here.id) };
            self.windows().set_registering(unnumbered(self.inner.consensus.level(), ticket, command));
            self.inner.unsent.notify_one();
            match tokio::time::timeout(REGISTRATION_PATIENCE, reply).await {
                Ok(Ok(Reply::Client(client))) => return client,
                Ok(Ok(other)) => tracing::warn!(?other, "the registration of this gateway was refused; trying again"),
                Ok(Err(_)) | Err(_) => replies.give_up(ticket),
            }
        }
    }
}
