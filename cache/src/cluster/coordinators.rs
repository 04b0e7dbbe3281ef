//! Who the coordinators are, and how they are reached.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flame_tls::Client;
use tonic::transport::{Channel, Endpoint};

/// Longest time to connect.
const CONNECT_MAX: Duration = Duration::from_secs(2);

/// How often an idle connection is probed.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// Most coordinators that are remembered beside the configured ones.
const LEARNED_MAX: usize = 32;

/// The coordinators. A handle: clones are of the same.
#[derive(Clone)]
pub(super) struct Coordinators {
    tls: Option<Client>,
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    configured: Vec<String>,
    learned: Vec<String>,
    /// Said to lead.
    hint: Option<String>,
    next: usize,
    /// Who has answered last.
    usual: Option<String>,
    channels: BTreeMap<String, Channel>,
}

impl Inner {
    fn turn(&mut self) -> String {
        let known: Vec<&String> = self.configured.iter().chain(&self.learned).collect();
        let endpoint = known[self.next % known.len()].clone();
        self.next = (self.next + 1) % known.len();
        endpoint
    }
}

impl Coordinators {
    /// These, and whom they tell of. At least one.
    pub(super) fn new(configured: Vec<String>, tls: Option<Client>) -> Self {
        let inner =
            Inner { configured, learned: Vec::new(), hint: None, next: 0, usual: None, channels: BTreeMap::new() };
        Self { tls, inner: Arc::new(Mutex::new(inner)) }
    }

    // Nothing that is done under the lock can fail halfway.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whom to try next: who is said to lead, else one after the other.
    pub(super) fn next(&self) -> String {
        let mut inner = self.lock();
        if let Some(hint) = inner.hint.take() {
            return hint;
        }
        inner.turn()
    }

    /// Whom to ask something that anybody can answer: who did last, else one after the other.
    pub(super) fn usual(&self) -> String {
        let mut inner = self.lock();
        match inner.usual.clone() {
            Some(usual) => usual,
            None => {
                let next = inner.turn();
                inner.usual = Some(next.clone());
                next
            }
        }
    }

    /// This one can answer, and is asked first from now on.
    pub(super) fn prefer(&self, endpoint: &str) {
        self.lock().usual = Some(endpoint.to_owned());
    }

    /// This one did not answer: others are asked from now on.
    pub(super) fn avoid(&self, endpoint: &str) {
        self.lock().usual.take_if(|usual| usual == endpoint);
    }

    /// This one is said to lead; nobody, when it is empty.
    pub(super) fn hint(&self, leader: &str) {
        if !leader.is_empty() {
            self.lock().hint = Some(leader.to_owned());
        }
    }

    /// These are all.
    pub(super) fn learn(&self, endpoints: &[String]) {
        let mut inner = self.lock();
        if endpoints.is_empty() {
            return;
        }
        let new: Vec<String> = endpoints.iter().filter(|one| !inner.configured.contains(one)).cloned().collect();
        inner.learned = new.into_iter().take(LEARNED_MAX).collect();
    }

    /// A connection, which is made when it is first used, and again when it must.
    pub(super) fn channel(&self, endpoint: &str) -> Result<Channel, String> {
        if let Some(channel) = self.lock().channels.get(endpoint) {
            return Ok(channel.clone());
        }
        let (is_secure, address) = match endpoint.split_once("://") {
            Some(("http", address)) => (false, address),
            Some(("https", address)) => (true, address),
            _ => return Err(format!("{endpoint:?} is not an address; write it like http://HOST:8081")),
        };
        let target = Endpoint::from_shared(format!("http://{address}")).map_err(|error| error.to_string())?;
        let target = target
            .connect_timeout(CONNECT_MAX)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .keep_alive_while_idle(true);
        let channel = match (is_secure, &self.tls) {
            (false, _) => flame_tls::client::channel(target, None),
            (true, Some(tls)) => flame_tls::client::channel(target, Some(tls)),
            (true, None) => {
                return Err(format!("{endpoint} is encrypted, and this cache has no certificates (cache.tls)"));
            }
        };
        self.lock().channels.insert(endpoint.to_owned(), channel.clone());
        Ok(channel)
    }

    /// The connection is of no use; another one is made next time.
    pub(super) fn forget(&self, endpoint: &str) {
        self.lock().channels.remove(endpoint);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_said_to_lead_is_tried_first_and_then_everybody_in_turn() {
        let coordinators = Coordinators::new(vec!["a".to_owned(), "b".to_owned()], None);
        let tried = |count| (0..count).map(|_| coordinators.next()).collect::<Vec<_>>();
        assert_eq!(tried(3), ["a", "b", "a"]);
        coordinators.hint("c");
        coordinators.hint("");
        assert_eq!(tried(2), ["c", "b"]);
        coordinators.learn(&["a".to_owned(), "d".to_owned()]);
        coordinators.learn(&[]);
        assert_eq!(tried(3), ["a", "b", "d"]);
    }

    #[test]
    fn who_answers_is_asked_until_it_does_not() {
        let coordinators = Coordinators::new(vec!["a".to_owned(), "b".to_owned()], None);
        assert_eq!([coordinators.usual(), coordinators.usual()], ["a", "a"]);
        coordinators.avoid("b");
        assert_eq!(coordinators.usual(), "a");
        coordinators.avoid("a");
        assert_eq!(coordinators.usual(), "b");
        coordinators.prefer("a");
        assert_eq!(coordinators.usual(), "a");
    }
}
