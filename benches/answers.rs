//! Whole answers: from a query's octets to a reply's, for every way through the engine.

mod world;

use std::hint::black_box;

use criterion::Criterion;
use meridian::answer::answer;
use meridian::limits::UDP_RESPONSE_LEN_MAX;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let table = world::table();
    let mut group = criterion.benchmark_group("answer");
    for case in world::CASES {
        case.check(&table);
        let mut out = [0; UDP_RESPONSE_LEN_MAX];
        let asks = case.asks(1024);
        let mut next = asks.iter().cycle();
        group.bench_function(case.name, |bencher| {
            bencher.iter(|| {
                let ask = next.next().expect("endless");
                black_box(answer(black_box(&ask.query), &ask.asked, &table, &mut out))
            });
        });
    }
    group.finish();
    criterion.final_summary();
}
