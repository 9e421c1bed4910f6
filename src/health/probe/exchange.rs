//! One HTTP request over one connection, with hyper.
//!
//! hyper would have tasks of its own for connections. Here they are polled by the probe that they belong to:
//! dropping the probe drops all, and there is nothing to abort, to count or to forget.

use std::error::Error;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as Task, Poll};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::rt::Executor;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;

use super::failure::Failure;
use super::progress::Progress;
use super::stream::{Broken, Stream};
use super::tls;
use crate::limits::PROBE_HEAD_LEN_MAX;

/// Octets that an HTTP/2 peer may send of a body, or of all, before we take some away.
const WINDOW_LEN: u32 = 64 << 10;

/// What came back.
pub(super) struct Answer {
    /// Status and header.
    pub(super) head: Response<()>,
    /// As much of the body as was wanted.
    pub(super) body: Vec<u8>,
    /// The body is longer.
    pub(super) is_cut: bool,
    /// HTTP/2's, or those of a chunked body.
    pub(super) trailers: Option<HeaderMap>,
}

/// Sends a request and reads the answer's head, and then as many octets of the body as `wanted` says.
pub(super) async fn exchange(
    stream: Stream,
    is_http2: bool,
    request: Request<Full<Bytes>>,
    wanted: impl Fn(&Response<()>) -> usize,
    progress: &Progress,
) -> Result<Answer, Failure> {
    let broken = stream.broken();
    let io = TokioIo::new(stream);
    let tasks = Tasks::default();
    let answer = if is_http2 {
        let handshake = http2::Builder::new(tasks.clone())
            .initial_stream_window_size(WINDOW_LEN)
            .initial_connection_window_size(WINDOW_LEN)
            .max_header_list_size(PROBE_HEAD_LEN_MAX as u32)
            .handshake(io);
        let (mut sender, connection) = handshake.await.map_err(|error| said(&error, true, &broken, progress))?;
        let work = async {
            progress.has_sent();
            let response = sender.send_request(request).await?;
            read(response, wanted, progress).await
        };
        drive(connection, &tasks, work).await
    } else {
        let handshake = http1::Builder::new().max_buf_size(PROBE_HEAD_LEN_MAX).handshake(io);
        let (mut sender, connection) = handshake.await.map_err(|error| said(&error, false, &broken, progress))?;
        let work = async {
            progress.has_sent();
            let response = sender.send_request(request).await?;
            read(response, wanted, progress).await
        };
        drive(connection, &tasks, work).await
    };
    answer.map_err(|error| said(&error, is_http2, &broken, progress))
}

async fn read(
    response: Response<Incoming>,
    wanted: impl Fn(&Response<()>) -> usize,
    progress: &Progress,
) -> hyper::Result<Answer> {
    let (parts, mut incoming) = response.into_parts();
    progress.has_status(parts.status.as_u16());
    let head = Response::from_parts(parts, ());
    let wanted = wanted(&head);
    let mut answer = Answer { head, body: Vec::new(), is_cut: false, trailers: None };
    if wanted == 0 {
        return Ok(answer);
    }
    while let Some(frame) = incoming.frame().await {
        match frame?.into_data() {
            Ok(data) => {
                let room = wanted - answer.body.len();
                answer.is_cut = data.len() > room;
                answer.body.extend_from_slice(&data[..data.len().min(room)]);
                progress.has_octets(answer.body.len());
                if answer.is_cut {
                    break;
                }
            }
            Err(frame) => answer.trailers = frame.into_trailers().ok(),
        }
    }
    Ok(answer)
}

/// Futures that hyper wants to be run beside a connection.
#[derive(Clone, Default)]
struct Tasks {
    waiting: Arc<Mutex<Vec<Running>>>,
}

type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Tasks {
    fn take(&self) -> Vec<Running> {
        std::mem::take(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, task: F) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(Box::pin(task));
    }
}

/// Runs a connection and its tasks for as long as the work over it takes, and once more when it is done: that is
/// when hyper says goodbye.
async fn drive<T>(
    connection: impl Future<Output = hyper::Result<()>>,
    tasks: &Tasks,
    work: impl Future<Output = hyper::Result<T>>,
) -> hyper::Result<T> {
    let mut connection = pin!(connection);
    let mut work = Box::pin(work);
    let mut running: Vec<Running> = Vec::new();
    let mut ended = None;
    let mut turn = |task: &mut Task<'_>| -> Option<hyper::Error> {
        if ended.is_none()
            && let Poll::Ready(end) = connection.as_mut().poll(task)
        {
            ended = Some(end.err());
        }
        running.retain_mut(|one| one.as_mut().poll(task).is_pending());
        loop {
            let mut new = tasks.take();
            if new.is_empty() {
                return ended.as_mut().and_then(Option::take);
            }
            new.retain_mut(|one| one.as_mut().poll(task).is_pending());
            running.append(&mut new);
        }
    };
    let mut broken = None;
    let done = poll_fn(|task| {
        let done = work.as_mut().poll(task);
        broken = broken.take().or_else(|| turn(task));
        done
    })
    .await;
    // The request's handle and the body go first: only then is the connection done.
    drop(work);
    poll_fn(|task| {
        turn(task);
        Poll::Ready(())
    })
    .await;
    // The connection knows better than the request why that was not answered.
    done.map_err(|error| broken.filter(|_| error.is_canceled() || error.is_closed()).unwrap_or(error))
}

/// In words, and whose fault it is. What happened to the connection goes before what a protocol made of it.
fn said(error: &hyper::Error, is_http2: bool, broken: &Broken, progress: &Progress) -> Failure {
    let phase = if progress.is_answered() { "in the middle of the answer" } else { "before an answer" };
    let protocol = if is_http2 { "HTTP/2" } else { "HTTP/1.1" };
    if error.is_user() {
        return Failure::Blind(format!("the request can not be made: {}", deepest(error)));
    }
    let deepest = deepest(error);
    let is_theirs = error.is_parse() || deepest.contains("connection error") || deepest.contains("stream error");
    if let Some(error) = broken.take().filter(|_| !is_theirs) {
        return match tls::of_io(&error, progress) {
            Failure::Bad(why) if why.starts_with("connection ") => Failure::Bad(format!("{why} {phase}")),
            failure => failure,
        };
    }
    Failure::Bad(if error.is_parse_version_h2() {
        "the server speaks HTTP/2, the check HTTP/1.1 (`http2: true`)".into()
    } else if error.is_parse_too_large() {
        format!("the header of the answer is longer than {PROBE_HEAD_LEN_MAX} octets or 100 fields")
    } else if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        format!("connection closed {phase}")
    } else {
        format!("the answer is no good {protocol}: {deepest}")
    })
}

fn deepest(error: &hyper::Error) -> String {
    let mut deepest: &dyn Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}
