//! The one table of calls.
//!
//! Router, authorisation, input checks, documentation and metrics are made from it. A call that is not here
//! does not exist; one that is here has a role, because [`Route`] has the field.

use crate::limits::{API_BATCH_LEN_MAX, API_BODY_LEN_MAX};
use crate::model::Role;

/// What can be asked or ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the table below says what each is")]
pub enum Call {
    Livez,
    Readyz,
    Metrics,
    OpenApi,
    Status,
    Datacenters,
    Datacenter,
    Services,
    Service,
    ActiveDc,
    Explain,
    Reload,
    Failback,
    Health,
    Observations,
    Demo,
}

/// What a parameter or field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    Text,
    Word(&'static [&'static str]),
    Bool,
    Number,
    /// `5s`, `2h`, or seconds as a number.
    Duration,
    /// A text, or a list of them.
    Texts,
    /// Reports, each with the fields of [`REPORT`] and the two that name what it is about.
    Reports,
}

/// A query parameter, or a field of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) holds: Holds,
    pub(super) about: &'static str,
}

const fn field(name: &'static str, holds: Holds, about: &'static str) -> Field {
    Field { name, holds, about }
}

/// One call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route {
    pub(super) call: Call,
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    /// The least role; `None`: whoever can connect.
    pub(super) role: Option<Role>,
    pub(super) summary: &'static str,
    pub(super) query: &'static [Field],
    pub(super) body: &'static [Field],
    pub(super) body_len_max: usize,
}

impl Route {
    /// It changes something, or asks the writer to.
    pub(super) fn is_write(&self) -> bool {
        self.method != "GET"
    }

    /// As grants and logs name it: `GET /api/status`.
    pub(super) fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

const fn get(call: Call, path: &'static str, role: Option<Role>, summary: &'static str) -> Route {
    Route { call, method: "GET", path, role, summary, query: &[], body: &[], body_len_max: 0 }
}

/// Fields of one report, beside the endpoint and check that it is about.
pub(super) const REPORT: &[Field] = &[
    field("state", Holds::Word(&["up", "down", "unknown"]), "What was seen."),
    field("detail", Holds::Text, "For a person: why."),
    field("ttl", Holds::Duration, "How long this holds without another report; 30 s by default."),
    field("observer", Holds::Text, "Who saw it; the token's id by default."),
    field("service", Holds::Text, "Only the endpoint of that id in this service."),
    field("address", Holds::Text, "Only this address of the endpoint."),
];

/// Fields of an order.
const ORDER: &[Field] = &[
    field("services", Holds::Texts, "Only these services."),
    field("reason", Holds::Text, "Why; kept with the order."),
    field("actor", Holds::Text, "Who gives the order, as claimed; kept beside the authenticated identity."),
    field("dry_run", Holds::Bool, "Say what would happen, and do nothing."),
    field("expected_revision", Holds::Number, "Refuse when the last order in force is another."),
];

/// Every call.
pub(super) const ROUTES: &[Route] = &[
    get(Call::Livez, "/livez", None, "The process answers."),
    get(
        Call::Readyz,
        "/readyz",
        None,
        "A table is published and the DNS sockets are open. Does not depend on store, peers or probes.",
    ),
    get(Call::Metrics, "/metrics", Some(Role::Viewer), "Metrics in the Prometheus text format."),
    get(Call::OpenApi, "/openapi.json", None, "This document."),
    Route {
        query: &[field("services", Holds::Number, "Services listed at most, those that need attention first.")],
        ..get(
            Call::Status,
            "/api/status",
            Some(Role::Viewer),
            "What waits for a person; data centres, services, health, orders.",
        )
    },
    get(Call::Datacenters, "/api/datacenters", Some(Role::Viewer), "All data centres."),
    get(Call::Datacenter, "/api/datacenters/{id}", Some(Role::Viewer), "One data centre, with its endpoints."),
    Route {
        query: &[
            field("limit", Holds::Number, "Services in one answer."),
            field("after", Holds::Text, "Only those behind this name: the `next` of the answer before."),
        ],
        ..get(Call::Services, "/api/services", Some(Role::Viewer), "Services, in the order of their names.")
    },
    get(
        Call::Service,
        "/api/services/{name}",
        Some(Role::Viewer),
        "One service: what each region is served and why, and the health of each address.",
    ),
    Route {
        query: &[field("service", Holds::Text, "Of this service alone.")],
        ..get(
            Call::ActiveDc,
            "/api/active-dc",
            Some(Role::Viewer),
            "The data centre that a client of no listed region really gets now.",
        )
    },
    Route {
        query: &[
            field("name", Holds::Text, "The name asked for."),
            field("type", Holds::Text, "The type asked for; A by default."),
            field("client", Holds::Text, "The client: an address or a network."),
            field("down", Holds::Texts, "What if these data centres were down?"),
            field("out", Holds::Texts, "What if they were ordered out?"),
            field("switch", Holds::Texts, "What if a switch to them stood?"),
        ],
        ..get(Call::Explain, "/api/explain", Some(Role::Viewer), "What a client gets for a name, and why.")
    },
    Route {
        method: "POST",
        body: &[field("reason", Holds::Text, "Why."), field("actor", Holds::Text, "Who, as claimed.")],
        body_len_max: API_BODY_LEN_MAX,
        ..get(Call::Reload, "/api/reload", Some(Role::Operator), "Read all files again.")
    },
    Route {
        method: "POST",
        body: ORDER,
        body_len_max: API_BODY_LEN_MAX,
        ..get(
            Call::Failback,
            "/api/datacenters/{id}/failback",
            Some(Role::Operator),
            "Let clients come back to a data centre that they left because it was down.",
        )
    },
    Route {
        method: "PUT",
        body: REPORT,
        body_len_max: API_BODY_LEN_MAX,
        ..get(
            Call::Health,
            "/api/health/{endpoint}/{check}",
            Some(Role::Operator),
            "An outside observer's result for every service with an endpoint of that id that uses the check.",
        )
    },
    Route {
        method: "POST",
        body: &[
            field("reports", Holds::Reports, "What was seen."),
            field("observer", Holds::Text, "Who saw those that name no observer; the token's id by default."),
            field("ttl", Holds::Duration, "How long those hold that say nothing else; 30 s by default."),
        ],
        body_len_max: API_BATCH_LEN_MAX,
        ..get(Call::Observations, "/api/observations", Some(Role::Operator), "Many such results at once.")
    },
    Route {
        method: "POST",
        body_len_max: API_BODY_LEN_MAX,
        ..get(
            Call::Demo,
            "/api/demo/{dc}/{mode}",
            Some(Role::Operator),
            "Make a stand-in data centre misbehave: fail, hang, slow, lie, recover. Only under --demo.",
        )
    },
];
