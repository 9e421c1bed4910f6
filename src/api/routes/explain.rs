//! `GET /api/explain`: the answer of the running server, or under what-ifs.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::response::IntoResponse;

use super::{Asked, Outcome, datacenters_named, internal};
use crate::api::input::invalid;
use crate::api::problem::{Answer, Kind, Problem};
use crate::explain::{Question, as_json, explained, what_if};
use crate::model::DatacenterIx;
use crate::table::RoutingTable;

pub(super) async fn explain(asked: Asked) -> Outcome {
    let view = asked.context.look();
    let query = &asked.query;
    let Some(name) = query.get("name") else {
        return Err(invalid("name", "is missing: the name asked for"));
    };
    let question = Question::parse(name, query.get("type").unwrap_or("A"), query.get("client"))
        .map_err(|why| Problem::new(Kind::InvalidValue, why))?;
    let named = |parameter: &str| -> Result<BTreeSet<DatacenterIx>, Problem> {
        let mut all = BTreeSet::new();
        for name in query.all(parameter) {
            all.extend(datacenters_named(&view.table, &name)?);
        }
        Ok(all)
    };
    let (down, out, switch) = (named("down")?, named("out")?, named("switch")?);
    let made = asked.context.heavily(move || {
        let is_what_if = !(down.is_empty() && out.is_empty() && switch.is_empty());
        let table = match is_what_if {
            false => Arc::clone(&view.table),
            true => {
                let facts = what_if::assumed(&view.table, &down, &out, &switch);
                Arc::new(RoutingTable::compile(view.table.base(), Arc::new(facts), view.table.generation()))
            }
        };
        let explained = explained(&table, &question, &down).map_err(|error| error.to_string())?;
        Ok::<_, String>(view.with(as_json(&table, &question, &explained)))
    });
    match made.await.ok_or_else(internal)? {
        Ok(body) => Ok(Answer(body).into_response()),
        Err(why) => Err(Problem::new(Kind::InvalidValue, why)),
    }
}
