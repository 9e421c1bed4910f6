//! Numbers that mean something: weights, times to live, sequence numbers, indices.

use std::time::Duration;

use crate::limits;

/// A number outside its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{value} is out of range; expected {min} to {max}")]
pub struct NumberError {
    /// What was given.
    pub value: u64,
    /// The least allowed.
    pub min: u64,
    /// The most allowed.
    pub max: u64,
}

fn in_range(value: u64, min: u64, max: u64) -> Result<u32, NumberError> {
    if (min..=max).contains(&value) {
        Ok(u32::try_from(value).expect("ranges fit 32 bits"))
    } else {
        Err(NumberError { value, min, max })
    }
}

/// How much of the traffic a member takes, relative to the others of its pool.
///
/// 0 means: only when every non-zero member of the pool is unusable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(u32);

impl Weight {
    /// The weight of a member that names none.
    pub const ONE: Weight = Weight(1);
    /// Last resort.
    pub const ZERO: Weight = Weight(0);

    /// 0 to [`limits::WEIGHT_MAX`].
    pub fn new(value: u64) -> Result<Weight, NumberError> {
        in_range(value, 0, u64::from(limits::WEIGHT_MAX)).map(Weight)
    }

    /// The number.
    pub fn value(self) -> u32 {
        self.0
    }
}

/// A time to live, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ttl(u32);

impl Ttl {
    /// What a service's answers carry unless its policy says otherwise.
    pub const DEFAULT: Ttl = Ttl(limits::TTL_DEFAULT_S);

    /// 0 to [`limits::TTL_MAX_S`] seconds.
    pub fn from_secs(seconds: u64) -> Result<Ttl, NumberError> {
        in_range(seconds, 0, u64::from(limits::TTL_MAX_S)).map(Ttl)
    }

    /// Seconds.
    pub fn as_secs(self) -> u32 {
        self.0
    }
}

/// The place of an operator's order in the one ordered log of orders. 0 is "before the first".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

/// The number of a published routing table, each node's own. It never goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

/// A point in time on this process' own clock, which never jumps: since an origin that is the same for all
/// of the process and means nothing outside it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub Duration);

impl Moment {
    /// How long ago `earlier` was; zero when it is not earlier.
    pub fn since(self, earlier: Moment) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl std::ops::Add<Duration> for Moment {
    type Output = Moment;

    fn add(self, later: Duration) -> Moment {
        Moment(self.0.saturating_add(later))
    }
}

macro_rules! index {
    ($(#[$doc:meta])* $name:ident, $int:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $int);

        impl $name {
            /// As a slice index.
            pub fn at(self) -> usize {
                self.0 as usize
            }

            /// From a slice index, which the limits keep in range.
            pub fn from_at(at: usize) -> $name {
                $name(<$int>::try_from(at).expect("limits keep indices in range"))
            }
        }
    };
}

index!(
    /// A service in [`super::PolicySet::services`].
    ServiceIx, u32
);
index!(
    /// An endpoint in [`super::Service::endpoints`].
    EndpointIx, u16
);
index!(
    /// A data centre in [`super::PolicySet::datacenters`].
    DatacenterIx, u16
);
index!(
    /// A region in [`super::PolicySet::regions`].
    RegionIx, u16
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_outside_their_range_cannot_be_built() {
        assert!(Weight::new(1_000_000).is_ok());
        assert!(Weight::new(1_000_001).is_err());
        assert!(Ttl::from_secs(604_800).is_ok());
        let error = Ttl::from_secs(604_801).unwrap_err();
        assert_eq!(error.to_string(), "604801 is out of range; expected 0 to 604800");
    }
}
