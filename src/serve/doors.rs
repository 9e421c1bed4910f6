//! Opening and closing all doors together.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::admission::Admission;
use super::bind::{Bound, bind, check, threads_per_address};
use super::certificate::Certificate;
use super::counters::Counters;
use super::engine::Engines;
use super::error::{DoorKind, OpenError};
use super::runtimes::Runtimes;
use super::stop::{self, Stop, StopSender};
use super::udp::Worker;
use super::{DoorsConfig, DoorsCount, LocalAddresses, WorkerCount, dot, tcp};
use crate::limits::{DOORS_CLOSE_S, STREAM_THREADS_MAX, UDP_IDLE_TURN_S, UDP_RESPONSE_LEN_DEFAULT};
use crate::sys::{self, UdpSocket};
use crate::table::Subscription;

/// Open files that others in this process need: logs, zones, databases, probes, the API.
const FILES_BESIDE: usize = 512;

/// Open doors. Dropping them closes them like [`Doors::close`].
#[derive(Debug)]
pub struct Doors {
    addresses: LocalAddresses,
    workers: Vec<RunningWorker>,
    stop_workers: Arc<AtomicBool>,
    stop_streams: StopSender,
    /// Ends when the last stream listener and connection has.
    streams_alive: mpsc::Receiver<()>,
    shared: Arc<tcp::Shared>,
    dot: Option<Arc<dot::Door>>,
    runtimes: Runtimes,
}

/// Reads what the doors count, from anywhere, without keeping them open.
#[derive(Clone, Debug)]
pub struct Meter {
    workers: Vec<(Weak<UdpSocket>, Arc<Counters>)>,
    shared: Weak<tcp::Shared>,
    dot: Option<Weak<dot::Door>>,
}

impl Meter {
    /// What they counted since they were opened; `None` once they are closed.
    pub fn count(&self) -> Option<DoorsCount> {
        let shared = self.shared.upgrade()?;
        let dot = self.dot.as_ref().and_then(Weak::upgrade);
        let udp = self.workers.iter().filter_map(|(socket, counters)| {
            let socket = socket.upgrade()?;
            Some(WorkerCount {
                address: socket.local_address(),
                count: counters.snapshot(),
                kernel_drops: socket.kernel_drops(),
            })
        });
        Some(DoorsCount {
            udp: udp.collect(),
            tcp: shared.engines.snapshot(),
            connections: shared.admission.connections(),
            tls: dot.as_ref().map(|dot| dot.engines.snapshot()).unwrap_or_default(),
            tls_connections: dot.as_ref().map_or(0, |dot| dot.connections()),
        })
    }
}

#[derive(Debug)]
struct RunningWorker {
    socket: Arc<UdpSocket>,
    counters: Arc<Counters>,
    thread: Option<JoinHandle<()>>,
}

impl Doors {
    /// Opens them all, or none.
    ///
    /// They read from `subscription`: one reader for each UDP worker and each thread of a stream runtime,
    /// [`crate::limits::WORKERS_MAX`] in all.
    pub fn open(config: &DoorsConfig, subscription: Subscription) -> Result<Doors, OpenError> {
        ClosedDoors::hang(config)?.open(subscription)
    }

    /// Where they are, with the real ports.
    pub fn local_addresses(&self) -> &LocalAddresses {
        &self.addresses
    }

    /// What they counted since they were opened.
    pub fn counters(&self) -> DoorsCount {
        self.meter().count().expect("the doors are open while they are borrowed")
    }

    /// Reads the same later, from elsewhere.
    pub fn meter(&self) -> Meter {
        Meter {
            workers: self
                .workers
                .iter()
                .map(|worker| (Arc::downgrade(&worker.socket), Arc::clone(&worker.counters)))
                .collect(),
            shared: Arc::downgrade(&self.shared),
            dot: self.dot.as_ref().map(Arc::downgrade),
        }
    }

    /// The certificate of DNS over TLS, which can be read from its files again; `None` without that door.
    pub fn certificate(&self) -> Option<Arc<Certificate>> {
        self.dot.as_ref().map(|dot| Arc::clone(&dot.certificate))
    }

    /// Closes them: stops receiving, answers what is in hand, waits for threads and connections to end, at
    /// most [`DOORS_CLOSE_S`]. `true` when all ended in time; `false` when some were cut off.
    ///
    /// Blocks; works inside and outside of a runtime.
    pub fn close(mut self) -> bool {
        self.close_once()
    }

    /// A second time it finds nothing left to do.
    fn close_once(&mut self) -> bool {
        let deadline = Instant::now() + Duration::from_secs(DOORS_CLOSE_S);
        self.stop_workers.store(true, Ordering::Relaxed);
        for worker in &self.workers {
            worker.socket.wake();
        }
        self.stop_streams.stop();
        let streams_ended = wait_until(deadline, || {
            matches!(self.streams_alive.try_recv(), Err(mpsc::error::TryRecvError::Disconnected))
        });
        let workers_ended = wait_until(deadline, || {
            self.workers.iter().all(|worker| worker.thread.as_ref().is_none_or(JoinHandle::is_finished))
        });
        for worker in &mut self.workers {
            if let Some(thread) = worker.thread.take_if(|thread| thread.is_finished())
                && thread.join().is_err()
            {
                tracing::error!(address = %worker.socket.local_address(), "a UDP worker had ended by a panic");
            }
        }
        self.runtimes.close(deadline);
        streams_ended && workers_ended
    }
}

/// Doors that are in their places, all of them, and still closed: what knocks waits in the kernel's queues.
#[derive(Debug)]
pub struct ClosedDoors {
    config: DoorsConfig,
    certificate: Option<Arc<Certificate>>,
    bound: Bound,
    /// UDP workers for each address, and threads of each stream runtime.
    threads: (usize, usize),
}

impl ClosedDoors {
    /// Takes all addresses, or none. Says what is wrong with the configuration before anything else has begun.
    pub fn hang(config: &DoorsConfig) -> Result<ClosedDoors, OpenError> {
        check(config)?;
        let certificate = match &config.dot {
            Some(dot) => Some(Arc::new(Certificate::load(&dot.certificate, &dot.key)?)),
            None => None,
        };
        let cpus = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let stream_threads = cpus.min(STREAM_THREADS_MAX);
        let tls_threads = if certificate.is_some() { stream_threads } else { 0 };
        let threads = threads_per_address(config, cpus, stream_threads + tls_threads)?;
        check_open_files(config, threads);
        let bound = bind(config, threads)?;
        Ok(ClosedDoors { config: config.clone(), certificate, bound, threads: (threads, stream_threads) })
    }

    /// Where they are, with the real ports.
    pub fn local_addresses(&self) -> &LocalAddresses {
        &self.bound.addresses
    }

    /// Opens them; see [`Doors::open`].
    pub fn open(self, subscription: Subscription) -> Result<Doors, OpenError> {
        let ClosedDoors { config, certificate, bound: Bound { plain, tls, addresses }, threads } = self;
        let (threads, stream_threads) = threads;
        let too_many = || OpenError::TooManyWorkers { addresses: config.listen.len(), threads };
        let mut runtimes = Runtimes::new();
        let runtime = runtimes.start("stream", stream_threads)?;
        let engines = Engines::new(&subscription, stream_threads).ok_or_else(too_many)?;
        let shared = Arc::new(tcp::Shared { engines, admission: Admission::new(config.stream) });
        let dot = match certificate {
            Some(certificate) => Some(Arc::new(dot::Door {
                engines: Arc::new(Engines::new(&subscription, stream_threads).ok_or_else(too_many)?),
                certificate,
                runtime: runtimes.start("tls", stream_threads)?,
                connections_max: config.stream.connections_max,
                listeners: tls.len(),
                idle: config.stream.idle,
            })),
            None => None,
        };
        let (stop_streams, stop) = stop::channel();
        let (alive, streams_alive) = mpsc::channel(1);
        let stop_workers = Arc::default();
        let mut doors =
            Doors { addresses, workers: Vec::new(), stop_workers, stop_streams, streams_alive, shared, dot, runtimes };

        // Bound anew so that, on an error below, it goes before `doors`, whose closing waits for that.
        let alive = alive;
        let _entered = runtime.enter();
        let cpus = if config.pin_threads { sys::allowed_cpus() } else { Vec::new() };
        for (address, listener, sockets) in plain {
            let kind = DoorKind::Tcp;
            let listener = TcpListener::from_std(listener).map_err(|cause| OpenError::Bind { address, kind, cause })?;
            tokio::spawn(tcp::listen(listener, Arc::clone(&doors.shared), stop.clone(), alive.clone()));
            for (index, socket) in sockets.into_iter().enumerate() {
                if config.udp_response_len_max <= UDP_RESPONSE_LEN_DEFAULT {
                    socket.never_fragment();
                }
                let reader = subscription.reader().ok_or_else(too_many)?;
                let cpu = (!cpus.is_empty()).then(|| cpus[index % cpus.len()]);
                let worker = Worker::new(Arc::new(socket), reader).polling(config.busy_poll);
                doors.workers.push(start(worker, cpu, Arc::clone(&doors.stop_workers))?);
            }
        }
        if let Some(door) = &doors.dot {
            let config = Arc::new(door.tls()?);
            for listener in tls {
                let listening = dot::Door::clone(door).listen(listener, Arc::clone(&config), stop.clone());
                let alive = alive.clone();
                tokio::spawn(async move {
                    listening.await;
                    drop(alive);
                });
            }
        }
        tokio::spawn(refresh(Arc::clone(&doors.shared), doors.dot.clone(), stop));
        Ok(doors)
    }
}

impl Drop for Doors {
    fn drop(&mut self) {
        self.close_once();
    }
}

/// Makes room for as many connections as are let in, and says so when there is not enough: then some would
/// be refused by the system before we come to count them.
fn check_open_files(config: &DoorsConfig, threads: usize) {
    let doors = 1 + usize::from(config.dot.is_some());
    let needed = doors * config.stream.connections_max + config.listen.len() * (threads + 1) + FILES_BESIDE;
    match sys::raise_open_files() {
        Ok(limit) if limit >= needed as u64 => {}
        Ok(limit) => tracing::warn!(limit, needed, "few open files: raise the limit (`ulimit -Hn`, `LimitNOFILE=`)"),
        Err(error) => tracing::warn!(%error, "the limit of open files is not known"),
    }
}

/// Starts one UDP worker on a thread of its own.
fn start(worker: Worker, cpu: Option<usize>, stop: Arc<AtomicBool>) -> Result<RunningWorker, OpenError> {
    let (socket, counters) = (worker.socket(), worker.counters());
    let thread = thread::Builder::new()
        .name("udp".into())
        .spawn(move || {
            if let Some(cpu) = cpu
                && let Err(error) = sys::pin_to_cpu(cpu)
            {
                tracing::warn!(cpu, %error, "a UDP worker is not kept on its processor");
            }
            worker.run(&stop);
        })
        .map_err(|cause| OpenError::Thread { cause })?;
    Ok(RunningWorker { socket, counters, thread: Some(thread) })
}

/// Lets idle engines go of old tables, now and then.
async fn refresh(shared: Arc<tcp::Shared>, dot: Option<Arc<dot::Door>>, mut stop: Stop) {
    let mut ticks = interval(Duration::from_secs(UDP_IDLE_TURN_S));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.said() => return,
            _ = ticks.tick() => {
                shared.engines.refresh();
                if let Some(dot) = &dot {
                    dot.engines.refresh();
                }
            }
        }
    }
}

/// Looks until `is_done` or the deadline; says whether it is done.
fn wait_until(deadline: Instant, mut is_done: impl FnMut() -> bool) -> bool {
    loop {
        if is_done() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(2));
    }
}
