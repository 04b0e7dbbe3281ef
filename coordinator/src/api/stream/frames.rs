//! Results put into frames, none larger than a client should have to take at once.

use flame_proto::ha;
use flame_proto::v1;
use flame_types::{Generation, LogIndex, TaskNo};

use super::ranges::Ranges;
use crate::drive::results::{EndedTask, EntryResults};

/// A frame is full once it has so many bytes of outputs …
const FRAME_BYTES: usize = 256 << 10;

/// … or so many tasks.
const FRAME_TASKS: usize = 1024;

/// What a task counts beside its output.
const TASK_BYTES: usize = 32;

/// A place in the log, in the life of the state it belongs to.
pub(super) type Position = (Generation, LogIndex);

/// A position as a frame has it.
pub(super) fn position((generation, index): Position) -> ha::Position {
    ha::Position { generation: generation.0, log_index: index.0 }
}

/// Packs the results of entries into frames.
pub(super) struct Packer<'a> {
    /// Only these tasks; all when there is none.
    only: Option<&'a Ranges>,
    /// Everything up to here is in frames that are complete.
    sent: Position,
    frame: ha::Results,
    bytes: usize,
    frames: Vec<ha::Results>,
}

impl<'a> Packer<'a> {
    pub(super) fn new(sent: Position, only: Option<&'a Ranges>) -> Self {
        Self { only, sent, frame: ha::Results::default(), bytes: 0, frames: Vec::new() }
    }

    /// Adds an entry, unless it has been passed on before.
    pub(super) fn add(&mut self, entry: &EntryResults) {
        if entry.at <= self.sent {
            return;
        }
        for ended in &entry.ended {
            if self.only.is_none_or(|only| only.contains(ended.task)) {
                self.add_task(ended);
            }
        }
        for (first, last) in &entry.cancelled {
            self.add_cancelled(*first, *last);
        }
        // Only now: a client that comes back between two frames of one entry gets the whole entry again.
        self.sent = entry.at;
    }

    /// Adds tasks that ended together before they ran.
    pub(super) fn add_cancelled(&mut self, first: TaskNo, last: TaskNo) {
        if self.only.is_none_or(|only| only.touches(first, last)) {
            self.frame.cancelled.push(ha::TaskRange { first: first.0, last: last.0 });
        }
    }

    /// The frames, and the position up to which they reach.
    pub(super) fn finish(mut self) -> (Vec<ha::Results>, Position) {
        if !self.frame.results.is_empty() || !self.frame.cancelled.is_empty() {
            self.close_frame();
        }
        (self.frames, self.sent)
    }

    fn add_task(&mut self, ended: &EndedTask) {
        self.bytes += TASK_BYTES + ended.output.as_ref().map_or(0, |output| output.len());
        self.frame.results.push(task_result(ended.clone()));
        if self.bytes >= FRAME_BYTES || self.frame.results.len() >= FRAME_TASKS {
            self.close_frame();
        }
    }

    fn close_frame(&mut self) {
        let mut frame = std::mem::take(&mut self.frame);
        frame.position = Some(position(self.sent));
        self.bytes = 0;
        self.frames.push(frame);
    }
}

/// A task that has ended, as clients are told.
pub(super) fn task_result(ended: EndedTask) -> ha::TaskResult {
    ha::TaskResult {
        task: ended.task.0,
        state: v1::TaskState::from(ended.state) as i32,
        output: ended.output.map(|output| output.0),
        message: ended.message,
    }
}

#[cfg(test)]
mod tests {
    use flame_types::TaskState;

    use super::*;

    fn at(index: u64) -> Position {
        (Generation(1), LogIndex(index))
    }

    fn entry(index: u64, tasks: impl IntoIterator<Item = u64>, bytes: usize) -> EntryResults {
        let ended = tasks.into_iter().map(|task| EndedTask {
            task: TaskNo(task),
            state: TaskState::Succeed,
            output: Some(vec![0; bytes].into()),
            message: None,
        });
        EntryResults { at: at(index), ended: ended.collect(), cancelled: Vec::new() }
    }

    fn positions(frames: &[ha::Results]) -> Vec<u64> {
        frames.iter().map(|frame| frame.position.unwrap().log_index).collect()
    }

    #[test]
    fn entries_share_a_frame_that_stands_for_the_last() {
        let mut packer = Packer::new(at(1), None);
        packer.add(&entry(2, [1, 2], 1));
        packer.add(&entry(5, [3], 1));
        let (frames, sent) = packer.finish();
        assert_eq!((positions(&frames), sent), (vec![5], at(5)));
        assert_eq!(frames[0].results.len(), 3);
    }

    #[test]
    fn the_frames_of_a_large_entry_stand_for_the_one_before_until_the_last() {
        let mut packer = Packer::new(at(1), None);
        packer.add(&entry(2, [1, 2, 3], FRAME_BYTES / 2));
        let (frames, sent) = packer.finish();
        assert_eq!((positions(&frames), sent), (vec![1, 2], at(2)));
    }

    #[test]
    fn what_was_passed_on_does_not_come_again() {
        let mut packer = Packer::new(at(4), None);
        packer.add(&entry(4, [1], 1));
        packer.add(&entry(3, [2], 1));
        assert_eq!(packer.finish(), (Vec::new(), at(4)));
    }

    #[test]
    fn only_what_was_asked_for_comes() {
        let mut only = Ranges::default();
        only.add(TaskNo(2), TaskNo(3));
        let mut packer = Packer::new(at(1), Some(&only));
        packer.add(&EntryResults {
            cancelled: vec![(TaskNo(3), TaskNo(9)), (TaskNo(4), TaskNo(9))],
            ..entry(2, [1, 2], 1)
        });
        let (frames, sent) = packer.finish();
        assert_eq!(frames[0].results.iter().map(|result| result.task).collect::<Vec<_>>(), [2]);
        assert_eq!(frames[0].cancelled, [ha::TaskRange { first: 3, last: 9 }]);
        assert_eq!(sent, at(2));
    }
}
