//! The demo's promise, end to end: the reference policy's check, probed by the real probe, sees each stand-in up,
//! and sees every way in which it can be told to misbehave. Nothing leaves loopback.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use meridian::demo::{Mode, StandIns};
use meridian::health::Outcome;
use meridian::health::probe::{Context, Resolve, TlsClients, Unresolved, probe};
use meridian::model::{
    CheckSpec, DatacenterId, HttpProbe, Name, Probe, ProbeHost, TargetSpec, TcpProbe, TlsParams, Verify,
};

/// Targets in the demo are addresses: a name would be a way out.
struct Nobody;

#[async_trait]
impl Resolve for Nobody {
    async fn resolve(&self, name: &Name) -> Result<Vec<IpAddr>, Unresolved> {
        panic!("{name} was resolved in the demo")
    }
}

fn check(probe: Probe, max_response: Duration, timeout: Duration) -> Arc<CheckSpec> {
    Arc::new(CheckSpec { port: Some(443), timeout, max_response, ..CheckSpec::of(probe) })
}

fn tls() -> TlsParams {
    TlsParams {
        sni: None,
        // A private CA that is nowhere on this machine.
        verify: Verify::Ca("/nonexistent/ca.pem".into()),
        client: None,
        expiry_warning: Duration::from_secs(14 * 86_400),
        allow_expired: false,
    }
}

fn actuator(tls: Option<TlsParams>, http2: bool) -> Probe {
    Probe::Http(HttpProbe {
        tls,
        http2,
        json: vec![("/status".into(), "\"UP\"".into())],
        ..HttpProbe::get("/actuator/health")
    })
}

async fn look(stand_ins: &StandIns, datacenter: &DatacenterId, check: &Arc<CheckSpec>) -> Outcome {
    let placed = stand_ins.map().place(datacenter, check).unwrap();
    let spec = TargetSpec {
        check: placed.check,
        host: ProbeHost::Address(placed.at.ip()),
        port: placed.at.port(),
        service: "api.meta-driven.example.com".into(),
        query: "".into(),
    };
    let context = Context::new(Arc::new(Nobody), TlsClients::new(vec![stand_ins.ca_der().clone()]));
    probe(&spec, &context).await
}

fn why(outcome: Outcome) -> String {
    match outcome {
        Outcome::Bad { why, .. } => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_probe_sees_every_stand_in_up_and_every_way_to_misbehave() {
    let ids = ["dc1", "dc2", "dc3"].map(|id| DatacenterId::new(id).unwrap());
    let stand_ins = StandIns::start(ids.to_vec(), &tokio::runtime::Handle::current()).unwrap();
    // Long, for a busy machine; only a stand-in that hangs is waited for so long as it is short.
    let (long, short) = (Duration::from_secs(60), Duration::from_millis(500));
    let https = |max_response, timeout| check(actuator(Some(tls()), false), max_response, timeout);
    let all = [
        https(long, long),
        check(actuator(Some(tls()), true), long, long),
        check(actuator(None, false), long, long),
        check(actuator(None, true), long, long),
        check(Probe::Tls(tls()), long, long),
        check(Probe::Tcp(TcpProbe { send: Some(b"hello".to_vec()), expect: None }), long, long),
    ];
    for id in &ids {
        for check in &all {
            let outcome = look(&stand_ins, id, check).await;
            assert!(matches!(outcome, Outcome::Good(_)), "{id}, {}: {outcome:?}", check.probe.protocol().as_str());
        }
    }
    let dc1 = &ids[0];
    stand_ins.set(dc1, Mode::Fail).await.unwrap();
    for check in &all {
        assert!(why(look(&stand_ins, dc1, check).await).contains("refused"));
        assert!(matches!(look(&stand_ins, &ids[1], check).await, Outcome::Good(_)), "the others go on");
    }
    stand_ins.set(dc1, Mode::Hang).await.unwrap();
    let hung = why(look(&stand_ins, dc1, &https(short, short)).await);
    assert!(hung.contains("within 500 ms"), "{hung}");
    stand_ins.set(dc1, Mode::Slow).await.unwrap();
    let slow = why(look(&stand_ins, dc1, &https(Duration::from_secs(2), long)).await);
    assert!(slow.contains("`max_response` is 2 s"), "{slow}");
    stand_ins.set(dc1, Mode::Lie).await.unwrap();
    let lie = why(look(&stand_ins, dc1, &https(long, long)).await);
    assert!(lie.contains("DOWN"), "{lie}");
    stand_ins.set(dc1, Mode::Up).await.unwrap();
    for check in &all {
        assert!(matches!(look(&stand_ins, dc1, check).await, Outcome::Good(_)), "recovered");
    }
}
