//! The door of the API, as the server's configuration says.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime;

use crate::api::tokens::TokenError;
use crate::api::{Access, AccessConfig, ApiConfig, AuditLog, Context, Reread, Server, Sightings, StartError};
use crate::config;
use crate::control::Handle;
use crate::demo::StandIns;
use crate::serve::{Certificate, CertificateError};
use crate::telemetry::Registry;

/// What the API shows and orders.
pub struct Behind {
    /// The single writer.
    pub control: Handle,
    /// What this node's probes know; `None`: it has none.
    pub sightings: Option<Arc<dyn Sightings>>,
    /// The stand-ins of a demonstration.
    pub demo: Option<Arc<StandIns>>,
    /// The audit log; `None`: nothing is kept.
    pub audit: Option<Arc<dyn AuditLog>>,
    /// Reads the files that a reload would read.
    pub files: Option<Reread>,
    /// For `GET /metrics`; the API adds its own.
    pub registry: Registry,
}

/// Why the API can not be served. Nothing has been opened.
#[derive(Debug, thiserror::Error)]
pub enum ApiDoorError {
    /// The token file.
    #[error("the API's tokens: {0}")]
    Tokens(#[from] TokenError),
    /// The certificate, its key, or the authorities of callers.
    #[error("TLS of the API: {0}")]
    Certificate(#[from] CertificateError),
    /// It is unprotected, or the system refuses.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// A serving API.
#[derive(Debug)]
pub struct ApiDoor {
    server: Server,
    certificate: Option<Arc<Certificate>>,
    readiness: Arc<AtomicBool>,
}

impl ApiDoor {
    /// Opens it as `config.api` says, or not at all; `runtime` serves it.
    pub fn open(config: &config::Server, behind: Behind, runtime: &runtime::Handle) -> Result<ApiDoor, ApiDoorError> {
        let api = &config.api;
        let (mut listening, mut certificate) = (ApiConfig { unix: api.socket.clone(), ..ApiConfig::default() }, None);
        match &api.tls {
            None => listening.listen.push(api.listen),
            Some(files) => {
                let shown = Arc::new(Certificate::load(&files.cert, &files.key)?);
                // HTTP/1.1 alone: `crate::api` says why.
                listening.tls = Some(Arc::new(shown.server_config(&[b"http/1.1"], files.client_ca.as_deref())?));
                listening.listen_tls.push(api.listen);
                certificate = Some(shown);
            }
        }
        let access = Access::new(&AccessConfig {
            tokens: api.tokens.clone(),
            anonymous: api.anonymous.clone(),
            has_certificates: api.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some()),
        })?;
        let Behind { control, sightings, demo, audit, files, registry } = behind;
        let mut context = Context::new(control, sightings, access, &config.node_name(), registry);
        if let Some(demo) = demo {
            context = context.with_demo(demo);
        }
        if let Some(audit) = audit {
            context = context.with_audit(audit);
        }
        if let Some(files) = files {
            context = context.with_files(files);
        }
        let readiness = context.readiness();
        let server = Server::start(&listening, Arc::new(context), runtime)?;
        Ok(ApiDoor { server, certificate, readiness })
    }

    /// Where it listens, with the real port.
    pub fn local_addresses(&self) -> &[SocketAddr] {
        self.server.local_addresses()
    }

    /// As a client command names it.
    pub fn url(&self) -> String {
        let scheme = if self.certificate.is_some() { "https" } else { "http" };
        let address = self.local_addresses().first().map(SocketAddr::to_string).unwrap_or_default();
        format!("{scheme}://{address}")
    }

    /// What `/readyz` says: true once the DNS sockets are open, false before they close.
    pub fn set_ready(&self, is_ready: bool) {
        self.readiness.store(is_ready, Ordering::Relaxed);
    }

    /// The certificate, which can be read from its files again; `None` without TLS. Tokens need no word: their file is
    /// looked at by itself.
    pub fn certificate(&self) -> Option<Arc<Certificate>> {
        self.certificate.clone()
    }

    /// Stops listening and waits for the requests in hand, for a few seconds; says whether all ended.
    pub async fn close(self) -> bool {
        self.server.close().await
    }
}
