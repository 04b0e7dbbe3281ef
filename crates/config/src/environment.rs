//! Environment variables, as something a test can make up.

use std::collections::BTreeMap;

/// Where environment variables come from.
pub trait Environment {
    /// The value of a variable; `None` when it is unset, empty or not valid UTF-8 text.
    fn get(&self, name: &str) -> Option<String>;
}

/// The environment of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn get(&self, name: &str) -> Option<String> {
        std::env::var(name).ok().filter(|value| !value.is_empty())
    }
}

/// A made-up environment.
impl Environment for BTreeMap<&str, &str> {
    fn get(&self, name: &str) -> Option<String> {
        BTreeMap::get(self, name).filter(|value| !value.is_empty()).map(|value| (*value).to_owned())
    }
}
