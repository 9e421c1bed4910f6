//! Reading other people's tables of addresses, to make databases of them.
//!
//! Two forms: CSV that a person or a script writes ([`csv`]), and the binary file of ip2region
//! ([`Ip2regionFile`], [`ip2region`]). Both end in a [`Draft`](super::build::Draft). Input is never
//! trusted: every offset, length and number is checked, and what is wrong is said with its place.

mod csv;
mod ip2region;

pub use csv::{Finding, Imported, Problem, csv};
pub use ip2region::{ConvertError, Ip2regionError, Ip2regionFile, Ip2regionRow, ip2region};

#[cfg(test)]
pub(super) use ip2region::tests::file as ip2region_file;
