//! A writer without threads, disks or clocks: it takes an order the whole way, and health beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::config::{self, SourceFile};
use crate::control::moves::Latches;
use crate::control::orders::*;
use crate::control::scene::Scene;
use crate::geo::Atlas;
use crate::limits;
use crate::model::{
    AddressKey, DatacenterIx, Facts, Generation, Moment, OrderSettings, PolicySet, Revision, ServiceIx, Settings,
    State, Verdict,
};
use crate::store;
use crate::table::{Base, Files, RoutingTable, standings};

const PLACES: &str = "networks:\n  \
    10.1.0.0/16: { country: CN, subdivision: CN-BJ, city: Beijing }\n  \
    10.2.0.0/16: { country: CN, subdivision: CN-SH, city: Shanghai }\n";

/// The reference deployment's policy, as its network team wrote it.
pub(super) const REFERENCE: &str = include_str!("../../../../zones/api.meta-driven.example.com.yaml");

/// Three services: the reference, one with a home, one in two data centres with a geofence.
pub(super) fn three() -> String {
    format!(
        "{REFERENCE}\n---\n\
         gslb:\n  domain: home.example.com\n  home: dc1\n  health_check: {{ protocol: https }}\n  \
           policies:\n    default: {{ type: geolocation, fallback: priority }}\n    \
             shanghai: {{ primary: dc3, secondary: dc1 }}\n  \
           endpoints: {{ dc1: {{ datacenter: dc1, ip: 192.0.2.1, priority: 1 }}, dc2: {{ datacenter: dc2, ip: 192.0.2.2, priority: 2 }}, dc3: {{ datacenter: dc3, ip: 192.0.2.3, priority: 3 }} }}\n---\n\
         gslb:\n  domain: two.example.com\n  health_check: {{ protocol: https }}\n  \
           policies:\n    default: {{ type: geolocation, fallback: weighted }}\n    \
             beijing: {{ primary: one, geofence: true }}\n  \
           endpoints: {{ one: {{ datacenter: dc1, ip: 192.0.2.11 }}, three: {{ datacenter: dc3, ip: 192.0.2.13 }} }}\n---\n\
         datacenters:\n  dc1_beijing_primary: {{ capacity: 1000 }}\n  dc2_beijing_standby: {{ capacity: 500 }}\n  dc3_shanghai_dr: {{ aliases: [sh] }}\n\
         groups:\n  beijing: [dc1, dc2]\n"
    )
}

pub(super) fn base(text: &str) -> Arc<Base> {
    let mut files = vec![SourceFile::new("places.yaml", PLACES.as_bytes())];
    files.extend(
        text.split("---\n").enumerate().map(|(at, text)| SourceFile::new(&format!("{at}.yaml"), text.as_bytes())),
    );
    let settings = Settings::default();
    let atlas = Arc::new(Atlas::load(Vec::new(), &[]).0);
    let (policy, _, found) = config::load_policies(&files, &*atlas, &settings);
    assert!(!found.iter().any(|found| found.is_error()), "{found:#?}");
    let atlas = atlas.with_networks(&policy.networks);
    let (base, found) = Base::build(Files { policy, zones: Vec::new(), atlas, settings, ns_required: false });
    base.unwrap_or_else(|| panic!("{found:#?}"))
}

pub(super) struct Desk {
    pub(super) base: Arc<Base>,
    pub(super) book: Book,
    /// What the store holds.
    pub(super) store: BTreeMap<String, Value>,
    /// Health alone.
    pub(super) health: Facts,
    pub(super) holds: Holds,
    latches: Latches,
    pub(super) table: RoutingTable,
    pub(super) now_s: u64,
    pub(super) settings: OrderSettings,
}

pub(super) fn request(order: Order) -> Request {
    let sender = Sender { identity: "loopback".into(), actor: "ann".into(), role: "operator".into(), is_robot: false };
    Request {
        order,
        sender,
        reason: "a test".into(),
        expires_in: None,
        force: BTreeSet::new(),
        expected_revision: None,
    }
}

pub(super) fn switch(to: &str) -> Request {
    request(Order::Switch { to: to.into(), mode: SwitchMode::Prefer, whom: Whom::all(), from: None })
}

pub(super) fn pin(to: &str) -> Request {
    let mut request = request(Order::Switch { to: to.into(), mode: SwitchMode::Pin, whom: Whom::all(), from: None });
    request.expires_in = Some(Duration::from_secs(3600));
    request
}

pub(super) fn clear() -> Request {
    request(Order::ClearSwitch { whom: Whom::all() })
}

pub(super) fn failback(to: &str) -> Request {
    request(Order::Failback { datacenters: vec![to.into()], whom: Whom::all() })
}

pub(super) fn undo(revision: Option<u64>) -> Request {
    request(Order::Undo { revision })
}

pub(super) fn datacenters(names: &[&str]) -> Subject {
    Subject::Datacenters { names: names.iter().map(|name| (*name).to_owned()).collect(), services: None }
}

pub(super) fn drain(names: &[&str]) -> Request {
    request(Order::Drain { subject: datacenters(names) })
}

impl Request {
    pub(super) fn by(mut self, actor: &str) -> Request {
        self.sender.actor = actor.into();
        self
    }

    pub(super) fn forcing(mut self, rules: &[Rule]) -> Request {
        self.force = rules.iter().copied().collect();
        self
    }

    pub(super) fn for_s(mut self, seconds: u64) -> Request {
        self.expires_in = Some(Duration::from_secs(seconds));
        self
    }

    pub(super) fn services(mut self, services: &[&str]) -> Request {
        let names: BTreeSet<String> = services.iter().map(|name| (*name).to_owned()).collect();
        match &mut self.order {
            Order::Switch { whom, .. } | Order::ClearSwitch { whom } | Order::Failback { whom, .. } => {
                whom.services = Some(names);
            }
            other => panic!("{other:?} has no services"),
        }
        self
    }

    pub(super) fn regions(mut self, regions: &[&str]) -> Request {
        let names: BTreeSet<String> = regions.iter().map(|name| (*name).to_owned()).collect();
        match &mut self.order {
            Order::Switch { whom, .. }
            | Order::ClearSwitch { whom }
            | Order::Failback { whom, .. }
            | Order::Ttl { whom, .. } => whom.regions = Some(names),
            other => panic!("{other:?} has no regions"),
        }
        self
    }
}

impl Desk {
    pub(super) fn new(text: &str) -> Desk {
        let base = base(text);
        let health = Facts::all_up();
        let table = RoutingTable::compile(&base, Arc::new(health.clone()), Generation(1));
        Desk {
            base,
            book: Book::default(),
            store: BTreeMap::new(),
            health,
            holds: Holds::default(),
            latches: Latches::default(),
            table,
            now_s: 0,
            settings: OrderSettings::default(),
        }
    }

    pub(super) fn policy(&self) -> &PolicySet {
        self.base.policy()
    }

    pub(super) fn moment(&self) -> Moment {
        Moment(Duration::from_secs(self.now_s))
    }

    pub(super) fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000 + self.now_s)
    }

    pub(super) fn at(&mut self, now_s: u64) -> &mut Desk {
        while let Some(wake) = self.holds.next_wake().filter(|wake| wake.0 <= Duration::from_secs(now_s)) {
            self.now_s = self.now_s.max(wake.0.as_secs());
            self.settle();
        }
        self.now_s = now_s;
        self
    }

    fn dc(&self, name: &str) -> DatacenterIx {
        let all = &self.policy().datacenters;
        let at = all.iter().position(|dc| dc.id.as_str().starts_with(name)).expect("a data centre");
        DatacenterIx::from_at(at)
    }

    /// Health of everything in these data centres.
    pub(super) fn see(&mut self, datacenters: &[&str], state: State) -> &mut Desk {
        for name in datacenters {
            let dc = self.dc(name);
            let base = Arc::clone(&self.base);
            for (at, service) in base.policy().services.iter().enumerate() {
                for (endpoint, _) in service.endpoints().filter(|(_, endpoint)| endpoint.datacenter == dc) {
                    let key = AddressKey { service: ServiceIx::from_at(at), endpoint, address: 0 };
                    self.health.health.of.insert(key, Verdict::of(state));
                }
            }
        }
        self.settle();
        self
    }

    /// Health of one service's endpoints in a data centre.
    pub(super) fn see_of(&mut self, service: &str, datacenter: &str, state: State) -> &mut Desk {
        let (ix, dc, base) = (self.service(service), self.dc(datacenter), Arc::clone(&self.base));
        let endpoints = base.policy().services[ix.at()].endpoints();
        for (endpoint, _) in endpoints.filter(|(_, endpoint)| endpoint.datacenter == dc) {
            self.health.health.of.insert(AddressKey { service: ix, endpoint, address: 0 }, Verdict::of(state));
        }
        self.settle();
        self
    }

    pub(super) fn down(&mut self, datacenters: &[&str]) -> &mut Desk {
        self.see(datacenters, State::Down)
    }

    pub(super) fn up(&mut self, datacenters: &[&str]) -> &mut Desk {
        self.see(datacenters, State::Up)
    }

    pub(super) fn world(&self) -> Facts {
        Facts { latches: self.latches.facts(), yields: self.holds.facts(), ..self.health.clone() }
    }

    fn facts(&self) -> Facts {
        self.book.facts(self.policy(), &self.world(), &BTreeSet::new())
    }

    fn settle(&mut self) {
        let base = Arc::clone(&self.base);
        let scene = Scene::new(&base);
        let facts = self.facts();
        let of = |ix: ServiceIx| standings(scene.service(ix), ix, &facts);
        let all = (0..base.policy().services.len()).map(ServiceIx::from_at).collect();
        self.holds.settle(base.policy(), &facts, &all, of, self.settings.switch_hold, (self.moment(), self.wall()));
        for at in 0..base.policy().services.len() {
            let ix = ServiceIx::from_at(at);
            let mut facts = self.facts();
            let standings = standings(scene.service(ix), ix, &facts);
            let since = (Some(&self.table), self.moment(), self.wall());
            self.latches.settle(&scene, ix, &standings, &mut facts, false, since);
        }
        let generation = Generation(self.table.generation().0 + 1);
        self.table = RoutingTable::compile(&self.base, Arc::new(self.facts()), generation);
    }

    fn revision(&self) -> Revision {
        Revision(self.book.revision() + 1)
    }

    /// What an order is judged on now.
    pub(super) fn on_ground<T>(&self, look: impl FnOnce(&Ground<'_>) -> T) -> T {
        let (world, rearmed, drained) = (self.world(), self.holds.rearmed(), BTreeSet::new());
        let ground = Ground {
            table: &self.table,
            book: &self.book,
            world: &world,
            drained: &drained,
            rearmed: &rearmed,
            settling: &Unsettled,
            thawed: None,
            now: self.wall(),
            settings: &self.settings,
        };
        look(&ground)
    }

    pub(super) fn drafted(&self, request: &Request) -> Result<(Resolved, Draft), OrderRefused> {
        self.on_ground(|ground| {
            let resolved = validate(request, ground)?;
            let generation = Generation(self.table.generation().0 + 1);
            let draft = draft(request, &resolved, ground, (self.revision(), generation))?;
            Ok((resolved, draft))
        })
    }

    /// What a dry run says, and the journal's line of the deed.
    fn look(&self, request: &Request) -> Result<(Answer, Draft, store::Order), OrderRefused> {
        let (resolved, draft) = self.drafted(request)?;
        self.on_ground(|ground| {
            let nothing: [Sample; 0] = [];
            let samples = Samples { queries: nothing, span: Duration::ZERO };
            let assessed = assess(request, &resolved, &draft, ground, samples);
            let answer = answer(&resolved, &draft, &assessed, ground);
            if !assessed.judgement.refusals.is_empty() {
                return Err(OrderRefused::Rules { refusals: assessed.judgement.refusals });
            }
            let idempotency = store::Idempotency {
                key: "k".repeat(limits::IDEMPOTENCY_SCOPED_LEN_MAX),
                request: "r".repeat(64),
                answer: serde_json::to_value(answer.bounded()).unwrap(),
            };
            let line = journal(request, &resolved, &draft, &assessed.judgement, ground, Some(idempotency));
            Ok((answer, draft, line))
        })
    }

    /// What a dry run says.
    pub(super) fn dry(&self, request: &Request) -> Result<(Answer, Draft), OrderRefused> {
        self.look(request).map(|(answer, draft, _)| (answer, draft))
    }

    /// The whole way: through the journal as text, and compiled anew from what the store then holds.
    pub(super) fn order(&mut self, request: Request) -> Result<Answer, OrderRefused> {
        let (answer, draft, line) = self.look(&request)?;
        if !draft.is_changed() {
            return Ok(answer);
        }
        let len = serde_json::to_string(&line).unwrap().len() + 512;
        assert!(len <= limits::JOURNAL_LINE_LEN_MAX, "the journal's line has {len} octets");
        let text: Vec<(String, String)> = draft
            .applied
            .book
            .entries_since(&self.book)
            .into_iter()
            .map(|(key, value)| (key, value.map_or_else(String::new, |value| value.to_string())))
            .collect();
        for (key, value) in text {
            match value.is_empty() {
                true => drop(self.store.remove(&key)),
                false => drop(self.store.insert(key, serde_json::from_str(&value).unwrap())),
            }
        }
        let len: usize = self.store.iter().map(|(key, value)| store::carried_len(key, value)).sum();
        assert!(len <= limits::STANDING_LEN_MAX, "the store holds {len} octets");
        let revision = draft.applied.book.revision();
        let entries = self.store.iter().map(|(key, value)| (key.as_str(), value));
        let (book, unread) = Book::of_entries(entries, revision);
        assert_eq!((&book, unread), (&draft.applied.book, vec![]), "what is journalled is what was drafted");
        self.book = book;
        if let Some(release) = &draft.applied.release {
            let of: BTreeSet<DatacenterIx> = release
                .datacenters
                .iter()
                .map(|id| {
                    DatacenterIx::from_at(self.policy().datacenters.iter().position(|dc| dc.id.as_str() == id).unwrap())
                })
                .collect();
            let ended = self.latches.failback_of(|(.., datacenter)| of.contains(datacenter)).released;
            self.latches.end(&ended);
            let facts = self.facts();
            let base = Arc::clone(&self.base);
            self.holds.release(base.policy(), release, |ix, dc| {
                let service = &base.policy().services[ix.at()];
                let standings = standings(service, ix, &facts);
                service.endpoints().any(|(at, one)| one.datacenter == dc && standings[at.at()].state() == State::Up)
            });
        }
        self.settle();
        Ok(answer)
    }

    /// The rules that refuse it.
    pub(super) fn refused(&self, request: &Request) -> Vec<&'static str> {
        match self.dry(request) {
            Ok(_) => vec![],
            Err(OrderRefused::Rules { refusals }) => refusals.iter().map(|refusal| refusal.rule.as_str()).collect(),
            Err(other) => panic!("{other}"),
        }
    }

    pub(super) fn service(&self, name: &str) -> ServiceIx {
        let at = self.policy().services.iter().position(|service| service.name.to_string().starts_with(name));
        ServiceIx::from_at(at.expect("a service"))
    }

    /// The short names of the data centres that can answer a client there; `-`: nobody.
    pub(super) fn of(&self, service: &str, place: &str) -> String {
        let client: IpAddr = match place {
            "beijing" => [10, 1, 0, 1],
            "shanghai" => [10, 2, 0, 1],
            _ => [10, 9, 0, 1],
        }
        .into();
        let ix = self.service(service);
        let outcome = self.table.service(ix).locate(client).outcome;
        let names = self.table.datacenters_of(ix, outcome).iter();
        let names: Vec<&str> = names
            .map(|dc| crate::model::leading_words(self.policy().datacenters[dc.at()].id.as_str()).next().unwrap())
            .collect();
        if names.is_empty() { "-".into() } else { names.join("+") }
    }

    /// Of the reference service: Beijing, Shanghai, elsewhere.
    pub(super) fn all(&self) -> String {
        ["beijing", "shanghai", "elsewhere"].map(|place| self.of("api", place)).join(" ")
    }
}
