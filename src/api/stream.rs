//! A stream that gives up on a peer that does not take what it asked for.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// Writes fail when for so long the peer has taken nothing.
pub(super) struct Impatient<S> {
    inner: S,
    patience: Duration,
    deadline: Pin<Box<Sleep>>,
    is_waiting: bool,
}

impl<S> Impatient<S> {
    pub(super) fn new(inner: S, patience: Duration) -> Impatient<S> {
        Impatient { inner, patience, deadline: Box::pin(sleep(patience)), is_waiting: false }
    }

    fn judge<T>(&mut self, context: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match polled {
            Poll::Ready(result) => {
                self.is_waiting = false;
                Poll::Ready(result)
            }
            Poll::Pending => {
                if !self.is_waiting {
                    self.is_waiting = true;
                    self.deadline.as_mut().reset(Instant::now() + self.patience);
                }
                match self.deadline.as_mut().poll(context) {
                    Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
                    Poll::Pending => Poll::Pending,
                }
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Impatient<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Impatient<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_write(context, octets);
        this.judge(context, polled)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_flush(context);
        this.judge(context, polled)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_shutdown(context);
        this.judge(context, polled)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn a_peer_that_takes_nothing_is_given_up_and_one_that_takes_slowly_is_not() {
        let patience = Duration::from_millis(300);
        let (near, mut far) = duplex(16);
        let mut near = Impatient::new(near, patience);
        let reader = tokio::spawn(async move {
            let mut all: Vec<u8> = Vec::new();
            let mut octet = [0; 8];
            while all.len() < 64 {
                let len = far.read(&mut octet).await.unwrap();
                all.extend(&octet[..len]);
            }
            far
        });
        near.write_all(&[7; 64]).await.unwrap();
        let _far = reader.await.unwrap();
        assert_eq!(near.write_all(&[7; 64]).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
