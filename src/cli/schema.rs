//! `meridian schema`: the JSON Schema of a file format.

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::show;
use crate::config;

/// Arguments of `meridian schema`.
#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// Which format.
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Policy files: `zones/*.yaml`.
    Policy,
    /// The server's configuration: `--config FILE`.
    Config,
}

/// Prints it.
pub fn run(args: &SchemaArgs) -> ExitCode {
    let schema = match args.format {
        Format::Policy => config::policy_schema(),
        Format::Config => config::server_schema(),
    };
    show::out(&format!("{schema:#}\n"));
    ExitCode::SUCCESS
}
