//! `meridian failback`: let clients come back to a data centre that they left because it was down.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::client::segment;
use super::order::{self, Call, StampArgs};

/// Arguments of `meridian failback`.
#[derive(Debug, Args)]
pub struct FailbackArgs {
    /// Data centres or groups: by id, alias or leading word.
    #[arg(value_name = "DC", required = true)]
    datacenters: Vec<String>,
    /// Only for this service; repeat it for several [default: all].
    #[arg(long, value_name = "NAME")]
    service: Vec<String>,
    /// Only clients of this region; `default` is everyone else.
    #[arg(long, value_name = "REGION")]
    region: Vec<String>,
    #[command(flatten)]
    stamp: StampArgs,
}

/// Exits as every order does.
pub fn run(args: &FailbackArgs) -> ExitCode {
    let names = args.datacenters.join(",");
    let path = format!("/api/datacenters/{}/failback", segment(&names));
    let call = Call::new("POST", path, format!("let clients come back to {names}"));
    let call = call.with_some("services", &args.service).with_some("regions", &args.region);
    order::run(call, &args.stamp, |done, _, _| text(done, done["dry_run"] == true))
}

fn text(done: &Value, is_dry_run: bool) -> String {
    let names = |field: &str| {
        let names = done[field].as_array().map(Vec::as_slice).unwrap_or_default();
        names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
    };
    let (node, generation) = (done["node"].as_str().unwrap_or_default(), &done["generation"]);
    let datacenters = names("datacenters");
    let mut out = match (done["changed"].as_bool(), is_dry_run) {
        (Some(true), true) => format!("{node}: clients would come back to {datacenters}\n"),
        (Some(true), false) => format!("{node}: clients come back to {datacenters} (generation {generation})\n"),
        (Some(false) | None, _) => format!("{node}: nothing to do: no client was kept away from {datacenters}\n"),
    };
    for (field, what) in [("services", "services"), ("services_skipped", "left as they were")] {
        if !names(field).is_empty() {
            out.push_str(&format!("  {what}: {}\n", names(field)));
        }
    }
    for warning in done["warnings"].as_array().map(Vec::as_slice).unwrap_or_default() {
        out.push_str(&format!("  warning: {}\n", warning.as_str().unwrap_or_default()));
    }
    out
}
