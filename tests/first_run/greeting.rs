//! The first lines that a newcomer sees keep their word.

use std::process::Command;

use hickory_proto::rr::RecordType;

use crate::node::{Node, Site};

/// A line such as `  dig @127.0.0.1 -p 5300 api… +short +subnet=…  # 1.1.1.1`.
struct Advice {
    command: Vec<String>,
    /// What may come.
    promised: Vec<String>,
}

fn advice(node: &mut Node) -> Vec<Advice> {
    let mut found = Vec::new();
    while found.len() < 3 {
        let line = node.stdout.until(|line| line.starts_with("  dig ")).expect("three commands");
        let (command, promised) = line.split_once('#').expect("a promise");
        let promised = promised.trim().trim_start_matches("one of ");
        found.push(Advice {
            command: command.split_whitespace().map(str::to_owned).collect(),
            promised: promised.split(", ").map(str::to_owned).collect(),
        });
    }
    found
}

#[test]
fn it_says_in_a_few_lines_what_it_serves_and_what_to_try() {
    let mut node = Site::new().serve();
    advice(&mut node);
    let said = node.stdout.seen.join("\n");
    assert!(node.stdout.seen.len() <= 10, "{said}");
    assert!(said.starts_with(&format!("meridian {} serves 3 services in 1 zone", env!("CARGO_PKG_VERSION"))), "{said}");
    assert!(said.contains("geoip      17") && said.contains("(UDP and TCP)"), "{said}");
}

#[test]
fn the_readme_shows_what_it_says() {
    let mut node = Site::new().serve();
    advice(&mut node);
    let port = format!(" -p {} ", node.address.port());
    let readmes = [include_str!("../../README.md"), include_str!("../../README.zh-CN.md")];
    for line in node.stdout.seen.iter().filter(|line| !line.contains("listening") && !line.contains("api  ")) {
        let line = line.replace(&port, " -p 5300 ");
        assert!(
            readmes.iter().all(|readme| readme.contains(&format!("    {line}\n"))),
            "the READMEs do not show {line:?}"
        );
    }
}

#[test]
fn the_three_commands_give_the_answers_that_it_promises() {
    let mut node = Site::new().serve();
    let advice = advice(&mut node);
    let promised: Vec<&[String]> = advice.iter().map(|advice| advice.promised.as_slice()).collect();
    assert_eq!(promised, [&["1.1.1.1"][..], &["2.2.2.1"], &["1.1.1.1", "1.1.1.2", "2.2.2.1"]]);
    for Advice { command, promised } in &advice {
        let name = command.iter().find(|word| word.ends_with(".example.com")).unwrap();
        let subnet = command.iter().find_map(|word| word.strip_prefix("+subnet=")).unwrap();
        let answers = node.ask(&format!("{name}."), RecordType::A, Some(subnet)).answers();
        assert!(promised.iter().any(|address| answers == [format!("A {address}")]), "{command:?}: {answers:?}");

        let (dig, arguments) = command.split_first().unwrap();
        let Ok(output) = Command::new(dig).args(arguments).output() else {
            eprintln!("there is no dig here: its part of this test is left out");
            continue;
        };
        let printed = String::from_utf8(output.stdout).unwrap();
        assert!(promised.iter().any(|address| printed == format!("{address}\n")), "{command:?}: {printed}");
    }
}

#[test]
fn its_reader_may_go_before_it_has_spoken() {
    let site = Site::new();
    for arguments in [&["schema", "policy"][..], &["check"], &["explain", "api.meta-driven.example.com", "--offline"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = site.meridian(arguments).stdout(writer).stderr(std::process::Stdio::piped()).spawn().unwrap();
        let output = output.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
