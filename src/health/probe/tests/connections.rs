//! Connecting, names, TCP, and how connections end.

use std::net::Ipv4Addr;

use super::*;

#[tokio::test]
async fn a_refused_connection_is_told_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    drop(listener);
    assert_eq!(bad(ask(TcpProbe::default(), at).await), "connection refused");
    assert_eq!(bad(ask(http_probe(), at).await), "connection refused");
}

#[tokio::test]
async fn tcp_sends_and_expects() {
    let at = serve(|mut stream| async move {
        let mut asked = [0; 4];
        if stream.read_exact(&mut asked).await.is_ok() && &asked == b"PING" {
            let _ = stream.write_all(b"-busy +PO").await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            let _ = stream.write_all(b"NG").await;
        }
    })
    .await;
    good(ask(TcpProbe::default(), at).await);
    let pong = |expect: &str| TcpProbe { send: Some(b"PING".to_vec()), expect: Some(expect.into()) };
    good(ask(pong("+PONG"), at).await);
    good(ask(TcpProbe { expect: None, ..pong("") }, at).await);
    assert_eq!(bad(ask(pong("+OK"), at).await), "it said \"-busy +PONG\", expected \"+OK\"");
    let at = serve(|mut stream| async move {
        let _ = stream.read(&mut [0; 64]).await;
    })
    .await;
    assert_eq!(bad(ask(pong("x"), at).await), "connection closed before it said anything, expected \"x\"");
    let at = serve(|mut stream| async move { while stream.write_all(&[b'z'; 8192]).await.is_ok() {} }).await;
    let endless = TcpProbe { send: None, expect: Some(b"x".to_vec()) };
    let why = bad(ask(endless, at).await);
    assert!(why.starts_with("it said \"zzz") && why.ends_with("…\" and more, expected \"x\""), "{why}");
}

#[tokio::test]
async fn names_are_resolved_and_each_address_gets_its_turn() {
    let at = says("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let named = |name: &str| {
        let mut spec = target(http_probe().into(), at, AMPLE);
        spec.host = ProbeHost::Name(Name::parse(name).unwrap());
        spec
    };
    let mut names = Names::default();
    let nobody = IpAddr::from(Ipv4Addr::new(127, 0, 0, 77));
    names.0.insert("two.example.".into(), vec![nobody, at.ip()]);
    names.0.insert("gone.example.".into(), vec![nobody]);
    names.0.insert("none.example.".into(), vec![]);
    let context = Context::new(Arc::new(names), TlsClients::new(Vec::new()));
    good(probe(&named("two.example"), &context).await);
    assert_eq!(bad(probe(&named("gone.example"), &context).await), "connection refused");
    assert_eq!(bad(probe(&named("none.example"), &context).await), "none.example. has no address");
    assert_eq!(blind(probe(&named("silent.example"), &context).await), "the resolver does not answer");
}

struct Hanging;

#[async_trait]
impl Resolve for Hanging {
    async fn resolve(&self, _name: &Name) -> Result<Vec<IpAddr>, Unresolved> {
        std::future::pending().await
    }
}

struct Panicking;

#[async_trait]
impl Resolve for Panicking {
    async fn resolve(&self, _name: &Name) -> Result<Vec<IpAddr>, Unresolved> {
        panic!("a defect")
    }
}

#[tokio::test]
async fn a_resolver_that_hangs_or_panics_is_evidence_of_nothing() {
    let mut spec = target(TcpProbe::default().into(), "127.0.0.1:9".parse().unwrap(), SHORT);
    spec.host = ProbeHost::Name(Name::parse("a.example").unwrap());
    let hanging = Context::new(Arc::new(Hanging), TlsClients::new(Vec::new()));
    assert_eq!(blind(probe(&spec, &hanging).await), "the resolver did not answer within 200 ms");
    let panicking = Context::new(Arc::new(Panicking), TlsClients::new(Vec::new()));
    assert_eq!(blind(probe(&spec, &panicking).await), "the probe itself failed. Please report it");
}

/// What the connections' module docs promise: servers read an orderly end, and no port of ours is left in
/// TIME_WAIT.
#[tokio::test]
async fn probes_end_connections_in_order_and_leave_no_time_wait() {
    let (ends, mut seen) = tokio::sync::mpsc::channel(64);
    let at = serve(move |mut stream| {
        let ends = ends.clone();
        async move {
            // Late, as a busy server is: by then the FIN and the reset have both come.
            tokio::time::sleep(Duration::from_millis(50)).await;
            let mut read = Vec::new();
            let end = stream.read_to_end(&mut read).await.map_err(|error| error.kind());
            let _ = ends.send(end).await;
        }
    })
    .await;
    let ping = TcpProbe { send: Some(b"PING".to_vec()), expect: None };
    for probe in [TcpProbe::default(), ping] {
        let len = probe.send.as_ref().map_or(0, Vec::len);
        good(ask(probe, at).await);
        assert_eq!(seen.recv().await.unwrap(), Ok(len), "an end of stream, not a reset");
    }
    let keeps_open = serve(|mut stream| async move {
        head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        // Whoever closes first is us.
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let closes_first = says("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    for at in [keeps_open, closes_first] {
        for _ in 0..20 {
            good(ask(http_probe(), at).await);
        }
        assert_eq!(time_wait_towards(at), 0);
    }
}

/// Connections of this machine to `at` in TIME_WAIT; those of the server itself are not counted.
fn time_wait_towards(at: SocketAddr) -> usize {
    const TIME_WAIT: &str = "06";
    let port = format!("0100007F:{:04X}", at.port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let left = table.lines().filter(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.len() > 3 && words[2] == port && words[3] == TIME_WAIT
    });
    left.count()
}
