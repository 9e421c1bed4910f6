//! The choice among the variants of a plan: by a random number, and by rendezvous hashing of the client.

mod world;

use std::hint::black_box;

use criterion::Criterion;
use meridian::steer::{Mode, Weighted, client_hash, member_key, pick};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("pick");
    for (word, mode) in [("random", Mode::Random), ("sticky", Mode::Hash)] {
        for count in [3, 20, 256] {
            let variants = variants(count);
            let mut numbers = world::Numbers(count as u64);
            group.bench_function(format!("{word}/{count}"), |bencher| {
                bencher.iter(|| {
                    let number = numbers.next().unwrap_or_default();
                    black_box(pick(mode, black_box(&variants), number))
                });
            });
        }
    }
    let mut numbers = world::Numbers(0);
    group.bench_function("client hash", |bencher| {
        bencher.iter(|| black_box(client_hash(&(numbers.next().unwrap_or_default() as u32).to_be_bytes())));
    });
    group.finish();
    criterion.final_summary();
}

fn variants(count: u32) -> Vec<Weighted> {
    let mut cumulative = 0;
    (0..count)
        .map(|number| {
            let weight = 1 + number % 100;
            cumulative += weight;
            Weighted { cumulative, weight, key: member_key(&format!("dc{number}")) }
        })
        .collect()
}
