//! How fast snapshots are shipped: so many bytes a second, for all peers together.
//!
//! **Invariant:** in any time `t`, no more than `rate * (t + DEPTH)` bytes and one chunk are let through.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What a bucket holds when it is full, in time: unused time counts for no more than this.
const DEPTH: Duration = Duration::from_millis(250);

/// A chunk is at most what the rate gives in this time: nobody who waits for one must think that the sender has died …
const CHUNK_TIME: Duration = Duration::from_millis(125);

/// … but never smaller than this. With the lowest rate that can be configured, sixteen peers that share it get one every four
/// seconds.
const CHUNK_BYTES_MIN: u64 = 16 << 10;

/// Earns bytes with time.
#[derive(Debug)]
pub(super) struct TokenBucket {
    per_second: u64,
    /// When everything that was taken is earned.
    earned_at: Instant,
}

impl TokenBucket {
    /// A full bucket.
    pub(super) fn new(per_second: u64, now: Instant) -> Self {
        Self { per_second: per_second.max(1), earned_at: now.checked_sub(DEPTH).unwrap_or(now) }
    }

    /// Takes so many bytes, and says how long to wait before they may be used.
    pub(super) fn take(&mut self, bytes: u64, now: Instant) -> Duration {
        let full = now.checked_sub(DEPTH).unwrap_or(now);
        let from = self.earned_at.max(full);
        self.earned_at = from + Duration::from_secs_f64(bytes as f64 / self.per_second as f64);
        from.saturating_duration_since(now)
    }
}

/// The pace of all shipments of a node.
pub(super) struct Pace {
    /// `None`: as fast as it goes.
    bucket: Option<Mutex<TokenBucket>>,
    chunk_bytes: usize,
}

impl Pace {
    /// So many bytes a second; 0 for no limit. Chunks have at most `chunk_bytes_max`.
    pub(super) fn new(per_second: u64, chunk_bytes_max: usize) -> Self {
        if per_second == 0 {
            return Self { bucket: None, chunk_bytes: chunk_bytes_max };
        }
        let in_time = (per_second as f64 * CHUNK_TIME.as_secs_f64()) as u64;
        let chunk_bytes = in_time.clamp(CHUNK_BYTES_MIN, chunk_bytes_max as u64) as usize;
        Self { bucket: Some(Mutex::new(TokenBucket::new(per_second, Instant::now()))), chunk_bytes }
    }

    /// How large a chunk is.
    pub(super) fn chunk_bytes(&self) -> usize {
        self.chunk_bytes
    }

    /// Waits until so many bytes may leave.
    pub(super) async fn wait_for(&self, bytes: u64) {
        let Some(bucket) = &self.bucket else { return };
        // Nothing that is done under the lock can fail halfway.
        let wait = bucket.lock().unwrap_or_else(PoisonError::into_inner).take(bytes, Instant::now());
        tokio::time::sleep(wait).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u64 = 1 << 20;
    const CHUNK: u64 = 64 << 10;

    #[test]
    fn who_waits_as_told_never_exceeds_the_rate() {
        let begin = Instant::now();
        let mut bucket = TokenBucket::new(RATE, begin);
        let mut now = begin;
        let mut sent = Vec::new();
        for round in 0..1_000_u32 {
            // Some senders are slow at times.
            now += Duration::from_millis(u64::from(round % 97 == 0) * 400);
            now += bucket.take(CHUNK, now);
            sent.push(now);
        }
        for (first, from) in sent.iter().enumerate() {
            for (last, until) in sent.iter().enumerate().skip(first) {
                let bytes = (last - first + 1) as u64 * CHUNK;
                let allowed = RATE as f64 * (*until - *from + DEPTH).as_secs_f64() + CHUNK as f64 + 1.0;
                assert!(bytes as f64 <= allowed, "{bytes} bytes between {first} and {last}, {allowed} are allowed");
            }
        }
        let took = sent[999].duration_since(begin);
        let least = Duration::from_secs_f64((999 * CHUNK) as f64 / RATE as f64) - DEPTH;
        assert!(took >= least && took < least + Duration::from_secs(5), "it is no slower either: {took:?}");
    }

    #[test]
    fn unused_time_counts_for_little() {
        let begin = Instant::now();
        let mut bucket = TokenBucket::new(RATE, begin);
        let later = begin + Duration::from_secs(3600);
        let free = (0..1_000).take_while(|_| bucket.take(CHUNK, later).is_zero()).count() as u64;
        assert!(free * CHUNK <= RATE / 4 + CHUNK, "{free} chunks at once");
    }

    #[test]
    fn a_low_rate_has_small_chunks() {
        assert_eq!(Pace::new(0, 1 << 20).chunk_bytes(), 1 << 20);
        assert_eq!(Pace::new(64 << 10, 1 << 20).chunk_bytes() as u64, CHUNK_BYTES_MIN);
        assert_eq!(Pace::new(1 << 20, 1 << 20).chunk_bytes(), 128 << 10);
        assert_eq!(Pace::new(1 << 30, 1 << 20).chunk_bytes(), 1 << 20);
    }
}
