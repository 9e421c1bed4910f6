//! Messages beside hickory-proto: another library reads our replies, writes them again and means the same, and
//! what it writes as a question is answered like the octets that it had read.
//!
//! Records come to hickory by a way that shares nothing with ours: its own parser reads the same master files.

use std::collections::BTreeMap;

use hickory_proto::op::Message;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_proto::serialize::txt::Parser;
use meridian::answer::{Asked, Outcome, Transport, answer};
use meridian::limits::MESSAGE_LEN_MAX;
use meridian::table::RoutingTable;

use crate::SEED;
use crate::house::House;
use crate::message::{Reply, TC};
use crate::question::{self, Case};
use crate::zone::{self, ZoneText};

/// Sets that two zones hold of one name: a delegation and an apex.
type Sets = BTreeMap<(Name, RecordType), Vec<Vec<(u32, RData)>>>;

#[test]
fn hickory_reads_from_our_replies_the_records_that_it_reads_from_the_zones() {
    let dir = tempfile::tempdir().unwrap();
    let zones = zone::write_all(dir.path(), SEED);
    let house = House::open(dir.path());
    let table = house.table();
    let readable: Vec<&ZoneText> = zones.iter().filter(|zone| zone.origin.starts_with("random")).collect();
    let records = records(&readable);
    let (mut replies, mut sets) = (0, 0);
    for case in question::cases(&zones, SEED + 2).iter().filter(|case| case.twist.is_empty()).step_by(2) {
        let octets = ask(&table, &case.message);
        let theirs = Message::from_vec(&octets).unwrap_or_else(|error| panic!("{case}: hickory: {error}"));
        let again = theirs.to_vec().unwrap_or_else(|error| panic!("{case}: hickory: {error}"));
        let (ours, again) = (Reply::read(&octets).unwrap(), Reply::read(&again).unwrap());
        if again.is(TC) {
            // hickory writes owners in full where pointers do not reach.
            assert!(octets.len() > 0x4000, "{case}: does not fit");
            continue;
        }
        assert_eq!(without_z(ours), without_z(again), "{case}: hickory writes something else");
        replies += 1;
        let in_zones = readable.iter().any(|zone| case.ask.name.ends_with(&question::wire(&zone.origin)));
        if in_zones && case.ask.qclass == 1 && case.ask.qtype != 255 {
            sets += assert_from_zones(case, &theirs, &records);
        }
    }
    assert!(replies > 10_000 && sets > 1_000, "{replies} replies, {sets} RRsets");
}

#[test]
fn a_question_that_hickory_writes_is_answered_like_the_one_that_it_read() {
    let dir = tempfile::tempdir().unwrap();
    let zones = zone::write_all(dir.path(), SEED);
    let house = House::open(dir.path());
    let table = house.table();
    let mut questions = 0;
    for case in question::cases(&zones, SEED + 3).iter().filter(|case| case.twist.is_empty()).step_by(2) {
        let theirs = Message::from_vec(&case.message).unwrap_or_else(|error| panic!("{case}: hickory: {error}"));
        let ours = Reply::read(&ask(&table, &case.message)).unwrap();
        let again = Reply::read(&ask(&table, &theirs.to_vec().unwrap())).unwrap();
        assert_eq!(ours, again, "{case}");
        questions += 1;
    }
    assert!(questions > 10_000, "{questions} questions");
}

/// What the master files say, as hickory reads them.
fn records(zones: &[&ZoneText]) -> Sets {
    let mut sets = Sets::new();
    for zone in zones {
        let origin = Name::from_ascii(format!("{}.", zone.origin)).unwrap();
        // Its parser knows no DNAME.
        let lines = zone.text.lines().filter(|line| !line.contains(" DNAME "));
        let text: String = lines.flat_map(|line| [line, "\n"]).collect();
        let (_, found) = Parser::new(text, None, Some(origin)).parse().unwrap();
        for set in found.into_values() {
            let key = (set.name().to_lowercase(), set.record_type());
            let records = set.records_without_rrsigs().map(|record| (record.ttl, record.data.clone())).collect();
            sets.entry(key).or_default().push(records);
        }
    }
    sets
}

/// Each RRset of the reply is one of the zones', whole; those that are synthesised apart. Says how many.
fn assert_from_zones(case: &Case, reply: &Message, zones: &Sets) -> usize {
    let mut found: BTreeMap<(Name, RecordType), Vec<&Record>> = BTreeMap::new();
    for record in reply.answers.iter().chain(&reply.authorities).chain(&reply.additionals) {
        found.entry((record.name.to_lowercase(), record.record_type())).or_default().push(record);
    }
    let mut compared = 0;
    for ((name, rtype), records) in found {
        // By a wildcard or a DNAME; the comparison with the peers looks after those. The SOA's TTL is that of
        // negative answers (RFC 2308 §3).
        let Some(sets) = zones.get(&(name.clone(), rtype)).filter(|_| rtype != RecordType::SOA) else { continue };
        let is_same = sets.iter().any(|set| {
            let holds =
                |record: &&Record| set.iter().any(|(ttl, data)| *ttl == record.ttl && is_same_data(data, &record.data));
            set.len() == records.len() && records.iter().all(holds)
        });
        assert!(is_same, "{case}: {name} {rtype}: {records:?} is not of {sets:?}");
        compared += 1;
    }
    compared
}

/// Names in data are equal whatever their case.
fn is_same_data(a: &RData, b: &RData) -> bool {
    a == b || a.to_string().eq_ignore_ascii_case(&b.to_string())
}

fn ask(table: &RoutingTable, message: &[u8]) -> Vec<u8> {
    let asked = Asked { client: "127.0.0.1".parse().unwrap(), transport: Transport::Tcp, random: 0 };
    let mut out = vec![0; MESSAGE_LEN_MAX];
    match answer(message, &asked, table, &mut out) {
        Outcome::Reply(len) => out[..len].to_vec(),
        Outcome::Drop => panic!("no reply to a well-formed question"),
    }
}

/// hickory keeps no Z bit in a header, nor flags of OPT other than DO.
fn without_z(mut reply: Reply) -> Reply {
    reply.flags &= !0x40;
    if let Some(opt) = &mut reply.opt {
        opt.options.sort();
    }
    reply
}
