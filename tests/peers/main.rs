//! Meridian beside NSD and Knot, on the same zones, over the same questions.
//!
//! Two servers that have answered the world for twenty years are the oracle of what the RFCs mean in practice.
//! All three load the zones of [`zone`], are asked the questions of [`question`] over real sockets, and their
//! replies are compared whole: header, response code, question, sections as sets of RRsets with their TTL, OPT
//! with its options. A difference passes only by a rule of [`rules`], which has a name and a reason; where
//! both peers agree with each other and not with us, the rule must cite what allows it. A rule that
//! explains nothing any more fails the test too.
//!
//! The peers come from Debian's packages `nsd` and `knot`. Where they are missing the comparison fails, or, with
//! `MERIDIAN_PEERS=optional`, is skipped and says so.
//!
//! [`codec`] compares octets and messages with hickory-proto instead: there the oracle is another library.

mod codec;
mod compare;
mod daemon;
mod exchange;
mod house;
mod message;
mod question;
mod random;
mod rules;
mod zone;

use std::collections::BTreeMap;
use std::thread;

use compare::{Comparison, Difference};
use daemon::{Daemon, Peer};
use exchange::{Stream, Udp};
use house::House;
use message::{AD, CD, RA, Reply};
use question::Case;

const SEED: u64 = 0x6d65_7269_6469_616e;

/// What hickory-server can send whole, however it compresses.
const TLS_LEN: usize = 0x4000;

/// Unexplained differences shown in full, of each kind.
const SHOWN: usize = 1;

#[test]
fn answers_equal_those_of_nsd_and_knot_but_for_what_the_rules_explain() {
    let dir = tempfile::tempdir().unwrap();
    let zones = zone::write_all(dir.path(), SEED);
    let origins: Vec<String> = zones.iter().map(|zone| zone.origin.clone()).collect();
    let peers: Vec<Daemon> =
        [Peer::Nsd, Peer::Knot].into_iter().filter_map(|peer| Daemon::start(peer, dir.path(), &origins)).collect();
    let house = House::open(dir.path());
    let cases = question::cases(&zones, SEED);

    let mut comparison = Comparison::of(&zones);
    over_udp(&house, &peers, &cases, &mut comparison);
    over_tcp(&house, &peers, &cases, &mut comparison);
    comparison.print(cases.len());
    let unexplained = std::mem::take(&mut comparison.unexplained);
    assert!(unexplained.is_empty(), "{}", report(&unexplained));
    if peers.len() == 2 {
        let idle: Vec<&str> = comparison.idle().collect();
        assert!(idle.is_empty(), "rules that explain nothing any more: {idle:?}");
    }
}

fn over_udp(house: &House, peers: &[Daemon], cases: &[Case], comparison: &mut Comparison) {
    let ask = |server| {
        let messages = cases.iter().map(|case| &case.message[..]);
        Udp::connect(server, "example.test").ask_all(messages)
    };
    let (ours, theirs) = thread::scope(|scope| {
        let theirs: Vec<_> = peers.iter().map(|peer| scope.spawn(move || ask(peer.address))).collect();
        let ours = ask(house.plain());
        (ours, theirs.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>())
    });
    for (at, case) in cases.iter().enumerate() {
        let ours = ours[at].as_deref().map(|reply| well_formed(case, reply));
        let theirs: Vec<_> =
            peers.iter().zip(&theirs).map(|(peer, replies)| (peer.peer, replies[at].as_deref().map(read))).collect();
        comparison.compare(case, "UDP", ours, theirs);
    }
}

/// Well-formed questions only: what a server does with a stream after a malformed one is its own affair.
fn over_tcp(house: &House, peers: &[Daemon], cases: &[Case], comparison: &mut Comparison) {
    let cases: Vec<&Case> = cases.iter().filter(|case| case.twist.is_empty()).step_by(4).collect();
    let ask = |server| Stream::connect(server).ask_all(cases.iter().map(|case| &case.message[..]));
    let (ours, theirs) = thread::scope(|scope| {
        let theirs: Vec<_> = peers.iter().map(|peer| scope.spawn(move || ask(peer.address))).collect();
        let ours = ask(house.plain());
        (ours, theirs.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>())
    });
    for (at, case) in cases.iter().enumerate() {
        let theirs = peers.iter().zip(&theirs).map(|(peer, replies)| (peer.peer, Some(read(&replies[at])))).collect();
        comparison.compare(case, "TCP", Some(well_formed(case, &ours[at])), theirs);
    }
}

fn read(reply: &[u8]) -> Reply {
    Reply::read(reply).unwrap_or_else(|error| panic!("a peer's reply can not be read: {error}: {reply:02x?}"))
}

/// Reads a reply of ours and checks what holds of each, whatever the peers do.
fn well_formed(case: &Case, octets: &[u8]) -> Reply {
    let reply = Reply::read(octets).unwrap_or_else(|error| panic!("{case}: our reply: {error}: {octets:02x?}"));
    assert_eq!(reply.repeated, 0, "{case}: {reply}");
    assert!(!reply.is(RA) && !reply.is(AD) && !reply.is(CD), "{case}: {reply}");
    if case.twist.is_empty() {
        assert_eq!(reply.question, case.ask.question(), "{case}: the question is not returned as it came");
        assert_eq!(reply.opt.is_some(), case.ask.edns.is_some(), "{case}: OPT answers OPT (RFC 6891 section 6.1.1)");
    }
    reply
}

#[test]
fn every_door_gives_the_same_answer() {
    let dir = tempfile::tempdir().unwrap();
    let zones = zone::write_all(dir.path(), SEED);
    let house = House::open(dir.path());
    let cases = question::cases(&zones, SEED + 1);
    let cases: Vec<&Case> = cases.iter().filter(|case| case.twist.is_empty()).step_by(17).take(800).collect();
    let messages = || cases.iter().map(|case| &case.message[..]);
    let udp = Udp::connect(house.plain(), "example.test").ask_all(messages());
    let tcp = Stream::connect(house.plain()).ask_all(messages());
    let tls = Stream::over(house.connect_tls()).ask_all(messages());
    let mut truncated = 0;
    for (at, case) in cases.iter().enumerate() {
        let over_tcp = well_formed(case, &tcp[at]);
        let over_tls = well_formed(case, &tls[at]);
        if over_tls.is(message::TC) {
            assert!(tcp[at].len() > TLS_LEN && over_tls.is_empty(), "{case}: {over_tls}");
        } else {
            assert_eq!(over_tcp, over_tls, "{case}: TLS and TCP differ");
        }
        let over_udp = well_formed(case, udp[at].as_deref().unwrap());
        if over_udp.is(message::TC) {
            truncated += 1;
            assert!(over_udp.is_empty(), "{case}: {over_udp}");
        } else if over_udp != over_tcp {
            // Additional records that did not fit are left out (RFC 2181 section 9).
            let mut rest = over_tcp.clone();
            rest.sections[2].retain(|key, _| over_udp.sections[2].contains_key(key));
            assert_eq!(over_udp, rest, "{case}: UDP and TCP differ");
        }
    }
    assert!(truncated > 5, "some answers are too long for UDP");
}

/// Unexplained differences by what differs, the most frequent first.
fn report(differences: &[Difference]) -> String {
    let mut kinds: BTreeMap<String, Vec<&Difference>> = BTreeMap::new();
    for difference in differences {
        kinds.entry(difference.kind()).or_default().push(difference);
    }
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_by_key(|(_, found)| std::cmp::Reverse(found.len()));
    let mut text = format!("{} unexplained differences of {} kinds\n", differences.len(), kinds.len());
    for (kind, found) in kinds {
        text += &format!("── {kind}: {}\n", found.len());
        for difference in found.iter().take(SHOWN) {
            text += &format!("{difference}\n");
        }
    }
    text
}
