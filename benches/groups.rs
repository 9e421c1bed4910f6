//! What it saves to send replies to one client as a group: the way through the kernel, without answers.
//!
//! A batch of queries comes from one client, or from two by turns so that no two replies that follow each other
//! have the same way. Each turn of one kind is followed by one of the other, and only receiving and sending by the
//! server is timed: on loopback that includes handing the replies to the clients' sockets. Medians of many turns,
//! so that what else the machine does hardly counts.

use std::net::{SocketAddr, UdpSocket as Client};
use std::time::{Duration, Instant};

use meridian::limits::BATCH_LEN;
use meridian::sys::{Batch, UdpSocket, Wait};

/// Turns of each kind.
const TURNS: usize = 4000;

/// Octets of a query, and of a reply: about those of an A record with EDNS.
const LENS: (usize, usize) = (45, 61);

fn main() {
    println!("{:<12} {:>8} {:>24} {:>24}", "from", "replies", "one client, ns a reply", "two by turns, ns a reply");
    for address in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0"] {
        for replies in [2, 8, BATCH_LEN] {
            let mut house = House::open(address);
            let mut took = [Vec::new(), Vec::new()];
            for _ in 0..TURNS {
                took[0].push(house.turn(replies, 1));
                took[1].push(house.turn(replies, 2));
            }
            let [one, two] = took.map(|times| median(times) / replies as f64);
            println!("{address:<12} {replies:>8} {one:>24.0} {two:>24.0}");
        }
    }
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_nanos() as f64
}

struct House {
    socket: UdpSocket,
    batch: Batch,
    clients: [Client; 2],
}

impl House {
    fn open(address: &str) -> House {
        let address: SocketAddr = address.parse().expect("an address");
        let socket = UdpSocket::bind(address).expect("loopback");
        let mut to = socket.local_address();
        if to.ip().is_unspecified() {
            to.set_ip([127, 0, 0, 1].into());
        }
        let clients = [(), ()].map(|()| {
            let client = Client::bind((to.ip(), 0)).expect("loopback");
            client.connect(to).expect("loopback");
            client.set_nonblocking(true).expect("a socket");
            client
        });
        House { socket, batch: Batch::new(), clients }
    }

    /// How long it takes to receive and send so many, from so many clients by turns.
    fn turn(&mut self, replies: usize, clients: usize) -> Duration {
        let (query_len, reply_len) = LENS;
        for number in 0..replies {
            self.clients[number % clients].send(&[0; 512][..query_len]).expect("loopback");
        }
        let start = Instant::now();
        assert_eq!(self.batch.receive(&self.socket, Wait::Turn).expect("loopback"), replies);
        for index in 0..replies {
            self.batch.exchange(index).1.commit(reply_len);
        }
        assert_eq!(self.batch.send(&self.socket).sent, replies);
        let took = start.elapsed();
        let mut buffer = [0; 512];
        let came = self.clients.iter().map(|client| std::iter::from_fn(|| client.recv(&mut buffer).ok()).count());
        assert_eq!(came.sum::<usize>(), replies, "every reply came");
        took
    }
}
