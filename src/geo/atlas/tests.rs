//! Layers over each other, operator networks in front, names in one form.

use std::path::Path;

use serde_json::{Value, json};

use super::*;
use crate::model::{Continent, Coordinates, CountryCode, Expr, Gazetteer, Origin, Term};

fn shipped(name: &str) -> Database {
    Database::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/mmdb").join(name)).unwrap()
}

fn written(entries: &[(&str, Value)]) -> Database {
    let mut writer = mmdb_writer::Writer::builder("test").description(&[("en", "test")]).build();
    for (net, record) in entries {
        writer.insert(net.parse::<ipnet::IpNet>().unwrap(), record).unwrap();
    }
    Database::from_octets("written", writer.to_bytes().unwrap()).unwrap()
}

fn network(net: &str, place: Place) -> Network {
    Network { net: net.parse().unwrap(), place, origin: Origin::file("test") }
}

fn place(atlas: &Atlas, address: &str) -> Place {
    atlas.lookup(address.parse().unwrap()).clone()
}

fn country(code: &str) -> Option<CountryCode> {
    CountryCode::new(code)
}

fn subdivision(place: &Place) -> Option<&str> {
    place.subdivision.as_deref()
}

#[test]
fn without_data_everyone_is_of_no_known_place_and_that_is_said() {
    let (atlas, notes) = Atlas::load(Vec::new(), &[]);
    assert_eq!(notes, [Note::NoData]);
    assert_eq!(atlas.counts(), (2, 1));
    assert!(place(&atlas, "192.0.2.1").is_unknown() && place(&atlas, "2001:db8::1").is_unknown());
}

#[test]
fn city_and_provider_files_complete_each_other() {
    let (atlas, notes) = Atlas::load(vec![shipped("GeoIP2-City-Test.mmdb"), shipped("GeoLite2-ASN-Test.mmdb")], &[]);
    assert_eq!(notes, []);
    // 89.160.20.128/25 is in the city file, 89.160.20.112/28 and .128/25 in the AS file.
    let both = place(&atlas, "89.160.20.130");
    assert_eq!((both.country, both.city.as_deref(), both.asn), (country("SE"), Some("Linköping"), Some(29518)));
    assert_eq!(both.isp.as_deref(), Some("Bredband2 AB"));
    assert_eq!(subdivision(&both), Some("SE-E"));
    assert_eq!(both.continent, Some(Continent::Europe));
    let provider_only = place(&atlas, "1.128.0.1");
    assert_eq!((provider_only.country, provider_only.asn), (None, Some(1221)));
}

#[test]
fn the_first_layer_that_has_a_field_wins() {
    let front = written(&[("192.0.2.0/24", json!({"country_code": "CN", "state1": "上海", "isp": "电信"}))]);
    let world = written(&[
        (
            "192.0.2.0/25",
            json!({"country_code": "CN", "state1": "Shanghai", "city": "Pudong", "latitude": 31.2, "longitude": 121.5}),
        ),
        (
            "192.0.2.128/25",
            json!({"country_code": "CN", "state1": "Beijing", "city": "Beijing", "latitude": 39.9, "longitude": 116.4}),
        ),
        ("198.51.100.0/24", json!({"country_code": "DE", "city": "Frankfurt am Main"})),
    ]);
    let (atlas, _) = Atlas::load(vec![front, world], &[]);
    let agreeing = place(&atlas, "192.0.2.1");
    assert_eq!((subdivision(&agreeing), agreeing.city.as_deref()), (Some("CN-SH"), Some("Pudong")));
    assert_eq!(agreeing.coordinates, Coordinates::from_degrees(31.2, 121.5));
    assert_eq!(agreeing.isp.as_deref(), Some("China Telecom"));
    assert_eq!(place(&atlas, "198.51.100.7").city.as_deref(), Some("Frankfurt am Main"));
}

#[test]
fn a_layer_behind_adds_no_city_of_another_province() {
    let front = written(&[("192.0.2.0/24", json!({"country_code": "CN", "state1": "Shanghai"}))]);
    let wrong = written(&[(
        "192.0.2.0/24",
        json!({"country_code": "CN", "state1": "Beijing", "city": "Beijing", "latitude": 39.9, "longitude": 116.4}),
    )]);
    let (atlas, _) = Atlas::load(vec![front, wrong], &[]);
    let place = place(&atlas, "192.0.2.1");
    assert_eq!((subdivision(&place), place.city.as_deref()), (Some("CN-SH"), None));
    assert_eq!(place.coordinates, catalogue::centre(country("CN").unwrap(), Some("CN-SH")));
}

#[test]
fn what_is_missing_follows_from_country_and_subdivision() {
    let (atlas, _) =
        Atlas::load(vec![written(&[("192.0.2.0/24", json!({"country_code": "CN", "state1": "北京市"}))])], &[]);
    let place = place(&atlas, "192.0.2.1");
    assert_eq!((place.continent, subdivision(&place)), (Some(Continent::Asia), Some("CN-BJ")));
    assert_eq!(place.coordinates, catalogue::centre(country("CN").unwrap(), Some("CN-BJ")));
    assert!(place.coordinates.is_some());
}

#[test]
fn operator_networks_override_field_by_field_the_most_specific_first() {
    let data = written(&[(
        "192.0.2.0/24",
        json!({"country_code": "DE", "city": "Berlin", "autonomous_system_number": 64500}),
    )]);
    let stated = |country: Option<CountryCode>, asn| Place { country, asn, ..Place::default() };
    let networks = [
        network("192.0.0.0/16", stated(country("FR"), Some(1))),
        network("192.0.2.0/26", stated(None, Some(2))),
        network("192.0.2.16/28", stated(country("AT"), None)),
        network("192.0.2.16/28", stated(country("CH"), Some(3))),
        network("255.255.255.255/32", stated(None, Some(9))),
        network("2001:db8::/32", Place { subdivision: Some("CN-11".into()), ..Place::default() }),
    ];
    let (atlas, _) = Atlas::load(vec![data], &networks);
    let seen = |address: &str| {
        let place = place(&atlas, address);
        (place.country.map(|country| country.to_string()), place.asn, place.city.map(|city| city.to_string()))
    };
    let found = |country: Option<&str>, asn| (country.map(str::to_owned), asn, None);
    assert_eq!(seen("192.0.3.1"), found(Some("FR"), Some(1)));
    assert_eq!(seen("192.0.2.200"), found(Some("FR"), Some(1)), "Berlin is not in France");
    assert_eq!(seen("192.0.2.1"), found(Some("FR"), Some(2)));
    assert_eq!(seen("192.0.2.20"), found(Some("AT"), Some(3)), "of equal networks the first written");
    assert_eq!(seen("192.0.2.32"), found(Some("FR"), Some(2)));
    assert_eq!(seen("192.1.0.0"), found(None, None));
    assert_eq!(seen("255.255.255.254"), found(None, None));
    assert_eq!(seen("255.255.255.255"), found(None, Some(9)));
    let implied = place(&atlas, "2001:db8::1");
    assert_eq!(
        (implied.country, subdivision(&implied)),
        (country("CN"), Some("CN-BJ")),
        "a full code says the country"
    );
}

#[test]
fn a_subdivision_without_country_takes_the_country_of_the_data() {
    let data = written(&[("192.0.2.0/24", json!({"country_code": "CN"}))]);
    let networks = [network("192.0.2.0/25", Place { subdivision: Some("Shanghai".into()), ..Place::default() })];
    let (atlas, _) = Atlas::load(vec![data], &networks);
    assert_eq!(subdivision(&place(&atlas, "192.0.2.1")), Some("CN-SH"));
}

#[test]
fn more_layers_than_the_limit_are_left_out_and_named() {
    let layer = |_| written(&[("192.0.2.0/24", json!({"country_code": "DE"}))]);
    let (_, notes) = Atlas::load((0..=GEOIP_LAYERS_MAX).map(layer).collect(), &[]);
    assert_eq!(notes, [Note::Layer { file: "written".into() }]);
}

#[test]
fn names_come_from_the_catalogue_and_then_from_the_data() {
    let (atlas, _) = Atlas::load(vec![shipped("GeoIP2-City-Test.mmdb"), shipped("GeoLite2-ASN-Test.mmdb")], &[]);
    let term = |term: Term, held: bool| Some((Expr::Term(term), held));
    assert_eq!(atlas.rule("sweden"), term(Term::Country(country("SE").unwrap()), true));
    assert_eq!(atlas.rule("Antarctica"), term(Term::Continent(Continent::Antarctica), false));
    assert_eq!(atlas.rule("beijing"), term(Term::Subdivision("cn-bj".into()), false), "known, but not in this data");
    assert_eq!(atlas.rule("LINKÖPING"), term(Term::City("linköping".into()), true));
    assert_eq!(atlas.rule("bredband2_ab"), term(Term::Isp("bredband2-ab".into()), true));
    assert_eq!(atlas.rule("atlantis"), None);
    let names = atlas.names();
    for name in ["China", "Linköping", "Bredband2 AB"] {
        assert!(names.iter().any(|known| known == name), "{name} is offered");
    }
}
