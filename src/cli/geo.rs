//! `meridian geo`: look into GeoIP databases, build and convert them.
//!
//! Nothing is ever downloaded: sources are files that the operator has. An output file is written
//! beside its place, synced and renamed, so that a server that reads it, or a disk that fills, never
//! sees half of it.

mod lookup;
mod output;

use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use clap::{Args, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::diag::{self, Diagnostic};
use crate::geo::{Database, build, import};
use crate::limits;
use crate::model::Origin;

/// Look into GeoIP databases, build and convert them.
#[derive(Debug, Args)]
pub struct GeoArgs {
    #[command(subcommand)]
    command: GeoCommand,
}

#[derive(Debug, Subcommand)]
enum GeoCommand {
    /// Say where addresses are: what each database says, and what it comes to.
    Lookup(lookup::LookupArgs),
    /// Build the world database: countries, and China's provinces and providers.
    Build(BuildArgs),
    /// Make a database of a CSV file or of ip2region.db.
    Import(ImportArgs),
}

#[derive(Debug, Args)]
struct BuildArgs {
    /// Countries: an .mmdb of any schema that Meridian reads.
    #[arg(long, value_name = "FILE.mmdb")]
    country: PathBuf,
    /// China: ip2region.db, version 1.
    #[arg(long, value_name = "ip2region.db")]
    china: PathBuf,
    /// The database to write.
    #[arg(long, value_name = "FILE.mmdb")]
    out: PathBuf,
    /// Leave out IPv4 networks outside China that are smaller.
    #[arg(long, value_name = "LEN", default_value_t = 20, value_parser = clap::value_parser!(u8).range(0..=32))]
    min_prefix: u8,
    /// The build time to write, in seconds since 1970 [default: the country database's].
    #[arg(long, value_name = "SECONDS", env = "SOURCE_DATE_EPOCH", value_parser = epoch())]
    epoch: Option<u64>,
}

#[derive(Debug, Args)]
struct ImportArgs {
    /// A CSV file with a header line, or ip2region.db.
    #[arg(value_name = "FILE")]
    input: PathBuf,
    /// The database to write.
    #[arg(long, value_name = "FILE.mmdb")]
    out: PathBuf,
    /// What the input is [default: by its name, `.db` is ip2region].
    #[arg(long, value_enum)]
    format: Option<InputFormat>,
    /// The build time to write, in seconds since 1970. Fixed unless given, so that the same input makes
    /// the same file.
    #[arg(long, value_name = "SECONDS", env = "SOURCE_DATE_EPOCH", default_value_t = 0, value_parser = epoch())]
    epoch: u64,
}

/// Build times up to 2106: what every reader can show.
fn epoch() -> clap::builder::RangedU64ValueParser<u64> {
    clap::value_parser!(u64).range(..=u64::from(u32::MAX))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum InputFormat {
    /// A header line, then a network a line.
    Csv,
    /// ip2region.db, version 1.
    Ip2region,
}

/// Runs the command. 0 when it is done, 1 when it is not.
pub fn run(args: &GeoArgs) -> ExitCode {
    match perform(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn perform(args: &GeoArgs) -> Result<(), String> {
    match &args.command {
        GeoCommand::Lookup(args) => lookup::run(args),
        GeoCommand::Build(args) => run_build(args),
        GeoCommand::Import(args) => run_import(args),
    }
}

fn run_build(args: &BuildArgs) -> Result<(), String> {
    let began = Instant::now();
    let country = Database::read(&args.country).map_err(|error| error.to_string())?;
    let china = read(&args.china)?;
    let detail = build::Detail { min_prefix: args.min_prefix, epoch_s: args.epoch };
    let bar = Bar::new("segments");
    let world = build::world(&country, &china, detail, &mut |done, of| bar.show(done, of)).map_err(|error| {
        let file = match &error {
            build::BuildError::NoCountry => &args.country,
            build::BuildError::China(_) => &args.china,
            build::BuildError::Draft(_) => &args.out,
        };
        format!("{}: {error}", file.display())
    })?;
    bar.finish();
    output::replace(&args.out, &world.octets)?;
    eprintln!(
        "{}: {} networks, {} octets, build time {}, in {:.1} s",
        args.out.display(),
        world.networks,
        world.octets.len(),
        world.epoch_s,
        began.elapsed().as_secs_f64(),
    );
    eprintln!("left out as smaller than /{}: {} IPv4 addresses outside China", args.min_prefix, world.left_out_v4);
    eprintln!("given to China by one source and not the other: {} IPv4 addresses", world.disputed_v4);
    Ok(())
}

fn run_import(args: &ImportArgs) -> Result<(), String> {
    let input = read(&args.input)?;
    let by_name = || match args.input.extension() {
        Some(extension) if extension.eq_ignore_ascii_case("db") => InputFormat::Ip2region,
        Some(_) | None => InputFormat::Csv,
    };
    let (octets, what) = match args.format.unwrap_or_else(by_name) {
        InputFormat::Csv => import_csv(&args.input, input, args.epoch)?,
        InputFormat::Ip2region => {
            let bar = Bar::new("rows");
            let (octets, networks) = import::ip2region(&input, args.epoch, &mut |done, of| bar.show(done, of))
                .map_err(|error| format!("{}: {error}", args.input.display()))?;
            bar.finish();
            (octets, format!("{networks} networks"))
        }
    };
    output::replace(&args.out, &octets)?;
    eprintln!("{}: {what}, {} octets", args.out.display(), octets.len());
    Ok(())
}

fn import_csv(path: &Path, input: Vec<u8>, epoch_s: u64) -> Result<(Vec<u8>, String), String> {
    let text = String::from_utf8(input).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.iter().filter(|octet| **octet == b'\n').count() + 1;
        format!("{}:{line}: not UTF-8", path.display())
    })?;
    let bar = Bar::new("octets");
    let imported =
        import::csv(&text, epoch_s, &mut |done, of| bar.show(done, of)).map_err(|error| error.to_string())?;
    bar.finish();
    if !imported.findings.is_empty() {
        let file = path.display().to_string();
        let diagnostics: Vec<Diagnostic> =
            imported.findings.iter().map(|finding| diagnostic(file.as_str().into(), finding)).collect();
        eprint!("{}", diag::render(&diagnostics, diag::Format::Text { colour: colour() }));
    }
    if imported.unlisted > 0 {
        eprintln!("and {} more", imported.unlisted);
    }
    let octets = imported.octets.ok_or_else(|| format!("{} was not imported", path.display()))?;
    Ok((octets, format!("{} networks", imported.rows)))
}

fn diagnostic(file: Arc<str>, finding: &import::Finding) -> Diagnostic {
    let problem = &finding.problem;
    let make = if problem.is_warning() { Diagnostic::warning } else { Diagnostic::error };
    let origin = Origin { file, line: finding.line, column: finding.column };
    let found = make(problem.code(), problem.to_string()).at(&origin).span(finding.len, &finding.line_text);
    match problem.expected() {
        Some(expected) => found.expected(expected),
        None => found,
    }
}

/// A whole file, if it is not larger than a GeoIP database may be.
fn read(path: &Path) -> Result<Vec<u8>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut octets = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(limits::GEOIP_LEN_MAX + 1).read_to_end(&mut octets).map_err(failed)?;
    if octets.len() as u64 > limits::GEOIP_LEN_MAX {
        return Err(format!("{}: larger than {} octets", path.display(), limits::GEOIP_LEN_MAX));
    }
    Ok(octets)
}

/// Colours are for terminals, and for those who do not say `NO_COLOR` (no-color.org).
fn colour() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// A progress bar, on a terminal alone.
struct Bar {
    bar: ProgressBar,
}

impl Bar {
    fn new(unit: &str) -> Bar {
        let target =
            if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        let colour = if colour() { ".cyan" } else { "" };
        let template = format!("{{bar:40{colour}}} {{percent}} % of {{len}} {unit}, {{eta}} left");
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style);
        }
        Bar { bar }
    }

    fn show(&self, done: u64, of: u64) {
        self.bar.set_length(of);
        self.bar.set_position(done);
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        geo: GeoArgs,
    }

    fn parse(arguments: &[&str]) -> Result<GeoArgs, clap::Error> {
        Command::try_parse_from([&["geo"], arguments].concat()).map(|command| command.geo)
    }

    fn done(arguments: &[&str]) -> bool {
        perform(&parse(arguments).unwrap()).is_ok()
    }

    #[test]
    fn a_file_with_an_error_leaves_the_database_of_yesterday() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        let (csv, out) = (path("ours.csv"), path("ours.mmdb"));
        fs::write(&csv, "cidr,country\n192.0.2.0/24,DE\n").unwrap();
        assert!(done(&["import", &csv, "--out", &out]));
        let before = fs::read(&out).unwrap();
        for wrong in [&b"cidr,country\n192.0.2.0/24,Atlantis\n"[..], b"cidr,country\n192.0.2.0/24,\xff\n", b""] {
            fs::write(&csv, wrong).unwrap();
            assert!(!done(&["import", &csv, "--out", &out]));
            assert_eq!(fs::read(&out).unwrap(), before);
        }
        assert!(!done(&["import", &path("missing.csv"), "--out", &out]));
        assert!(done(&["lookup", "192.0.2.1", "--geoip", &out]));
        assert!(!done(&["lookup", "192.0.2.1", "--geoip", &csv]));
    }

    #[test]
    fn importing_twice_gives_the_same_octets() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        let csv = path("ours.csv");
        fs::write(&csv, "cidr,country\n192.0.2.0/24,DE\n2001:db8::/32,FR\n").unwrap();
        for out in ["one.mmdb", "two.mmdb"] {
            assert!(done(&["import", &csv, "--out", &path(out), "--epoch", "1700000000"]));
        }
        assert_eq!(fs::read(path("one.mmdb")).unwrap(), fs::read(path("two.mmdb")).unwrap());
    }

    #[test]
    fn arguments_that_make_no_sense_are_usage_errors() {
        for wrong in [
            &["lookup"][..],
            &["lookup", "192.0.2.300"],
            &["import", "a.csv"],
            &["import", "a.csv", "--out", "b", "--epoch", "99999999999"],
            &["build", "--country", "a", "--china", "b", "--out", "c", "--min-prefix", "33"],
            &[],
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
