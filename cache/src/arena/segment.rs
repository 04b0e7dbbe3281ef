//! The memory, and objects in it.
//!
//! It is a file without a name (`memfd`), whose descriptor clients are given: whoever has it has mapped it, in whichever
//! container; nothing is left of it when the last of them ends; and its seals keep all of them from changing its size, so
//! that reading it never fails.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

use crate::arena::allocator::{Allocator, Range};

/// Where an object begins in its pages: four bytes before a multiple of 64, since four bytes of every object say what the
/// others are, and those are read where they lie.
const LEAD_BYTES: u64 = 60;

const NOT_THERE: &str = "memory that cannot shrink is there";

/// The memory. A handle: clones are of the same.
#[derive(Clone)]
pub struct Segment(Arc<Inner>);

struct Inner {
    memory: File,
    allocator: Mutex<Allocator>,
}

impl Segment {
    /// So much memory. The system gives pages when they are first written.
    ///
    /// # Errors
    /// The system has no such files.
    pub fn new(bytes: u64) -> io::Result<Self> {
        let memory = memfd_create("flame-cache", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        let memory = File::from(memory);
        let allocator = Allocator::new(bytes);
        memory.set_len(allocator.bytes())?;
        fcntl_add_seals(&memory, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        Ok(Self(Arc::new(Inner { memory, allocator: Mutex::new(allocator) })))
    }

    /// How much there is.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.allocator().bytes()
    }

    /// How much is given out.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.0.allocator().used()
    }

    /// Room for an object of so many bytes, if there is.
    #[must_use]
    pub fn allocate(&self, len: u64) -> Option<Arc<Extent>> {
        let range = self.0.allocator().allocate(len.checked_add(LEAD_BYTES)?)?;
        Some(Arc::new(Extent { segment: self.0.clone(), range, len, pins: AtomicUsize::new(0) }))
    }
}

impl AsFd for Segment {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.memory.as_fd()
    }
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segment").field("bytes", &self.bytes()).field("used", &self.used()).finish()
    }
}

impl Inner {
    // Nothing that is done under the lock can fail halfway.
    fn allocator(&self) -> MutexGuard<'_, Allocator> {
        self.allocator.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bytes of an object, or of a part of one, in the memory. They are free again when it is dropped.
pub struct Extent {
    segment: Arc<Inner>,
    range: Range,
    len: u64,
    pins: AtomicUsize,
}

impl Extent {
    /// Where its first byte is.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.range.offset + LEAD_BYTES
    }

    /// How many bytes it has.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A copy of some of its bytes.
    #[must_use]
    pub fn read(&self, at: u64, count: usize) -> Bytes {
        assert!(at.checked_add(count as u64).is_some_and(|end| end <= self.len), "bytes beyond an extent are read");
        let mut bytes = vec![0; count];
        self.segment.memory.read_exact_at(&mut bytes, self.offset() + at).expect(NOT_THERE);
        Bytes::from(bytes)
    }

    /// Writes some of its bytes.
    ///
    /// # Errors
    /// The system has no memory for them.
    pub fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let end = at.checked_add(bytes.len() as u64);
        assert!(end.is_some_and(|end| end <= self.len), "bytes beyond an extent are written");
        self.segment.memory.write_all_at(bytes, self.offset() + at)
    }

    /// Whether a client reads it.
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        self.pins.load(Ordering::Relaxed) > 0
    }
}

impl Drop for Extent {
    fn drop(&mut self) {
        self.segment.allocator().free(self.range);
    }
}

impl fmt::Debug for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extent").field("offset", &self.offset()).field("len", &self.len).finish_non_exhaustive()
    }
}

/// Somebody reads an extent: it stays where it is until this is dropped.
#[derive(Debug)]
pub struct Pin(Arc<Extent>);

impl Pin {
    /// Pins it.
    #[must_use]
    pub fn new(extent: Arc<Extent>) -> Self {
        extent.pins.fetch_add(1, Ordering::Relaxed);
        Self(extent)
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.0.pins.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::allocator::PAGE_BYTES;

    #[test]
    fn what_is_written_is_read_and_given_back() {
        let segment = Segment::new(4 * PAGE_BYTES).unwrap();
        let extent = segment.allocate(PAGE_BYTES).unwrap();
        assert_eq!((extent.offset() + 4) % 64, 0);
        extent.write(PAGE_BYTES - 3, b"end").unwrap();
        assert_eq!(extent.read(PAGE_BYTES - 4, 4), &b"\0end"[..]);
        assert_eq!(segment.used(), 2 * PAGE_BYTES);
        assert!(segment.allocate(2 * PAGE_BYTES).is_none());
        let pin = Pin::new(extent.clone());
        assert!(extent.is_pinned());
        drop(extent);
        assert_eq!(segment.used(), 2 * PAGE_BYTES);
        drop(pin);
        assert_eq!(segment.used(), 0);
    }

    #[test]
    fn nobody_changes_its_size() {
        let segment = Segment::new(PAGE_BYTES).unwrap();
        let copy = File::from(segment.as_fd().try_clone_to_owned().unwrap());
        assert!(copy.set_len(0).is_err());
        assert!(copy.set_len(2 * PAGE_BYTES).is_err());
    }
}
