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
    let said = refused(&site.run(&["--listen", "127.0.0.1:0"]), 1);
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
    let said = refused(&site.run(&["--listen", "127.0.0.1:0"]), 1);
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
        &["explain", "api.meta-driven.example.com"],
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
    let said = refused(&Site::new().run(&["--listen", &address]), 1);
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
    let said = refused(&Site::new().run(&["--listen", "127.0.0.1:0", "--geoip", "mine.mmdb"]), 1);
    assert!(said.contains("error[geoip]") && said.contains("mine.mmdb"), "{said}");
}

#[test]
fn a_configuration_that_was_named_must_be_there_and_be_right() {
    let site = Site::new();
    assert!(refused(&site.run(&["--config", "mine.yaml"]), 1).contains("mine.yaml"));
    fs::write(site.path("mine.yaml"), "dns: {listen: '127.0.0.1:0', treads: 2}\n").unwrap();
    let said = refused(&site.run(&["--config", "mine.yaml"]), 1);
    assert!(said.contains("mine.yaml:1:") && said.contains("did you mean `threads`?"), "{said}");
}

#[test]
fn what_is_shipped_is_clean() {
    let output = Site::new().run(&["check", "--deny", "warnings"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!((output.status.code(), said.as_str()), (Some(0), "no errors, no warnings\n"));
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
