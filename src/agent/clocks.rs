//! What destinations teach about the time: told to the operator, and remembered across restarts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;
use tracing::{debug, info, warn};

use super::assemble::Ground;
use crate::base::clock::rfc3339;
use crate::base::shutdown::Stopping;
use crate::sink::{ClockMemory, ServiceClock};
use crate::state::Area;

/// The time is noted at least so often, so that a host that starts in 1970 knows that it does not.
const NOTE_EVERY: Duration = Duration::from_secs(3_600);
/// A clock that is off by less needs nobody's attention.
const TOLD_MS: u64 = 60_000;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Destination {
    destination: String,
}

#[derive(Clone, Debug)]
struct Numbers {
    offset: Family<Destination, Gauge>,
}

impl Numbers {
    fn register(registry: &mut Registry) -> Self {
        let all = Self { offset: Family::default() };
        registry.register_with_unit(
            "clock_offset",
            "what the service's time is ahead of the host's clock",
            Unit::Seconds,
            all.offset.clone(),
        );
        all
    }
}

/// The clocks of all destinations, and what is remembered of them.
pub(super) struct Clocks {
    area: Area,
    host: crate::base::clock::Clock,
    numbers: Numbers,
    clocks: Mutex<BTreeMap<String, ServiceClock>>,
}

/// What is remembered of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Noted {
    offset_ms: i64,
    seen_unix_ms: u64,
}

impl Clocks {
    /// Nothing is known yet but what was remembered.
    pub(super) fn new(area: Area, ground: &Ground) -> Arc<Self> {
        Arc::new(Self {
            area,
            host: ground.clock.clone(),
            numbers: ground.metrics.shared(Numbers::register),
            clocks: Mutex::default(),
        })
    }

    /// The clock of a destination, the same one for every stream that leads there.
    pub(super) fn of(&self, destination: &str) -> ServiceClock {
        let mut clocks = self.lock(&self.clocks);
        let made = || ServiceClock::new(self.host.clone(), self.remembered(destination));
        clocks.entry(destination.to_owned()).or_insert_with(made).clone()
    }

    fn remembered(&self, destination: &str) -> Option<ClockMemory> {
        let Noted { offset_ms, seen_unix_ms } = self.area.known(&key(destination))?.value;
        Some(ClockMemory { offset_ms, seen_unix_ms })
    }

    /// Tells and notes what one destination teaches, until asked to stop.
    pub(super) async fn follow(
        self: Arc<Self>,
        destination: String,
        mut stopping: Stopping,
    ) -> Result<(), String> {
        let clock = self.of(&destination);
        let mut changes = clock.changes();
        let mut told_ms = 0;
        self.show(&destination, clock.memory());
        loop {
            let memory = tokio::select! {
                () = stopping.asked() => break,
                memory = changes.next() => memory,
                () = sleep(NOTE_EVERY) => clock.memory(),
            };
            told_ms = tell(&destination, told_ms, memory);
            self.show(&destination, memory);
            self.note(&destination, memory);
        }
        self.note(&destination, clock.memory());
        Ok(())
    }

    fn show(&self, destination: &str, memory: ClockMemory) {
        let label = Destination { destination: destination.to_owned() };
        self.numbers.offset.get_or_create(&label).set(memory.offset_ms / 1_000);
    }

    fn note(&self, destination: &str, memory: ClockMemory) {
        if memory.seen_unix_ms == 0 || self.remembered(destination) == Some(memory) {
            return;
        }
        let ClockMemory { offset_ms, seen_unix_ms } = memory;
        let noted = Noted { offset_ms, seen_unix_ms };
        if let Err(why) = self.area.learn(&key(destination), &noted, self.host.unix_ms()) {
            // Nothing depends on it: the next answer tells the time again.
            debug!(destination, %why, "what was learned about the clock cannot be noted");
        }
    }

    fn lock<'a, T>(&self, what: &'a Mutex<T>) -> std::sync::MutexGuard<'a, T> {
        what.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says once that the host's clock is off, and once that it is right again; what was said last.
fn tell(destination: &str, told_ms: i64, memory: ClockMemory) -> i64 {
    let ClockMemory { offset_ms, seen_unix_ms } = memory;
    if offset_ms.abs_diff(told_ms) < TOLD_MS {
        return told_ms;
    }
    let (time, offset_seconds) = (rfc3339(seen_unix_ms), offset_ms / 1_000);
    if offset_ms.unsigned_abs() < TOLD_MS {
        info!(destination, time, "the host's clock is right again");
    } else {
        warn!(
            destination,
            time,
            offset_seconds,
            "the host's clock is wrong; requests are signed for the time that the service tells"
        );
    }
    offset_ms
}

fn key(destination: &str) -> String {
    format!("clock/{destination}")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::base::clock::Clock;
    use crate::base::disk::FaultyDisk;
    use crate::state::State;
    use crate::telemetry::Metrics;

    #[test]
    fn what_is_remembered_reads_back_and_what_is_not_understood_is_as_good_as_nothing() {
        let clock = Clock::starting_at(1_000);
        let (disk, metrics) = (FaultyDisk::new().shared(), Metrics::default());
        let ground = Ground { disk: disk.clone(), clock: clock.clone(), metrics: metrics.clone() };
        // There is no such folder, so it lives in memory.
        let state = State::open(disk, clock, Path::new("/none"), &metrics);
        let clocks = Clocks::new(state.cloud(), &ground);
        let off = ClockMemory { offset_ms: -86_400_000, seen_unix_ms: 7 };

        assert_eq!(clocks.remembered("cloud"), None);
        clocks.note("cloud", off);
        clocks.note("lake", ClockMemory::default());
        assert_eq!((clocks.remembered("cloud"), clocks.remembered("lake")), (Some(off), None));
        for wrong in ["", "{}", r#"{"since_unix_ms":1,"value":{"offset_ms":"x"}}"#] {
            state.cloud().put("clock/cloud", wrong).unwrap();
            assert_eq!(clocks.remembered("cloud"), None, "{wrong}");
        }
    }

    #[test]
    fn a_clock_is_told_when_it_goes_wrong_and_when_it_is_right_and_not_in_between() {
        let off = |offset_ms| ClockMemory { offset_ms, seen_unix_ms: 1 };
        assert_eq!(tell("d", 0, off(59_999)), 0);
        assert_eq!(tell("d", 0, off(-60_000)), -60_000);
        assert_eq!(tell("d", -60_000, off(-70_000)), -60_000);
        assert_eq!(tell("d", -60_000, off(0)), 0);
    }
}
