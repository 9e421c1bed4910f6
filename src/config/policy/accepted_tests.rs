//! What policy files mean, when all is well.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::testing::{REFERENCE, assert_whole, clean, load, service};
use crate::config::Expect;
use crate::model::{
    AllDown, CheckExpr, CheckIx, Data, DatacenterIx, EndpointIx, Entry, Expr, Failback, Method, Name, Node, Pool,
    Probe, Protocol, ServiceIx, Settings, Term, TierWord, Ttl,
};

/// A service with a check and two endpoints.
fn numbered(number: usize, path: &str) -> String {
    format!(
        "gslb:\n  domain: s{number}.example\n  health_check: {{protocol: http, path: {path}}}\n  policies: {{default: \
         {{type: weighted}}}}\n  endpoints:\n    a: {{ip: 192.0.2.1}}\n    b: {{ip: 192.0.2.2}}\n"
    )
}

#[test]
fn what_is_written_alike_is_kept_once() {
    let texts = [numbered(0, "/"), numbered(1, "/"), numbered(2, "/other")];
    let (policies, _, found) = load(&[("0.yaml", &texts[0]), ("1.yaml", &texts[1]), ("2.yaml", &texts[2])]);
    assert_eq!(found, []);
    let services = &policies.services;
    for other in &services[1..] {
        assert!(Arc::ptr_eq(&services[0].policy.elsewhere.choices, &other.policy.elsewhere.choices));
        assert!(std::ptr::eq(services[0].endpoints[1].id.as_str(), other.endpoints[1].id.as_str()));
    }
    let specs: Vec<_> = policies.checks.iter().map(|check| &check.spec).collect();
    assert_eq!([Arc::ptr_eq(specs[0], specs[1]), Arc::ptr_eq(specs[0], specs[2])], [true, false]);
    assert_ne!(policies.checks[0].id, policies.checks[1].id);
    let origins: Vec<String> = services.iter().map(|service| service.endpoints[1].origin.to_string()).collect();
    assert_eq!(origins, ["0.yaml:7:5", "1.yaml:7:5", "2.yaml:7:5"]);
}

#[test]
fn many_services_are_all_there_in_order_and_each_finding_has_its_place() {
    let count = 3 * super::SERVICES_LET_GO + 1;
    let mut files: Vec<(String, String)> =
        (0..count).map(|number| (format!("{number}.yaml"), numbered(number, "/"))).collect();
    let read = |files: &[(String, String)]| {
        let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (&**name, &**text)).collect();
        load(&files)
    };
    let (policies, _, found) = read(&files);
    assert_eq!(found, []);
    assert_whole(&policies);
    assert_eq!(policies.services.len(), count);
    assert!(policies.services.is_sorted_by(|a, b| a.name < b.name));
    // One that is the same as another, and two that follow: somebody, and nobody.
    let (last, middle) = (count - 1, count / 2);
    files[last].1 = files[0].1.clone();
    files[middle].1.push_str("    c: {ip: 192.0.2.3, follows: s1.example/a}\n");
    files[middle + 1].1.push_str("    c: {ip: 192.0.2.3, follows: s1.example/z}\n");
    let (policies, _, found) = read(&files);
    let found: Vec<String> =
        found.iter().map(|found| format!("{} {}", found.code, found.at.as_ref().unwrap())).collect();
    let second = format!("duplicate-service {last}.yaml:2:11");
    assert_eq!(found, [second, format!("unknown-endpoint {}.yaml:8:33", middle + 1)]);
    let at = |number: usize| {
        let name = Name::parse(&format!("s{number}.example")).unwrap();
        policies.services.iter().position(|service| service.name == name)
    };
    assert_eq!(at(middle + 1), None, "what follows nobody is left out");
    let follows = policies.services[at(middle).unwrap()].endpoints[2].follows;
    assert_eq!(follows, Some((ServiceIx::from_at(at(1).unwrap()), EndpointIx(0))));
}

/// A pool in one line: `tiers(a weighted(b*3 c))`.
fn sketch(pool: &Pool, names: &[&str]) -> String {
    let member = |node: &Node| match node {
        Node::Endpoint(ix) => names[ix.at()].to_owned(),
        Node::Pool(pool) => sketch(pool, names),
    };
    let members: Vec<String> =
        pool.members.iter().map(|m| format!("{}*{}", member(&m.node), m.weight.value())).collect();
    format!("{}({})", pool.method.as_str(), members.join(" "))
}

#[test]
fn the_reference_policy_means_what_its_authors_expect() {
    let policies = clean(REFERENCE);
    assert_whole(&policies);
    let [service] = policies.services.as_slice() else { panic!() };
    assert_eq!(service.name.to_string(), "api.meta-driven.example.com.");
    assert_eq!((service.ttl, service.max_answers, service.home), (Ttl::DEFAULT, 1, None));
    let ids: Vec<&str> = policies.datacenters.iter().map(|dc| dc.id.as_str()).collect();
    assert_eq!(ids, ["dc1_beijing_primary", "dc2_beijing_standby", "dc3_shanghai_dr"]);
    let check = &policies.checks[0];
    let spec = &check.spec;
    assert_eq!((check.id.as_str(), spec.port), ("api.meta-driven.example.com", Some(443)));
    assert_eq!((spec.interval, spec.timeout), (Duration::from_secs(5), Duration::from_secs(3)));
    let Probe::Http(http) = &spec.probe else { panic!("{spec:?}") };
    assert_eq!((spec.fall, spec.rise, http.path.as_str()), (3, 3, "/actuator/health"));
    assert_eq!(spec.probe.protocol(), Protocol::Https);
    assert_eq!(service.endpoints[2].health, CheckExpr::Check(CheckIx(0)));
    assert_eq!(service.endpoints[1].priority, 2);

    let names = ["dc1", "dc2", "dc3"];
    let [beijing, shanghai] = service.policy.routes.as_slice() else { panic!() };
    assert_eq!(sketch(beijing.tiers.as_ref().unwrap(), &names), "tiers(dc1*100 dc2*50 dc3*30)");
    assert_eq!(sketch(shanghai.tiers.as_ref().unwrap(), &names), "tiers(dc3*30 dc1*100 dc2*50)");
    assert_eq!(beijing.tiers.as_ref().unwrap().members[2].word, Some(TierWord::Tertiary));
    assert_eq!((beijing.failback, beijing.all_down, beijing.geofence), (Failback::Manual, AllDown::Open, false));
    let region = &policies.regions[beijing.region.unwrap().at()];
    assert_eq!((region.id.as_str(), &region.rule), ("beijing", &Expr::Term(Term::Subdivision("cn-bj".into()))));
    let elsewhere = &service.policy.elsewhere;
    assert_eq!(elsewhere.tiers, None);
    assert_eq!(sketch(elsewhere.fallback.as_ref().unwrap(), &names), "weighted(dc1*100 dc2*50 dc3*30)");
    assert_eq!(elsewhere.failback, Failback::Auto);
    assert_eq!(beijing.fallback, elsewhere.fallback);
}

#[test]
fn tiers_nest_to_pools_with_entry_conditions() {
    let text = service(
        "health_check: {protocol: tcp, port: 443}",
        "default: {type: geolocation, fallback: none}\nbeijing:\n  method: sticky\n  tiers:\n    - a\n    \
         - {members: [{endpoint: b, weight: 7}, c], after: 20s, when: a.example, confirm: 2}\n    - {endpoint: x, enter: manual}",
    );
    let policies = clean(&text);
    let route = &policies.services[0].policy.routes[0];
    let tiers = route.tiers.as_ref().unwrap();
    assert_eq!(sketch(tiers, &["a", "b", "c", "x"]), "tiers(a*3 sticky(b*7 c*0)*1 x*1)");
    let second = &tiers.members[1].entry;
    assert_eq!(second, &Entry { manual: false, after: Duration::from_secs(20), when: vec![CheckIx(0)], confirm: 2 });
    assert!(tiers.members[2].entry.manual);
    assert_eq!(route.failback, Failback::Auto);
    assert_eq!((route.fallback.as_ref(), policies.services[0].policy.elsewhere.fallback.as_ref()), (None, None));
}

#[test]
fn pools_nest_geography_failover_weights() {
    let text = "gslb:\n  domain: a.example\n  policies:\n    default: {type: geolocation}\n    beijing:\n      primary:\n        \
                members:\n          - {tiers: [a, b], weight: 70}\n          - {endpoint: c, weight: 30}\n      secondary: d\n  \
                endpoints: {a: {ip: 192.0.2.1}, b: {ip: 192.0.2.2}, c: {ip: 192.0.2.3}, d: {ip: 192.0.2.4}}\n";
    let policies = clean(text);
    let tiers = policies.services[0].policy.routes[0].tiers.as_ref().unwrap();
    assert_eq!(sketch(tiers, &["a", "b", "c", "d"]), "tiers(weighted(tiers(a*1 b*1)*70 c*30)*1 d*1)");
}

#[test]
fn other_types_choose_among_all_endpoints() {
    for (word, method) in [
        ("weighted", Method::Weighted),
        ("round_robin", Method::Weighted),
        ("sticky", Method::Sticky),
        ("priority", Method::Priority),
    ] {
        let text = format!(
            "gslb:\n  domain: a.example\n  policies: {{default: {{type: {word}}}}}\n  endpoints: {{a: {{ip: 192.0.2.1}}, \
             b: {{ip: 192.0.2.2}}}}\n"
        );
        let elsewhere = &clean(&text).services[0].policy.elsewhere;
        assert_eq!(elsewhere.tiers.as_ref().unwrap().method, method);
        assert_eq!(elsewhere.tiers.as_ref().unwrap().members.len(), 2);
        assert_eq!((elsewhere.fallback.as_ref(), elsewhere.failback), (None, Failback::Auto));
    }
}

#[test]
fn the_narrower_word_about_failback_wins() {
    let policy = |service_word: &str, region_word: &str, settings| {
        let text = service(
            service_word,
            &format!(
                "default: {{type: geolocation, fallback: none}}\nbeijing: {{primary: a, {region_word}}}\nshanghai: {{tiers: [b, c, x]}}"
            ),
        );
        let files = [crate::config::SourceFile::new("a.yaml", text)];
        let settings = Settings { failback: settings, ..Settings::default() };
        let (policies, ..) = super::load_policies(&files, &super::testing::FewPlaces, &settings);
        let routes = &policies.services[0].policy.routes;
        (routes[0].failback, routes[1].failback)
    };
    let after = Failback::After(Duration::from_secs(600));
    assert_eq!(policy("", "", None), (Failback::Manual, Failback::Auto));
    assert_eq!(policy("", "", Some(after)), (after, after));
    assert_eq!(policy("failback: auto", "", Some(after)), (Failback::Auto, Failback::Auto));
    assert_eq!(policy("failback: auto", "failback: 10m", None), (after, Failback::Auto));
}

#[test]
fn a_geofence_has_no_fallback_and_a_sorry_site_is_in_no_pool() {
    let text = service(
        "geofence: true\nall_down: x",
        "default: {type: geolocation}\nbeijing: {primary: a}\nshanghai: {primary: b, geofence: false, all_down: closed}",
    );
    let policies = clean(&text);
    let policy = &policies.services[0].policy;
    assert_eq!((policy.routes[0].geofence, policy.routes[0].fallback.as_ref()), (true, None));
    assert_eq!(policy.routes[0].all_down, AllDown::Sorry(EndpointIx(3)));
    assert_eq!(policy.routes[1].all_down, AllDown::Closed);
    assert_eq!(policy.routes[1].fallback.as_ref().unwrap().endpoints(), [EndpointIx(0), EndpointIx(1), EndpointIx(2)]);
}

#[test]
fn endpoints_have_addresses_of_both_families_or_a_name() {
    let text = "gslb:\n  domain: a.example\n  policies: {default: {type: priority}}\n  endpoints:\n    \
                a: {ip: [192.0.2.1, '2001:db8::1'], min_addresses: 2}\n    b: {ipv4: 192.0.2.2, ipv6: ['2001:db8::2', '2001:db8::3'], priority: 5}\n    \
                c: {cname: C.Example.NET, priority: 9, checks: []}\n";
    let endpoints = &clean(text).services[0].endpoints;
    let Data::Addresses { v4, v6, min } = &endpoints[0].data else { panic!() };
    assert_eq!((v4.len(), v6.len(), *min), (1, 1, 2));
    assert_eq!(endpoints[1].data.address_count(), 3);
    assert_eq!(endpoints[2].data, Data::Cname("c.example.net".parse_name()));
    assert_eq!(endpoints.iter().map(|endpoint| endpoint.priority).collect::<Vec<_>>(), [65535, 5, 9]);
}

trait ParseName {
    fn parse_name(&self) -> crate::model::Name;
}

impl ParseName for str {
    fn parse_name(&self) -> crate::model::Name {
        crate::model::Name::parse(self).unwrap()
    }
}

#[test]
fn equal_ids_in_two_files_are_one_data_centre() {
    let one = |name: &str, fields: &str| {
        format!(
            "gslb:\n  domain: {name}\n  policies: {{default: {{type: weighted}}}}\n  endpoints:\n    dc1_beijing: {{ip: 192.0.2.1}}\n    {fields}\n"
        )
    };
    let shared = "datacenters:\n  dc1_beijing: {aliases: [bj1], latitude: 39.9, longitude: 116.4, bias: -50, capacity: 1000}\n  dc2_shanghai:\ngroups:\n  beijing: dc1\n";
    let files = [
        ("b.yaml", one("b.example", "web: {ip: 192.0.2.9, datacenter: dc2, aliases: [sh]}")),
        ("a.yaml", one("a.example", "other: {ip: 192.0.2.9}")),
    ];
    let listed: Vec<(&str, &str)> =
        files.iter().map(|(name, text)| (*name, text.as_str())).chain([("dc.yaml", shared)]).collect();
    let (policies, _, found) = load(&listed);
    assert_eq!(found, []);
    let ids: Vec<&str> = policies.datacenters.iter().map(|dc| dc.id.as_str()).collect();
    assert_eq!(ids, ["dc1_beijing", "dc2_shanghai", "other"]);
    assert_eq!(policies.services[0].name.to_string(), "a.example.");
    assert_eq!(policies.services[0].endpoints[0].datacenter, policies.services[1].endpoints[0].datacenter);
    let dc = &policies.datacenters[0];
    assert_eq!((dc.short_name(), dc.bias_km, dc.capacity), ("bj1", -50, Some(1000)));
    assert_eq!(dc.at.unwrap().latitude_centideg, 3990);
    assert_eq!(policies.datacenters[1].short_name(), "sh");
    assert_eq!(policies.groups[0].members, [DatacenterIx(0)]);

    // The order and the names of files do not matter.
    let renamed: Vec<(String, &str)> =
        listed.iter().rev().enumerate().map(|(at, (_, text))| (format!("{at}.yaml"), *text)).collect();
    let renamed: Vec<(&str, &str)> = renamed.iter().map(|(name, text)| (name.as_str(), *text)).collect();
    let again = load(&renamed).0;
    let shape = |set: &crate::model::PolicySet| {
        (
            set.services.iter().map(|s| format!("{}{:?}", s.name, s.policy)).collect::<Vec<_>>(),
            set.datacenters.iter().map(|dc| dc.id.clone()).collect::<Vec<_>>(),
        )
    };
    assert_eq!(shape(&policies), shape(&again));
}

#[test]
fn regions_combine_terms() {
    let text = "regions:\n  north: [beijing, tianjin]\n  office: {cidr: [10.0.0.0/8, '::ffff:192.0.2.0/120', '2002:c000:0200::/40']}\n  \
                telecom: {country: NO, isp: [电信, Other_Net]}\n  both:\n    any:\n      - {continent: NA}\n      - all: [{asn: [4134, AS4812]}, shanghai]\n    \
                not: {city: New York}\n";
    let (policies, _, found) = load(&[("r.yaml", text)]);
    assert_eq!(found.iter().map(|found| found.code).collect::<Vec<_>>(), ["region-without-data"]);
    let rule =
        |id: &str| format!("{:?}", policies.regions.iter().find(|region| region.id.as_str() == id).unwrap().rule);
    assert_eq!(rule("north"), r#"Any([Term(Subdivision("cn-bj")), Term(Subdivision("cn-tj"))])"#);
    assert_eq!(rule("office"), "Any([Term(Cidr(10.0.0.0/8)), Term(Cidr(192.0.2.0/24)), Term(Cidr(192.0.2.0/24))])");
    assert_eq!(
        rule("telecom"),
        r#"All([Term(Country(NO)), Any([Any([Term(Isp("电信")), Term(Isp("china-telecom"))]), Term(Isp("other-net"))])])"#
    );
    assert_eq!(
        rule("both"),
        r#"All([Any([Term(Continent(NorthAmerica)), All([Any([Term(Asn(4134)), Term(Asn(4812))]), Term(Subdivision("cn-sh"))])]), Not(Term(City("new-york")))])"#
    );
}

#[test]
fn operators_networks_are_sparse_places() {
    let text = "networks:\n  10.1.0.0/16: {country: China, subdivision: 北京, isp: Corp, asn: AS64512, latitude: 39.9, longitude: 116.4}\n  \
                2001:db8::/32: {continent: AS}\n";
    let networks = clean(text).networks;
    let place = &networks[0].place;
    assert_eq!(place.country.unwrap().as_str(), "CN");
    assert_eq!((place.subdivision.as_deref(), place.asn, place.city.as_deref()), (Some("CN-BJ"), Some(64512), None));
    assert!(place.coordinates.is_some());
    assert_eq!(networks[1].net.to_string(), "2001:db8::/32");
}

#[test]
fn shared_checks_combine() {
    let text = "health_checks:\n  web: {protocol: http, path: /health, threshold: 2, fall: 3}\n  db: {protocol: tcp, port: 5432}\n  \
                ssl: {protocol: https}\ngslb:\n  domain: a.example\n  checks: {all: [web, {at_least: 1, of: [db, ssl]}]}\n  \
                policies: {default: {type: weighted}}\n  endpoints:\n    a: {ip: 192.0.2.1}\n    b: {ip: 192.0.2.2, checks: [db, web]}\n    \
                c: {ip: 192.0.2.3, checks: ssl}\n    d: {ip: 192.0.2.4, checks: []}\n";
    let policies = clean(text);
    let ids: Vec<&str> = policies.checks.iter().map(|check| check.id.as_str()).collect();
    assert_eq!(ids, ["db", "ssl", "web"]);
    assert_eq!(
        (policies.checks[2].spec.fall, policies.checks[2].spec.rise, policies.checks[2].spec.port),
        (3, 2, Some(80))
    );
    let check = |ix| CheckExpr::Check(CheckIx(ix));
    let health: Vec<&CheckExpr> = policies.services[0].endpoints.iter().map(|endpoint| &endpoint.health).collect();
    let whole = CheckExpr::All(vec![check(2), CheckExpr::AtLeast { n: 1, of: vec![check(0), check(1)] }]);
    assert_eq!(health, [&whole, &CheckExpr::All(vec![check(0), check(2)]), &check(1), &CheckExpr::All(vec![])]);
}

#[test]
fn policy_tests_are_resolved() {
    let text = format!(
        "{REFERENCE}\ngroups:\n  bj: [dc1, dc2]\ntests:\n  - name: Beijing goes to Beijing\n    client: 219.141.136.7/24\n    \
         service: api.meta-driven.example.com\n    expect: dc1\n  - {{client: 2001:db8::1, service: x.example, type: https, down: [bj], out: dc3, switch: bj, expect: {{rcode: NXDOMAIN}}}}\n  \
         - {{client: 192.0.2.1, service: x.example, expect: {{nodata: true}}}}\n  - {{client: 192.0.2.1, service: x.example, expect: {{addresses: [1.1.1.1, 2.2.2.1]}}}}\n  \
         - {{client: 192.0.2.1, service: x.example, expect: [bj, dc3]}}\n"
    );
    let (_, tests, found) = load(&[("a.yaml", &text)]);
    assert_eq!(found, []);
    assert_eq!((tests[0].client.to_string().as_str(), tests[0].rtype), ("219.141.136.0/24", 1));
    assert_eq!(tests[0].expect, Expect::Datacenters(BTreeSet::from([DatacenterIx(0)])));
    assert_eq!((tests[1].rtype, tests[1].down.len(), tests[1].out.len(), tests[1].switch.len()), (65, 2, 1, 2));
    assert_eq!(tests[1].expect, Expect::Rcode(3));
    assert_eq!(tests[2].expect, Expect::NoData);
    assert!(matches!(&tests[3].expect, Expect::Addresses(addresses) if addresses.len() == 2));
    assert!(matches!(&tests[4].expect, Expect::Datacenters(dcs) if dcs.len() == 3));
    assert_eq!(tests[0].name.as_deref(), Some("Beijing goes to Beijing"));
}

#[test]
fn words_that_other_yaml_readers_turn_into_something_else_stay_words() {
    let text = "gslb:\n  domain: a.example\n  policies:\n    default: {type: geolocation}\n    NO: {primary: on}\n  endpoints:\n    \
                on: {ip: 192.0.2.1}\n    012: {ip: 192.0.2.2}\n    1.10: {ip: 192.0.2.3}\n";
    let policies = clean(text);
    let ids: Vec<&str> = policies.datacenters.iter().map(|dc| dc.id.as_str()).collect();
    assert_eq!(ids, ["012", "1.10", "on"]);
    assert_eq!(policies.regions[0].id.as_str(), "no");
}

#[test]
fn a_code_of_a_country_and_of_a_continent_is_what_the_field_asks_for() {
    let policies = clean("regions:\n  a: {country: NA}\n  b: {continent: NA}\n  c: {country: SA}\n");
    let rules: Vec<String> = policies.regions.iter().map(|region| format!("{:?}", region.rule)).collect();
    assert_eq!(rules, ["Term(Country(NA))", "Term(Continent(NorthAmerica))", "Term(Country(SA))"]);
}

#[test]
fn https_and_home_are_kept() {
    let text = service(
        "https: {alpn: [h3, h2], port: 8443}\nhome: a\nttl: 1m\nmax_answers: 3\nzone: example",
        "default: {type: priority}",
    );
    let text = text.replace("    x: {cname: x.example.net, priority: 9}\n", "");
    let policies = clean(&text);
    let service = &policies.services[0];
    assert_eq!(service.https.as_ref().unwrap().alpn, ["h3", "h2"]);
    assert_eq!((service.home, service.ttl.as_secs(), service.max_answers), (Some(DatacenterIx(0)), 60, 3));
}

#[test]
fn a_place_that_only_the_data_knows_loads_with_a_warning() {
    let text = "gslb:\n  domain: a.example\n  policies:\n    default: {type: geolocation}\n    oldtown: {primary: a}\n  \
                endpoints:\n    a: {ip: 192.0.2.1}\n";
    let (policies, _, found) = load(&[("a.yaml", text)]);
    assert_eq!(found.iter().map(|found| found.code).collect::<Vec<_>>(), ["region-of-data"]);
    assert_eq!(policies.services.len(), 1);
}
