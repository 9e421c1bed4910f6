//! What the RFCs ask of an answer, section by section, over the whole answer path: octets in, octets out,
//! services and static data side by side.
//!
//! What a message must look like is tested beside `wire`, where names lead beside `zone`; here stands what
//! only shows when both meet.

#[path = "../common/mod.rs"]
mod common;

mod chaos_rfc4892;
mod debug_txt;
mod rfc1034_lookup;
mod rfc2308_negative;
mod rfc5001_nsid;
mod rfc6672_dname;
mod rfc6891_edns;
mod rfc7871_ecs;
mod rfc8482_any;
mod rfc8914_ede;
mod rfc9460_https;
mod rfc9471_glue;

use common::Texts;
use meridian::model::Settings;
use meridian::table::RoutingTable;

/// A zone with one of everything.
const ZONE: &str = r#"
$TTL 3600
@         SOA  ns1 hostmaster 2024010100 7200 900 604800 600
@         NS   ns1
@         NS   ns2
@         MX   10 mail
@         TXT  "apex"
ns1       A    192.0.2.53
ns1       AAAA 2001:db8::53
ns2       A    192.0.2.54
mail      A    192.0.2.25
static    A    192.0.2.80
static    AAAA 2001:db8::80
static    TXT  "static"
www       CNAME static
twice     CNAME www
to-geo    CNAME geo
away      CNAME www.elsewhere.test.
dangling  CNAME nothing
loop1     CNAME loop2
loop2     CNAME loop1
self      CNAME self
*.round   CNAME y.round
dloop     DNAME dloop
circle1   DNAME circle2
circle2   DNAME circle1
*.wild    A    192.0.2.99
*.wild    TXT  "wild"
here.wild A    192.0.2.98
a.deep    A    192.0.2.97
*.self    CNAME again.self
inward    DNAME x.inward
old       DNAME static
oldgeo    DNAME geo
child     NS   ns.child
child     NS   ns.far.test.
child     DS   12345 13 2 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
ns.child  A    192.0.2.61
ns.child  AAAA 2001:db8::61
_s._tcp   SRV  1 2 443 static
"#;

const POLICIES: [&str; 5] = [
    r"
gslb:
  domain: geo.example.com
  health_check: { protocol: https }
  policies:
    default: { type: geolocation }
    beijing: { primary: a }
    shanghai: { primary: b }
  endpoints:
    a: { ip: [192.0.2.1, 2001:db8::1] }
    b: { ip: 192.0.2.2 }
",
    r"
gslb:
  domain: even.example.com
  policies: { default: { type: weighted } }
  endpoints: { a: { ip: 192.0.2.11 }, b: { ip: 192.0.2.12 } }
",
    r"
gslb:
  domain: sticky.example.com
  policies: { default: { type: sticky } }
  endpoints: { a: { ip: 192.0.2.21 }, b: { ip: 192.0.2.22 } }
",
    r#"
gslb:
  domain: "*.any.example.com"
  policies:
    default: { type: geolocation }
    beijing: { primary: a }
  endpoints: { a: { ip: 192.0.2.31 }, b: { ip: 192.0.2.32 } }
"#,
    r"
gslb:
  domain: cdn.example.com
  policies:
    default: { type: geolocation }
    beijing: { primary: a }
  endpoints: { a: { cname: geo.example.com. }, b: { cname: static.example.com. } }
",
];

fn texts() -> Texts {
    let texts = Texts::policy(POLICIES[0]).and_zone("example.com", ZONE);
    POLICIES[1..].iter().fold(texts, |texts, policy| texts.and_policy(policy))
}

fn table() -> RoutingTable {
    texts().table()
}

fn table_with(settings: &Settings) -> RoutingTable {
    common::all_up(&texts().base_with(settings))
}
