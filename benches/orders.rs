//! How long an order takes, from the call to the answer: by then its table is published.
//!
//! ```text
//! cargo bench --bench orders                10 000 services of 20 regions
//! cargo bench --bench orders -- 1000        so many
//! ```
//!
//! The store is in a directory of the working directory, so on its disk. Nobody answers queries meanwhile.

mod world;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use meridian::control::orders::{Order, Request, Sender, SwitchMode, Whom};
use meridian::control::{Control, Handle, Memory, Paths, Seams, Submission, load};
use meridian::model::{DatacenterIx, Facts, Forced, Generation, ServiceIx, Settings};
use meridian::store::{Disk, OsDisk};
use meridian::table::{Base, RoutingTable};

const ENDPOINTS: usize = 3;

/// Orders of each kind.
const ROUNDS: usize = 21;

fn main() -> io::Result<()> {
    // Cargo adds `--bench`.
    let mut words = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let count: usize = words.next().map_or(Ok(10_000), |word| word.parse()).map_err(io::Error::other)?;
    let directory = tempfile::tempdir()?;
    for number in 0..count {
        fs::write(directory.path().join(format!("service{number}.example.net.yaml")), policy(number))?;
    }
    let zone = "$TTL 300\n@ SOA ns1 hostmaster 1 3600 600 604800 60\n@ NS ns1\nns1 A 192.0.2.1\n";
    fs::write(directory.path().join("example.net.zone"), zone)?;
    let geoip = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("geoip")];
    let paths = Paths { zones: directory.path().to_owned(), geoip, geoip_if_present: false, geoip_required: false };
    let loaded = load(&paths, &Settings::default(), false);
    world::must_be_fine(&loaded.found);
    let base = loaded.base.ok_or_else(|| io::Error::other("the policies have errors"))?;
    println!("{count} services of {} regions and {ENDPOINTS} endpoints; {ROUNDS} of each", world::REGIONS.len());
    compiling(&base);
    ordering("without a store", &paths, &base, None);
    let state = tempfile::tempdir_in(".")?;
    let disk: Arc<dyn Disk> = Arc::new(OsDisk);
    let memory = Memory::open(state.path(), &disk, Duration::from_secs(10));
    ordering("durable", &paths, &base, Some(memory));
    Ok(())
}

fn policy(number: usize) -> String {
    let mut text = format!(
        "gslb:\n  domain: service{number}.example.net\n  health_check: {{protocol: https, path: /health}}\n  \
         policies:\n    default: {{type: geolocation}}\n"
    );
    for (at, region) in world::REGIONS.iter().enumerate() {
        let (first, second, third) = (at % ENDPOINTS, (at + 1) % ENDPOINTS, (at + 2) % ENDPOINTS);
        let _ = writeln!(text, "    {region}: {{primary: dc{first}, secondary: dc{second}, tertiary: dc{third}}}");
    }
    text.push_str("  endpoints:\n");
    for endpoint in 0..ENDPOINTS {
        let [high, low] = (number as u16).to_be_bytes();
        let _ = writeln!(text, "    dc{endpoint}: {{ip: 10.{endpoint}.{high}.{low}}}");
    }
    text
}

/// What of it is compiling.
fn compiling(base: &Arc<Base>) {
    let table = RoutingTable::compile(base, Arc::new(Facts::all_up()), Generation(1));
    let all: BTreeSet<ServiceIx> = (0..base.policy().services.len()).map(ServiceIx::from_at).collect();
    let one = BTreeSet::from([ServiceIx::from_at(all.len() / 2)]);
    for (what, touched) in [("compile one service anew", &one), ("compile all of them anew", &all)] {
        let times = (0..ROUNDS).map(|round| {
            let mut facts = Facts::all_up();
            facts.forced_datacenters.insert(DatacenterIx::from_at(round % ENDPOINTS), Forced::Down);
            let facts = Arc::new(facts);
            let began = Instant::now();
            drop(table.recompile(facts, touched, Generation(2)));
            began.elapsed()
        });
        say(what, times.collect());
    }
}

/// Orders, from the call to the answer.
fn ordering(how: &str, paths: &Paths, base: &Arc<Base>, memory: Option<Memory>) {
    let mut seams = Seams::default();
    if let Some(memory) = &memory {
        (seams.keeper, seams.journal) = (memory.keeper(), Some(memory.journal()));
    }
    let control = Control::with(paths.clone(), Settings::default(), false, base, seams);
    let handle = control.talk();
    let writer = thread::spawn(move || control.run());
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let one = base.policy().services[base.policy().services.len() / 2].name.to_string();
    let whom = |services: Option<String>| Whom { services: services.map(|one| [one].into()), regions: None };
    for (what, services) in [("switch one service", Some(one)), ("switch all of them", None)] {
        let times = (0..ROUNDS).map(|round| {
            let order = Order::Switch {
                to: format!("dc{}", round % ENDPOINTS),
                mode: SwitchMode::Prefer,
                whom: whom(services.clone()),
                from: None,
            };
            runtime.block_on(timed(&handle, order))
        });
        say(&format!("{how}: {what}"), times.collect());
    }
    handle.stop();
    writer.join().expect("control does not panic");
    if let Some(store) = memory.and_then(|memory| Arc::into_inner(memory.store)) {
        store.close();
    }
}

async fn timed(handle: &Handle, order: Order) -> Duration {
    let sender = Sender { identity: "bench".into(), actor: "bench".into(), role: "admin".into(), is_robot: false };
    let (reason, force) = ("a bench".to_owned(), BTreeSet::new());
    let request = Request { order, sender, reason, expires_in: None, force, expected_revision: None };
    let began = Instant::now();
    let done = handle.order(Submission::of(request)).await.expect("control is there").expect("nothing refuses it");
    let took = began.elapsed();
    assert!(done.answer.changed && handle.table().generation() == done.generation);
    took
}

fn say(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let (median, most) = (times[times.len() / 2], times[times.len() - 1]);
    println!("{what:<44} median {:>9.3} ms   most {:>9.3} ms", ms(median), ms(most));
}
