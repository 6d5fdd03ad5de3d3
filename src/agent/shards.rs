//! The shards of the streams upstream, as callers of this agent see them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::sink::ShardMap;
use crate::source::http::{Shard, Shards, ShardsOf};

/// Asks one destination that has shards for what it knows of them.
pub(super) type Ask = Arc<dyn Fn() -> Option<Arc<ShardMap>> + Send + Sync>;

/// The destinations with shards, by stream.
#[derive(Default)]
pub(super) struct ShardSources(Mutex<BTreeMap<String, BTreeMap<String, Source>>>);

struct Source {
    ask: Ask,
    /// The last answer, and what was made of it.
    seen: Mutex<Option<(Arc<ShardMap>, Shards)>>,
}

impl ShardSources {
    /// Asks this destination from now on, instead of the one of that name before.
    pub(super) fn add(&self, (stream, destination): (&str, &str), ask: Ask) {
        let source = Source { ask, seen: Mutex::default() };
        let mut all = self.all();
        all.entry(stream.to_owned()).or_default().insert(destination.to_owned(), source);
    }

    /// Asks this destination no more.
    pub(super) fn forget(&self, destination: &str) {
        self.all().values_mut().for_each(|sources| drop(sources.remove(destination)));
    }

    /// The view of a listener.
    pub(super) fn view(self: Arc<Self>) -> ShardsOf {
        Arc::new(move |stream| {
            let all = self.all();
            let mut sources = all.get(stream).into_iter().flat_map(BTreeMap::values);
            match (sources.next(), sources.next()) {
                (None, _) => Shards::One,
                (Some(source), None) => source.shards(),
                // What is packed for a shard of one is not whole in a shard of the other.
                (Some(_), Some(_)) => Shards::Unknown,
            }
        })
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, BTreeMap<String, Source>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source {
    fn shards(&self) -> Shards {
        let Some(map) = (self.ask)() else { return Shards::Unknown };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match &*seen {
            Some((known, shards)) if Arc::ptr_eq(known, &map) => shards.clone(),
            _ => {
                let shards = shown(&map);
                *seen = Some((map, shards.clone()));
                shards
            }
        }
    }
}

fn shown(map: &ShardMap) -> Shards {
    let shard = |shard: &crate::sink::Shard| Shard {
        id: shard.id.clone(),
        hashes: (shard.range.first, shard.range.last),
    };
    Shards::Known(map.shards().iter().map(shard).collect())
}
