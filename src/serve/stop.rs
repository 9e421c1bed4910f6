//! The word that the stream doors are closing.

use tokio::sync::watch;

/// Says it; once said, it stays said. Dropping it says it, too.
#[derive(Debug)]
pub(super) struct StopSender(watch::Sender<bool>);

/// Hears it.
#[derive(Clone, Debug)]
pub(super) struct Stop(watch::Receiver<bool>);

/// Both ends.
pub(super) fn channel() -> (StopSender, Stop) {
    let (sender, receiver) = watch::channel(false);
    (StopSender(sender), Stop(receiver))
}

impl StopSender {
    pub(super) fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    pub(super) fn is_said(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits for it.
    pub(super) async fn said(&mut self) {
        // An error means that the sender is gone: the same.
        drop(self.0.wait_for(|&stop| stop).await);
    }
}
