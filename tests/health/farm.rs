//! Three data centres of nginx with TLS, on loopback addresses of their own, and a node that watches them by the
//! unchanged reference policy.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

use crate::node::{Node, PATIENCE, Site};

/// The reference policy's endpoints.
pub(crate) const ANSWERED: [&str; 3] = ["1.1.1.1", "1.1.1.2", "2.2.2.1"];

/// Where the farm stands in for them.
const STANDING: [Ipv4Addr; 3] = [Ipv4Addr::new(127, 0, 7, 1), Ipv4Addr::new(127, 0, 7, 2), Ipv4Addr::new(127, 0, 7, 3)];

const UP: &str = "{\"status\":\"UP\"}\n";

/// Certificates for the reference service, and the CA that signed them.
pub(crate) struct Certificates {
    dir: TempDir,
}

impl Certificates {
    pub(crate) fn new() -> Certificates {
        let dir = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let names = vec!["api.meta-driven.example.com".to_owned()];
        let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &ca).unwrap();
        fs::write(dir.path().join("ca.pem"), ca.pem()).unwrap();
        fs::write(dir.path().join("leaf.pem"), leaf.pem()).unwrap();
        fs::write(dir.path().join("leaf.key"), key.serialize_pem()).unwrap();
        Certificates { dir }
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }
}

/// One data centre: an nginx that runs until it is dropped.
pub(crate) struct Nginx {
    dir: TempDir,
    child: Option<Child>,
    address: SocketAddr,
    certificates: [PathBuf; 2],
    /// What runs it: nothing, or `ip netns exec NAME`.
    within: Vec<String>,
}

impl Nginx {
    /// Answers `{"status":"UP"}` at `address` to whoever speaks TLS.
    pub(crate) fn start(address: SocketAddr, certificates: &Certificates, within: &[&str]) -> Nginx {
        let dir = tempfile::tempdir().unwrap();
        let certificates = [certificates.path("leaf.pem"), certificates.path("leaf.key")];
        let within = within.iter().map(|word| (*word).to_owned()).collect();
        let mut nginx = Nginx { dir, child: None, address, certificates, within };
        nginx.says(200, UP);
        nginx.rise();
        nginx
    }

    /// What it answers from the next start or [`Nginx::reread`] on.
    pub(crate) fn says(&self, status: u16, body: &str) {
        let dir = self.dir.path().display();
        let [cert, key] = self.certificates.each_ref().map(|path| path.display());
        let user = if nix_is_root() { "user root;" } else { "" };
        let body = body.trim_end();
        let config = format!(
            "daemon off; {user} worker_processes 1; pid {dir}/pid; error_log {dir}/error.log;\n\
             events {{ worker_connections 512; }}\n\
             http {{ access_log off; client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f;\n\
               uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;\n\
               server {{ listen {} ssl; ssl_certificate {cert}; ssl_certificate_key {key};\n\
                 location = /actuator/health {{ default_type application/json; return {status} '{body}'; }} }} }}\n",
            self.address
        );
        fs::write(self.dir.path().join("nginx.conf"), config).unwrap();
    }

    /// Starts it, and waits until it accepts connections.
    pub(crate) fn rise(&mut self) {
        let config = self.dir.path().join("nginx.conf");
        let mut words = self.within.clone();
        words.extend(["nginx".into(), "-p".into(), self.dir.path().display().to_string()]);
        words.extend(["-c".into(), config.display().to_string()]);
        let child = Command::new(&words[0])
            .args(&words[1..])
            .stdin(Stdio::null())
            .stderr(fs::File::create(self.dir.path().join("stderr")).unwrap())
            .spawn()
            .expect("nginx, which tests/run.sh installs");
        self.child = Some(child);
        let deadline = Instant::now() + PATIENCE;
        while !self.is_up() {
            let said = fs::read_to_string(self.dir.path().join("stderr")).unwrap_or_default();
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "nginx does not rise: {ended:?} {said}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn is_up(&self) -> bool {
        match self.within.is_empty() {
            true => TcpStream::connect(self.address).is_ok(),
            // Not reachable from here: it writes its number when it listens.
            false => self.dir.path().join("pid").exists(),
        }
    }

    /// Makes it heed what it was told to say.
    pub(crate) fn reread(&self) {
        self.signal("HUP");
    }

    /// It dies at once: connections are refused.
    pub(crate) fn die(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        // The master's end is not its workers': they go first, and it does not make new ones once it is stopped.
        signal("STOP", child.id());
        let children = Command::new("pgrep").args(["-P", &child.id().to_string()]).output();
        for worker in
            children.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default().lines()
        {
            signal("KILL", worker.parse().unwrap());
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let _ = fs::remove_file(self.dir.path().join("pid"));
    }

    /// It accepts connections (the kernel does), and says nothing.
    pub(crate) fn hang(&self) {
        self.signal("STOP");
    }

    fn signal(&self, name: &str) {
        let master = self.child.as_ref().unwrap().id();
        let output = Command::new("pgrep").args(["-P", &master.to_string()]).output().unwrap();
        if name == "STOP" {
            for worker in String::from_utf8_lossy(&output.stdout).lines() {
                signal(name, worker.parse().unwrap());
            }
        }
        signal(name, master);
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.die();
    }
}

pub(crate) fn signal(name: &str, process: u32) {
    let _ = Command::new("sh").args(["-c", &format!("kill -{name} {process}")]).status();
}

fn nix_is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n")
}

/// The three data centres.
pub(crate) struct Farm {
    pub(crate) certificates: Certificates,
    /// dc1, dc2, dc3.
    pub(crate) centres: [Nginx; 3],
}

impl Farm {
    pub(crate) fn new() -> Farm {
        let certificates = Certificates::new();
        let centres = STANDING.map(|address| Nginx::start(free_port(address), &certificates, &[]));
        Farm { certificates, centres }
    }

    /// A node that watches them. `more` is added to its configuration.
    pub(crate) fn serve(&self, more: &str) -> Node {
        self.serve_in(Site::of_the_reference_policy(), more)
    }

    /// The same in a directory where one was before.
    pub(crate) fn serve_in(&self, site: Site, more: &str) -> Node {
        let pairs = ANSWERED.iter().zip(&self.centres);
        let map: Vec<String> = pairs.map(|(from, to)| format!("\"{from}:443\": \"{}\"", to.address)).collect();
        // No name is resolved: if one were, this resolver would refuse.
        let config = format!("health:\n  address_map: {{{}}}\n  resolver: 127.0.0.1:1\n{more}", map.join(", "));
        fs::write(site.path("node.yaml"), config).unwrap();
        let arguments = ["serve", "--config", "node.yaml", "--listen", "127.0.0.1:0", "--api", "127.0.0.1:0"];
        let mut command = site.meridian(&arguments);
        command.args(["--state", "state"]).env("SSL_CERT_FILE", self.certificates.path("ca.pem"));
        command.env_remove("SSL_CERT_DIR");
        site.start(command)
    }
}

/// A port that was free a moment ago.
fn free_port(address: Ipv4Addr) -> SocketAddr {
    std::net::TcpListener::bind((address, 0)).unwrap().local_addr().unwrap()
}

/// Whether files can be found: `farm` without nginx proves nothing.
pub(crate) fn has(program: &str) -> bool {
    let found = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .chain([Path::new("/usr/sbin").to_owned()])
        .any(|dir| dir.join(program).exists());
    if !found {
        eprintln!("there is no {program} here: this test is left out");
    }
    found
}
