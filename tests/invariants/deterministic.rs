//! Same table, same query, same random value: same octets, through every door; and compiling is a pure
//! function of what the files say, whatever they are called and in whatever order they come.

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use meridian::model::{Generation, ServiceIx};
use meridian::serve::{Doors, DoorsConfig};
use meridian::table::{Publisher, RoutingTable};

use super::common::message::{A, AAAA, HTTPS, MX, OPTION_NSID, Question, TXT};
use super::common::{Dice, Texts, all_up};
use super::worlds::{self, Kind};

/// Reached only when the test fails.
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn invariant_6_every_door_gives_the_octets_that_answer_gives() {
    let zone = "$TTL 60\n@ SOA ns1 h 1 2 3 4 5\n@ NS ns1\nns1 A 192.0.2.53\nwww CNAME static\nstatic A 192.0.2.1\n\
                child NS ns.child\nns.child A 192.0.2.4\n*.wild TXT \"w\"\n";
    let table = Texts::policy(
        "gslb: { domain: geo.example.com, https: { alpn: h2 }, policies: { default: { type: geolocation, fallback: sticky }, \
         beijing: { primary: a, secondary: b } }, endpoints: { a: { ip: [192.0.2.11, 2001:db8::11] }, b: { ip: 192.0.2.12 } } }",
    )
    .and_zone("example.com", zone)
    .table();
    let mut questions = Vec::new();
    for name in ["geo", "www", "static", "nothing", "x.child", "a.wild", "GEO", "_meridian.geo"] {
        for rtype in [A, AAAA, MX, TXT, HTTPS] {
            let question = Question::new(&format!("{name}.example.com"), rtype).from("127.0.0.1");
            questions.push(question.clone());
            questions.push(question.clone().ecs("10.1.2.0/24"));
            questions.push(question.clone().ecs("2001:db8:7::/48"));
            questions.push(question.option(OPTION_NSID, []));
        }
    }
    let expected: Vec<Vec<u8>> = questions.iter().map(|question| question.ask_octets(&table).unwrap()).collect();

    let publisher = Publisher::new(table);
    let mut config = DoorsConfig::new(vec!["127.0.0.1:0".parse().unwrap()]);
    config.threads = NonZeroUsize::new(2);
    let doors = Doors::open(&config, publisher.subscription()).unwrap();
    let address = doors.local_addresses().plain[0];
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.connect(address).unwrap();
    udp.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut tcp = TcpStream::connect(address).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    for (question, expected) in questions.iter().zip(&expected) {
        let octets = question.octets();
        let mut buffer = [0; 4096];
        udp.send(&octets).unwrap();
        let len = udp.recv(&mut buffer).unwrap();
        assert_eq!(buffer[..len], expected[..], "UDP: {question:?}");
        tcp.write_all(&[&u16::try_from(octets.len()).unwrap().to_be_bytes()[..], &octets].concat()).unwrap();
        let mut len = [0; 2];
        tcp.read_exact(&mut len).unwrap();
        let mut reply = vec![0; usize::from(u16::from_be_bytes(len))];
        tcp.read_exact(&mut reply).unwrap();
        assert_eq!(reply, *expected, "TCP: {question:?}");
    }
    doors.close();
}

/// All octets of all answers that some clients could get.
fn sweep(table: &RoutingTable, seed: u64) -> Vec<Vec<u8>> {
    let dice = &mut Dice(seed);
    let mut all = Vec::new();
    for (at, service) in table.base().policy().services.iter().enumerate() {
        for _ in 0..20 {
            let client = worlds::client(dice);
            let view = table.service(ServiceIx::from_at(at));
            let name = service.name.to_string().trim_end_matches('.').to_owned();
            for random in [view.randoms(view.locate(client)), vec![dice.next()]].concat() {
                for rtype in [A, AAAA] {
                    let question = Question::new(&name, rtype).ecs(&client.to_string()).random(random);
                    all.push(question.ask_octets(table).unwrap());
                }
            }
        }
    }
    all
}

#[test]
fn invariant_6_what_is_compiled_twice_answers_alike() {
    let dice = &mut Dice(66);
    for seed in 0..25 {
        let base = worlds::texts(dice, Kind::Any).base();
        let facts = Arc::new(worlds::facts(dice, base.policy(), Kind::Any, true));
        let first = RoutingTable::compile(&base, Arc::clone(&facts), Generation(1));
        let second = RoutingTable::compile(&base, facts, Generation(2));
        assert_eq!(sweep(&first, seed), sweep(&second, seed));
    }
}

#[test]
fn invariant_6_names_and_order_of_the_files_do_not_matter() {
    let dice = &mut Dice(67);
    for seed in 0..25 {
        let mut texts = worlds::texts(dice, Kind::Any);
        texts = texts.and_zone("other.test", "@ 60 SOA ns h 1 2 3 4 5\n@ 60 NS ns\nns 60 A 192.0.2.1\n");
        let one = sweep(&all_up(&texts.base()), seed);
        texts.policies.reverse();
        for (at, (name, _)) in texts.policies.iter_mut().enumerate() {
            *name = format!("z{}.yaml", at * 7 % 5);
        }
        assert_eq!(one, sweep(&all_up(&texts.base()), seed));
        texts.policies.rotate_left(1);
        assert_eq!(one, sweep(&all_up(&texts.base()), seed));
    }
}
