//! `tests:` to policy tests.

use std::collections::BTreeSet;

use super::World;
use crate::config::form::{At, Either, OneOrMany};
use crate::config::policy_test::{Expect, PolicyTest};
use crate::config::report::Report;
use crate::config::spec::{ExpectSpec, TestSpec};
use crate::diag::Diagnostic;
use crate::model::DatacenterIx;

/// The test, unless something in it is refused.
pub(super) fn resolve(spec: &TestSpec, world: &World<'_>, report: &mut Report) -> Option<PolicyTest> {
    let before = report.errors();
    let several = |names: &Option<OneOrMany<At<String>>>, report: &mut Report| -> BTreeSet<DatacenterIx> {
        names.iter().flat_map(|names| &names.items).flat_map(|name| world.directory.several(name, report)).collect()
    };
    let down = several(&spec.down, report);
    let out = several(&spec.out, report);
    let switch = spec.switch.iter().flat_map(|name| world.directory.several(name, report)).collect();
    let expect = expect(spec.expect.as_ref()?, world, report)?;
    let test = PolicyTest {
        name: spec.name.as_ref().map(|name| name.value.clone()),
        client: spec.client.as_ref()?.value.0,
        question: spec.service.as_ref()?.value.clone(),
        rtype: spec.r#type.as_ref()?.value.0,
        down,
        out,
        switch,
        expect,
        origin: report.sources.origin(spec.at),
    };
    (report.errors() == before).then_some(test)
}

fn expect(spec: &Either<OneOrMany<At<String>>, ExpectSpec>, world: &World<'_>, report: &mut Report) -> Option<Expect> {
    let datacenters = |names: &OneOrMany<At<String>>, report: &mut Report| {
        if names.items.is_empty() {
            let error = Diagnostic::error("empty-list", "an answer from no data centre is no answer");
            report.at(names.at, error.help("write `nodata: true`"));
        }
        Expect::Datacenters(names.items.iter().flat_map(|name| world.directory.several(name, report)).collect())
    };
    let spec: &ExpectSpec = match spec {
        Either::Short(names) => return Some(datacenters(names, report)),
        Either::Mapping(spec) => spec,
    };
    match (&spec.dc, &spec.addresses, &spec.nodata, &spec.rcode) {
        (Some(names), None, None, None) => Some(datacenters(names, report)),
        (None, Some(addresses), None, None) => {
            Some(Expect::Addresses(addresses.items.iter().map(|address| address.value).collect()))
        }
        (None, None, Some(nodata), None) if nodata.value => Some(Expect::NoData),
        (None, None, None, Some(rcode)) => Some(Expect::Rcode(rcode.value.code())),
        _ if !spec.clean => None,
        _ => {
            let error = Diagnostic::error("exclusive-fields", "this does not say what to expect")
                .expected("one of `dc`, `addresses`, `nodata: true` and `rcode`");
            report.at(spec.at, error);
            None
        }
    }
}
