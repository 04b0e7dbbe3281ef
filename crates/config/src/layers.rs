//! The four layers merged: flags over environment over file over defaults.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::ConfigError;
use crate::keys::{self, KEYS, Key};
use crate::tree::Leaf;
use crate::{Environment, duration};

/// Who gave a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nobody did.
    Default,
    /// A line of the file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
    },
    /// An environment variable.
    Environment(String),
    /// A flag of the command line, as the user types it.
    Flag(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}, line {line}", path.display()),
            Self::Environment(name) => write!(f, "environment, {name}"),
            Self::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

/// Values given on the command line.
#[derive(Clone, Debug, Default)]
pub struct Flags(BTreeMap<&'static str, (&'static str, Vec<String>)>);

impl Flags {
    /// The key takes this value if the flag was given.
    ///
    /// # Panics
    /// When no such key exists: that is a mistake of the program, not of its user.
    #[must_use]
    pub fn set(self, key: &'static str, flag: &'static str, value: Option<impl fmt::Display>) -> Self {
        self.set_list(key, flag, value.map(|value| value.to_string()))
    }

    /// The same for a key that takes a list: the flag can be given several times. None at all leaves the key alone.
    ///
    /// # Panics
    /// As [`Flags::set`].
    #[must_use]
    pub fn set_list(mut self, key: &'static str, flag: &'static str, values: impl IntoIterator<Item = String>) -> Self {
        assert!(keys::find(key).is_some(), "the flag {flag} sets the key {key}, which does not exist");
        let values: Vec<_> = values.into_iter().collect();
        if !values.is_empty() {
            self.0.insert(key, (flag, values));
        }
        self
    }
}

/// The value of one key and who gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The key.
    pub key: &'static Key,
    /// The value. A scalar has one item, an unset key none.
    pub items: Vec<String>,
    /// Who gave it.
    pub source: Source,
}

/// The value of every key.
#[derive(Clone, Debug)]
pub struct Layers(BTreeMap<&'static str, Setting>);

impl Layers {
    /// Lays the layers on one another.
    ///
    /// # Errors
    /// A key of the file that does not exist.
    pub(crate) fn merge(
        file: Option<(&Path, Vec<Leaf>)>,
        environment: &dyn Environment,
        flags: &Flags,
    ) -> Result<Self, ConfigError> {
        let mut settings: BTreeMap<_, _> = KEYS.iter().map(|key| (key.path, default(key))).collect();
        let mut put = |key: &'static Key, items: Vec<String>, source: Source| {
            settings.insert(key.path, Setting { key, items, source });
        };
        if let Some((path, leaves)) = file {
            for Leaf { path: name, items, line } in leaves {
                match keys::find(&name) {
                    Some(key) if !items.is_empty() => put(key, items, Source::File { path: path.to_owned(), line }),
                    Some(_) => {}
                    None if items.is_empty() && keys::is_section(&name) => {}
                    None => return Err(unknown(path, line, name)),
                }
            }
        }
        for key in KEYS {
            let Some(variable) = key.variable() else { continue };
            let Some(text) = environment.get(&variable) else { continue };
            // Lists are written with ';' between their items, since ',' is part of resources and members.
            let items = text.split(';').map(|item| item.trim().to_owned()).collect();
            put(key, items, Source::Environment(variable));
        }
        for (path, (flag, items)) in &flags.0 {
            let key = keys::find(path).expect("Flags::set checked that the key exists");
            put(key, items.clone(), Source::Flag(flag));
        }
        Ok(Self(settings))
    }

    /// Every key with its value, in the order of the table.
    pub fn iter(&self) -> impl Iterator<Item = &Setting> {
        KEYS.iter().map(|key| &self.0[key.path])
    }

    /// The value of one key.
    ///
    /// # Panics
    /// When no such key exists: that is a mistake of the program.
    #[must_use]
    pub(crate) fn get(&self, path: &'static str) -> &Setting {
        self.0.get(path).unwrap_or_else(|| panic!("the key {path} is not in the table of keys"))
    }
}

fn default(key: &'static Key) -> Setting {
    let items = if key.default.is_empty() { Vec::new() } else { vec![key.default.to_owned()] };
    Setting { key, items, source: Source::Default }
}

fn unknown(path: &Path, line: u64, key: String) -> ConfigError {
    let hint = keys::nearest(&key).map(|near| format!(" (did you mean {near}?)")).unwrap_or_default();
    ConfigError::UnknownKey { path: path.to_owned(), line, key: shown(&key), hint }
}

impl Setting {
    /// The value as text; `None` when it is unset.
    ///
    /// # Errors
    /// The value is a list.
    pub(crate) fn text(&self) -> Result<Option<&str>, ConfigError> {
        match self.items.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(one)),
            _ => Err(self.invalid("is a list, where one value is expected")),
        }
    }

    /// The value read by `parse`, which says what is wrong as a half sentence; `None` when it is unset.
    pub(crate) fn parse<T>(&self, parse: impl Fn(&str) -> Result<T, String>) -> Result<Option<T>, ConfigError> {
        self.text()?.map(|text| parse(text).map_err(|why| self.invalid(why))).transpose()
    }

    /// The same for a key that has a default.
    pub(crate) fn parse_set<T>(&self, parse: impl Fn(&str) -> Result<T, String>) -> Result<T, ConfigError> {
        self.parse(parse)?.ok_or_else(|| self.invalid("is missing"))
    }

    /// A length of time.
    pub(crate) fn duration(&self) -> Result<std::time::Duration, ConfigError> {
        let duration = self.parse_set(duration::parse)?;
        if duration.is_zero() {
            return Err(self.invalid("is no time at all; every limit is longer than that"));
        }
        Ok(duration)
    }

    /// A whole number of at least `least`.
    pub(crate) fn number<T: std::str::FromStr + PartialOrd + fmt::Display>(&self, least: T) -> Result<T, ConfigError> {
        let number: T = self.parse_set(|text| {
            text.parse().map_err(|_| format!("is not a whole number that fits; write one of at least {least}"))
        })?;
        if number < least {
            return Err(self.invalid(format!("is too small; write at least {least}")));
        }
        Ok(number)
    }

    /// Yes or no.
    pub(crate) fn flag(&self) -> Result<bool, ConfigError> {
        self.parse_set(|text| text.parse().map_err(|_| "is neither true nor false".to_owned()))
    }

    /// The error that this value is wrong.
    pub(crate) fn invalid(&self, why: impl Into<String>) -> ConfigError {
        ConfigError::Value {
            key: self.key.path,
            source_of_value: self.source.clone(),
            text: shown(&self.items.join("; ")),
            why: why.into(),
        }
    }

    /// The error that this value cannot be served.
    pub(crate) fn refused(&self, why: impl Into<String>) -> ConfigError {
        ConfigError::Refused { key: self.key.path, source_of_value: self.source.clone(), why: why.into() }
    }
}

/// Text from outside, cut to what fits into a message.
fn shown(text: &str) -> String {
    const CHARS_MAX: usize = 120;
    let mut cut: String = text.chars().take(CHARS_MAX).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    cut
}
