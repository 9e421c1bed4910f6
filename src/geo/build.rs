//! Building the world database that Meridian ships.
//!
//! Two sources, each for what it is good at: an .mmdb of countries, which places clouds well, and
//! ip2region's, which knows China's provinces and providers. [`world`] lays the second over the first:
//!
//! - Where the country source says China, or nothing, ip2region's province and provider are taken.
//! - Where it names another country, that stands, and the addresses are counted as disputed.
//! - Hong Kong, Macao and Taiwan are what the country source says (`HK`, `MO`, `TW`).
//! - Cities are left out, and so are pieces that are too small to pay for their place: IPv4 networks
//!   outside China longer than [`Detail::min_prefix`], IPv6 networks longer than [`V6_PREFIX_MAX`].
//!   For an address in a piece left out the database says nothing, rather than its neighbour's country.
//!
//! The same sources give the same octets: nothing here looks at a clock, and the build time written
//! into the database is an argument.

mod draft;
mod spans;

use std::net::IpAddr;

use ipnet::IpNet;
use maxminddb::{MaxMindDbError, PathElement, Reader, WithinOptions};

use crate::geo::catalogue;
use crate::geo::import::{Ip2regionError, Ip2regionFile};
use crate::limits;
use crate::model::{CountryCode, Place};

pub use draft::{Draft, DraftError};
use spans::Spans;

/// Longer IPv6 networks are left out: providers are given a /32 or more.
pub const V6_PREFIX_MAX: u8 = 32;

/// How much of the sources goes into the database.
#[derive(Clone, Copy, Debug)]
pub struct Detail {
    /// IPv4 networks outside China that are longer are left out; 0 to 32.
    pub min_prefix: u8,
    /// The build time to write, in seconds since 1970; `None`: the country source's.
    pub epoch_s: Option<u64>,
}

/// A database, and what became of the sources.
#[derive(Debug)]
pub struct World {
    /// The .mmdb file.
    pub octets: Vec<u8>,
    /// The build time written into it, in seconds since 1970.
    pub epoch_s: u64,
    /// Networks in it.
    pub networks: u64,
    /// IPv4 addresses outside China left out because their piece is small.
    pub left_out_v4: u64,
    /// IPv4 addresses that ip2region gives to China and the country source to another country.
    pub disputed_v4: u64,
}

/// Why there is no database.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The country source does not read.
    #[error("the country database does not read: {0}")]
    Country(#[from] MaxMindDbError),
    /// The country source is a database of something else.
    #[error("the country database names no country in any of its {networks} networks")]
    NoCountry {
        /// How many were read.
        networks: u64,
    },
    /// The country source's tree leads round in circles, or is larger than we take.
    #[error("the country database has more networks than its {nodes} nodes can hold")]
    Endless {
        /// What its metadata says.
        nodes: u32,
    },
    /// The China source does not read.
    #[error("the China database does not read: {0}")]
    China(#[from] Ip2regionError),
    /// The result can not be written as .mmdb.
    #[error(transparent)]
    Draft(#[from] DraftError),
}

/// How far the work is: done, and of how much, in networks. Called now and then.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);

/// What is known of a piece of China.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Province {
    code: Option<&'static str>,
    /// As the source has it: translated once a distinct place is made.
    isp: Option<u32>,
}

/// Builds the world database from an .mmdb of countries (`country_code`, or `country.iso_code`) and an
/// `ip2region.db`.
pub fn world(country: &[u8], china: &[u8], detail: Detail, progress: Progress<'_>) -> Result<World, BuildError> {
    let countries = Reader::from_source(country)?;
    let (v4, v6) = country_spans(&countries, progress)?;
    let mut isps: Vec<&str> = Vec::new();
    let provinces = province_spans(china, &mut isps)?;

    let epoch_s = detail.epoch_s.unwrap_or(countries.metadata().build_epoch);
    let mut draft = Draft::new("Meridian-World", "Countries of the world, provinces and providers of China", epoch_s);
    let mut built = World { octets: Vec::new(), epoch_s, networks: 0, left_out_v4: 0, disputed_v4: 0 };
    let china_code = CountryCode::new("CN").expect("two letters");

    let mut merged: Spans<(CountryCode, Option<Province>)> = Spans::default();
    v4.overlay(&provinces, |from, to, country, province| match (country, province) {
        (None, None) => {}
        (Some(code), province) if *code == china_code => merged.push(from, to, (china_code, province.copied())),
        (None, Some(province)) => merged.push(from, to, (china_code, Some(*province))),
        (Some(code), province) => {
            if province.is_some() {
                built.disputed_v4 += (to - from + 1) as u64;
            }
            merged.push(from, to, (*code, None));
        }
    });
    let total = (merged.len() + v6.len()) as u64;
    let mut done = 0_u64;
    let mut step = |progress: &mut dyn FnMut(u64, u64)| {
        done += 1;
        if done.is_multiple_of(1024) {
            progress(done, total);
        }
    };
    for (from, to, (code, province)) in merged.iter() {
        step(progress);
        let place = place(*code, *province, &isps);
        for net in spans::networks_v4(from, to) {
            if *code != china_code && net.prefix_len() > detail.min_prefix {
                built.left_out_v4 += 1 << (32 - net.prefix_len());
                continue;
            }
            draft.insert(IpNet::V4(net), &place)?;
            built.networks += 1;
        }
    }
    for (from, to, code) in v6.iter() {
        step(progress);
        let place = place(*code, None, &isps);
        for net in spans::networks_v6(from, to).filter(|net| net.prefix_len() <= V6_PREFIX_MAX) {
            draft.insert(IpNet::V6(net), &place)?;
            built.networks += 1;
        }
    }
    built.octets = draft.finish()?;
    Ok(built)
}

fn place(country: CountryCode, province: Option<Province>, isps: &[&str]) -> Place {
    let isp = province.and_then(|province| province.isp).map(|at| isps[at as usize]);
    Place {
        continent: catalogue::continent(country),
        country: Some(country),
        subdivision: province.and_then(|province| province.code).map(Into::into),
        isp: isp.map(|name| catalogue::isp_alias(name).unwrap_or(name).into()),
        ..Place::default()
    }
}

/// What a database of countries says, by family.
type CountrySpans = (Spans<CountryCode>, Spans<CountryCode>);

fn country_spans(reader: &Reader<&[u8]>, progress: Progress<'_>) -> Result<CountrySpans, BuildError> {
    let nodes = reader.metadata().node_count;
    // A tree of n nodes has at most n + 1 leaves. One that has more leads round in circles.
    let leaves_max = (nodes as usize + 1).min(limits::GEOIP_ROWS_MAX);
    let (mut v4, mut v6) = (Spans::default(), Spans::default());
    let mut networks = 0_usize;
    for found in reader.networks(WithinOptions::default())? {
        let found = found?;
        networks += 1;
        if networks > leaves_max {
            return Err(BuildError::Endless { nodes });
        }
        if networks.is_multiple_of(1024) {
            progress(networks as u64, u64::from(nodes));
        }
        let flat = found.decode_path::<&str>(&[PathElement::Key("country_code")]).ok().flatten();
        let nested = || {
            let path = [PathElement::Key("country"), PathElement::Key("iso_code")];
            found.decode_path::<&str>(&path).ok().flatten()
        };
        let Some(code) = flat.or_else(nested).and_then(CountryCode::new) else { continue };
        let network = found.network()?;
        match (network.ip(), network.prefix()) {
            (IpAddr::V4(ip), prefix) => {
                let from = u128::from(u32::from(ip));
                v4.push(from, from | low_ones(32 - u32::from(prefix)), code);
            }
            // IPv4 lives in the first /96 of an IPv6 tree.
            (IpAddr::V6(ip), prefix) if u128::from(ip) >> 32 == 0 && prefix >= 96 => {
                let from = u128::from(ip);
                v4.push(from, from | low_ones(128 - u32::from(prefix)), code);
            }
            (IpAddr::V6(ip), prefix) => {
                let from = u128::from(ip);
                v6.push(from, from | low_ones(128 - u32::from(prefix)), code);
            }
        }
    }
    if v4.len() + v6.len() == 0 {
        return Err(BuildError::NoCountry { networks: networks as u64 });
    }
    Ok((v4, v6))
}

/// A number of ones at the low end.
fn low_ones(count: u32) -> u128 {
    u128::MAX.checked_shr(128 - count).unwrap_or(0)
}

/// The rows of ip2region that are in mainland China. Providers are numbered in `isps`.
fn province_spans<'a>(china: &'a [u8], isps: &mut Vec<&'a str>) -> Result<Spans<Province>, BuildError> {
    let mut numbers = std::collections::HashMap::new();
    let mut spans = Spans::default();
    let cn = CountryCode::new("CN").expect("two letters");
    for row in Ip2regionFile::open(china)?.rows() {
        let row = row?;
        if row.country() != Some(cn) {
            continue;
        }
        let isp = row.isp.map(|name| {
            *numbers.entry(name).or_insert_with(|| {
                isps.push(name);
                u32::try_from(isps.len() - 1).expect("fewer than rows, and rows are counted in 24 bits")
            })
        });
        let code = row.province.and_then(|province| catalogue::subdivision(cn, province));
        spans.push(u32::from(row.start).into(), u32::from(row.end).into(), Province { code, isp });
    }
    Ok(spans)
}
