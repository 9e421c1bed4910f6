//! What this node needs in order to see: its link and its resolver, looked at once a second, on a thread that a
//! stuck file system may block without harm.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use super::super::{Resolve, link};
use super::inbox::Inbox;

/// From look to look.
const EVERY: Duration = Duration::from_secs(1);

/// Looks until it is dropped, and tells the inbox of each change; both are taken to be good at first.
pub(super) struct Senses {
    _alive: Sender<()>,
}

impl Senses {
    /// Looks once before it returns, so that nothing is believed of a node that starts without a link.
    pub(super) fn start(inbox: Arc<Inbox>, links: PathBuf, resolver: Arc<dyn Resolve>) -> io::Result<Senses> {
        let (alive, ended) = channel();
        let mut seen = Seen { link: true, resolver: true };
        seen.look(&inbox, &links, &*resolver);
        std::thread::Builder::new().name("senses".into()).spawn(move || {
            while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(EVERY) {
                seen.look(&inbox, &links, &*resolver);
            }
        })?;
        Ok(Senses { _alive: alive })
    }
}

/// What is good, as it was told last.
struct Seen {
    link: bool,
    resolver: bool,
}

impl Seen {
    fn look(&mut self, inbox: &Inbox, links: &Path, resolver: &dyn Resolve) {
        let is_up = link::is_up(links);
        if std::mem::replace(&mut self.link, is_up) != is_up {
            tracing::warn!(is_up, "this node's link has changed");
            inbox.tell(|waiting| waiting.link = Some(is_up));
        }
        let answers = !resolver.is_failing();
        if std::mem::replace(&mut self.resolver, answers) != answers {
            tracing::warn!(answers, "this node's resolver has changed");
            inbox.tell(|waiting| waiting.resolver = Some(answers));
        }
    }
}
