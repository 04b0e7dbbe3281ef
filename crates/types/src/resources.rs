//! What an executor needs and a worker has.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Amounts of each resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Resources {
    /// Processors.
    pub cpu: u64,
    /// Memory, in bytes.
    pub memory: u64,
    /// Graphics processors.
    pub gpu: u32,
}

/// One gibibyte.
pub const GIB: u64 = 1 << 30;

impl Resources {
    /// Nothing at all. As a request it means: the cluster's default.
    pub const ZERO: Resources = Resources { cpu: 0, memory: 0, gpu: 0 };

    /// What a session gets that asks for nothing on a cluster without a default of its own (published).
    pub const FALLBACK: Resources = Resources { cpu: 1, memory: GIB, gpu: 0 };

    /// Whether nothing is asked for.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self == Self::ZERO
    }

    /// Whether this fits into `room`.
    #[must_use]
    pub fn fits(self, room: Resources) -> bool {
        self.cpu <= room.cpu && self.memory <= room.memory && self.gpu <= room.gpu
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Resources) -> Resources {
        Resources {
            cpu: self.cpu.saturating_add(other.cpu),
            memory: self.memory.saturating_add(other.memory),
            gpu: self.gpu.saturating_add(other.gpu),
        }
    }

    /// What remains, or `None` when `other` is more than there is.
    #[must_use]
    pub fn minus(self, other: Resources) -> Option<Resources> {
        Some(Resources {
            cpu: self.cpu.checked_sub(other.cpu)?,
            memory: self.memory.checked_sub(other.memory)?,
            gpu: self.gpu.checked_sub(other.gpu)?,
        })
    }

    /// What remains, with nothing below zero.
    #[must_use]
    pub fn saturating_minus(self, other: Resources) -> Resources {
        Resources {
            cpu: self.cpu.saturating_sub(other.cpu),
            memory: self.memory.saturating_sub(other.memory),
            gpu: self.gpu.saturating_sub(other.gpu),
        }
    }

    /// `n` of these.
    #[must_use]
    pub fn times(self, n: u64) -> Resources {
        Resources {
            cpu: self.cpu.saturating_mul(n),
            memory: self.memory.saturating_mul(n),
            gpu: u32::try_from(u64::from(self.gpu).saturating_mul(n)).unwrap_or(u32::MAX),
        }
    }

    /// How many of these fit into `room`; `u64::MAX` when this is nothing.
    #[must_use]
    pub fn count_in(self, room: Resources) -> u64 {
        let share = |need: u64, have: u64| have.checked_div(need).unwrap_or(u64::MAX);
        share(self.cpu, room.cpu)
            .min(share(self.memory, room.memory))
            .min(share(u64::from(self.gpu), u64::from(room.gpu)))
    }
}

/// Memory for people: whole Gi, Mi or Ki when large enough, else bytes (the published integer division).
#[must_use]
pub fn format_memory(bytes: u64) -> String {
    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;
    match bytes {
        b if b >= GIB => format!("{}Gi", b / GIB),
        b if b >= MIB => format!("{}Mi", b / MIB),
        b if b >= KIB => format!("{}Ki", b / KIB),
        b => format!("{b}B"),
    }
}

impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cpu={},mem={},gpu={}", self.cpu, format_memory(self.memory), self.gpu)
    }
}

/// Why a resource text was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid resources {text:?}: {why}; write them like cpu=1,mem=2g,gpu=0")]
pub struct InvalidResources {
    text: String,
    why: String,
}

impl FromStr for Resources {
    type Err = InvalidResources;

    /// Reads `cpu=2,mem=4g,gpu=1`. Keys: `cpu`, `mem` or `memory`, `gpu`; a missing key is 0.
    fn from_str(text: &str) -> Result<Self, InvalidResources> {
        let fail = |why: String| InvalidResources { text: text.chars().take(200).collect(), why };
        let mut resources = Resources::ZERO;
        if text.trim().is_empty() {
            return Err(fail("it is empty".into()));
        }
        for part in text.split(',') {
            let (key, value) = part.split_once('=').ok_or_else(|| fail(format!("{part:?} has no '='")))?;
            let (key, value) = (key.trim(), value.trim());
            match key {
                "cpu" => {
                    resources.cpu = value.parse().map_err(|_| fail(format!("cpu {value:?} is not a whole number")))?;
                }
                "mem" | "memory" => {
                    resources.memory = parse_memory(value).ok_or_else(|| {
                        fail(format!("memory {value:?} is not a whole number with an optional k, m, g, t or p"))
                    })?;
                }
                "gpu" => {
                    resources.gpu = value.parse().map_err(|_| fail(format!("gpu {value:?} is not a whole number")))?;
                }
                _ => return Err(fail(format!("unknown key {key:?}"))),
            }
        }
        Ok(resources)
    }
}

/// Reads an amount of memory: bytes, or with k, m, g, t, p and an optional `b`, `i` or `ib`; always powers of 1024.
#[must_use]
pub fn parse_memory(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let digits_end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(digits_end);
    let amount: u64 = digits.parse().ok()?;
    let power = match unit.trim() {
        "" | "b" => 0,
        "k" | "kb" | "ki" | "kib" => 1,
        "m" | "mb" | "mi" | "mib" => 2,
        "g" | "gb" | "gi" | "gib" => 3,
        "t" | "tb" | "ti" | "tib" => 4,
        "p" | "pb" | "pi" | "pib" => 5,
        _ => return None,
    };
    amount.checked_mul(1024u64.checked_pow(power)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_texts_are_read() {
        assert_eq!("cpu=2,mem=4g,gpu=1".parse(), Ok(Resources { cpu: 2, memory: 4 * GIB, gpu: 1 }));
        assert_eq!("memory=512MiB".parse(), Ok(Resources { cpu: 0, memory: 512 << 20, gpu: 0 }));
        for bad in ["", "cpu", "cpu=x", "mem=1q", "tpu=1", "gpu=-1"] {
            assert!(bad.parse::<Resources>().is_err(), "{bad}");
        }
    }

    #[test]
    fn memory_is_shown_in_whole_units() {
        assert_eq!(Resources { cpu: 1, memory: 2 * GIB, gpu: 0 }.to_string(), "cpu=1,mem=2Gi,gpu=0");
        assert_eq!(format_memory(1536 << 20), "1Gi");
        assert_eq!(format_memory(700), "700B");
    }

    #[test]
    fn counting_ignores_what_is_not_asked_for() {
        let room = Resources { cpu: 8, memory: 4 * GIB, gpu: 0 };
        assert_eq!(Resources { cpu: 1, memory: GIB, gpu: 0 }.count_in(room), 4);
        assert_eq!(Resources { cpu: 1, memory: 0, gpu: 1 }.count_in(room), 0);
    }
}
