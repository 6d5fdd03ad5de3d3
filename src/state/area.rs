//! The entries of one user of the store.

use std::sync::Arc;

use bytes::Bytes;

use super::store::Shared;
use super::view::Refused;

/// All keys that begin with one word and a slash. Cheap to clone; no call ever waits for the disk.
#[derive(Clone, Debug)]
pub struct Area {
    shared: Arc<Shared>,
    prefix: &'static str,
    keys_max: usize,
}

impl Area {
    pub(super) fn new(shared: Arc<Shared>, prefix: &'static str, keys_max: usize) -> Self {
        Self { shared, prefix, keys_max }
    }

    /// The value of a key.
    pub fn value(&self, key: &str) -> Option<Bytes> {
        self.shared.look(|view| view.value(&self.whole(key)))
    }

    /// Keys that begin with `start` (all, if it is empty) and their values, sorted.
    pub fn scan(&self, start: &str) -> Vec<(String, Bytes)> {
        let start = self.whole(start);
        let own = |(key, value): (&str, &Bytes)| {
            Some((key.strip_prefix(self.prefix)?.to_owned(), value.clone()))
        };
        self.shared.look(|view| view.below(&start).filter_map(own).collect())
    }

    /// Takes a value in. It is on disk about a second later; the same value again costs nothing.
    ///
    /// # Errors
    /// [`Refused`]; the key then has the value it had.
    pub fn put(&self, key: &str, value: impl Into<Bytes>) -> Result<(), Refused> {
        let (key, value) = (self.whole(key), value.into());
        self.shared.change(|view| view.put(key, value, self.keys_max)).map(drop)
    }

    /// Forgets a key; a key that is not there is none.
    pub fn remove(&self, key: &str) {
        let key = self.whole(key);
        self.shared.change(|view| Ok::<_, Refused>(view.remove(&key))).unwrap_or_default();
    }

    fn whole(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }
}
