//! What was learned of a stream, as those see it who remember it across restarts.

use std::sync::Arc;

use tokio::sync::watch;

use super::ShardMap;
use super::known::Known;

/// What is known of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamFacts {
    /// Largest record the stream says it takes, with its key, in bytes.
    pub record_bytes_max: Option<usize>,
    /// Whether the key of a record is known to choose its shard.
    pub keys_choose: bool,
    /// Its open shards.
    pub shards: Option<Arc<ShardMap>>,
    /// Whether its answers contradicted these shards, and it listed no others since.
    pub is_refuted: bool,
    /// When it was made, in milliseconds since 1970.
    pub created_unix_ms: Option<i64>,
}

/// News of a stream.
#[derive(Debug)]
pub struct StreamNews {
    known: watch::Receiver<Known>,
    /// What was told last, and after how many good looks.
    told: (u64, StreamFacts),
}

impl StreamFacts {
    /// Whether nothing is left to ask.
    pub(super) fn is_all(&self) -> bool {
        self.record_bytes_max.is_some() && self.shards.is_some()
    }
}

impl StreamNews {
    pub(super) fn new(mut known: watch::Receiver<Known>) -> Self {
        let told = told(&known.borrow_and_update());
        Self { known, told }
    }

    /// Returns with what is known whenever the stream has told it again, or something else; never,
    /// once the stream is gone.
    pub async fn next(&mut self) -> StreamFacts {
        loop {
            if self.known.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            let now = told(&self.known.borrow_and_update());
            if now != self.told {
                self.told = now;
                return self.told.1.clone();
            }
        }
    }
}

fn told(known: &Known) -> (u64, StreamFacts) {
    (known.good_looks, known.facts.clone())
}
