//! Which probes a policy asks for.

use super::*;
use crate::model::{
    AllDown, CheckExpr, CheckId, Choices, Comparison, Datacenter, DatacenterId, EndpointId, Entry, Failback, HttpProbe,
    Member, Method, Node, Number, Origin, Policy, Pool, PrometheusProbe, Relation, Route, StandInDoors, TcpProbe, Ttl,
    Verify, Weight,
};

fn check(probe: Probe, port: Option<u16>) -> CheckSpec {
    CheckSpec { port, ..CheckSpec::of(probe) }
}

fn tcp(port: u16) -> CheckSpec {
    check(Probe::Tcp(TcpProbe::default()), Some(port))
}

fn http(host: Option<&str>) -> CheckSpec {
    let probe = HttpProbe { host: host.map(str::to_owned), ..HttpProbe::get("/") };
    check(Probe::Http(probe), Some(80))
}

fn prometheus(query: &str) -> CheckSpec {
    let up_when = Comparison { is: Relation::Less, to: Number::new(1.0).unwrap() };
    let (url, query) = ("http://127.0.0.1:9090".to_owned(), query.to_owned());
    check(Probe::Prometheus(PrometheusProbe { url, query, up_when, verify: Verify::System }), None)
}

fn datacenter(id: &str) -> Datacenter {
    Datacenter {
        id: DatacenterId::new(id).unwrap(),
        aliases: Vec::new(),
        at: None,
        bias_km: 0,
        capacity: None,
        min_healthy: None,
        origin: Origin::file("test"),
    }
}

/// Addresses, or a CNAME; the data centre; the checks.
type Written<'a> = (&'a [&'a str], u16, &'a [u16]);

fn endpoint(at: usize, (data, datacenter, checks): Written<'_>) -> Endpoint {
    let addresses: Vec<IpAddr> = data.iter().filter_map(|text| text.parse().ok()).collect();
    let data = match addresses.is_empty() {
        true => Data::Cname(Name::parse(data[0]).unwrap()),
        false => Data::Addresses {
            v4: addresses.iter().filter_map(|of| if let IpAddr::V4(v4) = of { Some(*v4) } else { None }).collect(),
            v6: addresses.iter().filter_map(|of| if let IpAddr::V6(v6) = of { Some(*v6) } else { None }).collect(),
            min: 1,
        },
    };
    Endpoint {
        id: EndpointId::new(&format!("e{at}")).unwrap(),
        datacenter: DatacenterIx(datacenter),
        data,
        weight: Weight::ONE,
        priority: 100,
        health: CheckExpr::All(checks.iter().map(|check| CheckExpr::Check(CheckIx(*check))).collect()),
        follows: None,
        origin: Origin::file("test"),
    }
}

/// One tier, all endpoints, with these `when` checks.
fn service(name: &str, endpoints: &[Written<'_>], when: &[u16]) -> Service {
    let member = |node, entry| Member { node, weight: Weight::ONE, entry, word: None };
    let all = (0..endpoints.len()).map(|at| member(Node::Endpoint(EndpointIx::from_at(at)), Entry::default()));
    let pool = Pool { method: Method::Weighted, members: all.collect() };
    let entry = Entry { when: when.iter().map(|check| CheckIx(*check)).collect(), ..Entry::default() };
    let tiers = Pool { method: Method::Ordered, members: vec![member(Node::Pool(pool), entry)] };
    let elsewhere = Route::new(
        None,
        Choices {
            tiers: Some(tiers),
            fallback: None,
            geofence: false,
            all_down: AllDown::Open,
            failback: Failback::Auto,
        },
    );
    Service {
        name: Name::parse(name).unwrap(),
        zone: None,
        ttl: Ttl::DEFAULT,
        endpoints: endpoints.iter().enumerate().map(|(at, written)| endpoint(at, *written)).collect(),
        policy: Policy { routes: Vec::new(), elsewhere },
        max_answers: 1,
        needs: crate::model::OrderNeeds::default(),
        home: None,
        https: None,
        origin: Origin::file("test"),
    }
}

fn policy(checks: Vec<CheckSpec>, services: Vec<Service>) -> PolicySet {
    let named = |(at, spec): (usize, CheckSpec)| Check {
        id: CheckId::new(&format!("c{at}")).unwrap(),
        spec: Arc::new(spec),
        origin: Origin::file("test"),
    };
    PolicySet {
        datacenters: vec![datacenter("dc1"), datacenter("dc2")],
        checks: checks.into_iter().enumerate().map(named).collect(),
        services,
        ..PolicySet::default()
    }
}

fn of(policy: &PolicySet) -> Targets {
    Targets::of(policy, &HealthSettings::default(), None, &mut Registry::default()).unwrap()
}

/// `host:port service datacenter` of each.
fn shown_all(targets: &Targets) -> Vec<String> {
    let words = |target: &Target| {
        let TargetSpec { host, port, service, query, .. } = &*target.spec;
        let datacenter = target.datacenter.as_ref().map_or("-", |id| id.as_str());
        format!("{host}:{port} {service}{query} {datacenter}")
    };
    targets.targets.iter().map(words).collect()
}

#[test]
fn equal_probes_are_one_target_whatever_the_number_of_services() {
    let one: &[Written<'_>] = &[(&["192.0.2.1", "2001:db8::1"], 0, &[0])];
    let services = || vec![service("a.example", one, &[]), service("b.example", one, &[])];
    let shared = of(&policy(vec![tcp(443)], services()));
    assert_eq!(shown_all(&shared), ["192.0.2.1:443  dc1", "2001:db8::1:443  dc1"]);
    assert_eq!(shared.of.len(), 4);
    let key =
        |service, address| (AddressKey { service: ServiceIx(service), endpoint: EndpointIx(0), address }, CheckIx(0));
    assert_eq!(shared.of[&key(0, 1)], shared.of[&key(1, 1)]);
    assert_ne!(shared.of[&key(0, 0)], shared.of[&key(0, 1)]);
    assert_eq!(of(&policy(vec![http(Some("own.example"))], services())).targets.len(), 2, "its Host is its own");
    let apart = of(&policy(vec![http(None)], services()));
    assert_eq!(apart.targets.len(), 4, "its Host is the service's name");
    assert_eq!(shown_all(&apart)[0], "192.0.2.1:80 a.example dc1");
}

#[test]
fn a_host_of_its_own_makes_one_target_and_a_cname_is_probed_by_its_name() {
    let endpoints: &[Written<'_>] = &[(&["192.0.2.1", "192.0.2.2"], 0, &[0]), (&["cdn.example."], 1, &[0])];
    let plain = of(&policy(vec![tcp(443)], vec![service("a.example", endpoints, &[])]));
    assert_eq!(shown_all(&plain), ["192.0.2.1:443  dc1", "192.0.2.2:443  dc1", "cdn.example.:443  dc2"]);
    let host = Some(ProbeHost::Address("198.51.100.9".parse().unwrap()));
    let elsewhere = of(&policy(vec![CheckSpec { host, ..tcp(5432) }], vec![service("a.example", endpoints, &[])]));
    assert_eq!(shown_all(&elsewhere), ["198.51.100.9:5432  -"], "for two data centres, so in none");
    assert_eq!(elsewhere.of.len(), 3);
}

#[test]
fn queries_have_their_variables_filled_in_and_stand_nowhere() {
    let endpoints: &[Written<'_>] = &[(&["192.0.2.1", "192.0.2.2"], 0, &[0, 1])];
    let checks = vec![
        prometheus(r#"lag{dc="$datacenter",s="$service",e="$endpoint"} > $1"#),
        prometheus(r#"rate{a="$address"}$"#),
    ];
    let targets = of(&policy(checks, vec![service("a.example", endpoints, &[])]));
    let expected = [
        r#".:0 lag{dc="dc1",s="a.example",e="e0"} > $1 -"#,
        r#".:0 rate{a="192.0.2.1"}$ -"#,
        r#".:0 rate{a="192.0.2.2"}$ -"#,
    ];
    assert_eq!(shown_all(&targets), expected);
}

#[test]
fn external_checks_are_asked_nowhere() {
    let policy =
        policy(vec![check(Probe::External, None)], vec![service("a.example", &[(&["192.0.2.1"], 0, &[0])], &[0])]);
    let targets = of(&policy);
    assert!(targets.targets.is_empty() && targets.of.is_empty() && targets.refused.is_empty());
}

#[test]
fn the_address_map_moves_probes_by_port_and_else_by_address() {
    let mut settings = HealthSettings::default();
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    settings.address_map.insert((ip("192.0.2.1"), Some(443)), (ip("127.0.0.11"), Some(8443)));
    settings.address_map.insert((ip("192.0.2.1"), None), (ip("127.0.0.12"), None));
    let endpoints: &[Written<'_>] = &[(&["192.0.2.1", "192.0.2.2"], 0, &[0, 1, 2])];
    let policy = policy(vec![tcp(443), tcp(80), check(Probe::Icmp, None)], vec![service("a.example", endpoints, &[])]);
    let targets = Targets::of(&policy, &settings, None, &mut Registry::default()).unwrap();
    let expected = ["127.0.0.11:8443", "127.0.0.12:80", "127.0.0.12:0", "192.0.2.2:443", "192.0.2.2:80", "192.0.2.2:0"];
    assert_eq!(shown_all(&targets), expected.map(|at| format!("{at}  dc1")));
}

#[test]
fn conditions_of_a_tier_are_probed_at_each_address_or_at_their_own_host() {
    let endpoints: &[Written<'_>] = &[(&["192.0.2.1", "192.0.2.2"], 0, &[0]), (&["192.0.2.3"], 1, &[])];
    let host = Some(ProbeHost::Address("198.51.100.9".parse().unwrap()));
    let checks = vec![tcp(443), tcp(5432), CheckSpec { host, ..tcp(6000) }];
    let targets = of(&policy(checks, vec![service("a.example", endpoints, &[0, 1, 2])]));
    let key = |endpoint, address, check| {
        (AddressKey { service: ServiceIx(0), endpoint: EndpointIx(endpoint), address }, CheckIx(check))
    };
    let keys = [(0, 0), (0, 1), (1, 0)];
    let distinct = |check| {
        keys.map(|(endpoint, address)| targets.of[&key(endpoint, address, check)]).into_iter().collect::<BTreeSet<_>>()
    };
    assert_eq!([0, 1, 2].map(|check| distinct(check).len()), [3, 3, 1]);
    assert_eq!((targets.of.len(), targets.targets.len()), (9, 7), "what is probed anyway is probed once");
}

#[test]
fn in_a_demonstration_every_probe_goes_to_a_stand_in_or_nowhere_whatever_the_address_map_says() {
    let doors = StandInDoors {
        https: "127.0.0.11:1".parse().unwrap(),
        http: "127.0.0.11:2".parse().unwrap(),
        tcp: "127.0.0.11:3".parse().unwrap(),
    };
    let stand_ins = StandInMap { of: [(DatacenterId::new("dc1").unwrap(), doors)].into() };
    let mut settings = HealthSettings::default();
    settings.address_map.insert(("192.0.2.1".parse().unwrap(), None), ("198.51.100.1".parse().unwrap(), None));
    let endpoints: &[Written<'_>] = &[(&["192.0.2.1", "192.0.2.2"], 0, &[0, 1, 3]), (&["192.0.2.3"], 1, &[0])];
    let checks = vec![tcp(443), check(Probe::Icmp, None), http(None), check(Probe::External, None)];
    let policy = policy(checks, vec![service("a.example", endpoints, &[2])]);
    let targets = Targets::of(&policy, &settings, Some(&stand_ins), &mut Registry::default()).unwrap();
    assert_eq!(shown_all(&targets), ["127.0.0.11:3  dc1", "127.0.0.11:2 a.example dc1"]);
    let refused = targets.refused.iter().map(|((key, check), why)| (key.endpoint.at(), check.0, why.as_str()));
    let icmp = "not probed in the demo: its stand-ins do not speak `icmp`";
    let nobody = "no stand-in was started for dc2; restart the demo";
    let refused: Vec<_> = refused.collect();
    assert_eq!(refused, [(0, 1, icmp), (0, 1, icmp), (1, 0, nobody), (1, 2, nobody)]);
}

#[test]
fn a_reload_keeps_ids_and_none_is_used_twice() {
    let settings = HealthSettings::default();
    let mut registry = Registry::default();
    let mut ids = |addresses: &[&str], is_taken_over: bool| {
        let policy = policy(vec![tcp(443)], vec![service("a.example", &[(addresses, 0, &[0])], &[])]);
        let targets = Targets::of(&policy, &settings, None, &mut registry).unwrap();
        if is_taken_over {
            registry.keep(&targets.targets.iter().map(|target| target.id).collect());
        }
        targets.targets.iter().map(|target| target.id.0).collect::<Vec<u64>>()
    };
    assert_eq!(ids(&["192.0.2.1", "192.0.2.2"], true), [0, 1]);
    assert_eq!(ids(&["192.0.2.2", "192.0.2.3"], true), [1, 2]);
    assert_eq!(ids(&["192.0.2.1"], true), [3], "gone and back is another life");
    assert_eq!(ids(&["192.0.2.9"], false), [4]);
    assert_eq!(ids(&["192.0.2.1"], true), [3], "files that were refused cost nobody his id");
    assert_eq!(registry.ids.len(), 1, "and what is gone costs nothing");
}
