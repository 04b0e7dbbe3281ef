//! Room for commands: who comes in, who waits, and who is sent away.
//!
//! Inside are commands that this node sends until they are answered. Calls that find no room wait for it, and they are
//! bounded as well, in number and in bytes: whoever comes on top of those is refused at once and told when to come back.
//! Streams never wait here in numbers: each has its credit, and one that finds no room reads nothing more.
//!
//! **Invariant:** a refused command was never numbered nor sent: nothing of it can be done.
//! **Invariant:** large commands are not starved by small ones: room is given in the order in which it was asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::pace::Pace;
use crate::memory::{Memory, Share};

/// Most commands of this node's calls that wait for their reply. Below the limit of the replicated window.
pub const WINDOW_COMMANDS_MAX: usize = 2048;

/// Most calls that wait for room, whatever their size.
pub const WAITING_CALLS_MAX: usize = 16_384;

/// What a waiting call takes beside its payload.
const WAITING_CALL_BYTES: usize = 4 << 10;

/// How much may be inside, and how much may wait for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Commands of calls.
    pub commands: usize,
    /// Bytes of all commands, those of streams included.
    pub bytes: u32,
    /// Calls that wait.
    pub waiting: usize,
    /// Bytes of calls that wait.
    pub waiting_bytes: u32,
    /// Bytes of messages to clients that wait for their connections.
    pub message_bytes: u32,
}

impl Room {
    /// What a budget has room for.
    #[must_use]
    pub fn of(memory: Memory) -> Self {
        Self {
            commands: WINDOW_COMMANDS_MAX,
            bytes: memory.permits(Share::Commands),
            waiting: WAITING_CALLS_MAX.min(memory.share(Share::Waiting) / WAITING_CALL_BYTES),
            waiting_bytes: memory.permits(Share::Waiting),
            message_bytes: memory.permits(Share::Messages),
        }
    }
}

/// How much of it is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Commands of calls that are inside.
    pub commands: usize,
    /// Bytes of all commands that are inside.
    pub command_bytes: usize,
    /// Calls that wait.
    pub waiting: usize,
    /// Their bytes.
    pub waiting_bytes: usize,
    /// Calls that were refused since this node started.
    pub refused: u64,
}

/// Gives out room.
pub(super) struct Admission {
    limits: Room,
    commands: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    waiting: Semaphore,
    waiting_bytes: Semaphore,
    refused: AtomicU64,
    pace: Arc<Pace>,
}

/// Everything is full. The command did not come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full {
    /// When there should be room again.
    pub(super) retry_after: Duration,
}

/// A place inside; given back when the command is answered.
#[derive(Default)]
pub struct Place {
    _command: Option<OwnedSemaphorePermit>,
    _bytes: Option<OwnedSemaphorePermit>,
    pace: Option<Arc<Pace>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(pace) = &self.pace {
            pace.left();
        }
    }
}

impl Admission {
    pub(super) fn new(limits: Room) -> Self {
        Self {
            limits,
            commands: Arc::new(Semaphore::new(limits.commands)),
            bytes: Arc::new(Semaphore::new(limits.bytes as usize)),
            waiting: Semaphore::new(limits.waiting),
            waiting_bytes: Semaphore::new(limits.waiting_bytes as usize),
            refused: AtomicU64::new(0),
            pace: Arc::default(),
        }
    }

    /// A place for the command of a call: at once, or after waiting for it until the deadline.
    pub(super) async fn call(&self, bytes: usize, deadline: Instant) -> Result<Place, Full> {
        if let Some(place) = self.at_once(bytes) {
            return Ok(place);
        }
        let Ok(_place) = self.waiting.try_acquire() else { return Err(self.full()) };
        let bytes_waiting = permits(bytes.saturating_add(WAITING_CALL_BYTES), self.limits.waiting_bytes);
        let Ok(_bytes) = self.waiting_bytes.try_acquire_many(bytes_waiting) else { return Err(self.full()) };
        let enter = async {
            let command = self.commands.clone().acquire_owned().await;
            let bytes = self.bytes.clone().acquire_many_owned(permits(bytes, self.limits.bytes)).await;
            self.place(Some(open(command)), open(bytes))
        };
        tokio::time::timeout_at(deadline, enter).await.map_err(|_elapsed| self.full())
    }

    /// A place for a command of a stream, whose credit has bounded it already; waits for it.
    pub(super) async fn stream(&self, bytes: usize) -> Place {
        let bytes = self.bytes.clone().acquire_many_owned(permits(bytes, self.limits.bytes)).await;
        self.place(None, open(bytes))
    }

    /// One more is sent away: how long it should take until what waits now has come in.
    pub(super) fn full(&self) -> Full {
        let waiting = self.limits.waiting - self.waiting.available_permits();
        self.refused.fetch_add(1, Ordering::Relaxed);
        Full { retry_after: self.pace.time_for(waiting as u64) }
    }

    /// Bytes of messages that wait, of which there is room for as many as the limits say.
    pub(super) fn message_bytes(&self, room: &Semaphore) -> usize {
        (self.limits.message_bytes as usize).saturating_sub(room.available_permits())
    }

    /// What is inside, and what waits.
    pub(super) fn load(&self) -> Load {
        let taken = |all: usize, semaphore: &Semaphore| all.saturating_sub(semaphore.available_permits());
        Load {
            commands: taken(self.limits.commands, &self.commands),
            command_bytes: taken(self.limits.bytes as usize, &self.bytes),
            waiting: taken(self.limits.waiting, &self.waiting),
            waiting_bytes: taken(self.limits.waiting_bytes as usize, &self.waiting_bytes),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }

    fn at_once(&self, bytes: usize) -> Option<Place> {
        let command = self.commands.clone().try_acquire_owned().ok()?;
        let bytes = self.bytes.clone().try_acquire_many_owned(permits(bytes, self.limits.bytes)).ok()?;
        Some(self.place(Some(command), bytes))
    }

    fn place(&self, command: Option<OwnedSemaphorePermit>, bytes: OwnedSemaphorePermit) -> Place {
        Place { _command: command, _bytes: Some(bytes), pace: Some(self.pace.clone()) }
    }
}

/// Permits for so many bytes; what is larger than all room takes all of it.
fn permits(bytes: usize, all: u32) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX).clamp(1, all)
}

fn open(permit: Result<OwnedSemaphorePermit, AcquireError>) -> OwnedSemaphorePermit {
    permit.expect("nobody closes these semaphores")
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn admission(commands: usize, waiting: usize) -> Admission {
        Admission::new(Room { commands, bytes: 1000, waiting, waiting_bytes: 1 << 20, message_bytes: 1 })
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[tokio::test]
    async fn whoever_finds_no_room_waits_and_whoever_comes_on_top_is_refused() {
        let admission = admission(1, 2);
        let inside = admission.call(1, soon()).await.unwrap();
        let mut first = std::pin::pin!(admission.call(1, soon()));
        let mut second = std::pin::pin!(admission.call(1, soon()));
        assert!(first.as_mut().now_or_never().is_none() && second.as_mut().now_or_never().is_none());
        assert!(admission.call(1, soon()).await.is_err(), "two wait already");
        drop(inside);
        let first = first.await.unwrap();
        assert!(second.as_mut().now_or_never().is_none());
        drop(first);
        second.await.unwrap();
        assert!(admission.call(1, soon()).await.is_ok(), "all of it was given back");
    }

    #[tokio::test]
    async fn what_waits_is_bounded_by_its_bytes() {
        let admission = admission(1, 100);
        let _inside = admission.call(1, soon()).await.unwrap();
        let mut large = std::pin::pin!(admission.call(1 << 20, soon()));
        assert!(large.as_mut().now_or_never().is_none());
        assert!(admission.call(1, soon()).await.is_err());
    }

    #[tokio::test]
    async fn one_that_is_larger_than_everything_comes_in_alone() {
        let admission = admission(10, 10);
        let large = admission.call(usize::MAX, soon()).await.unwrap();
        let mut small = std::pin::pin!(admission.call(1, soon()));
        assert!(small.as_mut().now_or_never().is_none());
        drop(large);
        small.await.unwrap();
    }

    #[tokio::test]
    async fn who_waits_until_the_deadline_is_told_when_to_come_back() {
        let admission = admission(1, 1);
        let inside = admission.call(1, soon()).await.unwrap();
        for _ in 0..3 {
            let refused = admission.call(1, Instant::now()).await;
            assert!(matches!(refused, Err(Full { retry_after }) if !retry_after.is_zero()));
        }
        let mut next = std::pin::pin!(admission.call(1, soon()));
        assert!(next.as_mut().now_or_never().is_none(), "the places of those who went away are free again");
        drop(inside);
        next.await.unwrap();
    }

    #[test]
    fn a_budget_has_room_for_the_published_numbers() {
        let room = Room::of(Memory::default());
        assert_eq!((room.commands, room.waiting), (WINDOW_COMMANDS_MAX, WAITING_CALLS_MAX));
    }
}
