//! A backup as it is written: piece after piece, from the files of a snapshot.

use std::fs::File;
use std::io::Read;

use bytes::Bytes;

use super::{BLOCK_BYTES_MAX, BackupHeader, BlockHeader, Passed, Trailer, beginning};
use crate::snapshot::{SnapshotHandle, file_path};
use crate::{Error, codec};

/// A backup that is being read from its beginning to its end. Its files stay as long as it does.
#[derive(Debug)]
pub struct BackupSource {
    header: BackupHeader,
    snapshot: SnapshotHandle,
    stage: Stage,
    blocks: u64,
    passed: Passed,
}

#[derive(Debug)]
enum Stage {
    Beginning,
    Files(Place),
    End,
}

/// Up to where the files have been read.
#[derive(Debug, Default)]
struct Place {
    number: u32,
    offset: u64,
    open: Option<File>,
}

impl BackupSource {
    /// A backup of this snapshot, whose manifest is in the header.
    #[must_use]
    pub fn new(header: BackupHeader, snapshot: SnapshotHandle) -> Self {
        Self { header, snapshot, stage: Stage::Beginning, blocks: 0, passed: Passed::default() }
    }

    /// What it says of itself.
    #[must_use]
    pub fn header(&self) -> &BackupHeader {
        &self.header
    }

    /// The next bytes of the file; `None` when it is whole. Blocks for a read of the disk.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::BadSnapshot`] when a file is not as long as the manifest says: the backup is of no use.
    pub fn next_piece(&mut self) -> Result<Option<Bytes>, Error> {
        let piece = match &mut self.stage {
            Stage::Beginning => {
                self.stage = Stage::Files(Place::default());
                beginning(&self.header)
            }
            Stage::Files(place) => match place.next_block(&self.header, &self.snapshot)? {
                Some(block) => {
                    self.blocks += 1;
                    block
                }
                None => {
                    self.stage = Stage::End;
                    let Passed { bytes, crc32c } = self.passed;
                    codec::encode_plain(&Trailer { blocks: self.blocks, bytes, crc32c })
                }
            },
            Stage::End => return Ok(None),
        };
        self.passed.add(&piece);
        Ok(Some(piece))
    }

    /// Size and CRC-32C of everything that was given out so far.
    #[must_use]
    pub fn passed(&self) -> (u64, u32) {
        (self.passed.bytes, self.passed.crc32c)
    }
}

impl Place {
    fn next_block(&mut self, header: &BackupHeader, snapshot: &SnapshotHandle) -> Result<Option<Bytes>, Error> {
        while let Some(listed) = header.manifest.files.get(self.number as usize) {
            let left = listed.bytes - self.offset;
            if left == 0 {
                *self = Self { number: self.number + 1, ..Self::default() };
                continue;
            }
            let path = file_path(snapshot.dir(), &listed.name)?;
            let failed = |error| Error::io(format!("cannot read {}", path.display()))(error);
            let file = match &mut self.open {
                Some(file) => file,
                closed => closed.insert(File::open(&path).map_err(failed)?),
            };
            let mut data = Vec::with_capacity(BLOCK_BYTES_MAX);
            file.take(left.min(BLOCK_BYTES_MAX as u64)).read_to_end(&mut data).map_err(failed)?;
            if data.is_empty() {
                return Err(crate::snapshot::bad(format!("{} is shorter than its manifest says", listed.name)));
            }
            let place = BlockHeader { file: self.number, offset: self.offset };
            self.offset += data.len() as u64;
            return Ok(Some(codec::join(&place, &[Bytes::from(data)])));
        }
        Ok(None)
    }
}
