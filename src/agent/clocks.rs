//! What destinations teach about the time: told to the operator, and remembered across restarts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use serde_json::{Value, json};
use tokio::time::sleep;
use tracing::{info, warn};

use super::assemble::Ground;
use crate::base::clock::rfc3339;
use crate::base::disk::{SharedDisk, read_file, replace_durably};
use crate::base::shutdown::Stopping;
use crate::base::tasks::blocking;
use crate::sink::{ClockMemory, ServiceClock};

/// The file, in the state directory.
const FILE: &str = "clock.json";
/// Largest such file: a thousand destinations fit.
const FILE_BYTES_MAX: u64 = 256 << 10;
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

/// The clocks of all destinations, and the file that remembers them.
pub(super) struct Clocks {
    disk: SharedDisk,
    file: PathBuf,
    host: crate::base::clock::Clock,
    numbers: Numbers,
    clocks: Mutex<BTreeMap<String, ServiceClock>>,
    remembered: Mutex<BTreeMap<String, ClockMemory>>,
}

impl Clocks {
    /// Reads what was remembered; a file that is damaged is as good as none.
    pub(super) async fn open(state_dir: &Path, ground: &Ground) -> Arc<Self> {
        let (disk, file) = (ground.disk.clone(), state_dir.join(FILE));
        let path = file.clone();
        let bytes = blocking(move || read_file(&*disk, &path, FILE_BYTES_MAX)).await;
        let remembered = bytes.map(|bytes| parse(&bytes)).unwrap_or_default();
        Arc::new(Self {
            disk: ground.disk.clone(),
            file,
            host: ground.clock.clone(),
            numbers: ground.metrics.shared(Numbers::register),
            clocks: Mutex::default(),
            remembered: Mutex::new(remembered),
        })
    }

    /// The clock of a destination, the same one for every stream that leads there.
    pub(super) fn of(&self, destination: &str) -> ServiceClock {
        let remembered = self.lock(&self.remembered).get(destination).copied();
        let mut clocks = self.lock(&self.clocks);
        let made = || ServiceClock::new(self.host.clone(), remembered);
        clocks.entry(destination.to_owned()).or_insert_with(made).clone()
    }

    /// Names of the destinations that have a clock.
    pub(super) fn names(&self) -> Vec<String> {
        self.lock(&self.clocks).keys().cloned().collect()
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
            self.note(&destination, memory).await;
        }
        self.note(&destination, clock.memory()).await;
        Ok(())
    }

    fn show(&self, destination: &str, memory: ClockMemory) {
        let label = Destination { destination: destination.to_owned() };
        self.numbers.offset.get_or_create(&label).set(memory.offset_ms / 1_000);
    }

    async fn note(&self, destination: &str, memory: ClockMemory) {
        let bytes = {
            let mut all = self.lock(&self.remembered);
            if memory.seen_unix_ms == 0 || all.get(destination) == Some(&memory) {
                return;
            }
            all.insert(destination.to_owned(), memory);
            print(&all)
        };
        let (disk, file) = (self.disk.clone(), self.file.clone());
        let written = blocking(move || replace_durably(&*disk, &file, &bytes)).await;
        if let Err(error) = written {
            // Nothing depends on it: the next answer tells the time again.
            info!(%error, "what was learned about the clock cannot be noted now");
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

fn print(all: &BTreeMap<String, ClockMemory>) -> Vec<u8> {
    let row = |memory: &ClockMemory| json!({ "offset_ms": memory.offset_ms, "seen_unix_ms": memory.seen_unix_ms });
    let rows: serde_json::Map<String, Value> =
        all.iter().map(|(name, memory)| (name.clone(), row(memory))).collect();
    Value::Object(rows).to_string().into_bytes()
}

fn parse(bytes: &[u8]) -> BTreeMap<String, ClockMemory> {
    let rows: BTreeMap<String, Value> = serde_json::from_slice(bytes).unwrap_or_default();
    let row = |(name, row): (String, Value)| {
        let offset_ms = row.get("offset_ms")?.as_i64()?;
        let seen_unix_ms = row.get("seen_unix_ms")?.as_u64()?;
        Some((name, ClockMemory { offset_ms, seen_unix_ms }))
    };
    rows.into_iter().filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_reads_back_and_damage_is_as_good_as_nothing() {
        let all = BTreeMap::from([
            ("cloud".to_owned(), ClockMemory { offset_ms: -86_400_000, seen_unix_ms: 7 }),
            ("lake".to_owned(), ClockMemory { offset_ms: 1_795_532_400_000, seen_unix_ms: 8 }),
        ]);
        let written = print(&all);

        assert_eq!(parse(&written), all);
        for cut in 0..written.len() {
            assert_eq!(parse(&written[..cut]), BTreeMap::new());
        }
        assert_eq!(parse(br#"{"cloud":{"offset_ms":"x"},"lake":3}"#), BTreeMap::new());
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
