//! Reading all files into a base.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::{self, PolicyTest};
use crate::diag::Diagnostic;
use crate::geo::{self, Atlas, Database};
use crate::health::{Registry, Targets, TooManyTargets};
use crate::limits;
use crate::model::{Name, PolicySet, Settings};
use crate::table::{Base, Files};
use crate::zone::{self, ParsedZone};

/// Where the files are.
#[derive(Clone, Debug)]
pub struct Paths {
    /// The directory of policy and master files.
    pub zones: PathBuf,
    /// GeoIP databases, and directories of them; the first that has a field wins. In a directory the order
    /// is that of the names.
    pub geoip: Vec<PathBuf>,
    /// A path of `geoip` that does not exist is passed over.
    pub geoip_if_present: bool,
    /// Without any database nothing loads: what served with one must not go on without.
    pub geoip_required: bool,
}

impl Paths {
    /// As `server` is configured, for a first load.
    pub fn of(server: &config::Server) -> Paths {
        Paths {
            zones: server.zones.clone(),
            geoip: server.geoip.clone(),
            geoip_if_present: server.geoip_if_present,
            geoip_required: false,
        }
    }
}

/// What was read.
#[derive(Debug)]
pub struct Load {
    /// `None` when some finding is an error.
    pub base: Option<Arc<Base>>,
    /// At least one GeoIP database was read.
    pub has_geoip: bool,
    /// The policy tests that stand in the files.
    pub tests: Vec<PolicyTest>,
    /// Errors and warnings, of all files.
    pub found: Vec<Diagnostic>,
}

/// What is found of services that no master file covers.
const FOR_WANT_OF_A_ZONE: [&str; 4] = ["cname-at-apex", "no-ns", "wildcard-without-zone", "wrong-zone"];

/// Reads everything under `paths`. `ns_required`: some listener is not on loopback, so services of their
/// own zone need real name servers. Reading takes several times the room of what is kept: whoever reads sees to it that
/// it is given back ([`crate::sys::give_memory_back`]).
pub fn load(paths: &Paths, settings: &Settings, ns_required: bool) -> Load {
    let mut found = Vec::new();
    let (atlas, has_geoip) = atlas(paths, &mut found);
    let listing = config::read_dir(&paths.zones);
    found.extend(listing.diagnostics);
    let (policy, tests, more) = config::load_policies(&listing.policies, &*atlas, settings);
    drop(listing.policies);
    found.extend(more);
    warn_of_lost_files(&policy, &mut found);
    let atlas = atlas.with_networks(&policy.networks);
    let zones: Vec<ParsedZone> = listing.zones.iter().filter_map(|file| master_file(file, &mut found)).collect();
    let has_all_zones = zones.len() == listing.zones.len();
    let is_good = !found.iter().any(Diagnostic::is_error);
    // What the files say together is looked at even after an error in one of them, so that one look shows
    // all mistakes.
    let (base, more) = Base::build(Files { policy, zones, atlas, settings: settings.clone(), ns_required });
    // A master file that was refused covers its services all the same: that it is missing is not their mistake.
    found.extend(more.into_iter().filter(|found| has_all_zones || !FOR_WANT_OF_A_ZONE.contains(&found.code)));
    let watched =
        base.as_ref().map(|base| Targets::of(base.policy(), &settings.health, None, &mut Registry::default()));
    let too_many = watched.and_then(Result::err);
    found.extend(too_many.map(too_many_targets));
    let is_good = is_good && too_many.is_none();
    Load { base: base.filter(|_| is_good), has_geoip, tests, found }
}

/// Files that want more probed than one node can.
pub(super) fn too_many_targets(error: TooManyTargets) -> Diagnostic {
    Diagnostic::error("too-many-targets", error.to_string())
        .help("checks that do not depend on the service's name are made once for all services: give them a `host`")
}

/// Reports files of health checks that are not there or may not be read. They are read again when they change,
/// so what is missing now is not refused; until it is there the check can not be made.
fn warn_of_lost_files(policy: &PolicySet, found: &mut Vec<Diagnostic>) {
    let mut seen: BTreeSet<&Path> = BTreeSet::new();
    for check in &policy.checks {
        for file in check.spec.probe.files() {
            if let (true, Err(error)) = (seen.insert(file), std::fs::File::open(file)) {
                let message = format!("the health check `{}` needs {}: {error}", check.id, file.display());
                let warning = Diagnostic::warning("check-file", message).at(&check.origin);
                found.push(warning.help("files are relative to the policy file that names them"));
            }
        }
    }
}

/// Reads and layers the databases; true when there are any.
fn atlas(paths: &Paths, found: &mut Vec<Diagnostic>) -> (Arc<Atlas>, bool) {
    let mut layers = Vec::new();
    let present = paths.geoip.iter().filter(|path| !paths.geoip_if_present || path.exists());
    let files = present.flat_map(|path| {
        geo::database_files(path).unwrap_or_else(|error| {
            found.push(Diagnostic::error("geoip", format!("{}: {error}", path.display())));
            Vec::new()
        })
    });
    for file in files.collect::<Vec<PathBuf>>() {
        match Database::read(&file) {
            Ok(database) => layers.push(database),
            Err(error) => found.push(
                Diagnostic::error("geoip", error.to_string())
                    .help("restore the file from a good copy, or take it out of the list"),
            ),
        }
    }
    let has_geoip = !layers.is_empty();
    if paths.geoip_required && !has_geoip {
        let error = Diagnostic::error("geoip", "there is no GeoIP database any more, and what serves has one");
        found.push(error.help("put one back; to serve without, restart"));
    }
    let (atlas, notes) = Atlas::load(layers, &[]);
    found.extend(notes.iter().map(|note| Diagnostic::warning(note.code(), note.to_string())));
    (Arc::new(atlas), has_geoip)
}

/// Reads a master file. Without `$ORIGIN` its origin is its own name: `example.com.zone` is example.com's.
fn master_file(path: &Path, found: &mut Vec<Diagnostic>) -> Option<ParsedZone> {
    let name = path.display().to_string();
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let origin = match Name::parse(&stem) {
        Ok(origin) => origin,
        Err(error) => {
            let message = format!("{name}: {stem:?} is no domain name: {error}");
            found.push(
                Diagnostic::error("zone-file-name", message)
                    .help("name a master file after its zone: example.com.zone"),
            );
            return None;
        }
    };
    let mut include = |file: &str| read_bounded(Path::new(file));
    let text = match read_bounded(path) {
        Ok(text) => text,
        Err(error) => {
            found.push(Diagnostic::error("zone-unreadable", format!("{name}: {error}")));
            return None;
        }
    };
    let (zone, more) = zone::parse(&name, &text, &origin, &mut include);
    let is_good = !more.iter().any(Diagnostic::is_error);
    found.extend(more);
    is_good.then_some(zone)
}

fn read_bounded(path: &Path) -> Result<Vec<u8>, String> {
    let len = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if len > limits::ZONE_FILE_LEN_MAX {
        return Err(format!("{len} octets; at most {} are read", limits::ZONE_FILE_LEN_MAX));
    }
    std::fs::read(path).map_err(|error| error.to_string())
}
