//! A connection to a target, in the clear or in TLS.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as Task, Poll, Waker};

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::failure::Failure;
use super::progress::Progress;
use super::tls::Alpn;
use super::{Context, connect};
use crate::model::{ProbeHost, TlsParams};

/// Octets both ways.
pub(super) struct Stream {
    inner: Inner,
    broken: Broken,
}

enum Inner {
    /// As they are.
    Plain(TcpStream),
    /// Encrypted.
    Secure(Box<TlsStream<TcpStream>>),
}

/// How the connection broke: an end of stream is one way. Protocols above have their own errors, in which
/// this is lost.
#[derive(Clone, Default)]
pub(super) struct Broken(Arc<Mutex<Option<io::Error>>>);

impl Broken {
    fn note(&self, error: &io::Error) {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let copy = match (error.raw_os_error(), tls) {
            (Some(number), _) => io::Error::from_raw_os_error(number),
            (None, Some(tls)) => io::Error::new(error.kind(), tls.clone()),
            (None, None) => error.kind().into(),
        };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(copy);
    }

    /// The first thing that broke it.
    pub(super) fn take(&self) -> Option<io::Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Connects, and shakes hands where TLS is spoken.
pub(super) async fn open(
    host: &ProbeHost,
    port: u16,
    secure: Option<(&TlsParams, ServerName<'static>)>,
    alpn: Alpn,
    context: &Context,
    progress: &Progress,
) -> Result<Stream, Failure> {
    let tcp = connect::connect(host, port, context, progress).await?;
    let Some((params, name)) = secure else { return Ok(Inner::Plain(tcp).into()) };
    Ok(Inner::Secure(Box::new(context.tls.connect(params, name, alpn, tcp, progress).await?)).into())
}

/// Says that we are done, as far as that goes without waiting: the peer reads an orderly end. [`connect`] says
/// why that is enough.
pub(super) async fn farewell(stream: &mut (impl AsyncWrite + Unpin)) {
    let mut task = Task::from_waker(Waker::noop());
    let _ = Pin::new(stream).poll_shutdown(&mut task);
}

impl From<Inner> for Stream {
    fn from(inner: Inner) -> Stream {
        Stream { inner, broken: Broken::default() }
    }
}

impl Stream {
    /// Tells, once it has, how the connection broke.
    pub(super) fn broken(&self) -> Broken {
        self.broken.clone()
    }

    fn noted<T>(&self, done: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(error)) = &done {
            self.broken.note(error);
        }
        done
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, task: &mut Task<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (before, had_room) = (buffer.filled().len(), buffer.remaining() > 0);
        let done = match &mut self.inner {
            Inner::Plain(stream) => Pin::new(stream).poll_read(task, buffer),
            Inner::Secure(stream) => Pin::new(stream).poll_read(task, buffer),
        };
        if let (Poll::Ready(Ok(())), true) = (&done, had_room)
            && buffer.filled().len() == before
        {
            self.broken.note(&io::ErrorKind::UnexpectedEof.into());
        }
        self.noted(done)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, task: &mut Task<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        let done = match &mut self.inner {
            Inner::Plain(stream) => Pin::new(stream).poll_write(task, octets),
            Inner::Secure(stream) => Pin::new(stream).poll_write(task, octets),
        };
        self.noted(done)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        task: &mut Task<'_>,
        octets: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let done = match &mut self.inner {
            Inner::Plain(stream) => Pin::new(stream).poll_write_vectored(task, octets),
            Inner::Secure(stream) => Pin::new(stream).poll_write_vectored(task, octets),
        };
        self.noted(done)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.inner {
            Inner::Plain(stream) => stream.is_write_vectored(),
            Inner::Secure(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<io::Result<()>> {
        let done = match &mut self.inner {
            Inner::Plain(stream) => Pin::new(stream).poll_flush(task),
            Inner::Secure(stream) => Pin::new(stream).poll_flush(task),
        };
        self.noted(done)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<io::Result<()>> {
        match &mut self.inner {
            Inner::Plain(stream) => Pin::new(stream).poll_shutdown(task),
            Inner::Secure(stream) => Pin::new(stream).poll_shutdown(task),
        }
    }
}
