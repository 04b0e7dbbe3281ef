//! The history of the on-disk format.
//!
//! Every database carries the version it was written with. A program opens what it knows and refuses what is newer:
//! it would otherwise drop what it does not understand.

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::codec;

/// The format of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OnDiskVersion(pub u32);

impl OnDiskVersion {
    /// 2026-11-22: the first. Log and state in two databases, values in envelopes of format 1.
    pub const V1: OnDiskVersion = OnDiskVersion(1);

    /// What this program writes.
    pub const CURRENT: OnDiskVersion = Self::V1;

    /// Checks a stored version; `None` is a database that has just been made.
    ///
    /// # Errors
    /// [`Error::NewerFormat`]; or what `damaged` makes of a version that cannot be read.
    pub(crate) fn check(
        stored: Option<&[u8]>,
        what: &'static str,
        damaged: impl Fn(String) -> Error,
    ) -> Result<(), Error> {
        let Some(bytes) = stored else { return Ok(()) };
        let found: OnDiskVersion =
            codec::decode_plain(bytes).map_err(|error| damaged(format!("format version: {error}")))?;
        if found > Self::CURRENT {
            return Err(Error::NewerFormat { what, found: found.0, known: Self::CURRENT.0 });
        }
        Ok(())
    }
}
