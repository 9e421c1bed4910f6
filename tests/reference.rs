//! The documentation says what the program says.
//!
//! `docs/cli.md` is the command line's own help. After a change to the command line:
//! `UPDATE_DOCS=1 cargo test --test reference`.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

fn root(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

fn read(file: &str) -> String {
    fs::read_to_string(root(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Columns of the help in `docs/cli.md`.
const WIDTH: usize = 100;

/// The help of every command that does something, in the order in which `meridian help` lists them.
fn command_line() -> String {
    fn describe(command: &clap::Command, out: &mut String) {
        let help = command.clone().disable_help_subcommand(true).term_width(WIDTH).render_long_help().to_string();
        let help: Vec<&str> = help.lines().map(str::trim_end).collect();
        let name = command.get_bin_name().expect("built");
        write!(out, "\n## `{name}`\n\n```text\n{}\n```\n", help.join("\n").trim_end()).unwrap();
        for command in command.get_subcommands().filter(|command| command.get_name() != "help") {
            describe(command, out);
        }
    }
    let mut command = meridian::cli::definition().bin_name("meridian");
    command.build();
    let mut out =
        "# Command line\n\nWhat `--help` prints; a test compares the two.\n\nExit codes: 0 done, 1 refused or \
                   failed (with the reasons on standard error), 2 wrong usage.\n"
            .to_owned();
    describe(&command, &mut out);
    out
}

#[test]
fn the_command_line_is_documented_as_it_is() {
    let is = command_line();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(root("docs/cli.md"), &is).unwrap();
    }
    assert_eq!(read("docs/cli.md"), is, "`UPDATE_DOCS=1 cargo test --test reference` writes docs/cli.md anew");
}

fn documents() -> Vec<String> {
    let mut all = vec!["README.md".to_owned(), "README.zh-CN.md".to_owned(), "CHANGELOG.md".to_owned()];
    for entry in fs::read_dir(root("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".md") {
            all.push(format!("docs/{name}"));
        }
    }
    all.sort();
    all
}

#[test]
fn links_lead_to_files_that_exist() {
    for document in documents() {
        let text = read(&document);
        let folder = root(&document).parent().unwrap().to_owned();
        for (at, _) in text.match_indices("](") {
            let target = text[at + 2..].split(')').next().unwrap();
            let file = target.split('#').next().unwrap();
            if !target.contains("://") && !file.is_empty() {
                assert!(folder.join(file).exists(), "{document} links to {target}");
            }
        }
    }
}

#[test]
fn every_document_is_linked_from_the_readme() {
    let readme = read("README.md") + &read("README.zh-CN.md");
    for document in documents().iter().filter(|document| document.starts_with("docs/")) {
        assert!(readme.contains(&format!("({document})")), "nothing leads to {document}");
    }
}

/// Flags that a document shows behind `meridian …` exist.
#[test]
fn flags_that_documents_show_exist() {
    let reference = command_line();
    let mut shown = 0;
    for document in documents() {
        for line in read(&document).lines().filter(|line| line.contains("meridian ") || line.contains("cargo run")) {
            let words =
                line.split(|c: char| c.is_whitespace() || matches!(c, '`' | ',' | ';' | '|' | '(' | ')' | '；'));
            let flags = words.filter(|word| word.starts_with("--") && word.len() > 2);
            for flag in flags.map(|flag| flag.split('=').next().unwrap()) {
                let ours = reference.contains(&format!("{flag} ")) || reference.contains(&format!("{flag}\n"));
                assert!(ours || flag == "--release", "{document} shows {flag}");
                shown += 1;
            }
        }
    }
    assert!(shown > 20);
}

fn sources(dir: &Path, found: &mut String) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.push_str(text.split("#[cfg(test)]\nmod tests").next().unwrap());
        }
    }
}

/// Codes of findings: what stands first in `Diagnostic::error("…`, and in zone's own words for it.
fn codes() -> BTreeSet<String> {
    let mut text = String::new();
    sources(&root("src"), &mut text);
    let mut codes = BTreeSet::new();
    for opening in ["Diagnostic::error(", "Diagnostic::warning("] {
        for (at, _) in text.match_indices(opening) {
            let rest = text[at + opening.len()..].trim_start();
            if let Some(code) = rest.strip_prefix('"').and_then(|rest| rest.split('"').next()) {
                codes.insert(code.to_owned());
            }
        }
    }
    // What the tests inside the rooms make up has a single letter.
    codes.retain(|code| code.len() > 2 && code.bytes().all(|octet| octet.is_ascii_lowercase() || octet == b'-'));
    codes
}

#[test]
fn every_code_is_explained_in_both_languages() {
    let codes = codes();
    assert!(codes.len() > 60, "{codes:?}");
    let policy = read("docs/policy.md");
    for guide in ["docs/operators-guide.md", "docs/operators-guide.zh-CN.md"] {
        let guide_text = read(guide);
        let unexplained: Vec<&String> = codes
            .iter()
            .filter(|code| !policy.contains(&format!("`{code}`")) && !guide_text.contains(&format!("`{code}`")))
            .collect();
        assert!(unexplained.is_empty(), "neither docs/policy.md nor {guide} explains {unexplained:?}");
    }
}
