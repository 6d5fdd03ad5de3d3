//! What the state store knows of the files of one block: an index of the marks, written in passing.
//!
//! The marks stay the truth. Where the registry is lost or behind, what it should say is taken from
//! them: all lines up to a mark's position lie in the queue as it was at the start.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

use super::FileStatus;
use super::progress::Progress;
use super::sent::Sent;
use crate::base::clock::Clock;
use crate::state::{Area, Refused};

/// How long a file that is gone is still shown.
const GONE_KEPT_MS: u64 = 24 * 3600 * 1000;
/// Most files of one block that are gone and shown.
pub(super) const GONE_MAX: usize = 1000;

/// The registry of one block.
#[derive(Debug)]
pub(super) struct Registry {
    area: Area,
    clock: Clock,
    /// The last place in the queue when the block started.
    committed: u64,
    has_complained: AtomicBool,
}

/// One file; its key is the name of its mark, without `tail/`.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    path: String,
    bytes: u64,
    queued: u64,
    #[serde(default)]
    is_passed_over: bool,
    sent: Sent,
    /// When any of this last changed.
    seen_unix_ms: u64,
    gone_unix_ms: Option<u64>,
}

impl Registry {
    pub(super) fn new(area: Area, clock: Clock, committed: u64) -> Self {
        Self { area, clock, committed, has_complained: false.into() }
    }

    /// What is known of a file at first sight, of which its mark says this.
    pub(super) fn sent(&self, mark: &str, position: u64, progress: &Progress) -> Sent {
        let known = self.entry(mark).map(|entry| entry.sent.within(self.committed));
        known.filter(|sent| sent.ends_at(position, progress)).unwrap_or_else(|| {
            let mut sent = Sent::default();
            if position.max(progress.position) > 0 {
                sent.note_all(self.committed, position, progress);
            }
            sent
        })
    }

    pub(super) fn write(&self, mark: &str, status: &FileStatus) {
        let entry = |path: &Path| Entry {
            path: path.to_string_lossy().into_owned(),
            bytes: status.bytes,
            queued: status.queued,
            is_passed_over: status.is_passed_over,
            sent: status.sent.clone(),
            seen_unix_ms: self.now(),
            gone_unix_ms: status.gone_unix_ms,
        };
        let put = |entry: Entry| {
            let json = serde_json::to_vec(&entry).expect("numbers and a string have their JSON");
            self.area.put(key(mark), json)
        };
        let written = match put(entry(&status.path)) {
            // Of the longest paths the name alone is kept; it is only for showing.
            Err(Refused::ValueTooLarge { .. }) => {
                put(entry(Path::new(status.path.file_name().unwrap_or_default())))
            }
            written => written,
        };
        if let Err(why) = written
            && !self.has_complained.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                mark,
                %why,
                "not all tailed files are in the state store; after a restart, `weir status` knows \
                 those it left out only while they are there. Nothing else depends on it"
            );
        }
    }

    pub(super) fn forget(&self, mark: &str) {
        self.area.remove(key(mark));
    }

    /// Files that are gone, by the name their mark had. Entries of this block without a mark are of
    /// files that went before the store knew it.
    pub(super) fn gone(
        &self,
        prefix: &str,
        marks: &BTreeSet<String>,
    ) -> BTreeMap<String, FileStatus> {
        let mut gone = BTreeMap::new();
        for (name, _) in self.area.scan(key(prefix)) {
            let mark = format!("tail/{name}");
            if marks.contains(&mark) {
                continue;
            }
            let Some(entry) = self.entry(&mark) else {
                self.forget(&mark);
                continue;
            };
            let status = FileStatus {
                path: PathBuf::from(entry.path),
                bytes: entry.bytes,
                read: entry.queued,
                queued: entry.queued,
                is_passed_over: entry.is_passed_over,
                gone_unix_ms: Some(entry.gone_unix_ms.unwrap_or_else(|| self.now())),
                trouble: None,
                is_written: false,
                seen: None,
                sent: entry.sent.within(self.committed),
            };
            self.write(&mark, &status);
            gone.insert(mark, status);
        }
        self.age_out(&mut gone);
        gone
    }

    /// Forgets those that are gone for long, and the oldest of too many.
    pub(super) fn age_out(&self, gone: &mut BTreeMap<String, FileStatus>) {
        let since = |status: &FileStatus| status.gone_unix_ms.unwrap_or(0);
        let oldest = self.now().saturating_sub(GONE_KEPT_MS);
        let mut times: Vec<_> = gone.values().map(since).collect();
        times.sort_unstable();
        let surplus = times.len().saturating_sub(GONE_MAX);
        let first = times.get(surplus).copied().unwrap_or(0).max(oldest);
        gone.retain(|mark, status| {
            let is_kept = since(status) >= first;
            if !is_kept {
                self.forget(mark);
            }
            is_kept
        });
    }

    pub(super) fn now(&self) -> u64 {
        self.clock.unix_ms()
    }

    fn entry(&self, mark: &str) -> Option<Entry> {
        serde_json::from_slice(&self.area.value(key(mark))?).ok()
    }
}

/// The key of a mark's name, or the start of keys of the start of names.
fn key(mark: &str) -> &str {
    mark.strip_prefix("tail/").unwrap_or(mark)
}
