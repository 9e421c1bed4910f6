//! What the tests of this room share.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::load_policies;
use crate::config::{PolicyTest, SourceFile};
use crate::diag::{Diagnostic, Format, render};
use crate::model::{Continent, CountryCode, Expr, Gazetteer, PolicySet, Settings, Term, fold};

/// The reference deployment's policy, as its network team wrote it.
pub(in crate::config) const REFERENCE: &str = include_str!("../../../zones/api.meta-driven.example.com.yaml");

/// A gazetteer that knows a few places.
pub(in crate::config) struct FewPlaces;

impl Gazetteer for FewPlaces {
    fn rule(&self, name: &str) -> Option<(Expr, bool)> {
        let subdivision = |code: &str| Expr::Term(Term::Subdivision(code.into()));
        let country = |code: &str| Expr::Term(Term::Country(CountryCode::new(code).expect("a code")));
        Some(match &*fold(name) {
            "beijing" | "北京" | "cn-bj" => (subdivision("cn-bj"), true),
            "shanghai" | "上海" | "cn-sh" => (subdivision("cn-sh"), true),
            "tianjin" => (subdivision("cn-tj"), false),
            "china" | "cn" => (country("CN"), true),
            "norway" | "no" => (country("NO"), true),
            "oldtown" => (subdivision("oldtown"), true),
            "na" => (Expr::Term(Term::Continent(Continent::NorthAmerica)), true),
            _ => return None,
        })
    }

    fn is_catalogued(&self, name: &str) -> bool {
        name != "oldtown"
    }

    fn names(&self) -> Vec<String> {
        ["beijing", "shanghai", "tianjin", "china", "norway"].map(str::to_owned).into()
    }

    fn isp_names(&self, name: &str) -> Vec<Arc<str>> {
        let folded = fold(name);
        if &*folded == "电信" { vec![folded, fold("China Telecom")] } else { vec![folded] }
    }
}

/// What `files` (name, text) say.
pub(in crate::config) fn load(files: &[(&str, &str)]) -> (PolicySet, Vec<PolicyTest>, Vec<Diagnostic>) {
    let files: Vec<SourceFile> = files.iter().map(|(name, text)| SourceFile::new(name, *text)).collect();
    load_policies(&files, &FewPlaces, &Settings::default())
}

/// What `text` says, when nothing is wrong or odd in it.
pub(in crate::config) fn clean(text: &str) -> PolicySet {
    let (policies, _, found) = load(&[("a.yaml", text)]);
    assert!(found.is_empty(), "{}\n{text}", render(&found, Format::Text { colour: false }));
    policies
}

/// The findings in `text`, as people see them.
pub(in crate::config) fn rendered(files: &[(&str, &str)]) -> String {
    render(&load(files).2, Format::Text { colour: false })
}

/// Codes and places of the findings in `text`: `unknown-field 3:5`.
pub(in crate::config) fn codes(text: &str) -> Vec<String> {
    let place = |found: &Diagnostic| match &found.at {
        Some(at) => format!("{} {}:{}", found.code, at.line, at.column),
        None => found.code.to_owned(),
    };
    load(&[("a.yaml", text)]).2.iter().map(place).collect()
}

/// A service in which `endpoints` are ready, with `policies` and further fields.
pub(in crate::config) fn service(fields: &str, policies: &str) -> String {
    let indent = |text: &str, by: &str| text.lines().map(|line| format!("{by}{line}\n")).collect::<String>();
    format!(
        "gslb:\n  domain: a.example\n{}  policies:\n{}  endpoints:\n    a: {{ip: 192.0.2.1, weight: 3, priority: 1}}\n    \
         b: {{ip: 192.0.2.2}}\n    c: {{ip: 192.0.2.3, weight: 0}}\n    x: {{cname: x.example.net, priority: 9}}\n",
        indent(fields, "  "),
        indent(policies, "    ")
    )
}

/// Every index in `policies` leads somewhere, and every pool holds something.
pub(in crate::config) fn assert_whole(policies: &PolicySet) {
    use crate::model::{AllDown, CheckExpr, Node, Pool};
    fn checks(expr: &CheckExpr, policies: &PolicySet) {
        assert!(expr.checks().iter().all(|check| usize::from(check.0) < policies.checks.len()));
    }
    fn pool(of: &Pool, endpoints: usize, policies: &PolicySet) {
        assert!(!of.members.is_empty());
        for member in &of.members {
            assert!(member.entry.when.iter().all(|check| usize::from(check.0) < policies.checks.len()));
            match &member.node {
                Node::Endpoint(ix) => assert!(ix.at() < endpoints),
                Node::Pool(inner) => pool(inner, endpoints, policies),
            }
        }
    }
    let mut names = BTreeMap::new();
    for service in &policies.services {
        assert!(names.insert(service.name.clone(), ()).is_none());
        assert!(!service.endpoints.is_empty());
        assert!(service.home.is_none_or(|home| home.at() < policies.datacenters.len()));
        for endpoint in &service.endpoints {
            assert!(endpoint.datacenter.at() < policies.datacenters.len());
            assert!(endpoint.data.address_count() > 0);
            checks(&endpoint.health, policies);
        }
        for route in service.policy.all_routes() {
            assert!(route.region.is_none_or(|region| region.at() < policies.regions.len()));
            if let AllDown::Sorry(ix) = route.all_down {
                assert!(ix.at() < service.endpoints.len());
            }
            for tree in route.tiers.iter().chain(&route.fallback) {
                pool(tree, service.endpoints.len(), policies);
            }
        }
    }
    for group in &policies.groups {
        assert!(group.members.iter().all(|member| member.at() < policies.datacenters.len()));
    }
}
