//! What keeps a start from happening, and what does not.

use std::fs;
use std::net::TcpListener;
use std::process::Output;

use hickory_proto::rr::RecordType::A;

use crate::node::Site;

const FILE: &str = "zones/api.meta-driven.example.com.yaml";

#[track_caller]
fn refused(output: &Output, code: i32) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(output.stdout.is_empty(), "it greets: {output:?}");
    said
}

#[test]
fn a_broken_policy_is_refused_with_file_line_column_and_remedy() {
    let site = Site::new();
    site.edit(FILE, "tertiary: dc3_shanghai_dr", "tertiary: dc3_shanhgai_dr");
    site.edit(FILE, "threshold: 3", "threshold: three");
    let said = refused(&site.run(&["--demo", "--listen", "127.0.0.1:0"]), 1);
    // All errors at once, each where it is.
    assert!(said.contains("api.meta-driven.example.com.yaml:10:16"), "{said}");
    assert!(said.contains("api.meta-driven.example.com.yaml:22:17"), "{said}");
    assert!(said.contains("did you mean `dc3_shanghai_dr`?"), "{said}");
    assert!(said.contains("nothing is served"), "{said}");
}

#[test]
fn a_broken_master_file_is_refused_with_file_and_line() {
    let site = Site::new();
    site.edit("zones/meta-driven.example.com.zone", "198.51.100.53", "198.51.100.530");
    let said = refused(&site.run(&["--demo", "--listen", "127.0.0.1:0"]), 1);
    assert!(said.contains("meta-driven.example.com.zone:27:28"), "{said}");
    // That the services now have no zone is not their mistake, so there is but one error.
    assert!(said.contains("\n1 error\n"), "{said}");
}

#[test]
fn usage_errors_are_told_apart_from_refusals() {
    let site = Site::new();
    for arguments in [
        &["--lisen", "127.0.0.1:0"][..],
        &["--listen", "somewhere"],
        &["--threads", "0"],
        &["serf"],
        &["check", "--deny", "everything"],
        &["explain", "--offline"],
        &["diff", "--offline"],
        &["history", "--since", "yesterday"],
        &["explain", "a..b", "--offline"],
        &["explain", "api.meta-driven.example.com", "--offline", "--client", "nobody"],
        &["explain", "api.meta-driven.example.com", "--offline", "--down", "dc9"],
        &["schema", "zones"],
    ] {
        refused(&site.run(arguments), 2);
    }
    assert!(refused(&site.run(&["--lisen", "127.0.0.1:0"]), 2).contains("'--listen'"));
}

#[test]
fn a_port_in_use_is_named_with_the_way_out() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = refused(&Site::new().run(&["--demo", "--listen", &address]), 1);
    assert!(said.contains(&format!("can not listen on {address} (TCP)")) && said.contains("ss -lnptu"), "{said}");
}

#[test]
fn without_any_geoip_it_serves_and_warns() {
    let site = Site::new();
    fs::remove_dir_all(site.path("geoip")).unwrap();
    let mut node = site.serve();
    let answers = node.ask("api.meta-driven.example.com.", A, Some("219.141.136.0/24")).answers();
    assert_eq!(answers.len(), 1);
    node.signal("TERM");
    assert_eq!(node.wait().code(), Some(0));
    let said = node.stderr.rest().join("\n");
    assert!(said.contains("warning[no-geoip-data]") && !said.contains("error["), "{said}");
}

#[test]
fn a_database_that_was_named_must_be_there() {
    let said = refused(&Site::new().run(&["--demo", "--listen", "127.0.0.1:0", "--geoip", "mine.mmdb"]), 1);
    assert!(said.contains("error[geoip]") && said.contains("mine.mmdb"), "{said}");
}

#[test]
fn a_configuration_that_was_named_must_be_there_and_be_right() {
    let site = Site::new();
    assert!(refused(&site.run(&["--demo", "--config", "mine.yaml"]), 1).contains("mine.yaml"));
    fs::write(site.path("mine.yaml"), "dns: {listen: '127.0.0.1:0', treads: 2}\n").unwrap();
    let said = refused(&site.run(&["--demo", "--config", "mine.yaml"]), 1);
    assert!(said.contains("mine.yaml:1:") && said.contains("did you mean `threads`?"), "{said}");
}

#[test]
fn what_is_shipped_is_clean() {
    let output = Site::new().run(&["check", "--deny", "warnings"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let expected = "\
until a failure is noticed, at worst (the target is 10s):
  api.meta-driven.example.com, web: 5s interval + 0.5s slow mark + 1s fast + 3s timeout = 9.5s
  edge: 5s interval + 0.5s slow mark + 2s timeout = 7.5s
no errors, no warnings
";
    assert_eq!((output.status.code(), said.as_str()), (Some(0), expected));
}

#[test]
fn a_check_that_is_slower_than_the_target_is_told_to_people_and_programs() {
    let site = Site::new();
    fs::write(site.path("mine.yaml"), "health: {notice_within: 9s}\n").unwrap();
    let output = site.run(&["check", "--config", "mine.yaml", "--deny", "warnings", "--format", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<serde_json::Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let slow = lines.iter().filter(|line| line["code"] == "slow-to-notice").count();
    let sums: Vec<(&str, u64)> = lines
        .iter()
        .filter(|line| line["code"] == "worst-case")
        .map(|line| (line["check"].as_str().unwrap(), line["worst_case_ms"].as_u64().unwrap()))
        .collect();
    assert_eq!(slow, 2, "{said}");
    assert_eq!(sums, [("api.meta-driven.example.com", 9500), ("edge", 7500), ("web", 9500)]);
}

#[test]
fn a_node_stands_in_a_data_centre_that_the_policies_know() {
    let site = Site::new();
    let check = |node: &str| {
        fs::write(site.path("mine.yaml"), node).unwrap();
        let output = site.run(&["check", "--config", "mine.yaml"]);
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, said) = check("node:\n  datacenter: dc1_bejing_primary\n");
    assert_eq!(code, Some(1));
    assert!(said.contains("mine.yaml:2:15") && said.contains("did you mean `dc1_beijing_primary`?"), "{said}");
    let (code, said) = check("node: {datacenter: dc1}\n");
    assert_eq!(code, Some(0));
    assert!(said.contains("warning[no-witness]") && said.contains("it will hold"), "{said}");
    let (_, said) = check("node: {datacenter: dc1}\nhealth: {witnesses: ['198.51.100.1:53']}\n");
    assert!(said.ends_with("\nno errors, no warnings\n"), "{said}");
}

#[test]
fn a_file_that_a_check_needs_and_nobody_has_is_a_warning() {
    let site = Site::new();
    site.edit("zones/shared.yaml", "tls: {expiry_warning: 21d}", "tls: {ca: tls/ca.pem}");
    let said = String::from_utf8_lossy(&site.run(&["check"]).stdout).into_owned();
    assert!(said.contains("warning[check-file]") && said.contains("zones/tls/ca.pem"), "{said}");
    fs::create_dir(site.path("zones/tls")).unwrap();
    fs::write(site.path("zones/tls/ca.pem"), "").unwrap();
    let said = String::from_utf8_lossy(&site.run(&["check"]).stdout).into_owned();
    assert!(said.ends_with("\nno errors, no warnings\n"), "{said}");
}

#[test]
fn the_policy_tests_that_are_shipped_can_fail() {
    let site = Site::new();
    site.edit(FILE, "primary: dc3_shanghai_dr", "primary: dc2_beijing_standby");
    site.edit(FILE, "tertiary: dc2_beijing_standby", "tertiary: dc3_shanghai_dr");
    let output = site.run(&["check", "--format", "github"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("::error file=zones/policy-tests.yaml,line="), "{said}");
    assert!(said.contains("Shanghai goes to its own"), "{said}");
}
