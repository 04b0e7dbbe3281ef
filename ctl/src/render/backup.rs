//! A backup that was taken.

use serde::Serialize;

use super::{Render, Sheet};

/// `flmctl cluster backup`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BackupTaken {
    /// Where it lies.
    pub file: String,
    /// Of which cluster.
    pub cluster_id: String,
    /// Which coordinator gave it.
    pub coordinator: u64,
    /// Everything up to this entry of the log is in it.
    pub index: u64,
    /// The term of that entry.
    pub term: u64,
    /// The size of the file.
    pub bytes: u64,
    /// Of the state after that entry.
    pub digest: String,
    /// Whether it holds everything that was acknowledged before it was asked for.
    pub confirmed: bool,
}

impl Render for BackupTaken {
    fn sheet(&self) -> Sheet {
        let Self { file, cluster_id, index, bytes, digest, .. } = self;
        let size = megabytes(*bytes);
        Sheet::of_text(format!(
            "Backup <{file}> holds cluster <{cluster_id}> up to entry {index}: {size}, digest {digest}.\n"
        ))
    }
}

/// A size for people.
#[must_use]
pub fn megabytes(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    if bytes < MIB { format!("{} KiB", bytes.div_ceil(1024)) } else { format!("{} MiB", bytes.div_ceil(MIB)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_up() {
        assert_eq!([megabytes(1), megabytes(1 << 20), megabytes((1 << 20) + 1)], ["1 KiB", "1 MiB", "2 MiB"]);
    }
}
