//! Reading: status, data centres, services.

use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::{Asked, Outcome, datacenters_named, internal, service_named};
use crate::api::context::View;
use crate::api::input::invalid;
use crate::api::problem::Answer;
use crate::api::view::{count_datacenters, needs_attention, time};
use crate::limits::API_SERVICES_MAX;
use crate::model::{Admin, DatacenterIx, Name, ServiceIx};
use crate::table::standings;

/// Answers with what `make` makes, where it keeps nobody waiting.
async fn made(asked: &Asked, make: impl FnOnce(View) -> Value + Send + 'static) -> Outcome {
    let view = asked.context.look();
    let body = asked.context.heavily(move || make(view)).await.ok_or_else(internal)?;
    Ok(Answer(body).into_response())
}

pub(super) async fn status(asked: Asked) -> Outcome {
    let max = asked.query.number("services")?.unwrap_or(API_SERVICES_MAX);
    if max > API_SERVICES_MAX {
        return Err(invalid("services", &format!("is at most {API_SERVICES_MAX}; /api/services gives all, by parts")));
    }
    made(&asked, move |view| status_of(&view, max)).await
}

fn status_of(view: &View, services_max: usize) -> Value {
    let (policy, facts) = (view.table.base().policy(), view.table.facts());
    let counted = count_datacenters(&view.table);
    let waiting = view.waiting();
    let datacenters: Vec<Value> = counted
        .iter()
        .enumerate()
        .map(|(at, counted)| view.datacenter_brief(DatacenterIx::from_at(at), counted))
        .collect();
    let (mut attention, mut plain) = (Vec::new(), Vec::new());
    for (at, service) in policy.services.iter().enumerate() {
        let ix = ServiceIx::from_at(at);
        let list = if needs_attention(&standings(service, ix, facts)) { &mut attention } else { &mut plain };
        list.push(ix);
    }
    let is_ordered = !facts.overrides.is_empty()
        || !facts.latches.is_empty()
        || facts.datacenters.values().any(|admin| *admin != Admin::In)
        || facts.endpoints.values().any(|admin| *admin != Admin::In)
        || !facts.forced_datacenters.is_empty()
        || !facts.forced_endpoints.is_empty();
    let is_well = waiting.is_empty() && view.status.blindness.is_none() && attention.is_empty() && !is_ordered;
    let shown: Vec<ServiceIx> = attention.iter().chain(&plain).copied().take(services_max).collect();
    let services: Vec<Value> = shown.iter().map(|ix| view.service(*ix, false)).collect();
    view.with(json!({
        "well": is_well,
        "waiting": waiting,
        "blindness": view.blindness(),
        "datacenters": datacenters,
        "orders": facts.overrides.iter().map(|order| view.order(order)).collect::<Vec<_>>(),
        "services": services,
        "services_in_all": policy.services.len(),
        "services_needing_attention": attention.len(),
        "tiers_closed": view.closed_tiers(),
        "moves": view.moves(),
        "watching": view.status.is_watching,
        "first_round_complete": view.status.is_first_round_complete,
        "published_at": time(view.status.published_at),
        "version": env!("CARGO_PKG_VERSION"),
    }))
}

pub(super) async fn datacenters(asked: Asked) -> Outcome {
    made(&asked, |view| {
        let counted = count_datacenters(&view.table);
        let all: Vec<Value> = counted
            .iter()
            .enumerate()
            .map(|(at, counted)| view.datacenter_brief(DatacenterIx::from_at(at), counted))
            .collect();
        view.with(json!({ "datacenters": all }))
    })
    .await
}

pub(super) async fn datacenter(asked: Asked) -> Outcome {
    let named = datacenters_named(&asked.context.look().table, asked.path("id"))?;
    made(&asked, move |view| {
        let counted = count_datacenters(&view.table);
        let known = |ix: &DatacenterIx| ix.at() < counted.len();
        let mut all: Vec<Value> = named
            .iter()
            .filter(|ix| known(ix))
            .map(|ix| {
                let mut value = view.datacenter_brief(*ix, &counted[ix.at()]);
                let (endpoints, omitted) = endpoints_in(&view, *ix);
                if let Value::Object(fields) = &mut value {
                    fields.insert("at".into(), endpoints.into());
                    fields.insert("omitted".into(), omitted.into());
                }
                value
            })
            .collect();
        match all.len() {
            1 => view.with(all.remove(0)),
            _ => view.with(json!({ "datacenters": all })),
        }
    })
    .await
}

/// The endpoints in a data centre, and how many more there are.
fn endpoints_in(view: &View, datacenter: DatacenterIx) -> (Vec<Value>, usize) {
    let (mut shown, mut omitted) = (Vec::new(), 0);
    for (at, service) in view.table.base().policy().services.iter().enumerate() {
        if service.endpoints.iter().all(|endpoint| endpoint.datacenter != datacenter) {
            continue;
        }
        let ix = ServiceIx::from_at(at);
        let standings = standings(service, ix, view.table.facts());
        for ((endpoint, this), standing) in service.endpoints().zip(&standings) {
            if this.datacenter != datacenter {
                continue;
            }
            if shown.len() == API_SERVICES_MAX {
                omitted += 1;
                continue;
            }
            let mut value = view.endpoint(ix, endpoint, standing, false);
            if let Value::Object(fields) = &mut value {
                fields.insert("service".into(), service.name.to_string().into());
            }
            shown.push(value);
        }
    }
    (shown, omitted)
}

pub(super) async fn services(asked: Asked) -> Outcome {
    let limit = asked.query.number("limit")?.unwrap_or(API_SERVICES_MAX);
    if !(1..=API_SERVICES_MAX).contains(&limit) {
        return Err(invalid("limit", &format!("is from 1 to {API_SERVICES_MAX}")));
    }
    let after = match asked.query.get("after") {
        Some(text) => Some(Name::parse(text).map_err(|error| invalid(text, &format!("is no domain name: {error}")))?),
        None => None,
    };
    made(&asked, move |view| {
        let services = &view.table.base().policy().services;
        // Services stand in the order of their names.
        let first = after.map_or(0, |after| services.partition_point(|service| service.name <= after));
        let last = services.len().min(first + limit);
        let shown: Vec<Value> = (first..last).map(|at| view.service(ServiceIx::from_at(at), false)).collect();
        let next = (last < services.len()).then(|| services[last - 1].name.to_string());
        view.with(json!({ "services": shown, "services_in_all": services.len(), "next": next }))
    })
    .await
}

pub(super) async fn service(asked: Asked) -> Outcome {
    let view = asked.context.look();
    let ix = service_named(&view.table, asked.path("name"))?;
    let body = asked.context.heavily(move || view.with(view.service(ix, true))).await.ok_or_else(internal)?;
    Ok(Answer(body).into_response())
}
