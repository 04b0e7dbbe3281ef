//! The driver of a stream on one open link: frames up, answers and results down.

use flame_proto::ha;
use flame_proto::ha::session_down::Frame as Down;
use flame_proto::ha::session_up::Frame as Up;
use flame_types::{Seq, TaskNo, TaskState};
use tokio::time::{Instant, sleep};
use tonic::{Code, Status};

use super::driver::Driver;
use super::frame::{Content, Frame};
use super::link::{FRAMES_UNDER_WAY_MAX, Leave, Link, ended, left, silent, wrong};
use super::recover::{self, Asking};
use super::task::TaskEnd;
use crate::FlameError;
use crate::model::State;

/// Most ranges of tasks that are named to a coordinator; beyond it neighbours are joined.
const RANGES_MAX: usize = 65_536;

impl Driver {
    /// Serves one link until it is left.
    pub(super) async fn serve(&mut self) -> Leave {
        let mut link = match self.open().await {
            Ok(link) => link,
            Err(leave) => return leave,
        };
        let leave = self.serve_link(&mut link).await;
        // A link that held so long shows that there was a coordinator to be reached.
        let options = self.connection.options();
        self.has_progressed |= link.since.elapsed() > options.attempt_timeout.min(options.deadline);
        // Nothing is left that an error could concern.
        if link.is_closing() { Leave::Done } else { leave }
    }

    async fn open(&mut self) -> Result<Link, Leave> {
        let (mut link, opened) = Link::open(&self.connection, &self.session, self.client).await?;
        if opened.client == 0 || (self.client != 0 && opened.client != self.client) {
            return Err(wrong(&format!("client id {} for {}", opened.client, self.client)));
        }
        self.client = opened.client;
        if self.position.is_none() || (self.unfinished.is_empty() && self.unanswered.is_empty()) {
            self.position = opened.position;
        }
        self.unanswered.iter_mut().for_each(|frame| frame.is_sent = false);
        link.follow_after = Some(self.unanswered.back().map_or(Seq(0), |frame| frame.seq));
        if let Some(first) = self.first.take() {
            // Whoever has opened the stream may have stopped waiting; then the handle is gone, too.
            let _unheard = first.send(Ok(()));
        }
        Ok(link)
    }

    async fn serve_link(&mut self, link: &mut Link) -> Leave {
        let limit = self.connection.options().attempt_timeout;
        let silence = sleep(limit);
        tokio::pin!(silence);
        loop {
            match self.send(link) {
                Ok(true) => silence.as_mut().reset(Instant::now() + limit),
                Ok(false) => {}
                Err(leave) => return leave,
            }
            self.close_if_over(link);
            let is_due = link.is_closing() || !self.unanswered.is_empty();
            let unread = self.queue.unread();
            let is_held = unread.is_full();
            tokio::select! {
                message = link.down.message(), if !is_held => match message {
                    Ok(Some(message)) => {
                        silence.as_mut().reset(Instant::now() + limit);
                        if let Err(leave) = self.receive(message, link) {
                            return leave;
                        }
                    }
                    Ok(None) => return ended(link.at),
                    Err(status) => return left(link.at, status),
                },
                () = unread.was_read(), if is_held => silence.as_mut().reset(Instant::now() + limit),
                () = self.queue.woken() => {}
                answer = recover::next(&mut self.asking) => match answer {
                    Some((task, end)) => self.queue.give_places(self.unfinished.end(task, end)),
                    None => self.asking = None,
                },
                () = silence.as_mut(), if is_due && !is_held => return silent(link.at, limit),
            }
        }
    }

    /// Ends this side once nobody wants anything any more.
    fn close_if_over(&mut self, link: &mut Link) {
        if link.is_closing() || !self.is_flushed() {
            return;
        }
        if self.unfinished.is_empty() || !self.queue.is_heard() {
            link.close();
        } else {
            // Results are still waited for: only the client id goes on for a while.
            self.queue.tell_closers();
        }
    }

    /// Sends what may be sent now; whether that was a numbered frame.
    fn send(&mut self, link: &mut Link) -> Result<bool, Leave> {
        let is_due = |after| self.unanswered.front().is_none_or(|frame| frame.seq > after);
        if link.follow_after.is_some_and(is_due) {
            link.follow_after = None;
            link.send(self.watch())?;
        }
        let mut has_sent = false;
        while let Some(at) = self.next_to_send(link) {
            let below = self.unanswered.front().map_or(self.next, |frame| frame.seq);
            let frame = &mut self.unanswered[at];
            if !link.has_credit(frame.cost) {
                break;
            }
            frame.is_sent = true;
            link.send_numbered(frame.message(below), frame.cost)?;
            has_sent = true;
        }
        Ok(has_sent)
    }

    /// Where the next frame to be sent stands; made of what waits if there is none, few are under way, and results are
    /// followed: the tasks of a frame that is answered between sending the watch and its arrival would be in no list.
    fn next_to_send(&mut self, link: &Link) -> Option<usize> {
        let unsent = self.unanswered.iter().position(|frame| !frame.is_sent);
        if unsent.is_some() || self.unanswered.len() >= FRAMES_UNDER_WAY_MAX || link.follow_after.is_some() {
            return unsent;
        }
        if self.taken.is_empty() && !self.queue.take(&mut self.taken) {
            return None;
        }
        let frame = Frame::gather(self.next, &mut self.taken)?;
        self.next = self.next.next();
        self.unanswered.push_back(frame);
        Some(self.unanswered.len() - 1)
    }

    fn watch(&self) -> ha::SessionUp {
        let tasks = joined(self.unfinished.ranges()).into_iter();
        let tasks = tasks.map(|(first, last)| ha::TaskRange { first: first.0, last: last.0 }).collect();
        let watch = ha::WatchFrom { from: self.position, own: true, tasks };
        ha::SessionUp { frame: Some(Up::Watch(watch)) }
    }

    fn receive(&mut self, message: ha::SessionDown, link: &mut Link) -> Result<(), Leave> {
        match message.frame {
            Some(Down::Accepted(accepted)) => self.on_accepted(accepted, link)?,
            Some(Down::Results(results)) => self.on_results(results)?,
            Some(Down::Resync(ha::Resync { now })) => {
                self.position = now;
                let ranges = self.unfinished.ranges();
                self.asking = Some(Asking::begin(&self.connection, &self.session, ranges));
            }
            // Results may be among what has left: each task still waited for says itself what became of it.
            Some(Down::Trimmed(ha::Trimmed { from })) => {
                self.position = from;
                let ranges = self.unfinished.ranges();
                self.asking = Some(Asking::begin(&self.connection, &self.session, ranges));
            }
            Some(Down::Opened(_)) => return Err(wrong("Opened twice")),
            // A later release; it says nothing that this one waits for.
            None => return Ok(()),
        }
        self.has_progressed = true;
        self.backoff.reset();
        Ok(())
    }

    fn on_accepted(&mut self, accepted: ha::Accepted, link: &mut Link) -> Result<(), Leave> {
        let at = self.unanswered.iter().position(|frame| frame.is_sent && frame.seq.0 == accepted.seq);
        let Some(frame) = at.and_then(|at| self.unanswered.remove(at)) else {
            return Err(wrong(&format!("an answer to frame {}, which does not wait for one", accepted.seq)));
        };
        link.answered(frame.cost);
        if let Some(ha::StreamError { code, message }) = accepted.error {
            let error = FlameError::from_answer(&Status::new(Code::from(code), message));
            self.drop_frame(frame, &error);
            return Ok(());
        }
        if frame.tasks() != accepted.count || (accepted.count > 0 && accepted.first_task == 0) {
            let (seq, sent, count) = (accepted.seq, frame.tasks(), accepted.count);
            let leave = wrong(&format!("{count} tasks for frame {seq}, which has {sent}"));
            // It ends with the others.
            self.unanswered.push_front(frame);
            return Err(leave);
        }
        self.queue.give_room(frame.room);
        let first = TaskNo(accepted.first_task);
        match frame.content {
            Content::Tasks { receivers, .. } => self.queue.give_places(self.unfinished.add_tasks(first, receivers)),
            Content::Array { tasks, .. } => self.queue.give_places(self.unfinished.add_array(first, tasks)),
            // Whoever has asked may have stopped waiting.
            Content::Cancel { answer, .. } => drop(answer.send(Ok(()))),
        }
        Ok(())
    }

    fn on_results(&mut self, results: ha::Results) -> Result<(), Leave> {
        let Some(position) = results.position else { return Err(wrong("results without a position")) };
        let mut places = 0;
        for ha::TaskResult { task, state, output, message } in results.results {
            let task = TaskNo(task);
            let state = State::<TaskState>::from(state);
            if state.known().is_some_and(|state| !state.is_terminal()) {
                return Err(wrong(&format!("the result of task {task}, which is {state}")));
            }
            places += self.unfinished.end(task, Ok(TaskEnd { task, state, output, message }));
        }
        for ha::TaskRange { first, last } in results.cancelled {
            places += self.unfinished.cancel(TaskNo(first), TaskNo(last));
        }
        self.queue.give_places(places);
        self.position = Some(position);
        Ok(())
    }
}

/// Ranges few enough to be named. That some then cover more than asked for harms nobody: other tasks' results find
/// nobody here.
fn joined(mut ranges: Vec<(TaskNo, TaskNo)>) -> Vec<(TaskNo, TaskNo)> {
    while ranges.len() > RANGES_MAX {
        let join = |pair: &[(TaskNo, TaskNo)]| (pair[0].0, pair[pair.len() - 1].1);
        ranges = ranges.chunks(2).map(join).collect();
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_ranges_are_joined_and_cover_the_same() {
        let ranges: Vec<_> = (0..RANGES_MAX as u64 + 1).map(|at| (TaskNo(at * 2), TaskNo(at * 2))).collect();
        let fewer = joined(ranges.clone());
        assert!(fewer.len() <= RANGES_MAX);
        assert_eq!((fewer[0].0, fewer[fewer.len() - 1].1), (ranges[0].0, ranges[ranges.len() - 1].1));
        assert_eq!(joined(ranges[..9].to_vec()), ranges[..9]);
    }
}
