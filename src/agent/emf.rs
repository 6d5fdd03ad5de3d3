//! Writes the books as lines for CloudWatch to standard output. The log goes to standard error, so
//! standard output holds nothing else.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::warn;

use super::status::Picture;
use crate::base::shutdown::Stopping;
use crate::queue::Ledger;
use crate::telemetry::{EmfSettings, Measure, Metrics, emf_line, host_name};

/// Longest time for the last line to get out.
const LAST: Duration = Duration::from_secs(1);

#[derive(Clone, Debug, Default)]
struct Numbers {
    dropped: Counter,
}

impl Numbers {
    fn register(registry: &mut Registry) -> Self {
        let numbers = Self::default();
        registry.register(
            "emf_dropped_lines",
            "Lines for CloudWatch that were not written, as standard output did not take them",
            numbers.dropped.clone(),
        );
        numbers
    }
}

pub(super) struct Emf {
    settings: EmfSettings,
    picture: Arc<Picture>,
    host: String,
    numbers: Numbers,
    out: SyncSender<String>,
    /// Ends when the thread has.
    written: oneshot::Receiver<()>,
    books: Books,
}

impl Emf {
    /// Starts the thread that writes: whoever reads slowly must not hold up anything else.
    ///
    /// # Errors
    /// The system has no thread left.
    pub(super) fn new(
        settings: EmfSettings,
        picture: Arc<Picture>,
        metrics: &Metrics,
    ) -> io::Result<Self> {
        // One text waits while another is being written.
        let (out, texts) = sync_channel::<String>(1);
        let (writes, written) = oneshot::channel::<()>();
        std::thread::Builder::new().name("emf".into()).spawn(move || {
            let _until_here = writes;
            for text in texts {
                let mut stdout = io::stdout().lock();
                if stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).is_err() {
                    return;
                }
            }
        })?;
        let numbers = metrics.shared(Numbers::register);
        let books = Books::default();
        Ok(Self { settings, picture, host: host_name(), numbers, out, written, books })
    }

    /// A line for each stream and destination, again and again, and a last one at the end.
    pub(super) async fn run(mut self, mut stopping: Stopping) -> Result<(), String> {
        // What was before the start was told by those who ran then.
        self.books.turn(self.ledgers());
        let mut turns = interval(self.settings.every);
        turns.set_missed_tick_behavior(MissedTickBehavior::Skip);
        turns.tick().await;
        loop {
            let is_last = tokio::select! {
                () = stopping.asked() => true,
                _ = turns.tick() => false,
            };
            self.write();
            if is_last {
                break;
            }
        }
        // The process would end before the last line is out.
        let Self { out, written, .. } = self;
        drop(out);
        // An error is the end of the thread, which is what is waited for.
        drop(timeout(LAST, written).await);
        Ok(())
    }

    fn ledgers(&self) -> BTreeMap<(String, String), Ledger> {
        let mut all = BTreeMap::new();
        for (stream, queue) in self.picture.queues() {
            for (destination, ledger) in queue.overview().ledgers {
                all.insert((stream.clone(), destination), ledger);
            }
        }
        all
    }

    fn write(&mut self) {
        let now = self.picture.clock.unix_ms();
        let rows = self.books.turn(self.ledgers());
        let mut text = String::new();
        for ((stream, destination), row) in &rows {
            let is_held = self.is_held(stream, destination);
            let dimensions =
                [("host", &*self.host), ("stream", &**stream), ("destination", &**destination)];
            let measures = row.measures(now, is_held);
            text.push_str(&emf_line(&self.settings.namespace, now, &dimensions, &measures));
            text.push('\n');
        }
        if !text.is_empty() && self.out.try_send(text).is_err() {
            if self.numbers.dropped.get() == 0 {
                warn!("standard output does not take lines for CloudWatch; they are dropped");
            }
            self.numbers.dropped.inc_by(rows.len() as u64);
        }
    }

    fn is_held(&self, stream: &str, destination: &str) -> bool {
        let key = (stream.to_owned(), destination.to_owned());
        self.picture.present().workers.get(&key).is_some_and(|watch| watch.hold().is_some())
    }
}

/// What was told last, so that what is told next is what came since.
#[derive(Default)]
struct Books(BTreeMap<(String, String), Ledger>);

/// A ledger now, and before.
struct Row {
    now: Ledger,
    before: Ledger,
}

impl Books {
    fn turn(&mut self, now: BTreeMap<(String, String), Ledger>) -> Vec<((String, String), Row)> {
        let rows = now.iter().map(|(key, ledger)| {
            let before = self.0.get(key).copied().unwrap_or_default();
            (key.clone(), Row { now: *ledger, before })
        });
        let rows = rows.collect();
        self.0 = now;
        rows
    }
}

impl Row {
    fn measures(&self, unix_ms: u64, is_held: bool) -> [Measure; 9] {
        let since = |of: fn(&Ledger) -> u64| of(&self.now).saturating_sub(of(&self.before));
        let oldest = self.now.oldest_unix_ms.map_or(0, |oldest| unix_ms.saturating_sub(oldest));
        [
            ("Accepted", "Count", since(|ledger| ledger.accepted)),
            ("Delivered", "Count", since(|ledger| ledger.delivered)),
            ("Dead", "Count", since(|ledger| ledger.dead)),
            ("Dropped", "Count", since(|ledger| ledger.dropped)),
            ("Damaged", "Count", since(|ledger| ledger.damaged)),
            ("Waiting", "Count", self.now.waiting),
            ("WaitingBytes", "Bytes", self.now.waiting_bytes),
            ("OldestAge", "Seconds", oldest / 1_000),
            ("Held", "Count", u64::from(is_held)),
        ]
    }
}
