//! Who asks, and what that one may do.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Instant;

use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, FORWARDED};
use ipnet::IpNet;
use jiff::Timestamp;

use super::problem::{Kind, Problem};
use super::route::Route;
use super::throttle::Throttle;
use super::tokens::{TokenError, Tokens};
use crate::limits::ID_LEN_MAX;
use crate::model::{Grant, Name, Role};

/// Who may do what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessConfig {
    /// The token file.
    pub tokens: Option<PathBuf>,
    /// Grants without credentials; the first that covers a call holds. While there are neither tokens nor certificates of
    /// callers, and none of these is about loopback, loopback is an operator.
    pub anonymous: Vec<Grant>,
    /// TLS verifies certificates of callers: who shows one is authenticated by it.
    pub has_certificates: bool,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The token's id, the certificate's common name, the grant's actor, `loopback`, or `uid:0`.
    pub id: String,
    /// What it may do.
    pub role: Role,
    /// Only for these services; `None`: all.
    pub services: Option<Vec<Name>>,
    /// By a token, a certificate or a socket's credentials, not by where it comes from.
    pub is_authenticated: bool,
}

impl Identity {
    /// Refuses what concerns another service than its own.
    pub(super) fn check_services<'a>(&self, concerned: impl IntoIterator<Item = &'a Name>) -> Result<(), Problem> {
        let Some(own) = &self.services else { return Ok(()) };
        match concerned.into_iter().find(|name| !own.contains(name)) {
            None => Ok(()),
            Some(name) => {
                let detail = format!("{} may act on {} only, not on {name}", self.id, names(own));
                Err(Problem::new(Kind::Forbidden, detail).with("service", name.to_string()))
            }
        }
    }
}

fn names(names: &[Name]) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    Tcp(SocketAddr),
    /// A user of this machine, whom the socket's file let in.
    Unix {
        uid: u32,
    },
}

impl Peer {
    /// Under which failures are counted.
    pub(super) fn ip(self) -> IpAddr {
        match self {
            Peer::Tcp(address) => address.ip().to_canonical(),
            Peer::Unix { .. } => IpAddr::from([127, 0, 0, 1]),
        }
    }
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Peer::Tcp(address) => address.fmt(f),
            Peer::Unix { uid } => write!(f, "uid {uid}"),
        }
    }
}

/// Of a certificate that TLS has verified: who shows it, and the role that its authority gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Subject {
    name: String,
    role: Role,
}

impl Subject {
    /// From its subject: the common name, and the first organisational unit that is the name of a role. `None`: it
    /// names no role, so it is good for nothing here.
    pub(super) fn of(der: &[u8]) -> Option<Subject> {
        let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
        let subject = certificate.subject();
        let name = subject.iter_common_name().find_map(|name| name.as_str().ok()).filter(|name| is_plain(name))?;
        let mut units = subject.iter_organizational_unit().filter_map(|unit| unit.as_str().ok());
        Some(Subject { name: name.to_owned(), role: units.find_map(Role::parse)? })
    }

    fn identity(&self) -> Identity {
        Identity { id: format!("cert:{}", self.name), role: self.role, services: None, is_authenticated: true }
    }
}

/// It is shown in logs and terminals.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.len() <= ID_LEN_MAX && !name.chars().any(char::is_control)
}

/// The gate.
#[derive(Debug)]
pub struct Access {
    tokens: Option<Tokens>,
    anonymous: Vec<Grant>,
    is_configured: bool,
    throttle: Throttle,
}

/// Whoever is on this machine and shows nothing.
const LOOPBACK: [&str; 2] = ["127.0.0.0/8", "::1/128"];

impl Access {
    /// As configured; the token file must read well.
    pub fn new(config: &AccessConfig) -> Result<Access, TokenError> {
        let tokens = config.tokens.as_deref().map(Tokens::open).transpose()?;
        let has_credentials = tokens.is_some() || config.has_certificates;
        let is_configured = has_credentials || !config.anonymous.is_empty();
        let loopback = LOOPBACK.map(|from| from.parse::<IpNet>().expect("a network"));
        let is_about = |net: &IpNet| loopback.iter().any(|own| own.contains(net) || net.contains(own));
        let mut anonymous = config.anonymous.clone();
        if !has_credentials && !anonymous.iter().any(|grant| grant.from.iter().any(is_about)) {
            anonymous.push(Grant {
                from: loopback.to_vec(),
                role: Role::Operator,
                calls: Vec::new(),
                actor: Some("loopback".to_owned()),
            });
        }
        Ok(Access { tokens, anonymous, is_configured, throttle: Throttle::default() })
    }

    /// There are tokens, or grants that somebody wrote: without either, an address that is not loopback is not to be
    /// served.
    pub(super) fn is_configured(&self) -> bool {
        self.is_configured
    }

    /// There are tokens, which must not travel in the clear.
    pub(super) fn has_tokens(&self) -> bool {
        self.tokens.is_some()
    }

    /// Who asks for `route`, when that one may.
    pub(super) fn admit(
        &self,
        route: &Route,
        path: &str,
        peer: Peer,
        certificate: Option<&Subject>,
        headers: &HeaderMap,
    ) -> Result<Identity, Refusal> {
        let identity = match (headers.get(AUTHORIZATION), certificate) {
            (Some(value), _) => self.by_token(value.to_str().ok()).ok_or(Refusal::BadToken)?,
            (None, Some(subject)) => subject.identity(),
            (None, None) => self.without_token(route, path, peer, headers).ok_or(Refusal::NoCredentials)?,
        };
        match route.role {
            Some(needed) if identity.role < needed => Err(Refusal::TooLittle(identity, needed)),
            Some(_) | None => Ok(identity),
        }
    }

    fn by_token(&self, header: Option<&str>) -> Option<Identity> {
        let (scheme, secret) = header?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let token = self.tokens.as_ref()?.find(secret.trim())?;
        if token.is_expired(Timestamp::now()) {
            return None;
        }
        Some(Identity { id: token.id, role: token.role, services: token.services, is_authenticated: true })
    }

    fn without_token(&self, route: &Route, path: &str, peer: Peer, headers: &HeaderMap) -> Option<Identity> {
        match peer {
            Peer::Unix { uid } => {
                let role = if uid == 0 { Role::Admin } else { Role::Operator };
                Some(Identity { id: format!("uid:{uid}"), role, services: None, is_authenticated: true })
            }
            // A proxy on this machine speaks for others: what is granted to loopback is not theirs.
            Peer::Tcp(address)
                if address.ip().to_canonical().is_loopback()
                    && (headers.contains_key("x-forwarded-for") || headers.contains_key(FORWARDED)) =>
            {
                None
            }
            Peer::Tcp(address) => {
                let from = address.ip().to_canonical();
                let granted = |grant: &&Grant| {
                    grant.from.iter().any(|net| net.contains(&from))
                        && (grant.calls.is_empty() || grant.calls.iter().any(|call| call.covers(route.method, path)))
                };
                let grant = self.anonymous.iter().find(granted)?;
                let id = grant.actor.clone().unwrap_or_else(|| format!("anonymous@{from}"));
                Some(Identity { id, role: grant.role, services: None, is_authenticated: false })
            }
        }
    }
}

/// Why somebody is not admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    BadToken,
    NoCredentials,
    TooLittle(Identity, Role),
}

impl Refusal {
    /// For metrics and logs.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Refusal::BadToken => "bad-token",
            Refusal::NoCredentials => "no-credentials",
            Refusal::TooLittle(..) => "role",
        }
    }

    pub(super) fn problem(&self, route: &Route) -> Problem {
        match self {
            Refusal::BadToken => Problem::new(Kind::BadToken, "no token in force has that secret"),
            Refusal::NoCredentials => {
                let detail = format!("{} needs a token: Authorization: Bearer …", route.name());
                Problem::new(Kind::Unauthenticated, detail)
            }
            Refusal::TooLittle(identity, needed) => {
                let (id, has, needs) = (&identity.id, identity.role.as_str(), needed.as_str());
                let detail = format!("{} needs the role {needs}; {id} has {has}", route.name());
                Problem::new(Kind::Forbidden, detail).with("role", has).with("needed", needs)
            }
        }
    }
}

impl Access {
    /// How long a refusal waits, and how often that client was refused.
    pub(super) fn failed(&self, peer: Peer) -> (u32, std::time::Duration) {
        self.throttle.failed(peer.ip(), Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::super::route::ROUTES;
    use super::*;
    use crate::model::GrantedCall;

    fn route(name: &str) -> &'static Route {
        ROUTES.iter().find(|route| route.name() == name).unwrap()
    }

    fn peer(address: &str) -> Peer {
        Peer::Tcp(address.parse().unwrap())
    }

    fn grant(from: &str, role: Role, calls: &[&str]) -> Grant {
        let call = |call: &&str| {
            let (method, path) = call.split_once(' ').unwrap();
            GrantedCall { method: method.to_owned(), path: path.to_owned() }
        };
        Grant { from: vec![from.parse().unwrap()], role, calls: calls.iter().map(call).collect(), actor: None }
    }

    #[test]
    fn loopback_is_an_operator_until_something_else_is_said_of_it() {
        let (reload, none) = (route("POST /api/reload"), HeaderMap::new());
        let open = Access::new(&AccessConfig::default()).unwrap();
        assert_eq!(open.admit(reload, "/api/reload", peer("127.0.0.1:1"), None, &none).unwrap().role, Role::Operator);
        assert_eq!(
            open.admit(reload, "/api/reload", peer("[::ffff:127.0.0.1]:1"), None, &none).unwrap().id,
            "loopback"
        );
        assert_eq!(open.admit(reload, "/api/reload", peer("192.0.2.1:1"), None, &none), Err(Refusal::NoCredentials));
        let mut proxied = HeaderMap::new();
        proxied.insert("x-forwarded-for", "203.0.113.9".parse().unwrap());
        assert_eq!(open.admit(reload, "/api/reload", peer("127.0.0.1:1"), None, &proxied), Err(Refusal::NoCredentials));

        let granted = |anonymous| Access::new(&AccessConfig { anonymous, ..AccessConfig::default() }).unwrap();
        let closed = granted(vec![grant("127.0.0.1/32", Role::Viewer, &["GET /livez"])]);
        assert_eq!(closed.admit(reload, "/api/reload", peer("127.0.0.1:1"), None, &none), Err(Refusal::NoCredentials));
        let granted = granted(vec![grant("10.1.0.0/16", Role::Viewer, &[])]);
        assert!(granted.admit(reload, "/api/reload", peer("127.0.0.1:1"), None, &none).is_ok());
        assert!(matches!(
            granted.admit(reload, "/api/reload", peer("10.1.2.3:1"), None, &none),
            Err(Refusal::TooLittle(_, Role::Operator))
        ));
        assert!(granted.admit(route("GET /api/status"), "/api/status", peer("10.1.2.3:1"), None, &none).is_ok());
    }

    #[test]
    fn a_grant_for_some_calls_is_for_no_others() {
        let anonymous = vec![grant("10.0.0.0/8", Role::Operator, &["POST /api/reload"])];
        let access = Access::new(&AccessConfig { anonymous, ..AccessConfig::default() }).unwrap();
        let none = HeaderMap::new();
        assert!(access.admit(route("POST /api/reload"), "/api/reload", peer("10.1.2.3:1"), None, &none).is_ok());
        let other = access.admit(route("GET /api/status"), "/api/status", peer("10.1.2.3:1"), None, &none);
        assert_eq!(other, Err(Refusal::NoCredentials));
    }

    #[test]
    fn root_on_the_unix_socket_is_always_admin() {
        let anonymous = vec![grant("192.0.2.0/24", Role::Viewer, &[])];
        let access = Access::new(&AccessConfig { anonymous, ..AccessConfig::default() }).unwrap();
        let of = |uid| {
            access
                .admit(route("POST /api/reload"), "/api/reload", Peer::Unix { uid }, None, &HeaderMap::new())
                .unwrap()
                .role
        };
        assert_eq!((of(0), of(1000)), (Role::Admin, Role::Operator));
    }

    #[test]
    fn a_certificate_says_who_and_as_what() {
        let subject = |names: &[(rcgen::DnType, &str)]| {
            let mut params = rcgen::CertificateParams::default();
            params.distinguished_name = rcgen::DistinguishedName::new();
            for (kind, value) in names {
                params.distinguished_name.push(kind.clone(), *value);
            }
            let made = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
            Subject::of(made.der())
        };
        let (name, unit) = (rcgen::DnType::CommonName, rcgen::DnType::OrganizationalUnitName);
        let kim = subject(&[(name.clone(), "kim"), (unit.clone(), "operator")]).unwrap();
        assert_eq!(kim, Subject { name: "kim".into(), role: Role::Operator });
        assert_eq!(subject(&[(name.clone(), "kim")]), None);
        assert_eq!(subject(&[(name, "kim"), (unit.clone(), "root")]), None);
        assert_eq!(subject(&[(unit, "admin")]), None);
        assert_eq!(Subject::of(b"no certificate"), None);

        let certified = AccessConfig { has_certificates: true, ..AccessConfig::default() };
        let access = Access::new(&certified).unwrap();
        let (reload, none, here) = (route("POST /api/reload"), HeaderMap::new(), peer("127.0.0.1:1"));
        let who = access.admit(reload, "/api/reload", here, Some(&kim), &none).unwrap();
        assert_eq!((who.id.as_str(), who.is_authenticated), ("cert:kim", true));
        assert_eq!(access.admit(reload, "/api/reload", here, None, &none), Err(Refusal::NoCredentials));
    }

    #[test]
    fn a_bad_token_is_refused_even_where_none_is_needed() {
        let access = Access::new(&AccessConfig::default()).unwrap();
        for value in ["Bearer x", "Basic eDp5", "Bearer", ""] {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, value.parse().unwrap());
            let refused = access.admit(route("GET /api/status"), "/api/status", peer("127.0.0.1:1"), None, &headers);
            assert_eq!(refused, Err(Refusal::BadToken), "{value}");
        }
    }

    #[test]
    fn an_identity_of_some_services_acts_on_those_alone() {
        let name = |text: &str| Name::parse(text).unwrap();
        let services = Some(vec![name("a.example"), name("b.example")]);
        let identity = Identity { id: "ci".into(), role: Role::Operator, services, is_authenticated: true };
        assert!(identity.check_services([&name("A.example")]).is_ok());
        assert_eq!(identity.check_services([&name("c.example")]).unwrap_err().kind, Kind::Forbidden);
    }
}
