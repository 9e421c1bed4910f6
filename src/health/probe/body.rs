//! What a body must say.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use regex::bytes::{Regex, RegexBuilder};
use serde_json::Value;

use super::failure::Failure;
use super::words;
use crate::limits::{PROBE_BODY_INLINE_LEN, PROBE_BODY_LEN_MAX, PROBE_REGEX_LEN_MAX, PROBE_REGEXES_MAX};
use crate::model::HttpProbe;

/// Regular expressions by their text, compiled once.
#[derive(Default)]
pub(super) struct Regexes {
    compiled: Mutex<Compiled>,
}

#[derive(Default)]
struct Compiled {
    /// Each with the turn in which it was last asked for.
    by_text: HashMap<String, (u64, Arc<Regex>)>,
    turn: u64,
}

impl Regexes {
    fn of(&self, text: &str) -> Result<Arc<Regex>, Failure> {
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        compiled.turn += 1;
        let turn = compiled.turn;
        if let Some((used, regex)) = compiled.by_text.get_mut(text) {
            *used = turn;
            return Ok(Arc::clone(regex));
        }
        let regex = RegexBuilder::new(text).size_limit(PROBE_REGEX_LEN_MAX).dfa_size_limit(PROBE_REGEX_LEN_MAX).build();
        let regex = regex.map_err(|error| Failure::Blind(format!("`regex` can not be used: {error}")))?;
        let regex = Arc::new(regex);
        if compiled.by_text.len() >= PROBE_REGEXES_MAX {
            let oldest = compiled.by_text.iter().min_by_key(|(_, (used, _))| *used).map(|(text, _)| text.clone());
            oldest.and_then(|text| compiled.by_text.remove(&text));
        }
        compiled.by_text.insert(text.to_owned(), (turn, Arc::clone(&regex)));
        Ok(regex)
    }
}

/// True when the body is looked into at all.
pub(super) fn matters(probe: &HttpProbe) -> bool {
    probe.contains.is_some() || probe.regex.is_some() || !probe.json.is_empty()
}

/// Says whether the body is as expected. `is_cut`: it is longer than what was read.
pub(super) async fn judge(probe: &HttpProbe, regexes: &Regexes, body: Vec<u8>, is_cut: bool) -> Result<(), Failure> {
    let regex = probe.regex.as_deref().map(|text| regexes.of(text)).transpose()?;
    if body.len() <= PROBE_BODY_INLINE_LEN {
        return look(probe, regex.as_deref(), &body, is_cut);
    }
    let probe = probe.clone();
    let looked = tokio::task::spawn_blocking(move || look(&probe, regex.as_deref(), &body, is_cut)).await;
    looked.unwrap_or_else(|_| Err(Failure::Blind("the body could not be looked into".into())))
}

fn look(probe: &HttpProbe, regex: Option<&Regex>, body: &[u8], is_cut: bool) -> Result<(), Failure> {
    let where_ = if is_cut { format!("body, in its first {PROBE_BODY_LEN_MAX} octets,") } else { "body".to_owned() };
    if let Some(wanted) = &probe.contains
        && !contains(body, wanted.as_bytes())
    {
        return Err(Failure::Bad(format!("{where_} does not contain {}", words::quoted(wanted))));
    }
    if let (Some(regex), Some(wanted)) = (regex, &probe.regex)
        && !regex.is_match(body)
    {
        return Err(Failure::Bad(format!("{where_} does not match {}", words::quoted(wanted))));
    }
    if probe.json.is_empty() {
        return Ok(());
    }
    if is_cut {
        return Err(Failure::Bad(format!("body is longer than {PROBE_BODY_LEN_MAX} octets, too long for JSON")));
    }
    let json: Value = serde_json::from_slice(body).map_err(|error| not_json(body, &error))?;
    for (pointer, wanted) in &probe.json {
        let wanted_value: Value = serde_json::from_str(wanted)
            .map_err(|error| Failure::Blind(format!("the value expected of {pointer} is no JSON: {error}")))?;
        match json.pointer(pointer) {
            Some(value) if is_same(value, &wanted_value) => {}
            Some(value) => {
                let value = shortened(&value.to_string());
                return Err(Failure::Bad(format!("body field {pointer} is {value}, expected {wanted}")));
            }
            None => return Err(Failure::Bad(format!("body has no field {pointer}, expected {wanted}"))),
        }
    }
    Ok(())
}

fn not_json(body: &[u8], error: &serde_json::Error) -> Failure {
    if body.is_empty() {
        return Failure::Bad("body is empty, expected JSON".into());
    }
    let begins = String::from_utf8_lossy(&body[..body.len().min(64)]).into_owned();
    Failure::Bad(format!("body is not JSON ({error}): {}", words::quoted(&begins)))
}

/// 1 is 1.0; else JSON's own equality.
fn is_same(a: &Value, b: &Value) -> bool {
    a == b || matches!((a, b), (Value::Number(a), Value::Number(b)) if a.as_f64() == b.as_f64())
}

fn shortened(json: &str) -> String {
    const SHOWN: usize = 80;
    match json.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &json[..end]),
        None => json.to_owned(),
    }
}

/// True when `wanted` stands somewhere in `octets`.
pub(super) fn contains(octets: &[u8], wanted: &[u8]) -> bool {
    let Some(&first) = wanted.first() else { return true };
    let mut rest = octets;
    while let Some(at) = rest.iter().position(|&octet| octet == first) {
        rest = &rest[at..];
        if rest.starts_with(wanted) {
            return true;
        }
        rest = &rest[1..];
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wants(json: &[(&str, &str)]) -> HttpProbe {
        HttpProbe {
            json: json.iter().map(|&(pointer, value)| (pointer.into(), value.into())).collect(),
            ..HttpProbe::get("/")
        }
    }

    fn said(probe: &HttpProbe, body: &str, is_cut: bool) -> String {
        let regex = probe.regex.as_ref().map(|text| Regex::new(text).unwrap());
        match look(probe, regex.as_ref(), body.as_bytes(), is_cut) {
            Ok(()) => "good".into(),
            Err(Failure::Bad(why) | Failure::Blind(why)) => why,
        }
    }

    #[test]
    fn json_fields_are_compared_as_values() {
        let up = wants(&[("/status", "\"UP\"")]);
        assert_eq!(said(&up, r#" {"status" : "\u0055P", "groups": []}"#, false), "good");
        assert_eq!(said(&up, r#"{"status":"DOWN"}"#, false), r#"body field /status is "DOWN", expected "UP""#);
        assert_eq!(said(&up, r#"{"state":"UP"}"#, false), r#"body has no field /status, expected "UP""#);
        assert_eq!(said(&up, "", false), "body is empty, expected JSON");
        assert!(
            said(&up, "<html>", false).starts_with("body is not JSON (expected value at line 1 column 1): \"<html>")
        );
        assert_eq!(said(&up, "{}", true), "body is longer than 262144 octets, too long for JSON");
        let deep = wants(&[("/a~1b/1/n", "1"), ("", r#"{"a/b":[0,{"n":1.0}]}"#)]);
        assert!(said(&deep, r#"{"a/b":[0,{"n":1.0}]}"#, false) == "good");
        assert_eq!(said(&deep, r#"{"a/b":[0,{"n":true}]}"#, false), "body field /a~1b/1/n is true, expected 1");
        let bomb = "[".repeat(200_000);
        assert!(said(&up, &bomb, false).contains("recursion limit"), "nesting costs no stack");
    }

    #[test]
    fn text_and_regular_expressions_are_looked_for_in_octets() {
        let text = HttpProbe { contains: Some("ready".into()), ..wants(&[]) };
        assert_eq!(said(&text, "not rrready", false), "good");
        assert_eq!(said(&text, "read", false), "body does not contain \"ready\"");
        assert_eq!(said(&text, "", true), "body, in its first 262144 octets, does not contain \"ready\"");
        let regex = HttpProbe { regex: Some("(?i)lag: [0-9]+ ms".into()), ..wants(&[]) };
        assert_eq!(said(&regex, "\u{ff}LAG: 12 ms", false), "good");
        assert_eq!(said(&regex, "lag: ? ms", false), "body does not match \"(?i)lag: [0-9]+ ms\"");
    }

    #[test]
    fn regular_expressions_are_compiled_once_and_bounded() {
        let regexes = Regexes::default();
        let one = regexes.of("a+").unwrap();
        assert!(Arc::ptr_eq(&one, &regexes.of("a+").unwrap()));
        assert!(matches!(regexes.of(r"\w{1000}{1000}"), Err(Failure::Blind(_))), "too large");
        for at in 0..PROBE_REGEXES_MAX + 5 {
            regexes.of(&format!("b{at}")).unwrap();
            regexes.of("a+").unwrap();
        }
        assert_eq!(regexes.compiled.lock().unwrap().by_text.len(), PROBE_REGEXES_MAX);
        assert!(Arc::ptr_eq(&one, &regexes.of("a+").unwrap()), "what is in use stays");
    }
}
