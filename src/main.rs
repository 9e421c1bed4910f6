//! The `meridian` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    meridian::cli::run()
}
