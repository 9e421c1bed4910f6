//! Targets that do their worst: each costs its own probe, for at most its time limit, and bounded memory.

use super::*;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

fn wanting_body() -> HttpProbe {
    HttpProbe { contains: Some("never".into()), ..http_probe() }
}

#[tokio::test]
async fn who_accepts_and_says_nothing_is_told_by_how_far_it_got() {
    let at = serve(|mut stream| async move {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    assert_eq!(bad(ask_briefly(http_probe(), at).await), "no answer within 200 ms (connected, request sent)");
    let secure = HttpProbe { tls: Some(TlsParams { verify: Verify::Off, ..tls_params() }), ..http_probe() };
    assert_eq!(bad(ask_briefly(secure, at).await), "no answer within 200 ms (connected, TLS not done)");
    let http2 = HttpProbe { http2: true, ..http_probe() };
    let why = bad(ask_briefly(http2, at).await);
    assert_eq!(why, "no answer within 200 ms (connected, request sent)", "no SETTINGS ever");
    let expecting = TcpProbe { send: None, expect: Some(b"+PONG".to_vec()) };
    assert_eq!(bad(ask_briefly(expecting, at).await), "no answer within 200 ms (connected)");
}

#[tokio::test]
async fn a_body_without_end_is_read_to_its_bound_and_not_further() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&sent);
    let gone = Arc::new(AtomicBool::new(false));
    let ended = Arc::clone(&gone);
    let at = serve(move |mut stream| {
        let (counter, ended) = (Arc::clone(&counter), Arc::clone(&ended));
        async move {
            head(&mut stream).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n").await;
            let chunk = vec![b'x'; 64 << 10];
            while let Ok(written) = stream.write(&chunk).await {
                counter.fetch_add(written, Ordering::SeqCst);
            }
            ended.store(true, Ordering::SeqCst);
        }
    })
    .await;
    let why = bad(ask(wanting_body(), at).await);
    assert_eq!(why, "body, in its first 262144 octets, does not contain \"never\"");
    let json = HttpProbe { json: vec![("/status".into(), "\"UP\"".into())], ..http_probe() };
    assert_eq!(bad(ask(json, at).await), "body is longer than 262144 octets, too long for JSON");
    while !gone.load(Ordering::SeqCst) {
        tokio::task::yield_now().await;
    }
    assert!(sent.load(Ordering::SeqCst) < 200 << 20, "the connection was closed, not drained");
    good(ask(http_probe(), at).await);
}

#[tokio::test]
async fn a_header_without_end_is_given_up() {
    let at = serve(|mut stream| async move {
        head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n").await;
        let mut line = 0_u64;
        while stream.write_all(format!("x-{line}: {}\r\n", "y".repeat(1000)).as_bytes()).await.is_ok() {
            line += 1;
        }
    })
    .await;
    let expected = "the header of the answer is longer than 32768 octets or 100 fields";
    assert_eq!(bad(ask(http_probe(), at).await), expected);
    let at = serve(|mut stream| async move {
        head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nx: ").await;
        while stream.write_all(&[b'y'; 4096]).await.is_ok() {}
    })
    .await;
    assert_eq!(bad(ask(http_probe(), at).await), expected);
    let fields = "x: y\r\n".repeat(200);
    let at = says(format!("HTTP/1.1 200 OK\r\n{fields}\r\n")).await;
    assert_eq!(bad(ask(http_probe(), at).await), expected);
}

#[tokio::test]
async fn a_status_line_without_end_of_interim_answers_runs_out_of_time() {
    let at = serve(|mut stream| async move {
        head(&mut stream).await;
        while stream.write_all(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    assert_eq!(bad(ask_briefly(http_probe(), at).await), "no answer within 200 ms (connected, request sent)");
}

#[tokio::test]
async fn one_octet_at_a_time_runs_out_of_time() {
    let at = serve(|mut stream| async move {
        head(&mut stream).await;
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{}", "x".repeat(1000));
        // The head and one octet of the body at once.
        let (now, later) = answer.split_at(answer.find("\r\n\r\n").unwrap() + 5);
        let _ = stream.write_all(now.as_bytes()).await;
        for octet in later.as_bytes() {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if stream.write_u8(*octet).await.is_err() {
                break;
            }
        }
    })
    .await;
    let why = bad(ask_briefly(wanting_body(), at).await);
    assert_eq!(why, "no whole answer within 200 ms (connected, request sent, status 200, 1 octets of body)");
}

#[tokio::test]
async fn early_ends_and_resets_are_told_apart() {
    let at = serve(|mut stream| async move {
        head(&mut stream).await;
    })
    .await;
    assert_eq!(bad(ask(http_probe(), at).await), "connection closed before an answer");
    let at = says("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc").await;
    assert_eq!(bad(ask(wanting_body(), at).await), "connection closed in the middle of the answer");
    good(ask(http_probe(), at).await);
    let at = says("HTTP/1.1 200 OK\r\ncontent-le").await;
    assert_eq!(bad(ask(http_probe(), at).await), "connection closed before an answer");
    let at = serve(|mut stream| async move {
        head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc").await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        stream.set_zero_linger().unwrap();
    })
    .await;
    assert_eq!(bad(ask(wanting_body(), at).await), "connection reset in the middle of the answer");
    let at = serve(|mut stream| async move {
        head(&mut stream).await;
        stream.set_zero_linger().unwrap();
    })
    .await;
    assert_eq!(bad(ask(http_probe(), at).await), "connection reset before an answer");
    let http2 = HttpProbe { http2: true, ..http_probe() };
    let why = bad(ask(http2.clone(), at).await);
    assert_eq!(why, "connection reset before an answer");
    let at = serve(|mut stream| async move {
        let _ = stream.read(&mut [0; 24]).await;
        let _ = stream.shutdown().await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    assert_eq!(bad(ask(http2, at).await), "connection closed before an answer");
}

#[tokio::test]
async fn the_wrong_protocol_is_named() {
    let at = says("ICY 200 OK\r\n\r\n").await;
    let why = bad(ask(http_probe(), at).await);
    assert!(why.starts_with("the answer is no good HTTP/1.1: "), "{why}");
    let http2 = HttpProbe { http2: true, ..http_probe() };
    let at = says("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
    let why = bad(ask(http2.clone(), at).await);
    assert!(why.starts_with("the answer is no good HTTP/2: "), "{why}");
    let at = says("SSH-2.0-OpenSSH_9.2\r\n").await;
    let why = bad(ask(http_probe(), at).await);
    assert!(why.starts_with("the answer is no good HTTP/1.1: "), "{why}");
    let why = bad(ask(http2, at).await);
    assert!(why.starts_with("the answer is no good HTTP/2: "), "{why}");
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let at = says(settings).await;
    let why = bad(ask(http_probe(), at).await);
    assert!(why.starts_with("the answer is no good HTTP/1.1: "), "{why}");
    let at = says("HTTP/1.0 200 OK\r\n\r\nhello").await;
    good(ask(HttpProbe { contains: Some("hello".into()), ..http_probe() }, at).await);
}

#[tokio::test]
async fn a_compressed_bomb_is_not_opened() {
    let at = says("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\n\x1f\x08\x00\x00").await;
    let why = bad(ask(wanting_body(), at).await);
    assert_eq!(why, "body is encoded (gzip) though it was asked for as it is; it is not decoded");
    good(ask(http_probe(), at).await);
}

#[tokio::test]
async fn garbage_in_place_of_tls_is_called_that() {
    let at = serve(|mut stream| async move {
        let _ = stream.read(&mut [0; 1024]).await;
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let params = TlsParams { verify: Verify::Off, ..tls_params() };
    let secure = HttpProbe { tls: Some(params.clone()), ..http_probe() };
    assert_eq!(bad(ask(secure, at).await), "the answer is no TLS");
    assert_eq!(bad(ask(Probe::Tls(params.clone()), at).await), "the answer is no TLS");
    let at = serve(|mut stream| async move {
        let _ = stream.read(&mut [0; 1024]).await;
    })
    .await;
    let why = bad(ask(Probe::Tls(params), at).await);
    assert!(why.starts_with("connection ") && why.ends_with(" in the TLS handshake"), "{why}");
}

#[tokio::test]
async fn an_http2_peer_that_floods_is_cut_off_by_the_time_limit_or_before() {
    for frame in [
        [0_u8, 0, 0, 4, 0, 0, 0, 0, 0].to_vec(),              // SETTINGS, again and again
        [&[0, 0, 8, 6, 0, 0, 0, 0, 0][..], &[7; 8]].concat(), // PING
        [&[0, 0x40, 0, 1, 0, 0, 0, 0, 1][..], &[0; 16384]].concat(), // HEADERS without end
    ] {
        let at = serve(move |mut stream| {
            let frame = frame.clone();
            async move {
                let _ = stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await;
                while stream.write_all(&frame).await.is_ok() {}
            }
        })
        .await;
        let why = bad(ask_briefly(HttpProbe { http2: true, ..http_probe() }, at).await);
        assert!(why.starts_with("no answer within") || why.starts_with("the answer is no good HTTP/2"), "{why}");
    }
}

#[tokio::test]
async fn dropping_a_probe_closes_its_connection() {
    for http2 in [false, true] {
        let (closed, mut is_closed) = tokio::sync::mpsc::channel(1);
        let at = serve(move |mut stream| {
            let closed = closed.clone();
            async move {
                let _ = stream.read_to_end(&mut Vec::new()).await;
                let _ = closed.send(()).await;
            }
        })
        .await;
        let spec = target(HttpProbe { http2, ..http_probe() }.into(), at, AMPLE);
        let context = context();
        let cut = tokio::time::timeout(SHORT, probe(&spec, &context)).await;
        assert!(cut.is_err());
        is_closed.recv().await.unwrap();
    }
}
