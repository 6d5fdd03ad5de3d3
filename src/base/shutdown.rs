//! Asking to stop, and noticing that one was asked.

use tokio::sync::watch;

/// The asking side. Dropping it asks too, so that nobody waits for a vanished owner.
#[derive(Debug)]
pub struct Stop(watch::Sender<bool>);

/// The noticing side; cheap to clone.
#[derive(Clone, Debug)]
pub struct Stopping(watch::Receiver<bool>);

/// A pair of both.
pub fn channel() -> (Stop, Stopping) {
    let (sender, receiver) = watch::channel(false);
    (Stop(sender), Stopping(receiver))
}

impl Stop {
    /// Asks everybody who holds the other side to stop. Asking twice changes nothing.
    pub fn ask(&self) {
        self.0.send_replace(true);
    }
}

impl Stopping {
    /// Returns once stopping was asked; at once if it was already.
    pub async fn asked(&mut self) {
        // An error means that the asking side is gone, which asks too.
        let _gone = self.0.wait_for(|asked| *asked).await.is_err();
    }

    /// Whether stopping was asked.
    pub fn is_asked(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everybody_notices_and_a_vanished_owner_asks_too() {
        let (stop, stopping) = channel();
        let mut first = stopping.clone();
        assert!(!first.is_asked());

        stop.ask();
        first.asked().await;
        assert!(first.is_asked() && stopping.is_asked());

        let (stop, mut stopping) = channel();
        drop(stop);
        stopping.asked().await;
        assert!(stopping.is_asked());
    }
}
