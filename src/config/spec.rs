//! The format of policy files: every field, once.
//!
//! What stands here is what a file may say; what it means is for `policy` to work out. The comments are
//! the descriptions that editors show.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::check_spec::HealthCheckSpec;
use super::form::{At, Either, Entries, Nested, OneOrMany, mapping};
use super::net::{Asn, Client};
use super::orders::ServiceOrdersSpec;
use super::request::CountOrShare;
use super::scalar::{Degrees, Lasting, Signed, Whole};
use super::words::{ContinentWord, EnterWord, FailbackWord, FallbackWord, MethodWord, RcodeWord, RecordType, TypeWord};
use crate::limits;
use crate::model::{CheckId, DatacenterId, EndpointId, GroupId, Name, RegionId, Ttl, Weight};

mapping! {
    /// A policy file: one service, or things that services share, or both.
    FileSpec, "a policy file" {
        /// The version of the format.
        version: At<Whole<1, 1>> = "1",
        /// One service: a name whose addresses are decided.
        gslb: Nested<ServiceSpec>,
        /// Data centres by id: where they are, their other names, what they can carry.
        datacenters: Entries<DatacenterId, Option<DatacenterSpec>>,
        /// Several data centres under one name, such as a city.
        groups: Entries<GroupId, OneOrMany<At<String>>>,
        /// Named sets of client locations.
        regions: Entries<RegionId, RuleSpec>,
        /// Health checks that several services share.
        health_checks: Entries<CheckId, HealthCheckSpec>,
        /// What you know better than any database: networks and where they are.
        networks: Entries<IpNet, NetworkSpec>,
        /// What the policies promise: questions with the answers that must come.
        tests: Vec<TestSpec>,
    }
}

mapping! {
    /// A service: a name whose addresses are decided.
    ServiceSpec, "a service" {
        /// The service's name, absolute with or without the final dot. `*` may be its first label.
        domain: At<Name> = required,
        /// The zone that the service is in, when you want it checked.
        zone: At<Name>,
        /// The time to live of the answers: seconds, or a duration.
        ttl: At<Ttl> = "15",
        /// How many endpoints an answer names at most. Never filled up from the next tier.
        max_answers: At<Whole<1, { limits::ANSWERS_MAX as u64 }>> = "1",
        /// The data centre whose switch means "back to policy".
        home: At<String>,
        /// A health check of the service's own, for each address of its endpoints.
        health_check: Nested<HealthCheckSpec>,
        /// Shared health checks: a name, a list (all must be up), or a combination.
        checks: ChecksSpec,
        /// Answer HTTPS queries (type 65) too, with hints from the chosen endpoint.
        https: HttpsSpec,
        /// When clients come back to a data centre that they left because it was down: `manual`, `auto`,
        /// or after it has been up for so long. Default: `manual` for primary, secondary and tertiary,
        /// `auto` elsewhere.
        failback: At<FailbackWord>,
        /// What is answered when nothing is usable: `open` (as if all that is not ordered out were up),
        /// `closed` (no data), or an endpoint: a sorry site that is answered whatever its health.
        all_down: At<String> = "open",
        /// The tiers of each region bound everything, switches included.
        geofence: At<bool> = "false",
        /// What orders about the service must say, beside what the server's configuration asks.
        orders: ServiceOrdersSpec,
        /// Who gets what.
        policies: PoliciesSpec = required,
        /// What the service can answer with, by id.
        endpoints: Entries<EndpointId, EndpointSpec> = required,
    }
}

mapping! {
    /// Policies by region. `default` says how to choose; every other key is a region.
    PoliciesSpec, "a mapping of policies" {
        /// How to choose.
        default: DefaultSpec = required,
        ..regions: String => RegionPolicySpec
    }
}

mapping! {
    /// How a service chooses among its endpoints.
    DefaultSpec, "the default policy" {
        /// `geolocation`: by the region of the client. The others choose among all endpoints and take no
        /// regions.
        r#type: At<TypeWord> = required,
        /// Over all usable endpoints, for clients of no listed region, and when the tiers of a region are
        /// exhausted. Only with `type: geolocation`.
        fallback: At<FallbackWord> = "round_robin",
    }
}

mapping! {
    /// What the clients of one region get: `primary`, `secondary` and `tertiary`, or `tiers`.
    RegionPolicySpec, "a region's policy" {
        /// The first tier: an endpoint, a list of them, or a pool.
        primary: ChoiceSpec,
        /// The second tier.
        secondary: ChoiceSpec,
        /// The third tier.
        tertiary: ChoiceSpec,
        /// Any number of tiers, in order.
        tiers: Vec<ChoiceSpec>,
        /// How to choose inside tiers that do not say it themselves. Default: `weighted`.
        method: At<MethodWord>,
        /// The tiers of this region bound everything, switches included. Default: the service's.
        geofence: At<bool>,
        /// When the tiers are exhausted. Default: that of `default`.
        fallback: At<FallbackWord>,
        /// When nothing is usable. Default: the service's.
        all_down: At<String>,
        /// When clients come back. Default: the service's.
        failback: At<FailbackWord>,
    }
}

/// An endpoint's id, a list of choices, or a pool.
pub(super) type ChoiceSpec = Either<OneOrMany<MemberSpec>, PoolSpec>;

/// An endpoint's id, or a pool.
pub(super) type MemberSpec = Either<At<String>, PoolSpec>;

mapping! {
    /// A pool: one of `endpoint`, `members` or `tiers`. `enter`, `after`, `when` and `confirm` are entry
    /// conditions and belong to tiers.
    PoolSpec, "a pool" {
        /// An endpoint's id.
        endpoint: At<String>,
        /// What the method chooses from.
        members: OneOrMany<MemberSpec>,
        /// Tiers: the first that is usable.
        tiers: Vec<ChoiceSpec>,
        /// How to choose among `members`. Default: the region's `method`, else `weighted`.
        method: At<MethodWord>,
        /// The share of this member in a pool that chooses at random or by hash. Default: the endpoint's
        /// own weight; 1 for a pool.
        weight: At<Weight>,
        /// `manual`: never by itself, only by an order. Default: `auto`.
        enter: At<EnterWord>,
        /// Only after the tiers before it have been unusable for so long.
        after: At<Lasting<0, { limits::DELAY_MAX_MS }>>,
        /// Only while these health checks are up.
        when: OneOrMany<At<String>>,
        /// Only when so many observers agree.
        confirm: At<Whole<0, 1000>>,
    }
}

mapping! {
    /// An endpoint: `ip`, or `ipv4` and `ipv6`, or `cname`.
    EndpointSpec, "an endpoint" {
        /// Its addresses, of either family.
        ip: OneOrMany<At<IpAddr>>,
        /// Its IPv4 addresses.
        ipv4: OneOrMany<At<Ipv4Addr>>,
        /// Its IPv6 addresses.
        ipv6: OneOrMany<At<Ipv6Addr>>,
        /// A name that clients are sent to, for every type.
        cname: At<Name>,
        /// The data centre that it stands in. Default: one with the endpoint's own id.
        datacenter: At<String>,
        /// Its share among members chosen at random or by hash. 0: only when every other is unusable.
        weight: At<Weight> = "1",
        /// Lower first. Read by the method `priority`; never touches the tiers of a region. Default:
        /// behind all that name one.
        priority: At<Whole<0, 65535>> = "65535",
        /// So many of its addresses must be usable for the endpoint to be.
        min_addresses: At<Whole<1, { 2 * limits::ENDPOINT_ADDRESSES_MAX as u64 }>> = "1",
        /// Other names of its data centre.
        aliases: OneOrMany<At<DatacenterId>>,
        /// Its checks, in place of the service's. An empty list: always up.
        checks: ChecksSpec,
        /// Its health is that of another endpoint, and it is not probed itself: an endpoint of this service,
        /// or `service/endpoint`.
        follows: At<String>,
    }
}

/// A check's id, a list (all must be up), or a combination.
pub(super) type ChecksSpec = Either<OneOrMany<CheckRefSpec>, CombinationSpec>;

/// A check's id, or a combination.
pub(super) type CheckRefSpec = Either<At<String>, CombinationSpec>;

mapping! {
    /// Health checks combined: one of `all`, `any`, or `at_least` with `of`.
    CombinationSpec, "a combination of checks" {
        /// Up when all of these are.
        all: OneOrMany<CheckRefSpec>,
        /// Up when one of these is.
        any: OneOrMany<CheckRefSpec>,
        /// Up when so many of `of` are.
        at_least: At<Whole<1, 256>>,
        /// What `at_least` counts.
        of: OneOrMany<CheckRefSpec>,
    }
}

mapping! {
    /// Parameters of the HTTPS record (RFC 9460).
    HttpsSpec, "HTTPS parameters" {
        /// Protocols in order of preference, such as `h3` and `h2`.
        alpn: OneOrMany<At<String>>,
        /// The port, when it is not 443.
        port: At<Whole<1, 65535>>,
    }
}

mapping! {
    /// A data centre.
    DatacenterSpec, "a data centre" {
        /// Other names; the first is the short name that answers and lists show.
        aliases: OneOrMany<At<DatacenterId>>,
        /// Degrees north, for `nearest`.
        latitude: At<Degrees<90>>,
        /// Degrees east, for `nearest`.
        longitude: At<Degrees<180>>,
        /// Kilometres added to every distance to it; negative draws clients.
        bias: At<Signed<40_000>> = "0",
        /// Requests a second that it can carry.
        capacity: At<Whole<1, 1_000_000_000_000>>,
        /// With fewer of its endpoints up than so many, or than such a percentage, all of them count as down.
        /// Default: off.
        min_healthy: At<CountOrShare>,
    }
}

/// A place's name, a list of them (any), or terms.
pub(super) type RuleSpec = Either<OneOrMany<RuleItemSpec>, TermsSpec>;

/// A place's name, or terms.
pub(super) type RuleItemSpec = Either<At<String>, TermsSpec>;

mapping! {
    /// Who is in a region. Several values of one field: any of them; several fields: all of them.
    TermsSpec, "a match rule" {
        /// Continents: AF, AN, AS, EU, NA, OC, SA.
        continent: OneOrMany<At<ContinentWord>>,
        /// Countries by ISO 3166-1 code or name.
        country: OneOrMany<At<String>>,
        /// Subdivisions by ISO 3166-2 code (`CN-BJ`) or name.
        subdivision: OneOrMany<At<String>>,
        /// Cities by name.
        city: OneOrMany<At<String>>,
        /// Autonomous systems by number.
        asn: OneOrMany<At<Asn>>,
        /// Providers by name.
        isp: OneOrMany<At<String>>,
        /// Networks.
        cidr: OneOrMany<At<IpNet>>,
        /// At least one of these rules holds.
        any: OneOrMany<RuleItemSpec>,
        /// Each of these rules holds.
        all: OneOrMany<RuleItemSpec>,
        /// This rule does not hold.
        not: Nested<RuleSpec>,
    }
}

mapping! {
    /// Where a network is; what stands here overrides every database.
    NetworkSpec, "a network" {
        /// Its continent.
        continent: At<ContinentWord>,
        /// Its country, by ISO 3166-1 code or name.
        country: At<String>,
        /// Its subdivision, by ISO 3166-2 code or name.
        subdivision: At<String>,
        /// Its city.
        city: At<String>,
        /// Its autonomous system.
        asn: At<Asn>,
        /// Its provider.
        isp: At<String>,
        /// Degrees north.
        latitude: At<Degrees<90>>,
        /// Degrees east.
        longitude: At<Degrees<180>>,
    }
}

mapping! {
    /// A policy test: a question, and the answer that must come.
    TestSpec, "a policy test" {
        /// What it is called in reports.
        name: At<String>,
        /// The client: an address or a network.
        client: At<Client> = required,
        /// The name that is asked for.
        service: At<Name> = required,
        /// The type that is asked for, by mnemonic or TYPE and number.
        r#type: At<RecordType> = "A",
        /// These data centres or groups are down.
        down: OneOrMany<At<String>>,
        /// These data centres or groups are ordered out.
        out: OneOrMany<At<String>>,
        /// A switch to this data centre or group stands.
        switch: At<String>,
        /// What must come: data centres (exactly these can answer), or a mapping.
        expect: Either<OneOrMany<At<String>>, ExpectSpec> = required,
    }
}

mapping! {
    /// What must come: one of these fields.
    ExpectSpec, "an expectation" {
        /// Exactly these data centres or groups can answer.
        dc: OneOrMany<At<String>>,
        /// Exactly these addresses can be answered.
        addresses: OneOrMany<At<IpAddr>>,
        /// NOERROR without an answer.
        nodata: At<bool>,
        /// This response code, by mnemonic.
        rcode: At<RcodeWord>,
    }
}
