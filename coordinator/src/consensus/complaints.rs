//! What this node holds against its peers, in its log: once, and again when it changes. A peer that is refused comes back
//! many times in a second.

use std::collections::BTreeMap;
use std::sync::Mutex;

use flame_types::CoordinatorId;

/// On which occasion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Occasion {
    /// The peer has asked this node something, or opened a stream to it.
    Question,
    /// The peer's address was asked something.
    Answer,
    /// The peer has refused this node.
    Refusal,
    /// The certificates of both do not fit.
    Certificates,
}

impl Occasion {
    fn words(self) -> &'static str {
        match self {
            Self::Question => "a node that says it is a peer is not let in",
            Self::Answer => "the node at a peer's address is not let in",
            Self::Refusal => "a peer does not let this node in",
            Self::Certificates => "this node and a peer do not come together over TLS",
        }
    }
}

/// What was logged last, by peer and occasion. Kept for members only, so it has a few lines.
#[derive(Default)]
pub(super) struct Complaints {
    logged: Mutex<BTreeMap<(CoordinatorId, Occasion), String>>,
}

impl Complaints {
    /// Logs what is new; `None` when there is nothing to complain about any more. Says whether it was logged.
    pub(super) fn note(&self, peer: CoordinatorId, occasion: Occasion, why: Option<String>) -> bool {
        let mut logged = self.logged.lock().expect("no code panics while it holds this lock");
        let Some(why) = why else {
            logged.remove(&(peer, occasion));
            return false;
        };
        let is_new = logged.get(&(peer, occasion)) != Some(&why);
        if is_new {
            tracing::warn!(peer = peer.0, why, "{}", occasion.words());
            logged.insert((peer, occasion), why);
        }
        is_new
    }

    /// Everything there is to complain about on one occasion; `None` when there is nothing.
    pub(super) fn all(&self, occasion: Occasion) -> Option<String> {
        let logged = self.logged.lock().expect("no code panics while it holds this lock");
        let of_occasion = logged.iter().filter(|((_, of), _)| *of == occasion);
        let all: Vec<_> = of_occasion.map(|((peer, _), why)| format!("coordinator {peer}: {why}")).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_new_is_logged() {
        let complaints = Complaints::default();
        let note = |peer, occasion, why: Option<&str>| {
            complaints.note(CoordinatorId(peer), occasion, why.map(ToOwned::to_owned))
        };
        assert!(note(1, Occasion::Question, Some("wiped")));
        assert!(!note(1, Occasion::Question, Some("wiped")));
        assert!(note(1, Occasion::Answer, Some("wiped")), "another occasion");
        assert!(note(2, Occasion::Question, Some("wiped")), "another peer");
        assert!(note(1, Occasion::Question, Some("a stranger")), "another reason");
        assert_eq!(
            complaints.all(Occasion::Question).as_deref(),
            Some("coordinator 1: a stranger; coordinator 2: wiped")
        );
        assert_eq!(complaints.all(Occasion::Refusal), None);
        assert!(!note(1, Occasion::Question, None));
        assert!(note(1, Occasion::Question, Some("a stranger")), "it was well in between");
    }
}
