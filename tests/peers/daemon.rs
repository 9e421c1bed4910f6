//! NSD and Knot as child processes, each with a directory, a port and a configuration of its own.
//!
//! Nothing of theirs lies outside of that directory: no database, no control channel, no process file, and they
//! run as whoever runs the tests.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::message::{AA, Reply};
use crate::question::Ask;

/// How long a daemon may take to load its zones. Reached only when something is wrong.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// How long it may take to end before it is killed.
const END_WITHIN: Duration = Duration::from_secs(5);

/// Ports tried: between finding a free one and the daemon's binding it somebody may have taken it.
const ATTEMPTS: usize = 4;

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Peer {
    Nsd,
    Knot,
}

impl Peer {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Peer::Nsd => "NSD",
            Peer::Knot => "Knot",
        }
    }

    fn binary(self) -> &'static str {
        match self {
            Peer::Nsd => "nsd",
            Peer::Knot => "knotd",
        }
    }

    fn package(self) -> &'static str {
        match self {
            Peer::Nsd => "nsd",
            Peer::Knot => "knot",
        }
    }

    /// Where it is installed.
    fn find(self) -> Option<PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let usual = ["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from);
        let places = std::env::split_paths(&path).chain(usual);
        places.map(|place| place.join(self.binary())).find(|file| file.is_file())
    }

    fn configuration(self, dir: &Path, zones_dir: &Path, zones: &[String], address: SocketAddr) -> String {
        let (dir, zones_dir) = (dir.display(), zones_dir.display());
        let (ip, port) = (address.ip(), address.port());
        let mut text = match self {
            Peer::Nsd => format!(
                "server:
    server-count: 1
    ip-address: {ip}@{port}
    do-ip6: no
    username: \"\"
    chroot: \"\"
    zonesdir: \"{zones_dir}\"
    database: \"\"
    pidfile: \"\"
    xfrdfile: \"{dir}/xfrd.state\"
    xfrdir: \"{dir}\"
    zonelistfile: \"{dir}/zone.list\"
    cookie-secret-file: \"{dir}/cookie\"
    rrl-ratelimit: 0
    rrl-whitelist-ratelimit: 0
    identity: \"{IDENTITY}\"
    nsid: \"ascii_{NSID}\"
    version: \"{VERSION}\"
    ipv4-edns-size: {UDP_LEN}
    minimal-responses: no
    round-robin: no
    tcp-count: 64
    verbosity: 1
remote-control:
    control-enable: no
"
            ),
            Peer::Knot => format!(
                "server:
    rundir: \"{dir}\"
    pidfile: \"{dir}/knot.pid\"
    listen: {ip}@{port}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
    udp-max-payload: {UDP_LEN}
    identity: \"{IDENTITY}\"
    nsid: \"{NSID}\"
    version: \"{VERSION}\"
log:
  - target: stderr
    any: info
control:
    listen: \"{dir}/knot.sock\"
database:
    storage: \"{dir}\"
zone:
"
            ),
        };
        for zone in zones {
            text += &match self {
                Peer::Nsd => format!("zone:\n    name: \"{zone}\"\n    zonefile: \"{zone}.zone\"\n"),
                Peer::Knot => format!(
                    "  - domain: \"{zone}\"\n    storage: \"{zones_dir}\"\n    file: \"{zone}.zone\"\n    \
                     zonefile-sync: -1\n    zonefile-load: whole\n    journal-content: none\n    semantic-checks: off\n"
                ),
            };
        }
        text
    }
}

/// What all servers say of themselves.
pub(crate) const IDENTITY: &str = "peer.identity";
pub(crate) const NSID: &str = "peer.nsid";
pub(crate) const VERSION: &str = "peer version 1";

/// The largest UDP response of all servers.
pub(crate) const UDP_LEN: usize = 4096;

/// A running peer. Ends when dropped.
pub(crate) struct Daemon {
    pub(crate) peer: Peer,
    pub(crate) address: SocketAddr,
    child: Child,
    _dir: tempfile::TempDir,
}

impl Daemon {
    /// Starts it over `zones` in `zones_dir` and waits until it serves them all. `None`: it is not installed,
    /// and that is all right because `MERIDIAN_PEERS=optional` says so.
    pub(crate) fn start(peer: Peer, zones_dir: &Path, zones: &[String]) -> Option<Daemon> {
        let Some(binary) = peer.find() else {
            let remedy = format!("{} is not installed: apt install {}", peer.binary(), peer.package());
            let is_optional = std::env::var_os("MERIDIAN_PEERS").is_some_and(|value| value == "optional");
            assert!(is_optional, "{remedy} (or set MERIDIAN_PEERS=optional to skip the comparison)");
            eprintln!("SKIPPED: {remedy}");
            return None;
        };
        let mut last = String::new();
        for _ in 0..ATTEMPTS {
            match Daemon::attempt(peer, &binary, zones_dir, zones) {
                Ok(daemon) => return Some(daemon),
                Err(why) => last = why,
            }
        }
        panic!("{} does not start: {last}", peer.name());
    }

    fn attempt(peer: Peer, binary: &Path, zones_dir: &Path, zones: &[String]) -> Result<Daemon, String> {
        let dir = tempfile::tempdir().unwrap();
        let address = free_address();
        let file = dir.path().join("peer.conf");
        fs::write(&file, peer.configuration(dir.path(), zones_dir, zones, address)).unwrap();
        let log_file = dir.path().join("log");
        let log = File::create(&log_file).unwrap();
        let mut command = Command::new(binary);
        if peer == Peer::Nsd {
            command.arg("-d");
        }
        command.arg("-c").arg(&file).current_dir(dir.path()).stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.spawn().map_err(|error| error.to_string())?;
        let mut daemon = Daemon { peer, address, child, _dir: dir };
        match daemon.wait(zones) {
            Ok(()) => Ok(daemon),
            Err(why) => Err(format!("{why}\n{}", fs::read_to_string(&log_file).unwrap_or_default())),
        }
    }

    /// Asks for the SOA of each zone until each is answered with authority.
    fn wait(&mut self, zones: &[String]) -> Result<(), String> {
        let deadline = Instant::now() + READY_WITHIN;
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.connect(self.address).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let mut missing: Vec<&String> = zones.iter().collect();
        while let Some(zone) = missing.last() {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Err(format!("it ended: {status}"));
            }
            if Instant::now() > deadline {
                return Err(format!("{zone} is not served in time"));
            }
            let mut buffer = [0; 4096];
            let question = Ask::new(zone, 6).message(1);
            // A refused datagram (nobody listens yet) comes back as an error of either call.
            let reply = socket.send(&question).and_then(|_| socket.recv(&mut buffer));
            match reply.map(|len| Reply::read(&buffer[..len])) {
                Ok(Ok(reply)) if reply.rcode == 0 && reply.is(AA) => {
                    missing.pop();
                }
                Ok(_) | Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // SIGTERM first: NSD ends its own children then.
        let _ = Command::new("kill").arg(self.child.id().to_string()).stderr(Stdio::null()).status();
        let deadline = Instant::now() + END_WITHIN;
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address on loopback that is free for UDP and TCP, as far as one can know.
fn free_address() -> SocketAddr {
    loop {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = tcp.local_addr().unwrap();
        if UdpSocket::bind(address).is_ok() {
            return address;
        }
    }
}
