//! Where the leader may be, and when to try next.
//!
//! Pure: what it is told decides where it looks. Drawing the jitter is left to the caller.

use std::time::Duration;

use flame_types::Term;

/// Wait before the second try; it grows with each further one.
const BACKOFF: Duration = Duration::from_millis(20);

/// Longest wait between two tries …
pub(crate) const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// … and among the first: while the coordinators elect a leader, which takes about a second, nobody can say who it will
/// be, and what is lost by asking too late is lost by every task.
const BACKOFF_SOON_MAX: Duration = Duration::from_millis(300);

/// How many are the first: some four seconds' worth.
const SOON_TRIES: u32 = 30;

/// Most coordinators that are remembered beside the configured ones.
const LEARNED_MAX: usize = 32;

/// Most hints that are followed at once, without a wait: two coordinators that each name the other must not spin us.
const HINTS_FOLLOWED_MAX: u32 = 2;

/// Where the leader may be.
#[derive(Debug)]
pub(crate) struct Finder {
    configured: Vec<String>,
    learned: Vec<String>,
    hint: Option<String>,
    /// Of the newest leader that is known.
    term: Term,
    next: usize,
    backoff: Duration,
    /// Waits since a leader has kept us.
    waits: u32,
    hints_followed: u32,
}

/// What to try, and the longest time to wait before it. The caller waits a random part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Try {
    pub(crate) endpoint: String,
    pub(crate) wait_max: Duration,
}

impl Finder {
    /// `configured` must not be empty.
    pub(crate) fn new(configured: Vec<String>) -> Self {
        Self {
            configured,
            learned: Vec::new(),
            hint: None,
            term: Term::default(),
            next: 0,
            backoff: Duration::ZERO,
            waits: 0,
            hints_followed: 0,
        }
    }

    /// What to try next.
    pub(crate) fn next_try(&mut self) -> Try {
        if let Some(endpoint) = self.hint.take() {
            if self.hints_followed < HINTS_FOLLOWED_MAX {
                self.hints_followed += 1;
                return Try { endpoint, wait_max: Duration::ZERO };
            }
            self.hints_followed = 0;
            return Try { endpoint, wait_max: self.grow() };
        }
        self.hints_followed = 0;
        let known = self.known();
        let endpoint = known[self.next % known.len()].clone();
        self.next = (self.next + 1) % known.len();
        Try { endpoint, wait_max: self.grow() }
    }

    /// Nobody there, or nobody who answers.
    pub(crate) fn on_failure(&mut self) {
        self.hint = None;
    }

    /// Somebody there who does not lead.
    pub(crate) fn on_not_leader(&mut self, leader: &str, endpoints: &[String]) {
        self.learn(endpoints);
        self.hint = (!leader.is_empty()).then(|| leader.to_owned());
    }

    /// Somebody has told who leads. Whether that is news: only the leader of a later term is.
    pub(crate) fn on_news(&mut self, term: Term) -> bool {
        let is_later = term > self.term;
        if is_later {
            self.term = term;
            // No circle: terms grow.
            self.hints_followed = 0;
        }
        is_later
    }

    /// The leader of this term took us.
    pub(crate) fn on_welcome(&mut self, endpoint: &str, term: Term, endpoints: &[String]) {
        self.learn(endpoints);
        self.term = self.term.max(term);
        self.hint = None;
        self.hints_followed = 0;
        // When this one goes, another one leads: look there first.
        let known = self.known();
        self.next = known.iter().position(|known| known == endpoint).map_or(self.next, |at| (at + 1) % known.len());
    }

    /// The leader has kept us for a while: only now are the waits short again, so that one that takes us and drops us
    /// at once does not spin us.
    pub(crate) fn on_settled(&mut self) {
        self.backoff = BACKOFF;
        self.waits = 0;
    }

    /// This one is to be tried at once.
    pub(crate) fn on_come(&mut self, endpoint: &str) {
        self.hint = Some(endpoint.to_owned());
    }

    /// The coordinators other than `endpoint`, those behind it first.
    pub(crate) fn others_than(&self, endpoint: &str) -> Vec<String> {
        let mut others = self.known();
        let at = others.iter().position(|known| known == endpoint).map_or(0, |at| at + 1);
        others.rotate_left(at);
        others.retain(|known| known != endpoint);
        others
    }

    fn grow(&mut self) -> Duration {
        let wait = self.backoff;
        self.waits = self.waits.saturating_add(1);
        let max = if self.waits < SOON_TRIES { BACKOFF_SOON_MAX } else { BACKOFF_MAX };
        self.backoff = (self.backoff * 3 / 2).clamp(BACKOFF, max);
        wait
    }

    fn learn(&mut self, endpoints: &[String]) {
        if !endpoints.is_empty() {
            let new = endpoints.iter().filter(|endpoint| !self.configured.contains(endpoint));
            self.learned = new.take(LEARNED_MAX).cloned().collect();
        }
    }

    fn known(&self) -> Vec<String> {
        self.configured.iter().chain(&self.learned).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finder() -> Finder {
        Finder::new(vec!["a".into(), "b".into()])
    }

    fn endpoints(finder: &mut Finder, count: usize) -> Vec<String> {
        (0..count)
            .map(|_| {
                let endpoint = finder.next_try().endpoint;
                finder.on_failure();
                endpoint
            })
            .collect()
    }

    #[test]
    fn everybody_is_asked_in_turn_with_growing_waits() {
        let mut finder = finder();
        let waits: Vec<Duration> = (0..40).map(|_| finder.next_try().wait_max).collect();
        assert_eq!(waits[0], Duration::ZERO);
        assert_eq!(waits[1], BACKOFF);
        assert!(waits.is_sorted() && waits[39] == BACKOFF_MAX);
        assert_eq!(waits[SOON_TRIES as usize - 1], BACKOFF_SOON_MAX);
        assert_eq!(endpoints(&mut finder, 4), ["a", "b", "a", "b"]);
    }

    #[test]
    fn a_hint_is_followed_at_once_but_not_for_ever() {
        let mut finder = finder();
        let _ = (finder.next_try(), finder.next_try(), finder.next_try());
        for round in 0..3 {
            finder.on_not_leader("c", &[]);
            let next = finder.next_try();
            assert_eq!(next.endpoint, "c");
            assert_eq!(next.wait_max.is_zero(), round < HINTS_FOLLOWED_MAX, "round {round}");
        }
    }

    #[test]
    fn others_are_learned_and_the_next_one_is_asked_after_a_loss() {
        let mut finder = finder();
        finder.on_welcome("b", Term(1), &["a".into(), "b".into(), "c".into()]);
        assert_eq!(finder.others_than("b"), ["c", "a"]);
        assert_eq!(finder.others_than("c"), ["a", "b"]);
        endpoints(&mut finder, 40);
        finder.on_welcome("b", Term(1), &["a".into(), "b".into(), "c".into()]);
        finder.on_settled();
        assert_eq!(finder.next_try(), Try { endpoint: "c".into(), wait_max: BACKOFF });
        assert_eq!(endpoints(&mut finder, 2), ["a", "b"]);
        finder.on_not_leader("", &["a".into(), "d".into()]);
        assert!(!endpoints(&mut finder, 3).concat().contains('c'), "one that left is forgotten");
    }

    #[test]
    fn alone_there_is_no_other() {
        assert!(Finder::new(vec!["a".into()]).others_than("a").is_empty());
    }

    #[test]
    fn only_the_leader_of_a_later_term_is_news() {
        let mut finder = finder();
        finder.on_welcome("a", Term(3), &[]);
        assert!(!finder.on_news(Term(2)) && !finder.on_news(Term(3)), "it has been there");
        assert!(finder.on_news(Term(4)));
        assert!(!finder.on_news(Term(4)), "told twice");
        finder.on_come("b");
        assert_eq!(finder.next_try(), Try { endpoint: "b".into(), wait_max: Duration::ZERO });
    }
}
