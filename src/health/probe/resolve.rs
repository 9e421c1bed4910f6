//! Names of targets to addresses.
//!
//! A check may probe a name, and an endpoint may be one. Its addresses are asked of the resolver that the
//! configuration names, or of the system's (`/etc/resolv.conf`), after a look into `/etc/hosts`; names are
//! absolute, search lists do not apply. Over UDP, over TCP when a reply is truncated, A and AAAA at once, one
//! resolver after the other, twice.
//!
//! **A silent resolver is not a dead target.** Addresses that have been learnt are used for an hour after the
//! resolver last confirmed them. A probe waits for fresh ones only briefly while older ones are known, so that a
//! resolver's silence does not look like a target's slowness; the question goes on behind it. Of many probes of
//! one name one asks. Only when nothing is known is there an error, which a probe reports as
//! [`crate::health::Outcome::Blind`].
//!
//! "There is no such name" is an answer: it ends what was known. Whoever follows the name as a client would finds
//! nothing either.
//!
//! Pure parts: [`cache`] keeps what is known, [`system`] reads the files.

mod cache;
mod system;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RData;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use self::cache::{Attempts, Cache, Look};
use self::system::System;
use super::question::Question;
use super::{Resolve, Unresolved};
use crate::limits::{
    CNAME_HOPS_MAX, RESOLVE_ATTEMPT_MS, RESOLVE_IN_FLIGHT_MAX, RESOLVE_PATIENCE_MS, RESOLVE_TIMEOUT_MS,
    RESOLVED_ADDRESSES_MAX, RESOLVED_NAMES_MAX, RESOLVER_FILES_S,
};
use crate::model::Name;

/// The addresses of a name: not empty, IPv4 first, each family ascending, so that the same target is probed
/// however a resolver turns its answers.
pub type Addresses = Arc<[IpAddr]>;

/// Why a name has no addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// No resolver has answered, and nothing is known from before.
    #[error("cannot resolve {name}: {why}")]
    Silent {
        /// What was asked for.
        name: Name,
        /// What came instead of an answer.
        why: String,
    },
    /// The name does not exist.
    #[error("there is no such name as {0}")]
    NoSuchName(Name),
    /// The name exists, and has no address.
    #[error("{0} has no address")]
    NoAddress(Name),
    /// More names at once than are looked after.
    #[error("cannot resolve {0}: too many names are being resolved")]
    Busy(Name),
}

impl ResolveError {
    /// True when the resolver told so: not our blindness, but what clients of the name find too.
    pub fn is_answer(&self) -> bool {
        match self {
            ResolveError::NoSuchName(_) | ResolveError::NoAddress(_) => true,
            ResolveError::Silent { .. } | ResolveError::Busy(_) => false,
        }
    }
}

/// Where answers come from.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The only resolver; `None`: those that `resolv_conf` lists.
    pub server: Option<SocketAddr>,
    /// As `/etc/hosts` (hosts(5)).
    pub hosts: PathBuf,
    /// As `/etc/resolv.conf` (resolv.conf(5)); only its name servers are read.
    pub resolv_conf: PathBuf,
}

impl Sources {
    /// The system's files, and the configured resolver if there is one.
    pub fn of_system(server: Option<SocketAddr>) -> Sources {
        Sources { server, hosts: "/etc/hosts".into(), resolv_conf: "/etc/resolv.conf".into() }
    }
}

/// Resolves names of targets. Cheap to clone: clones share what they know.
#[derive(Clone, Debug)]
pub struct Resolver {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    sources: Sources,
    known: Mutex<Known>,
    gate: Semaphore,
}

#[derive(Debug, Default)]
struct Known {
    cache: Cache,
    /// Questions under way, by name. The sending half lives in the task that asks.
    flights: HashMap<Name, watch::Receiver<()>>,
    attempts: Attempts,
    system: Option<(Instant, Arc<System>)>,
}

impl Shared {
    /// What is under the lock is whole at any moment, whoever panicked.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Resolver {
    /// Knows nothing yet, and asks nobody until a name is wanted.
    pub fn new(sources: Sources) -> Resolver {
        let shared = Shared { sources, known: Mutex::default(), gate: Semaphore::new(RESOLVE_IN_FLIGHT_MAX) };
        Resolver { shared: Arc::new(shared) }
    }

    /// The addresses of `name`. Must run within a tokio runtime. Takes no longer than `RESOLVE_TIMEOUT_MS`, and
    /// no longer than `RESOLVE_PATIENCE_MS` when addresses are known from before.
    pub async fn addresses(&self, name: &Name) -> Result<Addresses, ResolveError> {
        let (meanwhile, mut landed) = {
            let mut known = self.shared.known();
            match known.cache.look(name, Instant::now()) {
                Look::Fresh(answer) => return answer,
                Look::Ask { meanwhile } => (meanwhile, self.flight(&mut known, name)?),
            }
        };
        let patience = if meanwhile.is_some() { RESOLVE_PATIENCE_MS } else { RESOLVE_TIMEOUT_MS };
        // The sender never sends: it goes when the flight is over.
        let _ = timeout(Duration::from_millis(patience), landed.changed()).await;
        match self.shared.known().cache.look(name, Instant::now()) {
            Look::Fresh(answer) => answer,
            Look::Ask { meanwhile: Some(addresses) } => Ok(addresses),
            Look::Ask { meanwhile: None } => {
                Err(ResolveError::Silent { name: name.clone(), why: "no answer in time".to_owned() })
            }
        }
    }

    /// True when nobody has answered for some seconds, though asked: then this node, not its targets, has lost
    /// something. False when nothing was asked.
    pub fn is_failing(&self) -> bool {
        self.shared.known().attempts.is_failing(Instant::now())
    }

    /// Joins the question for `name` that is under way, or starts one.
    fn flight(&self, known: &mut Known, name: &Name) -> Result<watch::Receiver<()>, ResolveError> {
        if let Some(flight) = known.flights.get(name)
            && flight.has_changed().is_ok()
        {
            return Ok(flight.clone());
        }
        if known.flights.len() >= RESOLVED_NAMES_MAX {
            return Err(ResolveError::Busy(name.clone()));
        }
        let (sender, receiver) = watch::channel(());
        known.flights.insert(name.clone(), receiver.clone());
        let (shared, name) = (Arc::clone(&self.shared), name.clone());
        tokio::spawn(async move {
            let learnt = learn(&shared, &name).await;
            let mut known = shared.known();
            known.flights.remove(&name);
            known.cache.fold(name, learnt, Instant::now());
            drop(known);
            drop(sender);
        });
        Ok(receiver)
    }
}

#[async_trait]
impl Resolve for Resolver {
    fn is_failing(&self) -> bool {
        Resolver::is_failing(self)
    }

    async fn resolve(&self, name: &Name) -> Result<Vec<IpAddr>, Unresolved> {
        self.addresses(name).await.map(|addresses| addresses.to_vec()).map_err(|error| match error.is_answer() {
            true => Unresolved::Absent(error.to_string()),
            false => Unresolved::Silent(error.to_string()),
        })
    }
}

/// Addresses, and for how long they may be used.
type Learnt = Result<(Addresses, Duration), ResolveError>;

/// Asks files, then resolvers.
async fn learn(shared: &Arc<Shared>, name: &Name) -> Learnt {
    let silent = |why: &str| ResolveError::Silent { name: name.clone(), why: why.to_owned() };
    let Ok(_permit) = shared.gate.acquire().await else { return Err(silent("shutting down")) };
    let system = system(shared).await;
    if let Some(addresses) = system.hosts(name) {
        return Ok((addresses, Duration::from_secs(RESOLVER_FILES_S)));
    }
    let servers = match shared.sources.server {
        Some(server) => vec![server],
        None => system.servers().to_vec(),
    };
    let learnt = match timeout(Duration::from_millis(RESOLVE_TIMEOUT_MS), ask_all(&servers, name)).await {
        Ok(learnt) => learnt,
        Err(_) => Err(silent("no answer in time")),
    };
    let answered = match &learnt {
        Ok(_) => true,
        Err(error) => error.is_answer(),
    };
    shared.known().attempts.record(answered, Instant::now());
    learnt
}

/// What the files say, read again now and then, never on a thread that carries probes.
async fn system(shared: &Arc<Shared>) -> Arc<System> {
    let before = match &shared.known().system {
        Some((at, system)) if at.elapsed() < Duration::from_secs(RESOLVER_FILES_S) => return Arc::clone(system),
        Some((_, system)) => Some(Arc::clone(system)),
        None => None,
    };
    let sources = shared.sources.clone();
    let read = tokio::task::spawn_blocking(move || System::read(&sources.hosts, &sources.resolv_conf)).await;
    // Only a panic or the end of the runtime leaves nothing read; what was known then goes on.
    let system = read.map(Arc::new).ok().or(before).unwrap_or_default();
    shared.known().system = Some((Instant::now(), Arc::clone(&system)));
    system
}

/// One resolver after the other, twice, until one answers.
async fn ask_all(servers: &[SocketAddr], name: &Name) -> Learnt {
    let mut why = "no resolver is configured".to_owned();
    for &server in servers.iter().chain(servers) {
        match timeout(Duration::from_millis(RESOLVE_ATTEMPT_MS), ask(server, name)).await {
            Ok(Ok(answer)) => return answer,
            Ok(Err(failure)) => why = failure,
            Err(_) => why = format!("{server} does not answer"),
        }
    }
    Err(ResolveError::Silent { name: name.clone(), why })
}

/// What one resolver says of both families; `Err` when it says nothing.
async fn ask(server: SocketAddr, name: &Name) -> Result<Learnt, String> {
    let (v4, v6) = tokio::join!(ask_family(server, name, A), ask_family(server, name, AAAA));
    let mut addresses = Vec::new();
    let mut ttl_s = u32::MAX;
    for family in [&v4, &v6] {
        if let Ok(Family::Addresses { of, ttl_s: of_family }) = family {
            addresses.extend_from_slice(of);
            ttl_s = ttl_s.min(*of_family);
        }
    }
    if !addresses.is_empty() {
        addresses.sort_unstable();
        addresses.dedup();
        addresses.truncate(RESOLVED_ADDRESSES_MAX);
        return Ok(Ok((addresses.into(), Duration::from_secs(ttl_s.into()))));
    }
    match (v4?, v6?) {
        (Family::NoSuchName, _) | (_, Family::NoSuchName) => Ok(Err(ResolveError::NoSuchName(name.clone()))),
        _ => Ok(Err(ResolveError::NoAddress(name.clone()))),
    }
}

/// Types of the questions.
const A: u16 = 1;
const AAAA: u16 = 28;

/// What is known of one address family; addresses may be none.
enum Family {
    Addresses { of: Vec<IpAddr>, ttl_s: u32 },
    NoSuchName,
}

async fn ask_family(server: SocketAddr, name: &Name, rtype: u16) -> Result<Family, String> {
    let question = Question::new(name, rtype);
    let reply = question.ask(server).await.map_err(|cause| cause.to_string())?;
    match reply.metadata.response_code {
        ResponseCode::NoError => Ok(addresses_in(&reply, question.name(), rtype)),
        ResponseCode::NXDomain => Ok(Family::NoSuchName),
        failure => Err(format!("{server} answers: {failure}")),
    }
}

/// The addresses at the end of the chain of CNAMEs that begins at `name`.
fn addresses_in(reply: &Message, name: &hickory_proto::rr::Name, rtype: u16) -> Family {
    let mut owner = name;
    let mut ttl_s = u32::MAX;
    for _ in 0..CNAME_HOPS_MAX {
        let next = reply.answers.iter().filter(|record| record.name == *owner).find_map(|record| match &record.data {
            RData::CNAME(target) => Some((&target.0, record.ttl)),
            _ => None,
        });
        let Some((target, ttl_of_hop)) = next else { break };
        owner = target;
        ttl_s = ttl_s.min(ttl_of_hop);
    }
    let mut of = Vec::new();
    for record in reply.answers.iter().filter(|record| record.name == *owner) {
        match &record.data {
            RData::A(address) if rtype == A => of.push(IpAddr::V4(address.0)),
            RData::AAAA(address) if rtype == AAAA => of.push(IpAddr::V6(address.0)),
            _ => continue,
        }
        ttl_s = ttl_s.min(record.ttl);
    }
    Family::Addresses { of, ttl_s }
}

#[cfg(test)]
mod tests;
