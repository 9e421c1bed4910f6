//! Bad input never replaces good state: a reload of files with an error changes nothing and says why, and
//! what was serving goes on serving.

use std::fs;
use std::path::{Path, PathBuf};

use meridian::control::{self, Control, Paths, Reloaded};
use meridian::diag::Diagnostic;
use meridian::model::Settings;

use super::common::Dice;
use super::common::message::{A, AAAA, Question, TXT};

const POLICY: &str = r"gslb:
  domain: geo.example.com
  ttl: 30
  health_check: { protocol: https, path: /health, interval: 5s, timeout: 3s, threshold: 3 }
  policies:
    default: { type: geolocation, fallback: weighted }
    beijing: { primary: a, secondary: b }
    shanghai:
      tiers:
        - { members: [b, c], method: sticky }
        - { endpoint: a, after: 20s }
  endpoints:
    a: { ip: 192.0.2.1, weight: 100, priority: 1 }
    b: { ip: [192.0.2.2, '2001:db8::2'], weight: 50 }
    c: { ip: 192.0.2.3 }
";

const ZONE: &str = "$ORIGIN example.com.\n$TTL 3600\n@ SOA ns1 hostmaster 1 7200 900 604800 600\n@ NS ns1\n\
                    ns1 A 192.0.2.53\nwww CNAME static\nstatic A 192.0.2.80\nlong TXT ( \"one\"\n  \"two\" )\n\
                    child NS ns.child\nns.child A 192.0.2.61\n";

/// A directory of good files, and the writer that serves them.
struct House {
    dir: tempfile::TempDir,
    control: Control,
    serving: Vec<Vec<u8>>,
}

impl House {
    fn new() -> House {
        let dir = tempfile::tempdir().unwrap();
        let mut paths = Paths {
            zones: dir.path().join("zones"),
            geoip: vec![dir.path().join("geoip")],
            geoip_if_present: true,
            geoip_required: false,
        };
        for path in [&paths.zones, &paths.geoip[0]] {
            fs::create_dir(path).unwrap();
        }
        for (file, content) in good() {
            fs::write(dir.path().join(file), content).unwrap();
        }
        let settings = Settings::default();
        let loaded = control::load(&paths, &settings, false);
        let base = loaded.base.unwrap_or_else(|| panic!("{:#?}", loaded.found));
        // As `serve` does: what began with a database must not go on without one.
        paths.geoip_required = loaded.has_geoip;
        let control = Control::new(paths, settings, false, &base);
        let mut house = House { dir, control, serving: Vec::new() };
        house.serving = house.answers();
        house
    }

    fn answers(&self) -> Vec<Vec<u8>> {
        let table = self.control.current();
        let mut answers = Vec::new();
        for name in
            ["geo.example.com", "www.example.com", "long.example.com", "x.child.example.com", "none.example.com"]
        {
            for rtype in [A, AAAA, TXT] {
                for client in ["127.1.0.1", "127.2.0.1", "127.9.0.1", "10.0.0.1"] {
                    answers.push(Question::new(name, rtype).ecs(client).random(1 << 62).ask_octets(&table).unwrap());
                }
            }
        }
        answers
    }

    /// Puts `content` in place of a good file, reloads, and holds the outcome to the promise. The good file
    /// is put back, and must load. Says whether the bad one was refused.
    fn try_with(&mut self, file: &str, content: &[u8]) -> (bool, Reloaded) {
        let path = self.dir.path().join(file);
        fs::write(&path, content).unwrap();
        let before = self.control.current().generation();
        let outcome = self.control.reload();
        let has_error = outcome.found.iter().any(Diagnostic::is_error);
        assert_eq!(outcome.is_new, !has_error, "{file}: {:#?}", outcome.found);
        assert_eq!(outcome.generation, self.control.current().generation());
        if has_error {
            assert_eq!(outcome.generation, before, "nothing is published");
            assert_eq!(self.answers(), self.serving, "what was serving goes on serving");
        } else {
            assert!(outcome.generation > before);
        }
        match good().into_iter().find(|(name, _)| *name == file) {
            Some((_, good)) => fs::write(&path, good).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        if !has_error {
            assert!(self.control.reload().is_new);
            assert_eq!(self.answers(), self.serving);
        }
        (has_error, outcome)
    }
}

fn good() -> Vec<(&'static str, Vec<u8>)> {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("geoip/10-sample.mmdb");
    vec![
        ("zones/geo.yaml", POLICY.into()),
        ("zones/example.com.zone", ZONE.into()),
        ("geoip/sample.mmdb", fs::read(sample).unwrap()),
    ]
}

#[test]
fn invariant_3_every_known_mistake_is_refused_with_its_place() {
    let mut house = House::new();
    let policy = |from: &str, to: &str| {
        assert!(POLICY.contains(from), "{from}");
        ("zones/geo.yaml", POLICY.replacen(from, to, 1))
    };
    let zone = |from: &str, to: &str| {
        assert!(ZONE.contains(from), "{from}");
        ("zones/example.com.zone", ZONE.replacen(from, to, 1))
    };
    let mistakes = [
        policy("domain:", "domian:"),
        policy("ttl: 30", "ttl: never"),
        policy("ttl: 30", "ttl: 99999999"),
        policy("secondary: b", "secondary: z"),
        policy("secondary: b", "secondary: a"),
        policy("beijing:", "beijng:"),
        policy("type: geolocation", "type: geographic"),
        policy("weight: 100", "weight: -1"),
        policy("ip: 192.0.2.1,", "ip: 192.0.2.256,"),
        policy("ip: 192.0.2.1,", "ip: 192.0.2.1, cname: x.test.,"),
        policy("timeout: 3s", "timeout: 6s"),
        policy("    c: {", "    b: {"),
        policy("  endpoints:", " endpoints:"),
        policy("geo.example.com", "child.example.com"),
        policy("geo.example.com", "static.example.com"),
        policy("geo.example.com", "x.child.example.com"),
        policy("  ttl: 30", "  zone: example.net"),
        policy("gslb:", "gslb: ["),
        ("zones/geo.yaml", String::new() + POLICY + POLICY),
        ("zones/more.yaml", POLICY.to_owned()),
        ("zones/more.yaml", "nothing: known\n".to_owned()),
        zone("192.0.2.80", "192.0.2"),
        zone("SOA", "SAO"),
        zone("@ NS ns1\n", ""),
        zone("( \"one\"", "( \"one"),
        zone("www CNAME static", "www CNAME static\nwww A 192.0.2.1"),
        zone("$TTL 3600", "$TTL soon"),
        zone("ns1 A", "geo A 192.0.2.9\nns1 A"),
        zone("ns1 A", "$INCLUDE no-such-file\nns1 A"),
        ("zones/other.zone", "@ 60 A 192.0.2.1\n".to_owned()),
        ("geoip/sample.mmdb", String::new()),
        ("geoip/sample.mmdb", "not a database".to_owned()),
        ("geoip/empty.mmdb", String::new()),
    ];
    for (file, content) in mistakes {
        let (is_refused, outcome) = house.try_with(file, content.as_bytes());
        assert!(is_refused, "{file} was taken: {:#?}\n{content}", outcome.found);
        let says = |found: &Diagnostic| {
            let name = Path::new(file).file_name().unwrap().to_string_lossy().into_owned();
            format!("{found:?}").contains(&name) || format!("{found:?}").contains("geo.yaml")
        };
        let errors: Vec<&Diagnostic> = outcome.found.iter().filter(|found| found.is_error()).collect();
        assert!(errors.iter().any(|error| says(error)), "{file}: which file is not said: {errors:#?}");
    }
}

#[test]
fn invariant_3_what_is_gone_is_missed_and_what_was_serving_goes_on() {
    let mut house = House::new();
    for gone in ["geoip/sample.mmdb", "geoip", "zones"] {
        let (here, away) = (house.dir.path().join(gone), house.dir.path().join("away"));
        fs::rename(&here, &away).unwrap();
        let outcome = house.control.reload();
        assert!(!outcome.is_new, "without {gone}: {:#?}", outcome.found);
        assert_eq!(house.answers(), house.serving);
        fs::rename(&away, &here).unwrap();
        assert!(house.control.reload().is_new);
    }
}

#[test]
fn invariant_3_every_corrupt_database_is_refused() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/mmdb/bad");
    let mut files: Vec<PathBuf> = fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "mmdb"));
    files.sort();
    assert!(files.len() > 20);
    let mut house = House::new();
    for file in files {
        // Refused, or read without harm: the promise is held to in either case.
        house.try_with("geoip/sample.mmdb", &fs::read(&file).unwrap());
    }
    let sample = good().pop().unwrap().1;
    for cut in [1, 64, sample.len() / 3, sample.len() / 2, sample.len() - 20] {
        let (is_refused, _) = house.try_with("geoip/sample.mmdb", &sample[..cut]);
        assert!(is_refused, "cut to {cut} octets");
    }
}

#[test]
fn invariant_3_files_that_decay_are_refused_or_harmless() {
    let dice = &mut Dice(3);
    let mut house = House::new();
    let (mut refused, mut taken) = (0, 0);
    for round in 0..240 {
        let (file, content) = &good()[round % 3];
        let mut octets = content.clone();
        for _ in 0..1 + dice.below(3) {
            let at = dice.below(octets.len());
            match dice.below(6) {
                0 => octets[at] ^= 1 << dice.below(8),
                1 => octets[at] = dice.next() as u8,
                2 => octets.truncate(at.max(1)),
                3 => drop(octets.drain(at..(at + 1 + dice.below(12)).min(octets.len()))),
                4 => {
                    let copy = octets[at..(at + 30).min(octets.len())].to_vec();
                    octets.splice(at..at, copy);
                }
                _ => {
                    let token =
                        *dice.pick(&[": ", "\n", "\"", "[", "{", "- ", "#", "\t", "(", ")", "\u{feff}", "&a *a "]);
                    octets.splice(at..at, token.bytes());
                }
            }
            if octets.is_empty() {
                octets.push(b'\n');
            }
        }
        match house.try_with(file, &octets).0 {
            true => refused += 1,
            false => taken += 1,
        }
    }
    assert!(refused > 100, "{refused} refused, {taken} taken");
}
