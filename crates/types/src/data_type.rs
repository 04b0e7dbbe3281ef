//! What kind of data an object is said to hold.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::{InvalidName, invalid};
use crate::limits;

/// A kind of data: `raw`, `json`, … as whoever puts the object calls it. Nothing here depends on it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DataType(Arc<str>);

impl DataType {
    /// Checks the name: 1–64 printable ASCII characters.
    ///
    /// # Errors
    /// [`InvalidName`] says which rule it breaks.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        const WHAT: &str = "data type";
        if text.is_empty() {
            return Err(invalid(WHAT, text, "it must not be empty"));
        }
        if text.len() > limits::DATA_TYPE_BYTES_MAX {
            let why = format!("it has {} bytes, at most {} are allowed", text.len(), limits::DATA_TYPE_BYTES_MAX);
            return Err(invalid(WHAT, text, why));
        }
        if !text.chars().all(|c| c.is_ascii_graphic()) {
            return Err(invalid(WHAT, text, "only printable ASCII characters are allowed, and no spaces"));
        }
        Ok(Self(Arc::from(text)))
    }

    /// The name as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_type_is_a_short_word() {
        for good in ["raw", "json", "application/x-npy", &"x".repeat(limits::DATA_TYPE_BYTES_MAX)] {
            assert!(DataType::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "ä", "a\n", &"x".repeat(limits::DATA_TYPE_BYTES_MAX + 1)] {
            assert!(DataType::parse(bad).is_err(), "{bad:?}");
        }
    }
}
