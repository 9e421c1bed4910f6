//! `GET /api/active-dc`.

use axum::response::IntoResponse;
use serde_json::{Map, Value};

use super::{Asked, Outcome, internal, service_named};
use crate::api::context::View;
use crate::api::problem::Answer;
use crate::model::ServiceIx;

pub(super) async fn active(asked: Asked) -> Outcome {
    let view = asked.context.look();
    let service = asked.query.get("service").map(|name| service_named(&view.table, name)).transpose()?;
    let body = asked.context.heavily(move || match service {
        Some(ix) => of_one(&view, ix),
        None => of_all(&view),
    });
    Ok(Answer(body.await.ok_or_else(internal)?).into_response())
}

fn name(view: &View, ix: ServiceIx) -> String {
    view.table.base().policy().services[ix.at()].name.to_string()
}

fn of_one(view: &View, ix: ServiceIx) -> Value {
    let mut body = view.active_fields(&view.active(ix));
    body.insert("service".into(), name(view, ix).into());
    body.extend(view.head());
    Value::Object(body)
}

/// One answer when all services concerned agree, else each one's.
fn of_all(view: &View) -> Value {
    let all: Vec<_> = view.concerned().into_iter().map(|ix| (ix, view.active(ix))).collect();
    let first = all.first().map(|(_, active)| active);
    let agree = all.iter().all(|(_, active)| Some(active.datacenter) == first.map(|first| first.datacenter));
    let mut body = Map::new();
    match first {
        Some(first) if agree => {
            // They may have come to it by different ways: what stands out is told.
            let telling = all.iter().map(|(_, active)| active).find(|active| active.source != "policy");
            body.extend(view.active_fields(telling.unwrap_or(first)));
        }
        Some(_) | None => {
            for field in ["dc", "id", "source", "ordered"] {
                body.insert(field.into(), Value::Null);
            }
            let by_service: Map<String, Value> =
                all.iter().map(|(ix, active)| (name(view, *ix), Value::Object(view.active_fields(active)))).collect();
            body.insert("by_service".into(), by_service.into());
        }
    }
    body.extend(view.head());
    Value::Object(body)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::control::{self, Control, Paths};
    use crate::model::{
        AddressKey, Admin, DatacenterIx, EndpointIx, Facts, Generation, Override, OverrideKind, Revision, Scope,
        Settings, State, Verdict,
    };
    use crate::table::RoutingTable;

    /// `b` has no endpoint in dc3, so the two services can disagree.
    const POLICIES: [(&str, &str); 2] = [
        (
            "a.yaml",
            "gslb:\n  domain: a.example.com\n  checks: live\n  policies:\n    default: {type: priority}\n  \
             endpoints:\n    dc1_beijing: {ip: 192.0.2.1, priority: 1}\n    dc2_beijing: {ip: 192.0.2.2, priority: 2}\n    \
             dc3_shanghai: {ip: 192.0.2.3, priority: 3}\n",
        ),
        (
            "b.yaml",
            "gslb:\n  domain: b.example.com\n  checks: live\n  policies:\n    default: {type: priority}\n  \
             endpoints:\n    dc1_beijing: {ip: 198.51.100.1, priority: 1}\n    dc2_beijing: {ip: 198.51.100.2, priority: 2}\n\
             ---\nhealth_checks:\n  live: {protocol: tcp, port: 443}\n",
        ),
    ];

    const DC3: DatacenterIx = DatacenterIx(2);

    /// What is shown when these facts hold.
    fn view(facts: Facts) -> View {
        let dir = tempfile::tempdir().unwrap();
        let texts = POLICIES.iter().flat_map(|(_, text)| text.split("---\n")).enumerate();
        for (at, text) in texts {
            std::fs::write(dir.path().join(format!("{at}.yaml")), text).unwrap();
        }
        let zones = dir.path().to_owned();
        let paths = Paths { zones, geoip: Vec::new(), geoip_if_present: true, geoip_required: false };
        let loaded = control::load(&paths, &Settings::default(), false);
        let base = loaded.base.unwrap_or_else(|| panic!("{:#?}", loaded.found));
        let control = Control::new(paths, Settings::default(), false, &base);
        let table = Arc::new(RoutingTable::compile(&base, Arc::new(facts), Generation(7)));
        View {
            table,
            status: control.status(),
            sightings: None,
            feed: Arc::clone(control.talk().feed()),
            node: "gtm1".into(),
        }
    }

    fn switch(to: DatacenterIx, revision: u64) -> Override {
        Override {
            kind: OverrideKind::Prefer { to: [to].into(), from: None, yielded: false, left: BTreeSet::new() },
            scope: Scope::all(),
            revision: Revision(revision),
            actor: "kim".into(),
            reason: "drill".into(),
            expires_at: None,
        }
    }

    fn fields(body: &Value) -> [Value; 4] {
        ["dc", "id", "source", "ordered"]
            .map(|field| body.get(field).unwrap_or_else(|| panic!("no {field}: {body}")).clone())
    }

    #[test]
    fn a_switch_concerns_the_services_that_it_can_reach_and_is_named_when_it_is_not_obeyed() {
        let switched = || Facts { overrides: vec![switch(DC3, 4)], revision: Revision(4), ..Facts::all_up() };
        // b has no endpoint there, so a alone is concerned.
        let obeyed = view(switched());
        let body = of_all(&obeyed);
        assert_eq!(fields(&body), [json!("dc3"), json!("dc3_shanghai"), json!("switch"), Value::Null]);
        assert_eq!(body["revision"], 4);
        assert_eq!(of_one(&obeyed, ServiceIx(1))["dc"], "dc1");

        let mut facts = switched();
        facts.datacenters.insert(DC3, Admin::Out);
        let body = of_all(&view(facts));
        assert_eq!((&body["dc"], &body["ordered"]), (&json!("dc1"), &json!("dc3")));
    }

    #[test]
    fn nothing_that_may_answer_is_null() {
        let mut facts = Facts::all_up();
        facts.datacenters = (0..3).map(|at| (DatacenterIx(at), Admin::Out)).collect();
        assert_eq!(of_all(&view(facts))["dc"], Value::Null);
    }

    #[test]
    fn when_everything_is_down_it_says_that_it_fails_open() {
        let mut facts = Facts::all_up();
        for (service, endpoint) in [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)] {
            let key = AddressKey { service: ServiceIx(service), endpoint: EndpointIx(endpoint), address: 0 };
            facts.health.of.insert(key, Verdict::of(State::Down));
        }
        let body = of_all(&view(facts));
        assert_eq!((&body["dc"], &body["source"]), (&json!("dc1"), &json!("fail-open")));
    }
}
