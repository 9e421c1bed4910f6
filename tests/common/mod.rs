//! What the proofs share: a table from text, a question as octets, a reply taken apart.
//!
//! Nothing here uses the program's own codec: questions are written and replies are read by the few lines
//! of `message`, after RFC 1035 and RFC 6891, so that a mistake in `wire` cannot hide behind itself.

#![allow(dead_code, reason = "each test program uses a part")]

pub(crate) mod message;

use std::sync::Arc;

use meridian::config::{self, SourceFile};
use meridian::diag::Diagnostic;
use meridian::geo::Atlas;
use meridian::model::{Facts, Generation, Name, ServiceIx, Settings};
use meridian::table::{Base, Files, RoutingTable};
use meridian::zone;

/// Networks whose places every proof may use. No database is read.
pub(crate) const GEOGRAPHY: &str = r#"
networks:
  10.1.0.0/16: { country: CN, subdivision: CN-BJ, city: Beijing, asn: 4847, isp: China Telecom, latitude: 39.9, longitude: 116.4 }
  10.2.0.0/16: { country: CN, subdivision: CN-SH, city: Shanghai, asn: 4812, isp: China Telecom, latitude: 31.2, longitude: 121.5 }
  10.3.0.0/16: { country: CN, subdivision: CN-GD, city: Guangzhou, asn: 56040, isp: China Mobile, latitude: 23.1, longitude: 113.3 }
  10.4.0.0/16: { country: US, subdivision: US-CA, city: San Francisco, asn: 64500, isp: Example Net, latitude: 37.8, longitude: -122.4 }
  10.5.0.0/16: { country: DE, subdivision: DE-HE, city: Frankfurt, asn: 64501, isp: Beispiel Netz, latitude: 50.1, longitude: 8.7 }
  10.6.0.0/16: { country: SG, city: Singapore, asn: 64502, isp: Example Asia, latitude: 1.4, longitude: 103.8 }
  10.7.0.0/16: { country: CN, subdivision: CN-BJ, city: Beijing, asn: 4808, isp: China Unicom, latitude: 39.9, longitude: 116.4 }
  10.8.128.0/18: { country: JP, city: Tokyo, asn: 64503, isp: Example Nippon, latitude: 35.7, longitude: 139.7 }
  2001:db8:1::/48: { country: CN, subdivision: CN-BJ, city: Beijing, asn: 4847, isp: China Telecom, latitude: 39.9, longitude: 116.4 }
  2001:db8:2::/48: { country: CN, subdivision: CN-SH, city: Shanghai, asn: 4812, isp: China Telecom, latitude: 31.2, longitude: 121.5 }
  2001:db8:4::/48: { country: US, subdivision: US-CA, city: San Francisco, asn: 64500, isp: Example Net, latitude: 37.8, longitude: -122.4 }
"#;

/// Files as text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Texts {
    /// Policy files: name and content.
    pub(crate) policies: Vec<(String, String)>,
    /// Master files: origin and content.
    pub(crate) zones: Vec<(String, String)>,
    /// Refuse services of their own zone when the settings name no server.
    pub(crate) ns_required: bool,
}

impl Texts {
    /// One policy file, beside the shared geography.
    pub(crate) fn policy(text: &str) -> Texts {
        Texts::default().and_policy(GEOGRAPHY).and_policy(text)
    }

    /// One more policy file.
    pub(crate) fn and_policy(mut self, text: &str) -> Texts {
        self.policies.push((format!("{}.yaml", self.policies.len()), text.to_owned()));
        self
    }

    /// One more master file.
    pub(crate) fn and_zone(mut self, origin: &str, text: &str) -> Texts {
        self.zones.push((origin.to_owned(), text.to_owned()));
        self
    }

    /// Joins them, as `control::load` does with files.
    pub(crate) fn load(&self, settings: &Settings) -> (Option<Arc<Base>>, Vec<Diagnostic>) {
        let files: Vec<SourceFile> =
            self.policies.iter().map(|(name, text)| SourceFile::new(name, text.as_bytes())).collect();
        let (atlas, _) = Atlas::load(Vec::new(), &[]);
        let atlas = Arc::new(atlas);
        let (policy, _, mut found) = config::load_policies(&files, &*atlas, settings);
        let atlas = atlas.with_networks(&policy.networks);
        let mut zones = Vec::new();
        for (origin, text) in &self.zones {
            let name = Name::parse(origin).unwrap();
            let (parsed, more) =
                zone::parse(&format!("{origin}.zone"), text.as_bytes(), &name, &mut |_| Err("no such file".into()));
            found.extend(more);
            zones.push(parsed);
        }
        let is_good = !found.iter().any(Diagnostic::is_error);
        let files = Files { policy, zones, atlas, settings: settings.clone(), ns_required: self.ns_required };
        let (base, more) = Base::build(files);
        found.extend(more);
        (base.filter(|_| is_good), found)
    }

    /// The base, which must be good.
    #[track_caller]
    pub(crate) fn base_with(&self, settings: &Settings) -> Arc<Base> {
        let (base, found) = self.load(settings);
        let errors: Vec<&Diagnostic> = found.iter().filter(|found| found.is_error()).collect();
        base.unwrap_or_else(|| panic!("{self:#?} is refused: {errors:#?}"))
    }

    /// The base, with the settings that hold without a configuration.
    #[track_caller]
    pub(crate) fn base(&self) -> Arc<Base> {
        self.base_with(&Settings::default())
    }

    /// A table in which everything is up.
    #[track_caller]
    pub(crate) fn table(&self) -> RoutingTable {
        all_up(&self.base())
    }
}

/// A table in which everything is up.
pub(crate) fn all_up(base: &Arc<Base>) -> RoutingTable {
    RoutingTable::compile(base, Arc::new(Facts::all_up()), Generation(1))
}

/// The service of that name.
#[track_caller]
pub(crate) fn service(base: &Base, name: &str) -> ServiceIx {
    base.service_named(&Name::parse(name).unwrap()).unwrap_or_else(|| panic!("no service {name}"))
}

/// Numbers for tests: SplitMix64, the same on every run.
#[derive(Clone, Debug)]
pub(crate) struct Dice(pub u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// A number below `n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// True once in `n`.
    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}
