//! Every metric: its name, kind, labels and help.

/// What kind of number a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows while the process lives.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A count, a sum and quantiles.
    Summary,
}

impl Kind {
    /// As the exposition format says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Summary => "summary",
        }
    }
}

/// One metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// The names of its labels, in the order in which values are given.
    pub labels: &'static [&'static str],
    /// One sentence.
    pub help: &'static str,
}

macro_rules! metrics {
    ($($ident:ident = $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $ident: Metric =
                Metric { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help };
        )*

        /// All that are ours, in the order of the documentation.
        pub const ALL: &[Metric] = &[$($ident),*];
    };
}

metrics! {
    BUILD = Gauge "meridian_build_info" ["version"] "Always 1; the version is the label.";

    DNS_QUERIES = Counter "meridian_dns_queries_total" ["transport"] "Messages that came in.";
    DNS_REPLIES = Counter "meridian_dns_replies_total" ["transport", "rcode"] "Replies, by response code; BADVERS counts as NOERROR.";
    DNS_QUESTIONS = Counter "meridian_dns_questions_total" ["transport", "type"] "Replies, by the type asked for: the common ones by name, else `other`.";
    DNS_DROPPED = Counter "meridian_dns_dropped_total" ["transport"] "Messages that get no reply: no queries, from port 0, or not ours to answer.";
    DNS_TRUNCATED = Counter "meridian_dns_truncated_replies_total" ["transport"] "Replies that were cut short, so that the client asks again over TCP.";
    DNS_OVERSIZED = Counter "meridian_dns_oversized_queries_total" ["transport"] "Datagrams longer than any query that is read.";
    DNS_SEND_ERRORS = Counter "meridian_dns_send_errors_total" ["transport"] "Replies that could not be sent.";
    DNS_RECEIVE_ERRORS = Counter "meridian_dns_receive_errors_total" ["transport"] "Failed attempts to receive.";
    DNS_PANICS = Counter "meridian_dns_panics_total" ["transport"] "Messages whose answering broke a promise of the code; each cost its own reply. Anything but 0 is a defect.";
    DNS_KERNEL_DROPS = Counter "meridian_dns_kernel_drops_total" ["address", "worker"] "Queries that the kernel dropped because a UDP worker did not fetch them in time.";
    DNS_CONNECTIONS = Gauge "meridian_dns_connections" ["transport"] "Open connections.";
    DNS_ACCEPTED = Counter "meridian_dns_connections_accepted_total" ["transport"] "Connections let in.";
    DNS_REFUSED = Counter "meridian_dns_connections_refused_total" ["transport"] "Connections closed at once: too many in all, or of that client.";

    ANSWERS = Counter "meridian_answers_total" ["service", "datacenter"] "Answers that named an endpoint of the data centre, over all transports: addresses, CNAME or HTTPS. One that names several data centres counts for each.";
    DATACENTER_ANSWERS = Counter "meridian_datacenter_answers_total" ["datacenter"] "The same of all services.";

    GENERATION = Gauge "meridian_generation" [] "Number of the routing table that answers.";
    GENERATION_AGE = Gauge "meridian_generation_age_seconds" [] "Since that table was published.";
    REVISION = Gauge "meridian_revision" [] "The last order in force.";
    SERVICES = Gauge "meridian_services" [] "Services in the table.";
    OVERRIDES = Gauge "meridian_overrides" ["kind"] "Standing orders.";

    DATACENTER_STATE = Gauge "meridian_datacenter_state" ["datacenter", "state"] "1 for the state that a data centre is in (up: some watched endpoint is; down: all are; unknown), else 0.";
    DATACENTER_ENDPOINTS = Gauge "meridian_datacenter_endpoints" ["datacenter", "state"] "Endpoints of a data centre, over all services, by state.";
    DATACENTER_HELD = Gauge "meridian_datacenter_held_endpoints" ["datacenter"] "Endpoints that came back up and are in their hold-down.";
    DATACENTER_ADMIN = Gauge "meridian_datacenter_admin" ["datacenter", "state"] "1 for what operators ordered of a data centre (in, draining, out), else 0.";
    LATCHES = Gauge "meridian_latches" ["datacenter"] "Latches: clients left the data centre and stay away until failback.";
    ENDPOINT_STATE = Gauge "meridian_endpoint_state" ["service", "endpoint", "datacenter", "state"] "1 for the state that an endpoint is in, else 0.";
    MOVES = Counter "meridian_moves_total" [] "Moves of the clients of a service and region from data centres to others.";
    BLIND = Gauge "meridian_blind" [] "1 while this node may be blind, and believes no falls; else 0.";
    FALLS_HELD = Gauge "meridian_falls_held" [] "Targets that would be down if this node were sure that it sees.";
    ALARMS = Gauge "meridian_alarms" [] "What somebody should look at now; `meridian status` says it in sentences.";

    TARGETS = Gauge "meridian_targets" ["datacenter", "check"] "What is probed, each once.";
    PROBES_STARTED = Counter "meridian_probes_started_total" [] "Probes begun.";
    PROBES_LATE = Counter "meridian_probes_late_total" [] "Probes that began more than 100 ms after their time.";
    PROBES_LOST = Counter "meridian_probes_lost_total" [] "Probes given up because no result came. Anything but 0 is a defect.";
    PROBES_IN_FLIGHT = Gauge "meridian_probes_in_flight" [] "Probes that have begun and not ended.";
    PROBE_LATENESS_MAX = Gauge "meridian_probe_lateness_max_seconds" [] "The latest that a probe began after its time.";
    PROBE_RESULTS = Counter "meridian_probe_results_total" ["datacenter", "check", "result"] "Results: good, bad, or blind, which is evidence of nothing.";
    PROBE_DURATION = Summary "meridian_probe_duration_seconds" ["datacenter", "check"] "Time to a good or bad result.";
    CERTIFICATE_EXPIRES = Gauge "meridian_certificate_expires_timestamp_seconds" ["datacenter", "check"] "When the first certificate among the targets expires, Unix time.";

    API_REQUESTS = Counter "meridian_api_requests_total" ["method", "route", "status"] "Requests to the API; `other` for what is no route.";
    API_CONNECTIONS = Gauge "meridian_api_connections" [] "Open connections of the API.";
    API_REFUSED = Counter "meridian_api_connections_refused_total" [] "Connections of the API closed at once: too many in all, or of that client.";
    API_AUTH_FAILURES = Counter "meridian_api_authentication_failures_total" ["reason"] "Requests with credentials that are not good, or without any where some are needed.";
    ORDERS = Counter "meridian_orders_total" ["order", "outcome"] "Orders over the API: applied, unchanged (it stood already), repeated (known by its key), dry-run, refused, failed (not stored, or not in time).";
    ORDER_REFUSALS = Counter "meridian_order_refusals_total" ["rule"] "Refusals, by each rule that refused; `invalid`: what was ordered makes no sense here.";
    ORDERS_FORCED = Counter "meridian_orders_forced_total" ["rule"] "Orders that were carried out against a rule, by each rule that they overrode.";
    EVENT_STREAMS = Gauge "meridian_event_streams" [] "Followers of events.";

    STORE_ERRORS = Counter "meridian_store_errors_total" ["what"] "What the store failed to write: `journal` (orders), `keep` (latches, health), `note` (entries of the audit log that are lost).";
    STORE_REFUSING = Gauge "meridian_store_refusing" [] "1 while nothing can be stored, so that orders are refused; else 0.";
    STORE_WAITING = Gauge "meridian_store_orders_waiting" [] "Orders that wait for the journal.";
    STORE_COMMIT = Gauge "meridian_store_last_commit_seconds" [] "How long the last write to the journal took, sync included.";

    SERIES_OMITTED = Gauge "meridian_metrics_series_omitted" ["metric"] "Series left out of this page because a metric would have had too many.";
}

/// What the `process` collector adds.
pub const PROCESS: &[Metric] = &[
    process("process_cpu_seconds_total", Kind::Counter, "User and system CPU time, in seconds."),
    process("process_max_fds", Kind::Gauge, "The limit of open files."),
    process("process_open_fds", Kind::Gauge, "Open files."),
    process("process_resident_memory_bytes", Kind::Gauge, "Resident memory."),
    process("process_start_time_seconds", Kind::Gauge, "When the process started, Unix time."),
    process("process_threads", Kind::Gauge, "Threads."),
    process("process_virtual_memory_bytes", Kind::Gauge, "Virtual memory."),
];

const fn process(name: &'static str, kind: Kind, help: &'static str) -> Metric {
    Metric { name, kind, labels: &[], help }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_follow_the_trade() {
        let names: BTreeSet<&str> = ALL.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), ALL.len(), "each once");
        for metric in ALL {
            assert!(metric.name.starts_with("meridian_"), "{}", metric.name);
            assert_eq!(metric.name.ends_with("_total"), metric.kind == Kind::Counter, "{}", metric.name);
            assert!(metric.help.ends_with('.'), "{}", metric.name);
        }
    }
}
