//! Following a session's results: first those recorded before, then new ones as they come.

use flame_machine::State;
use flame_proto::ha;
use flame_proto::ha::session_down::Frame as Down;
use flame_types::{SessionKey, TaskNo};
use tonic::Status;

use super::frames::{Packer, Position, position};
use super::ranges::Ranges;
use super::recorded;
use crate::api::errors::ReadError;
use crate::drive::gateway::Gateway;
use crate::drive::results::{Results, ResultsChange};

/// A session whose results a client follows.
pub(super) struct Following {
    gateway: Gateway,
    session: SessionKey,
    results: Results,
    /// Everything up to here was passed on.
    sent: Position,
    only: Option<Ranges>,
    /// Memory does not have everything behind `sent`: the rows do.
    behind: bool,
}

impl Following {
    /// Follows the results behind a position; of all tasks, or only of some.
    pub(super) fn new(gateway: &Gateway, session: SessionKey, from: Position, only: Option<Ranges>) -> Self {
        let results = gateway.follow_results(session);
        Self { gateway: gateway.clone(), session, results, sent: from, only, behind: true }
    }

    /// Tasks were submitted on this stream.
    pub(super) fn add_own(&mut self, first: TaskNo, last: TaskNo) {
        if let Some(only) = &mut self.only {
            only.add(first, last);
        }
    }

    /// Whether older results come next, from the rows. Tasks whose submit is under way meanwhile may be among them: it
    /// must be answered before they are read, or they are not known as own and left out.
    pub(super) fn is_behind(&self) -> bool {
        self.behind
    }

    /// Waits for something new. Nothing is taken out before [`Following::frames`] is given what this returned.
    pub(super) async fn changed(&mut self) -> ResultsChange {
        if self.behind { ResultsChange::Lost } else { self.results.next().await }
    }

    /// The next frames, possibly none.
    ///
    /// # Errors
    /// INTERNAL when rows are damaged.
    pub(super) async fn frames(&mut self, change: ResultsChange) -> Result<Vec<Down>, Status> {
        match change {
            ResultsChange::Entries(entries) => {
                let mut packer = Packer::new(self.sent, self.only.as_ref());
                entries.iter().for_each(|entry| packer.add(entry));
                let (frames, sent) = packer.finish();
                self.sent = sent;
                Ok(frames.into_iter().map(Down::Results).collect())
            }
            ResultsChange::Lost if self.behind => self.read_on().await,
            ResultsChange::Lost => {
                self.behind = true;
                Ok(Vec::new())
            }
            ResultsChange::Gone | ResultsChange::Stopped => Ok(Vec::new()),
        }
    }

    /// Passes on the next piece of what lies in the rows.
    async fn read_on(&mut self) -> Result<Vec<Down>, Status> {
        let (rows, session, after) = (self.gateway.rows(), self.session, self.sent);
        let read = move || -> Result<_, ReadError> {
            let page = recorded::page(&rows, session, after)?;
            let cancelled = if page.is_last { recorded::cancelled(&rows, session)? } else { Vec::new() };
            Ok((page, cancelled))
        };
        let joined = tokio::task::spawn_blocking(read).await;
        let (page, cancelled) = joined.map_err(|error| Status::internal(format!("a read ended early: {error}")))??;
        let mut down = Vec::new();
        // Looked at after the rows were read: what was recorded behind it had not left by then.
        let done_from = self.gateway.with_state(move |state| done_from(state, session)).await?;
        if done_from > self.sent {
            self.sent = done_from;
            // Who follows nothing in particular of its own has missed nothing.
            if self.only.as_ref().is_none_or(|only| !only.is_empty()) {
                down.push(Down::Trimmed(ha::Trimmed { from: Some(position(done_from)) }));
            }
        }
        let mut packer = Packer::new(self.sent, self.only.as_ref());
        page.entries.iter().for_each(|entry| packer.add(entry));
        cancelled.iter().for_each(|(first, last)| packer.add_cancelled(*first, *last));
        let (frames, sent) = packer.finish();
        self.sent = sent;
        // What is recorded meanwhile waits in memory: following began before this read.
        self.behind = !page.is_last;
        down.extend(frames.into_iter().map(Down::Results));
        Ok(down)
    }
}

/// What ended up to here has left.
fn done_from(state: &State, session: SessionKey) -> Position {
    let open = state.sessions().get(&session).map(|session| session.row.done_from);
    let closed = || state.closed().get(&session).map(|row| row.done_from);
    let from = open.or_else(closed).unwrap_or_default();
    (from.generation, from.index)
}
