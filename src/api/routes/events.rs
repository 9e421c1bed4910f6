//! `GET /api/events`: what happens, as it happens (server-sent events).
//!
//! ```text
//! event: health            what it is: one of Happened's words, or begin, gap
//! id: 19a3f2c81d0-57       the process, and the number in it: give it as Last-Event-ID to go on behind it
//! data: {"node":…,"generation":…,"revision":…,"at":…,"text":…,…}
//! ```
//!
//! A stream begins with `begin`, which says where it stands. Who was away for longer than the ring is long, or while
//! the server was started anew, gets `gap` in so many words, and what there is from then on: look at `/api/status` and
//! `/api/history` for the rest. A quiet stream shows a sign of life ([`EVENTS_HEARTBEAT_S`]).
//!
//! Nothing waits for a follower: each reads the ring by itself, and what it does not take stays there until it is
//! overwritten. One that takes nothing for as long as any slow client is cut off.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll};
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::IntoResponse;
use hyper::body::{Bytes, Frame};
use serde_json::{Map, Value, json};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::{Asked, Outcome};
use crate::api::context::Context;
use crate::api::problem::{Kind, Problem};
use crate::api::server::Stopping;
use crate::api::view::time;
use crate::control::{Feed, Told};
use crate::limits::{API_WRITE_S, EVENT_STREAMS_MAX, EVENTS_AT_ONCE_MAX, EVENTS_HEARTBEAT_S, EVENTS_WAITING_MAX};

pub(super) async fn events(asked: Asked) -> Outcome {
    let Asked { context, head, .. } = asked;
    let Ok(place) = Arc::clone(&context.streams).try_acquire_owned() else {
        let detail = format!("{EVENT_STREAMS_MAX} streams are open already, which is the most; end one, or ask later");
        return Err(Problem::new(Kind::Busy, detail));
    };
    let last = head.headers.get("last-event-id").map(|value| value.to_str().unwrap_or_default().to_owned());
    let stopping = head.extensions.get::<Stopping>().cloned();
    let (sender, pieces) = mpsc::channel(EVENTS_WAITING_MAX);
    tokio::spawn(Stream { context, sender, _place: place }.run(last, stopping));
    let headers = [
        (CONTENT_TYPE, "text/event-stream"),
        (CACHE_CONTROL, "no-store"),
        // nginx would collect them otherwise.
        (axum::http::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Body::new(Pieces(pieces))).into_response())
}

/// The body: what the stream's task sends.
struct Pieces(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(task).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

/// One follower.
struct Stream {
    context: Arc<Context>,
    sender: mpsc::Sender<Bytes>,
    _place: OwnedSemaphorePermit,
}

/// What a client needs to wait before it comes again, in ms.
const RETRY_MS: u64 = 2_000;

impl Stream {
    async fn run(self, last: Option<String>, stopping: Option<Stopping>) {
        let stopped = async {
            match stopping {
                Some(stopping) => stopping.said().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.follow(last) => {}
            () = stopped => {}
            () = self.sender.closed() => {}
        }
    }

    async fn follow(&self, last: Option<String>) {
        let feed = self.context.control.feed();
        let (mut next, lost) = place(feed, last.as_deref());
        let mut piece = format!("retry: {RETRY_MS}\n");
        piece.push_str(&self.begin(feed, next));
        match lost {
            Lost::Nothing => {}
            Lost::Unknown => piece.push_str(&self.gap(feed, next, None)),
            Lost::Count(count) => piece.push_str(&self.gap(feed, next, Some(count))),
        }
        loop {
            let heard = feed.since(next, EVENTS_AT_ONCE_MAX);
            if heard.lost > 0 {
                next += heard.lost;
                piece.push_str(&self.gap(feed, next, Some(heard.lost)));
            }
            for told in &heard.told {
                piece.push_str(&self.event(feed, told));
                next = told.number + 1;
            }
            if piece.is_empty() {
                let quiet = Duration::from_secs(EVENTS_HEARTBEAT_S);
                if tokio::time::timeout(quiet, feed.reached(next)).await.is_ok() {
                    continue;
                }
                piece.push_str(": still here\n\n");
            }
            // The connection itself gives up on who takes nothing; this is for one that takes a little.
            let patience = Duration::from_secs(2 * API_WRITE_S);
            let sent = tokio::time::timeout(patience, self.sender.send(Bytes::from(std::mem::take(&mut piece)))).await;
            if !matches!(sent, Ok(Ok(()))) {
                tracing::debug!("a stream of events ended: its client takes too little");
                return;
            }
        }
    }

    fn head(&self) -> Map<String, Value> {
        self.context.look().head()
    }

    /// Where the stream stands.
    fn begin(&self, feed: &Feed, next: u64) -> String {
        let mut data = self.head();
        data.insert("at".into(), time(SystemTime::now()));
        data.insert("text".into(), "what happens from here on".into());
        frame("begin", &id(feed, next - 1), &data)
    }

    /// Something is missing before `next`.
    fn gap(&self, feed: &Feed, next: u64, lost: Option<u64>) -> String {
        let text = match lost {
            Some(count) => format!("{count} events before this are no longer kept"),
            None => "the server was started anew, or this is another one: what happened before is not known".to_owned(),
        };
        let mut data = self.head();
        data.insert("at".into(), time(SystemTime::now()));
        data.insert(
            "text".into(),
            format!("{text}; /api/status says how it stands, /api/history what was ordered").into(),
        );
        data.insert("lost".into(), lost.into());
        frame("gap", &id(feed, next - 1), &data)
    }

    fn event(&self, feed: &Feed, told: &Told) -> String {
        let mut data = Map::new();
        data.insert("node".into(), self.context.node.clone().into());
        data.insert("generation".into(), told.generation.0.into());
        data.insert("revision".into(), told.revision.0.into());
        data.insert("at".into(), time(told.at));
        data.insert("severity".into(), if told.what.is_critical() { "critical" } else { "notice" }.into());
        data.insert("text".into(), told.text.clone().into());
        if let Value::Object(more) = &told.body {
            for (name, value) in more {
                data.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
        frame(told.what.as_str(), &id(feed, told.number), &data)
    }
}

fn frame(event: &str, id: &str, data: &Map<String, Value>) -> String {
    // JSON has no line feeds of its own.
    format!("event: {event}\nid: {id}\ndata: {}\n\n", json!(data))
}

/// A process is told from another by when it began.
fn epoch(feed: &Feed) -> u128 {
    feed.started().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis())
}

fn id(feed: &Feed, number: u64) -> String {
    format!("{:x}-{number}", epoch(feed))
}

/// What happened between the last event that a client has, and the first that it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lost {
    Nothing,
    Count(u64),
    Unknown,
}

/// The number to begin with. An id that is none of ours is that of another process: then from the first that is kept.
fn place(feed: &Feed, last: Option<&str>) -> (u64, Lost) {
    let Some(last) = last.filter(|last| !last.is_empty()) else { return (feed.next(), Lost::Nothing) };
    let ours = last.split_once('-').and_then(|(process, number)| {
        let number: u64 = number.parse().ok()?;
        (u128::from_str_radix(process, 16).ok()? == epoch(feed) && number < feed.next()).then_some(number + 1)
    });
    match ours {
        Some(next) => match feed.since(next, 1).lost {
            0 => (next, Lost::Nothing),
            lost => (next + lost, Lost::Count(lost)),
        },
        None => (1 + feed.since(1, 1).lost, Lost::Unknown),
    }
}
