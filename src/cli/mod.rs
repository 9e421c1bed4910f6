//! The `meridian` command: one file a command.
//!
//! Exit codes are part of the outward contract: 0 done, 1 refused or failed, 2 wrong usage; commands say
//! what else they use.

mod alias;
mod ask;
pub mod check;
pub mod explain;
pub mod geo;
mod greeting;
mod noticing;
pub mod schema;
pub mod serve;
mod show;
mod what_if;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A global traffic manager: an authoritative DNS server that decides, for every query, which data centre a
/// client should use.
///
/// Without a command it serves: `zones/` and `geoip/` on 127.0.0.1:5300.
#[derive(Debug, Parser)]
#[command(name = "meridian", version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::ServeArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server.
    Serve(serve::ServeArgs),
    /// Validate and lint the files, and run the policy tests in them. Never touches a running server.
    Check(check::CheckArgs),
    /// Say what a client gets for a name, and why.
    Explain(explain::ExplainArgs),
    /// Look into, build and convert GeoIP databases.
    Geo(geo::GeoArgs),
    /// Print the JSON Schema of a file format, for editors.
    Schema(schema::SchemaArgs),
}

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.command {
        None => serve::run(&arguments.serve),
        Some(Command::Serve(args)) => serve::run(&args),
        Some(Command::Check(args)) => check::run(&args),
        Some(Command::Explain(args)) => explain::run(&args),
        Some(Command::Geo(args)) => geo::run(&args),
        Some(Command::Schema(args)) => schema::run(&args),
    }
}

/// The command line's own definition, for its reference and for tests.
pub fn definition() -> clap::Command {
    <Arguments as clap::CommandFactory>::command()
}
