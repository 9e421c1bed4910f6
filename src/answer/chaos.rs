//! Questions about the server itself, in class CHAOS. Every other class but IN is refused.

use crate::model::Settings;
use crate::wire::types::{class, rcode, rtype};
use crate::wire::{Owner, Query, Section, Writer};

/// Answers `version.bind.`, `version.server.`, `id.server.` and `hostname.bind.` (RFC 4892) as configured.
/// Types other than TXT are refused like names that we do not have, as NSD and Knot do: CHAOS has no zone whose
/// SOA could say that there is no data. For the same reason AA stays clear.
pub(super) fn answer(query: &Query<'_>, settings: &Settings, writer: &mut Writer<'_>) {
    let text = match query.qname().as_wire() {
        _ if query.qclass() != class::CH || !matches!(query.qtype(), rtype::TXT | rtype::ANY) => None,
        b"\x07version\x04bind\0" | b"\x07version\x06server\0" => settings.version.as_deref(),
        b"\x02id\x06server\0" | b"\x08hostname\x04bind\0" => settings.server_id.as_deref(),
        _ => None,
    };
    let Some(text) = text else {
        writer.set_rcode(rcode::REFUSED);
        return;
    };
    let text = &text.as_bytes()[..text.len().min(255)];
    let mut rdata = [0; 256];
    rdata[0] = text.len() as u8; // at most 255, see above
    rdata[1..=text.len()].copy_from_slice(text);
    let rdata = &rdata[..=text.len()];
    if writer.record(Section::Answer, Owner::Question, rtype::TXT, class::CH, 0, rdata).is_err() {
        writer.truncate();
    }
}
