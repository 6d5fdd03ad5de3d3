//! What is known of a stream, and what it says of an answer; pure.

use std::sync::Arc;

use tokio::time::Instant;

use super::belief::Belief;
use super::facts::StreamFacts;
use super::fleet::LOOK_AGAIN_AFTER;
use super::refusals::is_denial;
use super::shards::{Shard, ShardMap};
use crate::sink::{At, Fate, Fault};

/// Codes of requests for the shards that may be answered another time.
const FOR_NOW: [&str; 5] =
    ["LimitExceeded", "Throttl", "TooManyRequests", "ResourceNotFound", "ResourceInUse"];
const NOT_IMPLEMENTED: u16 = 501;

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
    /// Whether the shards are not known though it may be asked for them.
    pub(super) is_unsure: bool,
    /// Whether the stream said last that it spreads records as it likes.
    pub(super) spreads: bool,
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

    /// The shards that records are sent for. Where the stream spreads them as it likes, none is for
    /// one of them.
    pub(super) fn map_of_keys(&self) -> Option<&Arc<ShardMap>> {
        self.map().filter(|_| !self.spreads)
    }

    /// Whether nobody can tell where keys lead, though it matters.
    pub(super) fn is_in_doubt(&self) -> bool {
        (self.facts.is_refuted || self.is_unsure) && !self.spreads
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
            // It was forgotten since: a stream that was not there has come back, perhaps another one.
            None if self.facts.shards.is_none() || self.belief.is_of_another() => {
                Fate::Strayed(None)
            }
            _ => Fate::Taken,
        }
    }

    /// It was asked for its shards, and did not tell them.
    pub(super) fn not_told(&mut self, fault: &Fault) {
        self.is_unsure = match fault.at {
            _ if is_denial(&fault.code) => false,
            // Who may not ask is not told that there is no such stream, nor is throttled.
            At::Answer(status) => {
                let is_for_now = status >= 500 && status != NOT_IMPLEMENTED
                    || FOR_NOW.iter().any(|code| fault.code.starts_with(code));
                self.is_unsure || is_for_now && self.facts.shards.is_none()
            }
            _ => self.is_unsure || self.facts.shards.is_none(),
        };
    }

    /// The stream is not the one that was known.
    pub(super) fn forget(&mut self) {
        self.is_unsure |= self.facts.shards.take().is_some();
        (self.facts.keys_choose, self.facts.is_refuted, self.spreads) = (false, false, false);
        self.belief.lost();
    }
}

#[cfg(test)]
mod tests {
    use super::super::shards::HashRange;
    use super::*;

    #[test]
    fn what_was_meant_for_a_shard_of_a_stream_that_was_lost_since_is_not_known_to_have_arrived() {
        let range = HashRange { first: 0, last: u128::MAX };
        let only = Shard { id: "shard-0".into(), range, since: 0 };
        let mut known = Known::default();
        known.facts.shards = ShardMap::new(vec![only.clone()]).map(Arc::new);
        assert_eq!(known.judge(&only, "shard-0"), Fate::Taken);

        known.forget();

        assert_eq!(known.judge(&only, "shard-0"), Fate::Strayed(None));
        assert!(known.is_in_doubt());
    }
}
