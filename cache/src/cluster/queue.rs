//! What is to be told, and what was told and not answered.
//!
//! Pure: what goes in comes out in reports of a bounded size, until each is answered. Of an object that nobody waits for, only
//! its latest version is told.

use std::collections::{BTreeMap, VecDeque};

use flame_types::{ObjectKey, ObjectTarget};
use tokio::sync::oneshot;

use crate::directory::NotRecorded;
use crate::model::Info;

/// Most objects of one report or page.
pub(super) const OBJECTS_MAX: usize = 1024;

/// Most reports that are not answered: further ones gather.
const UNANSWERED_MAX: usize = 8;

/// What somebody waits for: the generation in which it is recorded.
pub(super) type Waiter = oneshot::Sender<Result<u32, NotRecorded>>;

/// Something to be told.
#[derive(Debug)]
pub(super) enum News {
    /// This cache has this version.
    Held {
        /// What it is.
        info: Info,
        /// The generation in which the directory has heard of this version, if it has: then this is a copy of it.
        recorded: Option<u32>,
        /// Who waits until it is recorded. Nobody: it is there already, and clients were told so.
        waiter: Option<Waiter>,
    },
    /// It had it, and has it no more.
    Gone {
        /// Which.
        key: ObjectKey,
        /// Its version.
        version: u64,
    },
}

impl News {
    fn key(&self) -> &ObjectKey {
        match self {
            Self::Held { info, .. } => &info.key,
            Self::Gone { key, .. } => key,
        }
    }

    fn version(&self) -> u64 {
        match self {
            Self::Held { info, .. } => info.version,
            Self::Gone { version, .. } => *version,
        }
    }

    fn is_awaited(&self) -> bool {
        matches!(self, Self::Held { waiter: Some(_), .. })
    }
}

/// Says when something was pushed: grows.
pub(super) type Moment = u64;

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Queue {
    last: u64,
    now: Moment,
    /// What somebody waits for.
    urgent: VecDeque<News>,
    /// What nobody waits for, by its object, and since when.
    soon: BTreeMap<ObjectKey, (Moment, News)>,
    unanswered: VecDeque<(u64, Vec<(Moment, News)>)>,
}

impl Queue {
    /// The next number of a report or page.
    pub(super) fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Something is to be told.
    pub(super) fn push(&mut self, news: News) {
        self.now += 1;
        if news.is_awaited() {
            self.urgent.push_back(news);
        } else {
            self.soon.insert(news.key().clone(), (self.now, news));
        }
    }

    /// What was to be told of this object up to this version, and nobody waits for, need not be.
    pub(super) fn forget(&mut self, key: &ObjectKey, version: u64) {
        if self.soon.get(key).is_some_and(|(_, news)| news.version() <= version) {
            self.soon.remove(key);
        }
    }

    /// This moment.
    pub(super) fn now(&self) -> Moment {
        self.now
    }

    /// Whether something that was pushed up to then, and nobody waits for, is told of these objects and answered.
    pub(super) fn is_settled(&self, target: &ObjectTarget, then: Moment) -> bool {
        let is_open = |(moment, news): &(Moment, News)| *moment <= then && !news.is_awaited() && target.has(news.key());
        !self.soon.values().any(is_open) && !self.unanswered.iter().flat_map(|(_, told)| told).any(is_open)
    }

    /// Whether there is something to be told that can be told now.
    pub(super) fn is_due(&self) -> bool {
        self.unanswered.len() < UNANSWERED_MAX && !(self.urgent.is_empty() && self.soon.is_empty())
    }

    /// The next report; it counts as told. Of what nobody waits for, only what is true (`is_so`) is told.
    pub(super) fn next(&mut self, is_so: impl Fn(&News) -> bool) -> Option<(u64, impl Iterator<Item = &News>)> {
        if !self.is_due() {
            return None;
        }
        let mut told = Vec::new();
        while told.len() < OBJECTS_MAX
            && let Some(news) = self.urgent.pop_front()
        {
            told.push((self.now, news));
        }
        while told.len() < OBJECTS_MAX
            && let Some((_, (moment, news))) = self.soon.pop_first()
        {
            if is_so(&news) {
                told.push((moment, news));
            }
        }
        if told.is_empty() {
            return None;
        }
        let number = self.number();
        self.unanswered.push_back((number, told));
        self.unanswered.back().map(|(number, told)| (*number, told.iter().map(|(_, news)| news)))
    }

    /// The report of this number was answered: what it told. `None` for a page, or an answer that nobody waits for.
    pub(super) fn on_answer(&mut self, number: u64) -> Option<Vec<News>> {
        let at = self.unanswered.iter().position(|(told, _)| *told == number)?;
        self.unanswered.remove(at).map(|(_, told)| told.into_iter().map(|(_, news)| news).collect())
    }

    /// The stream is gone: what was not answered is to be told again, before anything else.
    pub(super) fn on_detached(&mut self) {
        for (_, told) in std::mem::take(&mut self.unanswered).into_iter().rev() {
            for (moment, news) in told.into_iter().rev() {
                if news.is_awaited() {
                    self.urgent.push_front(news);
                } else {
                    // A later version may wait already.
                    self.soon.entry(news.key().clone()).or_insert((moment, news));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn key(at: usize) -> ObjectKey {
        ObjectKey::parse(&format!("a/s/{at:05}")).unwrap()
    }

    fn held(at: usize, version: u64, waiter: Option<Waiter>) -> News {
        let info = Info {
            key: key(at),
            data_type: Arc::from("raw"),
            created_ms: 0,
            base_version: version,
            version,
            size: 1,
            parts: 1,
            is_native: false,
        };
        News::Held { info, recorded: None, waiter }
    }

    fn told(queue: &mut Queue) -> Option<(u64, Vec<(String, u64)>)> {
        let (number, news) = queue.next(|_| true)?;
        let shown = news.map(|news| match news {
            News::Held { info, .. } => (info.key.object().to_owned(), info.version),
            News::Gone { key, version } => (format!("-{}", key.object()), *version),
        });
        Some((number, shown.collect()))
    }

    #[test]
    fn only_the_latest_version_of_what_nobody_waits_for_is_told() {
        let mut queue = Queue::default();
        queue.push(held(1, 1, None));
        queue.push(held(1, 2, None));
        queue.push(held(2, 1, None));
        queue.push(News::Gone { key: key(2), version: 1 });
        queue.push(held(3, 1, None));
        queue.forget(&key(3), 1);
        queue.forget(&key(1), 1);
        let (waiter, _waits) = oneshot::channel();
        queue.push(held(4, 1, Some(waiter)));
        let expected = vec![("00004".to_owned(), 1), ("00001".to_owned(), 2), ("-00002".to_owned(), 1)];
        assert_eq!(told(&mut queue), Some((1, expected)));
        assert_eq!(told(&mut queue), None);
    }

    #[test]
    fn what_is_not_answered_is_told_again() {
        let mut queue = Queue::default();
        for at in 0..OBJECTS_MAX + 1 {
            queue.push(held(at, 1, None));
        }
        assert_eq!(told(&mut queue).unwrap().1.len(), OBJECTS_MAX);
        assert_eq!(told(&mut queue).unwrap().1.len(), 1);
        assert_eq!(queue.on_answer(1).unwrap().len(), OBJECTS_MAX);
        assert!(queue.on_answer(1).is_none());
        queue.push(held(OBJECTS_MAX, 2, None));
        queue.on_detached();
        assert_eq!(told(&mut queue), Some((3, vec![("01024".to_owned(), 2)])));
        queue.on_detached();
        assert_eq!(told(&mut queue), Some((4, vec![("01024".to_owned(), 2)])));
        assert!(queue.on_answer(3).is_none(), "an answer of a stream that is gone");
        assert_eq!(queue.on_answer(4).unwrap().len(), 1);
    }

    #[test]
    fn what_is_not_so_any_more_is_not_told() {
        let mut queue = Queue::default();
        queue.push(held(1, 1, None));
        assert!(queue.next(|_| false).is_none());
        assert!(!queue.is_due(), "and not asked about again");
        queue.push(held(1, 1, None));
        let (waiter, _waits) = oneshot::channel();
        queue.push(held(2, 1, Some(waiter)));
        assert_eq!(queue.next(|_| false).unwrap().1.count(), 1, "what somebody waits for is always told");
    }

    #[test]
    fn objects_are_settled_when_what_was_pushed_so_far_is_answered() {
        let mut queue = Queue::default();
        let session = ObjectTarget::parse("a/s").unwrap();
        assert!(queue.is_settled(&session, queue.now()));
        queue.push(held(1, 1, None));
        let then = queue.now();
        assert!(!queue.is_settled(&session, then));
        assert!(queue.is_settled(&ObjectTarget::parse("a/t").unwrap(), then), "others are");
        let (number, _) = queue.next(|_| true).unwrap();
        assert!(!queue.is_settled(&session, then));
        queue.push(held(2, 1, None));
        queue.on_answer(number);
        assert!(queue.is_settled(&session, then), "what came later does not count");
        assert!(!queue.is_settled(&session, queue.now()));
    }

    #[test]
    fn few_reports_are_unanswered_at_a_time() {
        let mut queue = Queue::default();
        for at in 0..UNANSWERED_MAX + 5 {
            queue.push(held(at, 1, None));
            assert_eq!(queue.next(|_| true).is_some(), at < UNANSWERED_MAX);
        }
        assert_eq!(queue.unanswered.len(), UNANSWERED_MAX);
        assert!(!queue.is_due());
        queue.on_answer(1);
        assert_eq!(told(&mut queue).unwrap().1.len(), 5);
    }
}
