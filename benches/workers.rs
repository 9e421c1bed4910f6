//! What a second worker costs the first: nothing, when they write to no common cache line.
//!
//! Threads answer batches from one table by themselves, each with its own reader, tallies and samples, as UDP workers
//! do, but without sockets. Beside two of one table stand two that have nothing in common, each with a table of its own:
//! what those lose is the machine's (virtual processors may be two halves of one). And two that do share: each also
//! counts its answers in a number of its own, but the numbers lie in one line.
//!
//! Wants two processors that nobody else uses; each thread is kept on one.

mod world;

use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use meridian::answer::{Outcome, answer_tallying};
use meridian::limits::{BATCH_LEN, UDP_RESPONSE_LEN_MAX};
use meridian::model::Moment;
use meridian::sys;
use meridian::table::{Publisher, Subscription};

/// Turns of each kind, by turns.
const TURNS: usize = 15;

/// Batches that a thread answers in a turn.
const BATCHES: usize = 4_000;

/// The answers of two threads, counted side by side: what workers never do.
#[repr(align(64))]
struct Shared([AtomicU64; 2]);

static SHARED: Shared = Shared([const { AtomicU64::new(0) }; 2]);

fn main() {
    let cpus = sys::allowed_cpus();
    if cpus.len() < 2 {
        println!("this needs two processors");
        return;
    }
    let case = world::CASES.into_iter().find(|case| case.name == "geo + weighted A").expect("one of the cases");
    let publishers = [Publisher::new(world::table()), Publisher::new(world::table())];
    let [first, second] = publishers.each_ref().map(Publisher::subscription);
    let asks = case.asks(BATCH_LEN);
    let rounds: Vec<[f64; 4]> = (0..TURNS)
        .map(|_| {
            let one = turn(&[(cpus[0], &first)], &asks, false);
            let together = [(cpus[0], &first), (cpus[1], &first)];
            let apart = turn(&[(cpus[0], &first), (cpus[1], &second)], &asks, false);
            [one, turn(&together, &asks, false), apart, turn(&together, &asks, true)]
        })
        .collect();
    let kinds = ["one worker", "two of one table", "two with a table each", "two that write to one line"];
    for (at, kind) in kinds.into_iter().enumerate() {
        let time = median(rounds.iter().map(|round| round[at]));
        let ratio = median(rounds.iter().map(|round| round[at] / round[0]));
        println!("{kind:<28} {time:>6.1} ns an answer of each, {ratio:.2} of one worker's");
    }
}

/// Nanoseconds an answer, of the slowest worker: one on each of these processors, for each of these tables.
fn turn(workers: &[(usize, &Subscription)], asks: &[world::Ask], sharing: bool) -> f64 {
    let start = Barrier::new(workers.len());
    let slowest = thread::scope(|scope| {
        let threads: Vec<_> = workers
            .iter()
            .enumerate()
            .map(|(at, &(cpu, subscription))| {
                let (start, shared) = (&start, sharing.then(|| &SHARED.0[at]));
                scope.spawn(move || {
                    sys::pin_to_cpu(cpu).expect("a processor that we may use");
                    start.wait();
                    work(subscription, asks, shared)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("no panics")).max()
    });
    slowest.unwrap_or_default().as_nanos() as f64 / (BATCHES * BATCH_LEN) as f64
}

/// What a UDP worker does, but for its sockets.
fn work(subscription: &Subscription, asks: &[world::Ask], shared: Option<&AtomicU64>) -> Duration {
    let mut reader = subscription.reader().expect("few readers");
    let mut out = [0; UDP_RESPONSE_LEN_MAX];
    let began = Instant::now();
    for _ in 0..BATCHES {
        let (table, mut tallier) = reader.answering(Moment::default(), asks.len());
        for ask in asks {
            tallier.turn_to_next(ask.asked.random);
            let outcome = answer_tallying(black_box(&ask.query), &ask.asked, table, &mut tallier, &mut out);
            assert!(matches!(outcome, Outcome::Reply(_)));
            if let Some(shared) = shared {
                shared.store(shared.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
            }
        }
        reader.rest();
    }
    began.elapsed()
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
