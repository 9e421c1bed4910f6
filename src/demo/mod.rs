//! Stand-in data centres: what a newcomer's first run probes instead of other people's addresses.
//!
//! For each data centre of the policy there is a stand-in on a loopback address of its own (127.0.0.11, .12, … by
//! id), with three doors at ports that the kernel chooses: HTTPS, HTTP, and TCP. Every path answers 200 and
//! `{"status":"UP"}`, as a Spring Boot actuator does. Certificates are made on the fly for whatever server name is
//! asked for, by a CA that is made when the program starts and forgotten when it ends.
//!
//! A stand-in misbehaves on order ([`StandIns::set`]), in the ways in which data centres die:
//!
//! | mode | new connections | HTTP | what a probe sees |
//! |---|---|---|---|
//! | `up` | accepted | 200, `UP` | success |
//! | `fail` | refused; open ones are closed | – | connection refused |
//! | `hang` | accepted, and never a word | – | time limit |
//! | `slow` | accepted, the first word after 2.5 s | 200, `UP` | a late answer |
//! | `lie` | accepted | 200, `DOWN` | a wrong body |
//!
//! A bare TCP connection is a success in all but `fail`, as in real life: a check that only connects does not
//! notice a server that hangs.
//!
//! Nothing here listens on or connects to anything but loopback. Several instances can run at once: they share
//! addresses, not ports.
//!
//! [`crate::model::StandInMap`], from [`StandIns::map`], tells control where the probes go.

mod certificates;
mod door;
mod talk;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use self::certificates::Authority;
use self::door::{Door, Order};
use self::talk::{Speech, Tls};
use crate::limits::{DATACENTERS_MAX, STAND_IN_CONNECTIONS_MAX, STAND_IN_OBEYS_MS};
use crate::model::{DatacenterId, Protocol, StandInDoors, StandInMap};

/// How a stand-in behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Mode {
    /// As a healthy data centre.
    #[default]
    Up,
    /// Refuses connections.
    Fail,
    /// Accepts and says nothing.
    Hang,
    /// Answers late.
    Slow,
    /// Answers in time that it is down.
    Lie,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Mode; 5] = [Mode::Up, Mode::Fail, Mode::Hang, Mode::Slow, Mode::Lie];

    /// As it is ordered; `recover` is another name for `up`.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Up => "up",
            Mode::Fail => "fail",
            Mode::Hang => "hang",
            Mode::Slow => "slow",
            Mode::Lie => "lie",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why a word is no [`Mode`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no mode of a stand-in; there are: fail, hang, slow, lie, recover")]
pub struct UnknownMode(pub String);

impl FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(word: &str) -> Result<Mode, UnknownMode> {
        if word == "recover" {
            return Ok(Mode::Up);
        }
        Mode::ALL.into_iter().find(|mode| mode.as_str() == word).ok_or_else(|| UnknownMode(word.to_owned()))
    }
}

/// Why an order to a stand-in was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    /// There is no stand-in for it.
    #[error("there is no stand-in for {0}")]
    Unknown(DatacenterId),
    /// It is being carried out, but takes long: mostly because another program has taken a port in the meantime.
    #[error("the stand-in for {0} has not changed yet: another program may hold one of its ports; it goes on trying")]
    Late(DatacenterId),
}

/// The stand-ins of a running demonstration. Dropping it closes them.
#[derive(Debug)]
pub struct StandIns {
    sites: BTreeMap<DatacenterId, Site>,
    authority: Arc<Authority>,
}

/// One stand-in.
#[derive(Debug)]
struct Site {
    doors: StandInDoors,
    order: watch::Sender<Order>,
    /// The number of the order that each door follows.
    followed: [watch::Receiver<u64>; 3],
}

impl StandIns {
    /// Opens a stand-in for each data centre, up, served by `runtime`.
    ///
    /// # Errors
    /// When an address or port can not be had (a system where 127.0.0.0/8 is not wholly loopback), or when the
    /// system gives no random numbers for the certificates.
    pub fn start(mut datacenters: Vec<DatacenterId>, runtime: &Handle) -> io::Result<StandIns> {
        datacenters.sort_unstable();
        datacenters.dedup();
        if datacenters.len() > DATACENTERS_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many data centres for stand-ins"));
        }
        let authority = Arc::new(Authority::new().map_err(io::Error::other)?);
        let tls = Tls::new(Arc::clone(&authority)).map_err(io::Error::other)?;
        let _within = runtime.enter();
        let sites = datacenters
            .into_iter()
            .enumerate()
            .map(|(at, id)| Ok((id, Site::open(address(at), &tls)?)))
            .collect::<io::Result<_>>()?;
        Ok(StandIns { sites, authority })
    }

    /// Orders how a stand-in behaves from now on, and waits until all its doors do.
    pub async fn set(&self, datacenter: &DatacenterId, mode: Mode) -> Result<(), SetError> {
        let site = self.sites.get(datacenter).ok_or_else(|| SetError::Unknown(datacenter.clone()))?;
        let mut number = 0;
        site.order.send_modify(|order| {
            number = order.number + 1;
            *order = Order { number, mode };
        });
        let all = async {
            for followed in &site.followed {
                // A later order includes this one.
                let _ = followed.clone().wait_for(|&reached| reached >= number).await;
            }
        };
        let late = |_| SetError::Late(datacenter.clone());
        timeout(Duration::from_millis(STAND_IN_OBEYS_MS), all).await.map_err(late)
    }

    /// How a stand-in was last ordered to behave.
    pub fn mode(&self, datacenter: &DatacenterId) -> Option<Mode> {
        Some(self.sites.get(datacenter)?.order.borrow().mode)
    }

    /// Where probes of a protocol go; `None` when there is no such stand-in, or it does not speak that.
    pub fn address_for(&self, datacenter: &DatacenterId, protocol: Protocol) -> Option<SocketAddr> {
        let doors = &self.sites.get(datacenter)?.doors;
        match protocol {
            Protocol::Https | Protocol::Tls => Some(doors.https),
            Protocol::Http => Some(doors.http),
            Protocol::Tcp => Some(doors.tcp),
            Protocol::Dns | Protocol::Grpc | Protocol::Icmp | Protocol::Prometheus | Protocol::External => None,
        }
    }

    /// The data centres and the doors of their stand-ins: what control makes targets from.
    pub fn map(&self) -> StandInMap {
        StandInMap { of: self.sites.iter().map(|(id, site)| (id.clone(), site.doors)).collect() }
    }

    /// The CA whose certificates the stand-ins show, for probes to trust.
    pub fn ca_der(&self) -> &CertificateDer<'static> {
        self.authority.certificate()
    }

    /// The same as PEM, for people: `curl --cacert`.
    pub fn ca_pem(&self) -> &str {
        self.authority.certificate_pem()
    }
}

impl Site {
    /// Within a runtime.
    fn open(address: Ipv4Addr, tls: &Tls) -> io::Result<Site> {
        let (order, _) = watch::channel(Order::default());
        let room = Arc::new(Semaphore::new(STAND_IN_CONNECTIONS_MAX));
        let open = |speech| Door::open(address, speech, Arc::clone(&room), order.subscribe());
        let (https, https_follows) = open(Speech::Https(tls.clone()))?;
        let (http, http_follows) = open(Speech::Http)?;
        let (tcp, tcp_follows) = open(Speech::Tcp)?;
        let doors = StandInDoors { https, http, tcp };
        Ok(Site { doors, order, followed: [https_follows, http_follows, tcp_follows] })
    }
}

/// 127.0.0.11 to .250, then 127.0.1.11 and so on.
fn address(at: usize) -> Ipv4Addr {
    const A_NET: usize = 240;
    let part = |n: usize| u8::try_from(n).expect("DATACENTERS_MAX is less than 256 nets of 240");
    Ipv4Addr::new(127, 0, part(at / A_NET), part(11 + at % A_NET))
}

#[cfg(test)]
mod tests;
