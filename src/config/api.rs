//! `api:` of the server's configuration: where the HTTP API listens, and who may call it.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use serde_json::{Value, json};

use super::form::{At, OneOrMany, mapping};
use super::report::Report;
use super::scalar::{Refusal, Scalar};
use super::words::RoleWord;
use crate::diag::Diagnostic;
use crate::limits;
use crate::model::{Grant, GrantedCall, ObserverId, Role};

/// The HTTP API's side of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Api {
    /// Where.
    pub listen: SocketAddr,
    /// HTTPS; `None`: in the clear.
    pub tls: Option<ApiTls>,
    /// The file of bearer tokens, stored hashed; `None`: there are none.
    pub tokens: Option<PathBuf>,
    /// What callers without credentials may do. The first that covers a call holds. While there are no tokens,
    /// and none of these is about loopback, loopback is an operator.
    pub anonymous: Vec<Grant>,
    /// A Unix socket, on which root is admin; `None`: there is none.
    pub socket: Option<PathBuf>,
}

/// HTTPS of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiTls {
    /// The certificate chain, PEM.
    pub cert: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// Certificates of callers are verified by those in this file, PEM; `None`: they are not asked for.
    pub client_ca: Option<PathBuf>,
}

impl Default for Api {
    fn default() -> Api {
        let listen = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8053);
        Api { listen, tls: None, tokens: None, anonymous: Vec::new(), socket: None }
    }
}

mapping! {
    /// The HTTP API.
    ApiSpec, "the API" {
        /// The address and port of the HTTP API.
        listen: At<SocketAddr> = "127.0.0.1:8053",
        /// HTTPS. Default: in the clear.
        tls: ApiTlsSpec,
        /// The file of bearer tokens, which are stored hashed. Default: no tokens.
        tokens: At<String>,
        /// What callers without credentials may do.
        anonymous: Vec<GrantSpec>,
        /// A Unix socket; on it root is admin. Default: none.
        socket: At<String>,
    }
}

mapping! {
    /// HTTPS of the API.
    ApiTlsSpec, "TLS of the API" {
        /// The certificate chain, in PEM.
        cert: At<String> = required,
        /// The key of the certificate, in PEM.
        key: At<String> = required,
        /// Certificates of callers are verified by those in this file, in PEM. Default: callers are not asked
        /// for one.
        client_ca: At<String>,
    }
}

mapping! {
    /// What callers without credentials may do.
    GrantSpec, "a grant" {
        /// From these networks.
        from: OneOrMany<At<IpNet>> = required,
        /// As this role.
        role: At<RoleWord> = required,
        /// Only these calls, such as `PUT /api/switch`. A segment in braces stands for any.
        calls: OneOrMany<At<GrantedCall>> = required,
        /// Who that is in the audit log. Default: nobody in particular.
        actor: At<ObserverId>,
    }
}

impl Scalar for GrantedCall {
    fn expected() -> String {
        "a method and a path, such as PUT /api/switch".to_owned()
    }

    fn parse(text: &str, _plain: bool) -> Result<GrantedCall, Refusal> {
        const METHODS: [&str; 4] = ["GET", "PUT", "POST", "DELETE"];
        const PATH_LEN_MAX: usize = 512;
        let refusal = Refusal::new("bad-call");
        let Some((method, path)) = text.split_once(' ') else { return Err(refusal) };
        if !METHODS.contains(&method) {
            return Err(refusal.help("methods are GET, PUT, POST and DELETE"));
        }
        if !path.starts_with('/') || path.len() > PATH_LEN_MAX || path.contains(['?', '#']) {
            return Err(refusal.help("the path begins with `/` and has no query"));
        }
        let is_plain = |segment: &str| segment.bytes().all(|byte| byte.is_ascii_graphic() && !b"{}*".contains(&byte));
        let is_any = |segment: &str| {
            let name = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
            name.is_some_and(|name| !name.is_empty() && is_plain(name))
        };
        let segments = || path[1..].split('/');
        if !segments().all(|segment| is_any(segment) || (!segment.is_empty() && is_plain(segment))) {
            return Err(refusal.help("a segment is plain, or all of it in braces: /api/datacenters/{id}/drain"));
        }
        Ok(GrantedCall { method: method.to_owned(), path: path.to_owned() })
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": "^(GET|PUT|POST|DELETE) /" })
    }
}

/// What the mapping says, over the defaults.
pub(super) fn read(spec: &ApiSpec, report: &mut Report) -> Api {
    let mut api = Api::default();
    let path = |field: &Option<At<String>>| field.as_ref().map(|path| PathBuf::from(&path.value));
    api.tokens = path(&spec.tokens);
    api.socket = path(&spec.socket);
    if let Some(tls) = &spec.tls
        && let (Some(cert), Some(key)) = (path(&tls.cert), path(&tls.key))
    {
        api.tls = Some(ApiTls { cert, key, client_ca: path(&tls.client_ca) });
    }
    if let Some(grants) = &spec.anonymous {
        if grants.len() > limits::ANONYMOUS_GRANTS_MAX {
            let error = Diagnostic::error("too-many", format!("{} grants", grants.len()));
            report.at(spec.at, error.expected(format!("at most {}", limits::ANONYMOUS_GRANTS_MAX)));
        }
        api.anonymous = grants.iter().filter_map(|grant| self::grant(grant, report)).collect();
    }
    if let Some(listen) = &spec.listen {
        api.listen = listen.value;
        let by_certificate = api.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
        let has_callers = api.tokens.is_some() || by_certificate || !api.anonymous.is_empty();
        if !listen.value.ip().is_loopback() && !has_callers && spec.clean {
            let error = Diagnostic::error("nobody-may-call", "the API listens off loopback, and nobody may call it")
                .expected("an address of this machine alone, or callers that may")
                .help("give `tokens`, `tls` with `client_ca`, or `anonymous`");
            report.at(listen.at, error);
        }
    }
    api
}

fn grant(spec: &GrantSpec, report: &mut Report) -> Option<Grant> {
    let (from, role, calls) = (spec.from.as_ref()?, spec.role.as_ref()?, spec.calls.as_ref()?);
    for (at, count, what) in [(from.at, from.items.len(), "networks"), (calls.at, calls.items.len(), "calls")] {
        if count == 0 && spec.clean {
            report.at(at, Diagnostic::error("empty-list", format!("a grant without {what} grants nothing")));
        }
        if count > limits::ANONYMOUS_GRANTS_MAX {
            let error = Diagnostic::error("too-many", format!("{count} {what}"));
            report.at(at, error.expected(format!("at most {}", limits::ANONYMOUS_GRANTS_MAX)));
        }
    }
    let role = match role.value {
        RoleWord::Viewer => Role::Viewer,
        RoleWord::Operator => Role::Operator,
        RoleWord::Admin => Role::Admin,
    };
    for call in calls.items.iter().filter(|call| role == Role::Viewer && call.value.method != "GET") {
        let error = Diagnostic::error("beyond-role", format!("a viewer looks, and `{}` changes", call.value.path));
        report.at(call.at, error.expected("a GET, or another role"));
    }
    Some(Grant {
        from: from.items.iter().map(|net| net.value).collect(),
        role,
        calls: calls.items.iter().map(|call| call.value.clone()).collect(),
        actor: spec.actor.as_ref().map(|actor| actor.value.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{SourceFile, load_server};

    fn load(text: &str) -> (Api, Vec<String>) {
        let (server, found) = load_server(&SourceFile::new("meridian.yaml", text));
        (
            server.api,
            found.iter().map(|found| format!("{} {}", found.code, found.at.as_ref().unwrap().column)).collect(),
        )
    }

    #[test]
    fn everything_that_is_said_of_the_api_is_heard() {
        let (api, found) = load(
            "api:\n  listen: 192.0.2.53:8053\n  tls: {cert: c.pem, key: k.pem, client_ca: ca.pem}\n  tokens: tokens\n  socket: run/api\n  \
             anonymous:\n    - {from: 10.1.0.0/16, role: operator, calls: [PUT /api/switch, GET /api/active-dc], actor: failover-controller}\n    \
             - {from: [10.2.0.0/16, '2001:db8::/32'], role: viewer, calls: 'GET /api/drain/{dc}'}\n",
        );
        assert_eq!(found, Vec::<String>::new());
        assert_eq!(api.listen.to_string(), "192.0.2.53:8053");
        assert_eq!(api.tls.unwrap().client_ca, Some("ca.pem".into()));
        assert_eq!((api.tokens, api.socket), (Some("tokens".into()), Some("run/api".into())));
        let [first, second] = api.anonymous.as_slice() else { panic!() };
        assert_eq!((first.role, first.actor.as_deref()), (Role::Operator, Some("failover-controller")));
        assert_eq!((second.from.len(), second.calls[0].path.as_str()), (2, "/api/drain/{dc}"));
        assert_eq!(load("api: {}").0, Api::default());
        assert_eq!(load("version: 1").0, Api::default());
    }

    #[test]
    fn a_call_is_a_method_and_a_path() {
        let drain = GrantedCall::parse("POST /api/datacenters/{id}/drain", true).unwrap();
        assert_eq!((drain.method.as_str(), drain.path.as_str()), ("POST", "/api/datacenters/{id}/drain"));
        for text in
            ["/api/switch", "PATCH /api", "put /api", "PUT api", "PUT /api?x", "PUT /a/*", "PUT /a/b{c}", "PUT //a"]
        {
            assert_eq!(GrantedCall::parse(text, true).unwrap_err().code, "bad-call", "{text}");
        }
    }

    #[test]
    fn an_api_that_is_open_to_nobody_or_to_too_much_is_refused() {
        let grant = |fields: &str| load(&format!("api: {{listen: '192.0.2.1:8053', anonymous: [{{{fields}}}]}}")).1;
        assert_eq!(load("api: {listen: '192.0.2.1:8053'}").1, ["nobody-may-call 15"]);
        assert_eq!(load("api: {listen: '[::1]:8053'}").1, Vec::<String>::new());
        assert_eq!(grant("from: 10.0.0.0/8, role: viewer, calls: [PUT /api/switch]"), ["beyond-role 86"]);
        assert_eq!(grant("from: 10.0.0.0/8, role: root, calls: [PUT /api/switch]"), ["unknown-word 70"]);
        assert_eq!(grant("from: 10.0.0.0/8, role: admin"), ["missing-field 45"]);
        assert_eq!(grant("from: 10.0.0.0/8, role: admin, calls: []"), ["empty-list 77"]);
        assert_eq!(load("api: {tls: {cert: a}}").1, ["missing-field 7"]);
    }
}
