//! Why we differ: one table, one reason a row.
//!
//! A rule looks for its own kind of difference and takes just that away, from either reply. What is left must be
//! equal. Rules are applied in order; each sees what those before it left.

use crate::daemon::Peer;
use crate::message::{AA, ADDITIONAL, ANSWER, AUTHORITY, Key, Reply, Rrsets, TC};
use crate::question::{Case, wire};

/// Two replies to one question; `None` is silence.
pub(crate) struct Pair<'o> {
    pub(crate) ours: Option<Reply>,
    pub(crate) theirs: Option<Reply>,
    /// The zones that all servers have, in wire form.
    pub(crate) origins: &'o [Vec<u8>],
}

/// One reason.
pub(crate) struct Rule {
    /// What the difference is.
    pub(crate) name: &'static str,
    /// With whom.
    pub(crate) peers: &'static [Peer],
    /// What allows it; needed where both peers agree with each other and not with us.
    pub(crate) reference: &'static str,
    /// Takes the difference away; `false` where the rule does not apply.
    pub(crate) apply: fn(&Case, &mut Pair<'_>) -> bool,
}

const BOTH: &[Peer] = &[Peer::Nsd, Peer::Knot];
const NSD: &[Peer] = &[Peer::Nsd];
const KNOT: &[Peer] = &[Peer::Knot];

const A: u16 = 1;
const NS: u16 = 2;
const CNAME: u16 = 5;
const SOA: u16 = 6;
const HINFO: u16 = 13;
const AAAA: u16 = 28;
const DNAME: u16 = 39;
const ANY: u16 = 255;

const ECS: u16 = 8;
const EXPIRE: u16 = 9;
const EDE: u16 = 15;

const FORMERR: u16 = 1;
const NXDOMAIN: u16 = 3;
const NOTIMP: u16 = 4;
const REFUSED: u16 = 5;
const NOTAUTH: u16 = 9;
const BADVERS: u16 = 16;

pub(crate) const RULES: &[Rule] = &[
    // ── OPT ──
    Rule {
        name: "extended errors",
        peers: NSD,
        reference: "RFC 8914 section 2: optional; each says what it thinks helps",
        apply: |_, pair| both(pair, |ours, theirs| drop_option(ours, EDE) | drop_option(theirs, EDE)),
    },
    Rule {
        name: "extended errors that only we give",
        peers: KNOT,
        reference: "RFC 8914 section 2: optional",
        apply: |_, pair| both(pair, |ours, _| drop_option(ours, EDE)),
    },
    Rule {
        name: "client subnet is answered",
        peers: BOTH,
        reference: "RFC 7871 section 7.2.1; the peers do not look at the option",
        apply: |case, pair| case.has_option(ECS) && both(pair, |ours, _| drop_option(ours, ECS)),
    },
    // ── Size ──
    Rule {
        name: "a truncated reply has no records",
        peers: BOTH,
        reference: "RFC 2181 section 9: what has TC set is thrown away, so nothing is put in",
        apply: |_, pair| {
            both(pair, |ours, theirs| {
                let applies = ours.is(TC) && theirs.is(TC) && ours.is_empty();
                if applies {
                    theirs.sections = Default::default();
                    theirs.repeated = 0;
                }
                applies
            })
        },
    },
    Rule {
        name: "in-domain glue is whole, or TC is set",
        peers: NSD,
        reference: "RFC 9471 section 3.1; NSD is content with some of it",
        apply: |_, pair| {
            both(pair, |ours, theirs| {
                let (all, some) = (in_domain_glue(ours), in_domain_glue(theirs));
                let is_less = some.len() < all.len() && some.iter().all(|(key, set)| all.get(key) == Some(set));
                let applies = is_referral(theirs) && !theirs.is(TC) && (is_less || ours.is(TC) && ours.is_empty());
                if applies {
                    theirs.flags = ours.flags;
                    theirs.sections = ours.sections.clone();
                }
                applies
            })
        },
    },
    Rule {
        name: "glue of other delegations does not set TC",
        peers: KNOT,
        reference: "RFC 9471 section 3.2",
        apply: |_, pair| {
            both(pair, |ours, theirs| {
                let applies = is_referral(ours) && !ours.is(TC) && theirs.is(TC);
                if applies {
                    *theirs = ours.clone();
                }
                applies
            })
        },
    },
    // ── ANY ──
    Rule {
        name: "ANY is answered with HINFO",
        peers: BOTH,
        reference: "RFC 8482 section 4.2",
        apply: |case, pair| {
            case.ask.qtype == ANY
                && both(pair, |ours, theirs| {
                    let told = |key: &Key| key.1 == HINFO;
                    let Some(key) = ours.sections[ANSWER].keys().find(|key| told(key)).cloned() else { return false };
                    if ours.sections[ANSWER][&key].iter().any(|(_, data)| !data.starts_with(b"\x07RFC8482")) {
                        return false;
                    }
                    let owner = key.0.clone();
                    let truncated = theirs.is(TC);
                    let said = theirs.sections[ANSWER].keys().any(|key| key.0 == owner);
                    if !truncated && !said {
                        return false;
                    }
                    ours.sections[ANSWER].remove(&key);
                    theirs.sections[ANSWER].retain(|key, _| key.0 != owner);
                    theirs.sections[ADDITIONAL].clear();
                    theirs.flags &= !TC;
                    if truncated {
                        theirs.sections = ours.sections.clone();
                    }
                    // NSD's authority section, as in the rule below, of an answer that is now empty.
                    if theirs.sections[AUTHORITY].keys().all(|key| key.1 == NS) {
                        theirs.sections[AUTHORITY].clear();
                    }
                    true
                })
        },
    },
    // ── Chains ──
    Rule {
        name: "a record is given once",
        peers: BOTH,
        reference: "RFC 2181 section 5: a set holds no record twice; the peers repeat a wildcard CNAME to itself",
        apply: |_, pair| both(pair, |_, theirs| std::mem::take(&mut theirs.repeated) > 0),
    },
    Rule {
        name: "chains end after so many hops",
        peers: BOTH,
        reference: "RFC 1034 section 5.3.3: the resolver goes on by itself; how many hops we spare it is ours to say",
        apply: |case, pair| {
            both(pair, |ours, theirs| {
                let (a, b) = (chain(case, ours).len(), chain(case, theirs).len());
                let size = |reply: &Reply| reply.sections[ANSWER].len();
                let (less, more) =
                    if (a, size(ours)) < (b, size(theirs)) { (&*ours, &*theirs) } else { (&*theirs, &*ours) };
                let is_part =
                    less.sections[ANSWER].iter().all(|(key, set)| more.sections[ANSWER].get(key) == Some(set));
                let is_long = a.min(b) >= 4 && (a != b || a > 8) || grows(ours);
                let applies = is_long && is_part;
                if applies {
                    *theirs = ours.clone();
                }
                applies
            })
        },
    },
    Rule {
        name: "chains go on into our other zones",
        peers: KNOT,
        reference: "RFC 1034 section 4.3.2 step 3a: back to step 1, which looks in all zones",
        apply: |case, pair| {
            let origins = pair.origins;
            both(pair, |ours, theirs| {
                let zone = zone_of(&case.ask.name, origins);
                let theirs_end = chain(case, theirs).pop();
                let leaves = theirs_end.is_some_and(|end| zone_of(&end, origins) != zone);
                let is_part =
                    theirs.sections[ANSWER].iter().all(|(key, set)| ours.sections[ANSWER].get(key) == Some(set));
                let applies = leaves && (is_part || ours.is(TC));
                if applies {
                    *theirs = ours.clone();
                }
                applies
            })
        },
    },
    Rule {
        name: "a child zone without a delegation makes its parents exist",
        peers: KNOT,
        reference: "RFC 8020 section 2; NSD agrees, for Knot the zone above knows nothing of it and its wildcard answers",
        apply: |case, pair| {
            both(pair, |ours, theirs| {
                let applies = case.ask.name.to_ascii_lowercase().ends_with(&wire("undelegated.other.test"));
                if applies {
                    *theirs = ours.clone();
                }
                applies
            })
        },
    },
    Rule {
        name: "a CNAME answers for NSEC and RRSIG too",
        peers: KNOT,
        reference: "RFC 4035 section 2.5 lets both stand beside a CNAME, but an unsigned zone has none; NSD follows",
        apply: |case, pair| matches!(case.ask.qtype, 46 | 47) && both(pair, is_unfollowed),
    },
    Rule {
        name: "a CNAME answers for NSEC3 too",
        peers: NSD,
        reference: "RFC 1034 section 3.6.2; Knot follows",
        apply: |case, pair| case.ask.qtype == 50 && both(pair, is_unfollowed),
    },
    // ── What may be added ──
    Rule {
        name: "NS of the zone beside a positive answer",
        peers: NSD,
        reference: "",
        apply: |_, pair| {
            both(pair, |ours, theirs| {
                let only_ns = theirs.sections[AUTHORITY].len() == 1 && theirs.holds(AUTHORITY, NS);
                let applies = only_ns && theirs.is(AA) && ours.is(AA) && ours.sections[AUTHORITY].is_empty();
                if applies {
                    theirs.sections[AUTHORITY].clear();
                }
                applies
            })
        },
    },
    Rule {
        name: "addresses that spare a question",
        peers: BOTH,
        reference: "RFC 1034 section 4.3.2 step 6, RFC 2181 section 9, RFC 9471 section 3.2: useful, not required; \
                    we add them from all zones of ours, but not those that a wildcard would make",
        apply: |_, pair| {
            both(pair, |ours, theirs| {
                let address = |key: &Key| matches!(key.1, A | AAAA);
                let (a, b) = (&ours.sections[ADDITIONAL], &theirs.sections[ADDITIONAL]);
                let all_addresses = a.keys().chain(b.keys()).all(address);
                let agree = a.iter().all(|(key, set)| b.get(key).is_none_or(|other| other == set));
                let same_rest = ours.sections[..ADDITIONAL] == theirs.sections[..ADDITIONAL];
                let has_glue = in_domain_glue(ours) == in_domain_glue(theirs);
                let applies = a != b && all_addresses && agree && same_rest && has_glue;
                if applies {
                    theirs.sections[ADDITIONAL] = ours.sections[ADDITIONAL].clone();
                }
                applies
            })
        },
    },
    // ── Classes and types ──
    Rule {
        name: "class ANY is refused",
        peers: BOTH,
        reference: "RFC 1035 section 3.2.5 means it for several classes; we have one. Knot answers as for IN, NSD in part",
        apply: |case, pair| {
            case.ask.qclass == 255 && both(pair, |ours, theirs| is_error(ours, &[REFUSED]) && follow(ours, theirs))
        },
    },
    Rule {
        name: "type 0 is looked up",
        peers: KNOT,
        reference: "RFC 6895 section 3.1 reserves it; as for any other type that nobody has, there is no data",
        apply: |case, pair| {
            case.ask.qtype == 0 && both(pair, |ours, theirs| is_error(theirs, &[NOTIMP]) && follow(ours, theirs))
        },
    },
    Rule {
        name: "ANY in class CHAOS",
        peers: KNOT,
        reference: "RFC 4892; NSD answers it too",
        apply: |case, pair| {
            case.ask.qclass == 3
                && case.ask.qtype == ANY
                && both(pair, |ours, theirs| is_error(theirs, &[REFUSED]) && follow(ours, theirs))
        },
    },
    Rule {
        name: "EDNS EXPIRE is for secondaries",
        peers: KNOT,
        reference: "RFC 7314 section 3",
        apply: |case, pair| case.has_option(EXPIRE) && both(pair, |_, theirs| drop_option(theirs, EXPIRE)),
    },
    Rule {
        name: "DO is returned with BADVERS",
        peers: NSD,
        reference: "RFC 6891 section 6.1.4, RFC 3225 section 3",
        apply: |_, pair| {
            both(pair, |ours, theirs| {
                let applies = theirs.rcode == BADVERS;
                if let (Some(ours), Some(theirs), true) = (&ours.opt, &mut theirs.opt, applies) {
                    theirs.flags = ours.flags;
                }
                applies
            })
        },
    },
    // ── Messages that are no proper questions: `wire::query` has the whole table ──
    Rule {
        name: "every error is answered",
        peers: NSD,
        reference: "NSD sends so many error replies a second and no more",
        apply: |_, pair| {
            let applies =
                pair.theirs.is_none() && pair.ours.as_ref().is_some_and(|ours| is_error(ours, &[FORMERR, NOTIMP]));
            if applies {
                pair.theirs = pair.ours.clone();
            }
            applies
        },
    },
    Rule {
        name: "a question that can not be read is answered",
        peers: KNOT,
        reference: "RFC 1035 section 4.1.1; NSD answers with the same header",
        apply: |case, pair| {
            let applies = pair.theirs.is_none()
                && pair.ours.as_ref().is_some_and(|ours| is_error(ours, &[FORMERR]) && ours.question.is_empty())
                && !case.twist.is_empty();
            if applies {
                pair.theirs = pair.ours.clone();
            }
            applies
        },
    },
    Rule {
        name: "records that are no part of a question are refused",
        peers: KNOT,
        reference: "RFC 9619, RFC 6891 section 6.1.2; NSD refuses them too",
        apply: |case, pair| {
            let records = [
                "an answer in the question",
                "an authority in the question",
                "an additional record that is no OPT",
                "OPT with an owner",
            ];
            records.contains(&case.twist)
                && both(pair, |ours, theirs| is_error(ours, &[FORMERR]) && follow(ours, theirs))
        },
    },
    Rule {
        name: "octets behind the end are refused",
        peers: NSD,
        reference: "as Knot does; NSD cuts them off",
        apply: |case, pair| {
            case.twist == "octets behind the end"
                && both(pair, |ours, theirs| is_error(ours, &[FORMERR]) && follow(ours, theirs))
        },
    },
    Rule {
        name: "a malformed client subnet is refused",
        peers: BOTH,
        reference: "RFC 7871 section 7.1.2; the peers do not look at the option",
        apply: |case, pair| {
            case.twist == "a malformed client subnet"
                && both(pair, |ours, theirs| is_error(ours, &[FORMERR]) && follow(ours, theirs))
        },
    },
    Rule {
        name: "RCODE in a question means nothing",
        peers: NSD,
        reference: "RFC 1035 section 4.1.1: set in responses; Knot agrees",
        apply: |case, pair| {
            let applies =
                case.twist == "RCODE set" && pair.theirs.as_ref().is_none_or(|theirs| is_error(theirs, &[FORMERR]));
            if applies {
                pair.theirs = pair.ours.clone();
            }
            applies
        },
    },
    Rule {
        name: "no question is an error, OPT or not",
        peers: NSD,
        reference: "RFC 9619 section 4 (RFC 7873 section 5.4 excepts cookies, which we have not); Knot agrees",
        apply: |case, pair| {
            case.twist == "no question" && both(pair, |ours, theirs| is_error(ours, &[FORMERR]) && follow(ours, theirs))
        },
    },
    Rule {
        name: "NOTIFY and UPDATE are not served",
        peers: BOTH,
        reference: "RFC 1035 section 4.1.1: NOTIMP; the peers have secondaries and dynamic zones",
        apply: |case, pair| {
            matches!(case.twist, "NOTIFY" | "UPDATE")
                && both(pair, |ours, theirs| is_error(ours, &[NOTIMP]) && follow(ours, theirs))
        },
    },
    Rule {
        name: "TSIG of an unknown key is returned without a TSIG",
        peers: BOTH,
        reference: "a gap: RFC 8945 section 5.2.1 wants the error BADKEY in a TSIG of the reply, and we do not write any",
        apply: |case, pair| {
            case.twist == "TSIG of an unknown key"
                && both(pair, |ours, theirs| {
                    let applies =
                        is_error(ours, &[NOTAUTH]) && theirs.rcode == NOTAUTH && theirs.holds(ADDITIONAL, 250);
                    applies && follow(ours, theirs)
                })
        },
    },
    Rule {
        name: "how much of a question an error returns",
        peers: BOTH,
        reference: "RFC 1035 section 4.1.1 leaves it open; resolvers match replies by the question, so we return what \
                    could be read, and OPT (RFC 6891 section 7) where the peers do now and then",
        apply: |_, pair| {
            both(pair, |ours, theirs| {
                let is_bare = ours.is_empty() && theirs.is_empty() && ours.rcode == theirs.rcode && ours.rcode != 0;
                let (a, b) = (&ours.question, &theirs.question);
                let fits = a.is_empty() || b.is_empty() || a == b;
                let applies = is_bare && ours.rcode != NXDOMAIN && ours.flags == theirs.flags && fits;
                applies && follow(ours, theirs)
            })
        },
    },
];

impl Case {
    fn has_option(&self, code: u16) -> bool {
        self.ask.edns.as_ref().is_some_and(|edns| edns.options.iter().any(|option| option.0 == code))
    }
}

/// Applies `rule` where there are two replies.
fn both(pair: &mut Pair<'_>, rule: impl FnOnce(&mut Reply, &mut Reply) -> bool) -> bool {
    match (&mut pair.ours, &mut pair.theirs) {
        (Some(ours), Some(theirs)) => rule(ours, theirs),
        _ => false,
    }
}

fn drop_option(reply: &mut Reply, code: u16) -> bool {
    let Some(opt) = &mut reply.opt else { return false };
    let before = opt.options.len();
    opt.options.retain(|option| option.0 != code);
    opt.options.len() != before
}

/// Takes ours for theirs.
fn follow(ours: &mut Reply, theirs: &mut Reply) -> bool {
    *theirs = ours.clone();
    true
}

/// A reply without records and with one of these codes.
fn is_error(reply: &Reply, rcodes: &[u16]) -> bool {
    reply.is_empty() && rcodes.contains(&reply.rcode)
}

/// Ours follows a CNAME for a type that the peer says is not there.
fn is_unfollowed(ours: &mut Reply, theirs: &mut Reply) -> bool {
    let applies = (ours.holds(ANSWER, CNAME) || ours.is(TC))
        && theirs.sections[ANSWER].keys().all(|key| key.1 == DNAME || key.1 == CNAME);
    applies && theirs.holds(AUTHORITY, SOA) && follow(ours, theirs)
}

/// A reply that sends the client on.
fn is_referral(reply: &Reply) -> bool {
    !reply.is(AA) && reply.rcode == 0 && reply.sections[ANSWER].is_empty() && reply.holds(AUTHORITY, NS)
}

/// The addresses in a referral without which it leads nowhere (RFC 9471 §3.1).
fn in_domain_glue(reply: &Reply) -> Rrsets {
    let cut = reply.sections[AUTHORITY].keys().find(|key| key.1 == NS).map(|key| key.0.clone());
    let Some(cut) = cut.filter(|_| is_referral(reply)) else { return Rrsets::new() };
    let glue = reply.sections[ADDITIONAL].iter().filter(|(key, _)| key.0.ends_with(&cut));
    glue.map(|(key, set)| (key.clone(), set.clone())).collect()
}

/// The names that a reply's CNAMEs lead through, the question's own not among them; a loop ends it.
fn chain(case: &Case, reply: &Reply) -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = Vec::new();
    let mut name = case.ask.name.to_ascii_lowercase();
    while let Some(set) = reply.sections[ANSWER].get(&(name, CNAME, 1))
        && let Some((_, target)) = set.first()
        && !names.contains(target)
    {
        names.push(target.clone());
        name = target.clone();
    }
    names
}

/// A DNAME leads below itself: each hop is longer than the one before.
fn grows(reply: &Reply) -> bool {
    reply.sections[ANSWER].iter().any(|(key, set)| key.1 == DNAME && set.iter().any(|(_, data)| data.ends_with(&key.0)))
}

/// The deepest of the zones that a name is in.
fn zone_of<'o>(name: &[u8], origins: &'o [Vec<u8>]) -> Option<&'o Vec<u8>> {
    let name = name.to_ascii_lowercase();
    let mut at = 0;
    while at < name.len() {
        if let Some(origin) = origins.iter().find(|origin| origin[..] == name[at..]) {
            return Some(origin);
        }
        at += 1 + usize::from(name[at]);
    }
    None
}
