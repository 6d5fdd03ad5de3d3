//! Whether the map of a stream may still be believed. A stream can be deleted and made anew under
//! its name, and its shards then have names that were there before, and other hashes; and what lists
//! shards may be behind a reshard. Pure; the caller brings the time.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::shards::{Shard, ShardMap};
use crate::base::backoff::Backoff;

/// A stream that was seen twice within this time is the same one: the service takes longer to
/// delete a stream and to make another ready.
pub(super) const SAME_WITHIN: Duration = Duration::from_secs(10);
/// Rest after a look that did not help; doubled up to [`REST_MAX`]. Only looks that something waits
/// for rest; those that are made now and then go on.
const REST_FIRST: Duration = Duration::from_secs(1);
const REST_MAX: Duration = Duration::from_secs(60);
/// A map that answers contradicted is tried again after it was listed unchanged for so long: it
/// costs one request that goes again.
const REFUTED_FOR: Duration = Duration::from_secs(3_600);

/// What an answer says against the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Doubt {
    /// It names a shard that the map has not: there was a reshard.
    Unknown,
    /// It names a shard that has other hashes there, which no reshard does: it is another stream of
    /// this name, or its keys choose no shards any more.
    Another,
}

impl Doubt {
    /// What it says that an entry meant for one shard is in that of this name. One that was meant
    /// for a shard of an older map says nothing against this one.
    pub(super) fn of(map: &ShardMap, meant: &Shard, is_in: &str) -> Option<Self> {
        if &*meant.id == is_in || !map.has(meant) {
            return None;
        }
        Some(if map.shard(is_in).is_some() { Self::Another } else { Self::Unknown })
    }
}

/// How sure the map is.
#[derive(Clone, Debug)]
pub(super) struct Belief {
    /// When the stream was seen that the map was listed of; `None` if another may have come since.
    seen: Option<Instant>,
    refuted: Option<Refuted>,
    rests_until: Option<Instant>,
    rest: Backoff,
    /// Whether something could not be asked that the next answer of the stream is a sign for.
    asks_at_answer: bool,
    /// Whether it answered a request since the last look.
    has_answered: bool,
}

#[derive(Clone, Debug)]
struct Refuted {
    map: Arc<ShardMap>,
    by: Doubt,
    since: Instant,
}

impl Default for Belief {
    fn default() -> Self {
        Self {
            seen: None,
            refuted: None,
            rests_until: None,
            rest: Backoff::new(REST_FIRST, REST_MAX),
            asks_at_answer: false,
            has_answered: true,
        }
    }
}

impl Belief {
    /// Whether the stream is certainly the one that the map was listed of.
    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        self.seen.is_some_and(|seen| now.saturating_duration_since(seen) <= SAME_WITHIN)
    }

    /// Whether a look would help that something waits for.
    pub(super) fn may_look(&self, now: Instant) -> bool {
        self.rests_until.is_none_or(|until| until <= now)
    }

    /// Whether what answers contradicted was the map of another stream.
    pub(super) fn is_of_another(&self) -> bool {
        self.refuted.as_ref().is_some_and(|refuted| refuted.by == Doubt::Another)
    }

    /// The stream listed these shards, asked at that time; `false` if answers contradict them.
    pub(super) fn listed(&mut self, map: &Arc<ShardMap>, asked: Instant, now: Instant) -> bool {
        let is_same = |refuted: &Refuted| {
            refuted.map == *map && now.saturating_duration_since(refuted.since) < REFUTED_FOR
        };
        if self.refuted.as_ref().is_some_and(is_same) {
            self.looked_in_vain(now);
            return false;
        }
        (self.seen, self.refuted, self.rests_until) = (Some(asked), None, None);
        self.rest.reset();
        true
    }

    /// A look brought nothing. If nothing else was answered either, there is no way there: the next
    /// answer says that it is open again.
    pub(super) fn looked_in_vain(&mut self, now: Instant) {
        self.rests_until = Some(now + self.rest.next_wait());
        self.asks_at_answer |= !std::mem::take(&mut self.has_answered);
    }

    /// The stream answered a request; whether that is a sign to ask what could not be asked.
    pub(super) fn answered(&mut self, now: Instant) -> bool {
        if self.is_fresh(now) {
            self.seen = Some(now);
        }
        self.has_answered = true;
        let asks = std::mem::take(&mut self.asks_at_answer);
        if asks {
            self.rests_until = None;
        }
        asks
    }

    /// The stream is not there.
    pub(super) fn lost(&mut self) {
        (self.seen, self.refuted, self.rests_until) = (None, None, None);
        self.asks_at_answer = true;
    }

    /// Answers contradict this map.
    pub(super) fn refute(&mut self, map: Arc<ShardMap>, by: Doubt, now: Instant) {
        self.refuted = Some(Refuted { map, by, since: now });
    }
}

#[cfg(test)]
mod tests {
    use super::super::shards::HashRange;
    use super::*;

    fn map(count: u128, first: u128) -> Arc<ShardMap> {
        let size = u128::MAX / count + 1;
        let shard = |place: u128| {
            let last = if place + 1 == count { u128::MAX } else { (place + 1) * size - 1 };
            let range = HashRange { first: place * size, last };
            Shard { id: format!("shard-{}", first + place).into(), range, since: 0 }
        };
        Arc::new(ShardMap::new((0..count).map(shard).collect()).unwrap())
    }

    #[test]
    fn an_answer_contradicts_only_the_map_that_its_entry_was_meant_by() {
        let (two, four) = (map(2, 0), map(4, 0));
        let [low, high] = two.shards() else { panic!("two shards") };
        assert_eq!(Doubt::of(&two, low, "shard-0"), None);
        assert_eq!(Doubt::of(&two, low, "shard-1"), Some(Doubt::Another));
        assert_eq!(Doubt::of(&two, high, "shard-3"), Some(Doubt::Unknown));
        assert_eq!(Doubt::of(&four, low, "shard-1"), None, "it was meant by another map");
    }

    #[test]
    fn a_map_is_fresh_while_the_stream_is_seen_without_a_pause_and_else_when_it_is_listed() {
        let (mut belief, mut now) = (Belief::default(), Instant::now());
        assert!(!belief.is_fresh(now), "what an earlier run learned was not seen by this one");
        belief.answered(now);
        assert!(!belief.is_fresh(now), "an answer does not say of which stream it is");

        assert!(belief.listed(&map(2, 0), now, now));
        for _ in 0..5 {
            now += SAME_WITHIN;
            assert!(belief.is_fresh(now));
            belief.answered(now);
        }
        now += SAME_WITHIN + Duration::from_millis(1);
        assert!(!belief.answered(now) && !belief.is_fresh(now));
        belief.listed(&map(2, 0), now, now);
        belief.lost();
        assert!(!belief.is_fresh(now));
        assert!(belief.answered(now) && !belief.is_fresh(now), "it is there again; look");
    }

    #[test]
    fn after_an_outage_the_first_answer_is_the_sign_to_look_and_else_looks_in_vain_rest() {
        let (mut belief, now) = (Belief::default(), Instant::now());
        belief.looked_in_vain(now);
        assert!(!belief.answered(now) && !belief.may_look(now), "only the look went wrong");
        belief.looked_in_vain(now);
        belief.looked_in_vain(now);
        assert!(!belief.may_look(now), "nothing is answered");
        assert!(belief.answered(now) && belief.may_look(now));
        assert!(!belief.answered(now), "once");
    }

    #[test]
    fn a_map_that_was_contradicted_is_not_believed_for_being_listed_again() {
        let (mut belief, now) = (Belief::default(), Instant::now());
        belief.listed(&map(2, 0), now, now);
        belief.refute(map(2, 0), Doubt::Unknown, now);
        let mut at = now;
        for whole in [1, 2, 4] {
            assert!(belief.may_look(at));
            assert!(!belief.listed(&map(2, 0), at, at), "what lists shards is behind");
            assert!(!belief.may_look(at), "and is not asked at once again");
            at += Duration::from_secs(whole);
        }
        assert!(belief.clone().listed(&map(2, 0), now, now + REFUTED_FOR), "tried once more");
        assert!(belief.listed(&map(4, 2), at, at) && belief.may_look(at));
        assert!(belief.listed(&map(2, 0), at, at), "a newer map was believed in between");
    }
}
