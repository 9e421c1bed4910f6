//! RFC 9471: glue that is needed to reach the delegation is in the referral, or TC is set.

use super::common::Texts;
use super::common::message::*;

#[test]
fn section_3_in_domain_glue_that_does_not_fit_sets_tc() {
    let mut zone = String::from("$TTL 60\n@ SOA ns1 h 1 2 3 4 5\n@ NS ns1\nns1 A 192.0.2.53\n");
    // Each server adds two addresses of glue: with enough of them 512 octets are not enough.
    for count in 1..=13 {
        for at in 0..count {
            zone.push_str(&format!("d{count:02} NS ns{at:02}.d{count:02}\n"));
            zone.push_str(&format!(
                "ns{at:02}.d{count:02} A 192.0.2.{at}\nns{at:02}.d{count:02} AAAA 2001:db8::{at}\n"
            ));
            zone.push_str(&format!("s{count:02} NS ns{at:02}.d{count:02}\n"));
        }
    }
    let table = Texts::policy("").and_zone("example.com", &zone).table();
    let (mut cut, mut fit) = (0, 0);
    for count in 1..=13 {
        let in_domain = Question::new(&format!("x.d{count:02}.example.com"), A);
        let reply = in_domain.ask(&table);
        let whole = in_domain.clone().tcp().ask(&table);
        assert_eq!(whole.additionals.len(), 2 * count);
        assert_eq!(reply.is_truncated(), whole.len > 512, "{count} servers");
        cut += usize::from(reply.is_truncated());
        fit += usize::from(!reply.is_truncated());
        // The same servers as siblings' glue: as much as fits, and never TC for it.
        let sibling = Question::new(&format!("x.s{count:02}.example.com"), A).ask(&table);
        assert_eq!(sibling.authorities.len(), count);
        assert!(!sibling.is_truncated() && sibling.len <= 512, "{count} sibling servers");
        assert!(!sibling.additionals.is_empty());
    }
    assert!(cut > 0 && fit > 0);
}
