//! Where the coordinators are.
//!
//! The first of these that says something decides: endpoints given by the program (flags), a configuration file given by
//! the program, the environment variable `FLAME_ENDPOINT` (several, with commas), `~/.flame/flame.yaml`, the default.
//!
//! Certificates ([`crate::tls`]) come from the file, and from `FLAME_CA_FILE`, `FLAME_CERT_FILE` and `FLAME_KEY_FILE` where
//! it has none.
//!
//! **Invariant:** the file stays readable for published clients: `cluster.endpoint` is one URL; further coordinators go
//! into `cluster.endpoints`, a key they skip. For the same reason unknown keys are skipped here.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::FlameError;
use crate::tls::{CA_FILE_VARIABLE, CERT_FILE_VARIABLE, KEY_FILE_VARIABLE, NamedFiles, TlsFiles, is_secure};

/// Names the nodes of the object cache, separated by commas.
pub const CACHE_ENDPOINT_VARIABLE: &str = "FLAME_CACHE_ENDPOINT";

/// Where a cluster is looked for that nobody has named.
pub const DEFAULT_ENDPOINT: &str = "http://127.0.0.1:8080";

/// Names the endpoints, separated by commas.
pub const ENDPOINT_VARIABLE: &str = "FLAME_ENDPOINT";

/// Most endpoints one client keeps.
pub(crate) const ENDPOINTS_MAX: usize = 64;

/// Largest configuration file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

const DEFAULT_PORT: u16 = 8080;

/// The coordinators of one cluster, as URLs, in the order in which they are tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    urls: Vec<String>,
    tls: NamedFiles,
}

/// What of the environment decides where the coordinators are. A value of its own so that tests need no process
/// environment.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `FLAME_ENDPOINT`.
    pub endpoint: Option<String>,
    /// `FLAME_CA_FILE`, `FLAME_CERT_FILE`, `FLAME_KEY_FILE`.
    pub tls: TlsFiles,
    /// The folder that holds `.flame/flame.yaml`.
    pub home: Option<PathBuf>,
    /// `FLAME_CACHE_ENDPOINT`.
    pub cache_endpoint: Option<String>,
}

impl Environment {
    /// The environment of this process.
    #[must_use]
    pub fn of_process() -> Self {
        let text = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        Self {
            endpoint: text(ENDPOINT_VARIABLE),
            tls: TlsFiles {
                ca_file: text(CA_FILE_VARIABLE).map(PathBuf::from),
                cert_file: text(CERT_FILE_VARIABLE).map(PathBuf::from),
                key_file: text(KEY_FILE_VARIABLE).map(PathBuf::from),
            },
            home: text("HOME").map(PathBuf::from),
            cache_endpoint: text(CACHE_ENDPOINT_VARIABLE),
        }
    }
}

impl Endpoints {
    /// These endpoints: URLs or `host:port`, each item possibly several with commas between.
    ///
    /// ```
    /// use flame_sdk::Endpoints;
    ///
    /// let endpoints = Endpoints::parse(&["http://a:8080, b:9000", "https://c"])?;
    /// assert_eq!(endpoints.urls(), ["http://a:8080", "http://b:9000", "https://c:8080"]);
    /// # Ok::<(), flame_sdk::FlameError>(())
    /// ```
    ///
    /// # Errors
    /// [`FlameError::InvalidArgument`] names the text that is no endpoint.
    pub fn parse<T: AsRef<str>>(texts: &[T]) -> Result<Self, FlameError> {
        let mut urls: Vec<String> = Vec::new();
        for text in texts.iter().flat_map(|text| text.as_ref().split(',')) {
            if text.trim().is_empty() {
                continue;
            }
            let url = parse_url(text.trim())?;
            if !urls.contains(&url) {
                urls.push(url);
            }
        }
        if urls.is_empty() {
            return Err(FlameError::InvalidArgument("no endpoint is given; write one like http://host:8080".into()));
        }
        if urls.len() > ENDPOINTS_MAX {
            let why = format!("{} endpoints are given, at most {ENDPOINTS_MAX} are allowed", urls.len());
            return Err(FlameError::InvalidArgument(why));
        }
        Ok(Self { urls, tls: NamedFiles::default() })
    }

    /// The endpoints of this process: `given`, else the file `config`, else the environment, else the user's file, else
    /// the default.
    ///
    /// ```
    /// use flame_sdk::Endpoints;
    /// use flame_sdk::endpoints::Environment;
    ///
    /// let environment = Environment { endpoint: Some("a:1,b:2".to_owned()), ..Environment::default() };
    /// assert_eq!(Endpoints::discover(&[], None, &environment)?.urls(), ["http://a:1", "http://b:2"]);
    /// let given = ["c:3".to_owned()];
    /// assert_eq!(Endpoints::discover(&given, None, &environment)?.urls(), ["http://c:3"]);
    /// # Ok::<(), flame_sdk::FlameError>(())
    /// ```
    ///
    /// # Errors
    /// [`FlameError::InvalidArgument`] says which text or file is wrong, and how.
    pub fn discover(given: &[String], config: Option<&Path>, environment: &Environment) -> Result<Self, FlameError> {
        let found = Self::discover_urls(given, config, environment)?;
        let variables = [CA_FILE_VARIABLE, CERT_FILE_VARIABLE, KEY_FILE_VARIABLE];
        let by_environment = environment.tls.clone().named(|which| which.pick(variables).to_owned());
        Ok(Self { tls: found.tls.or(by_environment), ..found })
    }

    fn discover_urls(given: &[String], config: Option<&Path>, environment: &Environment) -> Result<Self, FlameError> {
        if !given.is_empty() {
            return Self::parse(given);
        }
        if let Some(path) = config {
            return Self::from_file(path);
        }
        if let Some(text) = &environment.endpoint {
            return Self::parse(&[text])
                .map_err(|error| FlameError::InvalidArgument(format!("{ENDPOINT_VARIABLE}: {error}")));
        }
        match environment.home.as_ref().map(|home| home.join(".flame/flame.yaml")) {
            Some(path) if path.is_file() => Self::from_file(&path),
            _ => Self::parse(&[DEFAULT_ENDPOINT]),
        }
    }

    /// The endpoints of the current context of a `flame.yaml`.
    ///
    /// # Errors
    /// [`FlameError::InvalidArgument`] says what is wrong with the file.
    pub fn from_file(path: &Path) -> Result<Self, FlameError> {
        let text = read_file(path)?;
        Self::from_yaml(&text, path).map_err(|error| wrong(path, error))
    }

    fn from_yaml(text: &str, path: &Path) -> Result<Self, FlameError> {
        let wrong = FlameError::InvalidArgument;
        let file: File = serde_saphyr::from_str(text).map_err(|error| wrong(error.to_string()))?;
        let context =
            file.contexts.into_iter().find(|context| context.name == file.current_context).ok_or_else(|| {
                wrong(format!("current-context {:?} is not among its contexts", file.current_context))
            })?;
        let mut endpoints = context.cluster.endpoint.map(OneOrMany::into_vec).unwrap_or_default();
        endpoints.extend(context.cluster.endpoints);
        if endpoints.is_empty() {
            endpoints.push(DEFAULT_ENDPOINT.to_owned());
        }
        let Tls { ca_file, cert_file, key_file } = context.cluster.tls.unwrap_or_default();
        let keys = ["cluster.tls.ca_file", "cluster.tls.cert_file", "cluster.tls.key_file"];
        let tls = TlsFiles { ca_file, cert_file, key_file };
        let tls = tls.named(|which| format!("{} in {}", which.pick(keys), path.display()));
        Ok(Self { tls, ..Self::parse(&endpoints)? })
    }

    /// The URLs, in the order in which they are tried. Never empty.
    #[must_use]
    pub fn urls(&self) -> &[String] {
        &self.urls
    }

    /// The authorities that `https` endpoints are checked by, instead of those that the system trusts.
    #[must_use]
    pub fn ca_file(&self) -> Option<&Path> {
        self.tls.ca_file()
    }

    /// All that was found about certificates.
    pub(crate) fn tls(&self) -> &NamedFiles {
        &self.tls
    }

    /// The same trust for another node of the same cluster. One that is among the endpoints is reached as it stands there;
    /// others are encrypted as soon as any endpoint is.
    pub(crate) fn single(&self, text: &str) -> Result<Self, FlameError> {
        let url = if text.contains("://") {
            parse_url(text)?
        } else {
            let (plain, secure) = (parse_url(text)?, parse_url(&format!("https://{text}"))?);
            let encrypts = self.urls.iter().any(|url| is_secure(url)) && !self.urls.contains(&plain);
            if encrypts { secure } else { plain }
        };
        Ok(Self { urls: vec![url], tls: self.tls.clone() })
    }
}

/// The text of a `flame.yaml`.
pub(crate) fn read_file(path: &Path) -> Result<String, FlameError> {
    let size = std::fs::metadata(path).map_err(|error| wrong(path, error))?.len();
    if size > FILE_BYTES_MAX {
        return Err(wrong(path, format!("it has {size} bytes, at most {FILE_BYTES_MAX} are read")));
    }
    std::fs::read_to_string(path).map_err(|error| wrong(path, error))
}

/// What is wrong with a `flame.yaml`.
pub(crate) fn wrong(path: &Path, why: impl std::fmt::Display) -> FlameError {
    FlameError::InvalidArgument(format!("{}: {why}", path.display()))
}

fn parse_url(text: &str) -> Result<String, FlameError> {
    const SHOWN_CHARS_MAX: usize = 200;
    let wrong = |why: &str| {
        let shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
        FlameError::InvalidArgument(format!("endpoint {shown:?} {why}; write it like http://host:8080"))
    };
    let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
    if !matches!(scheme, "http" | "https") {
        return Err(wrong("is neither http nor https"));
    }
    let authority = rest.trim_end_matches('/');
    if authority.contains(['/', '@', '?', '#']) {
        return Err(wrong("has more than a host and a port"));
    }
    let uri: tonic::transport::Uri =
        format!("{scheme}://{authority}").parse().map_err(|_| wrong("is not a host and a port"))?;
    let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| wrong("has no host"))?;
    let port = match authority.get(host.len()..) {
        None | Some("") => DEFAULT_PORT,
        Some(rest) => {
            let port = rest.strip_prefix(':').and_then(|port| port.parse().ok());
            port.ok_or_else(|| wrong("has no number for a port"))?
        }
    };
    Ok(format!("{scheme}://{host}:{port}"))
}

#[derive(Deserialize)]
struct File {
    #[serde(rename = "current-context")]
    current_context: String,
    contexts: Vec<Context>,
}

#[derive(Deserialize)]
struct Context {
    name: String,
    #[serde(default)]
    cluster: Cluster,
}

#[derive(Default, Deserialize)]
struct Cluster {
    endpoint: Option<OneOrMany>,
    #[serde(default)]
    endpoints: Vec<String>,
    tls: Option<Tls>,
}

#[derive(Default, Deserialize)]
struct Tls {
    ca_file: Option<PathBuf>,
    cert_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "
current-context: two
contexts:
  - name: one
    cluster: { endpoint: 'http://one:8080' }
  - name: two
    cluster:
      endpoint: http://a:8080
      endpoints: [http://a:8080, 'b:9', https://c]
      tls: { ca_file: /etc/ca.crt }
    runner: { template: flmrun }
";

    #[test]
    fn a_file_for_published_clients_may_name_more_coordinators() {
        let endpoints = Endpoints::from_yaml(FILE, Path::new("f.yaml")).unwrap();
        assert_eq!(endpoints.urls(), ["http://a:8080", "http://b:9", "https://c:8080"]);
        assert_eq!(endpoints.ca_file(), Some(Path::new("/etc/ca.crt")));
    }

    #[test]
    fn members_are_encrypted_as_soon_as_one_endpoint_is() {
        let single =
            |given: &[&str], text: &str| Endpoints::parse(given).unwrap().single(text).unwrap().urls[0].clone();
        assert_eq!(single(&["a:1", "http://b:1"], "c:1"), "http://c:1");
        assert_eq!(single(&["https://a:1"], "c:1"), "https://c:1");
        let mixed = ["http://a:1", "https://b:1"];
        assert_eq!(
            ["a:1", "b:1", "c:1"].map(|text| single(&mixed, text)),
            ["http://a:1", "https://b:1", "https://c:1"]
        );
    }

    #[test]
    fn certificates_of_the_file_come_before_those_of_the_environment() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("flame.yaml");
        std::fs::write(&file, FILE.replace("ca_file: /etc/ca.crt", "cert_file: /etc/c.crt, key_file: /etc/c.key"))
            .unwrap();
        let named = |name: &str| Some(PathBuf::from(name));
        let tls = TlsFiles { ca_file: named("/e/ca"), cert_file: named("/e/cert"), key_file: named("/e/key") };
        let found = Endpoints::discover(&[], Some(&file), &Environment { tls, ..Environment::default() }).unwrap();
        let told = format!("{:?}", found.tls());
        assert!(told.contains("FLAME_CA_FILE") && told.contains("cluster.tls.cert_file in "), "{told}");
        assert!(!told.contains("FLAME_CERT_FILE"), "{told}");
    }

    #[test]
    fn the_nearest_source_decides() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("other.yaml");
        std::fs::write(&file, FILE).unwrap();
        let mut environment = Environment { home: Some(home.path().to_owned()), ..Environment::default() };
        let urls = |given: &[&str], config: Option<&Path>, environment: &Environment| {
            let given: Vec<String> = given.iter().map(|text| (*text).to_owned()).collect();
            Endpoints::discover(&given, config, environment).unwrap().urls().to_vec()
        };
        assert_eq!(urls(&[], None, &environment), [DEFAULT_ENDPOINT]);
        std::fs::create_dir(home.path().join(".flame")).unwrap();
        std::fs::write(home.path().join(".flame/flame.yaml"), FILE.replace("http://a:", "http://mine:")).unwrap();
        assert_eq!(urls(&[], None, &environment)[0], "http://mine:8080");
        environment.endpoint = Some("x:1, y:2".into());
        assert_eq!(urls(&[], None, &environment), ["http://x:1", "http://y:2"]);
        assert_eq!(urls(&[], Some(&file), &environment)[0], "http://a:8080");
        assert_eq!(urls(&["z:3"], Some(&file), &environment), ["http://z:3"]);
    }

    #[test]
    fn what_is_no_endpoint_is_named() {
        for bad in ["ftp://a:1", "http://", "http://a:b", "http://a/path", "u@h:1", "a b", ",", ""] {
            let error = Endpoints::parse(&[bad]).unwrap_err();
            assert_eq!(error.class(), "invalid_argument", "{bad}");
        }
        let error = Endpoints::from_yaml("current-context: x\ncontexts: []", Path::new("f.yaml")).unwrap_err();
        assert!(error.to_string().contains("current-context \"x\""), "{error}");
        assert_eq!(Endpoints::parse(&["[::1]:7"]).unwrap().urls(), ["http://[::1]:7"]);
    }
}
