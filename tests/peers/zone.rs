//! The zones that all servers have: those written by hand in `zones/`, and those made at random.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::question::wire;
use crate::random::Random;

/// A master file, and the names in it.
pub(crate) struct ZoneText {
    /// Absolute, without the last dot.
    pub(crate) origin: String,
    pub(crate) text: String,
    /// In wire form.
    pub(crate) owners: Vec<Vec<u8>>,
    /// Names in record data, whatever they are there.
    pub(crate) targets: Vec<Vec<u8>>,
    /// Types of its records.
    pub(crate) types: Vec<u16>,
    /// Its RRsets are made to be too long.
    pub(crate) is_big: bool,
}

/// Writes all zones to `dir` and returns them.
pub(crate) fn write_all(dir: &Path, seed: u64) -> Vec<ZoneText> {
    let mut zones = Vec::new();
    let by_hand = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/zones");
    let mut files: Vec<_> = fs::read_dir(by_hand).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files {
        let origin = file.file_stem().unwrap().to_str().unwrap().to_owned();
        zones.push(ZoneText::new(origin, fs::read_to_string(&file).unwrap(), false));
    }
    let mut random = Random(seed);
    for number in 0..8 {
        zones.push(at_random(&format!("random{number}.test"), &mut random));
    }
    zones.push(big("big.test", &mut random));
    for zone in &zones {
        fs::write(dir.join(format!("{}.zone", zone.origin)), &zone.text).unwrap();
    }
    zones
}

impl ZoneText {
    /// Every owner in `text` stands at the beginning of its line.
    fn new(origin: String, text: String, is_big: bool) -> ZoneText {
        let (mut owners, mut targets) = (BTreeSet::new(), BTreeSet::new());
        let lines = text.lines().filter(|line| !line.starts_with([';', '$', ' ']) && !line.is_empty());
        for line in lines {
            let mut words = line.split(' ');
            owners.extend(words.next().and_then(|owner| absolute(owner, &origin)));
            targets.extend(words.filter(|word| word.contains(char::is_lowercase)).filter_map(|w| absolute(w, &origin)));
        }
        ZoneText {
            owners: owners.into_iter().collect(),
            targets: targets.into_iter().collect(),
            types: vec![1, 16, 15, 65_280, 33],
            origin,
            text,
            is_big,
        }
    }
}

/// A name of presentation form, escapes and all, in wire form.
fn absolute(text: &str, origin: &str) -> Option<Vec<u8>> {
    let mut name = Vec::new();
    let mut label = Vec::new();
    let mut octets = text.bytes();
    let is_absolute = text.ends_with('.');
    if text != "@" && text != "." {
        while let Some(octet) = octets.next() {
            match octet {
                b'\\' => {
                    let first = octets.next()?;
                    if first.is_ascii_digit() {
                        let digits = [first, octets.next()?, octets.next()?];
                        label.push(std::str::from_utf8(&digits).ok()?.parse().ok()?);
                    } else {
                        label.push(first);
                    }
                }
                b'.' => {
                    name.push(label.len() as u8);
                    name.append(&mut label);
                }
                octet => label.push(octet),
            }
            if label.len() > 63 {
                return None;
            }
        }
        if !label.is_empty() {
            name.push(label.len() as u8);
            name.append(&mut label);
        }
    }
    if is_absolute {
        name.push(0);
    } else {
        name.extend(wire(origin));
    }
    (name.len() <= 255 && !name.windows(2).any(|octets| octets == [0, 0])).then_some(name)
}

/// What a made-up name owns.
#[derive(Default)]
struct Owned {
    records: BTreeSet<String>,
    is_cname: bool,
    is_cut: bool,
    is_dname: bool,
}

/// A small zone out of few labels, so that everything meets everything: wildcards above cuts, chains through
/// empty non-terminals, names that look like wildcards.
fn at_random(origin: &str, random: &mut Random) -> ZoneText {
    const LABELS: [&str; 7] = ["a", "b", "c", "*", "d", "Ab", "e"];
    let name = |random: &mut Random, wild: bool| -> String {
        let depth = 1 + random.below(4);
        let labels: Vec<&str> = (0..depth)
            .map(|_| *random.pick(&LABELS))
            .map(|label| if wild || label != "*" { label } else { "a" })
            .collect();
        labels.join(".")
    };
    let mut owned: BTreeMap<String, Owned> = BTreeMap::new();
    for number in 0..40 {
        let owner = name(random, true);
        let is_wild = owner.starts_with('*');
        let target = match random.below(8) {
            0 => "out.invalid.".to_owned(),
            1 => format!("a.random{}.test.", random.below(8)),
            _ => name(random, true),
        };
        let entry = owned.entry(owner.to_lowercase()).or_default();
        match random.below(12) {
            0 | 1 if entry.records.is_empty() => {
                entry.is_cname = true;
                entry.records.insert(format!("CNAME {target}"));
            }
            2 if !is_wild && !entry.is_cname && !entry.is_cut && !entry.is_dname => {
                entry.is_dname = true;
                entry.records.insert(format!("DNAME {target}"));
            }
            3 | 4 if !is_wild && !entry.is_cname && !entry.is_dname => {
                entry.is_cut = true;
                entry.records.insert(format!("NS {}", random.pick(&["ns.out.invalid.", "ns", target.as_str()])));
            }
            5 if !entry.is_cname => drop(entry.records.insert(format!("MX 10 {target}"))),
            6 if !entry.is_cname => drop(entry.records.insert(format!("SRV 1 2 3 {target}"))),
            7 if !entry.is_cname => drop(entry.records.insert(format!("TXT \"{number}\""))),
            8 if !entry.is_cname => drop(entry.records.insert(format!("AAAA 2001:db8::{number}"))),
            _ if !entry.is_cname => drop(entry.records.insert(format!("A 192.0.2.{number}"))),
            _ => {}
        }
    }
    // Nothing may be below a DNAME (RFC 6672 §2.4).
    let dnames: Vec<String> =
        owned.iter().filter(|(_, entry)| entry.is_dname).map(|(owner, _)| format!(".{owner}")).collect();
    owned.retain(|owner, _| !dnames.iter().any(|dname| owner.ends_with(dname)));
    // A server inside its own delegation needs an address there.
    let cuts: Vec<(String, String)> = owned
        .iter()
        .filter(|(_, entry)| entry.is_cut)
        .flat_map(|(owner, entry)| {
            let servers = entry.records.iter().filter_map(|record| record.strip_prefix("NS "));
            servers.map(|server| (owner.clone(), server.to_lowercase())).collect::<Vec<_>>()
        })
        .collect();
    for (cut, server) in cuts {
        if server == cut || server.ends_with(&format!(".{cut}")) {
            let entry = owned.entry(server).or_default();
            if entry.is_cname {
                *entry = Owned::default();
            }
            entry.records.insert("A 192.0.2.200".to_owned());
        }
    }
    owned.retain(|owner, _| !dnames.iter().any(|dname| owner.ends_with(dname)));
    let ttl = [1, 60, 3600][random.below(3)];
    let minimum = [0, 30, 7200][random.below(3)];
    let mut text = format!("$TTL {ttl}\n@ SOA ns host 1 2 3 4 {minimum}\n@ NS ns\nns A 192.0.2.53\n");
    for (owner, entry) in &owned {
        for record in &entry.records {
            writeln!(text, "{owner} {record}").unwrap();
        }
    }
    ZoneText::new(origin.to_owned(), text, false)
}

/// RRsets of every length around the limits of 512, 1232 and 4096 octets, and up to those of TCP.
fn big(origin: &str, random: &mut Random) -> ZoneText {
    let mut text = "$TTL 300\n@ SOA ns host 1 2 3 4 60\n@ NS ns\nns A 192.0.2.53\n".to_owned();
    let counts = (26..34).chain(70..80).chain(244..258).chain([1, 100, 500, 1000, 3900]);
    for count in counts {
        for number in 0..count {
            writeln!(text, "a{count} A 10.{}.{}.{}", count % 256, number / 256, number % 256).unwrap();
        }
    }
    for len in (400..520).step_by(7).chain((1100..1240).step_by(7)).chain((3980..4100).step_by(7)) {
        let mut left = len;
        write!(text, "t{len} TXT").unwrap();
        while left > 0 {
            let string = left.min(200);
            write!(text, " \"{}\"", "x".repeat(string)).unwrap();
            left -= string;
        }
        text.push('\n');
        writeln!(text, "u{len} TYPE65280 \\# {len} {}", "5a".repeat(len)).unwrap();
    }
    for count in [5, 10, 20, 40, 60, 100] {
        for number in 0..count {
            writeln!(text, "m{count} MX {number} mail{number}.m{count}").unwrap();
            writeln!(text, "s{count} SRV 0 0 {number} mail{number}.m{count}").unwrap();
            writeln!(text, "mail{number}.m{count} A 10.200.{count}.{number}").unwrap();
        }
    }
    for count in [3, 6, 8, 13, 20, 26] {
        for number in 0..count {
            writeln!(text, "cut{count} NS server-number-{number}.cut{count}").unwrap();
            writeln!(text, "server-number-{number}.cut{count} A 10.201.{count}.{number}").unwrap();
            if random.chance(2) {
                writeln!(text, "server-number-{number}.cut{count} AAAA 2001:db8::{count}:{number}").unwrap();
            }
            writeln!(text, "far{count} NS server-number-{number}.cut{count}").unwrap();
        }
    }
    ZoneText::new(origin.to_owned(), text, true)
}
