//! Builds of small inputs, and what the databases that are shipped under `geoip/` say.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;

use super::*;
use crate::geo::Atlas;
use crate::geo::import;
use crate::geo::import::ip2region_file;

fn countries(csv: &str) -> Database {
    let imported = import::csv(csv, 1_700_000_000, &mut |_, _| ()).unwrap();
    Database::from_octets("countries.mmdb", imported.octets.expect("no errors")).unwrap()
}

fn small(detail: Detail) -> World {
    let countries = countries(
        "cidr,country\n\
         1.0.0.0/20,CN\n\
         2.0.0.0/20,DE\n\
         2.0.16.0/24,FR\n\
         3.0.0.0/20,HK\n\
         10.0.0.0/8,US\n\
         2001:db8::/32,JP\n\
         2a00:1::/32,DE\n\
         2a00:2:1::/48,FR\n",
    );
    let china = ip2region_file(&[
        ("0.0.0.0", "0.255.255.255", "0|0|0|内网IP|内网IP"),
        ("1.0.0.0", "1.0.3.255", "中国|0|北京|北京市|电信"),
        ("1.0.4.0", "1.0.4.255", "中国|0|上海|上海市|联通"),
        ("1.0.5.0", "1.0.5.255", "中国|0|0|0|0"),
        ("2.0.0.0", "2.0.0.255", "中国|0|广东省|广州市|移动"),
        ("3.0.0.0", "3.0.0.255", "中国|0|香港|0|电讯盈科"),
        ("4.0.0.0", "4.0.0.0", "中国|0|四川省|成都市|教育网"),
        ("5.0.0.0", "5.0.255.255", "日本|0|0|0|0"),
    ]);
    world(&countries, &china, detail, &mut |_, _| ()).unwrap()
}

const DETAIL: Detail = Detail { min_prefix: 20, epoch_s: None };

fn said(octets: Vec<u8>) -> impl Fn(&str) -> String {
    let database = Database::from_octets("world.mmdb", octets).unwrap();
    move |address| {
        let place = database.says(address.parse::<IpAddr>().unwrap());
        let country = place.country.map(|country| country.to_string());
        let parts = [country.as_deref(), place.subdivision.as_deref(), place.isp.as_deref()];
        parts.map(|part| part.unwrap_or("-")).join(" ")
    }
}

#[test]
fn china_is_laid_over_countries_and_never_over_another_country() {
    let world = small(DETAIL);
    let said = said(world.octets);
    assert_eq!(said("1.0.0.1"), "CN CN-BJ China Telecom");
    assert_eq!(said("1.0.3.255"), "CN CN-BJ China Telecom");
    assert_eq!(said("1.0.4.0"), "CN CN-SH China Unicom", "small pieces of China are kept");
    assert_eq!(said("1.0.6.0"), "CN - -", "only the country source knows it");
    assert_eq!(said("2.0.0.1"), "DE - -", "disputed");
    assert_eq!(said("3.0.0.1"), "HK - -");
    assert_eq!(said("4.0.0.0"), "CN CN-SC CERNET", "only ip2region knows it");
    assert_eq!(said("5.0.0.0"), "- - -", "ip2region's word counts for China alone");
    assert_eq!(world.disputed_v4, 256);
}

#[test]
fn small_pieces_outside_china_are_left_out_rather_than_given_to_a_neighbour() {
    let world = small(DETAIL);
    assert_eq!(world.left_out_v4, 256);
    let told = said(world.octets);
    assert_eq!(told("2.0.16.1"), "- - -");
    assert_eq!(told("2a00:1::1"), "DE - -");
    assert_eq!(told("2a00:2:1::1"), "- - -");
    let fine = small(Detail { min_prefix: 24, ..DETAIL });
    assert_eq!(fine.left_out_v4, 0);
    assert_eq!(said(fine.octets)("2.0.16.1"), "FR - -");
}

#[test]
fn reserved_addresses_are_nowhere_whatever_sources_say() {
    let said = said(small(DETAIL).octets);
    assert_eq!(said("10.0.0.1"), "- - -");
    assert_eq!(said("2001:db8::1"), "- - -");
}

#[test]
fn the_same_sources_give_the_same_octets_and_a_database_that_verifies() {
    let (one, two) = (small(DETAIL), small(DETAIL));
    assert_eq!(one.octets, two.octets);
    assert_eq!(one.epoch_s, 1_700_000_000, "the country source's");
    let reader = maxminddb::Reader::from_source(&one.octets).unwrap();
    reader.verify().unwrap();
    assert_eq!(reader.metadata().build_epoch, 1_700_000_000);
    let later = small(Detail { epoch_s: Some(1_800_000_000), ..DETAIL });
    assert_ne!(later.octets, one.octets);
}

#[test]
fn sources_of_something_else_are_refused() {
    let no_country = countries("cidr,asn\n192.0.2.0/24,64500\n");
    let china = ip2region_file(&[("1.0.0.0", "1.0.3.255", "中国|0|北京|北京市|电信")]);
    assert!(matches!(world(&no_country, &china, DETAIL, &mut |_, _| ()), Err(BuildError::NoCountry)));
    let countries = countries("cidr,country\n192.0.2.0/24,DE\n");
    assert!(matches!(world(&countries, b"not it", DETAIL, &mut |_, _| ()), Err(BuildError::China(_))));
}

fn shipped(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("geoip").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_shipped_world_knows_the_probes() {
    let octets = shipped("20-world.mmdb");
    assert!(octets.len() < 2_500_000, "{} octets", octets.len());
    maxminddb::Reader::from_source(&octets).unwrap().verify().unwrap();
    let said = said(octets);
    for (address, place) in [
        ("219.141.136.10", "CN CN-BJ China Telecom"),
        ("202.106.0.20", "CN CN-BJ China Unicom"),
        ("166.111.8.28", "CN CN-BJ CERNET"),
        ("202.96.209.5", "CN CN-SH China Telecom"),
        ("211.136.112.50", "CN CN-SH China Mobile"),
        ("210.22.70.3", "CN CN-SH China Unicom"),
        ("202.120.2.101", "CN CN-SH CERNET"),
        ("3.120.0.1", "DE - -"),
        ("8.8.8.8", "US - -"),
        ("147.8.1.1", "HK - -"),
        ("140.112.1.1", "TW - -"),
        ("240e:0:9000::1", "CN - -"),
        ("2003::1", "DE - -"),
        ("127.1.0.1", "- - -"),
        ("10.0.0.1", "- - -"),
        ("192.0.2.1", "- - -"),
        ("2001:db8::1", "- - -"),
        ("::1", "- - -"),
    ] {
        assert_eq!(said(address), place, "{address}");
    }
}

#[test]
fn the_shipped_world_has_every_province_and_nearly_every_country() {
    let database = Database::from_octets("20-world.mmdb", shipped("20-world.mmdb")).unwrap();
    let provinces: BTreeSet<&str> = database.places.iter().filter_map(|place| place.subdivision.as_deref()).collect();
    assert_eq!(provinces.len(), 31, "all of the mainland, and no name that is not a code: {provinces:?}");
    assert!(provinces.iter().all(|code| catalogue::subdivision_name(code).is_some()), "{provinces:?}");
    let countries: BTreeSet<CountryCode> = database.places.iter().filter_map(|place| place.country).collect();
    assert!(countries.len() > 230, "{}", countries.len());
    assert!(countries.iter().all(|code| catalogue::continent(*code).is_some()), "{countries:?}");
}

#[test]
fn the_shipped_layers_complete_each_other() {
    let layer = |name: &str| Database::from_octets(name, shipped(name)).unwrap();
    let (atlas, notes) = Atlas::load(vec![layer("10-sample.mmdb"), layer("20-world.mmdb")], &[]);
    assert_eq!(notes, []);
    let place = atlas.lookup("219.141.136.10".parse().unwrap());
    assert_eq!(place.subdivision.as_deref(), Some("CN-BJ"));
    assert_eq!((place.city.as_deref(), place.asn), (Some("Beijing"), Some(4847)));
    let behind = atlas.lookup("113.108.1.1".parse().unwrap());
    assert_eq!((behind.subdivision.as_deref(), behind.isp.as_deref()), (Some("CN-GD"), Some("China Telecom")));
    assert!(behind.coordinates.is_some());
}

#[test]
fn the_readme_gives_the_sizes_of_what_is_shipped() {
    let readme = String::from_utf8(shipped("README.md")).unwrap();
    for name in ["10-sample.mmdb", "20-world.mmdb"] {
        let len = shipped(name).len().to_string();
        let row = readme.lines().find(|line| line.starts_with(&format!("| `{name}`"))).unwrap();
        let stated: String = row.rsplit('|').nth(1).unwrap().split_whitespace().collect();
        assert_eq!(stated, len, "{name}");
    }
}

#[test]
fn the_shipped_sample_is_what_its_source_gives() {
    let csv = String::from_utf8(shipped("sample.csv")).unwrap();
    let imported = import::csv(&csv, 0, &mut |_, _| ()).unwrap();
    assert_eq!(imported.findings, []);
    assert!(
        imported.octets == Some(shipped("10-sample.mmdb")),
        "run: meridian geo import geoip/sample.csv --out geoip/10-sample.mmdb"
    );
}

#[test]
fn the_shipped_sample_makes_one_machine_any_client() {
    let said = said(shipped("10-sample.mmdb"));
    for (address, place) in [
        ("127.0.0.1", "- - -"),
        ("127.1.0.1", "CN CN-BJ China Telecom"),
        ("127.2.255.255", "CN CN-SH China Telecom"),
        ("127.3.0.1", "CN CN-GD China Mobile"),
        ("127.4.0.1", "US US-CA Example Net"),
        ("127.5.0.1", "DE DE-HE Beispiel Netz"),
        ("192.0.2.1", "CN CN-BJ China Telecom"),
        ("2001:db8:2::1", "CN CN-SH China Telecom"),
    ] {
        assert_eq!(said(address), place, "{address}");
    }
}
