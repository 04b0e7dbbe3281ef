//! Which clients with a window of their own are still there.
//!
//! Every node tells the leader every [`RENEW_EVERY`] whose streams it serves. A client that nobody has served for
//! [`IDLE_MAX`] is ended by the log: its window is forgotten, and it gets a new id should it come back.
//!
//! **Invariant:** a client ends by the log only, and not if it has sent anything since it was last looked at.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flame_machine::State;
use flame_machine::command::Command;
use flame_types::{ClientId, Seq};
use tokio::time::Instant;

/// How often a node says whose streams it serves.
pub const RENEW_EVERY: Duration = Duration::from_secs(10);

/// A client that nobody serves for so long is ended. Long enough for a laptop that closes its lid over lunch to lose
/// nothing but its window, short enough that windows of the gone do not gather.
pub const IDLE_MAX: Duration = Duration::from_secs(600);

/// How often the leader looks for such clients.
pub const CHECK_EVERY: Duration = Duration::from_secs(30);

/// Most clients that are ended in one go.
const EXPIRED_AT_ONCE_MAX: usize = 256;

/// When each client was last heard of, as the leader knows it.
#[derive(Clone, Default)]
pub struct ClientLeases {
    seen: Arc<Mutex<HashMap<ClientId, Instant>>>,
}

impl ClientLeases {
    /// A new leader has heard of nobody: every client gets a full period.
    pub fn begin(&self) {
        self.lock().clear();
    }

    /// These are served somewhere.
    pub fn renew(&self, clients: impl IntoIterator<Item = ClientId>, now: Instant) {
        let mut seen = self.lock();
        for client in clients {
            seen.insert(client, now);
        }
    }

    /// What to propose, given the clients of the state and the last number of each.
    #[must_use]
    pub fn expire(&self, present: &[(ClientId, Seq)], now: Instant) -> Vec<Command> {
        let mut seen = self.lock();
        let kept: HashMap<ClientId, Instant> =
            present.iter().map(|(client, _)| (*client, seen.get(client).copied().unwrap_or(now))).collect();
        *seen = kept;
        let idle = present.iter().filter(|(client, _)| now.duration_since(seen[client]) >= IDLE_MAX);
        let idle = idle.take(EXPIRED_AT_ONCE_MAX);
        idle.map(|(client, last)| Command::ExpireClient { client: *client, last: *last }).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ClientId, Instant>> {
        self.seen.lock().expect("no code panics while it holds this lock")
    }
}

/// Clients of the state that are no gateways: those end when their node registers again.
#[must_use]
pub fn present(state: &State) -> Vec<(ClientId, Seq)> {
    let own = state.clients().values().filter(|client| client.row.gateway.is_none());
    own.map(|client| (client.row.id, client.row.last)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: ClientId = ClientId(1);
    const GONE: ClientId = ClientId(2);

    #[test]
    fn only_a_client_that_nobody_serves_for_the_whole_time_is_ended() {
        let leases = ClientLeases::default();
        let start = Instant::now();
        let present = [(HERE, Seq(5)), (GONE, Seq(7))];
        assert!(leases.expire(&present, start).is_empty(), "a new leader begins with a full period");
        leases.renew([HERE], start + IDLE_MAX / 2);
        assert!(leases.expire(&present, start + IDLE_MAX - Duration::from_millis(1)).is_empty());
        let expected = vec![Command::ExpireClient { client: GONE, last: Seq(7) }];
        assert_eq!(leases.expire(&present, start + IDLE_MAX), expected);
        assert_eq!(leases.expire(&present, start + IDLE_MAX), expected, "until the log says so, again and again");
    }

    #[test]
    fn who_is_not_in_the_state_is_forgotten() {
        let leases = ClientLeases::default();
        leases.renew([HERE, GONE], Instant::now());
        assert!(leases.expire(&[(HERE, Seq(1))], Instant::now()).is_empty());
        assert_eq!(leases.lock().len(), 1);
    }
}
