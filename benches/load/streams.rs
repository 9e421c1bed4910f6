//! Over TCP and TLS: connections that stay, each with several queries under way.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Instant;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

use crate::Pace;
use crate::datagrams::Numbers;
use crate::flights::{Flights, SWEEP_NS, Tally};
use crate::process::Watch;
use crate::question::Work;

/// Octets that are read at once.
const READ_LEN: usize = 16 << 10;

enum Pipe {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

struct Connection {
    pipe: Pipe,
    /// What has come and is not yet a whole reply.
    received: Vec<u8>,
    /// Queries to write.
    queued: Vec<u8>,
}

struct Generator<'g> {
    server: SocketAddr,
    work: &'g Work,
    tls: Option<Arc<ClientConfig>>,
    connections: Vec<Connection>,
    flights: Flights,
    random: Numbers,
    start: Instant,
}

/// A closed loop over so many connections.
pub(crate) fn run(
    server: SocketAddr,
    work: &Work,
    connections: usize,
    is_tls: bool,
    pace: &Pace,
    watch: &mut Watch,
) -> io::Result<Tally> {
    if pace.rate.is_some() {
        return Err(io::Error::other("streams are asked in a closed loop only"));
    }
    let mut generator = Generator {
        server,
        work,
        tls: is_tls.then(tls).transpose()?,
        connections: Vec::new(),
        flights: Flights::new(),
        random: Numbers(1),
        start: Instant::now(),
    };
    for _ in 0..connections.clamp(1, pace.in_flight) {
        let connection = generator.connect()?;
        generator.connections.push(connection);
    }
    for at in 0..pace.in_flight {
        generator.ask((at % generator.connections.len()) as u32);
    }
    let mut swept_ns = 0;
    for is_measured in [false, true] {
        let began = Instant::now();
        let span = if is_measured { pace.measured } else { pace.warm_up };
        if is_measured {
            generator.flights.begin_to_count();
            watch.begin();
        }
        while began.elapsed() < span {
            for way in 0..generator.connections.len() {
                generator.turn(way)?;
            }
            let now_ns = generator.now_ns();
            if now_ns - swept_ns > SWEEP_NS {
                swept_ns = now_ns;
                for way in generator.flights.give_up(now_ns) {
                    generator.ask(way);
                }
            }
        }
        if is_measured {
            watch.end();
            generator.flights.tally.elapsed = began.elapsed();
        }
    }
    Ok(generator.flights.tally)
}

impl Generator<'_> {
    fn now_ns(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    fn connect(&self) -> io::Result<Connection> {
        let mut stream = TcpStream::connect(self.server)?;
        stream.set_nodelay(true)?;
        let pipe = match &self.tls {
            None => Pipe::Plain(stream),
            Some(config) => {
                let name = ServerName::IpAddress(self.server.ip().into());
                let mut session = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
                while session.is_handshaking() {
                    session.complete_io(&mut stream)?;
                }
                Pipe::Tls(Box::new(StreamOwned::new(session, stream)))
            }
        };
        let stream = match &pipe {
            Pipe::Plain(stream) => stream,
            Pipe::Tls(stream) => stream.get_ref(),
        };
        stream.set_nonblocking(true)?;
        Ok(Connection { pipe, received: Vec::new(), queued: Vec::new() })
    }

    /// Queues one query on a connection.
    fn ask(&mut self, way: u32) {
        let source = (std::net::Ipv4Addr::LOCALHOST, 0);
        let draw = self.work.draw(self.random.draw(), source);
        let id = self.flights.leave(draw, way, self.now_ns());
        let mut query = [0; 512];
        let len = self.work.write(&draw, id, &mut query);
        let queued = &mut self.connections[way as usize].queued;
        queued.extend((len as u16).to_be_bytes());
        queued.extend(&query[..len]);
    }

    /// Takes what has come on a connection, and writes as many queries as there were replies.
    fn turn(&mut self, way: usize) -> io::Result<()> {
        let outcome = self.connections[way].exchange();
        match outcome {
            Ok(0) => self.flights.tally.idle += 1,
            Ok(_) => self.flights.tally.receives += 1,
            // Closed: what was under way on it is lost, and its place is taken.
            Err(_) => {
                self.flights.tally.reconnected += 1;
                self.connections[way] = self.connect()?;
            }
        }
        let mut received = std::mem::take(&mut self.connections[way].received);
        let now_ns = self.now_ns();
        let mut at = 0;
        while let Some(len) = received.get(at..at + 2).map(|len| usize::from(u16::from_be_bytes([len[0], len[1]])))
            && let Some(reply) = received.get(at + 2..at + 2 + len)
        {
            at += 2 + len;
            let Some(id) = reply.first_chunk().copied().map(u16::from_be_bytes) else { continue };
            let Some(flight) = self.flights.arrive(id) else { continue };
            let verdict = self.work.judge(&flight.draw, reply);
            self.flights.judge(&flight, verdict, now_ns);
            self.ask(way as u32);
        }
        received.drain(..at);
        self.connections[way].received = received;
        Ok(())
    }
}

impl Connection {
    /// Writes what is queued and reads what is there; says how many octets came.
    fn exchange(&mut self) -> io::Result<usize> {
        if !self.queued.is_empty() {
            let written = match &mut self.pipe {
                Pipe::Plain(stream) => would_block_is_0(stream.write(&self.queued))?,
                Pipe::Tls(stream) => would_block_is_0(stream.write(&self.queued))?,
            };
            self.queued.drain(..written);
        }
        let len = self.received.len();
        self.received.resize(len + READ_LEN, 0);
        let came = match &mut self.pipe {
            Pipe::Plain(stream) => stream.read(&mut self.received[len..]),
            Pipe::Tls(stream) => stream.read(&mut self.received[len..]),
        };
        self.received.truncate(len + came.as_ref().map_or(0, |came| *came));
        match came {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            came => would_block_is_0(came),
        }
    }
}

fn would_block_is_0(outcome: io::Result<usize>) -> io::Result<usize> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        outcome => outcome,
    }
}

fn tls() -> io::Result<Arc<ClientConfig>> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    let mut config =
        config.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider))).with_no_client_auth();
    config.alpn_protocols = vec![b"dot".to_vec()];
    Ok(Arc::new(config))
}

/// Takes any certificate: what is measured is what TLS costs, not whom one talks to.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
