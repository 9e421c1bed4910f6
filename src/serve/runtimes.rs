//! The runtimes of the stream doors.
//!
//! TCP and DNS over TLS have one each, apart from probes and API, so that none can starve another.

use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle, Runtime};

use super::error::OpenError;

/// Both runtimes; the second only with DNS over TLS.
#[derive(Debug)]
pub(super) struct Runtimes {
    running: Vec<Runtime>,
}

impl Runtimes {
    pub(super) fn new() -> Runtimes {
        Runtimes { running: Vec::new() }
    }

    /// Starts one more.
    pub(super) fn start(&mut self, name: &str, threads: usize) -> Result<Handle, OpenError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name(name)
            .enable_all()
            .build()
            .map_err(|cause| OpenError::Thread { cause })?;
        let handle = runtime.handle().clone();
        self.running.push(runtime);
        Ok(handle)
    }

    /// Cuts off what still runs, and waits for the threads until the deadline.
    ///
    /// A runtime must not be dropped inside another one, so a thread of its own does it.
    pub(super) fn close(&mut self, deadline: Instant) {
        let running = std::mem::take(&mut self.running);
        if running.is_empty() {
            return;
        }
        let closing = thread::spawn(move || {
            for runtime in running {
                runtime.shutdown_timeout(deadline.saturating_duration_since(Instant::now()));
            }
        });
        if closing.join().is_err() {
            tracing::error!("closing a runtime panicked");
        }
    }
}

impl Drop for Runtimes {
    fn drop(&mut self) {
        self.close(Instant::now() + Duration::from_secs(1));
    }
}
