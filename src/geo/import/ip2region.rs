//! The file format of ip2region, version 1 (`ip2region.db`): IPv4, mostly Chinese.
//!
//! Little-endian throughout. The file begins with the offsets of the first and the last index row. An
//! index row has 12 octets: first address, last address, and a word whose high octet is the length of
//! the data and whose low three are its offset. Data is a city number (4 octets, not used here) and
//! UTF-8 text of five fields, `国家|区域|省份|城市|ISP`, in which `0` stands for nothing. Rows are in
//! ascending order and do not overlap. What stands between (an index of the index) is not needed by
//! one who reads everything.

use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Subnets};

use crate::geo::build::{Draft, DraftError, Progress};
use crate::geo::catalogue;
use crate::model::{CountryCode, Place};

const INDEX_ROW_LEN: usize = 12;
const CITY_NUMBER_LEN: usize = 4;

/// What is wrong with an ip2region file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ip2regionError {
    /// The first eight octets do not describe an index inside the file.
    #[error("not an ip2region.db of version 1: an index from octet {first} to {last} does not fit {len} octets")]
    Header {
        /// Offset of the first index row.
        first: usize,
        /// Offset of the last.
        last: usize,
        /// Length of the file.
        len: usize,
    },
    /// A row ends before it begins, or begins before its predecessor has ended.
    #[error("index row {row} ({start} to {end}) is out of order")]
    Order {
        /// The row, from 1.
        row: usize,
        /// Its first address.
        start: Ipv4Addr,
        /// Its last.
        end: Ipv4Addr,
    },
    /// A row's data is not inside the file, not UTF-8, or not of five fields.
    #[error("the data of index row {row}, {len} octets at {offset}, is not text of five fields")]
    Data {
        /// The row, from 1.
        row: usize,
        /// Where its data would be.
        offset: usize,
        /// How long.
        len: usize,
    },
}

/// A file whose index is known to be inside it.
#[derive(Clone, Copy, Debug)]
pub struct Ip2regionFile<'a> {
    octets: &'a [u8],
    first: usize,
    rows: usize,
}

/// A range of addresses and what is said of it. Nothing is `None`, never `0` or empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ip2regionRow<'a> {
    /// The first address.
    pub start: Ipv4Addr,
    /// The last address.
    pub end: Ipv4Addr,
    /// The country, in Chinese.
    pub country_name: Option<&'a str>,
    /// The province, in Chinese.
    pub province: Option<&'a str>,
    /// The city, in Chinese.
    pub city: Option<&'a str>,
    /// The provider, in Chinese.
    pub isp: Option<&'a str>,
}

impl Ip2regionRow<'_> {
    /// The country's code. Hong Kong, Macao and Taiwan, which the source lists as provinces, have codes
    /// of their own in all other GeoIP data, and here.
    pub fn country(&self) -> Option<CountryCode> {
        self.country_and_subdivision().0
    }

    fn country_and_subdivision(&self) -> (Option<CountryCode>, Option<&str>) {
        let Some(country) = self.country_name.and_then(catalogue::country) else { return (None, None) };
        let Some(province) = self.province else { return (Some(country), None) };
        match catalogue::subdivision(country, province) {
            Some(code @ ("CN-HK" | "CN-MO" | "CN-TW")) => (CountryCode::new(&code[3..]), None),
            Some(code) => (Some(country), Some(code)),
            None => (Some(country), Some(province)),
        }
    }

    /// The row as a place: codes where the catalogue knows them, else the source's names. Unknown when
    /// the row names no country.
    pub fn place(&self) -> Place {
        let (country, subdivision) = self.country_and_subdivision();
        Place {
            continent: country.and_then(catalogue::continent),
            country,
            subdivision: subdivision.map(Into::into),
            city: country.and(self.city).map(Into::into),
            isp: country.and(self.isp).map(|isp| catalogue::isp_alias(isp).unwrap_or(isp).into()),
            ..Place::default()
        }
    }
}

impl<'a> Ip2regionFile<'a> {
    /// Looks at the header.
    pub fn open(octets: &'a [u8]) -> Result<Ip2regionFile<'a>, Ip2regionError> {
        let (first, last) = (word(octets, 0).unwrap_or(0) as usize, word(octets, 4).unwrap_or(0) as usize);
        let fits = first >= 8
            && first <= last
            && (last - first).is_multiple_of(INDEX_ROW_LEN)
            && last.checked_add(INDEX_ROW_LEN).is_some_and(|end| end <= octets.len());
        if !fits {
            return Err(Ip2regionError::Header { first, last, len: octets.len() });
        }
        Ok(Ip2regionFile { octets, first, rows: (last - first) / INDEX_ROW_LEN + 1 })
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Never: a file without rows is not opened.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Every row in order; an error ends them.
    pub fn rows(self) -> impl Iterator<Item = Result<Ip2regionRow<'a>, Ip2regionError>> {
        let mut behind: Option<u32> = None;
        let mut failed = false;
        (0..self.rows).map_while(move |at| {
            if failed {
                return None;
            }
            let row = self.row(at, behind);
            match &row {
                Ok(row) => behind = Some(row.end.into()),
                Err(_) => failed = true,
            }
            Some(row)
        })
    }

    /// The row at `at`, which must begin after the address `behind`.
    fn row(self, at: usize, behind: Option<u32>) -> Result<Ip2regionRow<'a>, Ip2regionError> {
        let offset = self.first + at * INDEX_ROW_LEN;
        let at_word = |nth: usize| word(self.octets, offset + 4 * nth).unwrap_or(0);
        let (start, end, pointer) = (at_word(0), at_word(1), at_word(2));
        if start > end || behind.is_some_and(|behind| start <= behind) {
            return Err(Ip2regionError::Order { row: at + 1, start: start.into(), end: end.into() });
        }
        let (offset, len) = ((pointer & 0x00ff_ffff) as usize, (pointer >> 24) as usize);
        let wrong = Ip2regionError::Data { row: at + 1, offset, len };
        let text = self.octets.get(offset..offset + len).and_then(|data| data.get(CITY_NUMBER_LEN..));
        let text = text.and_then(|text| std::str::from_utf8(text).ok()).ok_or_else(|| wrong.clone())?;
        let mut fields = text.split('|').map(|field| Some(field).filter(|field| !matches!(*field, "" | "0")));
        let five = [fields.next(), fields.next(), fields.next(), fields.next(), fields.next()];
        let ([Some(country_name), Some(_), Some(province), Some(city), Some(isp)], None) = (five, fields.next()) else {
            return Err(wrong);
        };
        Ok(Ip2regionRow { start: start.into(), end: end.into(), country_name, province, city, isp })
    }
}

fn word(octets: &[u8], offset: usize) -> Option<u32> {
    let four = octets.get(offset..offset.checked_add(4)?)?;
    Some(u32::from_le_bytes(four.try_into().ok()?))
}

/// Why an ip2region file was not converted.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// It does not read.
    #[error(transparent)]
    File(#[from] Ip2regionError),
    /// The database can not be written.
    #[error(transparent)]
    Draft(#[from] DraftError),
}

/// Converts a whole file. Returns the .mmdb and how many networks are in it.
pub fn ip2region(octets: &[u8], epoch_s: u64, progress: Progress<'_>) -> Result<(Vec<u8>, u64), ConvertError> {
    let file = Ip2regionFile::open(octets)?;
    let mut draft = Draft::new("Meridian-Import", "Imported from ip2region", epoch_s);
    let mut networks = 0;
    for (at, row) in file.rows().enumerate() {
        let row = row?;
        let place = row.place();
        if !place.is_unknown() {
            for net in Ipv4Subnets::new(row.start, row.end, 0) {
                draft.insert(IpNet::V4(net), &place)?;
                networks += 1;
            }
        }
        if at % 1024 == 0 {
            progress(at as u64, file.len() as u64);
        }
    }
    Ok((draft.finish()?, networks))
}

#[cfg(test)]
pub(in crate::geo) mod tests {
    use super::*;

    /// A file of these rows.
    pub(in crate::geo) fn file(rows: &[(&str, &str, &str)]) -> Vec<u8> {
        let mut octets = vec![0; 8];
        let mut index = Vec::new();
        for (start, end, text) in rows {
            let pointer = (((CITY_NUMBER_LEN + text.len()) as u32) << 24) | octets.len() as u32;
            octets.extend([7, 0, 0, 0]);
            octets.extend(text.as_bytes());
            for address in [start, end] {
                let address: Ipv4Addr = address.parse().unwrap();
                index.extend(u32::from(address).to_le_bytes());
            }
            index.extend(pointer.to_le_bytes());
        }
        let first = octets.len() as u32;
        octets.extend(&index);
        octets[0..4].copy_from_slice(&first.to_le_bytes());
        octets[4..8].copy_from_slice(&(first + (index.len() - INDEX_ROW_LEN) as u32).to_le_bytes());
        octets
    }

    fn sample() -> Vec<u8> {
        file(&[
            ("0.0.0.0", "0.255.255.255", "0|0|0|内网IP|内网IP"),
            ("1.0.1.0", "1.0.3.255", "中国|0|北京|北京市|联通"),
            ("1.0.4.0", "1.0.4.255", "中国|0|台湾省|0|中华电信"),
            ("1.0.5.0", "1.0.5.9", "美国|0|加利福尼亚|0|0"),
        ])
    }

    #[test]
    fn rows_become_places_with_codes() {
        let octets = sample();
        let places: Vec<Place> = Ip2regionFile::open(&octets).unwrap().rows().map(|row| row.unwrap().place()).collect();
        assert!(places[0].is_unknown());
        assert_eq!(places[1].subdivision.as_deref(), Some("CN-BJ"));
        assert_eq!(places[1].isp.as_deref(), Some("China Unicom"));
        assert_eq!(places[2].country, CountryCode::new("TW"));
        assert_eq!(places[2].subdivision, None);
        assert_eq!(places[3].subdivision.as_deref(), Some("加利福尼亚"));
        assert_eq!(places[3].city, None);
    }

    #[test]
    fn a_damaged_file_is_refused_wherever_it_is_cut_or_changed() {
        let octets = sample();
        for len in 0..octets.len() {
            assert!(Ip2regionFile::open(&octets[..len]).is_err(), "cut to {len}");
        }
        for at in 0..octets.len() {
            for change in [0x01, 0x80, 0xff] {
                let mut changed = octets.clone();
                changed[at] ^= change;
                if let Ok(file) = Ip2regionFile::open(&changed) {
                    assert!(file.rows().count() <= file.len());
                }
            }
        }
    }

    #[test]
    fn rows_out_of_order_are_refused_by_number() {
        let octets = file(&[("1.0.0.0", "1.0.0.9", "0|0|0|0|0"), ("1.0.0.9", "1.0.0.10", "0|0|0|0|0")]);
        let last = Ip2regionFile::open(&octets).unwrap().rows().last().unwrap();
        assert!(matches!(last, Err(Ip2regionError::Order { row: 2, .. })), "{last:?}");
        let octets = file(&[("1.0.0.0", "1.0.0.9", "0|0|0|0")]);
        let last = Ip2regionFile::open(&octets).unwrap().rows().last().unwrap();
        assert!(matches!(last, Err(Ip2regionError::Data { row: 1, .. })), "{last:?}");
    }
}
