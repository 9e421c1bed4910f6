//! grpc.health.v1.Health/Check, by hand: one message out, one number in.
//!
//! gRPC is HTTP/2 with a five-octet head before each message and the verdict in the trailers
//! (`grpc-status`). The request is one string, the answer one enumeration; that takes less than a
//! protocol-buffers library would.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::uri::Scheme;
use hyper::{Method, Request, Uri};

use super::exchange::{Answer, exchange};
use super::failure::Failure;
use super::progress::Progress;
use super::tls::{Alpn, server_name};
use super::{Asked, Context, http, stream, words};
use crate::limits::PROBE_GRPC_LEN_MAX;
use crate::model::{GrpcProbe, TargetSpec};

/// Asks; SERVING is good.
pub(super) async fn ask(spec: &TargetSpec, probe: &GrpcProbe, context: &Context, progress: &Progress) -> Asked {
    let secure = match &probe.tls {
        Some(params) => Some((params, server_name(params.sni.as_deref(), spec)?)),
        None => None,
    };
    let scheme = if secure.is_some() { Scheme::HTTPS } else { Scheme::HTTP };
    let request = request(spec, probe, scheme)?;
    let stream = stream::open(&spec.host, spec.port, secure, Alpn::Http2, context, progress).await?;
    let answer = exchange(stream, true, request, |_| PROBE_GRPC_LEN_MAX, progress).await?;
    judge(&answer, &probe.service).map(|()| None).map_err(Failure::Bad)
}

fn request(spec: &TargetSpec, probe: &GrpcProbe, scheme: Scheme) -> Result<Request<Full<Bytes>>, Failure> {
    let impossible = |what: &str| Failure::Blind(format!("the request can not be made: {what}"));
    let authority = http::authority(probe.host.as_deref(), spec);
    let uri = Uri::builder().scheme(scheme).authority(authority).path_and_query("/grpc.health.v1.Health/Check");
    let mut request = Request::new(Full::new(Bytes::from(message(&probe.service))));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri.build().map_err(|_| impossible("the host is no authority"))?;
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    headers.insert(header::USER_AGENT, http::USER_AGENT);
    let timeout = format!("{}m", spec.check.timeout.as_millis().min(99_999_999));
    let timeout = HeaderValue::from_str(&timeout).map_err(|_| impossible("the timeout"))?;
    headers.insert(HeaderName::from_static("grpc-timeout"), timeout);
    Ok(request)
}

/// HealthCheckRequest { string service = 1; } behind the head of a message: not compressed, four octets of
/// length.
fn message(service: &str) -> Vec<u8> {
    let mut request = Vec::with_capacity(service.len() + 8);
    if !service.is_empty() {
        request.push(0x0a);
        let mut len = service.len();
        while len >= 0x80 {
            request.push(len.to_le_bytes()[0] | 0x80);
            len >>= 7;
        }
        request.push(len.to_le_bytes()[0]);
        request.extend_from_slice(service.as_bytes());
    }
    let len = u32::try_from(request.len()).unwrap_or(u32::MAX);
    let mut message = vec![0];
    message.extend_from_slice(&len.to_be_bytes());
    message.extend_from_slice(&request);
    message
}

fn judge(answer: &Answer, service: &str) -> Result<(), String> {
    let head = &answer.head;
    if head.status() != 200 {
        return Err(format!("status {}, expected 200: no gRPC", head.status().as_u16()));
    }
    let kind = head.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    if !kind.starts_with(b"application/grpc") {
        return Err(format!("the answer is no gRPC but {}", words::quoted(&String::from_utf8_lossy(kind))));
    }
    // The trailers; or the head, of an answer without a message.
    let field = |headers: &HeaderMap, name| headers.get(name).map(|value| value.as_bytes().to_owned());
    let said = |name| answer.trailers.as_ref().and_then(|all| field(all, name)).or_else(|| field(head.headers(), name));
    let Some(status) = said("grpc-status") else { return Err("the answer has no grpc-status".into()) };
    let about = if service.is_empty() { String::new() } else { format!(" about {}", words::quoted(service)) };
    match status.as_slice() {
        b"0" => {}
        b"5" => return Err(format!("the server does not know service {} (NOT_FOUND)", words::quoted(service))),
        b"12" => return Err("the server does not have grpc.health.v1 (UNIMPLEMENTED)".into()),
        other => {
            let message = said("grpc-message").map(|message| format!(": {}", String::from_utf8_lossy(&message)));
            let status = String::from_utf8_lossy(other).into_owned();
            return Err(format!("grpc-status {status}{about}{}", message.unwrap_or_default()));
        }
    }
    match serving(&answer.body) {
        Some(1) => Ok(()),
        Some(0) => Err(format!("UNKNOWN{about}, expected SERVING")),
        Some(2) => Err(format!("NOT_SERVING{about}, expected SERVING")),
        Some(3) => Err(format!("SERVICE_UNKNOWN{about}, expected SERVING")),
        Some(other) => Err(format!("state {other}{about}, expected SERVING")),
        None => Err("the answer is no HealthCheckResponse".into()),
    }
}

/// HealthCheckResponse { ServingStatus status = 1; }: the last value of the field, 0 without one. `None`: it is
/// compressed, cut short, or something else.
fn serving(body: &[u8]) -> Option<u64> {
    let (head, rest) = body.split_at_checked(5)?;
    let len = u32::from_be_bytes(head[1..].try_into().ok()?);
    if head[0] != 0 || usize::try_from(len).ok()? != rest.len() {
        return None;
    }
    let mut rest = rest;
    let mut status = 0;
    while !rest.is_empty() {
        let key = varint(&mut rest)?;
        match (key >> 3, key & 7) {
            (1, 0) => status = varint(&mut rest)?,
            (1.., 0) => drop(varint(&mut rest)?),
            (1.., 1) => rest = rest.get(8..)?,
            (1.., 2) => {
                let len = usize::try_from(varint(&mut rest)?).ok()?;
                rest = rest.get(len..)?;
            }
            (1.., 5) => rest = rest.get(4..)?,
            _ => return None,
        }
    }
    Some(status)
}

/// Seven bits an octet, the least first, at most ten octets.
fn varint(octets: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..70).step_by(7) {
        let (&octet, rest) = octets.split_first()?;
        *octets = rest;
        value |= u64::from(octet & 0x7f).checked_shl(shift).unwrap_or(0);
        if octet & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_one_string_behind_its_length() {
        assert_eq!(message(""), [0, 0, 0, 0, 0]);
        assert_eq!(message("db"), [0, 0, 0, 0, 4, 0x0a, 2, b'd', b'b']);
        let long = message(&"x".repeat(300));
        assert_eq!(long[..8], [0, 0, 0, 1, 0x2f, 0x0a, 0xac, 0x02]);
    }

    #[test]
    fn an_answer_is_one_number_whatever_stands_beside_it() {
        assert_eq!(serving(&[0, 0, 0, 0, 2, 8, 1]), Some(1));
        assert_eq!(serving(&[0, 0, 0, 0, 0]), Some(0));
        assert_eq!(serving(&[0, 0, 0, 0, 6, 18, 2, 8, 2, 8, 1]), Some(1), "an unknown field is skipped");
        assert_eq!(serving(&[1, 0, 0, 0, 2, 8, 1]), None, "compressed");
        assert_eq!(serving(&[0, 0, 0, 0, 9, 8, 1]), None, "cut short");
        assert_eq!(serving(&[0, 0, 0, 0, 2, 8, 0x81]), None);
        assert_eq!(serving(&[0, 0, 0, 0, 3, 18, 9, 1]), None);
        assert_eq!(serving(&[[0, 0, 0, 0, 12, 8].as_slice(), &[0xff; 11]].concat()), None);
    }
}
