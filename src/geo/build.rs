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
//! - Addresses that are no client's on the internet (private, loopback, documentation, multicast …) are left
//!   out too: sources give even the documentation networks a country.
//!
//! The same sources give the same octets: nothing here looks at a clock, and the build time written
//! into the database is an argument.

mod draft;

use std::collections::HashMap;
use std::net::Ipv6Addr;

use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};

use super::catalogue;
use super::database::Database;
use super::import::{Ip2regionError, Ip2regionFile};
use super::segments::{Bits, Segments};
use crate::model::{CountryCode, Place};

pub use draft::{Draft, DraftError};

/// Longer IPv6 networks are left out: providers are given a /32 or more.
pub const V6_PREFIX_MAX: u8 = 32;

/// Private, loopback, link-local, shared, documentation, benchmarking, multicast and future networks
/// (RFC 6890 and the IANA registry of special-purpose addresses): first address and prefix length.
const RESERVED_V4: [([u8; 4], u8); 14] = [
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    ([224, 0, 0, 0], 4),
    ([240, 0, 0, 0], 4),
];

/// The same for IPv6: the leading 32 bits and the prefix length.
const RESERVED_V6: [(u32, u8); 8] = [
    (0x0000_0000, 8),
    (0x0100_0000, 64),
    (0x2001_0db8, 32),
    (0x3fff_0000, 20),
    (0x5f00_0000, 16),
    (0xfc00_0000, 7),
    (0xfe80_0000, 10),
    (0xff00_0000, 8),
];

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
    /// Networks put into it.
    pub networks: u64,
    /// IPv4 addresses outside China left out because their piece is small.
    pub left_out_v4: u64,
    /// IPv4 addresses that ip2region gives to China and the country source to another country.
    pub disputed_v4: u64,
}

/// Why there is no database.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The country source is a database of something else.
    #[error("names no country in any of its records")]
    NoCountry,
    /// The China source does not read.
    #[error(transparent)]
    China(#[from] Ip2regionError),
    /// The result can not be written as .mmdb.
    #[error(transparent)]
    Draft(#[from] DraftError),
}

/// How far the work is: done, and of how much. Called now and then.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);

/// Builds the world database from a database of countries, of any schema, and the octets of an
/// `ip2region.db`.
pub fn world(countries: &Database, china: &[u8], detail: Detail, progress: Progress<'_>) -> Result<World, BuildError> {
    if countries.places.iter().all(|place| place.country.is_none()) {
        return Err(BuildError::NoCountry);
    }
    let cn = china_code();
    let (provinces, province_places) = provinces(china)?;
    let country = |number: u32| countries.places[number as usize].country;
    let in_china = |country: Option<CountryCode>| country.is_none_or(|country| country == cn);

    let mut places = Numbered::default();
    let nowhere = places.number(Place::default());
    let mut v4 = Segments::overlay(&countries.v4, &provinces, |country_number, province| {
        let country = country(country_number);
        if province != 0 && in_china(country) {
            places.number(province_places[province as usize].clone())
        } else {
            places.number(of_country(country))
        }
    });
    for (first, depth) in RESERVED_V4 {
        v4.fill(u32::from_be_bytes(first), depth, nowhere);
    }
    let mut v6 = countries.v6.clone().map_values(|number| places.number(of_country(country(number))));
    for (first, depth) in RESERVED_V6 {
        v6.fill(u128::from(first) << 96, depth, nowhere);
    }
    let disputed = Segments::overlay(&countries.v4, &provinces, |country_number, province| {
        u32::from(province != 0 && !in_china(country(country_number)))
    });

    let epoch_s = detail.epoch_s.unwrap_or(countries.build_epoch_s());
    let mut draft = Draft::new("Meridian-World", "Countries of the world, provinces and providers of China", epoch_s);
    let (mut networks, mut left_out_v4, mut done) = (0, 0, 0);
    let total = (v4.len() + v6.len()) as u64;
    let mut step = || {
        done += 1;
        if done % 1024 == 0 {
            progress(done, total);
        }
    };
    for (from, to, number) in spans(&v4) {
        step();
        let place = places.place(number);
        if place.is_unknown() {
            continue;
        }
        for net in Ipv4Subnets::new(from.into(), to.into(), 0) {
            if place.country != Some(cn) && net.prefix_len() > detail.min_prefix {
                left_out_v4 += 1 << (32 - net.prefix_len());
                continue;
            }
            draft.insert(IpNet::V4(net), place)?;
            networks += 1;
        }
    }
    for (from, to, number) in spans(&v6) {
        step();
        let place = places.place(number);
        if place.is_unknown() {
            continue;
        }
        let nets = Ipv6Subnets::new(Ipv6Addr::from(from), Ipv6Addr::from(to), 0);
        for net in nets.filter(|net| net.prefix_len() <= V6_PREFIX_MAX) {
            draft.insert(IpNet::V6(net), place)?;
            networks += 1;
        }
    }
    let disputed_v4 = spans(&disputed).map(|(from, to, is)| u64::from(is) * (u64::from(to - from) + 1)).sum();
    Ok(World { octets: draft.finish()?, epoch_s, networks, left_out_v4, disputed_v4 })
}

fn china_code() -> CountryCode {
    CountryCode::new("CN").expect("two letters")
}

fn of_country(country: Option<CountryCode>) -> Place {
    Place { continent: country.and_then(catalogue::continent), country, ..Place::default() }
}

/// What ip2region says of mainland China, without cities: segments of numbered places, 0 for nothing.
fn provinces(china: &[u8]) -> Result<(Segments<u32>, Vec<Place>), Ip2regionError> {
    let mut places = Numbered::default();
    let mut segments = Segments::uniform(places.number(Place::default()));
    for row in Ip2regionFile::open(china)?.rows() {
        let row = row?;
        if row.country() == Some(china_code()) {
            segments.set_from(u32::from(row.start), places.number(Place { city: None, ..row.place() }));
            if let Some(next) = Bits::next(u32::from(row.end)) {
                segments.set_from(next, 0);
            }
        }
    }
    Ok((segments, places.places))
}

/// Distinct places by number.
#[derive(Default)]
struct Numbered {
    places: Vec<Place>,
    numbers: HashMap<Place, u32>,
}

impl Numbered {
    fn number(&mut self, place: Place) -> u32 {
        *self.numbers.entry(place).or_insert_with_key(|place| {
            self.places.push(place.clone());
            u32::try_from(self.places.len() - 1).expect("fewer places than networks, which are bounded below 2^32")
        })
    }

    fn place(&self, number: u32) -> &Place {
        &self.places[number as usize]
    }
}

/// Segments as first address, last address, value.
fn spans<B: Bits>(segments: &Segments<B>) -> impl Iterator<Item = (B, B, u32)> + '_ {
    let ends = segments.iter().skip(1).map(|(start, _)| start.previous().unwrap_or(B::ZERO)).chain([B::LAST]);
    segments.iter().zip(ends).map(|((start, value), end)| (start, end, value))
}

#[cfg(test)]
mod tests;
