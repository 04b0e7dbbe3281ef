//! What waits as numbered frames.
//!
//! **Invariant:** a frame keeps its number and its content until it is answered; only `below` is new in each sending,
//! and that is no part of what the coordinators compare.
//! **Invariant:** tasks of one frame have the same options, are accepted together or not at all, and keep their order.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use flame_proto::ha;
use flame_proto::ha::session_up::Frame as Up;
use flame_types::limits::SUBMIT_TASKS_MAX;
use flame_types::{Seq, TaskNo, TaskOptions};
use tokio::sync::oneshot;

use super::group;
use super::queue::{Receiver, Submission};
use crate::FlameError;

/// A frame is full once it has so many bytes of inputs. A larger input travels alone.
const FRAME_BYTES_MAX: usize = 1 << 20;

/// What a frame counts against the credit beside its tasks: not less than any coordinator counts.
const FRAME_COST: u64 = 1024;

/// What a task counts against the credit beside its input: not less than any coordinator counts.
const TASK_COST: u64 = 64;

/// Something numbered that is not answered yet.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) seq: Seq,
    /// What it counts against the credit.
    pub(super) cost: u64,
    /// Room that comes back with its answer.
    pub(super) room: usize,
    /// Room that comes back with the end of its tasks.
    pub(super) places: usize,
    /// Whether it went out on the present link.
    pub(super) is_sent: bool,
    pub(super) content: Content,
}

#[derive(Debug)]
pub(super) enum Content {
    Tasks { inputs: Vec<ha::TaskInput>, options: Option<Arc<TaskOptions>>, receivers: Vec<Receiver> },
    Array { input: Option<Bytes>, options: Option<Arc<TaskOptions>>, tasks: group::Writer },
    Cancel { task: TaskNo, answer: oneshot::Sender<Result<(), FlameError>> },
}

impl Frame {
    /// As many of those that wait as one frame holds, from the front.
    pub(super) fn gather(seq: Seq, waiting: &mut VecDeque<Submission>) -> Option<Self> {
        let first = waiting.pop_front()?;
        let (mut room, mut places) = (first.room(), first.places());
        let (content, bytes) = match first {
            Submission::Cancel { task, answer } => (Content::Cancel { task, answer }, 0),
            Submission::Array { input, options, tasks } => {
                let bytes = length(input.as_ref());
                (Content::Array { input, options, tasks }, bytes)
            }
            Submission::Task { input, options, receiver } => {
                let mut bytes = length(input.as_ref());
                let mut inputs = vec![ha::TaskInput { input }];
                let mut receivers = vec![receiver];
                while inputs.len() < SUBMIT_TASKS_MAX
                    && let Some(next) = waiting.pop_front_if(|next| fits(next, options.as_ref(), bytes))
                {
                    room += next.room();
                    places += next.places();
                    let Submission::Task { input, receiver, .. } = next else { break };
                    bytes += length(input.as_ref());
                    inputs.push(ha::TaskInput { input });
                    receivers.push(receiver);
                }
                (Content::Tasks { inputs, options, receivers }, bytes)
            }
        };
        let tasks = if let Content::Tasks { inputs, .. } = &content { inputs.len() } else { 1 };
        let cost = FRAME_COST + TASK_COST * tasks as u64 + bytes as u64;
        Some(Self { seq, cost, room, places, is_sent: false, content })
    }

    /// The frame as it travels. Inputs are shared, not copied.
    pub(super) fn message(&self, below: Seq) -> ha::SessionUp {
        let submit = |tasks, count, options: Option<&Arc<TaskOptions>>| {
            let options = options.map(|options| wire(options));
            let (seq, below) = (self.seq.0, below.0);
            Up::Submit(ha::SubmitTasks { seq, below, tasks, count, options, idempotency_key: Bytes::new() })
        };
        let frame = match &self.content {
            Content::Tasks { inputs, options, .. } => submit(inputs.clone(), 0, options.as_ref()),
            Content::Array { input, options, tasks } => {
                submit(vec![ha::TaskInput { input: input.clone() }], tasks.tasks(), options.as_ref())
            }
            Content::Cancel { task, .. } => {
                Up::Cancel(ha::CancelTask { seq: self.seq.0, below: below.0, task: task.0 })
            }
        };
        ha::SessionUp { frame: Some(frame) }
    }

    /// How many tasks come out of it.
    pub(super) fn tasks(&self) -> u64 {
        match &self.content {
            Content::Tasks { inputs, .. } => inputs.len() as u64,
            Content::Array { tasks, .. } => tasks.tasks(),
            Content::Cancel { .. } => 0,
        }
    }

    /// Nothing becomes of it, or nobody knows.
    pub(super) fn refuse(self, error: &FlameError) {
        match self.content {
            Content::Tasks { receivers, .. } => {
                receivers.into_iter().for_each(|receiver| receiver.refuse(error.clone()));
            }
            Content::Array { tasks, .. } => tasks.end_all(error.clone()),
            // Whoever has asked may have stopped waiting.
            Content::Cancel { answer, .. } => drop(answer.send(Err(error.clone()))),
        }
    }
}

fn fits(next: &Submission, with: Option<&Arc<TaskOptions>>, bytes: usize) -> bool {
    let Submission::Task { input, options, .. } = next else { return false };
    bytes + length(input.as_ref()) <= FRAME_BYTES_MAX && options.as_ref() == with
}

fn length(input: Option<&Bytes>) -> usize {
    input.map_or(0, Bytes::len)
}

fn wire(options: &TaskOptions) -> ha::TaskOptions {
    ha::TaskOptions {
        affinity: options.affinity.iter().map(|key| Bytes::copy_from_slice(key)).collect(),
        priority: options.priority,
        timeout_ms: options.timeout_ms.unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::super::queue::Queue;
    use super::super::task;
    use super::*;

    fn tasks(queue: &Arc<Queue>, sizes: &[usize], options: Option<&Arc<TaskOptions>>) -> Vec<Submission> {
        let task = |size: &usize| Submission::Task {
            input: Some(vec![0; *size].into()),
            options: options.cloned(),
            receiver: Receiver::One(task::task(queue.listener()).0),
        };
        sizes.iter().map(task).collect()
    }

    fn frames(mut waiting: VecDeque<Submission>) -> Vec<u64> {
        let frames = std::iter::from_fn(|| Frame::gather(Seq(1), &mut waiting));
        frames.map(|frame| frame.tasks()).collect()
    }

    #[test]
    fn a_frame_is_full_by_number_or_by_bytes() {
        let queue = Queue::new();
        let small = tasks(&queue, &vec![0; SUBMIT_TASKS_MAX + 1], None);
        assert_eq!(frames(small.into()), [SUBMIT_TASKS_MAX as u64, 1]);
        let large = tasks(&queue, &[FRAME_BYTES_MAX / 2, FRAME_BYTES_MAX / 2, 1, FRAME_BYTES_MAX * 2, 1], None);
        assert_eq!(frames(large.into()), [2, 1, 1, 1]);
    }

    #[test]
    fn only_tasks_that_are_asked_for_alike_travel_together() {
        let queue = Queue::new();
        let urgent = |priority| Arc::new(TaskOptions { priority, ..TaskOptions::default() });
        let mut waiting: VecDeque<_> = tasks(&queue, &[1, 1], None).into();
        waiting.extend(tasks(&queue, &[1], Some(&urgent(1))));
        waiting.extend(tasks(&queue, &[1], Some(&urgent(1))));
        waiting.push_back(Submission::Cancel { task: TaskNo(1), answer: oneshot::channel().0 });
        waiting.extend(tasks(&queue, &[1], Some(&urgent(2))));
        assert_eq!(frames(waiting), [2, 2, 0, 1]);
    }

    #[test]
    fn sent_again_it_is_the_same() {
        let queue = Queue::new();
        let mut waiting: VecDeque<_> = tasks(&queue, &[3, 5], None).into();
        let frame = Frame::gather(Seq(7), &mut waiting).unwrap();
        assert_eq!(frame.message(Seq(2)), frame.message(Seq(2)));
        let Some(Up::Submit(submit)) = frame.message(Seq(7)).frame else { panic!("no submit") };
        assert_eq!((submit.seq, submit.below, submit.tasks.len(), submit.count), (7, 7, 2, 0));
    }
}
