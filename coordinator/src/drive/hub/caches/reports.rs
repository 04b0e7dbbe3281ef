//! What a cache node says, turned into commands. Each page and each report is answered when all of it is applied.
//!
//! Of an inventory, most is known already: only the differences are proposed.

use std::collections::BTreeSet;

use flame_machine::State;
use flame_machine::command::{Command, HeldObject, ObjectsChanged};
use flame_machine::refusal::ObjectRefusal;
use flame_machine::reply::Reply;
use flame_machine::reports::{self, Span};
use flame_proto::ha;
use flame_proto::ha::cache_down::Frame as DownFrame;
use flame_proto::ha::cache_up::Frame;
use flame_types::limits::OBJECTS_PER_REPORT_MAX;
use flame_types::{Epoch, NodeName, ObjectKey, ObjectVersion};
use futures::stream::{FuturesOrdered, StreamExt};
use tokio::sync::oneshot;
use tonic::Streaming;

use super::attach::Down;
use super::{Hub, wire};
use crate::drive::batcher::{OnDrop, Parcel};
use crate::drive::replies::{NOBODY_WAITS, unnumbered};

/// Most pages and reports of one node that are proposed and not applied. Beyond them the node has to wait.
const REPORTS_IN_FLIGHT_MAX: usize = 64;

/// Why a cache node's stream ended.
pub(super) enum Ended {
    /// The node said so: nothing more will come from it.
    Goodbye,
    /// Anything else.
    Broken(String),
}

/// Reads frames until the stream ends; says why it did.
pub(super) async fn run(
    hub: &Hub,
    cache: &NodeName,
    epoch: Epoch,
    mut up: Streaming<ha::CacheUp>,
    down: &Down,
) -> Ended {
    let mut desk = Desk { hub, cache, epoch, number: 0, span: Some(Span::default()) };
    let mut answers = FuturesOrdered::new();
    loop {
        let has_room = answers.len() < REPORTS_IN_FLIGHT_MAX;
        let frame = tokio::select! {
            Some(answer) = answers.next() => {
                let recorded = match answer {
                    Ok(recorded) => frame_down(DownFrame::Recorded(recorded)),
                    // Whatever was in it, the node still has it: it says Hello and brings it again.
                    Err(why) => return Ended::Broken(why),
                };
                match down.send(Ok(recorded)).await {
                    Ok(()) => continue,
                    Err(_) => return Ended::Broken("the cache node went away".into()),
                }
            }
            frame = up.message(), if has_room => frame,
        };
        let frame = match frame {
            Ok(Some(ha::CacheUp { frame: Some(frame) })) => frame,
            Ok(Some(_)) => continue,
            Ok(None) => return Ended::Broken("the cache node closed it".into()),
            Err(status) => return Ended::Broken(status.message().to_owned()),
        };
        let done = match frame {
            Frame::Report(report) => desk.report(report).await.map(Some),
            Frame::Inventory(page) => desk.inventory(page).await.map(Some),
            Frame::Heartbeat(heartbeat) => desk.renew(heartbeat.number, down).await.map(|()| None),
            Frame::Stopping(_) => desk.stopping().await.map(|()| None),
            Frame::Goodbye(_) => return Ended::Goodbye,
            Frame::Hello(_) => Err("a second Hello on one stream".to_owned()),
        };
        match done {
            Ok(answer) => answers.extend(answer.map(Waiting::answer)),
            Err(why) => return Ended::Broken(why),
        }
    }
}

fn frame_down(frame: DownFrame) -> ha::CacheDown {
    ha::CacheDown { frame: Some(frame) }
}

/// A page or report that is proposed.
struct Waiting {
    number: u64,
    /// What was not proposed, since it is nothing that could be recorded.
    refused: Vec<ha::ObjectRefused>,
    /// The commands that it became.
    parts: Vec<Part>,
}

/// A command that is proposed.
struct Part {
    reply: oneshot::Receiver<Reply>,
    /// Where each of its objects stands in the page or report.
    places: Vec<u32>,
}

impl Waiting {
    /// The answer, once all of it is applied.
    async fn answer(self) -> Result<ha::ObjectsRecorded, String> {
        let mut answer = ha::ObjectsRecorded { number: self.number, refused: self.refused };
        for Part { reply, places } in self.parts {
            match reply.await {
                Ok(Reply::Objects { refused }) => {
                    let place = |at: u32| places.get(at as usize).copied().unwrap_or(at);
                    answer.refused.extend(refused.iter().map(|(at, why)| wire::refused(place(*at), why)));
                }
                // The lease is over, or a later one has begun.
                Ok(Reply::Refused(refusal)) => return Err(refusal.to_string()),
                Ok(_) | Err(_) => return Err("a report did not make it into the log".to_owned()),
            }
        }
        Ok(answer)
    }
}

/// Objects as a node has sent them.
#[derive(Default)]
struct Read {
    held: Vec<HeldObject>,
    /// Where each of them stands in what was sent.
    places: Vec<u32>,
    /// The others.
    refused: Vec<ha::ObjectRefused>,
}

impl Read {
    fn of(sent: Vec<ha::HeldObject>) -> Self {
        let mut read = Self::default();
        for (at, object) in (0..).zip(sent) {
            match wire::held(object) {
                Ok(held) => {
                    read.held.push(held);
                    read.places.push(at);
                }
                Err(why) => read.refused.push(wire::refused(at, &ObjectRefusal::Invalid(why))),
            }
        }
        read
    }
}

/// Where the frames of one node are dealt with, in their order.
struct Desk<'a> {
    hub: &'a Hub,
    cache: &'a NodeName,
    epoch: Epoch,
    /// Of the last page or report.
    number: u64,
    /// Which keys the next page of the inventory is about; `None` after the last page.
    span: Option<Span>,
}

impl Desk<'_> {
    async fn report(&mut self, report: ha::ObjectReport) -> Result<Waiting, String> {
        self.begin(report.number, report.held.len() + report.gone.len())?;
        let Read { held, places, refused } = Read::of(report.held);
        // What is no key was never in the directory.
        let gone = report.gone.iter().filter_map(|object| wire::version(object).ok()).collect();
        let part = self.propose(held, gone, places).await?;
        Ok(Waiting { number: self.number, refused, parts: vec![part] })
    }

    /// Proposes what differs from what the directory knows.
    async fn inventory(&mut self, page: ha::CacheInventory) -> Result<Waiting, String> {
        self.begin(page.number, page.held.len())?;
        let Read { held, places, refused } = Read::of(page.held);
        let mut span = self.span.take().ok_or("a page of an inventory after its last one")?;
        let is_sorted = held.is_sorted_by(|left, right| left.key < right.key);
        let is_after = held.first().zip(span.after.as_ref()).is_none_or(|(first, after)| first.key > *after);
        if !is_sorted || !is_after {
            return Err("the pages of an inventory are not in the order of the keys".into());
        }
        if held.is_empty() && !page.last {
            return Err("a page of an inventory names no object, and is not the last one".into());
        }
        span.to = if page.last { None } else { held.last().map(|held| held.key.clone()) };
        let next = span.to.clone().map(|after| Span { after: Some(after), to: None });
        let mut parts = Vec::new();
        let named: BTreeSet<ObjectKey> = held.iter().map(|held| held.key.clone()).collect();
        loop {
            let (gone, more) = self.missing(span.clone(), named.clone()).await?;
            if !gone.is_empty() {
                parts.push(self.propose(Vec::new(), gone, Vec::new()).await?);
            }
            match more {
                Some(more) => span.after = Some(more),
                None => break,
            }
        }
        let (held, news) = self.news(held).await?;
        if !news.is_empty() {
            let places = news.iter().map(|at| places[*at]).collect();
            let is_news: BTreeSet<usize> = news.into_iter().collect();
            let held = held.into_iter().enumerate().filter(|(at, _)| is_news.contains(at)).map(|(_, held)| held);
            parts.push(self.propose(held.collect(), Vec::new(), places).await?);
        }
        self.span = next;
        Ok(Waiting { number: self.number, refused, parts })
    }

    async fn renew(&self, number: u64, down: &Down) -> Result<(), String> {
        if self.hub.renew_cache(self.cache, self.epoch)? {
            let ack = DownFrame::LeaseAck(ha::LeaseAck { number });
            down.send(Ok(frame_down(ack))).await.map_err(|_| "the cache node went away")?;
        }
        Ok(())
    }

    /// Its stream and its lease stay as they are, but it gets no orders any more.
    async fn stopping(&self) -> Result<(), String> {
        let command = Command::CacheDetach { cache: self.cache.clone(), epoch: self.epoch };
        let items = vec![unnumbered(self.hub.inner.consensus.level(), NOBODY_WAITS, command)];
        let parcel = Parcel { items, on_drop: OnDrop::Ticket(NOBODY_WAITS) };
        self.hub.inner.batcher.submit(parcel).await.map_err(|stopped| stopped.to_string())
    }

    fn begin(&mut self, number: u64, objects: usize) -> Result<(), String> {
        if number <= self.number {
            return Err(format!("report {number} after report {}", self.number));
        }
        if objects > OBJECTS_PER_REPORT_MAX {
            return Err(format!("{objects} objects in one report, at most {OBJECTS_PER_REPORT_MAX} are allowed"));
        }
        self.number = number;
        Ok(())
    }

    /// `places`: where each of `held` stands in what the node has sent.
    async fn propose(
        &self,
        held: Vec<HeldObject>,
        gone: Vec<(ObjectKey, ObjectVersion)>,
        places: Vec<u32>,
    ) -> Result<Part, String> {
        let (ticket, reply) = self.hub.inner.replies.ticket();
        let changed = ObjectsChanged { cache: self.cache.clone(), epoch: self.epoch, held, gone };
        let command = Command::ObjectsChanged(Box::new(changed));
        let items = vec![unnumbered(self.hub.inner.consensus.level(), ticket, command)];
        let parcel = Parcel { items, on_drop: OnDrop::Ticket(ticket) };
        if let Err(stopped) = self.hub.inner.batcher.submit(parcel).await {
            self.hub.inner.replies.give_up(ticket);
            return Err(stopped.to_string());
        }
        Ok(Part { reply, places })
    }

    /// Some of what the directory believes to be here and the page does not name.
    async fn missing(
        &self,
        span: Span,
        named: BTreeSet<ObjectKey>,
    ) -> Result<(Vec<(ObjectKey, ObjectVersion)>, Option<ObjectKey>), String> {
        let cache = self.cache.clone();
        let look = move |state: &State| reports::missing(state, &cache, &span, &named, OBJECTS_PER_REPORT_MAX);
        self.hub.inner.consensus.with_state(look).await.map_err(|error| error.to_string())
    }

    /// The page, and the places in it of what the directory does not know to be here.
    async fn news(&self, held: Vec<HeldObject>) -> Result<(Vec<HeldObject>, Vec<usize>), String> {
        let cache = self.cache.clone();
        let look = move |state: &State| {
            let news = reports::news(state, &cache, &held);
            (held, news)
        };
        self.hub.inner.consensus.with_state(look).await.map_err(|error| error.to_string())
    }
}
