//! Scenario files to worlds and cases.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use meridian::model::{Name, Settings};
use meridian::table::Base;

use super::CLIENTS;
use super::common::message::{self, NOERROR, NXDOMAIN, REFUSED};
use super::common::{GEOGRAPHY, Texts};

/// Files, and what is asked of them.
pub(crate) struct World {
    pub(crate) title: String,
    texts: Texts,
    ns: Vec<Name>,
    pub(crate) cases: Vec<Case>,
}

impl World {
    pub(crate) fn base(&self) -> Arc<Base> {
        self.texts.base_with(&Settings { ns: self.ns.clone(), ..Settings::default() })
    }
}

/// One scenario.
pub(crate) struct Case {
    /// File and line.
    pub(crate) place: String,
    pub(crate) text: String,
    pub(crate) facts: Vec<String>,
    pub(crate) client: IpAddr,
    pub(crate) rtype: u16,
    pub(crate) name: String,
    pub(crate) rcode: u16,
    /// Each possible set of data, with its share; empty: no answer.
    pub(crate) alternatives: BTreeMap<BTreeSet<String>, u32>,
    pub(crate) scope: Option<u8>,
    pub(crate) soa: Option<u32>,
    pub(crate) ttl: Option<u32>,
    pub(crate) by: Option<String>,
    pub(crate) region: Option<String>,
}

enum Part {
    None,
    Policy(String),
    Zone(String, String),
    Cases,
}

/// The worlds of a file.
pub(crate) fn worlds(file: &str, text: &str) -> Vec<World> {
    let mut worlds: Vec<World> = Vec::new();
    let mut part = Part::None;
    for (at, line) in text.lines().enumerate() {
        let place = format!("{file}:{}", at + 1);
        if let Some(title) = line.strip_prefix("=== ") {
            close(&mut worlds, std::mem::replace(&mut part, Part::None));
            worlds.push(World {
                title: title.into(),
                texts: Texts::default().and_policy(GEOGRAPHY),
                ns: Vec::new(),
                cases: Vec::new(),
            });
            continue;
        }
        if let Some(head) = line.strip_prefix("--- ") {
            let next = match head.split_whitespace().collect::<Vec<_>>().as_slice() {
                ["policy"] => Part::Policy(String::new()),
                ["zone", origin] => Part::Zone((*origin).to_owned(), String::new()),
                ["cases"] => Part::Cases,
                ["ns", names @ ..] => {
                    let names = names.iter().map(|name| Name::parse(name).unwrap());
                    worlds.last_mut().unwrap().ns.extend(names);
                    Part::None
                }
                other => panic!("{place}: {other:?}"),
            };
            close(&mut worlds, std::mem::replace(&mut part, next));
            continue;
        }
        match &mut part {
            Part::Policy(text) | Part::Zone(_, text) => {
                text.push_str(line);
                text.push('\n');
            }
            Part::Cases if line.trim().is_empty() || line.starts_with('#') => {}
            Part::Cases => worlds.last_mut().unwrap().cases.push(case(place, line)),
            Part::None => assert!(line.trim().is_empty() || line.starts_with('#'), "{place}: {line}"),
        }
    }
    close(&mut worlds, part);
    worlds
}

fn close(worlds: &mut [World], part: Part) {
    let Some(world) = worlds.last_mut() else { return };
    match part {
        Part::Policy(text) => world.texts = world.texts.clone().and_policy(&text),
        Part::Zone(origin, text) => world.texts = world.texts.clone().and_zone(&origin, &text),
        Part::None | Part::Cases => {}
    }
}

fn case(place: String, line: &str) -> Case {
    let fail = |what: &str| -> ! { panic!("{place}: {what}: {line}") };
    let text = line.trim().to_owned();
    let (facts, rest) = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']').unwrap_or_else(|| fail("no `]`")),
        None => ("", text.as_str()),
    };
    let facts = facts.split(';').map(|fact| fact.trim().to_owned()).filter(|fact| !fact.is_empty()).collect();
    let (question, expected) = rest.split_once("=>").unwrap_or_else(|| fail("no `=>`"));
    let [client, rtype, name] = question.split_whitespace().collect::<Vec<_>>()[..] else { fail("no question") };
    let client = CLIENTS.iter().find(|(word, _)| *word == client).map_or(client, |(_, address)| address);
    let mut case = Case {
        place: place.clone(),
        facts,
        client: client.parse().unwrap_or_else(|_| fail("no such client")),
        rtype: message::rtype(rtype),
        name: name.to_owned(),
        rcode: NOERROR,
        alternatives: BTreeMap::new(),
        scope: None,
        soa: None,
        ttl: None,
        by: None,
        region: None,
        text: text.clone(),
    };
    let mut parts = expected.split(';').map(str::trim);
    match parts.next().unwrap_or_default() {
        "nodata" => {}
        "nxdomain" => case.rcode = NXDOMAIN,
        "refused" => case.rcode = REFUSED,
        answers => {
            for alternative in answers.split('|') {
                let (set, share) = alternative.split_once('*').unwrap_or((alternative, "1"));
                let set: BTreeSet<String> = set.split('+').map(|data| data.trim().to_owned()).collect();
                let share = share.trim().parse().unwrap_or_else(|_| fail("no share"));
                assert!(case.alternatives.insert(set, share).is_none(), "{place}: one alternative twice");
            }
        }
    }
    for part in parts.filter(|part| !part.is_empty()) {
        let (key, value) = part.split_once(' ').unwrap_or_else(|| fail("no value"));
        let number = || value.parse().unwrap_or_else(|_| fail("no number"));
        match key {
            "scope" => case.scope = Some(u8::try_from(number()).unwrap()),
            "soa" => case.soa = Some(number()),
            "ttl" => case.ttl = Some(number()),
            "by" => case.by = Some(value.to_owned()),
            "region" => case.region = Some(value.to_owned()),
            _ => fail("no such expectation"),
        }
    }
    case
}
