//! No torn answer: tables change while threads answer, and every answer is of one table.

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use meridian::model::{Facts, Generation};
use meridian::serve::{Doors, DoorsConfig};
use meridian::table::{Base, Publisher, RoutingTable};

use super::common::Texts;
use super::common::message::{A, Question, Reply, TXT};

const KINDS: u64 = 3;
const GENERATIONS: u64 = 400;

/// Generation `g` has addresses 192.0.`g % KINDS`.x, and endpoints of that name.
fn base(kind: u64) -> Arc<Base> {
    let endpoints: Vec<String> = (0..8).map(|at| format!("k{kind}x{at}: {{ ip: 192.0.{kind}.{at} }}")).collect();
    let texts = (0..3).fold(Texts::default(), |texts, service| {
        texts.and_policy(&format!(
            "gslb: {{ domain: s{service}.test, max_answers: 8, policies: {{ default: {{ type: weighted }} }}, endpoints: {{ {} }} }}",
            endpoints.join(", ")
        ))
    });
    texts.base()
}

fn compile(bases: &[Arc<Base>], generation: u64) -> RoutingTable {
    let base = &bases[(generation % KINDS) as usize];
    RoutingTable::compile(base, Arc::new(Facts::all_up()), Generation(generation))
}

/// The generation that a debug TXT names; the endpoint that it names must be of that generation.
fn generation(reply: &Reply) -> u64 {
    let text = reply.answers[0].text.clone();
    let value = |key: &str| text.split('|').find_map(|fact| fact.strip_prefix(key)).unwrap().to_owned();
    let generation: u64 = value("generation=").parse().unwrap();
    let kind = generation % KINDS;
    assert!(value("endpoint=").starts_with(&format!("k{kind}x")), "{text}");
    assert!(value("dc=").starts_with(&format!("k{kind}x")), "{text}");
    generation
}

fn kinds(reply: &Reply) -> BTreeSet<u64> {
    assert_eq!(reply.answers.len(), 8);
    reply.answers.iter().map(|record| u64::from(record.data[2])).collect()
}

fn txt(service: u64) -> Question {
    Question::new(&format!("_meridian.s{service}.test"), TXT).from("127.0.0.1")
}

#[test]
fn invariant_1_a_batch_is_answered_from_one_table_while_tables_change() {
    let bases: Vec<Arc<Base>> = (0..KINDS).map(base).collect();
    let mut publisher = Publisher::new(compile(&bases, 1));
    let stop = AtomicBool::new(false);
    let batches = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let mut reader = publisher.subscription().reader().unwrap();
            let (stop, batches) = (&stop, &batches);
            scope.spawn(move || {
                let mut newest = 0;
                while !stop.load(Ordering::Relaxed) {
                    let table = reader.work();
                    let named = generation(&txt(0).ask(table));
                    assert_eq!(named, table.generation().0);
                    assert!(named >= newest, "generations only grow");
                    newest = named;
                    for service in 0..3 {
                        let reply = Question::new(&format!("s{service}.test"), A).ask(table);
                        assert_eq!(kinds(&reply), BTreeSet::from([named % KINDS]));
                        assert_eq!(generation(&txt(service).ask(table)), named);
                    }
                    reader.rest();
                    batches.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for next in 2..GENERATIONS {
            publisher.publish(compile(&bases, next));
            // So that readers really meet many of them.
            let seen = batches.load(Ordering::Relaxed);
            while batches.load(Ordering::Relaxed) == seen && !scope_failed(&publisher) {
                std::thread::yield_now();
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(publisher.reclaim(), 0, "with the readers gone no old table is left");
}

/// A reader that failed gives its place back, and nobody would count on.
fn scope_failed(publisher: &Publisher) -> bool {
    publisher.is_everywhere(Generation(u64::MAX - 1))
        && (0..1000).all(|_| {
            std::thread::yield_now();
            publisher.is_everywhere(Generation(u64::MAX - 1))
        })
}

#[test]
fn invariant_1_no_reply_of_a_door_is_torn() {
    let bases: Vec<Arc<Base>> = (0..KINDS).map(base).collect();
    let mut publisher = Publisher::new(compile(&bases, 1));
    let mut config = DoorsConfig::new(vec!["127.0.0.1:0".parse().unwrap()]);
    config.threads = NonZeroUsize::new(2);
    let doors = Doors::open(&config, publisher.subscription()).unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(doors.local_addresses().plain[0]).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let questions = [txt(0).octets(), Question::new("s1.test", A).octets(), txt(2).octets()];
    let mut met = BTreeSet::new();
    let mut buffer = [0; 4096];
    for next in 2..GENERATIONS {
        for question in &questions {
            client.send(question).unwrap();
        }
        publisher.publish(compile(&bases, next));
        for _ in &questions {
            let len = client.recv(&mut buffer).unwrap();
            let reply = Reply::parse(&buffer[..len]);
            if reply.answers[0].rtype == TXT {
                met.insert(generation(&reply));
            } else {
                assert_eq!(kinds(&reply).len(), 1, "addresses of two tables: {reply:#?}");
            }
        }
    }
    assert!(met.len() > 50, "only {} generations were met", met.len());
    doors.close();
}
