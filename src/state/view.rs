//! All entries in memory, and which of them the disk does not have yet; pure.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use bytes::Bytes;
use thiserror::Error;

use super::engine::Change;

/// Most keys of the whole store: up to here the engine's memory, file and time to open stay small.
pub(super) const KEYS_MAX: usize = 10_000;
/// Longest key, its area's name included.
pub(super) const KEY_BYTES_MAX: usize = 255;
/// Longest value. From about 10 KB on the engine loses everything in a power cut.
pub(super) const VALUE_BYTES_MAX: usize = 4096;
/// Most bytes of all keys and values together; they are kept in memory.
pub(super) const BYTES_MAX: usize = 8 << 20;
/// Most changes of one commit; more of them come in several.
pub(super) const CHANGES_MAX: usize = 1000;

/// Why an entry was not taken. The store is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refused {
    /// The key is too long.
    #[error("a key in the state store has at most {KEY_BYTES_MAX} bytes, this one {bytes}")]
    KeyTooLong {
        /// What it has, its area's name included.
        bytes: usize,
    },
    /// The value is too large.
    #[error("a value in the state store has at most {VALUE_BYTES_MAX} bytes, this one {bytes}")]
    ValueTooLarge {
        /// What it has.
        bytes: usize,
    },
    /// There are as many keys as there may be.
    #[error("the state store has room for {keys_max} keys of this kind, and has them")]
    TooManyKeys {
        /// The bound.
        keys_max: usize,
    },
    /// All entries together would be too large.
    #[error("the state store holds at most {BYTES_MAX} bytes")]
    Full,
}

/// The entries.
#[derive(Debug, Default)]
pub(super) struct View {
    entries: BTreeMap<String, Bytes>,
    /// Keys whose value on disk is another one, or a thing of the past.
    changed: BTreeSet<String>,
    bytes: usize,
    /// Keys by what stands before their first slash.
    areas: BTreeMap<String, usize>,
    /// Whether what lies on disk was read once; from then on the view is right, and the disk follows.
    loaded: bool,
}

impl View {
    pub(super) fn value(&self, key: &str) -> Option<Bytes> {
        self.entries.get(key).cloned()
    }

    /// Keys that begin with `prefix`, and their values, sorted.
    pub(super) fn below<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a Bytes)> {
        let from = (Bound::Included(prefix), Bound::Unbounded);
        let all = self.entries.range::<str, _>(from).map(|(key, value)| (key.as_str(), value));
        all.take_while(move |(key, _)| key.starts_with(prefix))
    }

    /// Takes a value; `true` if it is another one than before. `keys_max` bounds the keys that
    /// begin like this one up to its first slash.
    pub(super) fn put(
        &mut self,
        key: String,
        value: Bytes,
        keys_max: usize,
    ) -> Result<bool, Refused> {
        let (key_bytes, value_bytes) = (key.len(), value.len());
        if key_bytes > KEY_BYTES_MAX {
            return Err(Refused::KeyTooLong { bytes: key_bytes });
        }
        if value_bytes > VALUE_BYTES_MAX {
            return Err(Refused::ValueTooLarge { bytes: value_bytes });
        }
        let before = self.entries.get(&key);
        if before == Some(&value) {
            return Ok(false);
        }
        let bytes = match before {
            Some(old) => self.bytes - old.len() + value_bytes,
            None => self.bytes + key_bytes + value_bytes,
        };
        if before.is_none() {
            let in_area = self.areas.get(area(&key)).copied().unwrap_or(0);
            if in_area >= keys_max || self.entries.len() >= KEYS_MAX {
                return Err(Refused::TooManyKeys { keys_max: keys_max.min(KEYS_MAX) });
            }
        }
        if bytes > BYTES_MAX {
            return Err(Refused::Full);
        }
        if before.is_none() {
            *self.areas.entry(area(&key).to_owned()).or_default() += 1;
        }
        self.bytes = bytes;
        self.changed.insert(key.clone());
        self.entries.insert(key, value);
        Ok(true)
    }

    /// Forgets a key; `true` if it was there.
    pub(super) fn remove(&mut self, key: &str) -> bool {
        let Some(old) = self.entries.remove(key) else { return false };
        self.bytes -= key.len() + old.len();
        if let Some(keys) = self.areas.get_mut(area(key)) {
            *keys -= 1;
        }
        self.changed.insert(key.to_owned());
        true
    }

    /// Takes note of what lies on disk. The first time, what was not changed meanwhile is as the
    /// disk says; later the disk is to become as the view is.
    pub(super) fn meet(&mut self, on_disk: Vec<(String, Bytes)>) {
        let first = !std::mem::replace(&mut self.loaded, true);
        let mut unseen: BTreeSet<String> = self.entries.keys().cloned().collect();
        let mut removed: BTreeSet<String> = std::mem::take(&mut self.changed);
        removed.retain(|key| !self.entries.contains_key(key));
        for (key, value) in on_disk {
            unseen.remove(&key);
            let own = self.entries.get(&key);
            let settled = match own {
                Some(own) => *own == value,
                None if !first || removed.contains(&key) => false,
                // Beyond a bound, which another weir may have had wider, it is not kept.
                None => self.put(key.clone(), value, KEYS_MAX).is_ok(),
            };
            if settled {
                self.changed.remove(&key);
            } else {
                self.changed.insert(key);
            }
        }
        self.changed.extend(unseen);
    }

    pub(super) fn is_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// Changes for one commit, which must come back to [`Self::give_back`] if it fails.
    pub(super) fn take_changes(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        while let Some(key) = self.changed.pop_first() {
            let value = self.entries.get(&key).cloned();
            changes.push(Change { key, value });
            if changes.len() == CHANGES_MAX {
                break;
            }
        }
        changes
    }

    /// These are not on disk after all.
    pub(super) fn give_back(&mut self, changes: Vec<Change>) {
        self.changed.extend(changes.into_iter().map(|change| change.key));
    }

    pub(super) fn keys(&self) -> usize {
        self.entries.len()
    }

    /// Keys and values together.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// What stands before the first slash.
fn area(key: &str) -> &str {
    key.split_once('/').map_or(key, |(area, _)| area)
}
