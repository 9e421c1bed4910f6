//! Where a server is.

use std::fmt;
use std::path::PathBuf;

/// The API's port.
const PORT: u16 = 8053;

/// A server, as `--server` names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Tcp { host: String, port: u16, is_tls: bool },
    Unix(PathBuf),
}

impl Target {
    pub(super) fn parse(url: &str) -> Result<Target, String> {
        let wrong = || format!("{url:?} is no server: http://HOST[:PORT], https://HOST[:PORT] or unix:/PATH");
        if let Some(path) = url.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.is_empty() { Err(wrong()) } else { Ok(Target::Unix(PathBuf::from(path))) };
        }
        let (is_tls, rest) = match (url.strip_prefix("http://"), url.strip_prefix("https://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            (None, None) if url.contains("://") => return Err(wrong()),
            (None, None) => (false, url),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or_else(wrong)?;
                (host, port.strip_prefix(':'))
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        if host.is_empty() || host.contains(['/', '?', '#', '@', ' ']) {
            return Err(wrong());
        }
        let port = port.map_or(Ok(PORT), |port| port.parse().map_err(|_| wrong()))?;
        Ok(Target::Tcp { host: host.to_owned(), port, is_tls })
    }

    pub(super) fn is_tls(&self) -> bool {
        matches!(self, Target::Tcp { is_tls: true, .. })
    }

    /// `host:port`, as a request's header has it.
    pub(super) fn authority(&self) -> String {
        match self {
            Target::Tcp { host, port, .. } if host.contains(':') => format!("[{host}]:{port}"),
            Target::Tcp { host, port, .. } => format!("{host}:{port}"),
            Target::Unix(_) => "localhost".to_owned(),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Tcp { is_tls, .. } => {
                write!(f, "{}://{}", if *is_tls { "https" } else { "http" }, self.authority())
            }
            Target::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// One segment of a path, percent-encoded (RFC 3986 §3.3); commas stay readable.
pub(in crate::cli) fn segment(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, octet| {
        match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b',' => out.push(char::from(octet)),
            _ => out.push_str(&format!("%{octet:02X}")),
        }
        out
    })
}

/// The query of a path, percent-encoded.
pub(in crate::cli) fn query(parameters: &[(&str, String)]) -> String {
    let pairs = parameters.iter().map(|(name, value)| format!("{name}={}", segment(value)));
    pairs.collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_named_as_people_name_them() {
        let tcp = |host: &str, port, is_tls| Ok(Target::Tcp { host: host.to_owned(), port, is_tls });
        assert_eq!(Target::parse("http://127.0.0.1:8053"), tcp("127.0.0.1", 8053, false));
        assert_eq!(Target::parse("https://gtm.example.com/"), tcp("gtm.example.com", 8053, true));
        assert_eq!(Target::parse("gtm1:9000"), tcp("gtm1", 9000, false));
        assert_eq!(Target::parse("http://[::1]:80"), tcp("::1", 80, false));
        assert_eq!(Target::parse("unix:/run/m.sock"), Ok(Target::Unix("/run/m.sock".into())));
        for wrong in ["", "http://", "ftp://x", "http://a/b", "http://a:b", "http://[::1", "unix:", "http://a b"] {
            assert!(Target::parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(Target::parse("http://[::1]:80").unwrap().to_string(), "http://[::1]:80");
    }

    #[test]
    fn names_are_safe_in_paths() {
        assert_eq!(segment("dc1,dc2"), "dc1,dc2");
        assert_eq!(segment("a/b?c 北"), "a%2Fb%3Fc%20%E5%8C%97");
    }
}
