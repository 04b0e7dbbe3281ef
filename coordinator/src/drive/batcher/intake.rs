//! Which parcels make the next entry, and when it may go.
//!
//! An entry costs the three nodes the same few dozen wake-ups and one trip to the disk each, whether it holds one command
//! or a thousand. So while one is under way, the next waits for it and gathers, unless what has gathered is worth an entry
//! of its own: then the pipeline is filled, up to [`ENTRIES_IN_FLIGHT_MAX`]. With a dozen callers one entry serves them
//! all, and one command waits for at most one commit longer; with thousands the pipeline is always full.
//!
//! **Invariant:** parcels leave in the order in which they came, whole.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;

use super::{ENTRIES_IN_FLIGHT_MAX, ENTRY_BYTES_MAX, ENTRY_COMMANDS_MAX, Waiting};

/// So many commands are worth an entry beside others …
const WORTH_AN_ENTRY_COMMANDS: usize = 256;

/// … and so are so many bytes.
const WORTH_AN_ENTRY_BYTES: usize = 64 << 10;

/// How long an entry waits for the result of the task that it adds, or for whatever else comes first.
const COMPANY_MAX: Duration = Duration::from_millis(2);

/// Takes parcels in.
pub(super) struct Intake {
    incoming: mpsc::Receiver<Waiting>,
    /// The one that did not fit into the entry before.
    carried: Option<Waiting>,
    /// A permit for each entry that may be under way.
    in_flight: Arc<Semaphore>,
}

/// Parcels of one entry.
#[derive(Default)]
struct Gathered {
    parcels: Vec<Waiting>,
    commands: usize,
    bytes: usize,
}

impl Gathered {
    /// Takes a parcel in, or gives it back. The first one always fits.
    fn add(&mut self, waiting: Waiting) -> Option<Waiting> {
        let (commands, bytes) = (waiting.parcel.items.len(), waiting.parcel.bytes());
        let fits = self.commands + commands <= ENTRY_COMMANDS_MAX && self.bytes + bytes <= ENTRY_BYTES_MAX;
        if !fits && !self.parcels.is_empty() {
            return Some(waiting);
        }
        self.commands += commands;
        self.bytes += bytes;
        self.parcels.push(waiting);
        None
    }

    fn is_worth_an_entry(&self) -> bool {
        self.commands >= WORTH_AN_ENTRY_COMMANDS || self.bytes >= WORTH_AN_ENTRY_BYTES
    }
}

impl Intake {
    pub(super) fn new(incoming: mpsc::Receiver<Waiting>) -> Self {
        Self { incoming, carried: None, in_flight: Arc::new(Semaphore::new(ENTRIES_IN_FLIGHT_MAX)) }
    }

    /// The parcels of the next entry, when it may go, and its permit. `None` when nothing comes any more.
    pub(super) async fn next(&mut self) -> Option<(Vec<Waiting>, OwnedSemaphorePermit)> {
        let first = match self.carried.take() {
            Some(waiting) => waiting,
            None => self.incoming.recv().await?,
        };
        let mut gathered = Gathered::default();
        self.carried = gathered.add(first);
        let permit = self.turn(&mut gathered).await;
        // Waiting for its turn has taken time.
        self.gather(&mut gathered);
        Some((gathered.parcels, permit))
    }

    /// The only parcel of the next entry, if nothing waits behind it and nothing is under way before it.
    pub(super) fn alone<'g>(&self, gathered: &'g mut [Waiting]) -> Option<&'g mut Waiting> {
        let is_first = self.in_flight.available_permits() == ENTRIES_IN_FLIGHT_MAX - 1;
        match gathered {
            [waiting] if is_first && self.carried.is_none() => Some(waiting),
            _ => None,
        }
    }

    /// Waits a moment for what comes next; it goes with these.
    pub(super) async fn with_company(&mut self, gathered: Vec<Waiting>) -> Vec<Waiting> {
        let mut all = Gathered::default();
        for waiting in gathered {
            self.carried = all.add(waiting);
        }
        if let Ok(Some(next)) = timeout(COMPANY_MAX, self.incoming.recv()).await {
            self.carried = all.add(next);
            self.gather(&mut all);
        }
        all.parcels
    }

    /// Waits until an entry of these may go. What comes meanwhile joins them.
    async fn turn(&mut self, gathered: &mut Gathered) -> OwnedSemaphorePermit {
        let open = "nobody closes this semaphore";
        loop {
            self.gather(gathered);
            let in_flight = self.in_flight.clone();
            if self.carried.is_some() || gathered.is_worth_an_entry() || self.incoming.is_closed() {
                return in_flight.acquire_owned().await.expect(open);
            }
            tokio::select! {
                biased;
                all = in_flight.acquire_many_owned(ENTRIES_IN_FLIGHT_MAX as u32) => {
                    return all.expect(open).split(1).expect("one of several");
                }
                next = self.incoming.recv() => self.carried = next.and_then(|next| gathered.add(next)),
            }
        }
    }

    /// Takes what is there.
    fn gather(&mut self, gathered: &mut Gathered) {
        while self.carried.is_none()
            && let Ok(next) = self.incoming.try_recv()
        {
            self.carried = gathered.add(next);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use flame_types::Seq;
    use futures::FutureExt;

    use super::super::{OnDrop, Parcel};
    use super::*;

    fn intake() -> (mpsc::Sender<Waiting>, Intake) {
        let (parcels, incoming) = mpsc::channel(10_000);
        (parcels, Intake::new(incoming))
    }

    fn parcel(commands: usize, bytes: usize) -> Waiting {
        let items = vec![Bytes::from(vec![0; bytes]); commands];
        let room = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        Waiting { parcel: Parcel { items, on_drop: OnDrop::Ticket(Seq(0)) }, room }
    }

    fn send(parcels: &mpsc::Sender<Waiting>, waiting: Waiting) {
        assert!(parcels.try_send(waiting).is_ok());
    }

    /// Commands of the next entry if it may go, and its permit.
    fn next(intake: &mut Intake) -> Option<(usize, OwnedSemaphorePermit)> {
        let (gathered, permit) = intake.next().now_or_never()??;
        Some((gathered.iter().map(|waiting| waiting.parcel.items.len()).sum(), permit))
    }

    #[test]
    fn a_lone_command_goes_at_once_and_the_next_ones_gather_until_it_is_settled() {
        let (parcels, mut intake) = intake();
        send(&parcels, parcel(1, 100));
        let (commands, under_way) = next(&mut intake).unwrap();
        assert_eq!(commands, 1);
        let mut second = Box::pin(intake.next());
        for _ in 0..3 {
            send(&parcels, parcel(2, 100));
            assert!(second.as_mut().now_or_never().is_none(), "the first one is under way");
        }
        drop(under_way);
        let (gathered, _permit) = second.now_or_never().unwrap().unwrap();
        assert_eq!(gathered.len(), 3);
    }

    #[test]
    fn what_is_worth_an_entry_fills_the_pipeline() {
        for worth in [parcel(WORTH_AN_ENTRY_COMMANDS, 1), parcel(1, WORTH_AN_ENTRY_BYTES)] {
            let (parcels, mut intake) = intake();
            let (commands, bytes) = (worth.parcel.items.len(), worth.parcel.items[0].len());
            send(&parcels, worth);
            let mut under_way = vec![next(&mut intake).unwrap()];
            for _ in 1..ENTRIES_IN_FLIGHT_MAX {
                send(&parcels, parcel(commands, bytes));
                under_way.push(next(&mut intake).unwrap());
            }
            send(&parcels, parcel(commands, bytes));
            assert!(next(&mut intake).is_none(), "the pipeline is full");
        }
    }

    #[test]
    fn an_entry_is_full_in_commands_and_in_bytes_and_a_large_parcel_goes_alone() {
        let (parcels, mut intake) = intake();
        for waiting in [
            parcel(ENTRY_COMMANDS_MAX, 1),
            parcel(1, ENTRY_BYTES_MAX),
            parcel(2, ENTRY_BYTES_MAX),
            parcel(WORTH_AN_ENTRY_COMMANDS, 1),
        ] {
            send(&parcels, waiting);
        }
        let sizes: Vec<usize> = std::iter::from_fn(|| next(&mut intake)).map(|(commands, _settled)| commands).collect();
        assert_eq!(sizes, [ENTRY_COMMANDS_MAX, 1, 2, WORTH_AN_ENTRY_COMMANDS]);
    }

    #[tokio::test]
    async fn one_that_is_alone_may_wait_for_company() {
        let (parcels, mut intake) = intake();
        send(&parcels, parcel(1, 1));
        let (mut lone, settled) = intake.next().await.unwrap();
        assert!(intake.alone(&mut lone).is_some());
        // Nobody comes.
        lone = intake.with_company(lone).await;
        assert_eq!(lone.len(), 1);
        // Somebody comes, with everybody behind them.
        let waits = intake.with_company(lone);
        let comes = async {
            for _ in 0..3 {
                send(&parcels, parcel(1, 1));
            }
        };
        assert_eq!(tokio::join!(waits, comes).0.len(), 4);
        // While an entry is under way nothing is alone.
        send(&parcels, parcel(WORTH_AN_ENTRY_COMMANDS, 1));
        let (mut second, _under_way) = intake.next().await.unwrap();
        assert!(intake.alone(&mut second).is_none());
        drop(settled);
    }

    #[tokio::test]
    async fn what_has_gathered_goes_although_nothing_comes_any_more() {
        let (parcels, mut intake) = intake();
        send(&parcels, parcel(1, 1));
        let (_, under_way) = next(&mut intake).unwrap();
        send(&parcels, parcel(3, 1));
        drop(parcels);
        assert_eq!(next(&mut intake).unwrap().0, 3);
        assert!(intake.next().await.is_none());
        drop(under_way);
    }
}
