//! The coordinators that a client may turn to: those it was given, and those it has heard of since.
//!
//! Coordinators come and go. A client that runs for long hears of new ones from the others; those that are gone do not
//! answer, and are passed over.
//!
//! **Invariant:** a place keeps its number: what is new is added behind what is there.
//! **Invariant:** who reaches a cluster by other addresses than its own (a proxy, one name for all) learns none of those,
//! unless somebody says for certain that they lead there.

use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use tonic::transport::Channel;

use crate::endpoints::ENDPOINTS_MAX;

/// One coordinator.
#[derive(Clone)]
struct Place {
    url: String,
    channel: Channel,
}

/// All of them. Never empty.
pub(crate) struct Places {
    all: RwLock<Vec<Place>>,
}

impl Places {
    /// Those that were given, in the order in which they are tried.
    pub(crate) fn new(given: impl IntoIterator<Item = (String, Channel)>) -> Self {
        let all = given.into_iter().map(|(url, channel)| Place { url, channel }).collect();
        Self { all: RwLock::new(all) }
    }

    fn read(&self) -> RwLockReadGuard<'_, Vec<Place>> {
        // Nothing that is done under the lock leaves it half changed.
        self.all.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn len(&self) -> usize {
        self.read().len()
    }

    pub(crate) fn channel(&self, at: usize) -> Channel {
        self.read()[at].channel.clone()
    }

    pub(crate) fn url(&self, at: usize) -> String {
        self.read()[at].url.clone()
    }

    pub(crate) fn urls(&self) -> Vec<String> {
        self.read().iter().map(|place| place.url.clone()).collect()
    }

    pub(crate) fn position(&self, url: &str) -> Option<usize> {
        self.read().iter().position(|place| place.url == url)
    }

    /// These are all members, by the word of one of them.
    pub(crate) fn hear_of(&self, members: &[String], connect: impl Fn(&str) -> Option<Channel>) {
        if members.iter().any(|url| self.position(url).is_some()) {
            self.learn(members, connect);
        }
    }

    /// These are members, whatever they are called here.
    pub(crate) fn learn(&self, members: &[String], connect: impl Fn(&str) -> Option<Channel>) {
        let news: Vec<&String> = members.iter().filter(|url| self.position(url).is_none()).collect();
        if news.is_empty() {
            return;
        }
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        for url in news {
            // Somebody else may have heard of it at the same time.
            if all.len() < ENDPOINTS_MAX
                && all.iter().all(|place| place.url != *url)
                && let Some(channel) = connect(url)
            {
                all.push(Place { url: url.clone(), channel });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic::transport::Endpoint;

    use super::*;

    fn connect(url: &str) -> Option<Channel> {
        Some(Endpoint::from_shared(url.to_owned()).ok()?.connect_lazy())
    }

    fn urls(places: &Places) -> Vec<String> {
        (0..places.len()).map(|at| places.url(at)).collect()
    }

    #[tokio::test]
    async fn new_members_are_added_behind_those_that_were_given() {
        let [a, b, c] = ["http://a:1", "http://b:1", "http://c:1"].map(str::to_owned);
        let places = Places::new([(b.clone(), connect(&b).unwrap())]);
        places.hear_of(&[a.clone(), b.clone(), c.clone()], connect);
        assert_eq!(urls(&places), [b.clone(), a.clone(), c.clone()]);
        places.hear_of(&[c.clone(), "http://d:1".to_owned()], connect);
        assert_eq!(urls(&places), [b, a, c, "http://d:1".to_owned()]);
    }

    #[tokio::test]
    async fn who_comes_by_another_address_learns_nothing() {
        let proxy = "http://proxy:1".to_owned();
        let places = Places::new([(proxy.clone(), connect(&proxy).unwrap())]);
        let members = ["http://a:1".to_owned(), "http://b:1".to_owned()];
        places.hear_of(&members, connect);
        assert_eq!(urls(&places), std::slice::from_ref(&proxy));
        places.learn(&members, connect);
        let [a, b] = members;
        assert_eq!(urls(&places), [proxy, a, b], "it is told by somebody who knows");
    }

    #[tokio::test]
    async fn no_more_are_kept_than_can_be_given() {
        let first = "http://h0:1".to_owned();
        let places = Places::new([(first.clone(), connect(&first).unwrap())]);
        let many: Vec<_> = (0..2 * ENDPOINTS_MAX).map(|number| format!("http://h{number}:1")).collect();
        places.hear_of(&many, connect);
        assert_eq!(places.len(), ENDPOINTS_MAX);
    }
}
