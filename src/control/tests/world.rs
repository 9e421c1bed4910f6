//! Engine and control together in a simulated network, on virtual time.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime};

use super::house::{House, WALL_S};
use crate::control::{Blindness, Event};
use crate::health::{Engine, Found, Outcome, Start, Target, TargetId};
use crate::model::{HealthSettings, Moment, Settings, State};

/// In what way something is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Death {
    Refused,
    /// Packets vanish.
    BlackHole,
    /// Status 500.
    Errors,
    /// Accepts, and says nothing.
    Silent,
    /// Status 200, and another body than asked for.
    WrongBody,
}

impl Death {
    pub(super) const ALL: [Death; 5] =
        [Death::Refused, Death::BlackHole, Death::Errors, Death::Silent, Death::WrongBody];

    /// What the runner reports, and after how long.
    fn outcome(self, timeout: Duration) -> (Duration, Outcome) {
        let (took, why) = match self {
            Death::Refused => (Duration::from_millis(1), "connection refused"),
            Death::BlackHole => (timeout, "no connection within 3 s"),
            Death::Errors => (Duration::from_millis(30), "status 500"),
            Death::Silent => (timeout, "connected, and no answer within 3 s"),
            Death::WrongBody => (Duration::from_millis(200), "/status is \"DOWN\""),
        };
        (took, Outcome::Bad { why: why.into(), found: Found { took, ..Found::default() } })
    }
}

/// How something is at a time: `None` is well. Asked with the data centre's leading word, or `witness`.
type Network = Box<dyn FnMut(&str, Moment) -> Option<Death>>;

pub(super) struct World {
    pub(super) house: House,
    pub(super) engine: Engine,
    pub(super) now: Moment,
    /// Every hold's cause that was seen.
    pub(super) holds: Vec<String>,
    /// When a table with another generation came.
    pub(super) tables: Vec<Moment>,
    generation: u64,
    network: Network,
    places: HashMap<TargetId, String>,
    replies: BTreeMap<(Moment, u64), (TargetId, Outcome)>,
}

pub(super) fn ms(ms: u64) -> Moment {
    Moment(Duration::from_millis(ms))
}

/// Settings of a node with or without a witness.
pub(super) fn settings(has_witness: bool) -> Settings {
    let witnesses = if has_witness { vec!["127.0.0.9:7".parse().unwrap()] } else { Vec::new() };
    Settings { health: HealthSettings { witnesses, ..HealthSettings::default() }, ..Settings::default() }
}

impl World {
    /// A node in `own`, or outside all data centres.
    pub(super) fn new(
        text: &str,
        own: Option<&str>,
        settings: Settings,
        seed: u64,
        network: impl FnMut(&str, Moment) -> Option<Death> + 'static,
    ) -> World {
        let health = settings.health.clone();
        let house = House::with(text, |_| {}, settings);
        World::around(house, own, &health, seed, Box::new(network))
    }

    fn around(house: House, own: Option<&str>, settings: &HealthSettings, seed: u64, network: Network) -> World {
        let now = Moment::default();
        let targets = house.targets();
        let own = own.map(|own| {
            let ids = targets.iter().filter_map(|target| target.datacenter.clone());
            ids.into_iter().find(|id| id.as_str().starts_with(own)).expect("a data centre of that name")
        });
        let mut world = World {
            generation: house.generation(),
            house,
            engine: Engine::new(settings, own, seed, now),
            now,
            holds: Vec::new(),
            tables: Vec::new(),
            network,
            places: HashMap::new(),
            replies: BTreeMap::new(),
        };
        world.watch(targets);
        world
    }

    fn watch(&mut self, targets: Vec<Target>) {
        let place = |target: &Target| {
            let id = target.datacenter.as_ref().map_or("-", |id| id.as_str());
            (target.id, id.split(['_', '-']).next().unwrap_or_default().to_owned())
        };
        self.places = targets.iter().map(place).collect();
        self.engine.set_targets(self.now, targets);
    }

    /// The process ends, and another one begins in the same network.
    pub(super) fn restart(self, own: Option<&str>, settings: &HealthSettings, seed: u64) -> World {
        let mut house = self.house;
        house.now_s = self.now.0.as_secs();
        let (since, mut network) = (self.now, self.network);
        let later = move |place: &str, at: Moment| network(place, since + at.0);
        World::around(house.restart(1), own, settings, seed, Box::new(later))
    }

    /// Lets time pass until then.
    pub(super) fn run(&mut self, until_ms: u64) -> &mut World {
        let until = ms(until_ms);
        loop {
            let reply = self.replies.first_key_value().map(|((at, _), _)| *at);
            let wakes = [self.engine.next_wake(), reply, self.house.control.next_wake()];
            let Some(next) = wakes.into_iter().flatten().min().filter(|next| *next <= until) else { break };
            self.now = self.now.max(next);
            self.deliver();
            self.turn();
            self.tell();
        }
        self.now = until;
        self
    }

    fn deliver(&mut self) {
        while let Some(entry) = self.replies.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let number = entry.key().1;
            let (target, outcome) = entry.remove();
            self.engine.done(self.now, target, number, outcome);
        }
    }

    fn turn(&mut self) {
        let mut starts = Vec::new();
        self.engine.turn(self.now, &mut starts);
        for Start { target, number, spec, .. } in starts {
            let place = self.places.get(&target).map_or("witness", String::as_str);
            let (after, outcome) = match (self.network)(place, self.now) {
                Some(death) => death.outcome(spec.check.timeout),
                None => {
                    let took = Duration::from_millis(10);
                    (took, Outcome::Good(Found { took, ..Found::default() }))
                }
            };
            self.replies.insert((self.now + after, number), (target, outcome));
        }
    }

    /// Control is told as the runner does.
    fn tell(&mut self) {
        let changes: Vec<(TargetId, State)> =
            self.engine.changes().map(|change| (change.target, change.state)).collect();
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(WALL_S);
        let hold = self.engine.hold().map(|hold| Blindness {
            since: wall + hold.since.0,
            until: wall + hold.until.0,
            cause: hold.cause.to_string(),
            held: hold.targets.len(),
        });
        if let Some(hold) = &hold
            && self.holds.last() != Some(&hold.cause)
        {
            self.holds.push(hold.cause.clone());
        }
        if hold != self.house.status().blindness {
            self.house.handle_at(self.now, wall + self.now.0, Event::Blindness(hold));
        }
        if !changes.is_empty() {
            self.house.handle_at(self.now, wall + self.now.0, Event::Health(changes));
        }
        if self.house.control.next_wake().is_some_and(|wake| wake <= self.now) {
            self.house.handle_at(self.now, wall + self.now.0, Event::Tick);
        }
        if self.house.generation() != self.generation {
            self.generation = self.house.generation();
            self.tables.push(self.now);
        }
    }

    /// Who can answer in Beijing, in Shanghai, elsewhere.
    pub(super) fn answers(&self) -> [String; 3] {
        ["beijing", "shanghai", "elsewhere"].map(|place| self.house.of(place))
    }
}
