//! What control leans on besides files: eyes, a memory, a journal, clocks. A test has others than the program.

use std::time::{Instant, SystemTime};

use super::eyes::Eyes;
use super::journal::Journal;
use super::keep::{Forgetful, Keeper, Restored};
use super::reading::Loader;
use crate::model::Moment;

/// With what control begins, besides files.
#[derive(Debug)]
pub struct Seams {
    /// Who watches; `None`: nobody, and everything is up.
    pub eyes: Option<Eyes>,
    /// Who stores what should survive.
    pub keeper: Box<dyn Keeper>,
    /// Who stores orders before they take effect; `None`: nobody does, and a restart forgets them.
    pub journal: Option<Box<dyn Journal>>,
    /// What was stored.
    pub restored: Restored,
    /// Who reads files again.
    pub loader: Loader,
    /// The origin of every [`Moment`] in this process.
    pub origin: Instant,
    /// Who is asked how late it has become while an event is handled; `None`: the clocks of the machine.
    pub time: Option<TimeSource>,
}

/// Says what time it is: since the origin of every [`Moment`], and on the wall.
pub struct TimeSource(Box<dyn Fn() -> (Moment, SystemTime) + Send>);

impl TimeSource {
    /// Asks this function.
    pub fn new(look: impl Fn() -> (Moment, SystemTime) + Send + 'static) -> TimeSource {
        TimeSource(Box::new(look))
    }

    pub(super) fn look(&self) -> (Moment, SystemTime) {
        (self.0)()
    }
}

impl std::fmt::Debug for TimeSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TimeSource")
    }
}

impl std::fmt::Debug for dyn Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keeper")
    }
}

impl Default for Seams {
    fn default() -> Seams {
        Seams {
            eyes: None,
            keeper: Box::new(Forgetful),
            journal: None,
            restored: Restored::default(),
            loader: Loader::default(),
            origin: Instant::now(),
            time: None,
        }
    }
}
