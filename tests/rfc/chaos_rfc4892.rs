//! RFC 4892: questions about the server itself, in class CHAOS.

use super::common::message::*;
use super::{table, table_with};
use meridian::model::Settings;

#[test]
fn what_is_configured_is_told_and_nothing_else() {
    let settings = Settings { version: Some("Meridian".into()), server_id: Some("bj-1".into()), ..Settings::default() };
    let open = table_with(&settings);
    for (name, text) in [
        ("version.bind", "Meridian"),
        ("version.server", "Meridian"),
        ("VERSION.BIND", "Meridian"),
        ("id.server", "bj-1"),
        ("hostname.bind", "bj-1"),
    ] {
        let reply = Question::new(name, TXT).class(3).ask(&open);
        assert_eq!((reply.rcode, reply.texts()), (NOERROR, vec![text]), "{name}");
        let record = &reply.answers[0];
        assert_eq!((record.class, record.ttl, reply.is_authoritative()), (3, 0, false));
        assert_eq!(Question::new(name, TXT).class(3).ask(&table()).rcode, REFUSED, "{name}: not configured");
        assert_eq!(Question::new(name, TXT).ask(&open).rcode, REFUSED, "{name}: in class IN it is nobody's");
    }
    for name in ["authors.bind", "bind", "geo.example.com"] {
        assert_eq!(Question::new(name, TXT).class(3).ask(&open).rcode, REFUSED, "{name}");
    }
    assert_eq!(Question::new("version.bind", A).class(3).ask(&open).rcode, REFUSED, "as NSD and Knot do");
}
