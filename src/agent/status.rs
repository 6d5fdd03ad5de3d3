//! One picture of the whole agent as JSON: what `weir status` prints and `/status` answers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use serde_json::{Value, json};

use super::feeders::{Fed, Route};
use super::reloads::Reloads;
use super::sights::SightOf;
use super::supervisor::Delays;
use crate::admission::Admission;
use crate::base::clock::Clock;
use crate::delivery::{Hold, Paced, Watch};
use crate::queue::{Ledger, SPAN_MAX, Writer};
use crate::source::tail::FileStatus;
use crate::state::{self, Health, State};

/// A look at the files that one tail block follows.
pub(super) type TailWatch = Arc<dyn Fn() -> Vec<FileStatus> + Send + Sync>;

/// Windows onto every room that has something to show.
pub(super) struct Picture {
    pub(super) clock: Clock,
    pub(super) started_unix_ms: u64,
    pub(super) admission: Arc<Admission>,
    pub(super) state: State,
    pub(super) stopping: AtomicBool,
    /// What a reload exchanges.
    pub(super) present: RwLock<Present>,
}

/// The parts of the agent that there are now.
#[derive(Clone, Default)]
pub(super) struct Present {
    pub(super) queues: BTreeMap<String, Writer>,
    /// By stream and destination.
    pub(super) workers: BTreeMap<Route, Watch>,
    /// The same, of those that have an upstream in the cloud.
    pub(super) sights: BTreeMap<Route, SightOf>,
    /// By block; each with its stream.
    pub(super) tails: BTreeMap<String, (String, TailWatch)>,
    pub(super) reloads: Reloads,
}

impl Present {
    /// Shows the workers of a destination.
    pub(super) fn see(&mut self, fed: &Fed) {
        self.workers.extend(fed.watches.clone());
        self.sights.extend(fed.sights.clone());
    }

    /// Shows them no more.
    pub(super) fn forget(&mut self, destination: &str) {
        self.workers.retain(|(_, to), _| to != destination);
        self.sights.retain(|(_, to), _| to != destination);
    }
}

impl Picture {
    /// What is there now; not to be held for long.
    pub(super) fn present(&self) -> RwLockReadGuard<'_, Present> {
        self.present.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets what is there be exchanged.
    pub(super) fn change(&self, change: impl FnOnce(&mut Present)) {
        change(&mut self.present.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// All queues by their streams.
    pub(super) fn queues(&self) -> BTreeMap<String, Writer> {
        self.present().queues.clone()
    }

    /// Why no records should be sent here now; empty when they should.
    pub(super) fn unready(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.stopping.load(Ordering::Relaxed) {
            reasons.push("stopping".to_owned());
        }
        for (stream, queue) in &self.present().queues {
            if let Err(error) = queue.health() {
                reasons.push(format!("stream {stream}: {error}"));
            }
        }
        reasons
    }

    /// Which destinations take nothing now, and why.
    pub(super) fn held(&self) -> Vec<String> {
        let held = |((stream, destination), watch): (&(String, String), &Watch)| {
            let Hold { class, meaning, code, message, .. } = watch.hold()?;
            let route = format!("{stream} to {destination}");
            Some(format!("{route} ({class}): {destination} {meaning}; it says: {code}: {message}"))
        };
        self.present().workers.iter().filter_map(held).collect()
    }

    /// Everything.
    pub(super) fn draw(&self) -> Value {
        let now = self.clock.unix_ms();
        let unready = self.unready();
        let present = self.present().clone();
        let streams: BTreeMap<_, _> = present
            .queues
            .iter()
            .map(|(name, queue)| (name, self.stream(&present, name, queue)))
            .collect();
        let tails: BTreeMap<_, Value> = present
            .tails
            .iter()
            .map(|(name, (stream, files))| {
                let settled =
                    present.queues.get(stream).map_or(0, |queue| queue.overview().settled);
                (name, draw_files(&files(), settled))
            })
            .collect();
        let fed: BTreeMap<_, _> =
            present.tails.iter().map(|(name, (stream, _))| (name, stream)).collect();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "ready": unready.is_empty(),
            "unready": unready,
            "uptime_s": now.saturating_sub(self.started_unix_ms) / 1000,
            "config": present.reloads.draw(),
            "streams": streams,
            "tails": tails,
            "tail_streams": fed,
            "state": draw_state(&self.state.overview()),
        })
    }

    /// Records that wait on disk, and in how many queues. Of each queue the destination counts that
    /// is furthest behind: a record waits once, however many still owe it to somebody.
    pub(super) fn waiting(&self) -> (u64, usize) {
        let furthest = |queue: &Writer| {
            queue.overview().ledgers.iter().map(|(_, ledger)| ledger.waiting).max().unwrap_or(0)
        };
        let rows: Vec<u64> =
            self.present().queues.values().map(furthest).filter(|waiting| *waiting > 0).collect();
        (rows.iter().sum(), rows.len())
    }

    /// What systemd shows beside the state of the unit.
    pub(super) fn in_a_line(&self) -> String {
        let (waiting, held) = (self.waiting().0, self.held().len());
        let (records, destinations) =
            (plural(waiting, "record"), plural(held as u64, "destination"));
        let unready = self.unready();
        match (held, unready.first()) {
            (_, Some(reason)) => format!("not ready: {reason}; {records} on disk to be delivered"),
            (0, None) => format!("{records} on disk to be delivered"),
            _ => {
                format!("{records} on disk to be delivered; {destinations} held, see `weir status`")
            }
        }
    }

    /// How late the loops are that must never hang.
    pub(super) fn delays(&self) -> Delays {
        let commit =
            |(name, queue): (&String, &Writer)| Some((name.clone(), queue.at_one_step_for()?));
        let turn = |(route, watch): (&(String, String), &Watch)| (route.clone(), watch.overdue());
        let present = self.present();
        Delays {
            commits: present.queues.iter().filter_map(commit).collect(),
            deliveries: present.workers.iter().map(turn).collect(),
        }
    }

    fn stream(&self, present: &Present, name: &str, queue: &Writer) -> Value {
        let overview = queue.overview();
        let destinations: BTreeMap<_, _> = overview
            .ledgers
            .iter()
            .map(|(destination, ledger)| {
                let key = (name.to_owned(), destination.clone());
                let mut rows = draw_ledger(ledger, present.workers.get(&key));
                if let (Some(rows), Some(sight)) = (rows.as_object_mut(), present.sights.get(&key))
                {
                    rows.append(&mut sight().draw());
                }
                (destination, rows)
            })
            .collect();
        json!({
            "committed": overview.committed,
            "used_bytes": overview.used_bytes,
            "max_bytes": overview.max_bytes,
            "dropping": overview.is_dropping,
            "sync": overview.sync.to_string(),
            "unsynced": overview.unsynced,
            "transform_dropped": self.admission.dropped(name),
            "destinations": destinations,
        })
    }
}

fn plural(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn draw_ledger(ledger: &Ledger, watch: Option<&Watch>) -> Value {
    let hold = watch.and_then(Watch::hold);
    json!({
        "accepted": ledger.accepted,
        "delivered": ledger.delivered,
        "dead": ledger.dead,
        "dead_aged_out": watch.map_or(0, Watch::aged_out),
        "dropped": ledger.dropped,
        "damaged": ledger.damaged,
        "waiting": ledger.waiting,
        "waiting_bytes": ledger.waiting_bytes,
        "oldest_unix_ms": ledger.oldest_unix_ms,
        "waits_for": watch.and_then(Watch::paced).map(Paced::as_str).or(waits_for_oldest(ledger)),
        "hold": hold.map(|hold| json!({
            "class": hold.class,
            "meaning": hold.meaning,
            "code": hold.code,
            "message": hold.message,
            "since_unix_ms": hold.since_unix_ms,
            "next_try_unix_ms": hold.next_try_unix_ms,
        })),
    })
}

/// A shard that takes nothing has held the oldest record for so long that the queue cannot keep track
/// of more beyond it.
fn waits_for_oldest(ledger: &Ledger) -> Option<&'static str> {
    (ledger.span >= SPAN_MAX).then_some("oldest")
}

fn draw_state(state: &state::Overview) -> Value {
    let (health, why, since_unix_ms) = match &state.health {
        Health::Opening => ("opening", None, None),
        Health::OnDisk => ("on disk", None, None),
        Health::InMemory { why, since_unix_ms } => ("in memory", Some(why), Some(since_unix_ms)),
        Health::Closed => ("closed", None, None),
    };
    json!({
        "keys": state.keys,
        "bytes": state.bytes,
        "disk_bytes": state.disk_bytes,
        "health": health,
        "why": why,
        "since_unix_ms": since_unix_ms,
    })
}

fn draw_files(files: &[FileStatus], settled: u64) -> Value {
    files
        .iter()
        .map(|file| {
            json!({
                "path": file.path.to_string_lossy(),
                "bytes": file.bytes,
                "read": file.read,
                "queued": file.queued,
                "delivered": file.delivered(settled),
                "is_delivered": file.is_delivered(settled),
                "is_passed_over": file.is_passed_over,
                "trouble": file.trouble,
                "gone_unix_ms": file.gone_unix_ms,
            })
        })
        .collect()
}
