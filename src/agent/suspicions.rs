//! Destinations that refused one record after the other, remembered across restarts: believing again that
//! each record is at fault by itself would cost some of them at every start.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tracing::debug;

use crate::base::clock::Clock;
use crate::base::shutdown::Stopping;
use crate::delivery::Suspected;
use crate::state::Area;

/// What is remembered of them.
#[derive(Debug)]
pub(super) struct Suspicions {
    area: Area,
    clock: Clock,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Noted {
    code: String,
    message: String,
}

impl Suspicions {
    pub(super) fn new(area: Area, clock: Clock) -> Arc<Self> {
        Arc::new(Self { area, clock })
    }

    /// What a destination said that was suspected when weir ended.
    pub(super) fn of(&self, stream: &str, destination: &str) -> Option<Suspected> {
        let Noted { code, message } = self.area.known(&key(stream, destination))?.value;
        Some(Suspected { code, message })
    }

    /// Notes what becomes of the suspicion, until asked to stop.
    pub(super) async fn follow(
        self: Arc<Self>,
        (stream, destination): (String, String),
        mut news: watch::Receiver<Option<Suspected>>,
        mut stopping: Stopping,
    ) -> Result<(), String> {
        loop {
            tokio::select! {
                () = stopping.asked() => break,
                changed = news.changed() => if changed.is_err() { break },
            }
            let suspected = news.borrow_and_update().clone();
            self.note(&stream, &destination, suspected);
        }
        // What the last requests came to may have been told together with the stop.
        let suspected = news.borrow_and_update().clone();
        self.note(&stream, &destination, suspected);
        Ok(())
    }

    fn note(&self, stream: &str, destination: &str, suspected: Option<Suspected>) {
        if self.of(stream, destination) == suspected {
            return;
        }
        let key = key(stream, destination);
        let Some(Suspected { code, message }) = suspected else { return self.area.remove(&key) };
        if let Err(why) = self.area.learn(&key, &Noted { code, message }, self.clock.unix_ms()) {
            debug!(stream, destination, %why, "that the destination is suspected is not kept");
        }
    }
}

fn key(stream: &str, destination: &str) -> String {
    format!("suspected/{stream}/{destination}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::disk::FaultyDisk;
    use crate::state::State;
    use crate::telemetry::Metrics;

    #[test]
    fn a_suspicion_is_known_again_until_it_is_over() {
        let clock = Clock::starting_at(1_000_000);
        // There is no such folder, so it lives in memory.
        let (disk, folder) = (FaultyDisk::new().shared(), std::path::Path::new("/none"));
        let state = State::open(disk, clock.clone(), folder, &Metrics::default());
        let suspicions = Suspicions::new(state.cloud(), clock);
        let suspected = Suspected { code: "ValidationException".into(), message: "no".into() };

        assert_eq!(suspicions.of("orders", "cloud"), None);
        suspicions.note("orders", "cloud", Some(suspected.clone()));
        assert_eq!(suspicions.of("orders", "cloud"), Some(suspected));
        assert_eq!(suspicions.of("orders", "lake"), None);
        suspicions.note("orders", "cloud", None);
        assert_eq!(suspicions.of("orders", "cloud"), None);
    }
}
