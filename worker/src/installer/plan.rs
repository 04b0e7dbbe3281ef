//! What an application asks for: installer, package, version of Python.

use std::fmt;

use flame_proto::ha;
use flame_types::AppName;

use super::error::InstallError;
use super::python::version::Version;
use super::url::PackageUrl;

/// The variable by which an application asks for a version of Python, and by which its service learns the one it got.
pub(crate) const VERSION_VARIABLE: &str = "FLAME_PYTHON_VERSION";

/// How a package becomes something that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// It is unpacked.
    Binary,
    /// It is a Python project: its dependencies are installed as well.
    Python,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Binary => "binary",
            Self::Python => "python",
        })
    }
}

/// What an application with an installer asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Plan {
    pub(crate) application: AppName,
    pub(crate) kind: Kind,
    /// Nothing is fetched without one.
    pub(crate) url: Option<PackageUrl>,
    /// The version of Python, if the application names one.
    pub(crate) version: Option<Version>,
}

impl Plan {
    /// The plan of an application; none if it has no installer.
    pub(crate) fn of(application: &ha::Application) -> Result<Option<Self>, InstallError> {
        let Some(installer) = application.installer.as_deref().filter(|name| !name.is_empty()) else { return Ok(None) };
        let kind = match installer.to_ascii_lowercase().as_str() {
            "binary" => Kind::Binary,
            "python" => Kind::Python,
            _ => return Err(InstallError::Unknown(installer.chars().take(64).collect())),
        };
        let url = application.url.as_deref().filter(|url| !url.is_empty());
        let url = url.map(|text| {
            PackageUrl::parse(text).map_err(|why| InstallError::Url { url: text.chars().take(200).collect(), why })
        });
        let version = application.environments.get(VERSION_VARIABLE).filter(|text| !text.is_empty());
        let version = match (kind, version) {
            (Kind::Python, Some(text)) => {
                Some(Version::parse(text).ok_or_else(|| InstallError::Version(text.chars().take(64).collect()))?)
            }
            _ => None,
        };
        let name = AppName::parse(&application.name).map_err(|error| InstallError::Name(error.to_string()))?;
        Ok(Some(Self { application: name, kind, url: url.transpose()?, version }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(installer: Option<&str>, url: Option<&str>, version: Option<&str>) -> ha::Application {
        ha::Application {
            name: "a".into(),
            installer: installer.map(str::to_owned),
            url: url.map(str::to_owned),
            environments: version.map(|text| (VERSION_VARIABLE.to_owned(), text.to_owned())).into_iter().collect(),
            ..ha::Application::default()
        }
    }

    #[test]
    fn an_application_without_installer_asks_for_nothing() {
        for none in [None, Some("")] {
            assert_eq!(Plan::of(&app(none, Some("nonsense"), Some("x"))), Ok(None));
        }
    }

    #[test]
    fn names_of_installers_are_read_in_any_case() {
        let plan = Plan::of(&app(Some("PyThon"), Some(""), Some("python3.12"))).unwrap().unwrap();
        assert_eq!((plan.kind, plan.url, plan.version), (Kind::Python, None, Version::parse("3.12")));
        let plan = Plan::of(&app(Some("binary"), Some("file:///a.zip"), Some("3.12"))).unwrap().unwrap();
        assert_eq!((plan.kind, plan.version), (Kind::Binary, None));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let error = |app: ha::Application| Plan::of(&app).unwrap_err().to_string();
        assert!(error(app(Some("conda"), None, None)).contains("write python or binary"));
        assert!(error(app(Some("python"), None, Some("three"))).contains("write it like 3.12"));
        assert!(error(app(Some("binary"), Some("a.zip"), None)).contains("has no scheme"));
        assert!(error(ha::Application { name: "../a".into(), ..app(Some("binary"), None, None) }).contains("'..'"));
    }
}
