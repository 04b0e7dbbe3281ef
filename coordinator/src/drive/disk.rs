//! Free disk: watched on every node, long before a write fails.
//!
//! A failed write has an unknown outcome and ends the process, and a database that has run out of room cannot even
//! compact to make some. So three marks lie above that, all taken from one configured floor:
//!
//! | free bytes are below | then |
//! |---|---|
//! | the floor | this node is *low*: the leader hears of it, and stops taking more in while no majority has room ([`shortage`](super::shortage)) |
//! | a sixteenth of it | this node ends with exit code 15, before a write can fail |
//!
//! And a quarter of the floor lies in a reserve file beside the data, or more if the log takes more in advance when it is
//! opened. A node that starts without room gives it up: with that much it can follow, apply and compact while its operator
//! frees disk. It is made again when there is room.
//!
//! **Invariant:** the reserve holds nothing, so giving it up loses nothing.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flame_storage::{Cause, Fatal};
use rustix::fs::{FallocateFlags, fallocate, statvfs};
use tokio::sync::watch;

/// Unless configured, the floor is this share of the file system …
const FLOOR_PERCENT: u64 = 5;
/// … and at most so many bytes.
const FLOOR_MAX: u64 = 2 << 30;

/// A node is low until it has a quarter more than the floor: it does not change its mind with every file.
const EASE_PERCENT: u64 = 125;

/// Name of the reserve in the data directory.
const RESERVE: &str = "reserve";

/// How often it is looked at while there is plenty, and while there is not.
const LOOK: Duration = Duration::from_secs(2);
const LOOK_CLOSELY: Duration = Duration::from_millis(250);

/// This many times the floor is plenty.
const PLENTY: u64 = 4;

/// Room on the file system of the data directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// Bytes that this process may still take.
    pub free: u64,
    /// Bytes of all.
    pub total: u64,
    /// Whether there is less than the floor.
    pub is_low: bool,
}

/// The marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Marks {
    floor: u64,
    /// What the log takes of the disk before it needs it.
    ahead: u64,
}

impl Marks {
    fn of(configured: Option<u64>, total: u64, ahead: u64) -> Self {
        Self { floor: configured.unwrap_or_else(|| (total / 100 * FLOOR_PERCENT).min(FLOOR_MAX)), ahead }
    }

    /// Below this the process ends.
    fn bottom(self) -> u64 {
        self.floor / 16
    }

    /// A start that is given it must not end at the bottom once more: the log takes its share again before it has let go of
    /// the old one. Without a floor there is none.
    fn reserve(self) -> u64 {
        if self.floor == 0 {
            return 0;
        }
        (self.floor / 4).max(self.bottom().saturating_add(2 * self.ahead))
    }

    fn is_low(self, free: u64, was_low: bool) -> bool {
        let mark = if was_low { self.floor / 100 * EASE_PERCENT } else { self.floor };
        free < mark
    }
}

/// The disk of the data directory, for those who show it.
#[derive(Clone, Debug)]
pub struct DataDisk {
    /// The data directory.
    pub folder: PathBuf,
    /// Free bytes below which this node is short of disk.
    pub floor: u64,
}

/// Looks at the disk for as long as the node runs.
pub struct DiskWatch {
    folder: PathBuf,
    marks: Marks,
    space: watch::Sender<Space>,
}

impl DiskWatch {
    /// Looks for the first time, and gives the reserve up if there is no room to start in. `floor` is what is configured,
    /// `ahead` what the log takes in advance.
    ///
    /// # Errors
    /// If the file system does not say what it has, or the reserve cannot be removed.
    pub fn open(folder: &Path, floor: Option<u64>, ahead: u64) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let (mut free, total) = room(folder)?;
        let marks = Marks::of(floor, total, ahead);
        let reserve = folder.join(RESERVE);
        if free < marks.reserve() && reserve.exists() {
            tracing::warn!(free, "there is no room to start in: the reserve is given up; free some disk");
            std::fs::remove_file(&reserve)?;
            free = room(folder)?.0;
        }
        let space = Space { free, total, is_low: marks.is_low(free, false) };
        Ok(Self { folder: folder.to_owned(), marks, space: watch::Sender::new(space) })
    }

    /// What it looks at.
    #[must_use]
    pub fn disk(&self) -> DataDisk {
        DataDisk { folder: self.folder.clone(), floor: self.marks.floor }
    }

    /// Follows what is found.
    #[must_use]
    pub fn follow(&self) -> watch::Receiver<Space> {
        self.space.subscribe()
    }

    /// Looks again and again; ends the process through `fatal` when next to nothing is left.
    pub async fn run(self, fatal: Fatal) {
        loop {
            let folder = self.folder.clone();
            // A disk that hangs must not hang anything else.
            match tokio::task::spawn_blocking(move || room(&folder)).await {
                Ok(Ok((free, total))) => self.found(free, total, &fatal).await,
                Ok(Err(error)) => tracing::warn!(%error, "the file system does not say what it has"),
                Err(_ended) => return,
            }
            let is_plenty = self.space.borrow().free > self.marks.floor.saturating_mul(PLENTY);
            tokio::time::sleep(if is_plenty { LOOK } else { LOOK_CLOSELY }).await;
        }
    }

    async fn found(&self, free: u64, total: u64, fatal: &Fatal) {
        if free < self.marks.bottom() {
            let (folder, bottom) = (self.folder.display(), self.marks.bottom());
            fatal.raise_as(Cause::Full(format!("{folder} has {free} bytes left, fewer than {bottom}")));
            return;
        }
        self.space.send_if_modified(|space| {
            let is_low = self.marks.is_low(free, space.is_low);
            match (space.is_low, is_low) {
                (false, true) => tracing::warn!(free, floor = self.marks.floor, "this node is short of disk"),
                (true, false) => tracing::info!(free, "this node has room on its disk again"),
                _ => {}
            }
            let is_news = space.is_low != is_low;
            *space = Space { free, total, is_low };
            is_news
        });
        self.keep_reserve(free).await;
    }

    /// Makes the reserve when there is room for it and everything else.
    async fn keep_reserve(&self, free: u64) {
        let (path, bytes) = (self.folder.join(RESERVE), self.marks.reserve());
        if bytes == 0 || path.exists() || free < self.marks.floor.saturating_add(2 * bytes) {
            return;
        }
        let made = tokio::task::spawn_blocking(move || reserve(&path, bytes)).await;
        if let Ok(Err(error)) = made {
            tracing::warn!(%error, "no disk could be set aside");
        }
    }
}

/// Free bytes and all bytes.
fn room(folder: &Path) -> io::Result<(u64, u64)> {
    let found = statvfs(folder)?;
    Ok((found.f_bavail.saturating_mul(found.f_frsize), found.f_blocks.saturating_mul(found.f_frsize)))
}

/// Sets disk aside. What is only half made is removed.
fn reserve(path: &Path, bytes: u64) -> io::Result<()> {
    let file = File::create_new(path)?;
    let made = fallocate(&file, FallocateFlags::empty(), 0, bytes);
    if made.is_err() {
        std::fs::remove_file(path)?;
    }
    Ok(made?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn the_floor_follows_the_size_of_the_disk_unless_it_is_configured() {
        assert_eq!(Marks::of(None, 10 * GIB, 0).floor, 10 * GIB / 100 * 5);
        assert_eq!(Marks::of(None, 1000 * GIB, 0).floor, 2 * GIB);
        assert_eq!(Marks::of(Some(7), 1000 * GIB, 0).floor, 7);
    }

    #[test]
    fn whoever_gives_up_its_reserve_can_open_its_log() {
        for floor in [1, 1 << 20, 256 << 20, 2 * GIB] {
            let marks = Marks { floor, ahead: 53 << 20 };
            assert!(marks.reserve() - 2 * marks.ahead >= marks.bottom(), "{floor}");
        }
        assert_eq!(Marks { floor: 2 * GIB, ahead: 53 << 20 }.reserve(), GIB / 2);
        assert_eq!(Marks { floor: 0, ahead: 53 << 20 }.reserve(), 0);
    }

    #[test]
    fn a_node_is_low_until_it_has_some_more_than_the_floor() {
        let marks = Marks { floor: 1000, ahead: 0 };
        assert!(!marks.is_low(1000, false) && marks.is_low(999, false));
        assert!(marks.is_low(1249, true) && !marks.is_low(1250, true));
        assert!(marks.bottom() < marks.reserve() && marks.reserve() < marks.floor);
    }

    #[tokio::test]
    async fn the_reserve_is_made_when_there_is_room_and_given_up_when_there_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let reserve = folder.path().join(RESERVE);
        let watch = DiskWatch::open(folder.path(), Some(64 << 10), 0).unwrap();
        let Space { free, total, is_low } = *watch.follow().borrow();
        assert!(!is_low && free <= total);
        watch.found(free, total, &Fatal::new()).await;
        assert_eq!(reserve.metadata().unwrap().len(), 16 << 10);

        // No disk has so much.
        let watch = DiskWatch::open(folder.path(), Some(u64::MAX / 200), 0).unwrap();
        assert!(watch.follow().borrow().is_low);
        assert!(!reserve.exists());
    }

    #[tokio::test]
    async fn a_node_ends_before_a_write_can_fail() {
        let folder = tempfile::tempdir().unwrap();
        let watch = DiskWatch::open(folder.path(), Some(1600), 0).unwrap();
        let (fatal, mut space) = (Fatal::new(), watch.follow());
        watch.found(1599, 10_000, &fatal).await;
        assert!(space.borrow_and_update().is_low && fatal.cause().is_none());
        watch.found(99, 10_000, &fatal).await;
        assert!(matches!(fatal.cause(), Some(Cause::Full(_))), "{:?}", fatal.cause());
    }
}
