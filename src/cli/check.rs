//! `meridian check`: what a reload would say, without a server, and the policy tests in the files.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::{noticing, show};
use crate::config::{self, Expect, PolicyTest};
use crate::control::{self, Load, Paths};
use crate::diag::{self, Diagnostic, Format};
use crate::explain::alias::Destination;
use crate::explain::{self, what_if};
use crate::limits;
use crate::model::{DatacenterIx, Generation, PolicySet};
use crate::table::{Base, RoutingTable};

/// Arguments of `meridian check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    files: FileArgs,
    /// How to print findings.
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    format: OutputFormat,
    /// Fail on what is only worth a warning.
    #[arg(long, value_name = "KIND")]
    deny: Option<Deny>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OutputFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
    /// Annotations of a pull request.
    Github,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Deny {
    Warnings,
}

/// Where the files are; shared by the commands that read them.
#[derive(Clone, Debug, Args)]
pub(super) struct FileArgs {
    /// The server's configuration.
    #[arg(long, value_name = "FILE", env = "MERIDIAN_CONFIG")]
    pub(super) config: Option<PathBuf>,
    /// Policy and master files [default: zones, or as configured].
    #[arg(long, value_name = "DIR")]
    pub(super) zones: Option<PathBuf>,
    /// A GeoIP database, or a directory of them; the first that has a field wins [default: geoip, or as
    /// configured].
    #[arg(long, value_name = "FILE")]
    pub(super) geoip: Vec<PathBuf>,
}

impl FileArgs {
    /// The configuration with what the command line says over it; its findings on error.
    pub(super) fn server(&self) -> Result<(config::Server, Vec<Diagnostic>), Vec<Diagnostic>> {
        let (mut server, found) = match &self.config {
            Some(file) => match config::read_file(file, limits::CONFIG_FILE_LEN_MAX) {
                Ok(file) => config::load_server(&file),
                Err(unreadable) => return Err(vec![*unreadable]),
            },
            None => (config::Server::default(), Vec::new()),
        };
        if found.iter().any(Diagnostic::is_error) {
            return Err(found);
        }
        if let Some(zones) = &self.zones {
            server.zones.clone_from(zones);
        }
        if !self.geoip.is_empty() {
            server.geoip.clone_from(&self.geoip);
            server.geoip_if_present = false;
        }
        Ok((server, found))
    }
}

/// True when some listener is not on loopback: services of their own zone then need real name servers.
pub(super) fn ns_required(server: &config::Server) -> bool {
    let tls = server.dot.iter().flat_map(|dot| &dot.listen);
    server.listen.iter().map(|listen| &listen.addr).chain(tls).any(|address| !address.ip().is_loopback())
}

/// 0 clean, 1 errors (or warnings, when they are denied).
pub fn run(args: &CheckArgs) -> ExitCode {
    let mut found = Vec::new();
    let mut notes = String::new();
    match args.files.server() {
        Err(errors) => found.extend(errors),
        Ok((server, more)) => {
            found.extend(more);
            let paths = Paths::of(&server);
            let Load { base, tests, found: more, .. } = control::load(&paths, &server.settings, ns_required(&server));
            // Without a configuration there is none to find lacking.
            let is_of_the_files = |found: &Diagnostic| args.files.config.is_some() || found.code != "no-ns";
            found.extend(more.into_iter().filter(is_of_the_files));
            if let Some(base) = base {
                found.extend(tests.iter().filter_map(|test| run_test(&base, test)));
                let target = server.settings.health.notice_within;
                notes = match args.format {
                    OutputFormat::Text => noticing::text(base.policy(), target),
                    OutputFormat::Json => noticing::json(base.policy(), target),
                    OutputFormat::Github => String::new(),
                };
            }
        }
    }
    let format = match args.format {
        OutputFormat::Text => Format::Text { colour: show::colour_on_stdout() },
        OutputFormat::Json => Format::Json,
        OutputFormat::Github => Format::Github,
    };
    show::out(&format!("{notes}{}", diag::render(&found, format)));
    let is_bad = |found: &Diagnostic| found.is_error() || args.deny == Some(Deny::Warnings);
    if found.iter().any(is_bad) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// A finding when the test does not hold.
fn run_test(base: &Arc<Base>, test: &PolicyTest) -> Option<Diagnostic> {
    let facts = what_if::facts(base.policy(), &test.down, &test.out, &test.switch);
    let table = RoutingTable::compile(base, Arc::new(facts), Generation(1));
    let called = test.name.as_deref().unwrap_or("a policy test");
    let got = match outcome(&table, test) {
        Ok(got) => got,
        Err(error) => return Some(failed(test, format!("{called}: {error}"))),
    };
    let expected = describe_expected(base.policy(), &test.expect);
    let holds = match &test.expect {
        Expect::Datacenters(dcs) => got.rcode == 0 && !got.is_empty && got.datacenters == names(base.policy(), dcs),
        Expect::Addresses(addresses) => {
            got.rcode == 0 && got.addresses == addresses.iter().map(ToString::to_string).collect()
        }
        Expect::NoData => got.rcode == 0 && got.is_empty,
        Expect::Rcode(rcode) => got.rcode == u16::from(*rcode),
    };
    let message = format!("{called}: {} for {} gives {got}", test.question, test.client);
    (!holds).then(|| failed(test, message).expected(expected))
}

fn failed(test: &PolicyTest, message: String) -> Diagnostic {
    Diagnostic::error("policy-test-failed", message)
        .at(&test.origin)
        .help("`meridian explain NAME --client NET --offline` says why")
}

/// Everything that the client may get.
struct Got {
    rcode: u16,
    is_empty: bool,
    datacenters: BTreeSet<String>,
    addresses: BTreeSet<String>,
}

impl std::fmt::Display for Got {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let join = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(", ");
        match (self.rcode, self.is_empty) {
            (0, true) => f.write_str("no data"),
            (0, false) if self.datacenters.is_empty() => write!(f, "{}", join(&self.addresses)),
            (0, false) => write!(f, "{} ({})", join(&self.addresses), join(&self.datacenters)),
            (rcode, _) => write!(f, "rcode {rcode}"),
        }
    }
}

fn outcome(table: &RoutingTable, test: &PolicyTest) -> Result<Got, Box<dyn std::error::Error>> {
    let mut got = Got { rcode: 0, is_empty: true, datacenters: BTreeSet::new(), addresses: BTreeSet::new() };
    let base = table.base();
    let destination = Destination::of(table, &test.question, test.rtype);
    let service = destination.service();
    // An alias of a service is asked through, as a resolver does; what any other alias gives stands in one reply.
    let question = if service.is_some() { destination.last() } else { &test.question };
    for random in explain::randoms(table, service, test.client) {
        let reply = explain::ask(table, question, test.rtype, test.client, random)?;
        got.rcode = reply.rcode.into();
        got.is_empty &= reply.answers.is_empty();
        got.addresses.extend(reply.addresses().iter().map(ToString::to_string));
        if let Some(ix) = service.filter(|_| !reply.answers.is_empty()) {
            let service = &base.policy().services[ix.at()];
            let explained = crate::table::explain(table, ix, test.client.addr(), random);
            let dcs = explained.endpoints.iter().map(|ix| service.endpoint(*ix).datacenter).collect();
            got.datacenters.extend(names(base.policy(), &dcs));
        }
    }
    Ok(got)
}

fn names(policy: &PolicySet, dcs: &BTreeSet<DatacenterIx>) -> BTreeSet<String> {
    dcs.iter().map(|dc| policy.datacenters[dc.at()].id.to_string()).collect()
}

fn describe_expected(policy: &PolicySet, expect: &Expect) -> String {
    match expect {
        Expect::Datacenters(dcs) => names(policy, dcs).into_iter().collect::<Vec<_>>().join(", "),
        Expect::Addresses(all) => all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        Expect::NoData => "no data".into(),
        Expect::Rcode(rcode) => format!("rcode {rcode}"),
    }
}
