//! A running server, and a client for it.
//!
//! Nothing that runs here leaves loopback: a server on the shipped zones, whose addresses are other people's, probes
//! the demo's stand-ins; one that probes for real has a map to loopback, or a network namespace of its own.

#![allow(dead_code, reason = "each test program uses a part")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsCode, EdnsOption};
use hickory_proto::rr::{Name, RecordType};
use ipnet::IpNet;
use tempfile::TempDir;

/// How long a test waits for what must come. Reached only when it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A directory with copies of the shipped `zones/` and `geoip/`.
pub(crate) struct Site {
    dir: TempDir,
}

impl Site {
    pub(crate) fn new() -> Site {
        let site = Site { dir: tempfile::tempdir().unwrap() };
        for part in ["zones", "geoip"] {
            copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join(part), &site.path(part));
        }
        site
    }

    /// The reference policy alone, unchanged, with the shipped `geoip/`.
    pub(crate) fn of_the_reference_policy() -> Site {
        let site = Site { dir: tempfile::tempdir().unwrap() };
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR"));
        copy(&shipped.join("geoip"), &site.path("geoip"));
        fs::create_dir(site.path("zones")).unwrap();
        let policy = "zones/api.meta-driven.example.com.yaml";
        fs::copy(shipped.join(policy), site.path(policy)).unwrap();
        site
    }

    /// These policies alone, each a file's name and its text; no `geoip/`.
    pub(crate) fn of_policies(policies: &[(&str, &str)]) -> Site {
        let site = Site { dir: tempfile::tempdir().unwrap() };
        fs::create_dir(site.path("zones")).unwrap();
        for (file, text) in policies {
            fs::write(site.path("zones").join(file), text).unwrap();
        }
        site
    }

    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        self.dir.path().join(inside)
    }

    /// Replaces `from`, which must be there, in a file.
    pub(crate) fn edit(&self, file: &str, from: &str, to: &str) {
        let path = self.path(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file} does not say {from:?}");
        fs::write(path, text.replacen(from, to, 1)).unwrap();
    }

    /// The program in this directory, with nothing of the caller's environment that it would heed.
    pub(crate) fn meridian(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meridian"));
        command.args(arguments).current_dir(self.dir.path()).stdin(Stdio::null());
        for variable in ["MERIDIAN_CONFIG", "MERIDIAN_LOG", "NO_COLOR"] {
            command.env_remove(variable);
        }
        command
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.meridian(arguments).output().unwrap()
    }

    /// Serves on ports that the kernel chooses, and probes stand-ins.
    pub(crate) fn serve(self) -> Node {
        self.serve_with(&["--listen", "127.0.0.1:0"])
    }

    /// The same, with what else is said.
    pub(crate) fn serve_with(self, arguments: &[&str]) -> Node {
        let mut command = self.meridian(&["--demo", "--api", "127.0.0.1:0"]);
        command.args(arguments);
        self.start(command)
    }

    /// Serves on ports that the kernel chooses, and keeps its state in `state`; what policies name is probed for real.
    pub(crate) fn serve_stored(self) -> Node {
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--api", "127.0.0.1:0", "--state", "state"];
        let command = self.meridian(&arguments);
        self.start(command)
    }

    /// Runs a command that serves, in this directory.
    pub(crate) fn start(self, mut command: Command) -> Node {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (stdout, stderr) = (Lines::of(child.stdout.take().unwrap()), Lines::of(child.stderr.take().unwrap()));
        let address = ([127, 0, 0, 1], 0).into();
        let mut node = Node { child, site: self, stdout, stderr, address, api: String::new() };
        let listening = node.greeted("listening  ");
        node.address = listening.split([' ', ',']).next().unwrap().parse().unwrap();
        node.api = node.greeted("api        ");
        node
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// What a process says, line by line.
pub(crate) struct Lines {
    lines: Receiver<String>,
    /// All lines so far.
    pub(crate) seen: Vec<String>,
}

impl Lines {
    fn of(stream: impl Read + Send + 'static) -> Lines {
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Lines { lines, seen: Vec::new() }
    }

    /// The next line of which `wanted` is true; `None` when the process has closed the stream before.
    pub(crate) fn until(&mut self, wanted: impl Fn(&str) -> bool) -> Option<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if wanted(&line) {
                        return Some(line);
                    }
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => return None,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("waited in vain; so far it said {:#?}", self.seen),
            }
        }
    }

    /// Everything up to the end of the stream, with what came before.
    pub(crate) fn rest(&mut self) -> &[String] {
        let _ = self.until(|_| false);
        &self.seen
    }
}

/// A server that runs until it is dropped.
pub(crate) struct Node {
    child: Child,
    pub(crate) site: Site,
    pub(crate) stdout: Lines,
    pub(crate) stderr: Lines,
    pub(crate) address: SocketAddr,
    /// The URL of its API.
    pub(crate) api: String,
}

impl Node {
    /// What a line of the greeting says after `label`.
    fn greeted(&mut self, label: &str) -> String {
        let line = self.stdout.until(|line| line.contains(label)).unwrap_or_else(|| {
            panic!("it does not serve:\n{}", self.stderr.rest().join("\n"));
        });
        line.trim().strip_prefix(label).unwrap().to_owned()
    }

    /// Where its API is.
    pub(crate) fn api_address(&self) -> SocketAddr {
        self.api.strip_prefix("http://").unwrap().parse().unwrap()
    }

    /// A client command, told of this server.
    pub(crate) fn command(&self, arguments: &[&str]) -> Output {
        self.site.meridian(arguments).args(["--server", &self.api]).output().unwrap()
    }

    /// What `meridian status` knows.
    pub(crate) fn status(&self) -> serde_json::Value {
        let output = self.command(&["status", "--output", "json"]);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    }

    /// A page of its API, as curl shows it.
    pub(crate) fn page(&self, path: &str) -> String {
        let url = format!("{}{path}", self.api);
        let output = Command::new("curl").args(["-sf", "--max-time", "10", &url]).output().unwrap();
        assert!(output.status.success(), "{url}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Waits until `is_so`, asking again and again; how long that took.
    #[track_caller]
    pub(crate) fn wait_until(&self, what: &str, is_so: impl Fn(&Node) -> bool) -> Duration {
        let started = Instant::now();
        while !is_so(self) {
            assert!(started.elapsed() < PATIENCE, "in vain: {what}; status: {:#}", self.status());
            thread::sleep(Duration::from_millis(20));
        }
        started.elapsed()
    }

    /// Its process id, for signals.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it without warning; the directory stays, for another one.
    pub(crate) fn kill(mut self) -> Site {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::mem::replace(&mut self.site, Site { dir: tempfile::tempdir().unwrap() })
    }

    /// Asks over UDP, and over TCP when the answer was truncated.
    pub(crate) fn ask(&self, name: &str, rtype: RecordType, subnet: Option<&str>) -> Answer {
        let query = query(name, rtype, subnet);
        let reply = Answer(Message::from_vec(&self.over_udp(&query)).unwrap());
        if reply.0.metadata.truncation {
            return Answer(Message::from_vec(&self.over_tcp(&query)).unwrap());
        }
        reply
    }

    pub(crate) fn over_udp(&self, query: &[u8]) -> Vec<u8> {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.send_to(query, self.address).unwrap();
        let mut reply = vec![0; 4096];
        let (len, from) = socket.recv_from(&mut reply).unwrap();
        assert_eq!(from, self.address);
        reply.truncate(len);
        reply
    }

    pub(crate) fn over_tcp(&self, query: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut framed = u16::try_from(query.len()).unwrap().to_be_bytes().to_vec();
        framed.extend(query);
        stream.write_all(&framed).unwrap();
        let mut len = [0; 2];
        stream.read_exact(&mut len).unwrap();
        let mut reply = vec![0; usize::from(u16::from_be_bytes(len))];
        stream.read_exact(&mut reply).unwrap();
        reply
    }

    /// Sends it a signal: `HUP`, `TERM`, `INT`.
    pub(crate) fn signal(&self, name: &str) {
        // The shell's own: not every system has a program of that name.
        let status = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.child.id())]).status();
        assert!(status.unwrap().success());
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end; it said {:#?}", self.stderr.seen);
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A query as resolvers send it.
pub(crate) fn query(name: &str, rtype: RecordType, subnet: Option<&str>) -> Vec<u8> {
    let mut query = Message::new(4711, MessageType::Query, OpCode::Query);
    query.add_query(Query::query(Name::from_ascii(name).unwrap(), rtype));
    let mut edns = Edns::new();
    edns.set_max_payload(1232);
    if let Some(subnet) = subnet {
        let net: IpNet = subnet.parse().unwrap();
        edns.options_mut().insert(EdnsOption::Subnet(ClientSubnet::new(net.network(), net.prefix_len(), 0)));
    }
    query.set_edns(edns);
    query.to_vec().unwrap()
}

/// A reply, and what tests ask of it.
#[derive(Debug)]
pub(crate) struct Answer(pub(crate) Message);

impl Answer {
    pub(crate) fn rcode(&self) -> ResponseCode {
        self.0.metadata.response_code
    }

    /// The answer section: `A 1.1.1.1`.
    pub(crate) fn answers(&self) -> Vec<String> {
        self.0.answers.iter().map(|record| format!("{} {}", record.record_type(), record.data)).collect()
    }

    /// The same of the authority section.
    pub(crate) fn authorities(&self) -> Vec<String> {
        self.0.authorities.iter().map(|record| format!("{} {}", record.record_type(), record.data)).collect()
    }

    /// The same of the additional section, without OPT, with the owners.
    pub(crate) fn additionals(&self) -> Vec<String> {
        let records = self.0.additionals.iter();
        records.map(|record| format!("{} {} {}", record.name, record.record_type(), record.data)).collect()
    }

    /// The scope of the echoed Client Subnet option.
    pub(crate) fn scope(&self) -> Option<u8> {
        match self.0.edns.as_ref()?.option(EdnsCode::Subnet)? {
            EdnsOption::Subnet(subnet) => Some(subnet.scope_prefix()),
            _ => None,
        }
    }

    /// TTL and MINIMUM of the SOA with which a negative answer says how long it holds.
    #[track_caller]
    pub(crate) fn negative_ttls(&self) -> (u32, u32) {
        let [soa] = self.0.authorities.as_slice() else { panic!("no single SOA: {self:?}") };
        let hickory_proto::rr::RData::SOA(data) = &soa.data else { panic!("no SOA: {soa}") };
        (soa.ttl, data.minimum)
    }
}
