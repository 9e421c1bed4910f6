//! The HTTP API of a server.

use std::sync::Arc;

use tokio::runtime;

use super::Refused;
use super::memory::Memory;
use super::watching::Watching;
use crate::api::Reread;
use crate::cli::api_door::{ApiDoor, Behind};
use crate::config;
use crate::control::Handle;
use crate::serve::{Certificate, Doors};
use crate::telemetry::Registry;

/// The API, which says that it is not ready until doors are open.
pub(super) struct Web {
    door: ApiDoor,
    registry: Registry,
}

impl Web {
    /// Listens. Who asks before doors are open sees how the first round of probes goes.
    pub(super) fn open(
        server: &config::Server,
        control: &Handle,
        watching: &Watching,
        memory: &Memory,
        files: Reread,
        runtime: &runtime::Handle,
    ) -> Result<Web, Refused> {
        let registry = Registry::new();
        memory.meter(&registry);
        let behind = Behind {
            control: control.clone(),
            sightings: Some(watching.sightings()),
            demo: watching.stand_ins().cloned(),
            audit: memory.audit(),
            files: Some(files),
            registry: registry.clone(),
        };
        Ok(Web { door: ApiDoor::open(server, behind, runtime)?, registry })
    }

    /// From now on `/readyz` says so, and `/metrics` tells of queries.
    pub(super) fn doors_are_open(&self, doors: &Doors) {
        self.registry.add(doors.meter());
        self.door.set_ready(true);
    }

    /// As a client command names it.
    pub(super) fn url(&self) -> String {
        self.door.url()
    }

    /// The certificate, which can be read from its files again; `None` without TLS.
    pub(super) fn certificate(&self) -> Option<Arc<Certificate>> {
        self.door.certificate()
    }

    /// Says that it is not ready, then closes; false when some requests were cut off.
    pub(super) async fn close(self) -> bool {
        self.door.set_ready(false);
        self.door.close().await
    }
}
