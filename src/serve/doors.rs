//! Opening and closing all doors together.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::admission::Admission;
use super::bind::{Bound, bind, check, threads_per_address};
use super::certificate::{Certificate, CertificateError};
use super::counters::Counters;
use super::engine::Engines;
use super::error::{DoorKind, OpenError};
use super::stop::{self, Stop, StopSender};
use super::udp::Worker;
use super::{DoorsConfig, DoorsCount, LocalAddresses, WorkerCount, dot, tcp};
use crate::limits::{DOORS_CLOSE_S, STREAM_THREADS_MAX, UDP_IDLE_TURN_S};
use crate::sys::{self, UdpSocket};
use crate::table::{Reader, Subscription};

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
    dot: Option<dot::Door>,
    /// `None` once closed. The second is DNS over TLS's.
    runtimes: Option<(Runtime, Option<Runtime>)>,
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
        check(config)?;
        let certificate = match &config.dot {
            Some(dot) => Some(Arc::new(Certificate::load(&dot.certificate, &dot.key)?)),
            None => None,
        };
        let cpus = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let stream_threads = cpus.min(STREAM_THREADS_MAX);
        let tls_threads = if certificate.is_some() { stream_threads } else { 0 };
        let threads = threads_per_address(config, cpus, stream_threads + tls_threads)?;
        let too_many = || OpenError::TooManyWorkers { addresses: config.listen.len(), threads };

        let Bound { plain, tls, addresses } = bind(config, threads)?;
        let engines = Engines::new(&subscription, stream_threads).ok_or_else(too_many)?;
        let shared = Arc::new(tcp::Shared { engines, admission: Admission::new(config.stream) });
        let runtime = start_runtime("stream", stream_threads)?;
        let handle = runtime.handle().clone();
        let (stop_streams, stop) = stop::channel();
        let (alive, streams_alive) = mpsc::channel(1);

        let mut tls_runtime = None;
        let dot = match certificate {
            Some(certificate) => {
                let engines = Engines::new(&subscription, tls_threads).ok_or_else(too_many)?;
                let own = tls_runtime.insert(start_runtime("tls", tls_threads)?);
                Some(dot::Door {
                    engines: Arc::new(engines),
                    certificate,
                    runtime: own.handle().clone(),
                    connections_max: config.stream.connections_max,
                    listeners: tls.len(),
                    idle: config.stream.idle,
                })
            }
            None => None,
        };
        let tls_config = dot.as_ref().map(dot::Door::tls).transpose()?.map(Arc::new);

        let mut doors = Doors {
            addresses,
            workers: Vec::new(),
            stop_workers: Arc::default(),
            stop_streams,
            streams_alive,
            shared: Arc::clone(&shared),
            dot: dot.clone(),
            runtimes: Some((runtime, tls_runtime)),
        };
        let _entered = handle.enter();
        let cpus = if config.pin_threads { sys::allowed_cpus() } else { Vec::new() };
        for (address, listener, sockets) in plain {
            let listener = tokio::net::TcpListener::from_std(listener).map_err(|cause| OpenError::Bind {
                address,
                kind: DoorKind::Tcp,
                cause,
            })?;
            tokio::spawn(tcp::listen(listener, Arc::clone(&shared), stop.clone(), alive.clone()));
            for (index, socket) in sockets.into_iter().enumerate() {
                let reader = subscription.reader().ok_or_else(too_many)?;
                let cpu = (!cpus.is_empty()).then(|| cpus[index % cpus.len()]);
                let running = start(socket, reader, cpu, Arc::clone(&doors.stop_workers))?;
                doors.workers.push(running);
            }
        }
        for listener in tls {
            if let (Some(door), Some(config)) = (&dot, &tls_config) {
                let alive = alive.clone();
                let listening = door.clone().listen(listener, Arc::clone(config), stop.clone());
                tokio::spawn(async move {
                    listening.await;
                    drop(alive);
                });
            }
        }
        tokio::spawn(refresh(shared, dot, stop));
        Ok(doors)
    }

    /// Where they are, with the real ports.
    pub fn local_addresses(&self) -> &LocalAddresses {
        &self.addresses
    }

    /// What they counted since they were opened.
    pub fn counters(&self) -> DoorsCount {
        DoorsCount {
            udp: self
                .workers
                .iter()
                .map(|worker| WorkerCount {
                    address: worker.socket.local_address(),
                    count: worker.counters.snapshot(),
                    kernel_drops: worker.socket.kernel_drops(),
                })
                .collect(),
            tcp: self.shared.engines.snapshot(),
            connections: self.shared.admission.connections(),
            tls: self.dot.as_ref().map(|dot| dot.engines.snapshot()).unwrap_or_default(),
            tls_connections: self.dot.as_ref().map_or(0, dot::Door::connections),
        }
    }

    /// Reads the certificate of DNS over TLS from its files again. After an error the one before goes on
    /// serving. Without that door there is nothing to do.
    pub fn reload_certificate(&self) -> Result<(), CertificateError> {
        match &self.dot {
            Some(dot) => dot.certificate.reload(),
            None => Ok(()),
        }
    }

    /// Closes them: stops receiving, answers what is in hand, waits for threads and connections to end, at
    /// most [`DOORS_CLOSE_S`]. `true` when all ended in time; `false` when some were cut off.
    ///
    /// Blocks; works inside and outside of a runtime.
    pub fn close(mut self) -> bool {
        self.close_in(Duration::from_secs(DOORS_CLOSE_S))
    }

    fn close_in(&mut self, time: Duration) -> bool {
        let Some((runtime, tls_runtime)) = self.runtimes.take() else { return true };
        let deadline = Instant::now() + time;
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
        // A runtime must not be dropped inside another one, so a thread of its own does it; nothing is left
        // to wait for but the runtime's threads.
        let closing = thread::spawn(move || {
            runtime.shutdown_timeout(deadline.saturating_duration_since(Instant::now()));
            if let Some(runtime) = tls_runtime {
                runtime.shutdown_timeout(deadline.saturating_duration_since(Instant::now()));
            }
        });
        closing.join().is_ok() && streams_ended && workers_ended
    }
}

impl Drop for Doors {
    fn drop(&mut self) {
        self.close_in(Duration::from_secs(DOORS_CLOSE_S));
    }
}

/// Starts one UDP worker on a thread of its own.
fn start(
    socket: UdpSocket,
    reader: Reader,
    cpu: Option<usize>,
    stop: Arc<AtomicBool>,
) -> Result<RunningWorker, OpenError> {
    let socket = Arc::new(socket);
    let worker = Worker::new(Arc::clone(&socket), reader);
    let counters = worker.counters();
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

fn start_runtime(name: &str, threads: usize) -> Result<Runtime, OpenError> {
    Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name(name)
        .enable_all()
        .build()
        .map_err(|cause| OpenError::Thread { cause })
}

/// Lets idle engines go of old tables, now and then.
async fn refresh(shared: Arc<tcp::Shared>, dot: Option<dot::Door>, mut stop: Stop) {
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
