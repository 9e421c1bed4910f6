//! The front doors over real sockets on loopback: what a client sees.
//!
//! The table is empty, so every well-formed question is REFUSED; what matters here is who gets a reply,
//! from where, in which order, and who does not have to wait.

#[path = "../common/mod.rs"]
mod common;

mod closing;
mod datagrams;
mod streams;
mod tallies;
mod tls;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::num::NonZeroUsize;
use std::time::Duration;

use meridian::serve::{Doors, DoorsConfig, OpenError};
use meridian::table::{Publisher, RoutingTable};

/// How long a test waits for what must come. Reached only when it fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// Open doors, and the writer's end of their table.
struct House {
    doors: Doors,
    publisher: Publisher,
}

impl House {
    fn open(config: &DoorsConfig) -> House {
        House::try_open(config).unwrap()
    }

    fn try_open(config: &DoorsConfig) -> Result<House, OpenError> {
        let publisher = Publisher::new(RoutingTable::empty());
        let doors = Doors::open(config, publisher.subscription())?;
        Ok(House { doors, publisher })
    }

    fn on(address: &str) -> House {
        House::open(&config(&[address]))
    }

    fn address(&self) -> SocketAddr {
        self.doors.local_addresses().plain[0]
    }
}

fn config(listen: &[&str]) -> DoorsConfig {
    let mut config = DoorsConfig::new(listen.iter().map(|address| address.parse().unwrap()).collect());
    config.threads = NonZeroUsize::new(2);
    config
}

/// `example.com. A IN`, with this id.
fn query(id: u16) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    message.extend([0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    message.extend(b"\x07example\x03com\x00\x00\x01\x00\x01");
    message
}

/// Checks that `reply` is the one to [`query`] with this id: REFUSED, the question repeated.
#[track_caller]
fn assert_refused(reply: &[u8], id: u16) {
    assert!(reply.len() >= 12, "{reply:?}");
    assert_eq!(reply[..2], id.to_be_bytes());
    assert_eq!((reply[2] & 0x80, reply[3] & 0x0f), (0x80, 5));
    assert_eq!(reply[12..], query(id)[12..]);
}

fn framed(message: &[u8]) -> Vec<u8> {
    let mut bytes = u16::try_from(message.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend(message);
    bytes
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn read_message(stream: &mut impl Read) -> Vec<u8> {
    let mut len = [0; 2];
    stream.read_exact(&mut len).unwrap();
    let mut message = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut message).unwrap();
    message
}

/// True when the peer has closed, by FIN (in TLS without a farewell, too) or by reset.
fn is_closed(stream: &mut impl Read) -> bool {
    match stream.read(&mut [0; 1]) {
        Ok(count) => count == 0,
        Err(error) => matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof),
    }
}

fn ask(stream: &mut (impl Read + Write), id: u16) {
    stream.write_all(&framed(&query(id))).unwrap();
    assert_refused(&read_message(stream), id);
}

fn udp_client(address: &str) -> UdpSocket {
    let client = UdpSocket::bind(address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
}

fn ask_udp(client: &UdpSocket, to: SocketAddr, id: u16) -> SocketAddr {
    client.send_to(&query(id), to).unwrap();
    let mut buffer = [0; 512];
    let (len, from) = client.recv_from(&mut buffer).unwrap();
    assert_refused(&buffer[..len], id);
    from
}
