//! `coordinator.objects`: how many copies cached objects get, and how much of them an application may have.

use flame_types::limits::OBJECT_COPIES_MAX;

use crate::coordinator::memory;
use crate::error::ConfigError;
use crate::layers::Layers;

/// The keys that concern cached objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectsSection {
    /// Copies of what sessions share and of packages.
    pub copies: u32,
    /// Copies of objects of sessions.
    pub session_copies: u32,
    /// Most bytes of the objects of one application.
    pub app_bytes_max: u64,
}

impl ObjectsSection {
    pub(crate) fn build(layers: &Layers) -> Result<Self, ConfigError> {
        Ok(Self {
            copies: layers.get("coordinator.objects.copies").parse_set(copies)?,
            session_copies: layers.get("coordinator.objects.session_copies").parse_set(copies)?,
            app_bytes_max: layers.get("coordinator.objects.app_bytes").parse_set(memory)?,
        })
    }
}

fn copies(text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|copies| (1..=OBJECT_COPIES_MAX).contains(copies));
    number.ok_or_else(|| format!("is no number of copies; write one from 1 to {OBJECT_COPIES_MAX}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_has_one_copy_at_least() {
        assert_eq!(copies("1"), Ok(1));
        assert_eq!(copies("16"), Ok(16));
        for text in ["0", "17", "-1", "two", ""] {
            assert!(copies(text).unwrap_err().contains("from 1 to 16"), "{text}");
        }
    }
}
