//! Archives that are deployed, unpacked into a scratch folder. Only files and folders: whoever wants links deploys the
//! folder.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

/// Most bytes that come out of an archive.
const BYTES_MAX: u64 = 16 << 30;

/// Most entries.
const ENTRIES_MAX: usize = 200_000;

/// Unpacks a `.tar.gz` into an empty folder. The error says what is wrong with it.
pub(super) fn unpack(archive: &Path, folder: &Path) -> Result<(), String> {
    let broken = |error: io::Error| format!("it is no whole .tar.gz archive: {error}");
    let file = File::open(archive).map_err(|error| error.to_string())?;
    let mut archive = tar::Archive::new(flate2::read::MultiGzDecoder::new(BufReader::new(file)));
    let mut left = BYTES_MAX;
    for (number, entry) in archive.entries().map_err(broken)?.enumerate() {
        if number >= ENTRIES_MAX {
            return Err(format!("it holds more than {ENTRIES_MAX} entries"));
        }
        let mut entry = entry.map_err(broken)?;
        let name = entry.path().map_err(broken)?.into_owned();
        let kind = entry.header().entry_type();
        let Some(path) = place(folder, &name)? else { continue };
        let failed = |error: io::Error| format!("{name:?}: {error}");
        if kind.is_dir() {
            fs::create_dir_all(&path).map_err(failed)?;
        } else if kind.is_file() {
            fs::create_dir_all(path.parent().unwrap_or(folder)).map_err(failed)?;
            let mode = entry.header().mode().map_err(broken)? & 0o777 | 0o600;
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&path).map_err(failed)?;
            let written = io::copy(&mut entry.by_ref().take(left.saturating_add(1)), &mut file).map_err(failed)?;
            left = left.checked_sub(written).ok_or_else(|| format!("it holds more than {BYTES_MAX} bytes"))?;
        } else if kind.is_pax_global_extensions() || kind.is_pax_local_extensions() {
            // Says something about others; the library has read it.
        } else {
            return Err(format!("{name:?} is neither a file nor a folder; deploy the folder itself to keep links"));
        }
    }
    Ok(())
}

/// Where an entry goes; none for the folder itself.
fn place(folder: &Path, name: &Path) -> Result<Option<PathBuf>, String> {
    let mut path = folder.to_owned();
    let mut parts = 0;
    for component in name.components() {
        match component {
            Component::CurDir => {}
            Component::Normal(part) => {
                path.push(part);
                parts += 1;
            }
            Component::Prefix(_) | Component::RootDir | Component::ParentDir => {
                return Err(format!("the name {name:?} leads out of it"));
            }
        }
    }
    Ok((parts > 0).then_some(path))
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    /// An archive with one entry, whatever its name.
    fn archive(path: &Path, name: &str, kind: tar::EntryType) {
        let mut builder = tar::Builder::new(GzEncoder::new(File::create(path).unwrap(), Compression::fast()));
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_size(0);
        header.set_cksum();
        builder.append(&header, io::empty()).unwrap();
        builder.into_inner().unwrap().finish().unwrap();
    }

    #[test]
    fn what_leads_out_or_is_a_link_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let (path, out) = (place.path().join("a.tar.gz"), place.path().join("out"));
        fs::create_dir(&out).unwrap();
        for (name, kind, part) in [
            ("../evil", tar::EntryType::Regular, "leads out"),
            ("/evil", tar::EntryType::Regular, "leads out"),
            ("link", tar::EntryType::Symlink, "neither a file nor a folder"),
            ("link", tar::EntryType::Link, "neither a file nor a folder"),
        ] {
            archive(&path, name, kind);
            let why = unpack(&path, &out).unwrap_err();
            assert!(why.contains(part), "{name}: {why}");
        }
        archive(&path, "d/fine", tar::EntryType::Regular);
        unpack(&path, &out).unwrap();
        assert!(out.join("d/fine").is_file());
        fs::write(&path, "nonsense").unwrap();
        assert!(unpack(&path, &out).unwrap_err().contains("no whole .tar.gz"));
    }
}
