//! Load time and memory at scale, each case in a process of its own, so that memory is its own too.
//!
//! ```text
//! cargo bench --bench scale                            names and services, as below
//! cargo bench --bench scale -- names 1000000           static names in one master file
//! cargo bench --bench scale -- services 10000 16       services of 20 regions; so many different rule sets
//! cargo bench --bench scale -- city FILE.mmdb …        GeoIP files of your own, layered in this order
//! ```

mod world;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use meridian::config;
use meridian::control::{Paths, load};
use meridian::geo::{Atlas, Database};
use meridian::model::{
    DatacenterIx, Facts, Forced, Generation, Latch, Override, OverrideKind, RegionIx, Revision, Scope, ServiceIx,
    Settings,
};
use meridian::sys;
use meridian::table::{Base, RoutingTable};

/// Changes of each kind that are timed.
const CHANGES: usize = 10;

/// Endpoints of each service, each in a data centre of its own.
const ENDPOINTS: usize = 6;

fn main() -> io::Result<()> {
    // Cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<usize>().map_err(io::Error::other);
    match words.as_slice() {
        [] => {
            for case in [&["names", "1000000"][..], &["services", "10000", "16"]] {
                Command::new(std::env::current_exe()?).args(case).status()?;
            }
            Ok(())
        }
        ["names", count] => names(number(count)?),
        ["services", count, rule_sets] => services(number(count)?, number(rule_sets)?),
        ["city", files @ ..] => {
            city(files);
            Ok(())
        }
        _ => Err(io::Error::other("expected: names COUNT | services COUNT RULE_SETS | city FILE…")),
    }
}

/// One master file with `count` names beside those that a zone must have.
fn names(count: usize) -> io::Result<()> {
    let directory = tempfile::tempdir()?;
    let mut file = BufWriter::new(fs::File::create(directory.path().join("example.com.zone"))?);
    writeln!(file, "$TTL 300\n@ SOA ns1 hostmaster 1 3600 600 604800 60\n@ NS ns1\nns1 A 192.0.2.1")?;
    for number in 0..count {
        writeln!(file, "host{number:07} A 192.0.2.{}", number % 250)?;
    }
    file.into_inner()?.sync_all()?;
    println!("{count} names in one master file");
    let base = loaded(directory.path(), &[]);
    say("the table's own count", format_args!("{} MB", base.zones().memory_len() / 1_000_000));
    say("for each name", format_args!("{} octets", base.zones().memory_len() / base.zones().node_count()));
    Ok(())
}

/// `count` policy files, in which the order of the regions differs in `rule_sets` ways: services share a
/// location map when they name the same regions in the same order.
fn services(count: usize, rule_sets: usize) -> io::Result<()> {
    let directory = tempfile::tempdir()?;
    for number in 0..count {
        let file = directory.path().join(format!("service{number}.example.net.yaml"));
        fs::write(file, policy(number, rule_sets))?;
    }
    let zone = "$TTL 300\n@ SOA ns1 hostmaster 1 3600 600 604800 60\n@ NS ns1\nns1 A 192.0.2.1\n";
    fs::write(directory.path().join("example.net.zone"), zone)?;
    println!("{count} services of {} regions and {ENDPOINTS} endpoints", world::REGIONS.len());
    let geoip = Path::new(env!("CARGO_MANIFEST_DIR")).join("geoip");
    let base = loaded(directory.path(), &[geoip]);
    let (maps, octets) = base.map_memory();
    say("location maps", format_args!("{maps} of {} MB in all", octets / 1_000_000));
    let table = time("compile", || RoutingTable::compile(&base, Arc::new(Facts::all_up()), Generation(1)));
    say("compiled part", format_args!("{} MB", table.chunk_memory() / 1_000_000));
    let all: BTreeSet<ServiceIx> = (0..count).map(ServiceIx::from_at).collect();
    let one = BTreeSet::from([ServiceIx::from_at(count / 2)]);
    let down = |change: usize| {
        let mut facts = Facts::all_up();
        facts.forced_datacenters.insert(DatacenterIx::from_at(change % ENDPOINTS), Forced::Down);
        facts
    };
    let switched = |change: usize| {
        let to = BTreeSet::from([DatacenterIx::from_at(change % ENDPOINTS)]);
        let kind = OverrideKind::Prefer { to, from: None, yielded: false, left: BTreeSet::new() };
        let order = Override {
            kind,
            scope: Scope::all(),
            revision: Revision(change as u64 + 1),
            actor: String::new(),
            reason: String::new(),
            expires_at: None,
        };
        Facts { overrides: vec![order], ..Facts::all_up() }
    };
    let latched = |change: usize| {
        let datacenter = DatacenterIx::from_at(change % ENDPOINTS);
        let region = |at: usize| BTreeSet::from([Some(RegionIx(u16::try_from(at).expect("few regions")))]);
        let latch = |at| Latch { datacenter, scope: Scope { services: Some(all.clone()), regions: Some(region(at)) } };
        Facts { latches: (0..world::REGIONS.len()).map(latch).collect(), ..Facts::all_up() }
    };
    type Change<'a> = (&'a str, &'a BTreeSet<ServiceIx>, &'a dyn Fn(usize) -> Facts);
    let changes: [Change<'_>; 4] = [
        ("recompile, one data centre down", &all, &down),
        ("recompile, one data centre left by everyone", &all, &latched),
        ("recompile, a switch of everything", &all, &switched),
        ("recompile, a switch of one service", &one, &switched),
    ];
    for (what, touched, facts) in changes {
        let recompiled = |change: usize| {
            let facts = Arc::new(facts(change));
            let began = Instant::now();
            drop(table.recompile(facts, touched, Generation(2)));
            began.elapsed()
        };
        let mut times: Vec<Duration> = (0..CHANGES).map(recompiled).collect();
        times.sort_unstable();
        say(what, format_args!("median {:.1?}, {:.1?} to {:.1?}", times[CHANGES / 2], times[0], times[CHANGES - 1]));
    }
    say("resident with two tables", format_args!("{} MB", memory_mb("VmRSS")));
    drop(table);
    Ok(())
}

fn policy(number: usize, rule_sets: usize) -> String {
    let mut text = format!(
        "gslb:\n  domain: service{number}.example.net\n  health_check: {{protocol: https, path: /health}}\n  \
         policies:\n    default: {{type: geolocation}}\n"
    );
    let mut regions = world::REGIONS;
    let len = regions.len();
    regions.rotate_left(number % rule_sets % len);
    // Beyond as many sets as there are regions, the first two change places as well.
    if number % rule_sets >= len {
        regions.swap(0, 1 + (number % rule_sets / len) % (len - 1));
    }
    for (at, region) in regions.iter().enumerate() {
        let (first, second, third) = (at % ENDPOINTS, (at + 1) % ENDPOINTS, (at + 2) % ENDPOINTS);
        let _ = writeln!(text, "    {region}: {{primary: [dc{first}, dc{second}], secondary: dc{third}}}");
    }
    text.push_str("  endpoints:\n");
    for endpoint in 0..ENDPOINTS {
        let [high, low] = (number as u16).to_be_bytes();
        let _ = writeln!(text, "    dc{endpoint}: {{ip: 10.{endpoint}.{high}.{low}, weight: {}}}", 10 + endpoint);
    }
    text
}

/// Loads as the server does; also times the parts of policies and databases by themselves.
fn loaded(zones: &Path, geoip: &[PathBuf]) -> Arc<Base> {
    let settings = Settings::default();
    let before = memory_mb("VmRSS");
    let paths =
        Paths { zones: zones.to_owned(), geoip: geoip.to_vec(), geoip_if_present: false, geoip_required: false };
    let load = time("load: read, resolve, join, maps", || load(&paths, &settings, false));
    world::must_be_fine(&load.found);
    // As the server does.
    sys::give_memory_back();
    let base = load.base.expect("no errors");
    say("resident, beyond the program", format_args!("{} MB", memory_mb("VmRSS") - before));
    say("at the peak of loading", format_args!("{} MB", memory_mb("VmHWM") - before));
    let listing = time("  of it: read the directory", || config::read_dir(zones));
    time("  of it: policies alone", || config::load_policies(&listing.policies, base.atlas(), &settings));
    base
}

/// GeoIP files of whatever size.
fn city(files: &[&str]) {
    let before = memory_mb("VmRSS");
    let layers = time("read and decode", || {
        files.iter().map(|file| Database::read(Path::new(file)).expect("a GeoIP database")).collect::<Vec<_>>()
    });
    let (atlas, notes) = time("layer", || Atlas::load(layers, &[]));
    for note in notes {
        println!("  {note}");
    }
    let (segments, places) = atlas.counts();
    say("the atlas", format_args!("{segments} segments, {places} places"));
    say("resident, beyond the program", format_args!("{} MB", memory_mb("VmRSS") - before));
    say("at the peak of loading", format_args!("{} MB", memory_mb("VmHWM") - before));
    let table = time("a service of 20 regions: map and table", || world::table_on(Arc::new(atlas)));
    let (_, octets) = table.base().map_memory();
    say("its location map", format_args!("{} kB", octets / 1000));
}

fn time<T>(what: &str, run: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let result = run();
    say(what, format_args!("{:.0?}", began.elapsed()));
    result
}

fn say(what: &str, figure: std::fmt::Arguments<'_>) {
    println!("  {what:<40} {figure}");
}

/// A line of /proc/self/status, in MB; 0 where there is none.
fn memory_mb(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let kb = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kb.unwrap_or(0) / 1000
}
