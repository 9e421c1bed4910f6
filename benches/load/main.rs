//! A load generator for DNS servers, made to compare them: it draws questions, sends them by the batch, and holds
//! every reply against what it must be. dnsperf, on one processor, is full before the servers are.
//!
//! ```text
//! load run    asks for some seconds and prints one line of JSON: queries a second, losses, latencies, and what
//!             the server's processes took of processor and memory meanwhile
//! load wait   asks one question again and again until the reply is right, and prints how long that took
//! load churn  sends requests to an HTTP API at a rate
//! load targets  answers probes
//! ```
//!
//! Who is asked what: names are a pattern with a number (`host%07.example.com`), drawn at random; clients are
//! addresses of this host, or ECS options, in networks that stand in a file of places. What must be answered
//! follows from the number and the place alone ([`question::Rule`]), so no list of answers is kept.
//!
//! In a *closed* loop a reply is followed by the next query at once: so many are in flight, always. In an *open*
//! loop queries leave by the clock, and a reply's time counts from when its query was due: a server that stalls
//! can not hide it by stalling the generator.
//!
//! It never sleeps while it measures: the processor that it is kept on (`taskset`) is its own, and a server does
//! not pay for waking it. Every run is bounded in time.

mod churn;
mod datagrams;
mod flights;
mod histogram;
mod process;
mod question;
mod streams;
mod targets;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde_json::json;

use flights::Tally;
use process::Usage;
use question::{Places, Rule, Work};

/// Ask, count, and hold every reply against what it must be.
#[derive(Parser)]
#[command(name = "load")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Ask for some seconds and print one line of JSON
    Run(Run),
    /// Ask until the reply is right and print how many milliseconds that took
    Wait(Wait),
    /// Send HTTP requests at a rate and print one line of JSON
    Churn(churn::Churn),
    /// Answer probes over HTTP on every address of loopback, until the standard input ends
    Targets(targets::Targets),
}

#[derive(Args)]
struct Asking {
    /// The server's address and port
    #[arg(long)]
    server: SocketAddr,
    /// The name; `%07` stands for the number, in seven digits
    #[arg(long)]
    name: String,
    /// Numbers are drawn from 0 to this, exclusive
    #[arg(long, default_value_t = 1)]
    names: u32,
    /// What the reply must be
    #[arg(long, value_enum)]
    expect: Rule,
    /// A file of `NETWORK GROUP` lines: which clients belong to which group of addresses
    #[arg(long)]
    places: Option<PathBuf>,
    /// Say the client's network in an ECS option, drawn from the places, instead of asking from there
    #[arg(long)]
    ecs: bool,
}

#[derive(Args)]
struct Run {
    #[command(flatten)]
    asking: Asking,
    #[arg(long, value_enum, default_value_t = Transport::Udp)]
    transport: Transport,
    /// Queries in flight in a closed loop
    #[arg(long, default_value_t = 128)]
    in_flight: usize,
    /// Queries a second in an open loop instead
    #[arg(long)]
    rate: Option<f64>,
    /// Source addresses; 1 is one address and port
    #[arg(long, default_value_t = 64)]
    sources: usize,
    /// Connections, over TCP and TLS
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// How long to measure, in seconds
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// How long to ask before that, in seconds
    #[arg(long, default_value_t = 0.3)]
    warm_up: f64,
    /// The server's process; its children count too
    #[arg(long)]
    pid: Option<u32>,
}

#[derive(Args)]
struct Wait {
    #[command(flatten)]
    asking: Asking,
    /// When the waiting began, in nanoseconds since 1970 [default: now]
    #[arg(long)]
    since: Option<u128>,
    /// Give up after so many seconds
    #[arg(long, default_value_t = 120.0)]
    within: f64,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Transport {
    Udp,
    Tcp,
    Dot,
}

/// How long a run takes, and how fast it asks.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) in_flight: usize,
    pub(crate) rate: Option<f64>,
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
}

/// The most that may be asked for: ids have 16 bits, and a run that nobody can end is not started.
const IN_FLIGHT_MAX: usize = 16_384;
const SECONDS_MAX: f64 = 600.0;
const RATE_MAX: f64 = 1e8;

fn main() -> io::Result<()> {
    // Cargo adds `--bench`.
    let arguments = Arguments::parse_from(std::env::args().filter(|argument| argument != "--bench"));
    match arguments.command {
        Command::Run(run) => self::run(&run),
        Command::Wait(wait) => {
            let work = work(&wait.asking)?;
            let took = datagrams::wait(wait.asking.server, &work, wait.since, seconds(wait.within)?)?;
            println!("{:.1}", took.as_secs_f64() * 1000.0);
            Ok(())
        }
        Command::Churn(churn) => churn.run(),
        Command::Targets(targets) => targets.run(),
    }
}

fn run(run: &Run) -> io::Result<()> {
    let work = work(&run.asking)?;
    if run.rate.is_some_and(|rate| !(1.0..=RATE_MAX).contains(&rate)) {
        return Err(io::Error::other(format!("expected a rate from 1 to {RATE_MAX}")));
    }
    let pace = Pace {
        in_flight: run.in_flight.clamp(1, IN_FLIGHT_MAX),
        rate: run.rate,
        warm_up: seconds(run.warm_up)?,
        measured: seconds(run.seconds)?,
    };
    let mut watch = process::Watch::new(run.pid);
    let tally = match run.transport {
        Transport::Udp => datagrams::run(run.asking.server, &work, run.sources, &pace, &mut watch)?,
        Transport::Tcp => streams::run(run.asking.server, &work, run.connections, false, &pace, &mut watch)?,
        Transport::Dot => streams::run(run.asking.server, &work, run.connections, true, &pace, &mut watch)?,
    };
    println!("{}", report(&tally, watch.usage(), watch.threads()));
    if let Some(wrong) = &tally.first_wrong {
        return Err(io::Error::other(format!("{} replies are wrong; the first: {wrong}", tally.wrong)));
    }
    Ok(())
}

fn report(tally: &Tally, usage: Option<Usage>, threads: &[(String, Duration)]) -> serde_json::Value {
    let elapsed_s = tally.elapsed.as_secs_f64();
    let per_query = |time: Duration| time.as_secs_f64() * 1e6 / tally.right.max(1) as f64;
    let mut report = json!({
        "qps": tally.right as f64 / elapsed_s,
        "replies": tally.right,
        "lost": tally.lost,
        "late": tally.late,
        "wrong": tally.wrong,
        "held_back": tally.held_back,
        "reconnected": tally.reconnected,
        "p50_us": tally.latencies.quantile_us(0.5),
        "p99_us": tally.latencies.quantile_us(0.99),
        "p999_us": tally.latencies.quantile_us(0.999),
        "max_us": tally.latencies.quantile_us(1.0),
        "replies_a_receive": tally.right as f64 / tally.receives.max(1) as f64,
        "idle": tally.idle as f64 / (tally.idle + tally.receives).max(1) as f64,
    });
    if let (Some(usage), Some(fields)) = (usage, report.as_object_mut()) {
        fields.insert("cpu_us".into(), per_query(usage.cpu).into());
        fields.insert("user_us".into(), (per_query(usage.cpu) * usage.user_share).into());
        fields.insert("busy".into(), (usage.cpu.as_secs_f64() / elapsed_s).into());
        fields.insert("memory_kb".into(), usage.memory_kb.into());
        // Microseconds in each second.
        let of = |time: Duration| (time.as_secs_f64() * 1e6 / elapsed_s).round();
        let threads = threads.iter().map(|(name, cpu)| (name.clone(), of(*cpu).into()));
        fields.insert("threads_us".into(), serde_json::Value::Object(threads.collect()));
    }
    report
}

fn work(asking: &Asking) -> io::Result<Work> {
    let places = match &asking.places {
        Some(file) => Places::read(file)?,
        None => Places::default(),
    };
    Work::new(&asking.name, asking.names, asking.expect, places, asking.ecs).map_err(io::Error::other)
}

fn seconds(seconds: f64) -> io::Result<Duration> {
    match seconds {
        0.0..=SECONDS_MAX => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(io::Error::other(format!("expected at most {SECONDS_MAX} seconds"))),
    }
}
