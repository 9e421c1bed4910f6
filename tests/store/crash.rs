//! kill -9 at any instant of a storm of orders, hundreds of times.
//!
//! The parent starts this very test program again as a child that submits orders as fast as it can, and says on
//! its standard output what became of each; kills it; and opens the directory itself to see what is in force.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use meridian::limits;
use meridian::model::Generation;
use meridian::store::{self, OsDisk, Severity, Store};

use crate::faults::{Faulty, Script};
use crate::support::{SMALL, note, open, order};

const CHILD: &str = "MERIDIAN_STORE_CHILD";

/// As many as fit into this time, and no more than [`CYCLES_MAX`].
const BUDGET: Duration = Duration::from_secs(20);
const CYCLES_MAX: u32 = 250;

/// The child; does nothing unless it was started by the parent.
#[test]
fn child_of_the_crash_test() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    // Every seventh sync takes its time, so that some orders run out of theirs while they are being written.
    let disk = Arc::new(Faulty::new(Script { slow_sync: Some((7, Duration::from_millis(12))), ..Script::default() }));
    let (store, restored, _) = Store::open_with(Path::new(&dir), disk, SMALL).unwrap();
    let out = Arc::new(Mutex::new(std::io::stdout()));
    let say = |line: String| {
        // One write a line: what is read is whole.
        let mut out = out.lock().unwrap();
        out.write_all(line.as_bytes()).and_then(|()| out.flush()).unwrap();
    };
    let mut generation = restored.generations.start;
    say(format!("\nstart {generation}\n"));
    for revision in restored.revisions_to.0 + 1.. {
        generation += 1;
        store.used(Generation(generation));
        say(format!("asked {revision} {generation}\n"));
        let out = Arc::clone(&out);
        let within = if revision % 5 == 0 { Duration::from_millis(4) } else { Duration::from_secs(3) };
        let mut order = order(revision);
        order.generation = Generation(generation);
        store.submit(order, within, move |fate| {
            let word = if fate.is_ok() { "done" } else { "refused" };
            let mut out = out.lock().unwrap();
            // The parent may be gone.
            let _ = out.write_all(format!("{word} {revision}\n").as_bytes()).and_then(|()| out.flush());
        });
        store.note(note("storm"));
        while store.status().orders_waiting > 16 {
            thread::yield_now();
        }
    }
}

#[derive(Default)]
struct Told {
    asked: BTreeSet<u64>,
    done: BTreeSet<u64>,
    refused: BTreeSet<u64>,
    generation: u64,
}

/// One life of the child, ended `after` it has started to work.
fn storm(dir: &Path, after: Duration) -> Told {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::child_of_the_crash_test", "--nocapture", "--test-threads=1"])
        .env(CHILD, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let reader = thread::spawn(move || {
        let mut told = Told::default();
        for line in lines.map_while(Result::ok) {
            let words: Vec<&str> = line.split(' ').collect();
            let number = |at: usize| words[at].parse::<u64>().unwrap();
            match words[0] {
                "start" => told.generation = number(1),
                "asked" => {
                    told.asked.insert(number(1));
                    told.generation = number(2);
                }
                "done" => assert!(told.done.insert(number(1))),
                "refused" => assert!(told.refused.insert(number(1))),
                _ => {}
            }
        }
        told
    });
    thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap()
}

#[test]
fn after_kill_9_every_acknowledged_order_is_in_force_and_none_that_was_refused() {
    let dir = tempfile::tempdir().unwrap();
    let began = Instant::now();
    let (mut done, mut refused, mut generation) = (BTreeSet::new(), BTreeSet::new(), 0);
    let (mut cycles, mut last_revision, mut cursor, mut torn, mut lost_ack) = (0, 0, None, 0, 0);
    while cycles < CYCLES_MAX && began.elapsed() < BUDGET {
        cycles += 1;
        // From before the store is open to well into the storm; any instant will do, none is waited for.
        let told = storm(dir.path(), Duration::from_micros(u64::from(cycles) * 7919 % 30_000));
        let (store, restored, found) = open(dir.path());
        assert!(found.iter().all(|finding| finding.severity != Severity::Error), "{found:?}");
        torn += found.iter().filter(|finding| finding.severity == Severity::Warning).count();
        assert!(told.generation == 0 || told.generation > generation, "the child itself was given new generations");
        generation = generation.max(told.generation);
        assert!(restored.generations.start > generation, "generations never go back");
        generation = restored.generations.start;

        // What the log says is in force since the last time. Old files are removed: look before they are.
        let mut in_force = BTreeSet::new();
        loop {
            let page = store::history(&OsDisk, dir.path(), None, limits::HISTORY_ENTRIES_MAX, cursor).unwrap();
            cursor = page.entries.last().map(|entry| entry.seq).or(cursor);
            in_force.extend(page.entries.iter().filter(|entry| entry.in_force).filter_map(|entry| entry.revision));
            if page.next.is_none() {
                break;
            }
        }
        let missing: Vec<_> = told.done.difference(&in_force).collect();
        assert!(missing.is_empty(), "cycle {cycles}: acknowledged and lost: {missing:?}");
        let wrong: Vec<_> = told.refused.intersection(&in_force).collect();
        assert!(wrong.is_empty(), "cycle {cycles}: refused and in force: {wrong:?}");
        lost_ack += in_force.difference(&told.done).count();
        assert!(in_force.difference(&told.done).all(|revision| told.asked.contains(revision)));

        // What stands is what the orders in force come to, and the keys tell it.
        last_revision = in_force.last().copied().unwrap_or(last_revision);
        assert_eq!(restored.revision.0, last_revision, "revisions never go back");
        for (key, standing) in &restored.standing {
            assert_eq!(key, &format!("slot{}", standing.value.as_u64().unwrap() % 8));
        }
        for revision in in_force.iter().rev().take(8) {
            let answered = store.answered(&format!("key{}", revision % 32)).expect("its key is known");
            assert!(answered.revision.0 >= *revision);
        }
        assert!(store.close());
        let report = store::verify(&OsDisk, dir.path()).unwrap();
        assert!(report.is_whole(), "cycle {cycles}: {report:?}");
        done.extend(told.done);
        refused.extend(told.refused);
    }
    eprintln!(
        "{cycles} cycles: {} acknowledged, {} refused, {lost_ack} in force with their acknowledgement lost, {torn} torn",
        done.len(),
        refused.len(),
    );
    assert!(cycles >= 20 && done.len() > 100, "{cycles} cycles, {} orders: it was a storm", done.len());
}
