//! What the benches have in common: a small world to ask questions in.
//!
//! One static zone with one name of every kind that takes another way through the engine, services that
//! choose in each of the ways there are, and the GeoIP databases that the project ships. Everything is made
//! in memory, so benches depend on no state of the machine.
#![allow(dead_code, reason = "each bench uses its part")]

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

use meridian::answer::{Asked, Outcome, Transport, answer};
use meridian::config::{self, SourceFile};
use meridian::diag::{Diagnostic, Format, render};
use meridian::geo::{Atlas, Database};
use meridian::limits::UDP_RESPONSE_LEN_MAX;
use meridian::model::{Facts, Generation, Name, ServiceIx, Settings};
use meridian::table::{Base, Files, RoutingTable};
use meridian::zone::{self, OwnZones, ParsedZone, Zones};

/// Regions of the services that look at where the client is: some large, some small, in no order.
pub(crate) const REGIONS: [&str; 20] = [
    "beijing", "shanghai", "cn", "us", "de", "fr", "gb", "jp", "kr", "in", "br", "ca", "au", "ru", "it", "es", "nl",
    "se", "za", "eu",
];

const STATIC_ZONE: &str = "\
$TTL 300
@ SOA ns1 hostmaster 1 3600 600 604800 60
@ NS ns1
@ NS ns2
ns1 A 192.0.2.1
ns2 A 192.0.2.2
www A 192.0.2.10
hop1 CNAME hop2
hop2 CNAME www
*.wild A 192.0.2.11
sub NS ns1.sub
sub NS ns2.sub
ns1.sub A 192.0.2.12
ns2.sub A 192.0.2.13
";

/// The GeoIP databases of the repository, layered as the server layers them.
pub(crate) fn atlas() -> Arc<Atlas> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("geoip");
    let layers =
        ["10-sample.mmdb", "20-world.mmdb"].map(|file| Database::read(&directory.join(file)).expect("shipped"));
    Arc::new(Atlas::load(layers.into(), &[]).0)
}

/// The table that answers are measured on.
pub(crate) fn table() -> RoutingTable {
    table_on(atlas())
}

/// The same with other GeoIP databases.
pub(crate) fn table_on(atlas: Arc<Atlas>) -> RoutingTable {
    let geo = policy("geo", "geolocation", &REGIONS, "  https: {alpn: [h3, h2]}\n");
    let sticky = policy("sticky", "sticky", &[], "");
    let settings = Settings::default();
    let files = [SourceFile::new("geo.yaml", geo), SourceFile::new("sticky.yaml", sticky)];
    let (policy, _, found) = config::load_policies(&files, &*atlas, &settings);
    must_be_fine(&found);
    let zones = vec![parsed(STATIC_ZONE)];
    let (base, found) = Base::build(Files { policy, zones, atlas, settings, ns_required: false });
    must_be_fine(&found);
    RoutingTable::compile(&base.expect("no errors"), Arc::new(Facts::all_up()), Generation(1))
}

/// A policy file of one service, with the same three weighted endpoints for each region.
fn policy(label: &str, kind: &str, regions: &[&str], fields: &str) -> String {
    let mut text =
        format!("gslb:\n  domain: {label}.example.com\n{fields}  policies:\n    default: {{type: {kind}}}\n");
    for region in regions {
        let _ = writeln!(text, "    {region}: {{primary: [dc1, dc2, dc3]}}");
    }
    text.push_str("  endpoints:\n");
    for (number, weight) in [(1, 100), (2, 50), (3, 30)] {
        let _ =
            writeln!(text, "    dc{number}: {{ip: [198.51.100.{number}, \"2001:db8::{number}\"], weight: {weight}}}");
    }
    text
}

/// The zone example.com with `count` more names: `host0000000`, and so on.
pub(crate) fn zones(count: usize) -> Zones {
    let mut text = STATIC_ZONE.to_owned();
    for number in 0..count {
        let _ = writeln!(text, "host{number:07} A 192.0.2.{}", number % 250);
    }
    let settings = Settings::default();
    Zones::build(vec![parsed(&text)], &[], &OwnZones::of(&settings, false)).0
}

fn parsed(text: &str) -> ParsedZone {
    let origin = Name::parse("example.com.").expect("a name");
    let mut no_include = |_: &str| Err(String::new());
    let (zone, found) = zone::parse("example.com.zone", text.as_bytes(), &origin, &mut no_include);
    must_be_fine(&found);
    zone
}

/// Stops at errors: figures of half a world are worth nothing.
pub(crate) fn must_be_fine(found: &[Diagnostic]) {
    assert!(!found.iter().any(Diagnostic::is_error), "{}", render(found, Format::Text { colour: false }));
}

/// A service of [`table`] by its first label.
pub(crate) fn service(table: &RoutingTable, label: &str) -> ServiceIx {
    let name = Name::parse(&format!("{label}.example.com.")).expect("a name");
    table.base().service_named(&name).expect("a service")
}

/// A name in wire form.
pub(crate) fn wire(name: &str) -> Vec<u8> {
    Name::parse(name).expect("a name").as_wire().to_vec()
}

/// Numbers that look random and are the same in every run (SplitMix64).
pub(crate) struct Numbers(pub(crate) u64);

impl Iterator for Numbers {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Some(x ^ (x >> 31))
    }
}

/// One way through the engine: what is asked, and whether the client's network comes along.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    label: &'static str,
    qtype: u16,
    ecs: bool,
    /// RCODE and records of the answer section: the proof that the way is the one meant.
    expected: (u8, u16),
    /// What callgrind may count: two in a hundred more than it did when this was written, in the
    /// build that took more: `cargo bench`, or `tests/instructions.sh`.
    pub(crate) instructions_max: usize,
}

/// Every way that is measured. The first six are what DNS servers are usually compared by.
pub(crate) const CASES: [Case; 12] = [
    Case { name: "static A", label: "www", qtype: 1, ecs: false, expected: (0, 1), instructions_max: 734 },
    Case { name: "geo + weighted A", label: "geo", qtype: 1, ecs: false, expected: (0, 1), instructions_max: 969 },
    Case { name: "geo + weighted A, ECS", label: "geo", qtype: 1, ecs: true, expected: (0, 1), instructions_max: 1137 },
    Case { name: "NXDOMAIN", label: "none", qtype: 1, ecs: false, expected: (3, 0), instructions_max: 1112 },
    Case { name: "NODATA", label: "www", qtype: 28, ecs: false, expected: (0, 0), instructions_max: 929 },
    Case { name: "referral", label: "a.sub", qtype: 1, ecs: false, expected: (0, 0), instructions_max: 5434 },
    Case { name: "static A, ECS", label: "www", qtype: 1, ecs: true, expected: (0, 1), instructions_max: 901 },
    Case { name: "wildcard A", label: "any.wild", qtype: 1, ecs: false, expected: (0, 1), instructions_max: 1301 },
    Case { name: "CNAME chain of 2", label: "hop1", qtype: 1, ecs: false, expected: (0, 3), instructions_max: 4346 },
    Case { name: "geo + weighted AAAA", label: "geo", qtype: 28, ecs: false, expected: (0, 1), instructions_max: 978 },
    Case { name: "geo + weighted HTTPS", label: "geo", qtype: 65, ecs: false, expected: (0, 1), instructions_max: 973 },
    Case { name: "sticky A", label: "sticky", qtype: 1, ecs: false, expected: (0, 1), instructions_max: 1121 },
];

/// A query ready to be answered.
pub(crate) struct Ask {
    pub(crate) query: Vec<u8>,
    pub(crate) asked: Asked,
}

impl Case {
    /// Queries of clients all over the IPv4 Internet.
    pub(crate) fn asks(&self, count: usize) -> Vec<Ask> {
        let mut numbers = Numbers(1);
        let mut number = || numbers.next().unwrap_or_default();
        (0..count)
            .map(|_| {
                // 1.0.0.0 to 223.255.255.255
                let client = Ipv4Addr::from_bits((0x0100_0000 + number() % 0xdf00_0000) as u32);
                let asked = Asked { client: IpAddr::V4(client), transport: Transport::Udp, random: number() };
                Ask { query: self.query(client), asked }
            })
            .collect()
    }

    /// With EDNS, as nearly every resolver asks; with ECS the client's /24.
    fn query(&self, client: Ipv4Addr) -> Vec<u8> {
        let mut query = vec![0x12, 0x34, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 1];
        query.extend(wire(&format!("{}.example.com.", self.label)));
        query.extend(self.qtype.to_be_bytes());
        query.extend([0, 1]);
        query.extend([0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0]);
        if self.ecs {
            query.extend([0, 11, 0, 8, 0, 7, 0, 1, 24, 0]);
            query.extend(&client.octets()[..3]);
        } else {
            query.extend([0, 0]);
        }
        query
    }

    /// Stops when the answers are not those that the case is named for.
    pub(crate) fn check(&self, table: &RoutingTable) {
        let mut out = [0; UDP_RESPONSE_LEN_MAX];
        for ask in self.asks(100) {
            let Outcome::Reply(len) = answer(&ask.query, &ask.asked, table, &mut out) else {
                panic!("{}: no reply", self.name)
            };
            let found = (out[3] & 0xf, u16::from_be_bytes([out[6], out[7]]));
            assert_eq!(found, self.expected, "{}: {:02x?}", self.name, &out[..len]);
        }
    }
}
