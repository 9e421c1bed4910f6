//! The rooms' arrows go one way.
//!
//! Reads every `use crate::…` and `crate::…` path under `src/` and fails when a room leans on one that it
//! may not. The map is `docs/architecture.md`'s; a room that is not on it fails too.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each room and the rooms it may use.
const MAY_USE: &[(&str, &[&str])] = &[
    ("limits", &[]),
    ("model", &["limits"]),
    ("diag", &["limits", "model"]),
    ("sys", &["limits"]),
    ("wire", &["limits", "model"]),
    ("geo", &["limits", "model", "diag"]),
    ("steer", &["limits", "model"]),
    ("health", &["limits", "model", "sys"]),
    ("zone", &["limits", "model", "sys", "diag", "wire"]),
    ("table", &["limits", "model", "sys", "diag", "wire", "geo", "steer", "health", "zone"]),
    ("answer", &["limits", "model", "wire", "steer", "zone", "table"]),
    ("telemetry", &["limits", "model"]),
    ("serve", &["limits", "model", "sys", "wire", "table", "answer", "telemetry"]),
    ("explain", &["limits", "model", "wire", "steer", "zone", "table", "answer"]),
    ("config", &["limits", "model", "diag"]),
    ("demo", &["limits", "model"]),
    ("store", &["limits", "model"]),
    ("control", &["limits", "model", "sys", "diag", "config", "geo", "zone", "steer", "health", "table", "store"]),
    ("api", &["limits", "model", "diag", "sys", "steer", "health", "table", "explain", "control", "demo", "telemetry"]),
];

/// On top: may use everything.
const TOP: &[&str] = &["cli", "main", "lib"];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn room_of(path: &Path) -> String {
    let inside = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
    let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// Rooms named in a file, comments left out: `crate::room` and the first words in `use crate::{…}`.
fn rooms_used(text: &str) -> BTreeSet<String> {
    let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let word = |rest: &str| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut used = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if let Some(list) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut start = true;
            for (at, c) in list.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => start = true,
                    c if c.is_whitespace() => {}
                    _ if start => {
                        used.insert(word(&list[at..]));
                        start = false;
                    }
                    _ => {}
                }
            }
        } else {
            used.insert(word(rest));
        }
    }
    used
}

#[test]
fn arrows_between_rooms_go_one_way() {
    let may_use: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    assert!(files.len() > 20, "the sources were found");
    let mut wrong = Vec::new();
    for path in files {
        let room = room_of(&path);
        if TOP.contains(&room.as_str()) {
            continue;
        }
        let Some(allowed) = may_use.get(room.as_str()) else {
            wrong.push(format!("{}: room {room} is not on the map", path.display()));
            continue;
        };
        for used in rooms_used(&fs::read_to_string(&path).unwrap()) {
            if used != room && !allowed.contains(&used.as_str()) {
                wrong.push(format!("{}: {room} may not use {used}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_map_itself_has_no_circle() {
    let mut settled: BTreeSet<&str> = BTreeSet::new();
    while settled.len() < MAY_USE.len() {
        let before = settled.len();
        for (room, uses) in MAY_USE {
            if uses.iter().all(|used| settled.contains(used)) {
                settled.insert(room);
            }
        }
        assert!(settled.len() > before, "a circle among the rooms that are not in {settled:?}");
    }
}

#[test]
fn unsafe_code_and_the_outside_world_stay_in_their_rooms() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    // Up to and including `answer` nothing has heard of sockets, clocks or a runtime.
    let pure = ["limits", "model", "diag", "wire", "steer", "health", "zone", "table", "answer"];
    let outside =
        ["tokio::", "std::net::Udp", "std::net::Tcp", "SystemTime::now", "Instant::now", "std::thread", "std::fs"];
    let mut wrong = Vec::new();
    for path in files {
        let room = room_of(&path);
        // The one room with two halves: what decides is pure, what asks is not.
        let is_edge = path.components().any(|part| part.as_os_str() == "probe") && room == "health";
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod").next().unwrap();
        let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
        for line in lines {
            if room != "sys" && (line.contains("unsafe ") || line.contains("allow(unsafe_code)")) {
                wrong.push(format!("{}: unsafe outside sys: {line}", path.display()));
            }
            if pure.contains(&room.as_str()) && !is_edge && outside.iter().any(|word| line.contains(word)) {
                wrong.push(format!("{}: {room} is pure: {line}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
