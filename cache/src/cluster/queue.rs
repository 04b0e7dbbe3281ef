//! What is to be told, and what was told and not answered.
//!
//! Pure: what goes in comes out in reports of a bounded size, until each is answered. Of an object that nobody waits for, only
//! its latest version is told.

use std::collections::{BTreeMap, VecDeque};

use flame_types::ObjectKey;
use tokio::sync::oneshot;

use crate::error::Refusal;
use crate::model::Info;

/// Most objects of one report or page.
pub(super) const OBJECTS_MAX: usize = 1024;

/// Most reports that are not answered: further ones gather.
const UNANSWERED_MAX: usize = 8;

/// What somebody waits for: the generation in which it is recorded.
pub(super) type Waiter = oneshot::Sender<Result<u32, Refusal>>;

/// Something to be told.
#[derive(Debug)]
pub(super) enum News {
    /// This cache has this version.
    Held {
        /// What it is.
        info: Info,
        /// Somebody was told that it is there.
        is_acknowledged: bool,
        /// Who waits until it is recorded.
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
}

/// A report: its number, and what it tells.
pub(super) type Report = (u64, Vec<News>);

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Queue {
    last: u64,
    /// What somebody waits for.
    urgent: VecDeque<News>,
    /// What nobody waits for, by its object.
    soon: BTreeMap<ObjectKey, News>,
    unanswered: VecDeque<Report>,
}

impl Queue {
    /// The next number of a report or page.
    pub(super) fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Something is to be told.
    pub(super) fn push(&mut self, news: News) {
        match &news {
            News::Held { waiter: Some(_), .. } => self.urgent.push_back(news),
            News::Held { .. } | News::Gone { .. } => drop(self.soon.insert(news.key().clone(), news)),
        }
    }

    /// What was to be told of this object, and nobody waits for, need not be.
    pub(super) fn forget(&mut self, key: &ObjectKey) {
        self.soon.remove(key);
    }

    /// Whether there is something to be told that can be told now.
    pub(super) fn is_due(&self) -> bool {
        self.unanswered.len() < UNANSWERED_MAX && !(self.urgent.is_empty() && self.soon.is_empty())
    }

    /// The next report; it counts as told.
    pub(super) fn next(&mut self) -> Option<&Report> {
        if !self.is_due() {
            return None;
        }
        let mut told = Vec::new();
        while told.len() < OBJECTS_MAX
            && let Some(news) = self.urgent.pop_front().or_else(|| self.soon.pop_first().map(|(_, news)| news))
        {
            told.push(news);
        }
        let number = self.number();
        self.unanswered.push_back((number, told));
        self.unanswered.back()
    }

    /// The report of this number was answered: what it told. `None` for a page, or an answer that nobody waits for.
    pub(super) fn on_answer(&mut self, number: u64) -> Option<Vec<News>> {
        let at = self.unanswered.iter().position(|(told, _)| *told == number)?;
        self.unanswered.remove(at).map(|(_, news)| news)
    }

    /// The stream is gone: what was not answered is to be told again, before anything else.
    pub(super) fn on_detached(&mut self) {
        for (_, told) in std::mem::take(&mut self.unanswered).into_iter().rev() {
            for news in told.into_iter().rev() {
                match &news {
                    News::Held { waiter: Some(_), .. } => self.urgent.push_front(news),
                    // A later version may wait already.
                    _ => drop(self.soon.entry(news.key().clone()).or_insert(news)),
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
        News::Held { info, is_acknowledged: true, waiter }
    }

    fn told(queue: &mut Queue) -> Option<(u64, Vec<(String, u64)>)> {
        let (number, news) = queue.next()?;
        let shown = news.iter().map(|news| match news {
            News::Held { info, .. } => (info.key.object().to_owned(), info.version),
            News::Gone { key, version } => (format!("-{}", key.object()), *version),
        });
        Some((*number, shown.collect()))
    }

    #[test]
    fn only_the_latest_version_of_what_nobody_waits_for_is_told() {
        let mut queue = Queue::default();
        queue.push(held(1, 1, None));
        queue.push(held(1, 2, None));
        queue.push(held(2, 1, None));
        queue.push(News::Gone { key: key(2), version: 1 });
        queue.push(held(3, 1, None));
        queue.forget(&key(3));
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
    fn few_reports_are_unanswered_at_a_time() {
        let mut queue = Queue::default();
        for at in 0..UNANSWERED_MAX + 5 {
            queue.push(held(at, 1, None));
            queue.next();
        }
        assert_eq!(queue.unanswered.len(), UNANSWERED_MAX);
        assert!(!queue.is_due());
        queue.on_answer(1);
        assert_eq!(told(&mut queue).unwrap().1.len(), 5);
    }
}
