//! The shards of the streams upstream, as callers of this agent see them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::sink::ShardMap;
use crate::source::http::{Shard, Shards, ShardsOf};

/// Asks one destination that has shards for what it knows of them.
pub(super) type Ask = Arc<dyn Fn() -> Option<Arc<ShardMap>> + Send + Sync>;

/// The destinations with shards, by stream.
#[derive(Default)]
pub(super) struct ShardSources(BTreeMap<String, Vec<Source>>);

struct Source {
    ask: Ask,
    /// The last answer, and what was made of it.
    seen: Mutex<Option<(Arc<ShardMap>, Shards)>>,
}

impl ShardSources {
    pub(super) fn add(&mut self, stream: &str, ask: Ask) {
        let source = Source { ask, seen: Mutex::default() };
        self.0.entry(stream.to_owned()).or_default().push(source);
    }

    /// The view of a listener.
    pub(super) fn view(self) -> ShardsOf {
        Arc::new(move |stream| match self.0.get(stream).map(Vec::as_slice) {
            None | Some([]) => Shards::One,
            Some([source]) => source.shards(),
            // What is packed for a shard of one is not whole in a shard of the other.
            Some(_) => Shards::Unknown,
        })
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
