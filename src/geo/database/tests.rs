//! Databases against the files of the format's own test suite, sound, hostile and mutilated.

use std::fs;
use std::path::PathBuf;

use maxminddb::geoip2;

use super::*;
use crate::geo::Atlas;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/mmdb").join(name)
}

fn atlas(name: &str) -> Atlas {
    Atlas::load(vec![Database::read(&path(name)).unwrap()], &[]).0
}

/// The first and last address of each network of a file, and the addresses beside them.
fn probes(reader: &Reader<Vec<u8>>) -> Vec<IpAddr> {
    let mut out = Vec::new();
    for found in reader.networks(maxminddb::WithinOptions::default()).unwrap() {
        let net = found.unwrap().network().unwrap();
        match (net.ip(), net.prefix()) {
            (IpAddr::V4(first), len) => {
                let first = first.to_bits();
                let last = first | u32::MAX.checked_shr(u32::from(len)).unwrap_or(0);
                out.extend([first.wrapping_sub(1), first, last, last.wrapping_add(1)].map(|at| IpAddr::V4(at.into())));
            }
            (IpAddr::V6(first), len) => {
                let first = first.to_bits();
                let last = first | u128::MAX.checked_shr(u32::from(len)).unwrap_or(0);
                out.extend([first.wrapping_sub(1), first, last, last.wrapping_add(1)].map(|at| IpAddr::V6(at.into())));
            }
        }
    }
    let mut random = 0x9e37_79b9_7f4a_7c15_u128;
    for _ in 0..2000 {
        random = random.wrapping_mul(0xda94_2042_e4dd_58b5_a5d1_2ac0_4c0b_2fb5).wrapping_add(0x1405_7b7e_f767_814f);
        out.push(IpAddr::V4(((random >> 64) as u32).into()));
        out.push(IpAddr::V6((random >> 3 | 0x2000 << 112).into()));
    }
    // Of blocks that carry IPv4, of the file's own IPv4 tree and of Teredo the file's IPv6 tree says nothing.
    out.retain(|address| match address {
        IpAddr::V4(_) => true,
        IpAddr::V6(address) => {
            WITHOUT_DATA.iter().all(|&(first, depth)| (address.to_bits() ^ first) >> (128 - depth) != 0)
        }
    });
    out
}

#[test]
fn the_atlas_says_what_a_look_up_in_the_file_says() {
    for name in ["GeoIP2-City-Test.mmdb", "GeoIP2-Country-Test.mmdb", "GeoIP2-Enterprise-Test.mmdb"] {
        let reader = Reader::open_readfile(path(name)).unwrap();
        let atlas = atlas(name);
        let mut known = 0;
        for address in probes(&reader) {
            let record: geoip2::Enterprise<'_> = reader.lookup(address).unwrap().decode().unwrap().unwrap_or_default();
            let place = atlas.lookup(address);
            let country = record.country.iso_code.or(record.registered_country.iso_code);
            assert_eq!(place.country.as_ref().map(CountryCode::as_str), country, "{name}: country of {address}");
            assert_eq!(place.city.as_deref(), record.city.names.english, "{name}: city of {address}");
            assert_eq!(place.asn, record.traits.autonomous_system_number, "{name}: AS of {address}");
            if let (Some(latitude), Some(longitude)) = (record.location.latitude, record.location.longitude) {
                assert_eq!(
                    place.coordinates,
                    crate::model::Coordinates::from_degrees(latitude, longitude),
                    "{address}"
                );
            }
            if let (Some(country), Some(subdivision)) = (country, record.subdivisions.first()) {
                let code = place.subdivision.as_deref().unwrap();
                assert!(code.starts_with(&format!("{country}-")), "{name}: {code} of {address} {subdivision:?}");
                known += 1;
            }
        }
        assert!(known > 20 || name.contains("Country"), "{name} was hardly compared: {known}");
    }
}

#[test]
fn provider_files_are_read_as_the_crate_reads_them() {
    for name in ["GeoLite2-ASN-Test.mmdb", "GeoIP2-ISP-Test.mmdb"] {
        let reader = Reader::open_readfile(path(name)).unwrap();
        let atlas = atlas(name);
        let mut known = 0;
        for address in probes(&reader) {
            let found = reader.lookup(address).unwrap();
            let record: Option<geoip2::Isp<'_>> = found.decode().unwrap();
            let place = atlas.lookup(address);
            let asn = record.as_ref().and_then(|record| record.autonomous_system_number);
            assert_eq!(place.asn, asn, "{name}: AS of {address}");
            let isp = record.and_then(|record| record.isp.or(record.autonomous_system_organization));
            let isp = isp.map(|isp| catalogue::isp_alias(isp).unwrap_or(isp));
            assert_eq!(place.isp.as_deref(), isp, "{name}: provider of {address}");
            known += usize::from(isp.is_some());
        }
        assert!(known > 100, "{name} was hardly compared: {known}");
    }
}

#[test]
fn addresses_that_carry_ipv4_are_looked_up_as_ipv4_and_teredo_is_not() {
    let atlas = atlas("GeoIP2-City-Test.mmdb");
    let of = |text: &str| atlas.lookup(text.parse().unwrap()).country.map(|country| country.to_string());
    assert_eq!(of("2.125.160.216").as_deref(), Some("GB"));
    assert_eq!(of("::ffff:2.125.160.216").as_deref(), Some("GB"));
    assert_eq!(of("2002:27d:a0d8::1").as_deref(), Some("GB"));
    assert_eq!(of("::2.125.160.216"), None);
    assert_eq!(of("2001:0:27d:a0d8::"), None);
}

#[test]
fn a_database_without_an_ipv4_tree_says_for_ipv4_what_it_says_for_all_zero_bits() {
    let octets = fs::read(path("MaxMind-DB-no-ipv4-search-tree.mmdb")).unwrap();
    // Its one record is a text, so there is nothing that an adapter could read.
    let error = Database::from_octets("no-ipv4", octets).unwrap_err();
    assert!(matches!(error.reason, DatabaseFault::Schema { .. }), "{error}");
}

#[test]
fn a_file_whose_records_say_nothing_of_places_is_refused_with_what_it_has() {
    let error = Database::read(&path("GeoIP2-Connection-Type-Test.mmdb")).unwrap_err();
    assert!(error.to_string().ends_with("its records have only: connection_type"), "{error}");
}

#[test]
fn every_corrupt_file_is_refused_by_name_or_harmless() {
    // Files whose flaw lies in what is not read, or is a flaw for other readers alone.
    let harmless: [&str; 0] = [];
    let mut seen = 0;
    for entry in fs::read_dir(path("bad")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "mmdb") {
            continue;
        }
        seen += 1;
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        match Database::read(&path) {
            Ok(database) => assert!(harmless.contains(&name.as_str()), "{name} was read: {:?}", database.counts()),
            Err(error) => {
                assert!(!harmless.contains(&name.as_str()), "{error}");
                let text = error.to_string();
                assert!(text.contains(&name) && text.len() > name.len() + 10, "{text}");
                println!("{error}");
            }
        }
    }
    assert_eq!(seen, 29, "the corpus is complete");
}

#[test]
fn files_that_are_no_databases_are_refused() {
    assert!(Database::from_octets("empty", Vec::new()).is_err());
    assert!(Database::from_octets("text", b"country,code\n".to_vec()).is_err());
    assert!(matches!(Database::read(&path("")).unwrap_err().reason, DatabaseFault::NotAFile));
    let missing = Database::read(&path("missing.mmdb")).unwrap_err();
    assert!(missing.to_string().contains("missing.mmdb: can not be read"), "{missing}");
}

#[test]
fn mutilated_files_never_panic_and_never_hang() {
    let sound = ["GeoIP2-City-Test.mmdb", "GeoLite2-ASN-Test.mmdb"].map(|name| fs::read(path(name)).unwrap());
    let mut random = 88_172_645_463_325_252_u64;
    let mut next = move |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % below as u64).unwrap()
    };
    let mut refused = 0;
    for round in 0..400 {
        let mut octets = sound[round % 2].clone();
        // The search tree, the metadata, or anywhere; a few octets or a cut.
        for _ in 0..=next(8) {
            let len = octets.len();
            let at = match next(3) {
                0 => next(len.min(4000)),
                1 => len - 1 - next(len.min(300)),
                _ => next(len),
            };
            octets[at] = [0, 0xff, octets[at] ^ (1 << next(8)), u8::try_from(next(256)).unwrap()][next(4)];
        }
        if next(10) == 0 {
            octets.truncate(next(octets.len()));
        }
        refused += usize::from(Database::from_octets("mutilated", octets).is_err());
    }
    assert!(refused > 100, "mutilation did hardly anything: {refused}");
}

/// A file as other writers make it, without a description.
fn written(entries: &[(&str, serde_json::Value)]) -> Vec<u8> {
    let mut writer = mmdb_writer::Writer::new("test");
    for (net, record) in entries {
        writer.insert(net.parse::<ipnet::IpNet>().unwrap(), record).unwrap();
    }
    writer.to_bytes().unwrap()
}

#[test]
fn a_missing_description_is_a_note_and_nothing_more() {
    let octets = written(&[("192.0.2.0/24", serde_json::json!({"country_code": "CN", "state1": "Beijing"}))]);
    let database = Database::from_octets("flat", octets).unwrap();
    assert_eq!(database.notes(), [Note::NoDescription { file: "flat".into() }]);
    assert_eq!((database.schema(), database.kind()), (Schema::Flat, "test"));
    let place = &database.places[database.v4.find(0xc000_0201) as usize];
    assert_eq!(place.subdivision.as_deref(), Some("CN-BJ"));
}

#[test]
fn the_schema_is_what_most_records_show() {
    let flat = serde_json::json!({"country_code": "DE"});
    let odd = serde_json::json!({"country": {"iso_code": "FR"}});
    let entries = [
        ("192.0.2.0/24", flat.clone()),
        ("198.51.100.0/24", odd),
        ("203.0.113.0/24", serde_json::json!({"country_code": "AT"})),
    ];
    let database = Database::from_octets("mixed", written(&entries)).unwrap();
    assert_eq!(database.schema(), Schema::Flat);
    assert_eq!(database.v4.find(0xc633_6401), 0, "a record of another schema says nothing");
}

#[test]
fn a_record_above_the_ipv4_tree_holds_for_all_of_ipv4_and_its_own_ipv6() {
    let octets = written(&[("::/8", serde_json::json!({"country_code": "DE"}))]);
    let database = Database::from_octets("wide", octets).unwrap();
    let known = |number: u32| number != 0;
    assert!(known(database.v4.find(0)) && known(database.v4.find(u32::MAX)));
    assert!(known(database.v6.find(1 << 100)) && !known(database.v6.find(1)) && !known(database.v6.find(0xffff << 32)));
}
