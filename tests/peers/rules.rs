//! Why we differ.

use crate::daemon::Peer;
use crate::message::Reply;
use crate::question::Case;

/// Two replies to one question.
pub(crate) struct Pair {
    pub(crate) peer: Peer,
    pub(crate) ours: Option<Reply>,
    pub(crate) theirs: Option<Reply>,
}

/// One reason.
pub(crate) struct Rule {
    pub(crate) name: &'static str,
    pub(crate) peers: &'static [Peer],
    pub(crate) reference: &'static str,
    pub(crate) apply: fn(&Case, &mut Pair),
}

pub(crate) const RULES: &[Rule] = &[];
