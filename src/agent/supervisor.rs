//! What systemd is told: ready, stopping, one line of status, and that the agent makes progress.
//!
//! Under anything else than a unit of `Type=notify` all of it does nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, error};

use super::status::Picture;
use crate::base::shutdown::Stopping;

/// Every door is open.
pub(super) fn ready() {
    tell(&[NotifyState::Ready, NotifyState::Status("ready")]);
}

/// The configuration is read again; [`ready`] ends it.
pub(super) fn reloading() {
    let reloading = [NotifyState::Reloading, NotifyState::Status("reloading")];
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[&reloading[..], &[now]].concat()),
        Err(error) => debug!(%error, "systemd could not be told"),
    }
}

/// No more records are taken.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
}

fn tell(state: &[NotifyState<'_>]) {
    // Who does not hear it has its own timeouts.
    if let Err(error) = sd_notify::notify(state) {
        debug!(%error, "systemd could not be told");
    }
}

/// Feeds systemd's watchdog for as long as every committer and every delivery makes progress. One
/// that does not is worth a restart: what was accepted is on disk.
pub(super) struct Watchdog {
    patience: Duration,
    picture: Arc<Picture>,
}

impl Watchdog {
    /// `None` where the unit has no `WatchdogSec=`.
    pub(super) fn asked_for(picture: &Arc<Picture>) -> Option<Self> {
        let patience = sd_notify::watchdog_enabled()?;
        Some(Self { patience, picture: picture.clone() })
    }

    /// Feeds it four times within its patience, until asked to stop.
    pub(super) async fn run(self, mut stopping: Stopping) -> Result<(), String> {
        let mut turns = interval(self.patience / 4);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stopping.asked() => return Ok(()),
                _ = turns.tick() => {}
            }
            match self.picture.delays().beyond(self.patience) {
                None => {
                    let line = self.picture.in_a_line();
                    tell(&[NotifyState::Watchdog, NotifyState::Status(&line)]);
                }
                Some(stuck) => error!(stuck, "no progress; systemd's watchdog is not fed"),
            }
        }
    }
}

/// How late the loops are that must never hang.
#[derive(Clone, Debug, Default)]
pub(super) struct Delays {
    /// By stream: for how long the commit has taken that is under way.
    pub(super) commits: BTreeMap<String, Duration>,
    /// By stream and destination: for how long a turn of its delivery is overdue.
    pub(super) deliveries: BTreeMap<(String, String), Duration>,
}

impl Delays {
    /// In words, one that is later than that.
    fn beyond(&self, patience: Duration) -> Option<String> {
        let is_late = |late: &Duration| *late >= patience;
        let commit = self.commits.iter().find(|(_, late)| is_late(late)).map(|(stream, late)| {
            format!("a commit of stream {stream} has been under way for {} s", late.as_secs())
        });
        commit.or_else(|| {
            let ((stream, destination), late) =
                self.deliveries.iter().find(|(_, late)| is_late(late))?;
            let seconds = late.as_secs();
            Some(format!("the delivery of {stream} to {destination} is {seconds} s late"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);
    const JUST_BELOW: Duration = Duration::from_millis(59_999);

    #[test]
    fn a_commit_that_hangs_is_named_when_patience_ends() {
        let commit = |late| Delays { commits: [("logs".into(), late)].into(), ..Delays::default() };
        assert_eq!(commit(JUST_BELOW).beyond(PATIENCE), None);
        let stuck = commit(PATIENCE).beyond(PATIENCE);
        assert_eq!(stuck.unwrap(), "a commit of stream logs has been under way for 60 s");
    }

    #[test]
    fn a_delivery_that_does_not_turn_is_named_when_patience_ends() {
        let late = |late| {
            let route = ("logs".to_owned(), "kinesis".to_owned());
            Delays { deliveries: [(route, late)].into(), ..Delays::default() }
        };
        assert_eq!(late(JUST_BELOW).beyond(PATIENCE), None);
        let stuck = late(PATIENCE).beyond(PATIENCE);
        assert_eq!(stuck.unwrap(), "the delivery of logs to kinesis is 60 s late");
    }
}
