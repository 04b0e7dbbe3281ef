//! Frozen bytes: `name = hex` lines of a file in `testdata/`.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Index;

use bytes::Bytes;

/// The lines of one file.
pub(crate) struct Fixtures(BTreeMap<String, Bytes>);

/// Reads `name = hex` lines; `#` starts a comment line.
pub(crate) fn lines(text: &str) -> Fixtures {
    let named = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(|line| {
        let (name, hex) = line.split_once(" = ").expect("name = hex");
        let digits = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex digits");
        (name.to_owned(), (0..hex.len()).step_by(2).map(digits).collect())
    });
    Fixtures(named.collect())
}

impl Index<&str> for Fixtures {
    type Output = Bytes;

    fn index(&self, name: &str) -> &Bytes {
        self.0.get(name).unwrap_or_else(|| panic!("no fixture {name}"))
    }
}

impl fmt::Debug for Fixtures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
