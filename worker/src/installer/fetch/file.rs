//! Files of this host, or of a file system that all hosts share. They are copied first: what is checked, unpacked and
//! installed must be one and the same content.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tokio::fs::File;
use tokio::io::AsyncReadExt;

use super::{Fetched, Fingerprint, Sink};

/// Bytes that are read at once.
const PIECE_BYTES: usize = 256 << 10;

pub(super) async fn fetch(source: &Path, had: Option<&Fingerprint>, sink: &mut Sink<'_>) -> Result<Fetched, String> {
    let failed = |error: std::io::Error| error.to_string();
    // Looked at before it is read: what changes meanwhile has another fingerprint next time.
    let mut file = File::open(source).await.map_err(failed)?;
    let metadata = file.metadata().await.map_err(failed)?;
    if !metadata.is_file() {
        return Err("it is no file".to_owned());
    }
    let fingerprint = fingerprint(&metadata);
    if had == Some(&fingerprint) {
        return Ok(Fetched::Same);
    }
    sink.announce(metadata.len())?;
    sink.begin().await?;
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match file.read(&mut piece).await.map_err(failed)? {
            0 => return Ok(Fetched::New(fingerprint)),
            length => sink.write(&piece[..length]).await?,
        }
    }
}

fn fingerprint(metadata: &Metadata) -> Fingerprint {
    let nanoseconds = |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
    Fingerprint::File {
        bytes: metadata.len(),
        inode: metadata.ino(),
        modified_ns: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
        changed_ns: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Sources;
    use super::*;
    use crate::installer::url::PackageUrl;

    #[tokio::test]
    async fn a_file_is_fetched_until_it_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let (source, target) = (folder.path().join("a.zip"), folder.path().join("download"));
        let url = PackageUrl::parse(&format!("file://{}", source.display())).unwrap();
        let sources = Sources { bytes_max: 10, ..Sources::default() };
        let error = sources.fetch(&url, None, &target).await.unwrap_err().to_string();
        assert!(error.contains("cannot fetch") && error.contains("No such file"), "{error}");
        std::fs::write(&source, "one").unwrap();
        let Fetched::New(first) = sources.fetch(&url, None, &target).await.unwrap() else { panic!("it is new") };
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "one");
        assert_eq!(sources.fetch(&url, Some(&first), &target).await.unwrap(), Fetched::Same);
        // The same name and length, and another content.
        std::fs::write(folder.path().join("other"), "two").unwrap();
        std::fs::rename(folder.path().join("other"), &source).unwrap();
        let again = sources.fetch(&url, Some(&first), &target).await.unwrap();
        assert!(matches!(again, Fetched::New(second) if second != first));
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "two");
        std::fs::write(&source, "12345678901").unwrap();
        let error = sources.fetch(&url, None, &target).await.unwrap_err().to_string();
        assert!(error.contains("11 bytes, more than worker.package_bytes_max (10)"), "{error}");
    }
}
