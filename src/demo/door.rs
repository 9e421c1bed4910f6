//! A port of a stand-in: open, or closed so that it refuses, as ordered.
//!
//! ```text
//!             fail                                 anything else
//!   Listening ─────▶ closed, and bound again ────▶ Held ─────▶ listens again: Listening
//!                    without listening
//! ```
//!
//! A port that is bound but does not listen refuses connections, and is not given to another program while the
//! stand-in is down.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};

use super::Mode;
use super::talk::Speech;
use crate::limits::{STAND_IN_CONNECTION_S, STAND_IN_RETRY_MS, STREAM_ACCEPT_QUEUE_LEN};

/// How to behave, and the how manieth order that is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Order {
    pub(super) number: u64,
    pub(super) mode: Mode,
}

/// One port and what is spoken there.
pub(super) struct Door {
    address: SocketAddr,
    speech: Speech,
    /// Shared by the doors of a stand-in.
    room: Arc<Semaphore>,
    orders: watch::Receiver<Order>,
    followed: watch::Sender<u64>,
}

/// The socket behind a door.
enum Port {
    Listening(TcpListener),
    Held(Socket),
    /// Somebody was quicker.
    Lost,
}

impl Door {
    /// Opens a door at a port that the kernel chooses, and serves it until the sender of `orders` is gone.
    /// Returns where, and which order it follows. Within a runtime.
    pub(super) fn open(
        address: Ipv4Addr,
        speech: Speech,
        room: Arc<Semaphore>,
        orders: watch::Receiver<Order>,
    ) -> io::Result<(SocketAddr, watch::Receiver<u64>)> {
        let any = SocketAddr::from((address, 0));
        let wrong =
            |cause: io::Error| io::Error::new(cause.kind(), format!("cannot open a stand-in on {any}: {cause}"));
        let listener = hold(any).and_then(listen).map_err(wrong)?;
        let address = listener.local_addr().map_err(wrong)?;
        let (followed, follows) = watch::channel(0);
        tokio::spawn(Door { address, speech, room, orders, followed }.serve(Port::Listening(listener)));
        Ok((address, follows))
    }

    async fn serve(mut self, mut port: Port) {
        loop {
            let order = *self.orders.borrow_and_update();
            port = match self.follow(order, port) {
                Ok(port) => {
                    let _ = self.followed.send(order.number);
                    port
                }
                Err(cause) => {
                    tracing::warn!(address = %self.address, mode = %order.mode, %cause, "a stand-in can not follow its order yet");
                    Port::Lost
                }
            };
            let go_on = match &port {
                Port::Listening(listener) => self.accept(listener, order).await,
                Port::Held(_) => self.orders.changed().await.is_ok(),
                // Another order, or another try.
                Port::Lost => {
                    let wait = timeout(Duration::from_millis(STAND_IN_RETRY_MS), self.orders.changed());
                    wait.await.is_err() || self.orders.has_changed().is_ok()
                }
            };
            if !go_on {
                return;
            }
        }
    }

    fn follow(&self, order: Order, port: Port) -> io::Result<Port> {
        let is_open = order.mode != Mode::Fail;
        match port {
            Port::Listening(listener) if is_open => Ok(Port::Listening(listener)),
            Port::Listening(listener) => {
                drop(listener);
                hold(self.address).map(Port::Held)
            }
            Port::Held(socket) if is_open => listen(socket).map(Port::Listening),
            Port::Held(socket) => Ok(Port::Held(socket)),
            Port::Lost if is_open => hold(self.address).and_then(listen).map(Port::Listening),
            Port::Lost => hold(self.address).map(Port::Held),
        }
    }

    /// Accepts until there is another order; `false` when there never will be.
    async fn accept(&mut self, listener: &TcpListener, order: Order) -> bool {
        loop {
            let room = Arc::clone(&self.room);
            let next = async {
                // Room first: who is not accepted waits in the kernel's queue.
                let permit = room.acquire_owned().await.ok()?;
                Some((permit, listener.accept().await))
            };
            tokio::select! {
                changed = self.orders.changed() => return changed.is_ok(),
                accepted = next => match accepted {
                    Some((permit, Ok((stream, _)))) => self.talk(stream, order.mode, permit),
                    // Out of descriptors, mostly: not at once again.
                    Some((_, Err(_))) => sleep(Duration::from_millis(STAND_IN_RETRY_MS)).await,
                    None => return false,
                },
            }
        }
    }

    /// Serves one connection: to its end, for a while, or until the next order, whichever comes first.
    fn talk(&self, stream: TcpStream, mode: Mode, permit: OwnedSemaphorePermit) {
        let (speech, mut orders) = (self.speech.clone(), self.orders.clone());
        tokio::spawn(async move {
            let _permit = permit;
            tokio::select! {
                _ = orders.changed() => {}
                _ = timeout(Duration::from_secs(STAND_IN_CONNECTION_S), speech.talk(stream, mode)) => {}
            }
        });
    }
}

/// Binds without listening: connections are refused.
fn hold(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    // Connections of before may linger at this port.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    // From here on nobody shares the port, not even with the same option.
    socket.set_reuse_address(false)?;
    Ok(socket)
}

fn listen(socket: Socket) -> io::Result<TcpListener> {
    let queue = i32::try_from(STREAM_ACCEPT_QUEUE_LEN).expect("a short queue");
    // Connections inherit it: those that linger must not keep us from the port next time.
    socket.set_reuse_address(true)?;
    socket.listen(queue)?;
    TcpListener::from_std(StdListener::from(socket))
}
