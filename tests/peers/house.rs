//! Meridian in this process: its files loaded by control, its doors open.

use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use meridian::control::{self, Control, Paths};
use meridian::diag::Diagnostic;
use meridian::model::Settings;
use meridian::serve::{Doors, DoorsConfig, DotConfig};
use meridian::table::RoutingTable;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::daemon::{IDENTITY, NSID, UDP_LEN, VERSION};

/// How long a connection waits for what must come. Reached only when a test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// Open doors, and the writer behind them.
pub(crate) struct House {
    doors: Doors,
    control: Control,
    certificate: CertificateDer<'static>,
    _files: tempfile::TempDir,
}

impl House {
    /// Serves the zones in `zones`: no geo data, no policies.
    pub(crate) fn open(zones: &Path) -> House {
        let settings = Settings {
            udp_response_len_max: UDP_LEN,
            nsid: Some(NSID.as_bytes().into()),
            version: Some(VERSION.to_owned()),
            server_id: Some(IDENTITY.to_owned()),
            ..Settings::default()
        };
        let paths = Paths {
            zones: zones.to_owned(),
            geoip: Vec::<PathBuf>::new(),
            geoip_if_present: false,
            geoip_required: false,
        };
        let load = control::load(&paths, &settings, false);
        let errors: Vec<&Diagnostic> = load.found.iter().filter(|found| found.is_error()).collect();
        let base = load.base.unwrap_or_else(|| panic!("the zones do not load: {errors:#?}"));
        let control = Control::new(paths, settings, false, &base);

        let files = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["dns.test".to_owned()]).unwrap();
        let (certificate, key) = (files.path().join("cert.pem"), files.path().join("key.pem"));
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();

        let any = "127.0.0.1:0".parse().unwrap();
        let mut config = DoorsConfig::new(vec![any]);
        // One worker, so that replies come in the order of the questions.
        config.threads = NonZeroUsize::new(1);
        config.dot = Some(DotConfig { listen: vec![any], certificate, key });
        let doors = Doors::open(&config, control.subscription()).unwrap();
        House { doors, control, certificate: made.cert.der().clone(), _files: files }
    }

    /// UDP and TCP.
    pub(crate) fn plain(&self) -> SocketAddr {
        self.doors.local_addresses().plain[0]
    }

    /// What it answers from.
    pub(crate) fn table(&self) -> Arc<RoutingTable> {
        self.control.current()
    }

    pub(crate) fn connect_tls(&self) -> StreamOwned<ClientConnection, TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(rustls::ALL_VERSIONS)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"dot".to_vec()];
        let name = ServerName::try_from("dns.test").unwrap();
        let stream = TcpStream::connect(self.doors.local_addresses().tls[0]).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), stream)
    }
}
