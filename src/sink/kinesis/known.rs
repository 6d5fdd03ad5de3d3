//! What is known of a stream, and what it says of an answer; pure.

use std::sync::Arc;

use tokio::time::Instant;

use super::belief::Belief;
use super::facts::StreamFacts;
use super::scout::LOOK_AGAIN_AFTER;
use super::shards::{Shard, ShardMap};
use crate::sink::Fate;

/// What is known.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub(super) facts: StreamFacts,
    /// How often all of it was heard.
    pub(super) good_looks: u64,
    /// Whether it was asked for, now or by an earlier run.
    pub(super) was_asked: bool,
    pub(super) belief: Belief,
    /// Until when records wait for a look at the shards that is under way.
    pub(super) wish: Option<Instant>,
    /// When the stream said last how large a record may be.
    pub(super) size_told: Option<Instant>,
}

impl Known {
    /// Whether the stream itself said of late how large a record may be: its owner may have raised
    /// that since it was told, and an earlier run may be long ago.
    pub(super) fn is_record_bytes_max_told(&self) -> bool {
        let is_fresh = |told: Instant| told.elapsed() < LOOK_AGAIN_AFTER * 2;
        self.facts.record_bytes_max.is_some() && self.size_told.is_some_and(is_fresh)
    }

    /// The shards, unless answers contradict them.
    pub(super) fn map(&self) -> Option<&Arc<ShardMap>> {
        self.facts.shards.as_ref().filter(|_| !self.facts.is_refuted)
    }

    /// Whether what is put together for one shard now ends up in it.
    pub(super) fn may_pack(&self) -> bool {
        self.facts.keys_choose && self.map().is_some() && self.belief.is_fresh(Instant::now())
    }

    /// What became of an entry that the stream took, and that was meant for one shard.
    pub(super) fn judge(&self, meant: &Shard, is_in: &str) -> Fate {
        let map = self.map();
        if *meant.id != *is_in {
            return Fate::Strayed(map.and_then(|map| map.range_of(is_in)));
        }
        if map.is_some_and(|map| map.has(meant)) {
            return Fate::Taken;
        }
        match map.and_then(|map| map.range_of(is_in)) {
            // A stream that was made anew has a shard of this name too.
            Some(range) if range != meant.range => Fate::Strayed(Some(range)),
            None if self.belief.is_of_another() => Fate::Strayed(None),
            _ => Fate::Taken,
        }
    }

    /// The stream is not the one that was known.
    pub(super) fn forget(&mut self) {
        self.facts.shards = None;
        (self.facts.keys_choose, self.facts.is_refuted) = (false, false);
        self.belief.lost();
    }
}
