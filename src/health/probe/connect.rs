//! A TCP connection to a target.
//!
//! # How connections end
//!
//! 10 000 targets behind one address are 2 000 connections a second. Closed in the ordinary way, by us first,
//! each would hold a local port in TIME_WAIT for a minute: 120 000 of them, of some 28 000 that there are; and
//! the kernel's table of such connections would be full as well, whatever the number of addresses. So every
//! socket here has SO_LINGER 0: closing it sends RST where anything is still open, and leaves nothing behind on
//! this machine. (A server that closes first, as one does that is told `Connection: close`, keeps its own TIME_WAIT
//! as it does for any client; spread over the targets these are a dozen each.)
//!
//! An RST alone would fill the logs of servers that call it an error. Therefore a probe that has what it wants
//! first shuts down its direction (`poll_shutdown`: close_notify where TLS is spoken, then FIN), and closes
//! without waiting for an answer. The server reads an orderly end of stream: a reset that comes behind a FIN does
//! not take the end of stream away from who has not read it yet. A probe that is cut off by its time limit just
//! closes.
//!
//! TIME_WAIT exists to keep late segments out of a new connection with the same ports. Here the next
//! connection comes from another port, and a probe that is spoiled by one is asked again before anything is
//! believed.

use std::net::{IpAddr, SocketAddr};

use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout_at};

use super::failure::{self, Failure};
use super::progress::{Progress, Waits};
use super::{Context, Unresolved};
use crate::limits::PROBE_ADDRESSES_MAX;
use crate::model::{Name, ProbeHost};

/// Connects to an address, or to the first address of a name that lets us.
pub(super) async fn connect(
    host: &ProbeHost,
    port: u16,
    context: &Context,
    progress: &Progress,
) -> Result<TcpStream, Failure> {
    on_one_of(host, context, progress, |address| connect_to((address, port).into(), progress)).await
}

/// Makes an attempt on an address, or on each address of a name until one succeeds.
pub(super) async fn on_one_of<T, F: Future<Output = Result<T, Failure>>>(
    host: &ProbeHost,
    context: &Context,
    progress: &Progress,
    attempt: impl Fn(IpAddr) -> F,
) -> Result<T, Failure> {
    match host {
        ProbeHost::Address(address) => attempt(*address).await,
        ProbeHost::Name(name) => {
            let addresses = resolve(name, context, progress).await?;
            each(&addresses, progress, attempt).await
        }
    }
}

async fn resolve(name: &Name, context: &Context, progress: &Progress) -> Result<Vec<IpAddr>, Failure> {
    progress.waits_for(Waits::Name);
    let addresses = context.resolver.resolve(name).await.map_err(|unresolved| match unresolved {
        Unresolved::Silent(why) => Failure::Blind(why),
        Unresolved::Absent(why) => Failure::Bad(why),
    })?;
    if addresses.is_empty() {
        return Err(Failure::Bad(format!("{name} has no address")));
    }
    Ok(addresses)
}

/// Each address gets its share of the time that is left, so that one that swallows everything does not hide
/// the next. What the last one said is told.
async fn each<T, F: Future<Output = Result<T, Failure>>>(
    addresses: &[IpAddr],
    progress: &Progress,
    attempt: impl Fn(IpAddr) -> F,
) -> Result<T, Failure> {
    let tried = &addresses[..addresses.len().min(PROBE_ADDRESSES_MAX)];
    let mut last = Failure::Blind("no address".into());
    for (at, address) in tried.iter().enumerate() {
        let shares = u32::try_from(tried.len() - at).unwrap_or(1);
        let now = Instant::now();
        let until = now + progress.deadline().saturating_duration_since(now) / shares;
        last = match timeout_at(until, attempt(*address)).await {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(failure)) => failure,
            Err(_) => progress.ran_out(),
        };
    }
    Err(last)
}

async fn connect_to(to: SocketAddr, progress: &Progress) -> Result<TcpStream, Failure> {
    progress.connects_to(to);
    let opened = async {
        let socket = if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_zero_linger()?;
        socket.set_nodelay(true)?;
        socket.connect(to).await
    };
    let stream = opened.await.map_err(|error| failure::of_io(&error, || failure::is_routed(to)))?;
    progress.waits_for(Waits::Answer);
    Ok(stream)
}
