//! How far a probe has got: what is told when its time runs out.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::failure::Failure;
use super::verifier::Seen;
use super::words;

/// What a probe waits for, in the order in which it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Waits {
    /// Certificate files of ours.
    Files,
    /// The resolver.
    Name,
    /// The connection.
    Connection,
    /// The TLS handshake.
    Tls,
    /// An answer for which there is no connection, or one that is nobody's concern.
    Reply,
    /// The beginning of an answer.
    Answer,
    /// The rest of it.
    Rest,
}

/// Written by the probe as it goes, read when it ends. Atomics, for a probe may move between threads; there is
/// never more than one writer.
#[derive(Debug)]
pub(super) struct Progress {
    deadline: Instant,
    limit: Duration,
    waits: AtomicU8,
    /// TLS was spoken.
    secure: AtomicBool,
    /// Something was sent once the connection stood.
    sent: AtomicBool,
    /// The status of the answer; 0: none yet.
    status: AtomicU16,
    /// Octets of the answer, or of its body.
    octets: AtomicUsize,
    /// What was asked about the target has been answered: a failure is a verdict, not a silence.
    judged: AtomicBool,
    rest: Mutex<Rest>,
}

#[derive(Debug, Default)]
struct Rest {
    peer: Option<SocketAddr>,
    seen: Option<Arc<Seen>>,
    note: Option<String>,
}

impl Progress {
    pub(super) fn new(started: Instant, limit: Duration) -> Progress {
        Progress {
            deadline: started + limit,
            limit,
            waits: AtomicU8::new(Waits::Files as u8),
            secure: AtomicBool::new(false),
            sent: AtomicBool::new(false),
            status: AtomicU16::new(0),
            octets: AtomicUsize::new(0),
            judged: AtomicBool::new(false),
            rest: Mutex::default(),
        }
    }

    fn rest<T>(&self, with: impl FnOnce(&mut Rest) -> T) -> T {
        with(&mut self.rest.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// When the probe's time runs out.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    pub(super) fn waits_for(&self, waits: Waits) {
        self.waits.store(waits as u8, Relaxed);
    }

    /// A new connection begins; what was reached by an earlier one is forgotten.
    pub(super) fn connects_to(&self, peer: SocketAddr) {
        self.waits_for(Waits::Connection);
        self.secure.store(false, Relaxed);
        self.sent.store(false, Relaxed);
        self.status.store(0, Relaxed);
        self.octets.store(0, Relaxed);
        self.rest(|rest| rest.peer = Some(peer));
    }

    /// A question is asked without a connection.
    pub(super) fn asks(&self, peer: SocketAddr) {
        self.connects_to(peer);
        self.waits_for(Waits::Reply);
    }

    pub(super) fn peer(&self) -> Option<SocketAddr> {
        self.rest(|rest| rest.peer)
    }

    /// The handshake with this peer begins.
    pub(super) fn shakes_hands(&self, seen: Arc<Seen>) {
        self.waits_for(Waits::Tls);
        self.rest(|rest| rest.seen = Some(seen));
    }

    pub(super) fn seen(&self) -> Option<Arc<Seen>> {
        self.rest(|rest| rest.seen.clone())
    }

    pub(super) fn is_secure(&self) {
        self.secure.store(true, Relaxed);
    }

    pub(super) fn has_sent(&self) {
        self.waits_for(Waits::Answer);
        self.sent.store(true, Relaxed);
    }

    pub(super) fn has_status(&self, status: u16) {
        self.waits_for(Waits::Rest);
        self.status.store(status, Relaxed);
    }

    /// True once the beginning of an answer has come.
    pub(super) fn is_answered(&self) -> bool {
        self.status.load(Relaxed) != 0
    }

    pub(super) fn has_octets(&self, octets: usize) {
        self.waits_for(Waits::Rest);
        self.octets.store(octets, Relaxed);
    }

    /// What was asked is known; what is made of it now is a verdict on the target.
    pub(super) fn is_judged_with(&self, note: Option<String>) {
        self.judged.store(true, Relaxed);
        self.rest(|rest| rest.note = note);
    }

    pub(super) fn is_judged(&self) -> bool {
        self.judged.load(Relaxed)
    }

    pub(super) fn note(&self) -> Option<String> {
        self.rest(|rest| rest.note.take())
    }

    pub(super) fn certificate_expires(&self) -> Option<SystemTime> {
        self.rest(|rest| rest.seen.as_ref().and_then(|seen| seen.expires()))
    }

    /// The time has run out.
    pub(super) fn ran_out(&self) -> Failure {
        let within = format!("within {}", words::span(self.limit));
        let waits = self.waits.load(Relaxed);
        if waits == Waits::Files as u8 {
            return Failure::Blind(format!("the files of its certificates were not read {within}"));
        }
        if waits == Waits::Name as u8 {
            return Failure::Blind(format!("the resolver did not answer {within}"));
        }
        if waits == Waits::Connection as u8 {
            return Failure::Bad(format!("no connection {within}"));
        }
        if waits == Waits::Reply as u8 {
            return Failure::Bad(format!("no answer {within}"));
        }
        let mut reached = vec!["connected".to_owned()];
        if self.secure.load(Relaxed) {
            reached.push("TLS done".into());
        } else if waits == Waits::Tls as u8 {
            reached.push("TLS not done".into());
        }
        if self.sent.load(Relaxed) {
            reached.push("request sent".into());
        }
        let (status, octets) = (self.status.load(Relaxed), self.octets.load(Relaxed));
        if status != 0 {
            reached.push(format!("status {status}"));
        }
        if octets != 0 {
            reached.push(format!("{octets} octets of {}", if status != 0 { "body" } else { "answer" }));
        }
        let what = if waits == Waits::Rest as u8 { "no whole answer" } else { "no answer" };
        Failure::Bad(format!("{what} {within} ({})", reached.join(", ")))
    }
}
