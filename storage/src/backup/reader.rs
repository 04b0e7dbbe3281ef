//! A backup as it is read: checked from its first byte to its last, and unpacked into a snapshot.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use bytes::Bytes;

use super::{BACKUP_FORMAT, BEGINNING_BYTES, BackupHeader, BlockHeader, MAGIC, Passed, Trailer, bad};
use crate::codec::{self, CodecError, VALUE_BYTES_MAX};
use crate::envelope::HEADER_BYTES;
use crate::snapshot::{MANIFEST, ROWS, file_path};
use crate::{Error, SnapshotFile, files};

/// A backup whose header was read.
#[derive(Debug)]
pub struct BackupReader<R> {
    bytes: Bytewise<R>,
    header: BackupHeader,
}

impl<R: Read> BackupReader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// [`Error::BadBackup`] says what is wrong with the file, [`Error::Io`] that it cannot be read.
    pub fn open(input: R) -> Result<Self, Error> {
        let mut bytes = Bytewise { input, passed: Passed::default() };
        let beginning = bytes.take(BEGINNING_BYTES)?;
        if beginning[..MAGIC.len()] != MAGIC {
            return Err(bad("this is not a backup: it was written by another program"));
        }
        let format = u32::from_le_bytes(beginning[MAGIC.len()..].try_into().expect("four bytes are left"));
        if format == 0 || format > BACKUP_FORMAT {
            return Err(bad(format!(
                "it has format {format}, and this program knows formats up to {BACKUP_FORMAT}: use a newer release"
            )));
        }
        let header: BackupHeader = bytes.value("its header", |value| codec::decode_plain(&value))?;
        header.manifest.check()?;
        Ok(Self { bytes, header })
    }

    /// What it says of itself.
    #[must_use]
    pub fn header(&self) -> &BackupHeader {
        &self.header
    }

    /// Reads on to the end and writes the snapshot into a directory that does not exist yet. What was written is synced by
    /// whoever installs it.
    ///
    /// # Errors
    /// [`Error::BadBackup`], [`Error::Io`].
    pub fn unpack(self, dir: &Path) -> Result<BackupHeader, Error> {
        files::create_dir(&dir.join(ROWS))?;
        let manifest = self.header.manifest.encode();
        let header = self.read(|listed| {
            let path = file_path(dir, &listed.name)?;
            File::create_new(&path).map_err(Error::io(format!("cannot create {}", path.display())))
        })?;
        files::write_atomically(&dir.join(MANIFEST), &manifest)?;
        Ok(header)
    }

    /// Reads on to the end and keeps nothing.
    ///
    /// # Errors
    /// [`Error::BadBackup`], [`Error::Io`].
    pub fn check(self) -> Result<BackupHeader, Error> {
        self.read(|_| Ok(std::io::sink()))
    }

    fn read<W: Write>(
        mut self,
        mut open: impl FnMut(&SnapshotFile) -> Result<W, Error>,
    ) -> Result<BackupHeader, Error> {
        let mut blocks = 0;
        for (number, listed) in (0_u32..).zip(&self.header.manifest.files) {
            let mut file = open(listed)?;
            let (mut offset, mut crc32c) = (0, 0);
            while offset < listed.bytes {
                let data = self.bytes.block(BlockHeader { file: number, offset })?;
                file.write_all(&data).map_err(Error::io(format!("cannot write {}", listed.name)))?;
                offset += data.len() as u64;
                crc32c = crc32c::crc32c_append(crc32c, &data);
                blocks += 1;
            }
            if (offset, crc32c) != (listed.bytes, listed.crc32c) {
                return Err(bad(format!("{} is not as its header says", listed.name)));
            }
        }
        self.bytes.end(blocks)?;
        Ok(self.header)
    }
}

/// The input, counted.
#[derive(Debug)]
struct Bytewise<R> {
    input: R,
    passed: Passed,
}

impl<R: Read> Bytewise<R> {
    fn block(&mut self, expected: BlockHeader) -> Result<Bytes, Error> {
        let at = self.passed.bytes;
        let (found, parts) = self.value("a block", codec::split::<BlockHeader>)?;
        match <[Bytes; 1]>::try_from(parts) {
            Ok([data]) if found == expected && !data.is_empty() => Ok(data),
            _ => Err(bad(format!("the block at byte {at} is not the one that belongs there"))),
        }
    }

    fn end(&mut self, blocks: u64) -> Result<(), Error> {
        let Passed { bytes, crc32c } = self.passed;
        let trailer: Trailer = self.value("its trailer", |value| codec::decode_plain(&value))?;
        if trailer != (Trailer { blocks, bytes, crc32c }) {
            return Err(bad("its trailer speaks of something else than came before it"));
        }
        let mut more = [0];
        match self.input.read(&mut more).map_err(unreadable)? {
            0 => Ok(()),
            _ => Err(bad(format!("it goes on behind its trailer, at byte {}", self.passed.bytes))),
        }
    }

    fn value<T>(&mut self, what: &str, decode: impl Fn(Bytes) -> Result<T, CodecError>) -> Result<T, Error> {
        let at = self.passed.bytes;
        let damaged = |why: String| bad(format!("{what}, at byte {at}, is damaged: {why}"));
        let mut whole = self.take(HEADER_BYTES)?;
        let length = codec::framed_bytes(&whole).ok_or_else(|| damaged(CodecError::Magic.to_string()))?;
        if length > VALUE_BYTES_MAX {
            return Err(damaged(CodecError::TooLarge { bytes: length }.to_string()));
        }
        whole.extend_from_slice(&self.take(length - HEADER_BYTES)?);
        decode(Bytes::from(whole)).map_err(|error| damaged(error.to_string()))
    }

    /// So many bytes. Memory grows with what comes, not with what a damaged length promises.
    fn take(&mut self, count: usize) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        (&mut self.input).take(count as u64).read_to_end(&mut bytes).map_err(unreadable)?;
        self.passed.add(&bytes);
        if bytes.len() < count {
            return Err(bad(format!(
                "it ends too early, at byte {}: it was cut, or never finished",
                self.passed.bytes
            )));
        }
        Ok(bytes)
    }
}

fn unreadable(error: std::io::Error) -> Error {
    Error::io("cannot read the backup")(error)
}
