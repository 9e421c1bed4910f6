//! Where probes go in a demonstration: to stand-in data centres on loopback, and nowhere else.
//!
//! The addresses of a policy belong to somebody, and a policy that is shown around must not probe them. A
//! [`StandInMap`] says for each check of each endpoint at which door of its data centre's stand-in it is answered,
//! or why it is not probed at all. Without a place there is no target: what [`StandInMap::place`] refuses reads as
//! unknown, with its words.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use super::{CheckSpec, DatacenterId, HttpProbe, Probe, TlsParams, Verify};

/// Where one stand-in listens. All on loopback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StandInDoors {
    /// HTTP/1.1 and HTTP/2 over TLS.
    pub https: SocketAddr,
    /// HTTP/1.1 and HTTP/2 in the clear.
    pub http: SocketAddr,
    /// Accepts, listens, and closes.
    pub tcp: SocketAddr,
}

/// The stand-ins of a demonstration.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct StandInMap {
    /// By the data centre for which they stand in.
    pub of: BTreeMap<DatacenterId, StandInDoors>,
}

/// How an endpoint is probed in a demonstration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoodIn {
    /// In place of the endpoint's address and port.
    pub at: SocketAddr,
    /// The check, without what only the real data centre could satisfy: a private CA (stand-ins have a CA of their
    /// own, which probes trust beside the system's) and a client certificate (stand-ins ask for none).
    pub check: Arc<CheckSpec>,
}

impl StandInMap {
    /// What a stand-in that is well answers to every HTTP request, with status 200.
    pub const BODY: &str = r#"{"status":"UP"}"#;

    /// Where a check of an endpoint in `datacenter` is made; or, in words, why it is made nowhere.
    pub fn place(&self, datacenter: &DatacenterId, check: &Arc<CheckSpec>) -> Result<StoodIn, String> {
        let Some(doors) = self.of.get(datacenter) else {
            return Err(format!("no stand-in was started for {datacenter}; restart the demo"));
        };
        if check.host.is_some() {
            return Err("not probed in the demo: the check has a host of its own".to_owned());
        }
        let at = match &check.probe {
            Probe::Http(http) => {
                satisfiable(http)?;
                if http.tls.is_some() { doors.https } else { doors.http }
            }
            Probe::Tls(_) => doors.https,
            Probe::Tcp(tcp) if tcp.expect.is_none() => doors.tcp,
            Probe::Tcp(_) => return Err("not probed in the demo: its stand-ins say nothing over TCP".to_owned()),
            Probe::Dns(_) | Probe::Grpc(_) | Probe::Icmp | Probe::Prometheus(_) | Probe::External => {
                let protocol = check.probe.protocol().as_str();
                return Err(format!("not probed in the demo: its stand-ins do not speak `{protocol}`"));
            }
        };
        Ok(StoodIn { at, check: relaxed(check) })
    }
}

/// What a check asks of the answer must be what stand-ins answer, or all of them would look down.
fn satisfiable(http: &HttpProbe) -> Result<(), String> {
    let words =
        |what: &str| Err(format!("not probed in the demo: its stand-ins do not answer with the {what} expected"));
    if !http.status.iter().any(|range| range.contains(&200)) {
        return words("status");
    }
    if http.contains.as_ref().is_some_and(|text| !StandInMap::BODY.contains(text.as_str())) || http.regex.is_some() {
        return words("body");
    }
    let is_status = |(pointer, value): &(String, String)| pointer == "/status" && value == "\"UP\"";
    if http.json.iter().all(is_status) { Ok(()) } else { words("JSON fields") }
}

fn relaxed(check: &Arc<CheckSpec>) -> Arc<CheckSpec> {
    let is_own = |tls: &TlsParams| matches!(tls.verify, Verify::Ca(_)) || tls.client.is_some();
    if !check.probe.tls().is_some_and(is_own) {
        return Arc::clone(check);
    }
    let mut check = CheckSpec::clone(check);
    if let Probe::Http(HttpProbe { tls: Some(tls), .. }) | Probe::Tls(tls) = &mut check.probe {
        tls.client = None;
        if let Verify::Ca(_) = tls.verify {
            tls.verify = Verify::System;
        }
    }
    Arc::new(check)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use super::*;
    use crate::model::{Comparison, DnsProbe, GrpcProbe, Number, ProbeHost, PrometheusProbe, Relation, TcpProbe};

    fn doors() -> StandInDoors {
        StandInDoors {
            https: "127.0.0.11:1".parse().unwrap(),
            http: "127.0.0.11:2".parse().unwrap(),
            tcp: "127.0.0.11:3".parse().unwrap(),
        }
    }

    fn id(text: &str) -> DatacenterId {
        DatacenterId::new(text).unwrap()
    }

    fn map() -> StandInMap {
        StandInMap { of: [(id("dc1"), doors())].into() }
    }

    fn spec(probe: Probe) -> Arc<CheckSpec> {
        Arc::new(CheckSpec { port: Some(8443), ..CheckSpec::of(probe) })
    }

    fn tls() -> TlsParams {
        TlsParams {
            sni: None,
            verify: Verify::System,
            client: None,
            expiry_warning: Duration::from_secs(86_400),
            allow_expired: false,
        }
    }

    fn http(tls: Option<TlsParams>) -> HttpProbe {
        HttpProbe { tls, json: vec![("/status".into(), "\"UP\"".into())], ..HttpProbe::get("/actuator/health") }
    }

    #[test]
    fn every_protocol_goes_to_its_door_on_loopback() {
        let at = |probe| map().place(&id("dc1"), &spec(probe)).unwrap().at;
        assert_eq!(at(Probe::Http(http(Some(tls())))), doors().https);
        assert_eq!(at(Probe::Http(http(None))), doors().http);
        assert_eq!(at(Probe::Tls(tls())), doors().https);
        assert_eq!(at(Probe::Tcp(TcpProbe { send: Some(b"hello".to_vec()), expect: None })), doors().tcp);
    }

    #[test]
    fn what_no_stand_in_can_answer_is_probed_nowhere_and_says_why() {
        let refused = |probe| map().place(&id("dc1"), &spec(probe)).unwrap_err();
        let dns = DnsProbe { name: None, rtype: 1, tcp: false, rcode: 0, answer: None };
        assert!(refused(Probe::Dns(dns)).contains("do not speak `dns`"));
        assert!(refused(Probe::Icmp).contains("do not speak `icmp`"));
        assert!(refused(Probe::External).contains("do not speak `external`"));
        let grpc = GrpcProbe { tls: Some(tls()), service: String::new(), host: None };
        assert!(refused(Probe::Grpc(grpc)).contains("do not speak `grpc`"));
        let prometheus = PrometheusProbe {
            url: "http://192.0.2.1:9090".into(),
            query: "up".into(),
            up_when: Comparison { is: Relation::AtLeast, to: Number::new(1.0).unwrap() },
            verify: Verify::System,
        };
        assert!(refused(Probe::Prometheus(prometheus)).contains("do not speak `prometheus`"));
        let expect = TcpProbe { send: None, expect: Some(b"220".to_vec()) };
        assert!(refused(Probe::Tcp(expect)).contains("say nothing"));
        let own_host = CheckSpec {
            host: Some(ProbeHost::Address(IpAddr::from([192, 0, 2, 1]))),
            ..CheckSpec::clone(&spec(Probe::Http(http(None))))
        };
        assert!(map().place(&id("dc1"), &Arc::new(own_host)).unwrap_err().contains("host of its own"));
        assert!(map().place(&id("dc9"), &spec(Probe::Http(http(None)))).unwrap_err().contains("dc9"));
    }

    #[test]
    fn a_check_that_the_stand_ins_answer_would_fail_is_not_made() {
        let refused = |http| map().place(&id("dc1"), &spec(Probe::Http(http))).map(|_| ());
        let plain = || http(None);
        assert!(refused(HttpProbe { status: vec![204..=204], ..plain() }).unwrap_err().contains("status"));
        assert!(refused(HttpProbe { contains: Some("OK".into()), ..plain() }).unwrap_err().contains("body"));
        assert!(refused(HttpProbe { regex: Some("U.".into()), ..plain() }).unwrap_err().contains("body"));
        let json = vec![("/db".into(), "\"UP\"".into())];
        assert!(refused(HttpProbe { json, ..plain() }).unwrap_err().contains("JSON"));
        assert_eq!(refused(HttpProbe { contains: Some("UP".into()), json: vec![], ..plain() }), Ok(()));
    }

    #[test]
    fn files_of_the_real_data_centre_are_not_asked_for() {
        let own = TlsParams {
            verify: Verify::Ca("/etc/ca.pem".into()),
            client: Some(("/etc/cert.pem".into(), "/etc/key.pem".into())),
            ..tls()
        };
        for probe in [Probe::Tls(own.clone()), Probe::Http(http(Some(own)))] {
            let placed = map().place(&id("dc1"), &spec(probe)).unwrap();
            assert_eq!(placed.check.probe.tls(), Some(&tls()));
        }
        let off = spec(Probe::Tls(TlsParams { verify: Verify::Off, ..tls() }));
        assert!(
            Arc::ptr_eq(&map().place(&id("dc1"), &off).unwrap().check, &off),
            "untouched where nothing need change"
        );
    }
}
