//! HTTP and HTTPS: one request, one connection, an answer as expected.
//!
//! The body is read only when something is expected of it. It is asked for as it is (`Accept-Encoding:
//! identity`), and one that comes encoded all the same is not decoded: a probe opens nobody's compressed bombs.
//! Redirects are followed when a check says so, and only to where we are connected to already; a redirect
//! elsewhere says nothing about this address.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::uri::{PathAndQuery, Scheme};
use hyper::{Method, Request, Response, Uri};

use super::exchange::{Answer, exchange};
use super::failure::Failure;
use super::progress::Progress;
use super::tls::{Alpn, server_name};
use super::{Asked, Context, body, stream};
use crate::limits::PROBE_BODY_LEN_MAX;
use crate::model::{HttpProbe, ProbeHost, TargetSpec};

/// Names us in servers' logs.
pub(super) const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("meridian/", env!("CARGO_PKG_VERSION")));

/// Asks, follows redirects within reason, and judges the answer.
pub(super) async fn ask(spec: &TargetSpec, probe: &HttpProbe, context: &Context, progress: &Progress) -> Asked {
    let mut method = Method::from_bytes(probe.method.as_bytes())
        .map_err(|_| Failure::Blind(format!("\"{}\" is no method", probe.method)))?;
    let mut path = path(&probe.path)?;
    let host = authority(probe.host.as_deref(), spec);
    for redirects_left in (0..=probe.redirects).rev() {
        let answer = fetch(spec, probe, &method, &path, &host, context, progress).await?;
        let status = answer.head.status().as_u16();
        if probe.status.iter().any(|range| range.contains(&status)) {
            return judge(probe, answer, context).await;
        }
        let Some(location) = answer.head.headers().get(header::LOCATION).filter(|_| is_redirect(status)) else {
            return Err(unexpected(probe, status));
        };
        if redirects_left == 0 {
            return Err(unexpected(probe, status));
        }
        path = redirected(location, spec, probe, &host)?;
        if status == 303 && method != Method::HEAD || matches!(status, 301 | 302) && method == Method::POST {
            method = Method::GET;
        }
    }
    Err(Failure::Blind("nothing was asked".into()))
}

async fn fetch(
    spec: &TargetSpec,
    probe: &HttpProbe,
    method: &Method,
    path: &PathAndQuery,
    host: &str,
    context: &Context,
    progress: &Progress,
) -> Result<Answer, Failure> {
    let secure = match &probe.tls {
        Some(params) => Some((params, server_name(params.sni.as_deref(), spec)?)),
        None => None,
    };
    let scheme = if secure.is_some() { Scheme::HTTPS } else { Scheme::HTTP };
    let request = request(probe, method, scheme, path, host)?;
    let alpn = if probe.http2 { Alpn::Http2 } else { Alpn::Http1 };
    let stream = stream::open(&spec.host, spec.port, secure, alpn, context, progress).await?;
    let wanted = |head: &Response<()>| {
        let is_expected = probe.status.iter().any(|range| range.contains(&head.status().as_u16()));
        if is_expected && body::matters(probe) && encoding(head).is_none() { PROBE_BODY_LEN_MAX } else { 0 }
    };
    exchange(stream, probe.http2, request, wanted, progress).await
}

fn request(
    probe: &HttpProbe,
    method: &Method,
    scheme: Scheme,
    path: &PathAndQuery,
    host: &str,
) -> Result<Request<Full<Bytes>>, Failure> {
    let impossible = |what: &str| Failure::Blind(format!("the request can not be made: {what}"));
    let mut request = Request::new(Full::default());
    *request.method_mut() = method.clone();
    let mut headers = HeaderMap::with_capacity(4 + probe.headers.len());
    let value = HeaderValue::from_str(host).map_err(|_| impossible("the host is no header value"))?;
    if probe.http2 {
        let uri = Uri::builder().scheme(scheme).authority(host).path_and_query(path.clone()).build();
        *request.uri_mut() = uri.map_err(|_| impossible("the host is no authority"))?;
    } else {
        *request.uri_mut() = Uri::from(path.clone());
        headers.insert(header::HOST, value);
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    headers.insert(header::USER_AGENT, USER_AGENT);
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let ours = headers.clone();
    for (name, value) in &probe.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| impossible("a header's name"))?;
        let value = HeaderValue::from_str(value).map_err(|_| impossible("a header's value"))?;
        // What the check says stands in place of ours; said twice, it is sent twice.
        if ours.get(&name).is_some_and(|our| headers.get(&name) == Some(our)) {
            headers.insert(name, value);
        } else {
            headers.append(name, value);
        }
    }
    *request.headers_mut() = headers;
    Ok(request)
}

fn path(text: &str) -> Result<PathAndQuery, Failure> {
    let path: PathAndQuery = text.parse().map_err(|_| Failure::Blind(format!("\"{text}\" is no path")))?;
    Ok(path)
}

/// `Host` or `:authority`: as the check says, else the service's name, else the address itself.
pub(super) fn authority(host: Option<&str>, spec: &TargetSpec) -> String {
    match (host.unwrap_or(&spec.service), &spec.host) {
        ("", ProbeHost::Address(std::net::IpAddr::V6(address))) => format!("[{address}]"),
        ("", host) => host.to_string().trim_end_matches('.').to_owned(),
        (host, _) => host.to_owned(),
    }
}

async fn judge(probe: &HttpProbe, answer: Answer, context: &Context) -> Asked {
    if !body::matters(probe) {
        return Ok(None);
    }
    if let Some(encoding) = encoding(&answer.head) {
        return Err(Failure::Bad(format!(
            "body is encoded ({encoding}) though it was asked for as it is; it is not decoded"
        )));
    }
    body::judge(probe, &context.regexes, answer.body, answer.is_cut).await?;
    Ok(None)
}

/// How the body is encoded, if it is.
pub(super) fn encoding(head: &Response<()>) -> Option<String> {
    let encodings = head.headers().get_all(header::CONTENT_ENCODING);
    let mut encodings = encodings.iter().map(|value| String::from_utf8_lossy(value.as_bytes()).trim().to_owned());
    encodings.find(|encoding| !encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity"))
}

fn unexpected(probe: &HttpProbe, status: u16) -> Failure {
    let range = |range: &std::ops::RangeInclusive<u16>| match range.start() == range.end() {
        true => range.start().to_string(),
        false => format!("{}-{}", range.start(), range.end()),
    };
    let expected: Vec<String> = probe.status.iter().map(range).collect();
    Failure::Bad(format!("status {status}, expected {}", expected.join(", ")))
}

fn is_redirect(status: u16) -> bool {
    matches!(status, 301 | 302 | 303 | 307 | 308)
}

/// The path that a redirect leads to, if that is where we are connected to.
fn redirected(
    location: &HeaderValue,
    spec: &TargetSpec,
    probe: &HttpProbe,
    host: &str,
) -> Result<PathAndQuery, Failure> {
    let shown = String::from_utf8_lossy(location.as_bytes()).into_owned();
    let refused = |why: &str| Failure::Bad(format!("redirect to \"{shown}\", {why}"));
    // A fragment is nothing to a server.
    let target = shown.split('#').next().unwrap_or_default();
    let (scheme, default_port) = if probe.tls.is_some() { ("https", 443) } else { ("http", 80) };
    let target = match target.strip_prefix("//") {
        Some(_) => format!("{scheme}:{target}"),
        None => target.to_owned(),
    };
    let uri: Uri = target.parse().map_err(|_| refused("which is not followed"))?;
    let (Some(authority), Some(to)) = (uri.authority(), uri.scheme_str()) else {
        return match target.starts_with('/') {
            true => uri.path_and_query().cloned().ok_or_else(|| refused("which is not followed")),
            false => Err(refused("which is relative and not followed")),
        };
    };
    let own_name = host.parse::<hyper::http::uri::Authority>().ok();
    let own_name = own_name.as_ref().map_or(host, |own| own.host());
    let is_same_port =
        authority.port_u16().unwrap_or(default_port) == spec.port || authority.port().is_none() && to == scheme;
    if to != scheme || !authority.host().eq_ignore_ascii_case(own_name) || !is_same_port {
        return Err(refused("which is another address"));
    }
    Ok(uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/")))
}
