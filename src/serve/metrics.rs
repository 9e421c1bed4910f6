//! What the doors count, as metrics.

use super::{DoorsCount, Meter, Snapshot, WorkerCount};
use crate::telemetry::{Page, Source, catalogue as the};

impl Source for Meter {
    fn write(&self, page: &mut Page) {
        let Some(DoorsCount { udp, tcp, connections, tls, tls_connections }) = self.count() else { return };
        transport(page, "udp", &udp.iter().map(|worker| worker.count).sum());
        transport(page, "tcp", &tcp);
        transport(page, "tls", &tls);
        for (worker, WorkerCount { address, kernel_drops, .. }) in udp.iter().enumerate() {
            if let Some(drops) = kernel_drops {
                let labels = [address.to_string(), worker.to_string()];
                page.count(&the::DNS_KERNEL_DROPS, &[&labels[0], &labels[1]], u64::from(*drops));
            }
        }
        page.count(&the::DNS_CONNECTIONS, &["tcp"], connections.open as u64);
        page.count(&the::DNS_CONNECTIONS, &["tls"], tls_connections as u64);
        page.count(&the::DNS_ACCEPTED, &["tcp"], connections.accepted);
        page.count(&the::DNS_REFUSED, &["tcp"], connections.refused);
    }
}

fn transport(page: &mut Page, transport: &str, count: &Snapshot) {
    let of_transport = [
        (&the::DNS_QUERIES, count.received),
        (&the::DNS_DROPPED, count.dropped),
        (&the::DNS_TRUNCATED, count.cut),
        (&the::DNS_OVERSIZED, count.truncated),
        (&the::DNS_SEND_ERRORS, count.send_errors),
        (&the::DNS_RECEIVE_ERRORS, count.receive_errors),
        (&the::DNS_PANICS, count.panics),
    ];
    for (metric, value) in of_transport {
        page.count(metric, &[transport], value);
    }
    let by_rcode = [
        ("NOERROR", count.noerror),
        ("FORMERR", count.formerr),
        ("SERVFAIL", count.servfail),
        ("NXDOMAIN", count.nxdomain),
        ("NOTIMP", count.notimp),
        ("REFUSED", count.refused),
        ("other", count.other_rcode),
    ];
    for (rcode, value) in by_rcode {
        page.count(&the::DNS_REPLIES, &[transport, rcode], value);
    }
    let by_type = [
        ("A", count.a),
        ("AAAA", count.aaaa),
        ("HTTPS", count.https),
        ("NS", count.ns),
        ("SOA", count.soa),
        ("TXT", count.txt),
        ("other", count.other_type),
    ];
    for (rtype, value) in by_type {
        page.count(&the::DNS_QUESTIONS, &[transport, rtype], value);
    }
}
