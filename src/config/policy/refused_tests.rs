//! What is refused, where, and what people are told.

use super::testing::{REFERENCE, codes, load, rendered, service};
use crate::limits;

/// `REFERENCE` with one piece replaced.
fn reference(from: &str, to: &str) -> String {
    assert!(REFERENCE.contains(from), "{from}");
    REFERENCE.replacen(from, to, 1)
}

/// The one finding in a service with `fields` and `policies`: its code.
#[track_caller]
fn refuses(fields: &str, policies: &str, code: &str) {
    let text = service(fields, policies);
    let codes: Vec<String> = codes(&text).iter().map(|found| found.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(codes, [code], "{text}\n{}", rendered(&[("a.yaml", &text)]));
    assert!(load(&[("a.yaml", &text)]).0.services.is_empty());
}

const GEO: &str = "default: {type: geolocation, fallback: priority}\n";

#[track_caller]
fn refuses_region(region: &str, code: &str) {
    refuses("", &format!("{GEO}beijing: {region}"), code);
}

#[test]
fn a_misspelt_field_is_told_with_the_nearest() {
    assert_eq!(
        rendered(&[("zones/api.yaml", &reference("weight: 50", "wieght: 50"))]),
        "\
error[unknown-field]: an endpoint has no field `wieght`
  --> zones/api.yaml:38:7
   |
38 |       wieght: 50
   |       ^^^^^^ expected one of `ip`, `ipv4`, `ipv6`, `cname`, `datacenter`, `weight`, `priority`, `min_addresses`, `aliases`, `checks`, `follows`
   |
help: did you mean `weight`?

1 error
"
    );
}

#[test]
fn a_reference_to_nothing_is_told_with_the_nearest() {
    assert_eq!(
        rendered(&[("zones/api.yaml", &reference("secondary: dc2_beijing_standby", "secondary: dc2_bejing_standby"))]),
        "\
error[unknown-endpoint]: there is no endpoint `dc2_bejing_standby`
  --> zones/api.yaml:21:18
   |
21 |       secondary: dc2_bejing_standby
   |                  ^^^^^^^^^^^^^^^^^^ expected the id of an endpoint of this service
   |
help: did you mean `dc2_beijing_standby`?

1 error
"
    );
}

#[test]
fn an_unknown_region_is_told_with_the_nearest() {
    assert_eq!(
        rendered(&[("zones/api.yaml", &reference("    beijing:", "    bejing:"))]),
        "\
error[unknown-region]: there is no region `bejing`
  --> zones/api.yaml:19:5
   |
19 |     bejing:
   |     ^^^^^^ expected a name from `regions`, or of a place
   |
help: did you mean `beijing`?

1 error
"
    );
}

#[test]
fn an_endpoint_twice_in_a_region_is_told_with_both_places() {
    assert_eq!(
        rendered(&[("zones/api.yaml", &reference("tertiary: dc3_shanghai_dr", "tertiary: dc1_beijing_primary"))]),
        "\
error[duplicate-endpoint]: `dc1_beijing_primary` is in this region twice
  --> zones/api.yaml:22:17
   |
22 |       tertiary: dc1_beijing_primary
   |                 ^^^^^^^^^^^^^^^^^^^
   |
note: it is here already
  --> zones/api.yaml:20:16
   |
20 |       primary: dc1_beijing_primary
   |                ^^^^^^^^^^^^^^^^^^^
help: an endpoint has one place in a region

1 error
"
    );
}

#[test]
fn two_services_with_one_name_are_told_with_both_places() {
    let again = reference("api.meta-driven.example.com", "API.meta-driven.example.com.");
    assert_eq!(
        rendered(&[("zones/a.yaml", REFERENCE), ("zones/b.yaml", &again)]),
        "\
error[duplicate-service]: the service `api.meta-driven.example.com.` is defined twice
 --> zones/b.yaml:3:11
  |
3 |   domain: API.meta-driven.example.com.
  |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  |
note: first defined here
 --> zones/a.yaml:3:11
  |
3 |   domain: api.meta-driven.example.com
  |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^
help: keep one of the two

1 error
"
    );
}

#[test]
fn a_number_out_of_range_is_told_with_its_range() {
    assert_eq!(
        rendered(&[("zones/api.yaml", &reference("weight: 100", "weight: 1000001"))]),
        "\
error[out-of-range]: `weight` cannot be `1000001`
  --> zones/api.yaml:33:15
   |
33 |       weight: 1000001
   |               ^^^^^^^ expected a whole number from 0 to 1000000

1 error
"
    );
}

#[test]
fn a_network_with_host_bits_is_told_the_right_one() {
    assert_eq!(
        rendered(&[("r.yaml", "regions:\n  office: {cidr: 10.1.2.3/16}\n")]),
        "\
error[host-bits]: `cidr` cannot be `10.1.2.3/16`
 --> r.yaml:2:18
  |
2 |   office: {cidr: 10.1.2.3/16}
  |                  ^^^^^^^^^^^ expected a network such as 192.0.2.0/24 or 2001:db8::/32
  |
help: the network is `10.1.0.0/16`

1 error
"
    );
}

#[test]
fn all_errors_of_all_files_come_at_once() {
    let a = reference("interval: 5s", "interval: 5")
        .replace("primary: dc1", "primary: dcx")
        .replace("weight: 30", "weight: x");
    let found = load(&[("b.yaml", "regoins: {}\n"), ("a.yaml", &a), ("c.yaml", "a: [\n"), ("d.yaml", "\u{0}")]).2;
    let places: Vec<String> =
        found.iter().map(|found| format!("{} {}", found.code, found.at.as_ref().unwrap())).collect();
    assert_eq!(
        places,
        [
            "bad-duration a.yaml:8:15",
            "unknown-endpoint a.yaml:20:16",
            "wrong-type a.yaml:43:15",
            "unknown-field b.yaml:1:1",
            "yaml-syntax c.yaml:2:1",
            "yaml-syntax d.yaml:1:1",
        ]
    );
}

#[test]
fn wrong_types_are_refused() {
    refuses("ttl: [15]", "default: {type: priority}", "wrong-type");
    refuses("ttl:", "default: {type: priority}", "wrong-type");
    refuses("geofence: yes", "default: {type: priority}", "wrong-type");
    refuses("max_answers: '2'", "default: {type: priority}", "wrong-type");
    refuses("health_check: https", "default: {type: priority}", "wrong-type");
    refuses("", "default: geolocation", "wrong-type");
    refuses_region("a", "wrong-type");
    assert_eq!(codes("gslb: []\n"), ["wrong-type 1:1"]);
    assert_eq!(codes("- gslb\n"), ["wrong-type 1:1"]);
    assert_eq!(codes("just text\n"), ["wrong-type 1:1"]);
}

#[test]
fn numbers_out_of_range_are_refused() {
    refuses("ttl: 604801", "default: {type: priority}", "out-of-range");
    refuses("ttl: -1", "default: {type: priority}", "out-of-range");
    refuses("max_answers: 9", "default: {type: priority}", "out-of-range");
    refuses("max_answers: 0", "default: {type: priority}", "out-of-range");
    refuses("health_check: {protocol: tcp, port: 65536}", "default: {type: priority}", "out-of-range");
    refuses("health_check: {protocol: http, interval: 1ms, timeout: 1ms}", "default: {type: priority}", "out-of-range");
    assert_eq!(codes("version: 2\n"), ["out-of-range 1:10"]);
}

#[test]
fn what_is_needed_is_asked_for() {
    let found = codes("gslb:\n  ttl: 5\n");
    assert_eq!(found, ["missing-field 1:1", "missing-field 1:1", "missing-field 1:1"]);
    refuses("", "default: {fallback: none}", "missing-field");
    refuses("", "beijing: {primary: a}", "missing-field");
    refuses_region("{}", "missing-field");
    refuses_region("{secondary: a}", "missing-field");
    refuses("health_check: {protocol: tcp}", "default: {type: priority}", "missing-field");
    refuses("health_check: {port: 80}", "default: {type: priority}", "missing-field");
    assert_eq!(codes("datacenters: {a: {latitude: 1.5}}\n"), ["missing-field 1:29"]);
}

#[test]
fn what_excludes_each_other_is_refused() {
    refuses_region("{primary: a, tiers: [b]}", "exclusive-fields");
    refuses_region("{primary: {endpoint: a, members: [b]}}", "exclusive-fields");
    refuses_region("{primary: {}}", "exclusive-fields");
    refuses_region("{primary: {endpoint: a, method: sticky}}", "exclusive-fields");
    refuses_region("{primary: a, geofence: true, fallback: weighted}", "exclusive-fields");
    let own = "health_check: {protocol: tcp, port: 1}\n";
    refuses(&format!("{own}checks: a.example"), "default: {type: priority}", "exclusive-fields");
    refuses(
        "health_check: {protocol: http, threshold: 2, fall: 1, rise: 1}",
        "default: {type: priority}",
        "exclusive-fields",
    );
}

#[test]
fn endpoints_answer_with_addresses_or_a_name() {
    let endpoint = |fields: &str| {
        let text = format!(
            "gslb:\n  domain: a.example\n  policies: {{default: {{type: weighted}}}}\n  endpoints:\n    a: {fields}\n"
        );
        assert!(load(&[("a.yaml", &text)]).0.services.is_empty());
        codes(&text).iter().map(|found| found.split(' ').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(endpoint("{ip: 192.0.2.1, cname: b.example}"), ["exclusive-fields"]);
    assert_eq!(endpoint("{ip: 192.0.2.1, ipv4: 192.0.2.2}"), ["exclusive-fields"]);
    assert_eq!(endpoint("{weight: 1}"), ["missing-field"]);
    assert_eq!(endpoint("{ip: []}"), ["empty-list"]);
    assert_eq!(endpoint("{ip: [192.0.2.1, 192.0.2.1]}"), ["duplicate-address"]);
    assert_eq!(endpoint("{ip: 192.0.2.1, min_addresses: 2}"), ["out-of-range"]);
    assert_eq!(endpoint("{cname: b.example, min_addresses: 1}"), ["exclusive-fields"]);
    assert_eq!(endpoint("{cname: a.example}"), ["cname-loop"]);
    assert_eq!(endpoint("{ip: 192.0.2.256}"), ["bad-address"]);
    assert_eq!(endpoint("{ip: 0.0.0.0}"), ["bad-address"]);
    assert_eq!(endpoint("{ipv4: '2001:db8::1'}"), ["bad-address"]);
    assert_eq!(endpoint("{ip: 192.0.2.1, datacenter: nowhere}"), ["unknown-datacenter"]);
    assert_eq!(endpoint("{ip: 192.0.2.1, checks: nothing}"), ["unknown-check"]);
    let many = (0..=limits::ENDPOINT_ADDRESSES_MAX).map(|n| format!("192.0.2.{n}")).collect::<Vec<_>>().join(", ");
    assert_eq!(endpoint(&format!("{{ip: [{many}]}}")), ["too-many"]);
}

#[test]
fn chance_decides_between_alike_data_only() {
    refuses("", "default: {type: weighted}", "mixed-data");
    refuses("", "default: {type: geolocation}", "mixed-data");
    refuses_region("{primary: [a, x]}", "mixed-data");
    // The lowest priority number decides first, and `b` shares its own with `c` alone.
    let text = service("", "default: {type: priority}");
    assert_eq!(codes(&text), Vec::<String>::new());
    assert_eq!(codes(&text.replace("priority: 9", "priority: 1")), ["mixed-data 4:21"]);
}

#[test]
fn one_tier_has_one_mode() {
    refuses_region("{primary: {method: weighted, members: [{method: sticky, members: [a, b]}, c]}}", "mixed-methods");
    // Different tiers may differ.
    assert_eq!(
        codes(&service(
            "",
            &format!(
                "{GEO_ONLY}beijing: {{primary: {{method: sticky, members: [a, b]}}, secondary: {{method: weighted, members: [c]}}, tertiary: x}}"
            )
        )),
        Vec::<String>::new()
    );
}

const GEO_ONLY: &str = "default: {type: geolocation, fallback: none}\n";

#[test]
fn entry_conditions_belong_to_tiers() {
    refuses_region("{primary: {members: [{endpoint: a, after: 5s}, b]}}", "entry-outside-tiers");
    refuses_region("{primary: {tiers: [a, {endpoint: b, after: 5s}]}}", "entry-outside-tiers");
    refuses_region("{primary: {tiers: [{endpoint: a, after: 5s}, b]}}", "entry-outside-tiers");
    refuses_region("{tiers: [a, {members: [{tiers: [b, {endpoint: c, enter: manual}]}]}]}", "entry-outside-tiers");
    refuses_region("{primary: {endpoint: a, after: 5s}}", "after-on-first-tier");
    refuses_region("{primary: a, secondary: {endpoint: b, when: nothing}}", "unknown-check");
    refuses_region("{primary: a, secondary: {endpoint: b, enter: perhaps}}", "unknown-word");
}

#[test]
fn pools_are_bounded_and_never_empty() {
    refuses_region("{tiers: []}", "empty-list");
    refuses_region("{primary: []}", "empty-list");
    refuses_region("{primary: {method: priority, members: [{members: [a, b]}, c]}}", "pool-in-pool");
    let deep = format!(
        "{{primary: {}a{}}}",
        "{members: [".repeat(limits::NESTING_MAX + 1),
        "]}".repeat(limits::NESTING_MAX + 1)
    );
    refuses_region(&deep, "too-deep");
}

#[test]
fn a_sticky_pool_holds_endpoints_alone() {
    refuses_region("{primary: {method: sticky, members: [{method: sticky, members: [a, b]}, c]}}", "nested-sticky");
    refuses_region("{primary: {method: sticky, members: [{tiers: [a, b]}, c]}}", "nested-sticky");
    refuses_region("{primary: {method: sticky, members: [{method: weighted, members: [a, b]}, c]}}", "nested-sticky");
}

#[test]
fn where_the_place_is_unknown_nearest_must_not_draw_between_a_name_and_an_address() {
    let text = |priority: u32| {
        format!(
            "datacenters: {{a: {{latitude: 1, longitude: 1}}, b: {{latitude: 9, longitude: 9}}}}\n\
             gslb:\n  domain: a.example\n  policies: {{default: {{type: nearest}}}}\n  endpoints: \
             {{a: {{ip: 192.0.2.1, priority: 1}}, b: {{cname: b.example, priority: {priority}}}}}\n"
        )
    };
    assert_eq!(codes(&text(1)), ["mixed-data 4:30"]);
    assert_eq!(codes(&text(2)), Vec::<String>::new());
}

#[test]
fn nearest_chooses_among_so_many_sites_that_a_position_fits_an_octet() {
    let text = |count: usize| {
        let datacenters: String = (0..count).map(|n| format!("  d{n}: {{latitude: 1, longitude: 1}}\n")).collect();
        let endpoints: String =
            (0..count).map(|n| format!("    d{n}: {{ip: 10.0.{}.{}}}\n", n / 256, n % 256)).collect();
        format!(
            "gslb:\n  domain: a.example\n  policies: {{default: {{type: nearest}}}}\n  endpoints:\n{endpoints}\
             datacenters:\n{datacenters}"
        )
    };
    assert_eq!(codes(&text(limits::NEAREST_SITES_MAX)), Vec::<String>::new());
    assert_eq!(codes(&text(limits::NEAREST_SITES_MAX + 1)), ["too-many-sites 3:30"]);
}

#[test]
fn regions_go_with_geolocation() {
    for kind in ["priority", "sticky", "nearest"] {
        let found = codes(&service("", &format!("default: {{type: {kind}}}\nbeijing: {{primary: a}}")));
        assert!(found.iter().any(|found| found.starts_with("region-without-geolocation 5:5")), "{found:?}");
    }
    let text = service("", "default: {type: priority, fallback: weighted}");
    assert_eq!(codes(&text), ["fallback-without-regions 4:41"]);
    let text = service("geofence: true", "default: {type: priority}");
    assert_eq!(codes(&text), ["geofence-without-regions 3:13"]);
}

#[test]
fn a_region_has_one_policy() {
    let text =
        service("", &format!("{GEO_ONLY}beijing: {{tiers: [a, c, x]}}\nBeijing: {{primary: b}}\n北京: {{primary: b}}"));
    // 北京 is a region of its own that means the same place; its name tells it apart.
    assert_eq!(codes(&text), ["duplicate-region 6:5"]);
    assert_eq!(codes("regions: {default: beijing}\n"), ["reserved-name 1:11"]);
}

#[test]
fn sorry_sites_exist_and_are_not_alone() {
    refuses(
        "all_down: nobody",
        "default: {type: priority}".replace("priority", "geolocation, fallback: none").as_str(),
        "unknown-endpoint",
    );
    let text = "gslb:\n  domain: a.example\n  all_down: a\n  policies: {default: {type: weighted}}\n  endpoints: {a: {ip: 192.0.2.1}}\n";
    assert_eq!(codes(text), ["only-sorry 3:13"]);
}

#[test]
fn nearest_needs_positions() {
    let text = |shared: &str| {
        format!(
            "{shared}gslb:\n  domain: a.example\n  policies: {{default: {{type: nearest}}}}\n  endpoints: {{a: {{ip: 192.0.2.1}}, b: {{ip: 192.0.2.2}}}}\n"
        )
    };
    assert_eq!(codes(&text("")), ["no-position 3:30"]);
    let one = "datacenters: {a: {latitude: 1, longitude: 1}}\n";
    assert!(load(&[("a.yaml", &text(one))]).2.iter().all(|found| !found.is_error()));
    assert_eq!(codes(&text(one)), ["no-position 4:30"]);
}

#[test]
fn a_name_leads_to_one_data_centre_or_group() {
    assert_eq!(
        codes("datacenters:\n  a: {aliases: [x]}\n  b: {aliases: [X]}\n"),
        ["ambiguous-short-name 3:3", "name-clash 3:17"]
    );
    assert_eq!(codes("datacenters:\n  a:\n  A:\n"), ["name-clash 2:3", "ambiguous-short-name 2:3"]);
    assert_eq!(codes("datacenters:\n  a:\n  b: {aliases: [a]}\n"), ["ambiguous-short-name 3:3", "name-clash 3:17"]);
    assert_eq!(
        codes("datacenters:\n  dc1_x:\n  b: {aliases: [dc1]}\n"),
        ["ambiguous-short-name 2:3", "name-clash 3:17"]
    );
    assert_eq!(codes("datacenters:\n  a:\n  b:\ngroups:\n  a: [b]\n"), ["name-clash 5:3"]);
    assert_eq!(
        codes("datacenters:\n  x_1: {aliases: [one]}\n  x_2: {aliases: [two]}\ngroups:\n  x: [one]\n"),
        ["name-clash 5:3"]
    );
    assert_eq!(
        codes("datacenters:\n  x_1: {aliases: [one]}\n  x_2: {aliases: [two]}\ngroups:\n  x: [one, two]\n"),
        Vec::<String>::new()
    );
    assert_eq!(
        codes("datacenters:\n  x_1:\n  x_2:\ngroups:\n  g: [x]\n"),
        ["ambiguous-short-name 3:3", "ambiguous-datacenter 5:7"]
    );
    assert_eq!(
        codes("datacenters:\n  a:\ngroups:\n  g: [a, a]\n  h: []\n  i: nobody\n"),
        ["duplicate-member 4:10", "empty-list 5:3", "unknown-datacenter 6:6"]
    );
}

#[test]
fn shared_things_are_defined_once() {
    let twice = |text: &str| {
        load(&[("a.yaml", text), ("b.yaml", text)])
            .2
            .iter()
            .map(|found| format!("{} {}", found.code, found.at.as_ref().unwrap()))
            .collect::<Vec<_>>()
    };
    assert_eq!(twice("datacenters:\n  a:\n"), ["duplicate-datacenter b.yaml:2:3"]);
    assert_eq!(
        twice("datacenters:\n  a:\ngroups:\n  g: a\n"),
        ["duplicate-datacenter b.yaml:2:3", "duplicate-group b.yaml:4:3"]
    );
    assert_eq!(twice("regions:\n  r: beijing\n"), ["duplicate-region b.yaml:2:3"]);
    assert_eq!(twice("health_checks:\n  c: {protocol: http}\n"), ["duplicate-check b.yaml:2:3"]);
    assert_eq!(twice("networks:\n  10.0.0.0/8: {asn: 1}\n"), ["duplicate-network b.yaml:2:3"]);
}

#[test]
fn match_rules_say_something_that_exists() {
    assert_eq!(codes("regions:\n  r: {}\n"), ["empty-rule 2:3"]);
    assert_eq!(codes("regions:\n  r: {country: XX}\n"), ["unknown-place 2:16"]);
    assert_eq!(codes("regions:\n  r: atlantis\n"), ["unknown-place 2:6"]);
    assert_eq!(codes("regions:\n  r: {continent: EUR}\n"), ["unknown-word 2:18"]);
    assert_eq!(codes("regions:\n  r: {any: []}\n"), ["empty-list 2:7"]);
    assert_eq!(codes("regions:\n  r: {asn: 4294967296}\n"), ["out-of-range 2:12"]);
    assert_eq!(codes("regions:\n  r: {cidr: 10.0.0.0/33}\n"), ["bad-network 2:13"]);
    assert_eq!(codes("networks:\n  10.0.0.0/8: {}\n"), ["empty-rule 2:3"]);
    let deep = format!(
        "regions:\n  r: {}beijing{}\n",
        "{not: ".repeat(limits::NESTING_MAX + 1),
        "}".repeat(limits::NESTING_MAX + 1)
    );
    assert!(codes(&deep)[0].starts_with("too-deep"));
    let nets = (0..=limits::REGION_TERMS_MAX).map(|n| format!("10.{}.{}.0/24", n / 256, n % 256)).collect::<Vec<_>>();
    assert_eq!(codes(&format!("regions:\n  r: {{cidr: [{}]}}\n", nets.join(", "))), ["too-many 2:3"]);
}

#[test]
fn combinations_of_checks_can_be_met() {
    let checks = |text: &str| {
        codes(&format!("health_checks: {{w: {{protocol: http}}}}\n{}", service(&format!("checks: {text}"), GEO_ONLY)))
            .into_iter()
            .map(|found| found.split(' ').next().unwrap().to_owned())
            .filter(|code| code != "unused-endpoint")
            .collect::<Vec<_>>()
    };
    assert_eq!(checks("{all: [w], any: [w]}"), ["exclusive-fields"]);
    assert_eq!(checks("{at_least: 2, of: [w]}"), ["out-of-range"]);
    assert_eq!(checks("{at_least: 1}"), ["exclusive-fields"]);
    assert_eq!(checks("{any: []}"), ["empty-list"]);
    assert_eq!(checks("[w, v]"), ["unknown-check"]);
    assert_eq!(checks("{all: [w]}"), Vec::<String>::new());
    assert_eq!(codes("health_checks: {w: {protocol: http, interval: 1s}}\n"), ["timeout-over-interval 1:47"]);
    assert_eq!(codes("health_checks: {w: {protocol: http, timeout: 6s}}\n"), ["timeout-over-interval 1:46"]);
}

#[test]
fn a_refused_check_is_one_mistake() {
    let text = format!(
        "health_checks: {{w: {{protocol: ping}}}}\n{}",
        service("checks: w", "default: {type: geolocation, fallback: priority}")
    );
    let codes = codes(&text);
    assert_eq!(codes, ["unknown-word 1:31"]);
}

#[test]
fn the_zone_that_a_service_names_is_above_it() {
    let text = service("zone: example.org", &format!("{GEO_ONLY}beijing: {{tiers: [a, b, c, x]}}"));
    assert_eq!(codes(&text), ["outside-zone 3:9"]);
}

#[test]
fn policy_tests_are_checked() {
    let test = |fields: &str| {
        codes(&format!("datacenters: {{a: }}\ntests:\n  - {{client: 192.0.2.1, service: a.example, {fields}}}\n"))
    };
    assert_eq!(test("expect: nowhere"), ["unknown-datacenter 3:53"]);
    assert_eq!(test("expect: {dc: a, nodata: true}")[0].split(' ').next(), Some("exclusive-fields"));
    assert_eq!(test("expect: {rcode: NXDOMIAN}")[0].split(' ').next(), Some("unknown-word"));
    assert_eq!(test("expect: a, down: b")[0].split(' ').next(), Some("unknown-datacenter"));
    assert_eq!(test("expect: a, type: AAAAA")[0].split(' ').next(), Some("unknown-word"));
    assert_eq!(test("expect: a"), Vec::<String>::new());
}

#[test]
fn what_leads_nowhere_is_a_warning() {
    let text = service("", &format!("{GEO_ONLY}beijing: {{primary: a, secondary: b, tertiary: c}}"));
    assert_eq!(codes(&text), ["unused-endpoint 10:5"]);
    let text = service(
        "",
        "default: {type: geolocation, fallback: none}\ntianjin: {tiers: [a, {endpoint: b, weight: 3}, c, x]}",
    );
    assert_eq!(codes(&text), ["region-without-data 5:5", "weight-ignored 5:48"]);
    let text = "gslb:\n  domain: a.example\n  policies: {default: {type: weighted}}\n  endpoints: {a: {ip: 192.0.2.1}, b: {ip: 192.0.2.1}}\n";
    assert_eq!(codes(text), ["shared-address 4:35"]);
}

#[test]
fn bounds_on_everything_are_refusals() {
    let endpoints =
        |n: usize| (0..n).map(|n| format!("    e{n}: {{ip: 10.0.{}.{}}}\n", n / 256, n % 256)).collect::<String>();
    let text = |n| {
        format!(
            "gslb:\n  domain: a.example\n  policies: {{default: {{type: weighted}}}}\n  endpoints:\n{}",
            endpoints(n)
        )
    };
    assert_eq!(codes(&text(limits::ENDPOINTS_MAX)), Vec::<String>::new());
    assert_eq!(codes(&text(limits::ENDPOINTS_MAX + 1)), ["too-many 2:11"]);

    let datacenters = (0..=limits::DATACENTERS_MAX).map(|n| format!("  d{n}:\n")).collect::<String>();
    assert_eq!(codes(&format!("datacenters:\n{datacenters}")), ["too-many"]);

    let regions = (0..=limits::SERVICE_REGIONS_MAX).map(|n| format!("  r{n}: {{asn: {n}}}\n")).collect::<String>();
    let keys = (0..=limits::SERVICE_REGIONS_MAX).map(|n| format!("    r{n}: {{primary: a}}\n")).collect::<String>();
    let text = format!(
        "regions:\n{regions}gslb:\n  domain: a.example\n  endpoints: {{a: {{ip: 192.0.2.1}}}}\n  policies:\n    default: {{type: geolocation}}\n{keys}"
    );
    assert_eq!(codes(&text).len(), 1);
    assert!(codes(&text)[0].starts_with("too-many "), "{:?}", codes(&text));

    let regions = (0..=limits::REGIONS_MAX).map(|n| format!("  r{n}: {{asn: {n}}}\n")).collect::<String>();
    assert_eq!(codes(&format!("regions:\n{regions}")), ["too-many"]);
}

#[test]
fn a_refused_endpoint_hides_no_mistake_elsewhere_and_makes_none() {
    let text = "gslb:\n  domain: a.example\n  policies:\n    default: {type: geolocation}\n    beijing: {primary: a, secondary: z}\n  \
                endpoints:\n    a: {ip: 192.0.2.400}\n    b: {ip: 192.0.2.2}\n";
    assert_eq!(codes(text), ["unknown-endpoint 5:38", "bad-address 7:13"]);
}
