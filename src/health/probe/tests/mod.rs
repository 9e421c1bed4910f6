//! Probes against small servers on loopback, well-behaved and not.
//!
//! Time limits here are short where a test waits for one to run out, and generous where it must not; nothing
//! asserts how long anything took.

mod connections;
mod dns;
mod grpc;
mod hostile;
mod http;
mod icmp;
mod secure;
mod witnesses;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::model::{CheckSpec, HttpProbe, ProbeHost, TcpProbe, TlsParams, Verify};

/// Long enough that it never runs out on a busy machine.
const AMPLE: Duration = Duration::from_secs(60);

/// Short enough to wait for.
const SHORT: Duration = Duration::from_millis(200);

/// Names and what they lead to; a name that is not here has a silent resolver.
#[derive(Default)]
struct Names(BTreeMap<String, Vec<IpAddr>>);

#[async_trait]
impl Resolve for Names {
    async fn resolve(&self, name: &Name) -> Result<Vec<IpAddr>, Unresolved> {
        match self.0.get(&name.to_string()) {
            Some(addresses) => Ok(addresses.clone()),
            None => Err(Unresolved::Silent("the resolver does not answer".into())),
        }
    }
}

fn context() -> Context {
    Context::new(Arc::new(Names::default()), TlsClients::new(Vec::new()))
}

fn target(probe: Probe, at: SocketAddr, timeout: Duration) -> TargetSpec {
    let check =
        CheckSpec { interval: AMPLE, fast_interval: AMPLE, timeout, max_response: timeout, ..CheckSpec::of(probe) };
    let (host, port) = (ProbeHost::Address(at.ip()), at.port());
    TargetSpec { check: Arc::new(check), host, port, service: "api.example".into(), query: "".into() }
}

fn http_probe() -> HttpProbe {
    HttpProbe::get("/actuator/health")
}

fn tls_params() -> TlsParams {
    TlsParams { sni: None, verify: Verify::System, client: None, expiry_warning: Duration::ZERO, allow_expired: false }
}

/// Accepts connections on a port of 127.0.0.1 for as long as the test runs.
async fn serve<F: Future<Output = ()> + Send + 'static>(each: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(each(stream));
        }
    });
    at
}

/// Reads one request's head.
async fn head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(octet) => read.push(octet),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&read).into_owned()
}

/// A server that reads a request and says this, octet for octet, and closes.
async fn says(answer: impl Into<Vec<u8>>) -> SocketAddr {
    let answer = Arc::new(answer.into());
    serve(move |mut stream| {
        let answer = Arc::clone(&answer);
        async move {
            head(&mut stream).await;
            let _ = stream.write_all(&answer).await;
            let _ = stream.shutdown().await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    })
    .await
}

async fn ask(probe: impl Into<Probe>, at: SocketAddr) -> Outcome {
    super::probe(&target(probe.into(), at, AMPLE), &context()).await
}

async fn ask_briefly(probe: impl Into<Probe>, at: SocketAddr) -> Outcome {
    super::probe(&target(probe.into(), at, SHORT), &context()).await
}

impl From<HttpProbe> for Probe {
    fn from(probe: HttpProbe) -> Probe {
        Probe::Http(probe)
    }
}

impl From<TcpProbe> for Probe {
    fn from(probe: TcpProbe) -> Probe {
        Probe::Tcp(probe)
    }
}

/// What a bad outcome says.
#[track_caller]
fn bad(outcome: Outcome) -> String {
    match outcome {
        Outcome::Bad { why, .. } => why,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn blind(outcome: Outcome) -> String {
    match outcome {
        Outcome::Blind { why } => why,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn good(outcome: Outcome) -> Found {
    match outcome {
        Outcome::Good(found) => found,
        other => panic!("{other:?}"),
    }
}

fn statuses(ranges: &[RangeInclusive<u16>]) -> HttpProbe {
    HttpProbe { status: ranges.to_vec(), ..http_probe() }
}
