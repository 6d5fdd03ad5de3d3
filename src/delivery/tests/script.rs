//! A sink in memory that does what a script says.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep};

use crate::sink::{At, Entry, Fate, Fault, Limits, Load, Outcome, Sink};

type Script = Box<dyn FnMut(usize, &[Entry]) -> Outcome + Send>;

/// A sink that keeps what it takes and answers by a script, after a while.
pub(in crate::delivery) struct ScriptSink {
    pub(super) script: Mutex<Script>,
    pub(super) takes: Duration,
    pub(super) requests: AtomicUsize,
    pub(super) under_way: AtomicUsize,
    pub(super) most_under_way: AtomicUsize,
    pub(super) taken: Mutex<BTreeMap<String, usize>>,
    pub(super) times: Mutex<Vec<Instant>>,
    pub(super) is_closed: AtomicBool,
    /// Larger entries may be refused.
    pub(super) sure_bytes: AtomicUsize,
}

impl ScriptSink {
    pub(super) fn new(
        takes: Duration,
        script: impl FnMut(usize, &[Entry]) -> Outcome + Send + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            script: Mutex::new(Box::new(script)),
            takes,
            requests: AtomicUsize::new(0),
            under_way: AtomicUsize::new(0),
            most_under_way: AtomicUsize::new(0),
            taken: Mutex::default(),
            times: Mutex::default(),
            is_closed: AtomicBool::new(false),
            sure_bytes: AtomicUsize::new(500),
        })
    }

    pub(in crate::delivery) fn taking_all() -> Arc<Self> {
        Self::new(Duration::ZERO, |_, entries| all_taken(entries))
    }

    /// What an uplink looks like that comes and goes until then, and is there from then on.
    pub(super) fn away_until(until: Instant) -> Arc<Self> {
        Self::new(Duration::from_millis(20), move |number, entries| match Instant::now() < until {
            true if number % 3 == 0 => Err(fault(At::Timeout, "timeout")),
            true if number % 3 == 1 => Err(fault(At::Answer(503), "ServiceUnavailable")),
            true => Err(fault(At::Transport, "no-connection")),
            false => all_taken(entries),
        })
    }

    /// Fails the first requests as a whole, then takes everything.
    pub(super) fn failing_first(count: usize, fault: Fault) -> Arc<Self> {
        Self::new(Duration::ZERO, move |number, entries| {
            if number < count { Err(fault.clone()) } else { all_taken(entries) }
        })
    }

    pub(super) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    pub(super) fn taken(&self) -> Vec<(String, usize)> {
        self.taken.lock().unwrap().clone().into_iter().collect()
    }

    pub(super) fn taken_count(&self) -> usize {
        self.taken.lock().unwrap().values().sum()
    }
}

pub(super) fn all_taken(entries: &[Entry]) -> Outcome {
    Ok(vec![Fate::Taken; entries.len()])
}

pub(super) fn fault(at: At, code: &str) -> Fault {
    Fault { at, code: code.into(), message: "words".into(), retry_after: None }
}

impl Sink for ScriptSink {
    fn kind(&self) -> &'static str {
        "script"
    }

    fn limits(&self) -> Limits {
        Limits { entries: 10, request_bytes: 1_000, entry_bytes: 500 }
    }

    fn sure_bytes(&self) -> usize {
        self.sure_bytes.load(Ordering::SeqCst)
    }

    fn weigh(&self, entry: &Entry) -> usize {
        entry.data.len()
    }

    fn wire_bytes(&self, load: Load) -> u64 {
        load.weight as u64
    }

    fn entry(&self, key: String, payload: Bytes) -> Entry {
        Entry::plain(key, payload)
    }

    async fn put(&self, entries: Vec<Entry>) -> Outcome {
        let now = 1 + self.under_way.fetch_add(1, Ordering::SeqCst);
        self.most_under_way.fetch_max(now, Ordering::SeqCst);
        self.times.lock().unwrap().push(Instant::now());
        sleep(self.takes).await;
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        let number = self.requests.fetch_add(1, Ordering::SeqCst);
        let outcome = (self.script.lock().unwrap())(number, &entries);
        if let Ok(fates) = &outcome {
            let taken = entries.iter().zip(fates).filter(|(_, fate)| **fate == Fate::Taken);
            for (entry, _) in taken {
                let text = String::from_utf8(entry.data.to_vec()).unwrap();
                *self.taken.lock().unwrap().entry(text).or_default() += 1;
            }
        }
        outcome
    }

    async fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
    }
}
