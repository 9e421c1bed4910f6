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
    Facts,
    Load,
    History,
    Events,
    Reload,
    ClockAccept,
    Switches,
    Switch,
    SwitchByPost,
    SwitchClear,
    DrainProgress,
    Drain,
    Undrain,
    ForceUp,
    ForceDown,
    ForceAuto,
    Failback,
    EndpointDrain,
    EndpointUndrain,
    EndpointForceUp,
    EndpointForceDown,
    EndpointForceAuto,
    Weights,
    WeightsClear,
    Ttl,
    TtlClear,
    Undo,
    Freeze,
    Unfreeze,
    Gate,
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
    /// The same for an order, which has other bounds than a report.
    Span,
    /// A text, or a list of them.
    Texts,
    /// Numbers by name.
    Numbers,
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

    /// It changes where clients go, by an order.
    pub(super) fn is_order(&self) -> bool {
        self.body.iter().any(|field| field.name == EXPECTED.name)
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

const SERVICES: Field = field("services", Holds::Texts, "Only these services; all or nothing.");
const REGIONS: Field = field("regions", Holds::Texts, "Only clients of these regions; `default` is everyone else.");
const REASON: Field = field("reason", Holds::Text, "Why; kept with the order.");
const ACTOR: Field =
    field("actor", Holds::Text, "Who gives the order, as claimed; kept beside the authenticated identity.");
const EXPIRES_IN: Field = field("expires_in", Holds::Span, "How long it stands; until it is taken back by default.");
const DRY_RUN: Field = field("dry_run", Holds::Bool, "Say what would happen, and do nothing.");
const FORCE: Field = field("force", Holds::Texts, "Rules that this order overrides, each by name.");
const EXPECTED: Field = field(
    "expected_revision",
    Holds::Number,
    "Refuse when the last order in force is another. If-Match does the same.",
);
const AUTOMATED: Field = field(
    "automated",
    Holds::Bool,
    "False: a person gives this order, so that a gate closed to robots lets it pass. True by default.",
);

const SWITCH: &[Field] = &[
    field("active_dc", Holds::Text, "The data centre or group that is to answer."),
    SERVICES,
    REGIONS,
    field("from", Holds::Texts, "Only clients whom policy would give one of these."),
    field("mode", Holds::Word(&["prefer", "pin"]), "How firmly; `prefer` by default. A pin needs `expires_in`."),
    REASON,
    ACTOR,
    EXPIRES_IN,
    DRY_RUN,
    FORCE,
    EXPECTED,
    AUTOMATED,
];
/// Of an order about some clients that leaves nothing standing.
const RELEASE: &[Field] = &[SERVICES, REGIONS, REASON, ACTOR, DRY_RUN, FORCE, EXPECTED, AUTOMATED];
/// Of one about data centres.
const DATACENTERS: &[Field] = &[SERVICES, REASON, ACTOR, EXPIRES_IN, DRY_RUN, FORCE, EXPECTED, AUTOMATED];
/// Of one that says all that it is about in its path.
const PLAIN: &[Field] = &[REASON, ACTOR, EXPIRES_IN, DRY_RUN, FORCE, EXPECTED, AUTOMATED];
const WEIGHTS: &[Field] = &[
    field("weights", Holds::Numbers, "By endpoint, or by data centre: 0 to 65535."),
    REASON,
    ACTOR,
    EXPIRES_IN,
    DRY_RUN,
    FORCE,
    EXPECTED,
    AUTOMATED,
];
const WEIGHTS_CLEAR: &[Field] = &[
    field("endpoints", Holds::Texts, "Only of these; all by default."),
    REASON,
    ACTOR,
    DRY_RUN,
    FORCE,
    EXPECTED,
    AUTOMATED,
];
const TTL: &[Field] = &[
    field("ttl", Holds::Span, "How long caches may keep answers."),
    REGIONS,
    REASON,
    ACTOR,
    EXPIRES_IN,
    DRY_RUN,
    FORCE,
    EXPECTED,
    AUTOMATED,
];
const TTL_CLEAR: &[Field] = &[REGIONS, REASON, ACTOR, DRY_RUN, FORCE, EXPECTED, AUTOMATED];
const UNDO: &[Field] = &[
    field("revision", Holds::Number, "The order to take back; the last one by default."),
    REASON,
    ACTOR,
    DRY_RUN,
    FORCE,
    EXPECTED,
    AUTOMATED,
];
const GATE: &[Field] = &[
    field("gate", Holds::Word(&["open", "closed"]), "Whether robots may give orders."),
    field("role", Holds::Word(&["operator", "admin"]), "Only robots of this role; all by default."),
    REASON,
    ACTOR,
    EXPIRES_IN,
    DRY_RUN,
    FORCE,
    EXPECTED,
    AUTOMATED,
];

/// Of every order.
const WAIT: &[Field] = &[
    field(
        "wait",
        Holds::Word(&["expired"]),
        "Carry the order out at once, and answer when the last answer given before it has expired from caches that \
         honour TTLs: 200; 202 when `wait_s` is over first.",
    ),
    field("wait_s", Holds::Number, "How long that may take, in seconds: 60 by default, 300 at most."),
];

/// A call that orders.
const fn order(
    call: Call,
    method: &'static str,
    path: &'static str,
    body: &'static [Field],
    summary: &'static str,
) -> Route {
    let query = WAIT;
    Route { method, query, body, body_len_max: API_BODY_LEN_MAX, ..get(call, path, Some(Role::Operator), summary) }
}

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
    get(
        Call::Load,
        "/api/load",
        Some(Role::Operator),
        "Recent queries, a sample: which network asked for which service, and for how many queries it stands. `meridian \
         diff` works with it.",
    ),
    get(
        Call::Facts,
        "/api/facts",
        Some(Role::Viewer),
        "What the table was made of besides files, by name: health, orders, latches. `meridian diff` works with it.",
    ),
    Route {
        query: &[
            field(
                "since",
                Holds::Text,
                "From when on: a time ago such as `24h`, or a time. A day ago by default, and the beginning with `cursor`.",
            ),
            field("limit", Holds::Number, "Entries in one answer."),
            field(
                "cursor",
                Holds::Number,
                "Only what stands behind this entry: `next` or `last` of the answer before.",
            ),
            field("verify", Holds::Bool, "In place of entries: is the whole log as it was written?"),
        ],
        ..get(
            Call::History,
            "/api/history",
            Some(Role::Viewer),
            "The audit log, the oldest first: orders, refusals, and what health did by itself.",
        )
    },
    get(
        Call::Events,
        "/api/events",
        Some(Role::Viewer),
        "What happens, as it happens: server-sent events, to be resumed with Last-Event-ID.",
    ),
    Route {
        method: "POST",
        body: &[
            field("reason", Holds::Text, "Why."),
            field("actor", Holds::Text, "Who, as claimed."),
            field("dry_run", Holds::Bool, "Say what would change, and change nothing."),
        ],
        body_len_max: API_BODY_LEN_MAX,
        ..get(Call::Reload, "/api/reload", Some(Role::Operator), "Read all files again.")
    },
    Route {
        method: "POST",
        body: &[field("reason", Holds::Text, "Why."), field("actor", Holds::Text, "Who, as claimed.")],
        body_len_max: API_BODY_LEN_MAX,
        ..get(
            Call::ClockAccept,
            "/api/clock/accept",
            Some(Role::Operator),
            "The wall clock is right: what waited after it had jumped goes on by it.",
        )
    },
    get(
        Call::DrainProgress,
        "/api/drain/{dc}",
        Some(Role::Viewer),
        "How far clients have left a data centre or group: its last answer, when that expires from caches that honour \
         TTLs, and answers in the last minute; by service.",
    ),
    get(Call::Switches, "/api/switch", Some(Role::Viewer), "Switches that stand."),
    order(Call::Switch, "PUT", "/api/switch", SWITCH, "Move clients to a data centre."),
    order(Call::SwitchByPost, "POST", "/api/switch", SWITCH, "The same."),
    order(Call::SwitchClear, "DELETE", "/api/switch", RELEASE, "Let policy decide again."),
    order(
        Call::Drain,
        "POST",
        "/api/datacenters/{id}/drain",
        DATACENTERS,
        "Order a data centre out: no new answer from that instant, by no rule.",
    ),
    order(Call::Undrain, "POST", "/api/datacenters/{id}/undrain", DATACENTERS, "Let it answer again."),
    order(Call::ForceUp, "POST", "/api/datacenters/{id}/force-up", DATACENTERS, "It is up, whatever checks say."),
    order(Call::ForceDown, "POST", "/api/datacenters/{id}/force-down", DATACENTERS, "It is down, whatever checks say."),
    order(Call::ForceAuto, "POST", "/api/datacenters/{id}/force-auto", DATACENTERS, "Believe its checks again."),
    order(
        Call::Failback,
        "POST",
        "/api/datacenters/{id}/failback",
        RELEASE,
        "Let clients come back to a data centre that they left because it was down.",
    ),
    order(
        Call::EndpointDrain,
        "POST",
        "/api/services/{name}/endpoints/{id}/drain",
        PLAIN,
        "Order endpoints of one service out.",
    ),
    order(
        Call::EndpointUndrain,
        "POST",
        "/api/services/{name}/endpoints/{id}/undrain",
        PLAIN,
        "Let them answer again.",
    ),
    order(
        Call::EndpointForceUp,
        "POST",
        "/api/services/{name}/endpoints/{id}/force-up",
        PLAIN,
        "They are up, whatever checks say.",
    ),
    order(
        Call::EndpointForceDown,
        "POST",
        "/api/services/{name}/endpoints/{id}/force-down",
        PLAIN,
        "They are down, whatever checks say.",
    ),
    order(
        Call::EndpointForceAuto,
        "POST",
        "/api/services/{name}/endpoints/{id}/force-auto",
        PLAIN,
        "Believe their checks again.",
    ),
    order(Call::Weights, "PUT", "/api/services/{name}/weights", WEIGHTS, "Weights in place of the policy's."),
    order(Call::WeightsClear, "DELETE", "/api/services/{name}/weights", WEIGHTS_CLEAR, "The policy's weights again."),
    order(Call::Ttl, "PUT", "/api/services/{name}/ttl", TTL, "A TTL in place of the policy's."),
    order(Call::TtlClear, "DELETE", "/api/services/{name}/ttl", TTL_CLEAR, "The policy's TTL again."),
    order(Call::Undo, "POST", "/api/undo", UNDO, "Take an order back, as an order of its own."),
    order(Call::Freeze, "POST", "/api/freeze", PLAIN, "Nothing moves by itself."),
    order(Call::Unfreeze, "POST", "/api/unfreeze", PLAIN, "Health moves clients again."),
    order(Call::Gate, "PUT", "/api/gate", GATE, "Keep robots from ordering, and people not."),
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
