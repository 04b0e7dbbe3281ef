//! Names of cached objects: `application/session/object`.
//!
//! All three parts are free text of the same rules, since published clients put objects under names that need not belong to
//! anything: the application may not be registered, and `shared` and `pkg` are no sessions.
//!
//! **Invariant:** the text of a key sorts all objects of a session, and of an application, next to each other.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::{InvalidName, SessionId, invalid};
use crate::limits;

/// The session under which packages of an application lie.
pub const PACKAGES: &str = "pkg";

/// The session under which objects lie that all sessions of an application share.
pub const SHARED: &str = "shared";

/// What stands for the session where all objects of an application are meant.
const ALL: &str = "*";

macro_rules! text {
    ($name:ident) => {
        impl $name {
            /// The text as clients write it.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

/// One object: `application/session/object`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ObjectKey(Arc<str>);

/// The objects of one session: `application/session`. An object put under it gets a name of its own.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ObjectPrefix(Arc<str>);

/// The application under which objects lie, registered or not. Quotas are counted by it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ObjectApp(Arc<str>);

text!(ObjectKey);
text!(ObjectPrefix);
text!(ObjectApp);

/// What is to be deleted or listed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ObjectTarget {
    /// One object, `application/session/object`.
    Object(ObjectKey),
    /// All objects of a session, `application/session`.
    Session(ObjectPrefix),
    /// All objects of an application, `application/*`.
    App(ObjectApp),
}

impl ObjectKey {
    /// Reads `application/session/object`.
    ///
    /// # Errors
    /// [`InvalidName`] says which part breaks which rule.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        match parts(text)?.as_slice() {
            parts @ [_, _, _] => {
                check_parts("object key", parts)?;
                Ok(Self(Arc::from(text)))
            }
            _ => Err(invalid("object key", text, "it has the form application/session/object")),
        }
    }

    /// The application.
    #[must_use]
    pub fn app(&self) -> &str {
        self.part(0)
    }

    /// The session, or what stands in its place.
    #[must_use]
    pub fn session(&self) -> &str {
        self.part(1)
    }

    /// The name within the session.
    #[must_use]
    pub fn object(&self) -> &str {
        self.part(2)
    }

    /// The application, as quotas are counted by it.
    #[must_use]
    pub fn object_app(&self) -> ObjectApp {
        ObjectApp(Arc::from(self.app()))
    }

    /// The objects among which it lies.
    #[must_use]
    pub fn prefix(&self) -> ObjectPrefix {
        let (prefix, _) = self.0.rsplit_once('/').expect("it was checked when it was made");
        ObjectPrefix(Arc::from(prefix))
    }

    /// Whether it is to be on disk, and on as many nodes as objects get that several sessions or workers need.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        matches!(self.session(), SHARED | PACKAGES)
    }

    fn part(&self, place: usize) -> &str {
        self.0.split('/').nth(place).expect("it was checked when it was made")
    }
}

impl ObjectPrefix {
    /// Reads `application/session`.
    ///
    /// # Errors
    /// [`InvalidName`] says which part breaks which rule.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        match parts(text)?.as_slice() {
            parts @ [_, _] => {
                check_parts("object prefix", parts)?;
                Ok(Self(Arc::from(text)))
            }
            _ => Err(invalid("object prefix", text, "it has the form application/session")),
        }
    }

    /// Where the objects of a session lie. `None` when the names would not make a prefix.
    #[must_use]
    pub fn of_session(app: &str, session: &SessionId) -> Option<Self> {
        Self::parse(&format!("{app}/{session}")).ok()
    }

    /// The application.
    #[must_use]
    pub fn app(&self) -> &str {
        self.0.split('/').next().expect("it was checked when it was made")
    }

    /// The session, or what stands in its place.
    #[must_use]
    pub fn session(&self) -> &str {
        self.0.split('/').nth(1).expect("it was checked when it was made")
    }

    /// As [`ObjectKey::is_durable`], of all objects among them.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        matches!(self.session(), SHARED | PACKAGES)
    }

    /// The object of this name among them.
    ///
    /// # Errors
    /// [`InvalidName`] says which rule the name breaks.
    pub fn key(&self, object: &str) -> Result<ObjectKey, InvalidName> {
        ObjectKey::parse(&format!("{}/{object}", self.0))
    }
}

impl ObjectApp {
    /// Checks the name.
    ///
    /// # Errors
    /// [`InvalidName`] says which rule it breaks.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        check_parts("application of objects", &[text])?;
        Ok(Self(Arc::from(text)))
    }
}

impl ObjectTarget {
    /// Reads `application/session/object`, `application/session` or `application/*`.
    ///
    /// # Errors
    /// [`InvalidName`] says which part breaks which rule.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        match parts(text)?.as_slice() {
            [app, ALL] => ObjectApp::parse(app).map(Self::App),
            [_, _] => ObjectPrefix::parse(text).map(Self::Session),
            [_, _, _] => ObjectKey::parse(text).map(Self::Object),
            _ => {
                let why = "it has the form application/session/object, application/session or application/*";
                Err(invalid("object key", text, why))
            }
        }
    }

    /// The application to which all that is meant belongs.
    #[must_use]
    pub fn app(&self) -> &str {
        match self {
            Self::Object(key) => key.app(),
            Self::Session(prefix) => prefix.app(),
            Self::App(app) => app.as_str(),
        }
    }

    /// Whether an object is meant.
    #[must_use]
    pub fn has(&self, key: &ObjectKey) -> bool {
        match self {
            Self::Object(one) => one == key,
            Self::Session(prefix) => key.as_str().rsplit_once('/').is_some_and(|(of, _)| of == prefix.as_str()),
            Self::App(app) => key.app() == app.as_str(),
        }
    }

    /// The texts of all keys that are meant: from the first on, and before the second.
    #[must_use]
    pub fn range(&self) -> (String, String) {
        // The character after '/' is '0': no key that is meant comes after it, and none that is not before it.
        match self {
            Self::Object(key) => (key.to_string(), format!("{key}\0")),
            Self::Session(prefix) => (format!("{prefix}/"), format!("{prefix}0")),
            Self::App(app) => (format!("{app}/"), format!("{app}0")),
        }
    }
}

/// As it is written.
impl fmt::Display for ObjectTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object(key) => key.fmt(f),
            Self::Session(prefix) => prefix.fmt(f),
            Self::App(app) => write!(f, "{app}/{ALL}"),
        }
    }
}

/// One more than anything here has, so that too many are seen as such.
const PARTS_MAX: usize = 4;

fn parts(text: &str) -> Result<Vec<&str>, InvalidName> {
    if text.len() > limits::OBJECT_KEY_BYTES_MAX {
        let why = format!("it has {} bytes, at most {} are allowed", text.len(), limits::OBJECT_KEY_BYTES_MAX);
        return Err(invalid("object key", text, why));
    }
    Ok(text.splitn(PARTS_MAX, '/').collect())
}

fn check_parts(what: &'static str, parts: &[&str]) -> Result<(), InvalidName> {
    for part in parts {
        if part.is_empty() {
            return Err(invalid(what, &parts.join("/"), "none of its parts may be empty"));
        }
        if part.len() > limits::NAME_BYTES_MAX {
            let why = format!("a part has {} bytes, at most {} are allowed", part.len(), limits::NAME_BYTES_MAX);
            return Err(invalid(what, &parts.join("/"), why));
        }
        if *part == "." || part.contains("..") || part.contains('/') || part.contains('\\') {
            return Err(invalid(what, &parts.join("/"), "its parts must not be '.' or contain '..', '/' or '\\'"));
        }
        if *part == ALL {
            return Err(invalid(
                what,
                &parts.join("/"),
                "'*' stands for all sessions of an application, in deleting only",
            ));
        }
        if part.chars().any(char::is_control) {
            return Err(invalid(what, &parts.join("/"), "it must not contain control characters"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_three_parts_and_gives_them_back() {
        let key = ObjectKey::parse("app/app-Ab12/7f00.bin").unwrap();
        assert_eq!((key.app(), key.session(), key.object()), ("app", "app-Ab12", "7f00.bin"));
        assert_eq!(key.prefix(), ObjectPrefix::parse("app/app-Ab12").unwrap());
        assert_eq!(key.prefix().key("7f00.bin").unwrap(), key);
        assert_eq!(key.object_app(), ObjectApp::parse("app").unwrap());
    }

    #[test]
    fn what_is_no_key_is_refused_with_the_rule() {
        let long = format!("a/b/{}", "x".repeat(limits::NAME_BYTES_MAX + 1));
        for (bad, rule) in [
            ("", "form"),
            ("a", "form"),
            ("a/b", "form"),
            ("a/b/c/d", "form"),
            ("a//c", "empty"),
            ("/b/c", "empty"),
            ("a/b/", "empty"),
            ("a/../c", "'..'"),
            ("a/./c", "'.'"),
            ("a/b/c..d", "'..'"),
            ("a/b\\c/d", "'\\'"),
            ("a/*/c", "'*'"),
            ("*/b/c", "'*'"),
            ("a/b/c\n", "control"),
            (long.as_str(), "at most 253"),
            ("x".repeat(10_000_000).as_str(), "at most"),
        ] {
            let error = ObjectKey::parse(bad).unwrap_err().to_string();
            assert!(error.len() < 300, "a hostile key must not be echoed whole");
            assert!(error.contains(rule), "{error} should speak of {rule}");
        }
    }

    #[test]
    fn a_target_is_an_object_a_session_or_an_application() {
        let key = ObjectKey::parse("app/s/o").unwrap();
        for (text, other) in [("app/s/o", "app/s/p"), ("app/s", "app/s2/o"), ("app/*", "app2/s/o")] {
            let target = ObjectTarget::parse(text).unwrap();
            assert_eq!((target.to_string().as_str(), target.app()), (text, "app"));
            assert!(target.has(&key) && !target.has(&ObjectKey::parse(other).unwrap()), "{text}");
        }
        for bad in ["app", "*/s", "*", "app/*/o", "a/b/c/d", "/*"] {
            assert!(ObjectTarget::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_range_of_a_target_is_just_what_it_has() {
        let keys: Vec<ObjectKey> =
            ["a/s/o", "a/s/o2", "a/s-1/o", "a/s0/o", "a/s!/o", "a!/s/o", "a0/s/o", "a.b/s/o", "ab/s/o", "a/ä/o"]
                .into_iter()
                .map(|text| ObjectKey::parse(text).unwrap())
                .collect();
        for text in ["a/s/o", "a/s", "a/*", "a!/*", "ab/s"] {
            let target = ObjectTarget::parse(text).unwrap();
            let (from, to) = target.range();
            for key in &keys {
                let within = key.as_str() >= from.as_str() && key.as_str() < to.as_str();
                assert_eq!(within, target.has(key), "{text} and {key}");
            }
        }
    }

    #[test]
    fn packages_and_shared_objects_are_durable() {
        for (key, is) in [("a/pkg/a.tar.gz", true), ("a/shared/o", true), ("a/s/o", false)] {
            assert_eq!(ObjectKey::parse(key).unwrap().is_durable(), is, "{key}");
        }
    }
}
