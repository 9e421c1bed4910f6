//! Probing at scale: how late probes begin, and what they cost. Everything stays on loopback.
//!
//! ```text
//! cargo bench --bench probes                        10 000 HTTP targets at 5 s, then 2 500 HTTPS ones
//! cargo bench --bench probes -- http 10000          one of the two
//! cargo bench --bench probes -- https 2500
//! cargo bench --bench probes -- holes 10000         as http, beside so many that never answer
//! cargo bench --bench probes -- beside 10000        DNS at rest and beside so many HTTP targets, by turns
//! ```
//!
//! The targets are served by a process of their own, on [`ADDRESSES`] addresses, so that figures of this process are
//! the prober's alone. The machine carries both.

use std::fs;
use std::io::{self, BufRead, BufReader, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use meridian::control::{self, Control, Paths};
use meridian::health::probe::runner::{Listeners, Prober, ProberConfig, Spans};
use meridian::health::probe::{Resolve, Unresolved};
use meridian::health::{Target, TargetId};
use meridian::model::{
    CheckSpec, DatacenterId, HealthSettings, HttpProbe, Name, Probe, ProbeHost, Settings, State, TargetSpec, TlsParams,
    Verify,
};
use meridian::serve::{Doors, DoorsConfig};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

/// Behind which all targets stand.
const ADDRESSES: u8 = 100;

/// Until the phases are settled.
const WARM_UP: Duration = Duration::from_secs(12);

/// Measured.
const WINDOW: Duration = Duration::from_secs(20);

/// Connections that the server holds at once.
const CONNECTIONS_MAX: usize = 4096;

const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 15\r\n\r\n{\"status\":\"UP\"}";

fn main() -> io::Result<()> {
    // Cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<u64>().map_err(io::Error::other);
    match words.as_slice() {
        [] => {
            for case in [["http", "10000"], ["https", "2500"]] {
                Command::new(std::env::current_exe()?).args(case).status()?;
            }
            Ok(())
        }
        ["http", count] => measure(number(count)?, 0, false),
        ["https", count] => measure(number(count)?, 0, true),
        ["holes", count] => measure(10_000, number(count)?, false),
        ["beside", count] => beside(number(count)?),
        ["serve", certificate] => serve(Path::new(certificate)),
        _ => Err(io::Error::other("expected: http COUNT | https COUNT | holes COUNT | beside COUNT")),
    }
}

/// The process that all targets stand in; it ends with its standard input.
struct Targets {
    child: Child,
    port: u16,
}

impl Targets {
    fn start(certificate: &Path) -> io::Result<Targets> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.arg("serve").arg(certificate).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        let said = child.stdout.take().ok_or_else(|| io::Error::other("no pipe"))?;
        BufReader::new(said).read_line(&mut line)?;
        let port = line.trim().parse().map_err(io::Error::other)?;
        Ok(Targets { child, port })
    }
}

impl Drop for Targets {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn address(at: u64) -> IpAddr {
    Ipv4Addr::new(127, 90, 0, 1 + (at % u64::from(ADDRESSES)) as u8).into()
}

fn serve(certificate: &Path) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let acceptor = (certificate != Path::new("-")).then(|| acceptor(certificate)).transpose()?;
        let gate = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut port = 0;
        for at in 0..u64::from(ADDRESSES) {
            let socket = TcpSocket::new_v4()?;
            socket.set_reuseaddr(true)?;
            socket.bind(SocketAddr::new(address(at), port))?;
            let listener = socket.listen(4096)?;
            port = listener.local_addr()?.port();
            let (acceptor, gate) = (acceptor.clone(), Arc::clone(&gate));
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let Ok(permit) = Arc::clone(&gate).acquire_owned().await else { return };
                    let acceptor = acceptor.clone();
                    tokio::spawn(async move {
                        let _permit = permit;
                        drop(one(stream, acceptor).await);
                    });
                }
            });
        }
        println!("{port}");
        io::stdout().flush()?;
        // Whoever measures has gone when this ends.
        tokio::task::spawn_blocking(|| io::copy(&mut io::stdin(), &mut io::sink())).await??;
        Ok(())
    })
}

fn acceptor(certificate: &Path) -> io::Result<TlsAcceptor> {
    let signed = rcgen::generate_simple_self_signed(["api.example".to_owned()]).map_err(io::Error::other)?;
    fs::write(certificate, signed.cert.pem())?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signed.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(vec![signed.cert.der().clone()], key)
        .map_err(io::Error::other)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn one(stream: TcpStream, acceptor: Option<TlsAcceptor>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    match acceptor {
        Some(acceptor) => answer(acceptor.accept(stream).await?).await,
        None => answer(stream).await,
    }
}

async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    let mut buffer = [0; 2048];
    let mut len = 0;
    while !buffer[..len].ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer[len..]).await? {
            0 => return Ok(()),
            read => len += read,
        }
    }
    stream.write_all(ANSWER).await?;
    stream.flush().await?;
    // The prober closes first.
    stream.read(&mut buffer).await.map(drop)
}

struct Nobody;

#[async_trait]
impl Resolve for Nobody {
    async fn resolve(&self, name: &Name) -> Result<Vec<IpAddr>, Unresolved> {
        Err(Unresolved::Silent(format!("{name} is not to be resolved")))
    }
}

/// The reference file's check.
fn check(certificate: Option<&Path>) -> CheckSpec {
    let tls = certificate.map(|path| TlsParams {
        sni: None,
        verify: Verify::Ca(path.to_owned()),
        client: None,
        expiry_warning: Duration::ZERO,
        allow_expired: false,
    });
    let json = vec![("/status".into(), "\"UP\"".into())];
    CheckSpec::of(Probe::Http(HttpProbe { tls, json, ..HttpProbe::get("/actuator/health") }))
}

fn measure(count: u64, holes: u64, is_secure: bool) -> io::Result<()> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("ca.pem");
    let certificate = is_secure.then_some(file.as_path());
    let targets = Targets::start(certificate.unwrap_or(Path::new("-")))?;
    let check = Arc::new(check(certificate));
    // Nobody accepts there: once its queue is full, connections hang.
    let hole = std::net::TcpListener::bind("127.91.0.1:0")?;
    let spec = |host: IpAddr, port: u16| TargetSpec {
        check: Arc::clone(&check),
        host: ProbeHost::Address(host),
        port,
        service: "api.example".into(),
        query: "".into(),
    };
    let datacenter = |at: u64| DatacenterId::new(&format!("dc{}", at % 10)).map_err(|_| io::Error::other("a name"));
    let mut wanted = Vec::new();
    for at in 0..count + holes {
        let spec = match at < count {
            true => spec(address(at), targets.port),
            false => spec(hole.local_addr()?.ip(), hole.local_addr()?.port()),
        };
        let datacenter = Some(datacenter(at)?);
        wanted.push(Target { id: TargetId(at), spec: Arc::new(spec), datacenter, remembered: None });
    }

    let (ups, downs) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (seen_up, seen_down) = (Arc::clone(&ups), Arc::clone(&downs));
    let listeners = Listeners {
        states: Box::new(move |states| {
            for (_, state) in states {
                match state {
                    State::Up => seen_up.fetch_add(1, Ordering::Relaxed),
                    State::Down => seen_down.fetch_add(1, Ordering::Relaxed),
                    State::Unknown => 0,
                };
            }
        }),
        blindness: Box::new(|_| {}),
    };
    let empty = memory_kib("VmRSS:");
    let prober = Prober::new();
    prober.set_targets(wanted);
    let begun = Instant::now();
    prober.start(ProberConfig::new(HealthSettings::default(), Arc::new(Nobody), begun), listeners)?;
    std::thread::sleep(WARM_UP);
    let (before, cpu_before, theirs_before) = (prober.counters(), threads_ms("self"), cpu_ms(targets.child.id()));
    let (first_ups, window) = (ups.load(Ordering::Relaxed), Instant::now());
    std::thread::sleep(WINDOW);
    let (after, cpu_after, theirs_after) = (prober.counters(), threads_ms("self"), cpu_ms(targets.child.id()));
    let elapsed = window.elapsed();
    let asked = Instant::now();
    let numbers = prober.numbers().ok_or_else(|| io::Error::other("the prober has no time to tell"))?;
    let told_in = asked.elapsed();

    let kind = if is_secure { "HTTPS" } else { "HTTP" };
    println!("{count} {kind} targets at 5 s, {holes} black holes, {:.0} s:", begun.elapsed().as_secs_f64());
    let probes = (after.started - before.started) as f64;
    println!("  probes/s                     {:>9.0}", probes / elapsed.as_secs_f64());
    tell("lateness, from the start", &numbers.lateness);
    let mut took = numbers.groups.iter().map(|(_, tally)| &tally.took).max_by_key(|took| took.count);
    if let Some(took) = took.take() {
        tell("answers of one data centre", took);
    }
    println!("  late (> 100 ms), lost, stalls{:>9} {} {}", after.late, after.lost, after.stalls);
    println!("  up, down, failed             {first_ups:>9} {} {}", downs.load(Ordering::Relaxed), failed(&numbers));
    for (name, ms) in &cpu_after {
        let was = cpu_before.iter().find(|(of, _)| of == name).map_or(0.0, |(_, ms)| *ms);
        println!("  CPU of {name:<10} µs a probe   {:>9.1}", (ms - was) * 1e3 / probes);
    }
    let all = |of: &[(String, f64)]| of.iter().map(|(_, ms)| ms).sum::<f64>();
    let ours = (all(&cpu_after) - all(&cpu_before)) / elapsed.as_millis() as f64;
    println!(
        "  CPU, of one processor        {:>8.1}%  (targets' own: {:.1}%)",
        ours * 100.0,
        (theirs_after - theirs_before) / elapsed.as_millis() as f64 * 100.0
    );
    println!(
        "  resident, MiB                {:>9.1}  (empty {:.1}, most {:.1})",
        memory_kib("VmRSS:") / 1024.0,
        empty / 1024.0,
        memory_kib("VmHWM:") / 1024.0
    );
    println!("  numbers told in              {:>9.1} ms", told_in.as_secs_f64() * 1e3);
    println!(
        "  load average                 {:>9}",
        fs::read_to_string("/proc/loadavg")?.split(' ').next().unwrap_or("")
    );
    let stopping = Instant::now();
    let has_ended = prober.stop(Duration::from_secs(5));
    println!("  stopped in                   {:>9.1} ms  ({has_ended})", stopping.elapsed().as_secs_f64() * 1e3);
    Ok(())
}

/// DNS is answered by this process, by one worker; its client is a thread of this process too.
fn beside(count: u64) -> io::Result<()> {
    let directory = tempfile::tempdir()?;
    let policy = include_str!("../zones/api.meta-driven.example.com.yaml");
    fs::write(directory.path().join("api.yaml"), policy)?;
    let paths =
        Paths { zones: directory.path().to_owned(), geoip: Vec::new(), geoip_if_present: true, geoip_required: false };
    let base = control::load(&paths, &Settings::default(), false).base.ok_or_else(|| io::Error::other("a policy"))?;
    let control = Control::new(paths, Settings::default(), false, &base);
    let mut config = DoorsConfig::new(vec![(Ipv4Addr::LOCALHOST, 0).into()]);
    config.threads = NonZeroUsize::new(1);
    let doors = Doors::open(&config, control.subscription()).map_err(io::Error::other)?;
    let server = doors.local_addresses().plain[0];

    let targets = Targets::start(Path::new("-"))?;
    let check = Arc::new(check(None));
    let wanted = (0..count).map(|at| {
        let host = ProbeHost::Address(address(at));
        let spec = TargetSpec {
            check: Arc::clone(&check),
            host,
            port: targets.port,
            service: "x".into(),
            query: at.to_string().into(),
        };
        Target { id: TargetId(at), spec: Arc::new(spec), datacenter: None, remembered: None }
    });
    let wanted: Vec<Target> = wanted.collect();
    println!("DNS at rest, and beside {count} HTTP targets at 5 s:");
    for turn in 0..2 * BESIDE_TURNS {
        let prober = (turn % 2 == 1).then(Prober::new);
        if let Some(prober) = &prober {
            let listeners = Listeners { states: Box::new(|_| {}), blindness: Box::new(|_| {}) };
            prober.set_targets(wanted.clone());
            prober.start(ProberConfig::new(HealthSettings::default(), Arc::new(Nobody), Instant::now()), listeners)?;
            std::thread::sleep(WARM_UP);
        }
        let (mut times, qps) = (one_in_flight(server)?, many_in_flight(server)?);
        times.sort_unstable();
        let at = |permille: usize| times[(times.len() - 1) * permille / 1000].as_secs_f64() * 1e6;
        let late = prober.as_ref().map_or(0, |prober| prober.counters().late);
        println!(
            "  {:<8} p50 {:>6.1}  p99 {:>7.1}  p99.9 {:>8.1} µs   {qps:>8.0} queries/s with {MANY} in flight   late probes {late}",
            if prober.is_some() { "probing" } else { "rest" },
            at(500),
            at(990),
            at(999)
        );
        if let Some(prober) = prober {
            prober.stop(Duration::from_secs(5));
        }
    }
    doors.close();
    Ok(())
}

/// Pairs of turns.
const BESIDE_TURNS: usize = 3;

/// How long each of the two measurements of a turn takes.
const BESIDE_WINDOW: Duration = Duration::from_secs(4);

/// Queries in flight where throughput is measured.
const MANY: usize = 64;

/// `api.meta-driven.example.com. A`.
fn query() -> Vec<u8> {
    let mut query = vec![0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in ["api", "meta-driven", "example", "com"] {
        query.push(label.len() as u8);
        query.extend(label.as_bytes());
    }
    query.extend([0, 0, 1, 0, 1]);
    query
}

fn client(server: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    Ok(socket)
}

fn one_in_flight(server: SocketAddr) -> io::Result<Vec<Duration>> {
    let (socket, query, mut reply) = (client(server)?, query(), [0; 512]);
    let (begun, mut times) = (Instant::now(), Vec::with_capacity(1 << 20));
    while begun.elapsed() < BESIDE_WINDOW {
        let sent = Instant::now();
        socket.send(&query)?;
        socket.recv(&mut reply)?;
        times.push(sent.elapsed());
    }
    Ok(times)
}

fn many_in_flight(server: SocketAddr) -> io::Result<f64> {
    let (socket, query, mut reply) = (client(server)?, query(), [0; 512]);
    let (begun, mut answered) = (Instant::now(), 0_u64);
    (0..MANY).try_for_each(|_| socket.send(&query).map(drop))?;
    while begun.elapsed() < BESIDE_WINDOW {
        socket.recv(&mut reply)?;
        answered += 1;
        socket.send(&query)?;
    }
    Ok(answered as f64 / begun.elapsed().as_secs_f64())
}

fn failed(numbers: &meridian::health::probe::runner::Numbers) -> u64 {
    numbers.groups.iter().map(|(_, tally)| tally.failed).sum()
}

fn tell(what: &str, spans: &Spans) {
    let at = |permille| spans.quantile(permille).unwrap_or_default().as_secs_f64() * 1e3;
    println!(
        "  {what:<28} p50 {:.2}  p99 {:.2}  p99.9 {:.2}  max {:.2} ms",
        at(500),
        at(990),
        at(999),
        spans.max.as_secs_f64() * 1e3
    );
}

/// CPU time of this process' threads, by their names.
fn threads_ms(process: &str) -> Vec<(String, f64)> {
    let mut found: Vec<(String, f64)> = Vec::new();
    let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else { return found };
    for thread in threads.flatten() {
        let name = fs::read_to_string(thread.path().join("comm")).unwrap_or_default().trim().to_owned();
        let ms = schedstat_ms(&thread.path());
        match found.iter_mut().find(|(of, _)| *of == name) {
            Some((_, sum)) => *sum += ms,
            None => found.push((name, ms)),
        }
    }
    found
}

fn cpu_ms(process: u32) -> f64 {
    threads_ms(&process.to_string()).iter().map(|(_, ms)| ms).sum()
}

/// Nanoseconds on a processor are the first number.
fn schedstat_ms(thread: &Path) -> f64 {
    let text = fs::read_to_string(thread.join("schedstat")).unwrap_or_default();
    text.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or_default() / 1e6
}

fn memory_kib(key: &str) -> f64 {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}
