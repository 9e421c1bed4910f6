//! No query allocates: a counting allocator watches every kind of answer, first [`answer`] by itself, then a
//! whole turn of a UDP worker: receive, answer, send.
//!
//! Each thread counts for itself, so what other tests of the program do is not seen.

#![allow(unsafe_code, reason = "an allocator can be no other way; it only counts and passes on")]

#[path = "common/mod.rs"]
mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use common::Texts;
use common::message::*;
use meridian::answer::{Outcome, answer};
use meridian::limits::{BATCH_LEN, LOOK_AHEAD_SERVICES, MESSAGE_LEN_MAX};
use meridian::model::{Admin, DatacenterIx, Facts, Generation, Settings};
use meridian::serve::Worker;
use meridian::sys::{UdpSocket, Wait};
use meridian::table::{Publisher, RoutingTable};

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

fn count() {
    // A thread that is ending may have lost its counter; nothing is measured there.
    let _ = CALLS.try_with(|calls| calls.set(calls.get() + 1));
}

// SAFETY: every method hands its arguments to the system's allocator unchanged and returns what that
// returned; counting touches a plain thread-local number and never allocates.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of this very method.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count();
        // SAFETY: the caller keeps the contract of this very method.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of this very method.
        unsafe { System.realloc(at, layout, len) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Calls of the allocator on this thread while `work` ran.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = CALLS.get();
    work();
    CALLS.get() - before
}

/// With so many services besides.
fn table(more: usize) -> RoutingTable {
    let mut zone = String::from(
        "$TTL 60\n@ SOA ns1 h 1 2 3 4 5\n@ NS ns1\n@ MX 10 static\nns1 A 192.0.2.53\nstatic A 192.0.2.1\n\
         static AAAA 2001:db8::1\nwww CNAME twice\ntwice CNAME static\ngeoalias CNAME geo\n*.wild A 192.0.2.2\n\
         a.deep A 192.0.2.3\nold DNAME deep\nchild NS ns.child\nchild NS ns1\nns.child A 192.0.2.4\n",
    );
    for at in 0..40 {
        zone.push_str(&format!(
            "large TXT \"{at:03}{}\"\nwide NS ns{at}.wide\nns{at}.wide A 192.0.2.9\n",
            "x".repeat(50)
        ));
    }
    let policies = [
        "gslb: { domain: geo.example.com, health_check: { protocol: http }, https: { alpn: h2 }, policies: { default: { type: geolocation }, \
         beijing: { primary: a, secondary: b }, shanghai: { primary: b } }, endpoints: { a: { ip: [192.0.2.11, 2001:db8::11] }, b: { ip: 192.0.2.12 } } }",
        "gslb: { domain: even.example.com, max_answers: 2, policies: { default: { type: weighted } }, \
         endpoints: { a: { ip: 192.0.2.13 }, b: { ip: 192.0.2.14 }, c: { ip: [192.0.2.15, 2001:db8::15] } } }",
        "gslb: { domain: sticky.example.com, policies: { default: { type: sticky } }, endpoints: { a: { ip: 192.0.2.16 }, b: { ip: 192.0.2.17 } } }",
        "gslb: { domain: cdn.example.com, policies: { default: { type: weighted } }, endpoints: { a: { cname: static.example.com. }, b: { cname: x.cdn.test. } } }",
        "gslb: { domain: near.example.com, policies: { default: { type: nearest } }, endpoints: { bj: { ip: 192.0.2.18 }, sf: { ip: 192.0.2.19 } } }",
        "datacenters: { bj: { latitude: 39.9, longitude: 116.4 }, sf: { latitude: 37.8, longitude: -122.4 } }",
        "gslb: { domain: '*.any.example.com', policies: { default: { type: geolocation }, beijing: { primary: a } }, endpoints: { a: { ip: 192.0.2.20 }, b: { ip: 192.0.2.21 } } }",
        "gslb: { domain: out.example.com, policies: { default: { type: weighted } }, endpoints: { gone: { ip: 192.0.2.22 } } }",
        "gslb: { domain: alone.test, policies: { default: { type: weighted } }, endpoints: { a: { ip: 192.0.2.23 } } }",
    ];
    let texts = policies.iter().fold(Texts::policy(policies[0]), |texts, policy| match *policy == policies[0] {
        true => texts,
        false => texts.and_policy(policy),
    });
    let texts = (0..more).fold(texts, |texts, at| {
        texts.and_policy(&format!(
            "gslb: {{ domain: s{at}.example.com, policies: {{ default: {{ type: geolocation }}, beijing: {{ primary: a }} }}, \
             endpoints: {{ a: {{ ip: 192.0.2.24 }}, b: {{ ip: 192.0.2.25 }} }} }}"
        ))
    });
    let settings = Settings {
        version: Some("Meridian".into()),
        server_id: Some("one".into()),
        nsid: Some(Box::from(*b"one")),
        ..Settings::default()
    };
    let base = texts.and_zone("example.com", &zone).base_with(&settings);
    let mut facts = Facts::all_up();
    let gone = base.policy().datacenters.iter().position(|dc| dc.id.as_str() == "gone").unwrap();
    facts.datacenters.insert(DatacenterIx::from_at(gone), Admin::Out);
    RoutingTable::compile(&base, Arc::new(facts), Generation(1))
}

/// One of every kind of answer, with the response code that shows it is that kind.
fn kinds() -> Vec<(&'static str, Vec<u8>, u16)> {
    let q = |name: &str, rtype| Question::new(name, rtype);
    let geo = || q("geo.example.com", A);
    let truncated = [geo().octets(), vec![1]].concat();
    let mut badvers = geo().edns();
    badvers.opt.as_mut().unwrap().version = 1;
    let questions = vec![
        ("static data", q("static.example.com", A), NOERROR),
        ("static data with glue", q("example.com", MX), NOERROR),
        ("another case", q("STATIC.example.COM", A), NOERROR),
        ("no data", q("static.example.com", MX), NOERROR),
        ("an empty non-terminal", q("deep.example.com", A), NOERROR),
        ("no such name", q("nothing.example.com", A), NXDOMAIN),
        ("a wildcard", q("x.wild.example.com", A), NOERROR),
        ("a chain", q("www.example.com", A), NOERROR),
        ("a chain that ends at a service", q("geoalias.example.com", A), NOERROR),
        ("a DNAME", q("a.old.example.com", A), NOERROR),
        ("a DNAME to nothing", q("b.old.example.com", A), NXDOMAIN),
        ("a referral with glue", q("x.child.example.com", A), NOERROR),
        ("DS at a cut", q("child.example.com", DS), NOERROR),
        ("a referral that is cut", q("x.wide.example.com", A), NOERROR),
        ("a service's A", geo(), NOERROR),
        ("a service's AAAA", q("geo.example.com", AAAA).from("10.1.0.1"), NOERROR),
        ("a service's HTTPS", q("geo.example.com", HTTPS), NOERROR),
        ("a service's no data for some", q("geo.example.com", AAAA).ecs("10.2.0.0/16"), NOERROR),
        ("a service's no data for all", q("geo.example.com", MX).edns(), NOERROR),
        ("nothing usable", q("out.example.com", A).edns(), NOERROR),
        ("several by chance", q("even.example.com", A).random(u64::MAX / 3), NOERROR),
        ("by hash", q("sticky.example.com", A), NOERROR),
        ("the nearest", q("near.example.com", A).ecs("10.4.0.0/24"), NOERROR),
        ("a service that is a name", q("cdn.example.com", A), NOERROR),
        ("a service that is a name elsewhere", q("cdn.example.com", MX).random(u64::MAX), NOERROR),
        ("a service at a wildcard", q("x.any.example.com", A).ecs("10.1.0.0/16"), NOERROR),
        ("a service of its own zone", q("alone.test", SOA), NOERROR),
        ("an IPv4 subnet", geo().ecs("10.1.2.0/24"), NOERROR),
        ("an IPv6 subnet", geo().ecs("2001:db8:1::/56"), NOERROR),
        ("a mapped subnet", geo().ecs("::ffff:10.1.0.0/112"), NOERROR),
        ("no subnet", geo().ecs("0.0.0.0/0"), NOERROR),
        ("a malformed subnet", geo().option(OPTION_ECS, [0, 1, 33, 0]), FORMERR),
        ("NSID", geo().option(OPTION_NSID, []), NOERROR),
        ("an unknown option", geo().option(65_001, [7; 40]), NOERROR),
        ("the debug TXT", q("_meridian.geo.example.com", TXT).from("127.0.0.1").ecs("10.1.0.0/24"), NOERROR),
        ("ANY", q("geo.example.com", ANY), NOERROR),
        ("version.bind", q("version.bind", TXT).class(3), NOERROR),
        ("an unknown class", q("version.bind", TXT).class(4), REFUSED),
        ("not ours", q("elsewhere.test", A).edns(), REFUSED),
        ("a transfer", q("example.com", AXFR).edns(), REFUSED),
        ("another opcode", geo().flags(4 << 11), NOTIMP),
        ("a cut answer", q("large.example.com", TXT), NOERROR),
        ("a large answer", q("large.example.com", TXT).tcp(), NOERROR),
        ("another EDNS version", badvers, 0),
    ];
    let mut all: Vec<(&str, Vec<u8>, u16)> =
        questions.into_iter().map(|(what, question, rcode)| (what, question.octets(), rcode)).collect();
    all.push(("octets behind the message", truncated, FORMERR));
    all
}

#[test]
fn no_kind_of_answer_allocates() {
    let table = table(0);
    let mut out = vec![0; MESSAGE_LEN_MAX];
    let debug_client = Question::new("x", A).from("127.0.0.1").asked();
    for (what, octets, rcode) in kinds() {
        for transport in [meridian::answer::Transport::Udp, meridian::answer::Transport::Tcp] {
            for random in [0, u64::MAX / 2, u64::MAX] {
                let asked = meridian::answer::Asked { transport, random, ..debug_client };
                let mut outcome = Outcome::Drop;
                let count = allocations(|| outcome = answer(&octets, &asked, &table, &mut out));
                assert_eq!(count, 0, "{what} over {transport:?}");
                let Outcome::Reply(len) = outcome else { panic!("{what} was dropped") };
                assert_eq!(u16::from(out[..len][3] & 0xf), rcode, "{what}");
            }
        }
    }
    let asked = debug_client;
    let reply = Question::new("x.any.example.com", A).octets();
    for dropped in [&reply[..5], &[reply[..2].to_vec(), vec![0x80; 10]].concat()[..]] {
        let mut outcome = Outcome::Reply(0);
        assert_eq!(allocations(|| outcome = answer(dropped, &asked, &table, &mut out)), 0);
        assert_eq!(outcome, Outcome::Drop);
    }
}

#[test]
fn a_turn_of_a_worker_allocates_nothing() {
    assert!(!table(0).is_worth_looking_ahead());
    turn_allocates_nothing(table(0), kinds());
}

#[test]
fn a_turn_that_looks_ahead_in_a_large_table_allocates_nothing() {
    let table = table(LOOK_AHEAD_SERVICES);
    assert!(table.is_worth_looking_ahead());
    let one = |at: usize| ("one of many", Question::new(&format!("s{at}.example.com"), A).octets(), NOERROR);
    turn_allocates_nothing(table, kinds().into_iter().chain((0..LOOK_AHEAD_SERVICES).map(one)).collect());
}

fn turn_allocates_nothing(table: RoutingTable, kinds: Vec<(&'static str, Vec<u8>, u16)>) {
    let publisher = Publisher::new(table);
    let socket = UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(socket.local_address()).unwrap();
    client.set_nonblocking(true).unwrap();
    let mut worker = Worker::new(Arc::new(socket), publisher.subscription().reader().unwrap());
    let mut buffer = [0; 4096];
    for round in 0..3 {
        for batch in kinds.chunks(BATCH_LEN) {
            for (_, octets, _) in batch {
                client.send(octets).unwrap();
            }
            let mut received = 0;
            let count = allocations(|| {
                while received < batch.len() {
                    received += worker.turn(Wait::Turn).unwrap();
                }
            });
            assert_eq!(count, 0, "round {round}");
            for (what, _, rcode) in batch {
                let len = client.recv(&mut buffer).unwrap_or_else(|error| panic!("{what}: {error}"));
                assert!(len >= 12);
                assert_eq!(u16::from(buffer[3] & 0xf), *rcode, "{what}");
            }
        }
    }
}

#[test]
fn the_counter_counts() {
    assert!(allocations(|| drop(std::hint::black_box(Box::new(7)))) >= 2);
}
