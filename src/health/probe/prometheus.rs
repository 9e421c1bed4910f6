//! Prometheus: an instant query about a target, and a comparison.
//!
//! The server that is asked is a witness. What it says of the target is evidence; that it is silent, broken or
//! knows nothing is not. So every failure before the comparison is blindness ([`super::probe`] sees to
//! that through [`Progress::is_judged_with`]).

use hyper::header::{self, HeaderValue};
use hyper::http::uri::Scheme;
use hyper::{Request, Response, Uri};
use serde_json::Value;

use super::exchange::exchange;
use super::failure::Failure;
use super::progress::Progress;
use super::tls::Alpn;
use super::{Asked, Context, http, stream, words};
use crate::limits::PROBE_BODY_LEN_MAX;
use crate::model::{Comparison, Name, ProbeHost, PrometheusProbe, TargetSpec, TlsParams};

/// Asks the server at the check's URL; the target's own address is part of the query, if of anything.
pub(super) async fn ask(spec: &TargetSpec, probe: &PrometheusProbe, context: &Context, progress: &Progress) -> Asked {
    let values = fetch(spec, probe, context, progress).await?;
    let note = note(&values);
    progress.is_judged_with(Some(note.clone()));
    judge(&values, probe.up_when).map(|()| Some(note))
}

fn judge(values: &[f64], up_when: Comparison) -> Result<(), Failure> {
    let Some(wrong) = values.iter().find(|value| !up_when.holds(**value)) else { return Ok(()) };
    let which = if values.len() == 1 { "value" } else { "a value" };
    Err(Failure::Bad(format!("{which} is {wrong}, expected {up_when}")))
}

async fn fetch(
    spec: &TargetSpec,
    probe: &PrometheusProbe,
    context: &Context,
    progress: &Progress,
) -> Result<Vec<f64>, Failure> {
    let blind = |why: &str| Failure::Blind(why.to_owned());
    let url: Uri = probe.url.parse().map_err(|_| blind("the URL of the Prometheus server is none"))?;
    let (Some(host), Some(authority)) = (url.host(), url.authority()) else {
        return Err(blind("the URL of the Prometheus server names no host"));
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let host = match bare.parse() {
        Ok(address) => ProbeHost::Address(address),
        Err(_) => ProbeHost::Name(Name::parse(host).map_err(|error| Failure::Blind(error.to_string()))?),
    };
    let is_secure = url.scheme() == Some(&Scheme::HTTPS);
    let port = authority.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
    let params = TlsParams {
        sni: None,
        verify: probe.verify.clone(),
        client: None,
        expiry_warning: std::time::Duration::ZERO,
        allow_expired: false,
    };
    let secure = match is_secure {
        true => {
            let name = bare.strip_suffix('.').unwrap_or(bare).to_owned();
            let name = name.try_into().map_err(|_| blind("a certificate can not be asked for that host"))?;
            Some((&params, name))
        }
        false => None,
    };
    let path = format!("{}/api/v1/query?query={}", url.path().trim_end_matches('/'), encoded(&spec.query));
    let path: Uri = path.parse().map_err(|_| blind("the query is too long"))?;
    let request = Request::get(path)
        .header(header::HOST, authority.as_str().rsplit('@').next().unwrap_or_default())
        .header(header::CONNECTION, HeaderValue::from_static("close"))
        .header(header::USER_AGENT, http::USER_AGENT)
        .header(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"))
        .body(Default::default())
        .map_err(|error| Failure::Blind(format!("the request can not be made: {error}")))?;
    let stream = stream::open(&host, port, secure, Alpn::Http1, context, progress).await?;
    let answer = exchange(stream, false, request, |_: &Response<()>| PROBE_BODY_LEN_MAX, progress).await?;
    let status = answer.head.status();
    if !status.is_success() {
        let why = serde_json::from_slice::<Value>(&answer.body).ok();
        let why = why.and_then(|why| Some(format!(": {}", why.get("error")?.as_str()?)));
        return Err(Failure::Blind(format!("Prometheus: status {}{}", status.as_u16(), why.unwrap_or_default())));
    }
    if answer.is_cut {
        return Err(Failure::Blind(format!("Prometheus: an answer of more than {PROBE_BODY_LEN_MAX} octets")));
    }
    if let Some(encoding) = http::encoding(&answer.head) {
        return Err(Failure::Blind(format!("Prometheus: the answer is encoded ({encoding})")));
    }
    values(&answer.body).map_err(|why| Failure::Blind(format!("Prometheus: {why}")))
}

/// Everything but unreserved characters (RFC 3986 §2.3) in percents.
fn encoded(query: &str) -> String {
    let mut encoded = String::with_capacity(query.len() * 2);
    for octet in query.bytes() {
        match octet {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(octet.into()),
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

/// The values of an answer: at least one, each a number.
fn values(body: &[u8]) -> Result<Vec<f64>, String> {
    let json: Value = serde_json::from_slice(body).map_err(|error| format!("the answer is not JSON ({error})"))?;
    if json.get("status").and_then(Value::as_str) != Some("success") {
        let error = json.get("error").and_then(Value::as_str).unwrap_or("the answer is none of Prometheus's");
        return Err(error.to_owned());
    }
    let result = json.pointer("/data/result");
    let samples: Vec<&Value> = match json.pointer("/data/resultType").and_then(Value::as_str) {
        Some("scalar") => result.into_iter().collect(),
        Some("vector") => {
            let series = result.and_then(Value::as_array).ok_or("a vector without a result")?;
            series.iter().map(|series| series.get("value").unwrap_or(&Value::Null)).collect()
        }
        Some(other) => return Err(format!("the query gives a {}, expected a scalar or vector", words::quoted(other))),
        None => return Err("the answer is none of Prometheus's".into()),
    };
    if samples.is_empty() {
        return Err("the query has no result".into());
    }
    samples.into_iter().map(number).collect()
}

/// Of a sample: time, and a number as text.
fn number(sample: &Value) -> Result<f64, String> {
    let text = sample.get(1).and_then(Value::as_str).ok_or("a sample without a value")?;
    match text.parse::<f64>() {
        Ok(value) if value.is_nan() => Err("the value is NaN: there was nothing to measure".into()),
        Ok(value) => Ok(value),
        Err(_) => Err(format!("a value that is no number: {}", words::quoted(text))),
    }
}

fn note(values: &[f64]) -> String {
    match values {
        [one] => format!("value {one}"),
        all => {
            let least = all.iter().copied().fold(f64::INFINITY, f64::min);
            let most = all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            format!("{} values, from {least} to {most}", all.len())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_prometheus_says_is_read_or_it_is_said_why_not() {
        let said = |body: &str| values(body.as_bytes());
        let vector = |result: &str| {
            said(&format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{result}]}}}}"#))
        };
        assert_eq!(
            vector(r#"{"metric":{},"value":[1.5,"2"]},{"metric":{},"value":[1.5,"+Inf"]}"#).unwrap(),
            [2.0, f64::INFINITY]
        );
        assert_eq!(vector(""), Err("the query has no result".into()));
        assert!(vector(r#"{"metric":{},"value":[1.5,"NaN"]}"#).unwrap_err().contains("NaN"));
        assert!(vector(r#"{"metric":{}}"#).is_err());
        let scalar = r#"{"status":"success","data":{"resultType":"scalar","result":[1,"-0.5"]}}"#;
        assert_eq!(said(scalar).unwrap(), [-0.5]);
        let matrix = r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#;
        assert!(said(matrix).unwrap_err().contains("\"matrix\""));
        assert_eq!(said(r#"{"status":"error","error":"bad query"}"#), Err("bad query".into()));
        assert!(said("{}").is_err() && said("[]").is_err() && said("<html>").is_err());
    }

    #[test]
    fn queries_are_encoded_octet_by_octet() {
        assert_eq!(encoded("rate(x{a=\"é\"}[5m]) > 1&b"), "rate%28x%7Ba%3D%22%C3%A9%22%7D%5B5m%5D%29%20%3E%201%26b");
    }
}
