//! One disk for each coordinator: make, cut, mount again.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use rustix::fs::{FallocateFlags, fallocate, statvfs};
use tempfile::TempDir;

use crate::disks::journal::{Deed, Journal, loop_devices, run};

/// Sparse: only what is written takes room.
const DISK_BYTES: u64 = 1 << 30;

/// How long the file system may keep what nobody synced to itself. Long, so that it is certainly gone after a cut.
const MOUNT_OPTIONS: &str = "commit=300";

/// The file system's own shutdown call: `EXT4_IOC_SHUTDOWN` with `EXT4_GOING_FLAGS_NOLOGFLUSH`. It needs the `ioctl`
/// system call, for which this workspace, free of unsafe code, has no way of its own.
const SHUTDOWN_SCRIPT: &str = "
import fcntl, os, struct, sys
handle = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECTORY)
fcntl.ioctl(handle, 0x8004587D, struct.pack('I', 2))
os.close(handle)
";

/// Disks of one run. Dropping them unmounts and detaches everything.
pub struct Disks {
    // Dropped first: nothing may be mounted any more when the folder goes.
    journal: Journal,
    disks: Vec<Disk>,
    _folder: TempDir,
}

struct Disk {
    image: PathBuf,
    mounted_at: PathBuf,
}

impl Disks {
    /// Makes and mounts so many disks.
    ///
    /// # Errors
    /// If a tool fails; what was done so far is undone.
    pub fn make(count: usize) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("flame-disks-").tempdir().context("create a folder for disks")?;
        let mut disks = Self { journal: Journal::begin()?, disks: Vec::new(), _folder: folder };
        for number in 1..=count {
            disks.add(number)?;
        }
        Ok(disks)
    }

    fn add(&mut self, number: usize) -> Result<()> {
        let image = self._folder.path().join(format!("disk-{number}.ext4"));
        let mounted_at = self._folder.path().join(format!("disk-{number}"));
        let file = std::fs::File::create(&image).with_context(|| format!("create {}", image.display()))?;
        file.set_len(DISK_BYTES).context("size the disk")?;
        std::fs::create_dir(&mounted_at).context("create the mount point")?;
        run(Command::new("mkfs.ext4")
            .args(["-q", "-F", "-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1"])
            .arg(&image))?;
        self.journal.note(Deed::Attached(image.clone()))?;
        run(Command::new("losetup").args(["--find", "--nooverlap"]).arg(&image))?;
        let disk = Disk { image, mounted_at };
        mount(&mut self.journal, &disk)?;
        self.disks.push(disk);
        Ok(())
    }

    /// A folder on each disk.
    #[must_use]
    pub fn folders(&self) -> Vec<PathBuf> {
        self.disks.iter().map(|disk| disk.mounted_at.join("data")).collect()
    }

    /// Fills one disk, counted from 0, until so many bytes are free.
    ///
    /// # Errors
    /// If less is free already.
    pub fn fill(&self, index: usize, free: u64) -> Result<()> {
        let path = self.ballast(index);
        if path.exists() {
            self.empty(index)?;
        }
        let room = statvfs(&self.disks[index].mounted_at).context("look at the disk")?;
        let bytes = (room.f_bavail * room.f_frsize).checked_sub(free).context("less is free already")?;
        let file = std::fs::File::create(&path).with_context(|| format!("create {}", path.display()))?;
        fallocate(&file, FallocateFlags::empty(), 0, bytes).context("fill the disk")
    }

    /// Frees what [`Disks::fill`] took.
    ///
    /// # Errors
    /// If the disk was not filled.
    pub fn empty(&self, index: usize) -> Result<()> {
        std::fs::remove_file(self.ballast(index)).context("empty the disk")
    }

    fn ballast(&self, index: usize) -> PathBuf {
        self.disks[index].mounted_at.join("ballast")
    }

    /// Cuts the power of all disks, one right after the other. Whoever still writes to them gets errors from now on.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn cut_power(&self) -> Result<()> {
        (0..self.disks.len()).try_for_each(|index| self.cut_power_of(index))
    }

    /// Cuts the power of one disk, counted from 0.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn cut_power_of(&self, index: usize) -> Result<()> {
        let mounted_at = &self.disks[index].mounted_at;
        run(Command::new("python3").args(["-c", SHUTDOWN_SCRIPT]).arg(mounted_at)).map(drop)
    }

    /// Mounts all disks again, as after a boot. Nobody may use them.
    ///
    /// # Errors
    /// If a disk is in use, or the file system does not recover.
    pub fn power_on(&mut self) -> Result<()> {
        (0..self.disks.len()).try_for_each(|index| self.power_on_of(index))
    }

    /// Mounts one disk again, counted from 0.
    ///
    /// # Errors
    /// As [`Disks::power_on`].
    pub fn power_on_of(&mut self, index: usize) -> Result<()> {
        let disk = &self.disks[index];
        self.journal.undo(&Deed::Mounted(disk.mounted_at.clone()))?;
        mount(&mut self.journal, disk)
    }
}

fn mount(journal: &mut Journal, disk: &Disk) -> Result<()> {
    let device =
        loop_devices(&disk.image)?.pop().with_context(|| format!("no device serves {}", disk.image.display()))?;
    journal.note(Deed::Mounted(disk.mounted_at.clone()))?;
    run(Command::new("mount").args(["-t", "ext4", "-o", MOUNT_OPTIONS]).arg(Path::new(&device)).arg(&disk.mounted_at))?;
    Ok(())
}
