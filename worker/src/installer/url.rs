//! Where a package lies: `file`, `http`, `https`, `grpc` and `grpcs` URLs of archives, with a checksum if their author
//! wants one (`#sha256=…`).

use std::fmt;
use std::path::{Path, PathBuf};

/// Longest URL.
const URL_BYTES_MAX: usize = 4096;

/// Port of an object cache that names none (published).
const CACHE_PORT: u16 = 9090;

/// Hexadecimal digits of a sha256.
const DIGITS: usize = 64;

/// How archives are packed, by the end of their name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Packed {
    /// `.tar.gz`, `.tgz`.
    TarGz,
    /// `.zip`.
    Zip,
}

/// A host and a port, encrypted or not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Server {
    pub(crate) tls: bool,
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Server {
    /// `host:port`, with brackets where the host is an IPv6 address.
    pub(crate) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// Where the bytes come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// A file of this host.
    File(PathBuf),
    /// A resource of a web server: path and query.
    Http(Server, String),
    /// An object of an object cache: its key.
    Cache(Server, String),
}

/// A URL of a package.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PackageUrl {
    /// As it was written, without the checksum.
    text: String,
    pub(crate) place: Place,
    pub(crate) packed: Packed,
    /// The sha256 that the content must have, in small letters.
    pub(crate) checksum: Option<String>,
}

impl PackageUrl {
    /// Reads a URL; the error is a half sentence.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > URL_BYTES_MAX {
            return Err(format!("has {} bytes, at most {URL_BYTES_MAX} are allowed", text.len()));
        }
        if text.chars().any(|c| c.is_control() || c == ' ') && !text.starts_with("file:") {
            return Err("has a space or a control character".to_owned());
        }
        let (location, checksum) = match text.split_once('#') {
            Some((location, fragment)) => (location, Some(checksum(fragment)?)),
            None => (text, None),
        };
        let (scheme, rest) =
            location.split_once("://").ok_or("has no scheme; write file, http, https, grpc or grpcs before ://")?;
        let place = match scheme {
            "file" => Place::File(file(rest)?),
            "http" | "https" => {
                let (server, path) = server(rest, scheme == "https", if scheme == "https" { 443 } else { 80 })?;
                Place::Http(server, path)
            }
            "grpc" | "grpcs" => {
                let (server, path) = server(rest, scheme == "grpcs", CACHE_PORT)?;
                Place::Cache(server, key(&path)?)
            }
            other => return Err(format!("has the scheme {other:?}; file, http, https, grpc and grpcs are served")),
        };
        let name = match &place {
            Place::File(path) => path.to_string_lossy().into_owned(),
            Place::Http(_, path) => path.split('?').next().unwrap_or_default().to_owned(),
            Place::Cache(_, key) => key.clone(),
        };
        let packed = packed(&name).ok_or("is no archive; .tar.gz, .tgz and .zip can be unpacked")?;
        Ok(Self { text: location.to_owned(), place, packed, checksum })
    }
}

impl fmt::Display for PackageUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// How an archive of this name is packed.
fn packed(name: &str) -> Option<Packed> {
    let name = name.to_ascii_lowercase();
    if name.ends_with(".tar.gz") || name.ends_with(".tgz") {
        Some(Packed::TarGz)
    } else if name.ends_with(".zip") {
        Some(Packed::Zip)
    } else {
        None
    }
}

fn checksum(fragment: &str) -> Result<String, String> {
    let digits = fragment.strip_prefix("sha256=").ok_or("has a fragment other than #sha256=…")?;
    if digits.len() == DIGITS && digits.chars().all(|c| c.is_ascii_hexdigit()) {
        return Ok(digits.to_ascii_lowercase());
    }
    Err(format!("has a checksum that is not {DIGITS} hexadecimal digits"))
}

fn file(rest: &str) -> Result<PathBuf, String> {
    let path = rest.strip_prefix("localhost").unwrap_or(rest);
    if Path::new(path).is_absolute() {
        return Ok(PathBuf::from(path));
    }
    Err("names no absolute path; write it like file:///srv/packages/app.tar.gz".to_owned())
}

/// Splits `host:port/path?query`.
fn server(rest: &str, tls: bool, usual_port: u16) -> Result<(Server, String), String> {
    let (authority, path) = match rest.find(['/', '?']) {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    if authority.contains('@') {
        return Err("names a user; such URLs are not fetched".to_owned());
    }
    let parsed: http::uri::Authority = authority.parse().map_err(|_| format!("has no host in {authority:?}"))?;
    let host = parsed.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    let has_port = authority.rsplit(']').next().unwrap_or_default().contains(':');
    let port = match parsed.port_u16() {
        Some(port) => port,
        None if has_port => return Err(format!("has no number for a port in {authority:?}")),
        None => usual_port,
    };
    if host.is_empty() {
        return Err("has no host".to_owned());
    }
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    Ok((Server { tls, host, port }, path))
}

/// `/app/session/object` as a key of the object cache.
fn key(path: &str) -> Result<String, String> {
    const PARTS: usize = 3;
    let key = path.trim_start_matches('/');
    let parts: Vec<&str> = key.split('/').collect();
    let is_part = |part: &&str| !part.is_empty() && *part != "*" && !part.contains("..") && !part.contains(['\\', '?']);
    if parts.len() == PARTS && parts.iter().all(is_part) {
        return Ok(key.to_owned());
    }
    Err("names no object; write it like grpc://host:9090/APPLICATION/pkg/NAME.tar.gz".to_owned())
}

/// Another cache node, as it is configured: `grpc://host:port` or `grpcs://host:port`.
pub(crate) fn cache_node(text: &str) -> Option<Server> {
    let (scheme, rest) = text.trim().split_once("://")?;
    let tls = match scheme {
        "grpc" | "http" => false,
        "grpcs" | "grpc+tls" | "https" => true,
        _ => return None,
    };
    server(rest.trim_end_matches('/'), tls, CACHE_PORT).ok().map(|(server, _)| server)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Place {
        PackageUrl::parse(text).unwrap_or_else(|why| panic!("{text} {why}")).place
    }

    fn at(tls: bool, host: &str, port: u16) -> Server {
        Server { tls, host: host.to_owned(), port }
    }

    #[test]
    fn every_scheme_has_its_place() {
        assert_eq!(place("file:///srv/a.tar.gz"), Place::File("/srv/a.tar.gz".into()));
        assert_eq!(place("file:///srv/with space/a.tgz"), Place::File("/srv/with space/a.tgz".into()));
        assert_eq!(place("http://h/p/a.zip?x=1"), Place::Http(at(false, "h", 80), "/p/a.zip?x=1".into()));
        assert_eq!(place("https://h:8443/a.zip"), Place::Http(at(true, "h", 8443), "/a.zip".into()));
        assert_eq!(place("grpc://h/a/pkg/a.tar.gz"), Place::Cache(at(false, "h", 9090), "a/pkg/a.tar.gz".into()));
        assert_eq!(place("grpcs://[::1]:7/a/pkg/a.TGZ"), Place::Cache(at(true, "::1", 7), "a/pkg/a.TGZ".into()));
    }

    #[test]
    fn a_checksum_is_no_part_of_the_location() {
        let sum = "AB".repeat(32);
        let url = PackageUrl::parse(&format!("http://h/a.zip#sha256={sum}")).unwrap();
        assert_eq!((url.to_string().as_str(), url.checksum), ("http://h/a.zip", Some(sum.to_lowercase())));
    }

    #[test]
    fn what_cannot_be_fetched_is_named() {
        for (text, part) in [
            ("a.tar.gz", "has no scheme"),
            ("ftp://h/a.zip", "has the scheme \"ftp\""),
            ("http://h/a.rar", "is no archive"),
            ("http://h/", "is no archive"),
            ("http:///a.zip", "has no host"),
            ("http://h:x/a.zip", "no number for a port"),
            ("http://u:p@h/a.zip", "names a user"),
            ("file://a.zip", "names no absolute path"),
            ("grpc://h/a.tar.gz", "names no object"),
            ("grpc://h/a/../a.tar.gz", "names no object"),
            ("http://h/a.zip#md5=1", "a fragment other than"),
            ("http://h/a.zip#sha256=12", "64 hexadecimal digits"),
            ("http://h/a b.zip", "has a space"),
        ] {
            let why = PackageUrl::parse(text).unwrap_err();
            assert!(why.contains(part), "{text}: {why}");
        }
    }

    #[test]
    fn configured_caches_are_read() {
        assert_eq!(cache_node("grpc://a:1"), Some(at(false, "a", 1)));
        assert_eq!(cache_node(" grpcs://b/ "), Some(at(true, "b", 9090)));
        assert_eq!(cache_node("b:1"), None);
    }
}
