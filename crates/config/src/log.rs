//! How long the log of a coordinator gets, how fast it sends snapshots to those who miss what was cut, and when one that is
//! behind turns its clients away.

use flame_types::resources::parse_memory;

use crate::error::ConfigError;
use crate::layers::Layers;

/// The log is cut no more often than this: each time costs a flush of the rows.
const BYTES_MIN: u64 = 64 << 10;

/// The lowest rate but none: slower, a sender would be taken for dead.
const RATE_MIN: u64 = 64 << 10;

/// A node that works is a few entries behind at any time.
const BEHIND_MIN: u64 = 100;

/// The keys that concern the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSection {
    /// Bytes of entries after which the log is cut.
    pub bytes_max: u64,
    /// Bytes of the newest entries that stay then.
    pub bytes_kept: u64,
    /// Bytes of snapshots sent in a second; 0 for no limit.
    pub snapshot_rate: u64,
    /// Entries that a node may be behind before it turns clients away.
    pub behind_max: u64,
}

pub(crate) fn build(layers: &Layers) -> Result<LogSection, ConfigError> {
    Ok(LogSection {
        bytes_max: layers.get("coordinator.log_bytes").parse_set(|text| at_least(BYTES_MIN, text))?,
        bytes_kept: layers.get("coordinator.log_kept").parse_set(bytes)?,
        snapshot_rate: layers.get("coordinator.snapshot_rate").parse_set(rate)?,
        behind_max: layers.get("coordinator.behind_max").number(BEHIND_MIN)?,
    })
}

fn bytes(text: &str) -> Result<u64, String> {
    parse_memory(text).ok_or_else(|| "is no amount of bytes; write one like 512m or 2g".to_owned())
}

fn at_least(least: u64, text: &str) -> Result<u64, String> {
    match bytes(text)? {
        few if few < least => Err(format!("is less than {least} bytes")),
        enough => Ok(enough),
    }
}

fn rate(text: &str) -> Result<u64, String> {
    match bytes(text)? {
        0 => Ok(0),
        _ => at_least(RATE_MIN, text).map_err(|why| format!("{why} a second; 0 means no limit")),
    }
}
