//! `cache-node`: caches die and come back in turn, the leader once with them, while objects of which two copies are wanted
//! are put and updated.
//!
//! In the end every object that was acknowledged must be there with its bytes, whichever cache is asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use flame_proto::ha;
use flame_proto::ha::object_frame::Frame;
use flame_proto::ha::objects_client::ObjectsClient;
use flame_proto::ha::put_object_frame::Frame as PutFrame;
use flame_testkit::{Cache, Cluster, ClusterOptions, wait_until};
use futures::stream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::judge::{Judge, millis};
use super::report::Report;

const NAME: &str = "cache-node";

/// After a kill, the next step comes when so many puts have been acknowledged.
const PUTS_BETWEEN: u64 = 100;

/// Each writer updates one object of its own at every so-manieth put.
const UPDATE_EVERY: u64 = 5;

/// Objects have up to so many bytes.
const BYTES_MAX: u64 = 200_000;

/// Longest wait of a client for one answer, and its pause before it asks another cache.
const CALL_MAX: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(50);

/// Anything that takes longer never comes.
const LIMIT: Duration = Duration::from_secs(120);

/// Objects that are named among those that are lost.
const SHOWN_MAX: usize = 5;

/// Flags of `flame-chaos cache-node`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How often every cache is killed.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..))]
    rounds: u64,
    /// Caches: at least 3.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(3..=16))]
    caches: u64,
    /// Clients that put.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=64))]
    writers: u64,
}

/// An acknowledged object: its version, and what its bytes are made of.
#[derive(Clone, Copy, Debug)]
struct Put {
    version: u64,
    seed: u64,
}

/// What was acknowledged.
#[derive(Default)]
struct Ledger {
    objects: BTreeMap<String, Put>,
    puts: u64,
    /// Versions that were not higher than one that was acknowledged before.
    steps_back: u64,
    last: Option<Instant>,
    /// The longest time without an acknowledgement since somebody asked.
    gap: Duration,
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Ledger>>);

impl Shared {
    // Nothing that is done under the lock can fail halfway.
    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn acknowledged(&self, key: String, put: Put) {
        let mut ledger = self.lock();
        let now = Instant::now();
        let silence = ledger.last.map_or(Duration::ZERO, |last| now.duration_since(last));
        ledger.gap = ledger.gap.max(silence);
        ledger.last = Some(now);
        ledger.puts += 1;
        if ledger.objects.insert(key, put).is_some_and(|before| before.version >= put.version) {
            ledger.steps_back += 1;
        }
    }

    fn take_gap(&self) -> Duration {
        std::mem::take(&mut self.lock().gap)
    }

    async fn goes_on(&self) -> Result<()> {
        let before = self.lock().puts;
        wait_until(LIMIT, "puts go on", || async {
            let puts = self.lock().puts;
            ensure!(puts >= before + PUTS_BETWEEN, "{} since", puts - before);
            Ok(())
        })
        .await
    }
}

/// Bytes that nothing else is made of.
fn bytes(seed: u64) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let length = (seed.wrapping_mul(7919) % BYTES_MAX) as usize;
    let mut data = Vec::with_capacity(length + 8);
    while data.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        data.extend_from_slice(&state.to_le_bytes());
    }
    data.truncate(length);
    data.into()
}

/// A client that knows every cache, and asks the next one when one does not answer.
struct Client {
    caches: Vec<ObjectsClient<Channel>>,
    at: usize,
}

impl Client {
    fn new(caches: &[Cache], at: usize) -> Result<Self> {
        let connect = |cache: &Cache| -> Result<_> {
            Ok(ObjectsClient::new(cache.connect()?).max_decoding_message_size(usize::MAX))
        };
        Ok(Self { caches: caches.iter().map(connect).collect::<Result<_>>()?, at })
    }

    /// Puts until it is acknowledged; gives the version.
    async fn put(&mut self, key: &str, data: &Bytes) -> Result<u64> {
        loop {
            let header = ha::PutObjectHeader { key: key.to_owned(), ..ha::PutObjectHeader::default() };
            let frames = [PutFrame::Header(header), PutFrame::Data(data.clone())];
            let frames = frames.map(|frame| ha::PutObjectFrame { frame: Some(frame) });
            let answered = timeout(CALL_MAX, self.caches[self.at].put(stream::iter(frames))).await;
            match answered.unwrap_or_else(|_| Err(Status::deadline_exceeded("it does not answer"))) {
                Ok(info) => return Ok(info.into_inner().version),
                Err(status) if is_passing(&status) => {
                    self.at = (self.at + 1) % self.caches.len();
                    sleep(PAUSE).await;
                }
                Err(status) => return Err(status).with_context(|| format!("put {key}")),
            }
        }
    }

    /// What one cache says of an object.
    async fn get(&mut self, at: usize, key: &str) -> Result<(u64, Vec<u8>), Status> {
        let request = ha::FetchObjectRequest { key: key.to_owned(), version: 0, local_only: false };
        let mut frames = self.caches[at].fetch(request).await?.into_inner();
        let (mut version, mut data) = (0, Vec::new());
        while let Some(frame) = frames.message().await? {
            match frame.frame {
                Some(Frame::Header(header)) => version = header.info.unwrap_or_default().version,
                Some(Frame::Piece(piece)) => data.extend_from_slice(&piece.data),
                None => {}
            }
        }
        Ok((version, data))
    }
}

/// Whether the same may be asked again, of another.
fn is_passing(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled | Code::DeadlineExceeded)
}

/// Puts objects of its own, one after the other, until it is told to stop.
async fn write(mut client: Client, number: u64, ledger: Shared, stop: CancellationToken) -> Result<()> {
    for step in 0_u64.. {
        if stop.is_cancelled() {
            break;
        }
        let key = match step.is_multiple_of(UPDATE_EVERY) {
            true => format!("chaos/shared/{number}-updated"),
            false => format!("chaos/shared/{number}-{step}"),
        };
        let seed = (number << 32) | step;
        let version = client.put(&key, &bytes(seed)).await?;
        ledger.acknowledged(key, Put { version, seed });
    }
    Ok(())
}

/// Plays it.
///
/// # Errors
/// If the cluster does not start, or does not come back.
pub async fn run(options: Options) -> Result<Report> {
    eprintln!("==> starting 3 coordinators and {} caches", options.caches);
    let mut cluster = Cluster::start(ClusterOptions { workers: 0, ..ClusterOptions::default() }).await?;
    let mut caches = Vec::new();
    for number in 1..=options.caches {
        caches.push(Cache::join(&cluster, &format!("cache-{number}"), &[]).await?);
    }
    let mut judge = Judge::new(NAME);
    let (ledger, stop) = (Shared::default(), CancellationToken::new());
    let mut writers = JoinSet::new();
    for number in 0..options.writers {
        let client = Client::new(&caches, number as usize % caches.len())?;
        writers.spawn(write(client, number, ledger.clone(), stop.clone()));
    }
    let mut gaps = Vec::new();
    for round in 1..=options.rounds {
        for (at, cache) in caches.iter_mut().enumerate() {
            ledger.goes_on().await?;
            ledger.take_gap();
            cache.kill().await?;
            // Once in the middle of the trouble, the leader dies too.
            let leader = match round == 1 && at == 1 {
                true => Some(cluster.leader().await?.id),
                false => None,
            };
            if let Some(leader) = leader {
                cluster.kill_coordinator(leader).await?;
            }
            ledger.goes_on().await.with_context(|| format!("{}\n{}", cache.tail(), cluster.tails()))?;
            // Every other one stays away until its lease is over, so that others make up for its copies.
            if at.is_multiple_of(2) {
                cache.attached(&cluster, false).await?;
                ledger.goes_on().await?;
            }
            if let Some(leader) = leader {
                cluster.start_coordinator(leader).await?;
            }
            cache.start_again().await?;
            cache.attached(&cluster, true).await?;
            let gap = ledger.take_gap();
            eprintln!("    round {round}: {} was away, put gap {} ms", cache.name(), millis(gap));
            gaps.push(gap);
        }
    }
    ledger.goes_on().await?;
    stop.cancel();
    while let Some(written) = writers.join_next().await {
        written??;
    }
    let Ledger { objects, puts, steps_back, .. } = std::mem::take(&mut *ledger.lock());
    eprintln!("==> {puts} puts of {} objects were acknowledged; waiting for their copies", objects.len());
    for key in objects.keys() {
        copied(&cluster, key).await?;
    }
    eprintln!("==> reading each from every cache");
    let mut client = Client::new(&caches, 0)?;
    let mut wrong = Vec::new();
    for (key, put) in &objects {
        for (at, cache) in caches.iter().enumerate() {
            match client.get(at, key).await {
                Ok((version, data)) if version >= put.version && data == bytes(put.seed) => {}
                Ok((version, _)) => wrong.push(format!("{key} at {}: version {version} of other bytes", cache.name())),
                Err(status) => wrong.push(format!("{key} at {}: {}", cache.name(), status.message())),
            }
        }
    }
    judge.figure("kills", options.rounds * options.caches);
    judge.times("put_gaps_ms", &gaps);
    judge.figure("puts", puts);
    judge.figure("objects", objects.len());
    judge.figure("lost_or_wrong", wrong.len());
    judge.figure("steps_back", steps_back);
    judge.require(wrong.is_empty(), || wrong.iter().take(SHOWN_MAX).cloned().collect::<Vec<_>>().join(", "));
    judge.require(steps_back == 0, || format!("{steps_back} versions were not higher than the one before"));
    let longest = gaps.iter().max().copied().unwrap_or_default();
    judge.presume(longest > PAUSE, || "nobody noticed that caches died".to_owned());
    for mut cache in caches {
        cache.stop().await?;
    }
    cluster.shutdown().await?;
    Ok(judge.report())
}

/// Waits until two caches have an object.
async fn copied(cluster: &Cluster, key: &str) -> Result<()> {
    wait_until(LIMIT, &format!("two copies of {key}"), || async {
        let entry = cluster.object(key).await?.with_context(|| format!("{key} is not in the directory"))?;
        let present = entry.places.iter().filter(|place| !place.away).count();
        ensure!(present >= 2, "{entry:?}");
        Ok(())
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_those_of_their_seed() {
        assert_eq!(bytes(7), bytes(7));
        assert!((0..100).all(|seed| bytes(seed).len() < BYTES_MAX as usize));
        assert_ne!(bytes((1 << 32) | 1), bytes((2 << 32) | 1));
    }

    #[test]
    fn a_version_that_goes_back_is_seen() {
        let ledger = Shared::default();
        for version in [1, 2, 2, 3] {
            ledger.acknowledged("a/shared/o".to_owned(), Put { version, seed: 0 });
        }
        let Ledger { puts, steps_back, .. } = std::mem::take(&mut *ledger.lock());
        assert_eq!((puts, steps_back), (4, 1));
    }
}
