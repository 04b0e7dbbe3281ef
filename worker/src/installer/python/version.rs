//! A version of Python as services ask for it: major and minor, `3.12`.

use std::fmt;
use std::path::Path;

/// Major and minor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Version {
    major: u32,
    minor: u32,
}

impl Version {
    /// The published default where nothing says otherwise.
    pub(crate) const PUBLISHED: Self = Self { major: 3, minor: 12 };

    /// Reads `3.12`, `python3.12` or `3.12.4`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let mut parts = text.strip_prefix("python").unwrap_or(text).split('.');
        let mut number = || parts.next()?.parse::<u32>().ok();
        let version = Self { major: number()?, minor: number()? };
        let is_rest_fine = parts.all(|part| part.parse::<u32>().is_ok());
        (is_rest_fine && version.major >= 3).then_some(version)
    }

    /// The newest one of which there are modules below `home`: `lib/pythonX.Y/site-packages`.
    pub(crate) fn newest_below(home: &Path) -> Option<Self> {
        let entries = std::fs::read_dir(home.join("lib")).ok()?.flatten();
        let with_modules = entries.filter(|entry| entry.path().join("site-packages").is_dir());
        let names = with_modules.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(|name| name.starts_with("python")).filter_map(|name| Self::parse(&name)).max()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_people_write_them() {
        let shown = |text: &str| Version::parse(text).map(|version| version.to_string());
        for text in ["3.12", "python3.12", "3.12.4", " 3.12 "] {
            assert_eq!(shown(text).as_deref(), Some("3.12"), "{text}");
        }
        for text in ["", "3", "python", "3.x", "3.12.x", "three", "2.7", "3.12;rm"] {
            assert_eq!(shown(text), None, "{text}");
        }
        assert!(Version::parse("3.9") < Version::parse("3.10"));
    }

    #[test]
    fn the_newest_modules_say_the_version() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(Version::newest_below(home.path()), None);
        for name in ["python3.9/site-packages", "python3.10/site-packages", "python3.13", "other"] {
            std::fs::create_dir_all(home.path().join("lib").join(name)).unwrap();
        }
        assert_eq!(Version::newest_below(home.path()), Version::parse("3.10"));
    }
}
