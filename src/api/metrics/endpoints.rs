//! States of endpoints, written once for as long as they stay.
//!
//! From one scrape to the next hardly an endpoint changes. A table tells by marks which of its services are as they
//! were: of those neither states nor lines are made again.

use crate::api::view::Counted;
use crate::model::ServiceIx;
use crate::table::{Mark, RoutingTable, standings};
use crate::telemetry::{Family, catalogue as the};

use super::STATES;

/// What the last page said.
#[derive(Debug, Default)]
pub(super) struct Endpoints(Vec<Part>);

/// Of some services.
#[derive(Debug)]
struct Part {
    mark: Mark,
    /// Their endpoints by data centre.
    counted: Vec<Counted>,
    /// Their lines, as many as there was room for.
    lines: String,
    series: usize,
    /// How many series there would be.
    wanted: usize,
}

impl Endpoints {
    /// Writes the states of all endpoints, and says how many there are of each data centre, by index.
    pub(super) fn write(&mut self, family: &mut Family, table: &RoutingTable) -> Vec<Counted> {
        let mut counted = vec![Counted::default(); table.base().policy().datacenters.len()];
        let mut before = std::mem::take(&mut self.0).into_iter();
        for (services, mark) in table.parts() {
            let before = before.next().filter(|part| part.mark == mark);
            let before = before.filter(|part| part.series == part.wanted.min(family.room()));
            let part = before.unwrap_or_else(|| Part::of(table, services, mark, family.room()));
            family.paste(&part.lines, part.series);
            family.omit(part.wanted - part.series);
            counted.iter_mut().zip(&part.counted).for_each(|(sum, of_part)| sum.join(of_part));
            self.0.push(part);
        }
        counted
    }
}

impl Part {
    fn of(table: &RoutingTable, services: std::ops::Range<usize>, mark: Mark, room: usize) -> Part {
        let (policy, facts) = (table.base().policy(), table.facts());
        let mut counted = vec![Counted::default(); policy.datacenters.len()];
        let mut wanted = 0;
        let (lines, series) = Family::lines(&the::ENDPOINT_STATE, room, |family| {
            for at in services {
                let service = &policy.services[at];
                let standings = standings(service, ServiceIx::from_at(at), facts);
                let name = if family.room() > 0 { service.name.to_string() } else { String::new() };
                for ((_, endpoint), standing) in service.endpoints().zip(&standings) {
                    counted[endpoint.datacenter.at()].add(standing);
                    wanted += STATES.len();
                    let datacenter = policy.datacenters[endpoint.datacenter.at()].short_name();
                    family.state(&[&name, endpoint.id.as_str(), datacenter], &STATES, standing.state().as_str());
                }
            }
        });
        Part { mark, counted, lines, series, wanted }
    }
}
