//! Look-up: names in zones of a hundred to a million names, addresses in a location map of the world.

mod world;

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use criterion::{Criterion, Throughput};
use meridian::zone::{Find, Zones};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for count in [100, 1_000, 10_000, 100_000, 1_000_000] {
        names(&mut criterion, count);
    }
    locations(&mut criterion);
    criterion.final_summary();
}

/// Names in an order without pattern, so that a large zone is not read from the cache in a small one's time.
fn names(criterion: &mut Criterion, count: usize) {
    let zones = world::zones(count);
    let mut group = criterion.benchmark_group(format!("find/{count} names"));
    group.throughput(Throughput::Elements(1));
    let numbers: Vec<u64> = world::Numbers(count as u64).take(1 << 16).map(|number| number % count as u64).collect();
    let mut measure = |what: &str, is_meant: fn(&Find<'_>) -> bool, name: &dyn Fn(u64) -> String| {
        let names: Vec<Vec<u8>> = numbers.iter().map(|&number| world::wire(&name(number))).collect();
        assert!(names.iter().all(|name| is_meant(&zones.find(name))), "{what}");
        let mut next = names.iter().cycle();
        group.bench_function(what, |bencher| {
            bencher.iter(|| black_box(find(&zones, next.next().expect("endless"))));
        });
    };
    measure("exact", |found| matches!(found, Find::Node { .. }), &|n| format!("host{n:07}.example.com."));
    measure("miss", |found| matches!(found, Find::NoName { .. }), &|n| format!("none{n:07}.example.com."));
    measure("wildcard", |found| matches!(found, Find::Wildcard { .. }), &|n| format!("x{n}.wild.example.com."));
    measure("not ours", |found| matches!(found, Find::NotOurs), &|n| format!("host{n:07}.example.net."));
    group.finish();
}

/// Kept a call, as it is in the engine.
#[inline(never)]
fn find<'z>(zones: &'z Zones, name: &[u8]) -> Find<'z> {
    zones.find(name)
}

fn locations(criterion: &mut Criterion) {
    let table = world::table();
    let map = table.base().map(world::service(&table, "geo")).expect("it looks at the client");
    let mut group = criterion.benchmark_group("locate");
    group.throughput(Throughput::Elements(1));
    let numbers = || world::Numbers(7).take(1 << 16);
    let v4: Vec<IpAddr> = numbers().map(|n| IpAddr::V4(Ipv4Addr::from_bits((n >> 32) as u32))).collect();
    // 2000::/4, where addresses are in use.
    let v6: Vec<IpAddr> = numbers()
        .map(|n| IpAddr::V6(Ipv6Addr::from_bits(2 << 124 | u128::from(n >> 4) << 64 | u128::from(n))))
        .collect();
    for (what, addresses) in [("IPv4", v4), ("IPv6", v6)] {
        let mut next = addresses.iter().cycle();
        group.bench_function(what, |bencher| {
            bencher.iter(|| black_box(map.find(*black_box(next.next().expect("endless")))));
        });
    }
    group.finish();
}
