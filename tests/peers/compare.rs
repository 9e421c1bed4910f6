//! Replies side by side, and what is left of their differences when the rules are through.

use std::collections::BTreeMap;
use std::fmt;

use meridian::wire::types::{RcodeName, TypeName};

use crate::daemon::Peer;
use crate::message::Reply;
use crate::question::{Case, wire};
use crate::rules::{Pair, RULES, Rule};
use crate::zone::ZoneText;

/// Everything compared so far.
#[derive(Default)]
pub(crate) struct Comparison {
    /// The zones' names, in wire form.
    origins: Vec<Vec<u8>>,
    compared: BTreeMap<(Peer, &'static str), usize>,
    equal: BTreeMap<(Peer, &'static str), usize>,
    /// Cases that each rule explained, wholly or in part.
    explained: BTreeMap<(&'static str, Peer), usize>,
    pub(crate) unexplained: Vec<Difference>,
}

/// One that no rule explains.
pub(crate) struct Difference {
    case: Case,
    door: &'static str,
    peer: Peer,
    /// The rules that saw it, and what was left.
    rules: Vec<&'static str>,
    ours: Option<Reply>,
    theirs: Option<Reply>,
    /// The peers agree, and a rule that explains it says of nothing that allows us to differ.
    lacks_reference: bool,
}

impl Comparison {
    /// Of servers that have these zones.
    pub(crate) fn of(zones: &[ZoneText]) -> Comparison {
        Comparison { origins: zones.iter().map(|zone| wire(&zone.origin)).collect(), ..Comparison::default() }
    }

    /// Compares our reply to a case with each peer's; `None` is silence.
    pub(crate) fn compare(
        &mut self,
        case: &Case,
        door: &'static str,
        ours: Option<Reply>,
        theirs: Vec<(Peer, Option<Reply>)>,
    ) {
        let peers_agree = theirs.len() > 1 && theirs.windows(2).all(|two| two[0].1 == two[1].1);
        for (peer, theirs) in theirs {
            *self.compared.entry((peer, door)).or_default() += 1;
            if ours == theirs {
                *self.equal.entry((peer, door)).or_default() += 1;
                continue;
            }
            let mut pair = Pair { ours: ours.clone(), theirs, origins: &self.origins };
            let mut used: Vec<&Rule> = Vec::new();
            for rule in RULES {
                if pair.ours != pair.theirs && rule.peers.contains(&peer) {
                    let before = (pair.ours.clone(), pair.theirs.clone());
                    if (rule.apply)(case, &mut pair) && before != (pair.ours.clone(), pair.theirs.clone()) {
                        used.push(rule);
                    }
                }
            }
            for rule in &used {
                *self.explained.entry((rule.name, peer)).or_default() += 1;
            }
            let lacks_reference = peers_agree && used.iter().any(|rule| rule.reference.is_empty());
            if pair.ours != pair.theirs || lacks_reference {
                let rules = used.iter().map(|rule| rule.name).collect();
                let Pair { ours, theirs, .. } = pair;
                self.unexplained.push(Difference {
                    case: case.clone(),
                    door,
                    peer,
                    rules,
                    ours,
                    theirs,
                    lacks_reference,
                });
            }
        }
    }

    /// Rules that explained nothing.
    pub(crate) fn idle(&self) -> impl Iterator<Item = &'static str> {
        RULES.iter().flat_map(|rule| {
            rule.peers.iter().filter(|&&peer| !self.explained.contains_key(&(rule.name, peer))).map(|_| rule.name)
        })
    }

    /// The summary, for those who run it with `--nocapture`.
    pub(crate) fn print(&self, cases: usize) {
        println!("{cases} questions");
        for ((peer, door), count) in &self.compared {
            let equal = self.equal.get(&(*peer, door)).copied().unwrap_or_default();
            println!("{:5} over {door}: {count} compared, {equal} equal as they came", peer.name());
        }
        for rule in RULES {
            let counts: Vec<String> = rule
                .peers
                .iter()
                .map(|&peer| {
                    let count = self.explained.get(&(rule.name, peer)).copied().unwrap_or_default();
                    format!("{} {count}", peer.name())
                })
                .collect();
            println!("{:50} {}", rule.name, counts.join(", "));
        }
    }
}

impl Difference {
    /// In a few words, so that many of one kind can be counted.
    pub(crate) fn kind(&self) -> String {
        let mut words = vec![self.peer.name().to_owned()];
        if self.lacks_reference {
            words.push("the peers agree, and no reference says why we differ".to_owned());
        }
        if !self.case.twist.is_empty() {
            words.push(format!("[{}]", self.case.twist));
        }
        match (&self.ours, &self.theirs) {
            (Some(ours), Some(theirs)) => {
                if ours.rcode != theirs.rcode {
                    words.push(format!("rcode {} not {}", RcodeName(ours.rcode), RcodeName(theirs.rcode)));
                }
                if ours.flags != theirs.flags {
                    words.push(format!("flags {:#06x} not {:#06x}", ours.flags, theirs.flags));
                }
                if ours.question != theirs.question {
                    words.push("question".to_owned());
                }
                for (at, section) in ["answer", "authority", "additional"].iter().enumerate() {
                    let (a, b) = (&ours.sections[at], &theirs.sections[at]);
                    let more = |a: &crate::message::Rrsets, b: &crate::message::Rrsets, sign: char| {
                        let mut types: Vec<String> = a
                            .iter()
                            .filter(|(key, set)| b.get(*key) != Some(set))
                            .map(|(key, _)| format!("{sign}{}", TypeName(key.1)))
                            .collect();
                        types.sort();
                        types.dedup();
                        types
                    };
                    let found = [more(a, b, '+'), more(b, a, '-')].concat();
                    if !found.is_empty() {
                        words.push(format!("{section} {}", found.join(" ")));
                    }
                }
                if ours.repeated != theirs.repeated {
                    words.push("records twice".to_owned());
                }
                if ours.opt != theirs.opt {
                    words.push("OPT".to_owned());
                }
            }
            (ours, _) => words.push(format!("we {}", if ours.is_some() { "answer" } else { "are silent" })),
        }
        words.join(", ")
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |reply: &Option<Reply>| reply.as_ref().map_or("silence".to_owned(), Reply::to_string);
        writeln!(to, "  {} over {} {}, after {:?}", self.case, self.door, self.peer.name(), self.rules)?;
        writeln!(to, "    ours: {}", show(&self.ours))?;
        write!(to, "    theirs: {}", show(&self.theirs))
    }
}
