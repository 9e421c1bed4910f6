//! What a process and its children take of processor and memory, from /proc.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

/// What was taken between [`Watch::begin`] and [`Watch::end`].
#[derive(Clone, Copy)]
pub(crate) struct Usage {
    /// Of processors, all threads together.
    pub(crate) cpu: Duration,
    /// Which share of it was not the kernel's.
    pub(crate) user_share: f64,
    /// Resident at the end; what several processes share counts once.
    pub(crate) memory_kb: u64,
}

/// Ticks of the clock in a second: Linux tells programs of no other.
const TICKS: f64 = 100.0;

#[derive(Clone, Default)]
struct Reading {
    /// By process and thread: its name and what it ran.
    threads: BTreeMap<(u32, u32), (String, u64)>,
    /// In ticks of the clock.
    user: u64,
    system: u64,
}

/// One process, with its children.
pub(crate) struct Watch {
    pid: Option<u32>,
    began: Reading,
    usage: Option<Usage>,
    threads: Vec<(String, Duration)>,
}

impl Watch {
    /// Of nothing, when there is no process to watch.
    pub(crate) fn new(pid: Option<u32>) -> Watch {
        Watch { pid, began: Reading::default(), usage: None, threads: Vec::new() }
    }

    pub(crate) fn begin(&mut self) {
        self.began = self.pid.map(read).unwrap_or_default();
    }

    pub(crate) fn end(&mut self) {
        let Some(pid) = self.pid else { return };
        let now = read(pid);
        let user = now.user.saturating_sub(self.began.user) as f64;
        let system = now.system.saturating_sub(self.began.system) as f64;
        let mut of: BTreeMap<&str, u64> = BTreeMap::new();
        for (thread, (name, cpu_ns)) in &now.threads {
            let before = self.began.threads.get(thread).map_or(0, |(_, cpu_ns)| *cpu_ns);
            *of.entry(name).or_default() += cpu_ns.saturating_sub(before);
        }
        let living = of.values().sum::<u64>();
        // Threads that have ended took their figures with them: they are what the process has more, as far as its
        // ticks can tell.
        let all = ((user + system) * 1e9 / TICKS) as u64;
        let ended = all.saturating_sub(living);
        if ended > (5.0 * 1e9 / TICKS) as u64 {
            of.insert("ended", ended);
        }
        self.threads = of.iter().map(|(name, ns)| ((*name).to_owned(), Duration::from_nanos(*ns))).collect();
        self.usage = Some(Usage {
            cpu: Duration::from_nanos(of.values().sum()),
            user_share: user / (user + system).max(1.0),
            memory_kb: family(pid).into_iter().map(memory_kb).sum(),
        });
    }

    /// What threads ran, by their names; `ended`: those that are no more.
    pub(crate) fn threads(&self) -> &[(String, Duration)] {
        &self.threads
    }

    pub(crate) fn usage(&self) -> Option<Usage> {
        self.usage
    }
}

fn read(pid: u32) -> Reading {
    let mut sum = Reading::default();
    for pid in family(pid) {
        for task in entries(&format!("/proc/{pid}/task")) {
            // What it ran, in nanoseconds, stands first.
            let text = fs::read_to_string(format!("/proc/{pid}/task/{task}/schedstat")).unwrap_or_default();
            let cpu_ns = text.split_whitespace().next().and_then(|field| field.parse().ok()).unwrap_or(0);
            let name = fs::read_to_string(format!("/proc/{pid}/task/{task}/comm")).unwrap_or_default();
            sum.threads.insert((pid, task), (name.trim().to_owned(), cpu_ns));
        }
        let fields = stat(pid);
        let field = |at: usize| fields.get(at).and_then(|field| field.parse().ok()).unwrap_or(0);
        sum.user += field(11);
        sum.system += field(12);
    }
    sum
}

/// The process, its children, and theirs.
fn family(pid: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> =
        entries("/proc").into_iter().filter_map(|child| Some((child, stat(child).get(1)?.parse().ok()?))).collect();
    let mut family = vec![pid];
    let mut at = 0;
    while let Some(&parent) = family.get(at) {
        family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(child, _)| child));
        at += 1;
    }
    family
}

/// The fields of /proc/PID/stat behind the name, which may hold anything: state, parent and so on.
fn stat(pid: u32) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let behind = text.rsplit_once(')').map_or("", |(_, behind)| behind);
    behind.split_whitespace().map(str::to_owned).collect()
}

/// The numbers among a directory's entries.
fn entries(directory: &str) -> Vec<u32> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// Its share of resident memory: a page that several processes have is divided among them.
fn memory_kb(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok()).unwrap_or(0)
}
