//! `host:port` and `http://host:port`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A host, by name or address, and a port.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct HostPort {
    host: String,
    port: u16,
}

/// How addresses are written: part of every message about one.
const HOST_PORT_GRAMMAR: &str = "write it as host:port, for example 127.0.0.1:8080 or [::1]:8080";

impl HostPort {
    /// A host and a port. The host is trusted to be a name or an address; text from people goes through `parse`.
    #[must_use]
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port }
    }

    /// The host, without the brackets of an IPv6 address.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port. 0 asks the system for a free one, which is of use to tests only.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether traffic to this address stays on this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => self.host == "localhost",
        }
    }

    /// The same host, `by` ports up; `None` past the last port.
    #[must_use]
    pub fn port_up(&self, by: u16) -> Option<Self> {
        Some(Self { host: self.host.clone(), port: self.port.checked_add(by)? })
    }

    fn split(text: &str) -> Result<(&str, Option<&str>), String> {
        if let Some(rest) = text.strip_prefix('[') {
            let (host, after) = rest.split_once(']').ok_or("has no ']' after the IPv6 address")?;
            if host.parse::<std::net::Ipv6Addr>().is_err() {
                return Err(format!("names {host:?} in brackets, which is not an IPv6 address"));
            }
            return match after.strip_prefix(':') {
                Some(port) => Ok((host, Some(port))),
                None if after.is_empty() => Ok((host, None)),
                None => Err("has text between ']' and the port".to_owned()),
            };
        }
        match text.split_once(':') {
            Some((_, port)) if port.contains(':') => Err("has more than one ':' (IPv6 goes in brackets)".to_owned()),
            Some((host, port)) => Ok((host, Some(port))),
            None => Ok((text, None)),
        }
    }

    /// Reads `host:port`, or `host` alone where a port is usual.
    pub(crate) fn parse_with(text: &str, usual_port: Option<u16>) -> Result<Self, String> {
        let (host, port) = Self::split(text)?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        if host.is_empty() {
            return Err("names no host".to_owned());
        }
        if !host.chars().all(allowed) {
            return Err("has a character that no host name has".to_owned());
        }
        let port = match (port, usual_port) {
            (Some(port), _) => port.parse().map_err(|_| format!("has the port {port:?}, which is not 0 to 65535"))?,
            (None, Some(usual)) => usual,
            (None, None) => return Err("has no port".to_owned()),
        };
        Ok(Self { host: host.to_owned(), port })
    }
}

impl FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse_with(text, None).map_err(|why| format!("{why}; {HOST_PORT_GRAMMAR}"))
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Where a server is reached by URL.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Endpoint {
    /// Whether the URL asks for TLS.
    pub tls: bool,
    /// Where.
    pub address: HostPort,
}

impl Endpoint {
    /// Reads `http://host:port`; the scheme may be left out, the port too where `usual_port` names one.
    ///
    /// # Errors
    /// A half sentence on what is wrong and how it is written.
    pub fn parse(text: &str, usual_port: Option<u16>) -> Result<Self, String> {
        let (tls, rest) = match text.split_once("://") {
            None => (false, text),
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            Some((scheme, _)) => return Err(format!("has the scheme {scheme:?}; write it like http://127.0.0.1:8080")),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let address = HostPort::parse_with(rest, usual_port)
            .map_err(|why| format!("{why}; write it like http://127.0.0.1:8080"))?;
        Ok(Self { tls, address })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.tls { "https" } else { "http" }, self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written_alike() {
        for text in ["127.0.0.1:8080", "[::1]:0", "node-1.example:65535", "localhost:1"] {
            assert_eq!(text.parse::<HostPort>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn broken_addresses_are_refused_with_the_grammar() {
        for text in ["", "8080", ":8080", "host", "host:", "host:65536", "::1:80", "[::1", "[x]:1", "[::1]80", "a/b:1"]
        {
            let why = text.parse::<HostPort>().unwrap_err();
            assert!(why.ends_with(HOST_PORT_GRAMMAR), "{text:?}: {why}");
        }
    }

    #[test]
    fn only_this_machine_is_loopback() {
        for (text, expected) in [
            ("127.0.0.1:1", true),
            ("127.9.9.9:1", true),
            ("[::1]:1", true),
            ("localhost:1", true),
            ("0.0.0.0:1", false),
        ] {
            assert_eq!(text.parse::<HostPort>().unwrap().is_loopback(), expected, "{text}");
        }
    }

    #[test]
    fn endpoints_take_a_usual_port() {
        assert_eq!(Endpoint::parse("http://a", Some(8080)).unwrap().to_string(), "http://a:8080");
        assert_eq!(Endpoint::parse("a:1/", None).unwrap().to_string(), "http://a:1");
        assert!(Endpoint::parse("https://a:1", None).unwrap().tls);
        assert!(Endpoint::parse("grpc://a:1", None).is_err());
        assert!(Endpoint::parse("http://a", None).is_err());
    }
}
