//! The `meridian` command: one file a command.
//!
//! Exit codes are part of the outward contract: 0 done, 1 refused or failed, 2 wrong usage; commands say
//! what else they use.

pub mod api_door;
pub mod audit;
pub mod check;
mod client;
mod clock;
pub mod demo;
pub mod diff;
pub mod explain;
pub mod failback;
pub mod geo;
mod greeting;
pub mod history;
mod noticing;
pub mod observe;
pub mod order;
pub mod schema;
pub mod serve;
mod show;
pub mod status;
pub mod token;
mod waiting;

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
    /// What a reload would change: names, answers, and the share of clients that would move.
    Diff(diff::DiffArgs),
    /// What waits for you, and how data centres, services and health stand.
    Status(status::StatusArgs),
    /// Move clients to a data centre, or let policy decide again.
    Switch(order::SwitchArgs),
    /// Order a data centre out: no new answer from that instant.
    Drain(order::DrainArgs),
    /// Let a drained data centre answer again.
    Undrain(order::UndrainArgs),
    /// Believe something else of a data centre than its checks say.
    Force(order::ForceArgs),
    /// Let clients come back to a data centre that they left because it was down.
    Failback(failback::FailbackArgs),
    /// Take an order back.
    Undo(order::UndoArgs),
    /// Nothing moves by itself until it is unfrozen.
    Freeze(order::FreezeArgs),
    /// Let health move clients again.
    Unfreeze(order::UnfreezeArgs),
    /// Keep robots from ordering, and people not.
    Gate(order::GateArgs),
    /// Say that a server's wall clock is right after it had jumped.
    Clock(clock::ClockArgs),
    /// Look from here, and tell nodes elsewhere what is seen.
    Observe(observe::ObserveArgs),
    /// The audit log: orders, and what health did by itself.
    History(history::HistoryArgs),
    /// Make a stand-in data centre of the demo misbehave.
    Demo(demo::DemoArgs),
    /// Make, list and revoke tokens for the API.
    Token(token::TokenArgs),
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
        Some(Command::Diff(args)) => diff::run(&args),
        Some(Command::Status(args)) => status::run(&args),
        Some(Command::Switch(args)) => order::switch(&args),
        Some(Command::Drain(args)) => order::drain(&args),
        Some(Command::Undrain(args)) => order::undrain(&args),
        Some(Command::Force(args)) => order::force(&args),
        Some(Command::Failback(args)) => failback::run(&args),
        Some(Command::Undo(args)) => order::undo(&args),
        Some(Command::Freeze(args)) => order::freeze(&args),
        Some(Command::Unfreeze(args)) => order::unfreeze(&args),
        Some(Command::Gate(args)) => order::gate(&args),
        Some(Command::Clock(args)) => clock::run(&args),
        Some(Command::Observe(args)) => observe::run(&args),
        Some(Command::History(args)) => history::run(&args),
        Some(Command::Demo(args)) => demo::run(&args),
        Some(Command::Token(args)) => token::run(&args),
        Some(Command::Geo(args)) => geo::run(&args),
        Some(Command::Schema(args)) => schema::run(&args),
    }
}

/// The command line's own definition, for its reference and for tests.
pub fn definition() -> clap::Command {
    <Arguments as clap::CommandFactory>::command()
}
