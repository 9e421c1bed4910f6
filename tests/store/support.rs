//! Orders, and waiting for what becomes of them.

use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use meridian::model::{Generation, Revision};
use meridian::store::{Bounds, Change, Finding, Idempotency, Note, Order, OsDisk, Refusal, Restored, Severity, Store};
use serde_json::json;

/// Small files, so that there are many; the shares are those of real ones.
pub(crate) const SMALL: Bounds = Bounds { segment_len: 96 << 10, reserve_len: 32 << 10, segments_kept: 6 };

pub(crate) const WITHIN: Duration = Duration::from_secs(3);

/// An order that can be told from every other: it sets a key of its own slot.
pub(crate) fn order(revision: u64) -> Order {
    Order {
        revision: Revision(revision),
        generation: Generation(revision),
        kind: "switch".into(),
        actor: "test".into(),
        reason: "because".into(),
        body: json!({"active_dc": format!("dc{revision}")}),
        changes: vec![Change { key: format!("slot{}", revision % 8), value: Some(revision.into()) }],
        idempotency: Some(Idempotency {
            // Few, so that small files can carry them over.
            key: format!("key{}", revision % 32),
            request: "digest".into(),
            answer: json!({"revision": revision}),
        }),
    }
}

pub(crate) fn note(reason: &str) -> Note {
    Note {
        kind: "health".into(),
        revision: Revision(0),
        generation: Generation(1),
        actor: "meridian".into(),
        reason: reason.into(),
        body: json!(null),
    }
}

/// Submits, and waits for the reply.
pub(crate) fn ask(store: &Store, order: Order) -> Result<u64, Refusal> {
    let (tell, told) = mpsc::sync_channel(1);
    store.submit(order, WITHIN, move |fate| drop(tell.send(fate)));
    told.recv_timeout(Duration::from_secs(60)).expect("a reply always comes")
}

pub(crate) fn open(dir: &Path) -> (Store, Restored, Vec<Finding>) {
    Store::open_with(dir, Arc::new(OsDisk), SMALL).unwrap()
}

pub(crate) fn errors(found: &[Finding]) -> Vec<&Finding> {
    found.iter().filter(|finding| finding.severity == Severity::Error).collect()
}
