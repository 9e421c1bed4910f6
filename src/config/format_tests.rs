//! The formats as a whole: schema, documentation and reader say the same, and no input does harm.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::form::Form;
use super::policy::testing::{REFERENCE, assert_whole, load};
use super::report::Report;
use super::server::ServerSpec;
use super::source::SourceFile;
use super::yaml::{self, Kind, Node};
use super::{load_server, policy_schema, server_schema};
use crate::diag::{Diagnostic, Format, render};

const POLICY_DOC: &str = include_str!("../../docs/policy.md");
const CONFIG_DOC: &str = include_str!("../../docs/config.md");

/// The YAML examples of a page, with the line where each begins.
fn examples(page: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (at, line) in page.lines().enumerate() {
        match (&mut open, line) {
            (None, "```yaml") => open = Some((at + 1, String::new())),
            (Some(_), "```") => found.extend(open.take()),
            (Some((_, text)), line) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, _) => {}
        }
    }
    found
}

fn tree(text: &str) -> std::rc::Rc<Node> {
    let mut report = Report::default();
    let file = report.sources.add(&SourceFile::new("a.yaml", text)).unwrap();
    yaml::parse(file, &mut report).unwrap()
}

/// A node as an editor's YAML reader sees it (YAML 1.2 core schema).
fn as_json(node: &Node) -> Value {
    match &node.kind {
        Kind::Scalar { .. } if node.is_null() => Value::Null,
        Kind::Scalar { text, plain: true } => match &**text {
            "true" => true.into(),
            "false" => false.into(),
            text => match (text.parse::<i64>(), text.parse::<f64>()) {
                (Ok(number), _) => number.into(),
                (_, Ok(number)) if number.is_finite() && text.starts_with(|c: char| c.is_ascii_digit() || c == '-') => {
                    number.into()
                }
                _ => text.into(),
            },
        },
        Kind::Scalar { text, plain: false } => (**text).into(),
        Kind::List(items) => items.iter().map(|item| as_json(item)).collect(),
        Kind::Mapping(entries) => {
            let pair = |(key, value): &(Node, std::rc::Rc<Node>)| match &key.kind {
                Kind::Scalar { text, .. } => (text.to_string(), as_json(value)),
                Kind::List(_) | Kind::Mapping(_) => unreachable!("keys are scalars"),
            };
            Value::Object(entries.iter().map(pair).collect())
        }
    }
}

/// As much of JSON Schema as our schemas use; anything else in them fails the test.
fn accepts(schema: &Value, root: &Value, value: &Value) -> bool {
    let Value::Object(schema) = schema else { return schema == &json!(true) };
    schema.iter().all(|(keyword, rule)| match keyword.as_str() {
        "description" | "default" | "$schema" | "title" | "$defs" => true,
        "$ref" => accepts(root.pointer(rule.as_str().unwrap().strip_prefix('#').unwrap()).unwrap(), root, value),
        "type" => {
            let one = |name: &Value| match name.as_str().unwrap() {
                "object" => value.is_object(),
                "array" => value.is_array(),
                "string" => value.is_string(),
                "boolean" => value.is_boolean(),
                "null" => value.is_null(),
                "number" => value.is_number(),
                "integer" => value.is_i64() || value.is_u64(),
                other => panic!("type {other}"),
            };
            rule.as_array().map_or_else(|| one(rule), |names| names.iter().any(one))
        }
        "properties" => rule
            .as_object()
            .unwrap()
            .iter()
            .all(|(name, rule)| value.get(name).is_none_or(|value| accepts(rule, root, value))),
        "additionalProperties" => value.as_object().is_none_or(|object| {
            let known = schema.get("properties").and_then(Value::as_object);
            object
                .iter()
                .all(|(name, value)| known.is_some_and(|known| known.contains_key(name)) || accepts(rule, root, value))
        }),
        "required" => rule.as_array().unwrap().iter().all(|name| value.get(name.as_str().unwrap()).is_some()),
        "items" => value.as_array().is_none_or(|items| items.iter().all(|item| accepts(rule, root, item))),
        "anyOf" => rule.as_array().unwrap().iter().any(|rule| accepts(rule, root, value)),
        "oneOf" => rule.as_array().unwrap().iter().filter(|rule| accepts(rule, root, value)).count() == 1,
        "enum" => rule.as_array().unwrap().contains(value),
        "const" => rule == value,
        "minimum" => value.as_f64().is_none_or(|value| value >= rule.as_f64().unwrap()),
        "maximum" => value.as_f64().is_none_or(|value| value <= rule.as_f64().unwrap()),
        "minLength" => value.as_str().is_none_or(|text| text.chars().count() as u64 >= rule.as_u64().unwrap()),
        // Patterns are for editors; the reader's own tests cover what they say.
        "pattern" => true,
        other => panic!("keyword {other}"),
    })
}

fn errors(found: &[Diagnostic]) -> String {
    render(found, Format::Text { colour: false })
}

#[test]
fn the_schemas_in_docs_are_the_ones_that_are_printed() {
    for (path, schema) in [("docs/policy.schema.json", policy_schema()), ("docs/config.schema.json", server_schema())] {
        let printed = format!("{:#}\n", schema);
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/").to_owned() + path;
        if std::env::var_os("MERIDIAN_BLESS").is_some() {
            std::fs::write(&path, &printed).unwrap();
        }
        let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(checked_in == printed, "{path} has drifted: run this test with MERIDIAN_BLESS=1");
    }
}

/// Every mapping of `schema`, as the path of fields that leads to it and the fields that it has.
fn mappings(schema: &Value) -> Vec<(&str, &serde_json::Map<String, Value>)> {
    let defs = schema["$defs"].as_object().unwrap();
    defs.iter().map(|(name, def)| (name.as_str(), def["properties"].as_object().unwrap())).collect()
}

/// What the reader of one mapping says to a field.
type Probe = fn(&Node, &mut Report);

fn probe<T: Form>(node: &Node, report: &mut Report) {
    T::read(node, report);
}

macro_rules! readers {
    ($($spec:ident),+ $(,)?) => { [$((
        stringify!($spec).strip_suffix("Spec").unwrap(),
        &$spec::TABLE,
        probe::<$spec> as Probe,
    )),+] };
}

#[test]
fn every_field_of_the_schema_is_read_and_every_field_read_is_in_the_schema() {
    use super::api::{ApiSpec, ApiTlsSpec, GrantSpec};
    use super::check_spec::{HealthCheckSpec, TlsSpec};
    use super::health::{HealthSpec, NodeSpec};
    use super::orders::{OrdersSpec, ServiceOrdersSpec};
    use super::server::{DebugSpec, DnsSpec, DotSpec, EcsSpec, TcpSpec};
    use super::spec::*;
    let readers = readers![
        FileSpec,
        ServiceSpec,
        PoliciesSpec,
        DefaultSpec,
        RegionPolicySpec,
        PoolSpec,
        EndpointSpec,
        CombinationSpec,
        HealthCheckSpec,
        TlsSpec,
        HttpsSpec,
        DatacenterSpec,
        TermsSpec,
        NetworkSpec,
        TestSpec,
        ExpectSpec,
        ServerSpec,
        DnsSpec,
        TcpSpec,
        DotSpec,
        EcsSpec,
        DebugSpec,
        NodeSpec,
        HealthSpec,
        OrdersSpec,
        ServiceOrdersSpec,
        ApiSpec,
        ApiTlsSpec,
        GrantSpec,
    ];
    let (policy, server) = (policy_schema(), server_schema());
    let mut mappings: Vec<_> = mappings(&policy).into_iter().chain(mappings(&server)).collect();
    mappings.sort_by_key(|(name, _)| *name);
    mappings.dedup_by_key(|(name, _)| *name);
    assert_eq!(mappings.len(), readers.len());
    for (name, properties) in mappings {
        let (_, table, read) = readers.iter().find(|(reader, ..)| *reader == name).expect(name);
        let known: Vec<&str> = table.fields.iter().map(super::form::Field::name).collect();
        let listed: Vec<&str> = properties.keys().map(String::as_str).collect();
        assert_eq!(known, listed, "{name}");
        let said = |field: &str| {
            let mut report = Report::default();
            let text = format!("{field}: {{nonsense: {{}}}}\n");
            let file = report.sources.add(&SourceFile::new("a.yaml", text)).unwrap();
            let node = yaml::parse(file, &mut report).unwrap();
            read(&node, &mut report);
            let found = report.finish();
            found.iter().any(|found| found.code == "unknown-field" && found.message.ends_with(&format!("`{field}`")))
        };
        for field in listed {
            assert!(!said(field), "{name} does not read `{field}`");
        }
        assert!(name == "Policies" || said("surely_not_a_field"), "{name}");
    }
}

#[test]
fn defaults_are_values_that_the_field_takes() {
    // The reader reports a default that it does not take.
    let (policies, _, found) = load(&[(
        "a.yaml",
        "gslb:\n  domain: a.example\n  health_check: {protocol: http}\n  policies: {default: {type: priority}}\n  endpoints: {a: {ip: 192.0.2.1}}\n",
    )]);
    assert!(found.is_empty(), "{}", errors(&found));
    assert_eq!(policies.services[0].ttl, crate::model::Ttl::DEFAULT);
    for schema in [policy_schema(), server_schema()] {
        for (name, properties) in mappings(&schema) {
            for (field, rule) in properties {
                if let Some(default) = rule.get("default") {
                    assert!(accepts(rule, &schema, default), "{name}.{field}");
                }
            }
        }
    }
}

#[test]
fn every_example_of_the_documentation_loads() {
    let found = examples(POLICY_DOC);
    assert!(found.len() >= 14, "{}", found.len());
    let schema = policy_schema();
    for (line, text) in &found {
        // What examples share stands in the first one, as it would in a file of its own.
        let shared = ("shared.yaml", found[0].1.as_str());
        let files = if *line == found[0].0 { vec![shared] } else { vec![shared, ("example.yaml", text.as_str())] };
        let (policies, _, mut diagnostics) = load(&files);
        // The shared checks are there for all examples, and none uses them all.
        diagnostics.retain(|found| found.code != "unused-check");
        assert!(diagnostics.is_empty(), "docs/policy.md:{line}\n{}", errors(&diagnostics));
        assert_whole(&policies);
        assert!(accepts(&schema, &schema, &as_json(&tree(text))), "docs/policy.md:{line} against the schema");
    }
    let schema = server_schema();
    for (line, text) in examples(CONFIG_DOC) {
        let (_, diagnostics) = load_server(&SourceFile::new("meridian.yaml", text.as_str()));
        assert!(diagnostics.is_empty(), "docs/config.md:{line}\n{}", errors(&diagnostics));
        assert!(accepts(&schema, &schema, &as_json(&tree(&text))), "docs/config.md:{line} against the schema");
    }
}

#[test]
fn the_documentation_knows_every_field_and_every_code() {
    for (schema, page) in [(policy_schema(), POLICY_DOC), (server_schema(), CONFIG_DOC)] {
        for (name, properties) in mappings(&schema) {
            for field in properties.keys() {
                assert!(page.contains(&format!("`{field}`")), "{name}.{field} is not documented");
            }
        }
    }
    let sources = [
        include_str!("api.rs"),
        include_str!("dir.rs"),
        include_str!("form.rs"),
        include_str!("health.rs"),
        include_str!("net.rs"),
        include_str!("report.rs"),
        include_str!("request.rs"),
        include_str!("scalar.rs"),
        include_str!("server.rs"),
        include_str!("source.rs"),
        include_str!("words.rs"),
        include_str!("yaml.rs"),
        include_str!("policy/checks.rs"),
        include_str!("policy/datacenters.rs"),
        include_str!("policy/follows.rs"),
        include_str!("policy/mod.rs"),
        include_str!("policy/pools.rs"),
        include_str!("policy/probes.rs"),
        include_str!("policy/regions.rs"),
        include_str!("policy/routes.rs"),
        include_str!("policy/services.rs"),
        include_str!("policy/tests_section.rs"),
        include_str!("policy/watching.rs"),
    ];
    let mut codes = 0;
    for source in sources {
        let source = source.split("#[cfg(test)]").next().unwrap();
        for opening in [
            "Diagnostic::error(",
            "Diagnostic::warning(",
            "Refusal::new(",
            "refuse(node, ",
            "defined_twice(report, ",
            "code: ",
        ] {
            for after in source.split(opening).skip(1) {
                let Some(code) = after.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next()) else {
                    continue;
                };
                codes += 1;
                assert!(POLICY_DOC.contains(&format!("`{code}`")), "{code} is not documented");
            }
        }
    }
    assert!(codes > 80, "{codes}");
}

#[test]
fn the_documentation_says_which_protocol_takes_which_field() {
    use super::policy::probes::FIELDS;
    let table = POLICY_DOC.split("| field | type | default | for | meaning |").nth(1).unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let documented: Vec<(String, String)> = rows
        .map(|row| row.split(" | ").map(|cell| cell.trim_matches(['|', ' ', '`']).to_owned()).collect::<Vec<_>>())
        .filter(|cells| cells[0] != "protocol")
        .map(|cells| (cells[0].clone(), cells[3].clone()))
        .collect();
    let words = |taken: &super::policy::probes::Taken| {
        taken.by.iter().map(|protocol| protocol.as_str()).collect::<Vec<_>>().join(", ")
    };
    let known: Vec<(String, String)> = FIELDS.iter().map(|taken| (taken.field.to_owned(), words(taken))).collect();
    assert_eq!(documented, known);
}

/// A file in which much is used.
fn seed(which: usize) -> String {
    let examples = examples(POLICY_DOC);
    let all: Vec<String> =
        std::iter::once(REFERENCE.to_owned()).chain(examples.into_iter().map(|(_, text)| text)).collect();
    all[which % all.len()].clone()
}

/// Pieces that YAML and the format care about.
const PIECES: [&str; 28] = [
    "",
    " ",
    "\n",
    "  ",
    "\t",
    ":",
    ": ",
    "- ",
    "{",
    "}",
    "[",
    "]",
    ",",
    "&a ",
    "*a",
    "!!str ",
    "'",
    "\"",
    "|",
    ">",
    "#",
    "---\n",
    "0",
    "-1",
    "99999999999999999999",
    "null",
    "dc1_beijing_primary",
    "\u{feff}",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_file_does_no_harm(
        which in 0usize..40,
        damage in prop::collection::vec((any::<prop::sample::Index>(), 0usize..12, 0usize..PIECES.len()), 1..6),
    ) {
        let mut text: Vec<char> = seed(which).chars().collect();
        for (at, removed, piece) in damage {
            let at = at.index(text.len() + 1);
            let end = (at + removed).min(text.len());
            text.splice(at..end, PIECES[piece].chars());
        }
        let text: String = text.into_iter().collect();
        let (policies, _, found) = load(&[("a.yaml", &text), ("reference.yaml", REFERENCE)]);
        assert_whole(&policies);
        for format in [Format::Text { colour: false }, Format::Json, Format::Github] {
            render(&found, format);
        }
        load_server(&SourceFile::new("a.yaml", text.as_str()));
    }

    #[test]
    fn exchanged_values_do_no_harm(
        which in 0usize..40,
        swaps in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..4),
    ) {
        let text = seed(which);
        let mut words: Vec<&str> = text.split_inclusive([' ', '\n']).collect();
        for (a, b) in swaps {
            let (a, b) = (a.index(words.len()), b.index(words.len()));
            words.swap(a, b);
        }
        let (policies, ..) = load(&[("a.yaml", &words.concat())]);
        assert_whole(&policies);
    }

    #[test]
    fn any_octets_do_no_harm(octets in prop::collection::vec(any::<u8>(), 0..200)) {
        let file = SourceFile::new("a.yaml", octets);
        let (policies, ..) = super::load_policies(
            std::slice::from_ref(&file), &super::policy::testing::FewPlaces, &crate::model::Settings::default(),
        );
        assert_whole(&policies);
        load_server(&file);
    }
}
#[test]
fn repetition_does_no_harm() {
    let pieces = [
        "[",
        "{a: ",
        "- ",
        "? ",
        "a: b: ",
        "'",
        "\"\\x41",
        "&a ",
        "*a ",
        "!!str ",
        "a\n",
        "# x\n",
        "a: {b: c}, ",
        "x, ",
        "|\n ",
        "%",
        "\t",
        "--- a\n",
        "a:\n ",
        "\r",
        "- a\n",
        "[a],",
        "[]: ",
    ];
    for piece in pieces {
        for begin in ["", "[", "gslb:\n  domain: ", "regions: {a: ["] {
            let text = format!("{begin}{}", piece.repeat(20_000 / piece.len()));
            let (policies, _, found) = load(&[("a.yaml", &text)]);
            assert_whole(&policies);
            assert!(render(&found, Format::Text { colour: false }).len() < 1 << 20);
        }
    }
}
