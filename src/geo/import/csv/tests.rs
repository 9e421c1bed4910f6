use proptest::prelude::*;

use super::*;
use crate::geo::Database;
use crate::model::{Coordinates, CountryCode, Place};

fn read(text: &str) -> Imported {
    csv(text, 0, &mut |_, _| ()).unwrap()
}

/// Where and with which code each finding is.
fn found(text: &str) -> Vec<(u32, u32, u32, &'static str)> {
    let imported = read(text);
    let failed = imported.findings.iter().any(|finding| !finding.problem.is_warning());
    assert_eq!(imported.octets.is_none(), failed, "a database exactly when there is no error");
    let place = |finding: &Finding| (finding.line, finding.column, finding.len, finding.problem.code());
    imported.findings.iter().map(place).collect()
}

fn says(text: &str, address: &str) -> Place {
    let imported = read(text);
    assert_eq!(imported.findings, []);
    let database = Database::from_octets("test.mmdb", imported.octets.unwrap()).unwrap();
    database.says(address.parse().unwrap()).clone()
}

#[test]
fn every_column_arrives() {
    let text = "# a comment\n\nlon,lat,isp,asn,city,subdivision,country,cidr\r\n\
        116.41,39.90,电信,AS4134,\"Bei,jing\",北京市,China,2001:db8::/32\r\n";
    let place = says(text, "2001:db8::1");
    assert_eq!(place.country, CountryCode::new("CN"));
    assert_eq!(place.subdivision.as_deref(), Some("CN-BJ"));
    assert_eq!(place.city.as_deref(), Some("Bei,jing"));
    assert_eq!(place.asn, Some(4134));
    assert_eq!(place.isp.as_deref(), Some("China Telecom"));
    assert_eq!(place.coordinates, Coordinates::from_degrees(39.90, 116.41));
}

#[test]
fn a_range_of_any_shape_is_covered_exactly() {
    let text = "start,end,country\n192.0.2.3,192.0.2.17,DE\n";
    for (address, inside) in [("192.0.2.2", false), ("192.0.2.3", true), ("192.0.2.17", true), ("192.0.2.18", false)] {
        assert_eq!(says(text, address).country.is_some(), inside, "{address}");
    }
}

#[test]
fn a_network_inside_another_takes_its_place_wherever_it_stands() {
    for text in
        ["cidr,country,isp\n10.0.0.0/8,DE,A\n10.1.0.0/16,FR,\n", "cidr,country,isp\n10.1.0.0/16,FR,\n10.0.0.0/8,DE,A\n"]
    {
        assert_eq!(says(text, "10.0.0.1").country, CountryCode::new("DE"));
        let inner = says(text, "10.1.0.1");
        assert_eq!(inner.country, CountryCode::new("FR"));
        assert_eq!(inner.isp, None, "nothing is inherited");
    }
}

#[test]
fn a_header_that_is_wrong_is_said_with_its_column() {
    assert_eq!(found(""), [(1, 1, 0, "csv-no-header")]);
    assert_eq!(found("# only a comment\n"), [(1, 1, 0, "csv-no-header")]);
    assert_eq!(found("cidr,contry\n"), [(1, 6, 6, "csv-unknown-column")]);
    assert_eq!(found("cidr,city,network\n"), [(1, 11, 7, "csv-column-twice")]);
    assert_eq!(found("country,city\n"), [(1, 1, 12, "csv-no-network-column")]);
    assert_eq!(found("start,country\n"), [(1, 1, 13, "csv-no-network-column")]);
    assert_eq!(found("cidr,start,end\n"), [(1, 1, 14, "csv-no-network-column")]);
}

#[test]
fn every_error_of_a_file_is_found_with_line_and_column() {
    let text = "cidr,country,subdivision,asn,lat,lon\n\
        192.0.2.0/33,CN,,,,\n\
        192.0.2.1/24,CN,,,,\n\
        192.0.2.0/24,Atlantis,,many,,\n\
        192.0.2.0/24,CN,,,91,181\n\
        192.0.2.0/24,CN,,,39,\n\
        192.0.2.0/24,,BJ,,,\n\
        192.0.2.0/24,CN,US-CA,,,\n\
        192.0.2.0/24,,,,,\n\
        192.0.2.0/24,CN\n\
        192.0.2.0/24,\"CN,,,,\n\
        2002:c000::/24,CN,,,,\n\
        198.51.100.0/24,CN,Nowhere,,,\n";
    let expected = [
        (2, 1, 12, "csv-network"),
        (3, 1, 12, "csv-host-bits"),
        (4, 14, 8, "csv-country"),
        (4, 24, 4, "csv-asn"),
        (5, 19, 2, "csv-degrees"),
        (5, 22, 3, "csv-degrees"),
        (6, 19, 2, "csv-coordinates-alone"),
        (7, 15, 2, "csv-subdivision-alone"),
        (8, 17, 5, "csv-subdivision-elsewhere"),
        (9, 1, 17, "csv-nothing-said"),
        (10, 1, 15, "csv-field-count"),
        (11, 1, 20, "csv-quotes"),
        (12, 1, 14, "csv-carries-ipv4"),
        (13, 20, 7, "csv-subdivision-unknown"),
    ];
    assert_eq!(found(text), expected);
}

#[test]
fn ranges_that_are_none_and_overlaps_are_said() {
    let text = "start,end,country\n\
        192.0.2.9,192.0.2.1,DE\n\
        192.0.2.9,2001:db8::,DE\n\
        192.0.2,192.0.2.9,DE\n\
        10.0.0.0,10.0.0.9,DE\n\
        10.0.0.5,10.0.0.15,FR\n\
        10.9.0.0,10.9.0.1,FR\n\
        10.9.0.0,10.9.0.1,DE\n\
        10.10.0.0,10.10.0.9,DE\n\
        10.10.0.0,10.10.0.2,FR\n";
    let expected = [
        (2, 1, 9, "csv-range"),
        (3, 1, 9, "csv-range"),
        (4, 1, 7, "csv-address"),
        (6, 1, 21, "csv-overlap"),
        (8, 1, 20, "csv-network-twice"),
    ];
    assert_eq!(found(text), expected);
}

#[test]
fn a_subdivision_that_the_catalogue_does_not_know_is_kept_with_a_warning() {
    let imported = read("cidr,country,subdivision\n192.0.2.0/24,DE,Gau\n");
    assert!(imported.findings.iter().all(|finding| finding.problem.is_warning()));
    let database = Database::from_octets("test.mmdb", imported.octets.unwrap()).unwrap();
    assert_eq!(database.says("192.0.2.1".parse().unwrap()).subdivision.as_deref(), Some("Gau"));
}

#[test]
fn more_findings_than_are_listed_are_counted() {
    let text = format!("cidr,country\n{}", "x,DE\n".repeat(limits::DIAGNOSTICS_MAX + 5));
    let imported = read(&text);
    assert_eq!((imported.findings.len(), imported.unlisted), (limits::DIAGNOSTICS_MAX, 5));
    assert!(imported.octets.is_none());
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "(cidr|start|end|country|lat|lon|,|\n|\"|192\\.0\\.2\\.[0-9]{1,3}|/2[0-9]|::|CN|-|[0-9]|京){0,60}") {
        let imported = read(&text);
        let failed = imported.findings.iter().any(|finding| !finding.problem.is_warning());
        prop_assert_eq!(imported.octets.is_none(), failed);
    }
}
