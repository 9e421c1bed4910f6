//! Health checks: what the fields mean, and which are refused.

use std::path::Path;
use std::time::Duration;

use super::testing::{clean, codes, load, rendered};
use crate::config::{SourceFile, load_policies};
use crate::diag::Diagnostic;
use crate::model::{
    CheckExpr, CheckIx, CheckSpec, Comparison, DatacenterId, FailRatio, HttpProbe, MinHealthy, Number, Origin,
    PolicySet, Probe, ProbeHost, Protocol, Relation, Settings, TcpProbe, Verify,
};

/// A service that uses the check `c`.
const USER: &str = "gslb:\n  domain: a.example\n  checks: c\n  policies: {default: {type: weighted}}\n  endpoints:\n    \
                    dc1: {ip: 192.0.2.1}\n    dc2: {ip: 192.0.2.2}\n";

/// The check `c` with `fields`, which are nothing to complain of.
#[track_caller]
fn check(fields: &str) -> CheckSpec {
    let policies = clean(&format!("health_checks:\n  c: {{{fields}}}\n{USER}"));
    CheckSpec::clone(&policies.checks[0].spec)
}

/// Code, place in line 2 and help of the findings in the check `c` with `fields`.
fn refused(fields: &str) -> Vec<String> {
    let text = format!("health_checks:\n  c: {{{fields}}}\n{USER}");
    let one = |found: &Diagnostic| {
        let at = found.at.as_ref().unwrap();
        assert_eq!(at.line, 2, "{found:?}");
        let line = text.lines().nth(1).unwrap();
        let word: String = line.chars().skip(at.column as usize - 1).take(found.len as usize).collect();
        format!("{} `{word}`", found.code)
    };
    load(&[("a.yaml", &text)]).2.iter().map(one).collect()
}

#[test]
fn left_alone_a_check_has_the_defaults_of_its_protocol() {
    let http = Probe::Http(HttpProbe::get("/"));
    assert_eq!(check("protocol: http"), CheckSpec { port: Some(80), ..CheckSpec::of(http) });
    assert_eq!(check("protocol: icmp"), CheckSpec::of(Probe::Icmp));
    let of = CheckSpec::of(Probe::Icmp);
    let seconds = Duration::from_secs;
    assert_eq!((of.interval, of.fast_interval, of.timeout), (seconds(5), seconds(1), seconds(3)));
    assert_eq!((of.max_response, of.fall, of.rise), (seconds(3), 3, 2));
    let Probe::Tls(tls) = check("protocol: tls").probe else { panic!() };
    assert_eq!((tls.verify, tls.client, tls.expiry_warning), (Verify::System, None, seconds(14 * 86_400)));
    assert_eq!(check("protocol: tcp, port: 1").probe, Probe::Tcp(TcpProbe::default()));
    let ports = ["tls", "dns", "icmp", "external"].map(|protocol| check(&format!("protocol: {protocol}")).port);
    assert_eq!(ports, [Some(443), Some(53), None, None]);
    let external = check("protocol: external");
    assert_eq!((external.fall, external.rise), (1, 1), "a report is believed at once");
}

#[test]
fn a_threshold_is_fall_and_rise_and_what_is_said_of_one_wins() {
    let counts = |fields: &str| {
        let spec = check(&format!("protocol: icmp, {fields}"));
        (spec.fall, spec.rise)
    };
    assert_eq!(counts("threshold: 3"), (3, 3));
    assert_eq!(counts("threshold: 1"), (1, 1));
    assert_eq!(counts("threshold: 2, rise: 5"), (2, 5));
    assert_eq!(counts("fall: 1"), (1, 2));
    assert_eq!(counts("rise: 4"), (3, 4));
    assert_eq!(check("protocol: icmp, interval: 500ms, timeout: 200ms").fast_interval, Duration::from_millis(500));
}

#[test]
fn a_spring_actuator_is_asked_whether_it_is_up_out_of_the_box() {
    let json = |fields: &str| match check(&format!("protocol: http, {fields}")).probe {
        Probe::Http(http) => http.json,
        other => panic!("{other:?}"),
    };
    let up = vec![("/status".to_owned(), "\"UP\"".to_owned())];
    assert_eq!(json("path: /actuator/health"), up);
    assert_eq!(json("path: /shop/actuator/health?x=1"), up);
    assert_eq!(json("path: /actuator/healthy"), []);
    assert_eq!(json("path: /actuator/health, json: {}"), []);
    assert_eq!(json("path: /actuator/health, contains: UP"), []);
    assert_eq!(json("path: /actuator/health, regex: U."), []);
    assert_eq!(json("path: /actuator/health, method: HEAD"), []);
    assert_eq!(json("path: /actuator/health, json: {/groups/0: live}"), [("/groups/0".into(), "\"live\"".into())]);
}

#[test]
fn json_values_have_the_types_that_they_are_written_with() {
    let Probe::Http(http) = check("protocol: http, json: {a: 1, b: '1', c: true, d: , e: 1.50, f: NO, g: '\"'}").probe
    else {
        panic!()
    };
    let values: Vec<&str> = http.json.iter().map(|(_, value)| value.as_str()).collect();
    assert_eq!(values, ["1", "\"1\"", "true", "null", "1.5", "\"NO\"", "\"\\\"\""]);
}

#[test]
fn every_field_of_http_is_heard() {
    let spec = check(
        "protocol: https, address: db.example.com, port: 8443, method: POST, path: /x, host: 'h.example:8443', \
         headers: {X-A: b}, status: [301-302, 200, 200], contains: ok, regex: 'o+', http2: true, redirects: 2, \
         tls: {sni: s.example, ca: ca.pem, cert: c.pem, key: k.pem, expiry_warning: 30d, allow_expired: true}, \
         interval: 2s, fast_interval: 200ms, timeout: 1s, max_response: 800ms, fail_ratio: 30%, window: 10",
    );
    assert_eq!(spec.host, Some(ProbeHost::Name("db.example.com".parse_name())));
    assert_eq!(spec.fail_ratio, Some(FailRatio { percent: 30, window: 10 }));
    assert_eq!((spec.max_response.as_millis(), spec.fast_interval.as_millis()), (800, 200));
    let Probe::Http(http) = spec.probe else { panic!() };
    assert_eq!((http.host.as_deref(), http.headers), (Some("h.example:8443"), vec![("x-a".into(), "b".into())]));
    assert_eq!((http.status, http.http2, http.redirects), (vec![200..=200, 301..=302], true, 2));
    let tls = http.tls.unwrap();
    assert_eq!((tls.sni.as_deref(), tls.verify), (Some("s.example"), Verify::Ca("ca.pem".into())));
    assert_eq!(tls.client, Some(("c.pem".into(), "k.pem".into())));
    assert!(tls.allow_expired && tls.expiry_warning == Duration::from_secs(30 * 86_400));
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
fn every_other_protocol_has_its_own_fields() {
    let Probe::Tcp(tcp) = check("protocol: tcp, port: 6379, send: \"PING\\r\\n\", expect: +PONG").probe else {
        panic!()
    };
    assert_eq!((tcp.send.as_deref(), tcp.expect.as_deref()), (Some(&b"PING\r\n"[..]), Some(&b"+PONG"[..])));
    let Probe::Dns(dns) =
        check("protocol: dns, question: x.example, type: AAAA, answer: '2001:db8::1', transport: tcp").probe
    else {
        panic!()
    };
    assert_eq!((dns.name, dns.rtype, dns.tcp, dns.rcode), (Some("x.example".parse_name()), 28, true, 0));
    let Probe::Grpc(grpc) = check("protocol: grpc, port: 9000, service: a.B").probe else { panic!() };
    assert_eq!((grpc.tls, grpc.service.as_str()), (None, "a.B"));
    let Probe::Grpc(grpc) = check("protocol: grpc, port: 9000, tls: {verify: off}").probe else { panic!() };
    assert_eq!(grpc.tls.unwrap().verify, Verify::Off);
    let text = "protocol: prometheus, url: 'https://p.example/', query: 'rate(x{dc=\"$datacenter\",a=~\"b$\"}[1m])', \
                up_when: '> 10', on_silence: down";
    let spec = check(text);
    assert!(spec.silence_is_down && spec.port.is_none());
    let Probe::Prometheus(prometheus) = spec.probe else { panic!() };
    assert_eq!(prometheus.url, "https://p.example");
    assert_eq!(prometheus.up_when, Comparison { is: Relation::Greater, to: Number::new(10.0).unwrap() });
}

#[test]
fn files_are_beside_the_policy_file_that_names_them() {
    let text =
        format!("health_checks:\n  c: {{protocol: tls, tls: {{ca: tls/ca.pem, cert: /etc/c, key: ../k}}}}\n{USER}");
    let (policies, _, found) = load(&[("zones/a.yaml", &text)]);
    assert_eq!(found, []);
    let tls = policies.checks[0].spec.probe.tls().unwrap().clone();
    assert_eq!(tls.verify, Verify::Ca(Path::new("zones/tls/ca.pem").into()));
    assert_eq!(tls.client, Some((Path::new("/etc/c").into(), Path::new("zones/../k").into())));
}

#[test]
fn a_field_of_another_protocol_is_refused_with_those_who_take_it() {
    let text = format!("health_checks:\n  c: {{protocol: tcp, port: 25, path: /x}}\n{USER}");
    assert_eq!(
        rendered(&[("a.yaml", &text)]),
        "\
error[field-of-another-protocol]: a check with `protocol: tcp` takes no `path`
 --> a.yaml:2:38
  |
2 |   c: {protocol: tcp, port: 25, path: /x}
  |                                      ^^
  |
help: remove it; it is for `http`, `https`

1 error
"
    );
    let code = "field-of-another-protocol";
    assert_eq!(refused("protocol: icmp, port: 1"), [format!("{code} `1`")]);
    assert_eq!(refused("protocol: http, tls: {verify: off}"), [format!("{code} `tls`")]);
    assert_eq!(refused("protocol: external, fall: 2, interval: 5s"), [format!("{code} `2`"), format!("{code} `5s`")]);
    assert_eq!(refused("protocol: http, on_silence: down"), [format!("{code} `down`")]);
    assert_eq!(refused("protocol: tcp, port: 1, headers: {a: b}"), [format!("{code} `headers`")]);
    let query = "url: 'https://p', query: up, up_when: '> 0'";
    assert_eq!(refused(&format!("protocol: prometheus, {query}, tls: {{sni: a}}")), [format!("{code} `a`")]);
    assert_eq!(refused(&format!("protocol: prometheus, {query}, address: 192.0.2.1")), [format!("{code} `192.0.2.1`")]);
}

#[test]
fn what_a_probe_needs_is_asked_for() {
    assert_eq!(refused("protocol: grpc"), ["missing-field `c`"]);
    assert_eq!(refused("protocol: prometheus").len(), 3);
    assert_eq!(refused("protocol: tls, tls: {cert: a.pem}"), ["missing-field `a.pem`"]);
    assert_eq!(refused("protocol: tls, tls: {key: a.pem}"), ["missing-field `a.pem`"]);
    assert_eq!(refused("protocol: icmp, window: 10"), ["missing-field `10`"]);
}

#[test]
fn what_contradicts_itself_is_refused() {
    assert_eq!(refused("protocol: tls, tls: {ca: a.pem, verify: off}"), ["exclusive-fields `off`"]);
    assert_eq!(refused("protocol: http, method: HEAD, contains: a"), ["exclusive-fields `a`"]);
    assert_eq!(refused("protocol: dns, rcode: NXDOMAIN, answer: 192.0.2.1"), ["exclusive-fields `192.0.2.1`"]);
    assert_eq!(refused("protocol: icmp, threshold: 2, fall: 1, rise: 1"), ["exclusive-fields `2`"]);
    assert_eq!(refused("protocol: icmp, fast_interval: 6s"), ["out-of-range `6s`"]);
    let query = "protocol: prometheus, url: 'http://p', query: up, up_when: '> 0'";
    assert_eq!(refused(&format!("{query}, tls: {{verify: off}}")), ["exclusive-fields `tls`"]);
}

#[test]
fn values_that_are_none_of_their_kind_are_refused_where_they_stand() {
    for (fields, expected) in [
        ("protocol: http, method: get", "bad-method `get`"),
        ("protocol: http, headers: {Host: a}", "bad-header `Host`"),
        ("protocol: http, headers: {a: 'b ', c: d}", "bad-header `'b '`"),
        ("protocol: http, headers: {A: b, a: c}", "duplicate-header `a`"),
        ("protocol: http, status: 20", "bad-status `20`"),
        ("protocol: http, status: []", "empty-list `status`"),
        ("protocol: http, regex: 'a('", "bad-regex `'a('`"),
        ("protocol: http, json: {a/b: 1}", "bad-pointer `a/b`"),
        ("protocol: http, json: {a: [1]}", "wrong-type `a`"),
        ("protocol: http, host: a/b", "bad-name `a/b`"),
        ("protocol: http, redirects: 6", "out-of-range `6`"),
        ("protocol: tls, tls: {sni: 'a.example:443'}", "bad-name `'a.example:443'`"),
        ("protocol: icmp, address: 1.2.3", "bad-address `1.2.3`"),
        ("protocol: icmp, address: 0.0.0.0", "bad-address `0.0.0.0`"),
        ("protocol: icmp, fail_ratio: 30", "bad-percentage `30`"),
        ("protocol: icmp, fail_ratio: 101%", "out-of-range `101%`"),
        ("protocol: icmp, fail_ratio: 30%, window: 1001", "out-of-range `1001`"),
        ("protocol: dns, answer: nothing", "bad-address `nothing`"),
        ("protocol: dns, transport: tls", "unknown-word `tls`"),
    ] {
        assert_eq!(refused(fields), [expected], "{fields}");
    }
    let prometheus = |fields: &str| refused(&format!("protocol: prometheus, {fields}"));
    assert_eq!(prometheus("url: 'p:9090', query: a, up_when: '> 1'"), ["bad-url `'p:9090'`"]);
    assert_eq!(prometheus("url: 'http://p', query: a, up_when: '= 1'"), ["bad-comparison `'= 1'`"]);
    assert_eq!(prometheus("url: 'http://p', query: 'a{b=\"$dataceter\"}', up_when: '> 1'").len(), 1);
}

#[test]
fn a_query_is_told_which_variables_there_are() {
    let text = format!(
        "health_checks:\n  c: {{protocol: prometheus, url: 'http://p', query: up{{d=\"$dataceter\"}}, up_when: '> 0'}}\n{USER}"
    )
    .replace("up{d=\"$dataceter\"}", "'up{d=\"$dataceter\"}'");
    let found = rendered(&[("a.yaml", &text)]);
    assert!(found.contains("error[unknown-variable]: nothing is filled in for `$dataceter`"), "{found}");
    assert!(found.contains("help: did you mean $datacenter?"), "{found}");
}

#[test]
fn a_slow_check_is_told_with_its_sum_at_what_weighs_most() {
    let text = format!("health_checks:\n  c: {{protocol: icmp, interval: 10s, timeout: 2s, fall: 2}}\n{USER}");
    assert_eq!(
        rendered(&[("a.yaml", &text)]),
        "\
warning[slow-to-notice]: `c` takes up to 12.5s to notice a failure, and the target is 10s
 --> a.yaml:2:33
  |
2 |   c: {protocol: icmp, interval: 10s, timeout: 2s, fall: 2}
  |                                 ^^^ expected at most 10s: 10s interval + 0.5s slow mark + 2s timeout = 12.5s
  |
help: shorten `interval`; the target is `health.notice_within` of the server's configuration

1 warning
"
    );
    assert_eq!(refused("protocol: icmp, fall: 5"), ["slow-to-notice `5`"]);
    assert_eq!(refused("protocol: icmp, threshold: 5"), ["slow-to-notice `5`"]);
    assert_eq!(refused("protocol: icmp, timeout: 5s"), ["slow-to-notice `5s`"]);
    assert_eq!(refused("protocol: icmp"), Vec::<String>::new());
}

#[test]
fn checks_that_are_idle_or_ask_for_the_impossible_are_warned_of() {
    assert_eq!(refused("protocol: icmp, max_response: 4s"), ["max-response-over-timeout `4s`"]);
    assert_eq!(codes("health_checks: {c: {protocol: icmp}}\n"), ["unused-check 1:17"]);
    let slow_and_idle = "health_checks: {c: {protocol: icmp, fall: 50}}\n";
    assert_eq!(codes(slow_and_idle), ["unused-check 1:17"], "nobody waits for it");
    let condition = format!(
        "health_checks: {{d: {{protocol: icmp}}, c: {{protocol: icmp}}}}\n{}",
        USER.replace("weighted}}", "geolocation, fallback: priority}, na: {tiers: [dc1, {endpoint: dc2, when: d}]}}")
    );
    assert_eq!(codes(&condition), Vec::<String>::new(), "a condition uses it");
}

/// The findings in `text` on a node with these settings.
fn on_a_node(datacenter: &str, witnesses: &[&str], text: &str) -> Vec<Diagnostic> {
    let mut settings = Settings::default();
    settings.health.node_datacenter = Some(DatacenterId::new(datacenter).unwrap());
    settings.health.node_origin = Some(Origin { file: "meridian.yaml".into(), line: 7, column: 15 });
    settings.health.witnesses = witnesses.iter().map(|witness| witness.parse().unwrap()).collect();
    load_policies(&[SourceFile::new("a.yaml", text)], &super::testing::FewPlaces, &settings).2
}

#[test]
fn a_node_that_could_not_tell_a_dead_region_from_a_cut_link_is_warned_of() {
    let text = format!("health_checks: {{c: {{protocol: icmp}}}}\n{USER}");
    let found = on_a_node("dc1", &[], &text);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].at.as_ref().unwrap().to_string(), "meridian.yaml:7:15");
    assert_eq!(
        (found[0].code, found[0].message.as_str()),
        ("no-witness", "when only `dc1` answers, this node cannot tell a dead region from a cut link; it will hold")
    );
    assert_eq!(on_a_node("dc1", &["192.0.2.99:53"], &text), []);
    let alone = text.replace("    dc2: {ip: 192.0.2.2}\n", "");
    assert_eq!(on_a_node("dc1", &[], &alone), [], "there is no other to compare with");
}

#[test]
fn a_node_stands_in_a_data_centre_of_the_policies() {
    let text = format!("groups: {{city: [dc1, dc2]}}\nhealth_checks: {{c: {{protocol: icmp}}}}\n{USER}");
    let codes = |datacenter: &str| -> Vec<&str> {
        on_a_node(datacenter, &["192.0.2.99:53"], &text).iter().map(|found| found.code).collect()
    };
    assert_eq!(codes("DC2"), Vec::<&str>::new());
    assert_eq!(codes("city"), ["not-a-datacenter"]);
    assert_eq!(codes("dc3"), ["unknown-datacenter"]);
    let found = on_a_node("dc3", &[], &text);
    assert_eq!(found[0].help.as_deref(), Some("did you mean `dc1`?"));
}

#[test]
fn an_endpoint_follows_another_of_its_service_or_of_any() {
    let text = format!(
        "health_checks: {{c: {{protocol: icmp}}}}\ndatacenters: {{dc2: {{min_healthy: 50%}}, dc1: {{min_healthy: 2}}}}\n{}",
        USER.replace("dc2: {ip: 192.0.2.2}", "dc2: {ip: 192.0.2.2, follows: dc1}")
    );
    let other = "gslb:\n  domain: z.example\n  policies: {default: {type: weighted}}\n  endpoints:\n    \
                 x: {ip: 192.0.2.3, datacenter: dc1, follows: A.example./dc1}\n";
    let (policies, _, found) = load(&[("a.yaml", &text), ("z.yaml", other)]);
    assert_eq!(found, []);
    let follows = |policies: &PolicySet| -> Vec<Vec<Option<(u32, u16)>>> {
        let of = |service: &crate::model::Service| {
            service.endpoints.iter().map(|endpoint| endpoint.follows.map(|(a, b)| (a.0, b.0))).collect()
        };
        policies.services.iter().map(of).collect()
    };
    assert_eq!(follows(&policies), [vec![None, Some((0, 0))], vec![Some((0, 0))]]);
    let health: Vec<&CheckExpr> = policies.services[0].endpoints.iter().map(|endpoint| &endpoint.health).collect();
    assert_eq!(health, [&CheckExpr::Check(CheckIx(0)), &CheckExpr::All(vec![])]);
    let min: Vec<_> = policies.datacenters.iter().map(|dc| dc.min_healthy).collect();
    assert_eq!(min, [Some(MinHealthy::Count(2)), Some(MinHealthy::Percent(50))]);
    assert_eq!(policies.checks[0].spec.probe.protocol(), Protocol::Icmp);

    // Whose source is refused goes as well, and nothing points beside.
    let (policies, _, found) = load(&[("a.yaml", &text.replace("checks: c", "checks: d")), ("z.yaml", other)]);
    assert_eq!(found.iter().map(|found| found.code).collect::<Vec<_>>(), ["unknown-check"]);
    assert!(policies.services.is_empty());
}

#[test]
fn following_has_one_step_and_leads_somewhere() {
    let with = |dc1: &str, dc2: &str| {
        let text = format!("health_checks: {{c: {{protocol: icmp}}}}\n{USER}")
            .replace("192.0.2.1}", &format!("192.0.2.1{dc1}}}"))
            .replace("192.0.2.2}", &format!("192.0.2.2{dc2}}}"));
        let (policies, _, found) = load(&[("a.yaml", &text)]);
        assert!(policies.services.is_empty());
        found.iter().map(|found| (found.code, found.help.clone().unwrap_or_default())).collect::<Vec<_>>()
    };
    assert_eq!(with("", ", follows: dc2")[0].0, "follows-itself");
    assert_eq!(with("", ", follows: dc3"), [("unknown-endpoint", "did you mean `dc1`?".to_owned())]);
    assert_eq!(with("", ", follows: b.example/dc1"), [("unknown-service", "did you mean `a.example`?".to_owned())]);
    assert_eq!(with("", ", follows: dc1, checks: c")[0].0, "exclusive-fields");
    let both: Vec<&str> = with(", follows: dc2", ", follows: dc1").iter().map(|(code, _)| *code).collect();
    assert_eq!(both, ["follows-a-follower", "follows-a-follower"]);
}
