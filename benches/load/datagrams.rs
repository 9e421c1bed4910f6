//! Over UDP: one socket, many source addresses, everything by the batch.
//!
//! The socket is bound to the wildcard address, so it may send from every address of loopback and receives for all
//! of them. Queries that follow each other come from different addresses, as a resolver's neighbours do; with one
//! source they all come from one address and port.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket as Plain};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use meridian::sys::{Batch, Local, UdpSocket, Wait};

use crate::Pace;
use crate::flights::{Flights, SWEEP_NS, Tally};
use crate::process::Watch;
use crate::question::Work;

/// Queries that may be under way in an open loop; beyond, the server is not keeping up.
const OPEN_MAX: usize = 4096;

struct Generator<'g> {
    server: SocketAddr,
    work: &'g Work,
    socket: UdpSocket,
    batch: Batch,
    sources: Vec<(Ipv4Addr, u8)>,
    flights: Flights,
    random: Numbers,
    start: Instant,
}

/// Numbers that look random and are the same in every run (SplitMix64).
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }
}

pub(crate) fn run(
    server: SocketAddr,
    work: &Work,
    sources: usize,
    pace: &Pace,
    watch: &mut Watch,
) -> io::Result<Tally> {
    let sources = work.places_of_sources(sources);
    let bound = match sources.as_slice() {
        [(source, _)] => *source,
        _ => Ipv4Addr::UNSPECIFIED,
    };
    let mut generator = Generator {
        server,
        work,
        socket: UdpSocket::bind((bound, 0).into())?,
        batch: Batch::new(),
        sources,
        flights: Flights::new(),
        random: Numbers(1),
        start: Instant::now(),
    };
    match pace.rate {
        None => generator.closed(pace, watch)?,
        Some(rate) => generator.open(rate, pace, watch)?,
    }
    Ok(generator.flights.tally)
}

impl Generator<'_> {
    fn now_ns(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    /// Puts one query into the batch, by the way `way`; false when it is full.
    fn ask(&mut self, way: u32, since_ns: u64) -> bool {
        let (source, group) = self.sources[way as usize];
        let local = (self.sources.len() > 1).then_some(Local { address: IpAddr::V4(source), interface: 0 });
        let Some(mut slot) = self.batch.begin(self.server, local) else { return false };
        let draw = self.work.draw(self.random.draw(), (source, group));
        let id = self.flights.leave(draw, way, since_ns);
        let len = self.work.write(&draw, id, slot.buffer());
        slot.commit(len);
        true
    }

    fn send(&mut self) -> io::Result<()> {
        match self.batch.send(&self.socket).last_error {
            Some(error) => Err(io::Error::from_raw_os_error(error)),
            None => Ok(()),
        }
    }

    /// Sends one query by each of the ways.
    fn ask_by(&mut self, ways: &[u32]) -> io::Result<()> {
        self.batch.clear();
        let now_ns = self.now_ns();
        for &way in ways {
            if !self.ask(way, now_ns) {
                self.send()?;
                self.batch.clear();
                self.ask(way, now_ns);
            }
        }
        self.send()
    }

    /// As many in flight as the pace says, always.
    fn closed(&mut self, pace: &Pace, watch: &mut Watch) -> io::Result<()> {
        let ways: Vec<u32> = (0..pace.in_flight).map(|at| (at % self.sources.len()) as u32).collect();
        self.ask_by(&ways)?;
        self.turns(pace, watch, |generator, swept_ns| {
            generator.receive(true)?;
            generator.send()?;
            if let Some(now_ns) = swept_ns {
                let ways = generator.flights.give_up(now_ns);
                generator.ask_by(&ways)?;
            }
            Ok(())
        })
    }

    /// So many queries a second, whatever comes back.
    fn open(&mut self, rate: f64, pace: &Pace, watch: &mut Watch) -> io::Result<()> {
        let began_ns = self.now_ns();
        let gap_ns = 1e9 / rate;
        let mut due: u64 = 0;
        self.turns(pace, watch, |generator, swept_ns| {
            generator.receive(false)?;
            let now_ns = generator.now_ns();
            generator.batch.clear();
            loop {
                let due_ns = began_ns + (due as f64 * gap_ns) as u64;
                if due_ns > now_ns {
                    break;
                }
                if generator.flights.open >= OPEN_MAX {
                    generator.flights.tally.held_back += 1;
                } else if !generator.ask((due % generator.sources.len() as u64) as u32, due_ns) {
                    break;
                }
                due += 1;
            }
            generator.send()?;
            if let Some(now_ns) = swept_ns {
                generator.flights.give_up(now_ns);
            }
            Ok(())
        })
    }

    /// Turn after turn: first warm, then measured. A turn learns now and then that it should look for losses.
    fn turns(
        &mut self,
        pace: &Pace,
        watch: &mut Watch,
        mut turn: impl FnMut(&mut Self, Option<u64>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut swept_ns = 0;
        for is_measured in [false, true] {
            let began = Instant::now();
            let span = if is_measured { pace.measured } else { pace.warm_up };
            if is_measured {
                self.flights.begin_to_count();
                watch.begin();
            }
            while began.elapsed() < span {
                let now_ns = self.now_ns();
                let is_due = now_ns - swept_ns > SWEEP_NS;
                if is_due {
                    swept_ns = now_ns;
                }
                turn(self, is_due.then_some(now_ns))?;
            }
            if is_measured {
                watch.end();
                self.flights.tally.elapsed = began.elapsed();
            }
        }
        Ok(())
    }

    /// Takes what has come. In a closed loop each reply's slot gets the next query.
    fn receive(&mut self, is_closed: bool) -> io::Result<()> {
        let count = self.batch.receive(&self.socket, Wait::No)?;
        if count == 0 {
            self.flights.tally.idle += 1;
            return Ok(());
        }
        self.flights.tally.receives += 1;
        let now_ns = self.now_ns();
        for index in 0..count {
            let (reply, mut slot) = self.batch.exchange(index);
            let Some(id) = reply.bytes.first_chunk().copied().map(u16::from_be_bytes) else { continue };
            let Some(flight) = self.flights.arrive(id) else { continue };
            let verdict = self.work.judge(&flight.draw, reply.bytes);
            self.flights.judge(&flight, verdict, now_ns);
            if is_closed {
                let draw = self.work.draw(self.random.draw(), self.sources[flight.way as usize]);
                let id = self.flights.leave(draw, flight.way, now_ns);
                let len = self.work.write(&draw, id, slot.buffer());
                slot.commit(len);
            }
        }
        Ok(())
    }
}

/// Asks question 0 every millisecond until the reply is right.
pub(crate) fn wait(server: SocketAddr, work: &Work, since: Option<u128>, within: Duration) -> io::Result<Duration> {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let since = since.map_or_else(now, |ns| Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX)));
    let source = work.places_of_sources(1)[0];
    let socket = Plain::bind((source.0, 0))?;
    socket.set_read_timeout(Some(Duration::from_millis(1)))?;
    let draw = work.draw(0, source);
    let mut buffer = [0; 4096];
    let mut last = String::from("no reply");
    let mut id = 0u16;
    while now().saturating_sub(since) < within {
        id = id.wrapping_add(1);
        let len = work.write(&draw, id, &mut buffer);
        // Nobody listens yet: also an answer, from the socket itself.
        if socket.send_to(&buffer[..len], server).is_ok()
            && let Ok((len, from)) = socket.recv_from(&mut buffer)
            && from == server
        {
            match work.judge(&draw, &buffer[..len]) {
                Ok(()) => return Ok(now().saturating_sub(since)),
                Err(why) => last = why,
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    Err(io::Error::other(format!("no right reply in {} s: {last}", within.as_secs())))
}
