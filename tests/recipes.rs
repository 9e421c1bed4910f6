//! Recipes of the documentation do what they say.

use std::fs;
use std::path::Path;

use meridian::config::{self, SourceFile};
use meridian::diag::Diagnostic;
use meridian::geo::Atlas;
use meridian::health;
use meridian::model::{CheckIx, PolicySet, Settings, State};

/// The YAML examples of `docs/policy.md`: the one that the others share, and the first below `heading`.
fn recipe(heading: &str) -> PolicySet {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/policy.md")).unwrap();
    let example = |text: &str| text.split("```yaml\n").nth(1).unwrap().split("```\n").next().unwrap().to_owned();
    let below = page.split(&format!("### {heading}\n")).nth(1).unwrap_or_else(|| panic!("no {heading:?}"));
    let files = [SourceFile::new("shared.yaml", example(&page)), SourceFile::new("recipe.yaml", example(below))];
    let (atlas, _) = Atlas::load(Vec::new(), &[]);
    let (policy, _, found) = config::load_policies(&files, &atlas, &Settings::default());
    let errors: Vec<&Diagnostic> = found.iter().filter(|found| found.is_error()).collect();
    assert!(errors.is_empty(), "{errors:?}");
    policy
}

#[test]
fn a_data_centre_is_down_only_if_probe_and_request_rate_say_so() {
    let policy = recipe("Down only if probe and request rate say so");
    let [service] = policy.services.as_slice() else { panic!("{:?}", policy.services) };
    let check = |id: &str| {
        let at = policy.checks.iter().position(|check| check.id.as_str() == id).unwrap();
        CheckIx(u16::try_from(at).unwrap())
    };
    let (web, traffic) = (check("web"), check("traffic"));
    assert!(!policy.checks[usize::from(traffic.0)].spec.silence_is_down, "a silent Prometheus is unknown");
    use State::{Down, Unknown, Up};
    for endpoint in &service.endpoints {
        let verdict = |of_web: State, of_traffic: State| {
            health::combine(&endpoint.health, &|ix| match ix {
                ix if ix == web => of_web,
                ix if ix == traffic => of_traffic,
                other => panic!("{other:?}"),
            })
        };
        for (of_web, of_traffic, expected) in [
            (Up, Up, Up),
            (Up, Down, Up),
            (Up, Unknown, Up),
            (Down, Up, Up),
            (Unknown, Up, Up),
            (Down, Down, Down),
            (Down, Unknown, Unknown),
            (Unknown, Down, Unknown),
            (Unknown, Unknown, Unknown),
        ] {
            assert_eq!(verdict(of_web, of_traffic), expected, "web {of_web:?}, traffic {of_traffic:?}");
        }
    }
}

#[test]
fn the_configuration_of_the_examples_is_without_findings() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/examples/meridian.yaml");
    let (server, found) = config::load_server(&SourceFile::new("meridian.yaml", fs::read(file).unwrap()));
    assert!(found.is_empty(), "{found:#?}");
    let [first, others @ ..] = server.api.anonymous.as_slice() else { panic!("no grants") };
    let [order] = first.calls.as_slice() else { panic!("{first:?}") };
    assert_eq!(
        (order.method.as_str(), order.path.as_str()),
        ("PUT", "/api/switch"),
        "the one order without credentials"
    );
    assert!(others.iter().flat_map(|grant| &grant.calls).all(|call| call.method == "GET"));
}
