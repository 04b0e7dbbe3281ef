//! `flmctl cluster backup`.
//!
//! **Invariant:** under the name that was given there is a whole backup, or what was there before: what comes is written
//! beside it, synced, and renamed.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use flame_sdk::BackupDownload;
use flame_sdk::model::BackupInfo;
use flame_types::CoordinatorId;

use super::{Context, OutputArgs, rescue};
use crate::exit::{Exit, Failure};
use crate::output::note;
use crate::render::{BackupTaken, megabytes};

/// How often it is said how far it is, in percent.
const SAY_EVERY: u64 = 10;

/// Flags of `flmctl cluster backup`.
#[derive(Clone, Debug, Args)]
pub struct BackupArgs {
    /// The file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Take none: check this one from its first byte to its last, without a cluster, and say what is in it
    #[arg(long, conflicts_with_all = ["from", "force", "stale"])]
    pub verify: bool,
    /// A folder for --verify, with as much room as the backup takes; that of the file when not given
    #[arg(long, value_name = "DIR", requires = "verify")]
    pub scratch: Option<PathBuf>,
    /// The coordinator that gives it; the one that is reached when not given
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub from: Option<u64>,
    /// Replace the file if there is one
    #[arg(long)]
    pub force: bool,
    /// Take what a coordinator holds although no majority confirms that this is all that was acknowledged
    #[arg(long)]
    pub stale: bool,
    /// How to print
    #[command(flatten)]
    pub output: OutputArgs,
}

pub(super) async fn run(context: &Context, args: &BackupArgs) -> Result<(), Failure> {
    refuse_existing(args)?;
    // Refused here rather than when the coordinator has done its part.
    let mut file = Unfinished::create(&args.file)?;
    let taken = context.connection.take_backup(args.from.map(CoordinatorId), args.stale).await;
    let mut download = taken.map_err(|error| match Failure::from(error) {
        failure if failure.message.contains("A stale backup") => {
            failure.hint("--stale takes it; a coordinator that is not behind may be named with --from")
        }
        failure => failure,
    })?;
    note(&format!("coordinator {} sends entry {}\n", download.info().coordinator, download.info().index));
    receive(&mut download, &mut file).await?;
    refuse_existing(args)?;
    file.finish(&args.file)?;
    let info = download.info().clone();
    if !info.confirmed {
        note("nobody has confirmed that this is all that was acknowledged\n");
    }
    let BackupInfo { cluster_id, coordinator, index, term, digest, confirmed, .. } = info;
    let file = args.file.display().to_string();
    let bytes = download.bytes();
    let taken = BackupTaken { file, cluster_id, coordinator, index, term, bytes, digest, confirmed };
    context.show(&taken, args.output.format).map(|_| ())
}

/// Checks a file. Needs no cluster.
pub(super) async fn verify(args: &BackupArgs) -> Result<(), Failure> {
    let mut words = vec!["verify-backup".into(), args.file.clone().into_os_string()];
    if let Some(scratch) = &args.scratch {
        words.extend(["--scratch".into(), scratch.clone().into_os_string()]);
    }
    rescue::hand_over(words, args.output.format).await
}

fn refuse_existing(args: &BackupArgs) -> Result<(), Failure> {
    if args.force || !args.file.exists() {
        return Ok(());
    }
    let failure = Failure::new(Exit::Conflict, format!("{} is there already", args.file.display()));
    Err(failure.hint("name another file, or replace it with --force"))
}

async fn receive(download: &mut BackupDownload, file: &mut Unfinished) -> Result<(), Failure> {
    let all = download.info().content_bytes.max(1);
    let mut said = 0;
    while let Some(data) = download.next().await? {
        file.write(&data)?;
        let percent = download.bytes().saturating_mul(100) / all / SAY_EVERY * SAY_EVERY;
        if percent > said {
            said = percent;
            note(&format!("{} of {}\n", megabytes(download.bytes()), megabytes(all)));
        }
    }
    Ok(())
}

/// A file that goes away again unless it is finished.
struct Unfinished {
    path: PathBuf,
    file: File,
    is_kept: bool,
}

impl Unfinished {
    fn create(wanted: &Path) -> Result<Self, Failure> {
        let name = wanted.file_name().ok_or_else(|| Failure::usage(format!("{} is no file name", wanted.display())))?;
        let mut beside = name.to_os_string();
        beside.push(format!(".unfinished-{}", std::process::id()));
        let path = wanted.with_file_name(beside);
        let file = File::create_new(&path).map_err(|error| failed("create", &path, &error))?;
        Ok(Self { path, file, is_kept: false })
    }

    fn write(&mut self, data: &[u8]) -> Result<(), Failure> {
        self.file.write_all(data).map_err(|error| failed("write", &self.path, &error))
    }

    /// Under its name, durably.
    fn finish(mut self, wanted: &Path) -> Result<(), Failure> {
        self.file.sync_all().map_err(|error| failed("sync", &self.path, &error))?;
        std::fs::rename(&self.path, wanted).map_err(|error| failed("rename", &self.path, &error))?;
        self.is_kept = true;
        let folder = wanted.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| failed("sync", folder, &error))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.is_kept {
            // Left behind it harms nobody: its name says what it is.
            let _left_behind = std::fs::remove_file(&self.path);
        }
    }
}

fn failed(what: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(format!("cannot {what} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_finished_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let wanted = folder.path().join("b.flame");
        std::fs::write(&wanted, "before").unwrap();
        let mut file = Unfinished::create(&wanted).unwrap();
        file.write(b"half").unwrap();
        drop(file);
        assert_eq!(std::fs::read(&wanted).unwrap(), b"before");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let mut file = Unfinished::create(&wanted).unwrap();
        file.write(b"whole").unwrap();
        file.finish(&wanted).unwrap();
        assert_eq!(std::fs::read(&wanted).unwrap(), b"whole");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
