//! Great-circle distance in whole kilometres, and the order of the nearest data centres.
//!
//! No floating point: the same file gives the same order on every processor and with every compiler. Sines
//! are fixed-point numbers with 62 fractional bits from a power series; the haversine of an angle grows
//! with the angle, so the distance is found by looking the haversine up in a table that holds its value at
//! every half kilometre. Both tables are made once, when first asked; compiling a map looks into them,
//! answering a query never does.
//!
//! The globe is a sphere of the mean radius 6 371.009 km (IUGG), which is off by at most 0.56 % from the
//! ellipsoid; what lies between is far below what GeoIP coordinates are worth.

use std::sync::LazyLock;

use crate::limits::{NEAREST_ORDER_LEN, NEAREST_SITES_MAX};
use crate::model::{Coordinates, DatacenterIx, Site};

/// Fills places of an order for which there is no site.
pub const NO_SITE: u8 = 0xff;

/// Fractional bits of a sine.
const SCALE: u32 = 62;
const ONE: i128 = 1 << SCALE;

/// π in the same scale, rounded to nearest.
const PI: i128 = 14_488_038_916_154_245_685;

/// The earth's mean radius.
const RADIUS_M: i128 = 6_371_009;

/// Half a turn in the steps of [`SINES`], hundredths of a degree halved.
const HALF_TURN: u16 = 36_000;

/// sin of 0 to 90 degrees in steps of 1/200 degree.
static SINES: LazyLock<Vec<u64>> =
    LazyLock::new(|| (0..=i128::from(HALF_TURN / 2)).map(|step| sine(step * PI / i128::from(HALF_TURN))).collect());

/// The haversine at which a distance rounds up to 1 km, to 2 km, and so on to the other side of the globe.
static HAVERSINES: LazyLock<Vec<u64>> = LazyLock::new(|| {
    // Half the angle, in radians, of (2 km + 1) / 2 kilometres: the haversine is its sine squared.
    let half_angle = |km: i128| (2 * km + 1) * 250 * ONE / RADIUS_M;
    (0..)
        .map(half_angle)
        .take_while(|&half_angle| half_angle <= PI / 2)
        .map(|half_angle| product(sine(half_angle), sine(half_angle)))
        .collect()
});

/// The sine of 0 to π/2 by its power series.
fn sine(angle: i128) -> u64 {
    let square = (angle * angle) >> SCALE;
    let mut term = angle;
    let mut sum = angle;
    // 2·3, 4·5, … The thirteenth term of the series at π/2 is below the scale.
    for n in 1..13 {
        term = -((term * square) >> SCALE) / (2 * n * (2 * n + 1));
        sum += term;
    }
    u64::try_from(sum.clamp(0, ONE)).expect("2^62 fits")
}

fn product(one: u64, other: u64) -> u64 {
    let product = (u128::from(one) * u128::from(other)) >> SCALE;
    u64::try_from(product).expect("both factors are at most 2^62")
}

/// The great-circle distance between two points in whole kilometres, to nearest; at most 20 015.
pub fn distance_km(one: Coordinates, other: Coordinates) -> u32 {
    let sines = &*SINES;
    // Latitudes and longitudes are in hundredths of a degree, so the difference is the half angle in steps.
    let latitude = one.latitude_centideg.abs_diff(other.latitude_centideg);
    let around = one.longitude_centideg.abs_diff(other.longitude_centideg);
    let longitude = around.min(HALF_TURN.saturating_sub(around));
    let half_sine = |steps: u16| sines[usize::from(steps.min(HALF_TURN / 2))];
    // cos φ = sin (90° - φ), and a hundredth of a degree is two steps.
    let cosine =
        |at: Coordinates| half_sine(HALF_TURN / 2 - (2 * at.latitude_centideg.unsigned_abs()).min(HALF_TURN / 2));
    let along = product(half_sine(latitude), half_sine(latitude));
    let across = product(half_sine(longitude), half_sine(longitude));
    let haversine = along + product(product(cosine(one), cosine(other)), across);
    let km = HAVERSINES.partition_point(|&least| least <= haversine);
    u32::try_from(km).expect("half the earth's girth is 20 015 km")
}

/// What sites are ordered by: distance plus bias, and where that is equal the data centre's index.
fn remoteness(site: &Site, at: Coordinates) -> (i64, DatacenterIx) {
    (i64::from(distance_km(site.at, at)) + i64::from(site.bias_km), site.datacenter)
}

/// The nearest sites of each of `pools`, all in one order by distance plus bias, the nearest first. Within
/// any of the pools the order of its own nearest [`NEAREST_ORDER_LEN`] is right, whatever the others hold.
pub fn nearest_of_each<'a>(pools: impl IntoIterator<Item = &'a [Site]>, at: Coordinates) -> Vec<DatacenterIx> {
    let mut found: Vec<(i64, DatacenterIx)> = pools
        .into_iter()
        .flat_map(|sites| nearest(sites, at).into_iter().filter_map(|place| sites.get(usize::from(place))))
        .map(|site| remoteness(site, at))
        .collect();
    found.sort_unstable();
    found.dedup();
    found.into_iter().map(|(_, datacenter)| datacenter).collect()
}

/// The nearest sites by distance plus bias, nearest first, as positions in `sites`; equal ones in the order
/// of their data centre's index. [`NO_SITE`] fills up. There are at most [`NEAREST_SITES_MAX`]: policies
/// with more are refused.
pub fn nearest(sites: &[Site], at: Coordinates) -> [u8; NEAREST_ORDER_LEN] {
    let mut order = [NO_SITE; NEAREST_ORDER_LEN];
    let mut found: Vec<((i64, DatacenterIx), u8)> = (0..NO_SITE)
        .zip(sites.iter().take(NEAREST_SITES_MAX))
        .map(|(position, site)| (remoteness(site, at), position))
        .collect();
    found.sort_unstable();
    for (place, (_, position)) in order.iter_mut().zip(found) {
        *place = position;
    }
    order
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(latitude: f64, longitude: f64) -> Coordinates {
        Coordinates::from_degrees(latitude, longitude).unwrap()
    }

    /// The haversine formula as it stands in books, in floating point.
    fn textbook_km(one: Coordinates, other: Coordinates) -> f64 {
        let radians = |centideg: i16| f64::from(centideg).to_radians() / 100.0;
        let (lat1, lat2) = (radians(one.latitude_centideg), radians(other.latitude_centideg));
        let (lon1, lon2) = (radians(one.longitude_centideg), radians(other.longitude_centideg));
        let h = ((lat2 - lat1) / 2.0).sin().powi(2) + lat1.cos() * lat2.cos() * ((lon2 - lon1) / 2.0).sin().powi(2);
        2.0 * 6371.009 * h.sqrt().min(1.0).asin()
    }

    #[test]
    fn distances_of_known_pairs() {
        let beijing = at(39.90, 116.40);
        for (other, km) in [
            (at(39.90, 116.40), 0),
            (at(39.91, 116.40), 1),
            (at(31.23, 121.47), 1067),
            (at(50.11, 8.68), 7781),
            (at(-33.87, 151.21), 8948),
            (at(-39.90, -63.60), 20_015),
            (at(90.0, 0.0), 5571),
        ] {
            assert_eq!(distance_km(beijing, other), km, "{other:?}");
            assert_eq!(distance_km(other, beijing), km, "{other:?}");
        }
        assert_eq!(distance_km(at(0.0, 179.99), at(0.0, -179.99)), 2, "over the date line");
        assert_eq!(distance_km(at(0.0, 180.0), at(0.0, -180.0)), 0, "one meridian, two names");
        assert_eq!(distance_km(at(90.0, 12.0), at(90.0, -170.0)), 0, "one pole, all longitudes");
        assert_eq!(distance_km(at(90.0, 0.0), at(-90.0, 0.0)), 20_015);
    }

    #[test]
    fn the_tables_are_what_they_were() {
        // Vectors: another value anywhere means that nodes of two versions could disagree.
        assert_eq!((SINES.len(), SINES[0], SINES[18_000]), (18_001, 0, 1 << 62));
        assert_eq!(SINES[6_000], (1 << 61) - 1, "sin 30°");
        assert_eq!(HAVERSINES.len(), 20_015);
    }

    #[test]
    fn the_nearest_come_first_and_bias_and_index_decide_what_distance_does_not() {
        let site = |datacenter, at, bias_km| Site { datacenter: DatacenterIx(datacenter), at, bias_km };
        let beijing = at(39.90, 116.40);
        let shanghai = at(31.23, 121.47);
        let frankfurt = at(50.11, 8.68);
        let sites = [site(1, frankfurt, 0), site(5, shanghai, 0), site(2, beijing, 0)];
        assert_eq!(nearest(&sites, beijing), [2, 1, 0, NO_SITE]);
        assert_eq!(nearest(&[], beijing), [NO_SITE; NEAREST_ORDER_LEN]);
        let biased = [site(1, frankfurt, -7000), site(5, shanghai, 0), site(2, beijing, 1068)];
        assert_eq!(nearest(&biased, beijing), [0, 1, 2, NO_SITE]);
        let same =
            [site(7, beijing, 0), site(3, beijing, 0), site(9, beijing, 0), site(4, beijing, 0), site(1, beijing, 0)];
        assert_eq!(nearest(&same, shanghai), [4, 1, 3, 0]);
    }

    proptest! {
        #[test]
        fn distances_are_those_of_the_textbook_rounded(
            one in (-9000_i16..=9000, -18_000_i16..=18_000),
            other in (-9000_i16..=9000, -18_000_i16..=18_000),
        ) {
            let point = |(latitude_centideg, longitude_centideg)| Coordinates { latitude_centideg, longitude_centideg };
            let textbook = textbook_km(point(one), point(other));
            let km = f64::from(distance_km(point(one), point(other)));
            // Near the antipodes the textbook's own rounding is worth some metres.
            prop_assert!((km - textbook).abs() <= 0.501, "{km} is not {textbook}");
        }
    }
}
