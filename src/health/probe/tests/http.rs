//! HTTP/1.1 and HTTP/2 in the clear: what is asked, and what is made of the answer.

use std::sync::Mutex;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::*;

#[tokio::test]
async fn a_request_says_what_the_check_says_and_closes() {
    let seen = Arc::new(Mutex::new(String::new()));
    let sink = Arc::clone(&seen);
    let at = serve(move |mut stream| {
        let sink = Arc::clone(&sink);
        async move {
            let read = head(&mut stream).await;
            *sink.lock().unwrap() = read;
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        }
    })
    .await;
    let probe = HttpProbe {
        method: "HEAD".into(),
        path: "/a?b=c".into(),
        headers: vec![
            ("X-Probe".into(), "1".into()),
            ("x-probe".into(), "2".into()),
            ("user-agent".into(), "me".into()),
        ],
        ..http_probe()
    };
    good(ask(probe.clone(), at).await);
    let asked = seen.lock().unwrap().clone();
    assert!(asked.starts_with("HEAD /a?b=c HTTP/1.1\r\n"), "{asked}");
    let expected = "host: api.example\r\nconnection: close\r\nuser-agent: me\r\naccept-encoding: identity\r\n\
                    x-probe: 1\r\nx-probe: 2\r\n\r\n";
    assert!(asked.ends_with(expected), "{asked}");
    good(ask(HttpProbe { host: Some("other.example:8080".into()), headers: vec![], ..probe }, at).await);
    let asked = seen.lock().unwrap().clone();
    assert!(asked.contains("host: other.example:8080\r\n"), "{asked}");
    assert!(asked.contains(concat!("user-agent: meridian/", env!("CARGO_PKG_VERSION"))), "{asked}");
}

#[tokio::test]
async fn a_status_is_good_or_said_with_what_was_expected() {
    let at = says("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(bad(ask(http_probe(), at).await), "status 503, expected 200-299");
    assert_eq!(bad(ask(statuses(&[200..=204, 301..=301]), at).await), "status 503, expected 200-204, 301");
    good(ask(statuses(&[200..=200, 500..=599]), at).await);
}

#[tokio::test]
async fn bodies_are_looked_into_when_something_is_expected_of_them() {
    let at =
        says("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n8\r\n{\"status\r\n9\r\n\":\"DOWN\"}\r\n0\r\n\r\n")
            .await;
    good(ask(http_probe(), at).await);
    let json = |value: &str| HttpProbe { json: vec![("/status".into(), value.into())], ..http_probe() };
    good(ask(json("\"DOWN\""), at).await);
    assert_eq!(bad(ask(json("\"UP\""), at).await), "body field /status is \"DOWN\", expected \"UP\"");
    let text = |text: &str| HttpProbe { contains: Some(text.into()), ..http_probe() };
    good(ask(text("s\":\"D"), at).await);
    assert_eq!(bad(ask(text("UP"), at).await), "body does not contain \"UP\"");
    let regex = |text: &str| HttpProbe { regex: Some(text.into()), ..http_probe() };
    good(ask(regex("D.*N"), at).await);
    assert_eq!(bad(ask(regex("^D"), at).await), "body does not match \"^D\"");
}

#[tokio::test]
async fn a_body_as_long_as_may_be_is_looked_into_whole() {
    let mut body = vec![b' '; crate::limits::PROBE_BODY_LEN_MAX - 2];
    body.extend(b"{}");
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
    let at = says([head.into_bytes(), body].concat()).await;
    good(
        ask(HttpProbe { regex: Some(r"\{\}\z".into()), json: vec![("".into(), "{}".into())], ..http_probe() }, at)
            .await,
    );
}

#[tokio::test]
async fn redirects_lead_nowhere_unless_asked_for_and_never_elsewhere() {
    let at = serve(|mut stream| async move {
        let asked = head(&mut stream).await;
        let to = |location: &str| format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
        let path = asked.split(' ').nth(1).unwrap_or_default();
        let answer = match path {
            "/1" => to("/2"),
            "/2" => to("http://api.example/3#x"),
            "/3" => "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".into(),
            "/away" => to("http://evil.example/3"),
            "/port" => to("http://api.example:1/3"),
            "/secure" => to("https://api.example/3"),
            "/double" => to("//evil.example/3"),
            "/relative" => to("3"),
            _ => to("/loop"),
        };
        let _ = stream.write_all(answer.as_bytes()).await;
    })
    .await;
    let following = |path: &str, redirects| HttpProbe { path: path.into(), redirects, ..http_probe() };
    assert_eq!(bad(ask(following("/1", 0), at).await), "status 302, expected 200-299");
    assert_eq!(bad(ask(following("/1", 1), at).await), "status 302, expected 200-299");
    good(ask(following("/1", 2), at).await);
    good(ask(HttpProbe { status: vec![302..=302], ..following("/away", 5) }, at).await);
    assert_eq!(bad(ask(following("/loop", 5), at).await), "status 302, expected 200-299");
    for path in ["/away", "/port", "/secure", "/double"] {
        let why = bad(ask(following(path, 5), at).await);
        assert!(why.starts_with("redirect to \"") && why.ends_with("which is another address"), "{why}");
    }
    assert!(bad(ask(following("/relative", 5), at).await).contains("relative"));
}

#[tokio::test]
async fn a_good_answer_that_comes_too_late_is_bad() {
    let at = says("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let mut spec = target(http_probe().into(), at, AMPLE);
    Arc::make_mut(&mut spec.check).max_response = Duration::ZERO;
    let why = bad(probe(&spec, &context()).await);
    assert!(why.starts_with("good, but after ") && why.ends_with("`max_response` is 0 µs"), "{why}");
}

#[tokio::test]
async fn http2_is_spoken_with_prior_knowledge() {
    async fn answer(request: Request<Incoming>) -> hyper::Result<Response<Full<Bytes>>> {
        let said = format!("{} {} {:?}", request.method(), request.uri(), request.version());
        Ok(Response::new(Full::new(Bytes::from(said))))
    }
    let at = serve(|stream| async move {
        let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ = connection.serve_connection(TokioIo::new(stream), service_fn(answer)).await;
    })
    .await;
    let wanted = "GET http://api.example/actuator/health HTTP/2.0";
    let probe = HttpProbe { http2: true, contains: Some(wanted.into()), ..http_probe() };
    good(ask(probe.clone(), at).await);
    good(ask(HttpProbe { contains: None, ..probe.clone() }, at).await);
    let why = bad(ask(HttpProbe { contains: Some("HTTP/1.1".into()), ..probe }, at).await);
    assert_eq!(why, "body does not contain \"HTTP/1.1\"");
}
