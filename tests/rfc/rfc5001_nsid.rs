//! RFC 5001, the name server identifier.

use super::common::message::*;
use super::{table, table_with};
use meridian::model::Settings;

#[test]
fn section_2_1_nsid_is_given_to_who_asks_when_there_is_one() {
    let settings = Settings { nsid: Some(Box::from(*b"ns1.bj")), ..Settings::default() };
    let named = table_with(&settings);
    for name in ["geo.example.com", "nothing.example.com", "elsewhere.test"] {
        let asked = Question::new(name, A).option(OPTION_NSID, []);
        assert_eq!(asked.ask(&named).option(OPTION_NSID), Some(&b"ns1.bj"[..]), "{name}");
        assert_eq!(asked.ask(&table()).option(OPTION_NSID), None, "none is configured");
        assert_eq!(Question::new(name, A).edns().ask(&named).option(OPTION_NSID), None, "nobody asked");
        assert_eq!(Question::new(name, A).ask(&named).opt, None);
    }
    // Whatever a client sends along is ignored.
    let chatty = Question::new("geo.example.com", A).option(OPTION_NSID, *b"hello");
    assert_eq!(chatty.ask(&named).option(OPTION_NSID), Some(&b"ns1.bj"[..]));
    // Beside a subnet.
    let both = Question::new("geo.example.com", A).option(OPTION_NSID, []).ecs("10.1.0.0/16").ask(&named);
    assert_eq!((both.option(OPTION_NSID).is_some(), both.scope()), (true, Some(16)));
}
