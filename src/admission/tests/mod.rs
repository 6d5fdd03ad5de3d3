//! The door from the outside: who gets in, how fast, with what, and what comes out.

mod bounded;
mod callers;
mod keys_file;
mod others;
mod plans;
mod records;
mod treatment;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::base::disk::RealDisk;
use crate::base::scratch::Scratch;
use crate::base::units::{ByteRate, ByteSize, CountRate};

/// 2026-11-22T06:05:19.123Z.
const NOW: u64 = 1_795_327_519_123;

/// A door with one keys file, two streams and the plans of a test.
struct Door {
    scratch: Scratch,
    clock: Clock,
    disk: SharedDisk,
    plans: BTreeMap<String, PlanSettings>,
    /// A block beside that of the keys, named `other`.
    other: Option<AuthKind>,
    stream_plan: Option<String>,
    quotas: Option<Area>,
}

impl Door {
    fn new() -> Self {
        let (scratch, clock) = (Scratch::new(), Clock::starting_at(NOW));
        Self {
            scratch,
            clock,
            disk: Arc::new(RealDisk),
            plans: BTreeMap::new(),
            other: None,
            stream_plan: None,
            quotas: None,
        }
    }

    fn with_plan(mut self, name: &str, plan: PlanSettings) -> Self {
        self.plans.insert(name.into(), plan);
        self
    }

    fn with_auth(mut self, kind: AuthKind) -> Self {
        self.other = Some(kind);
        self
    }

    fn keys_path(&self) -> std::path::PathBuf {
        self.scratch.join("keys.toml")
    }

    fn add_key(&self, new: &keys::NewKey) -> String {
        let path = self.keys_path();
        let secret = keys::add(self.disk.as_ref(), &self.clock, &path, new).unwrap();
        secret.reveal().to_owned()
    }

    fn try_open(&self) -> Result<Arc<Admission>, String> {
        let mut settings = Settings { plans: self.plans.clone(), ..Settings::default() };
        let file = self.keys_path();
        let auth = AuthSettings { kind: AuthKind::ApiKey { file }, plan: None, streams: None };
        settings.auth.insert("keys".into(), auth);
        if let Some(kind) = self.other.clone() {
            let auth = AuthSettings { kind, plan: None, streams: None };
            settings.auth.insert("other".into(), auth);
        }
        let mut queues = BTreeMap::new();
        let metrics = Metrics::default();
        for name in ["access", "audit"] {
            let stream = StreamSettings { plan: self.stream_plan.clone(), ..open_stream(100) };
            settings.streams.insert(name.into(), stream);
            queues.insert(name.into(), self.queue(name, &metrics));
        }
        let (disk, clock) = (self.disk.clone(), self.clock.clone());
        let below =
            Below { disk, clock, queues, lambdas: BTreeMap::new(), quotas: self.quotas.clone() };
        Admission::open(below, settings, &metrics)
    }

    fn open(&self) -> Arc<Admission> {
        self.try_open().unwrap()
    }

    fn queue(&self, stream: &str, metrics: &Metrics) -> queue::Writer {
        let settings = queue::Settings {
            folder: self.scratch.join(stream),
            stream: stream.into(),
            max_bytes: 4 << 20,
            min_free_disk: 0,
            cursor_save_after: Duration::from_secs(1),
            policy: queue::Policy {
                keys_kept: Duration::from_mins(10),
                ..queue::Policy::default()
            },
            compresses: false,
            keys: queue::Keys::default(),
            sync: queue::SyncLevel::Always,
        };
        queue::open(self.disk.clone(), settings, &["sink".into()], metrics).unwrap().writer
    }
}

fn key(name: &str) -> keys::NewKey {
    keys::NewKey { name: name.into(), ..keys::NewKey::default() }
}

/// What a stream takes that asks nothing of its records but their size.
fn open_stream(max_record_bytes: u64) -> StreamSettings {
    let treatment = Treatment::default();
    let aliases = Vec::new();
    StreamSettings { max_record_bytes, partition_key: None, aliases, plan: None, treatment }
}

/// Knocks at the door with keys.
async fn knock(admission: &Admission, secret: Option<&str>, stream: &str) -> Result<Pass, Refusal> {
    let shown = Shown { api_key: secret, ..Shown::default() };
    let auth = &["keys".into()];
    admission
        .enter(&Knock {
            source: "http.lan",
            auth,
            bounds: Bounds::default(),
            stream,
            declared_bytes: None,
            shown,
        })
        .await
}

/// Knocks at the open door.
fn walk_in(admission: &Admission) -> Pass {
    admission.enter_openly("tail.nginx", "access").unwrap()
}

fn records(count: usize) -> Vec<RawRecord> {
    (0..count).map(|n| raw(&n.to_string(), None)).collect()
}

fn raw(payload: &str, partition_key: Option<&str>) -> RawRecord {
    let partition_key = partition_key.map(str::to_owned);
    RawRecord { payload: payload.to_owned().into(), partition_key, ..RawRecord::default() }
}
