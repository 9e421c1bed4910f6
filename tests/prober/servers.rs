//! Small servers on ports that the kernel chooses, on addresses that nobody connects from.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a server does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Well,
    /// Nobody listens.
    Refuse,
    /// Accepts, and says nothing.
    Hang,
    Status500,
    WrongBody,
    /// One octet a second.
    Trickle,
    Gigabyte,
    EndlessHeader,
    /// What is not TLS, to who begins a handshake; endless.
    Garbage,
    /// Small on the wire, and a gigabyte to who unpacks it.
    Bomb,
}

/// A server; it ends with the test's process.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    mode: Arc<Mutex<Mode>>,
}

impl Server {
    pub(crate) fn start(mode: Mode) -> Server {
        static NEXT: AtomicU16 = AtomicU16::new(1);
        let [high, low] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let listener = TcpListener::bind((Ipv4Addr::new(127, 77, high, low), 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server { address, mode: Arc::new(Mutex::new(mode)) };
        let of_thread = server.clone();
        std::thread::spawn(move || of_thread.run(listener));
        server
    }

    pub(crate) fn turn(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    fn mode(&self) -> Mode {
        *self.mode.lock().unwrap()
    }

    fn run(&self, listener: TcpListener) {
        listener.set_nonblocking(true).unwrap();
        let mut listening = Some(listener);
        loop {
            if self.mode() == Mode::Refuse {
                listening = None;
            } else if listening.is_none() {
                let listener = TcpListener::bind(self.address).unwrap();
                listener.set_nonblocking(true).unwrap();
                listening = Some(listener);
            }
            match listening.as_ref().map(TcpListener::accept) {
                Some(Ok((stream, _))) => {
                    stream.set_nonblocking(false).unwrap();
                    let mode = self.mode();
                    std::thread::spawn(move || drop(serve(stream, mode)));
                }
                Some(Err(_)) | None => std::thread::sleep(Duration::from_millis(2)),
            }
        }
    }
}

/// One that never accepts: once its queue is full, connections to it hang like those to nowhere.
pub(crate) fn black_hole() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.78.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn serve(mut stream: TcpStream, mode: Mode) -> std::io::Result<()> {
    const OK: &str = "HTTP/1.1 200 OK\r\n";
    if mode == Mode::Garbage {
        loop {
            stream.write_all(&[0x5a; 4096])?;
        }
    }
    if mode != Mode::Hang {
        head(&mut stream)?;
    }
    match mode {
        Mode::Well => write!(stream, "{OK}connection: close\r\ncontent-length: 15\r\n\r\n{{\"status\":\"UP\"}}")?,
        Mode::Status500 => write!(stream, "HTTP/1.1 500 Oh\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")?,
        Mode::WrongBody => write!(stream, "{OK}connection: close\r\ncontent-length: 7\r\n\r\nwelcome")?,
        Mode::Trickle => {
            for octet in OK.bytes().cycle() {
                stream.write_all(&[octet])?;
                std::thread::sleep(Duration::from_secs(1));
            }
        }
        Mode::Gigabyte => {
            write!(stream, "{OK}content-length: 1000000000\r\n\r\n")?;
            loop {
                stream.write_all(&[b'x'; 64 << 10])?;
            }
        }
        Mode::EndlessHeader => {
            write!(stream, "{OK}")?;
            loop {
                writeln!(stream, "x-more: {}\r", "y".repeat(1000))?;
            }
        }
        Mode::Bomb => {
            write!(stream, "{OK}content-type: application/json\r\ncontent-encoding: gzip\r\n\r\n")?;
            // A gzip member of a block that repeats itself: a thousandth of what it unpacks to.
            stream.write_all(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xec, 0xc1, 1, 1, 0, 0, 0, 0x80, 0x90])?;
            stream.write_all(&[0; 1 << 20])?;
        }
        Mode::Hang | Mode::Refuse | Mode::Garbage => {}
    }
    // Until the other side goes.
    std::io::copy(&mut stream, &mut std::io::sink()).map(drop)
}

fn head(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut read = Vec::new();
    let mut octet = [0];
    while !read.ends_with(b"\r\n\r\n") && stream.read(&mut octet)? == 1 {
        read.push(octet[0]);
    }
    Ok(())
}
