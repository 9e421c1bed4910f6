//! Data centres, groups of them, and the names by which people call them.

use super::{Coordinates, DatacenterId, DatacenterIx, GroupId, Origin};

/// A data centre.
#[derive(Clone, Debug)]
pub struct Datacenter {
    /// Its id.
    pub id: DatacenterId,
    /// Other names, in file order; the first is its short name.
    pub aliases: Vec<DatacenterId>,
    /// Where it is, for `nearest`.
    pub at: Option<Coordinates>,
    /// Added to every distance to it, in km.
    pub bias_km: i32,
    /// Requests a second that it can carry, as declared.
    pub capacity: Option<u64>,
    /// With fewer endpoints up than this, over all services, all of them count as down. `None`: off.
    pub min_healthy: Option<MinHealthy>,
    /// Where it was defined, or first used.
    pub origin: Origin,
}

/// How many of a data centre's watched endpoints must be up for the others to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MinHealthy {
    /// So many.
    Count(u32),
    /// So many percent, 1 to 100.
    Percent(u8),
}

impl MinHealthy {
    /// True when `up` of `all` are enough.
    pub fn is_met(self, up: usize, all: usize) -> bool {
        match self {
            MinHealthy::Count(count) => up >= count as usize,
            MinHealthy::Percent(percent) => up * 100 >= all * usize::from(percent),
        }
    }
}

impl Datacenter {
    /// The name that answers show: the first alias, else the leading word of the id.
    pub fn short_name(&self) -> &str {
        match self.aliases.first() {
            Some(alias) => alias.as_str(),
            None => leading_words(self.id.as_str()).next().expect("ids are not empty"),
        }
    }
}

/// Several data centres under one name, such as a city.
#[derive(Clone, Debug)]
pub struct Group {
    /// Its name.
    pub id: GroupId,
    /// By index, ascending.
    pub members: Vec<DatacenterIx>,
    /// Where it was defined.
    pub origin: Origin,
}

/// What a name that a person gave for a data centre means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamedDatacenters {
    /// One data centre.
    One(DatacenterIx),
    /// A group, by index into the groups.
    Group(usize),
    /// Several data centres begin with that word.
    Ambiguous(Vec<DatacenterIx>),
    /// None does.
    Unknown,
}

/// Leading words of an id, shortest first and the id itself last: words end at `_`, `-` and `.`.
pub fn leading_words(id: &str) -> impl Iterator<Item = &str> {
    id.char_indices()
        .filter(|&(at, c)| at > 0 && matches!(c, '_' | '-' | '.'))
        .map(|(at, _)| &id[..at])
        .chain(std::iter::once(id))
}

/// The data centre or group that a person means by `name`: an id, an alias, a group, or an unambiguous
/// leading word of an id (`dc1` for `dc1_beijing_primary`, never for `dc10_x`), whatever the case.
///
/// An exact id, alias or group wins over leading words.
pub fn resolve_datacenter(datacenters: &[Datacenter], groups: &[Group], name: &str) -> NamedDatacenters {
    let name = name.to_lowercase();
    let is = |other: &str| other.to_lowercase() == name;
    if let Some(at) =
        datacenters.iter().position(|dc| is(dc.id.as_str()) || dc.aliases.iter().any(|alias| is(alias.as_str())))
    {
        return NamedDatacenters::One(DatacenterIx::from_at(at));
    }
    if let Some(at) = groups.iter().position(|group| is(group.id.as_str())) {
        return NamedDatacenters::Group(at);
    }
    let begins: Vec<DatacenterIx> = datacenters
        .iter()
        .enumerate()
        .filter(|(_, dc)| leading_words(dc.id.as_str()).any(is))
        .map(|(at, _)| DatacenterIx::from_at(at))
        .collect();
    match begins.as_slice() {
        [] => NamedDatacenters::Unknown,
        [one] => NamedDatacenters::One(*one),
        _ => NamedDatacenters::Ambiguous(begins),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dc(id: &str, aliases: &[&str]) -> Datacenter {
        Datacenter {
            id: DatacenterId::new(id).unwrap(),
            aliases: aliases.iter().map(|alias| DatacenterId::new(alias).unwrap()).collect(),
            at: None,
            bias_km: 0,
            capacity: None,
            min_healthy: None,
            origin: Origin::file("test"),
        }
    }

    #[test]
    fn a_data_centre_answers_to_its_id_aliases_and_leading_words() {
        let dcs = [dc("dc1_beijing_primary", &[]), dc("dc10_x", &["ten"]), dc("dc2_a", &[]), dc("dc2_b", &[])];
        let groups =
            [Group { id: GroupId::new("Beijing").unwrap(), members: vec![DatacenterIx(0)], origin: Origin::file("t") }];
        let named = |name: &str| resolve_datacenter(&dcs, &groups, name);
        assert_eq!(named("DC1"), NamedDatacenters::One(DatacenterIx(0)));
        assert_eq!(named("dc1_beijing"), NamedDatacenters::One(DatacenterIx(0)));
        assert_eq!(named("dc1_bei"), NamedDatacenters::Unknown);
        assert_eq!(named("ten"), NamedDatacenters::One(DatacenterIx(1)));
        assert_eq!(named("dc10"), NamedDatacenters::One(DatacenterIx(1)));
        assert_eq!(named("beijing"), NamedDatacenters::Group(0));
        assert_eq!(named("dc2"), NamedDatacenters::Ambiguous(vec![DatacenterIx(2), DatacenterIx(3)]));
        assert_eq!(named("dc2_a"), NamedDatacenters::One(DatacenterIx(2)));
        assert_eq!(dcs[0].short_name(), "dc1");
        assert_eq!(dcs[1].short_name(), "ten");
    }
}
