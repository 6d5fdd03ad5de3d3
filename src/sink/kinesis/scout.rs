//! What is worth knowing of a stream, asked now and then: its shards, the size of its records, and
//! whether keys choose shards at all. A policy need not permit any of it.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::StreamDescriptionSummary;
use tokio::sync::{Mutex, Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{info, warn};

use super::StreamName;
use super::belief::{Belief, Doubt};
use super::facts::{StreamFacts, StreamNews};
use super::fleet;
use super::known::Known;
use super::listing::{do_keys_choose, does_spread, list_shards};
use super::refusals::{Refusals, SHARDS, SUMMARY};
use super::shards::{Listed, ShardMap};
use crate::sink::{Fault, Prospect, aws};

/// A reshard shows in many answers at once; one look is enough for all of them.
const LOOK_APART: Duration = Duration::from_millis(250);
/// Longest time that records, or an answer, wait for a look.
const WAITED_FOR: Duration = Duration::from_secs(2);

/// Asks, and keeps what it heard.
#[derive(Debug)]
pub(super) struct Scout {
    client: Client,
    stream: StreamName,
    known: watch::Sender<Known>,
    /// When the last look at the shards ended.
    looking: Mutex<Option<Instant>>,
    /// Rung when what is known turned out to be old.
    is_old: Notify,
    /// Rung when records wait for a look at the shards.
    wished: Notify,
    refusals: Refusals,
    /// How long the first look has time, as an earlier run has looked.
    first_look_in: std::sync::Mutex<Duration>,
}

impl Scout {
    pub(super) fn new(client: Client, stream: StreamName) -> Self {
        Self {
            client,
            stream,
            known: watch::Sender::new(Known::default()),
            looking: Mutex::default(),
            is_old: Notify::new(),
            wished: Notify::new(),
            refusals: Refusals::default(),
            first_look_in: std::sync::Mutex::default(),
        }
    }

    /// Takes up what an earlier run learned so long ago. What it did not learn is asked at once.
    pub(super) fn recall(&self, mut facts: StreamFacts, age: Duration) {
        let is_all = facts.is_all();
        if is_all {
            // What answers contradicted is asked soon: records go the dear way until then.
            let wait = match facts.is_refuted {
                true => fleet::uneasy().next_wait(),
                false => fleet::first_in(age),
            };
            *self.first_look_in.lock().unwrap_or_else(PoisonError::into_inner) = wait;
        }
        // Without its shards nobody could tell whether it is still the same stream.
        facts.keys_choose &= facts.shards.is_some();
        let mut belief = Belief::default();
        if let Some(map) = facts.shards.clone().filter(|_| facts.is_refuted) {
            belief.refute(map, Doubt::Unknown, Instant::now());
        }
        self.known.send_replace(Known { facts, belief, was_asked: is_all, ..Known::default() });
    }

    /// Tells what is learned from now on.
    pub(super) fn news(&self) -> StreamNews {
        StreamNews::new(self.known.subscribe())
    }

    pub(super) fn known(&self) -> watch::Ref<'_, Known> {
        self.known.borrow()
    }

    /// Permissions that were asked for and refused.
    pub(super) fn missing(&self) -> Vec<&'static str> {
        self.refusals.missing()
    }

    /// Ends when nothing is asked that is worth waiting for.
    pub(super) async fn has_looked(&self) {
        let is_over = |known: &Known| known.was_asked && known.wish.is_none();
        // The sender lives as long as this, so the wait ends only with the look.
        drop(self.known.subscribe().wait_for(is_over).await);
    }

    /// Records wait that could travel together if it were sure that the shards are still those that
    /// are known: that is asked now, unless it was in vain lately.
    pub(super) fn wish(&self) -> Prospect {
        let now = Instant::now();
        let (mut prospect, mut is_new) = (Prospect::None, false);
        self.known.send_if_modified(|known| {
            if !known.facts.keys_choose || known.map().is_none() || known.may_pack() {
                return false;
            }
            if known.wish.is_none() && known.belief.may_look(now) {
                (known.wish, is_new) = (Some(now + WAITED_FOR), true);
            }
            let until = known.wish.filter(|until| *until > now);
            prospect = until.map_or(Prospect::Later, Prospect::Soon);
            false
        });
        if is_new {
            self.wished.notify_one();
        }
        prospect
    }

    /// Looks, again and again.
    pub(super) async fn tend(&self) {
        let mut backoff = fleet::uneasy();
        let first = *self.first_look_in.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = Instant::now() + first;
        loop {
            let is_well = tokio::select! {
                () = sleep_until(next) => self.look().await,
                () = self.is_old.notified() => {
                    // What lists shards may itself be behind.
                    sleep(fleet::LOOK_FIRST).await;
                    self.look().await
                }
                () = self.wished.notified() => {
                    let is_well = self.look_at_shards_in_time().await;
                    self.known.send_modify(|known| known.wish = None);
                    if is_well {
                        continue;
                    }
                    false
                }
            };
            let wait = if is_well { fleet::calm() } else { backoff.next_wait() };
            next = Instant::now() + wait;
            if is_well {
                backoff.reset();
            }
        }
    }

    /// The stream has answered a request.
    pub(super) fn answered(&self) {
        let mut is_old = false;
        self.known.send_if_modified(|known| {
            is_old = known.belief.answered(Instant::now());
            false
        });
        if is_old {
            self.is_old.notify_one();
        }
    }

    /// The stream is not there: what comes under its name is another one.
    pub(super) fn lost(&self) {
        self.known.send_if_modified(|known| {
            let was_known = known.facts.shards.is_some();
            known.forget();
            was_known
        });
    }

    /// An answer contradicts this map. It is made anew once for all answers that do, and not sooner
    /// than a look may help; where that is not possible, nothing is foretold any more.
    pub(super) async fn doubt(&self, map: &Arc<ShardMap>, by: Doubt) {
        let (mut may_look, mut is_missed) = (false, false);
        self.known.send_if_modified(|known| {
            may_look = known.belief.may_look(Instant::now());
            if known.map() != Some(map) {
                return false;
            }
            is_missed = known.facts.keys_choose;
            known.facts.is_refuted = true;
            // Whether its keys choose must be asked where it is another stream.
            known.facts.keys_choose &= by != Doubt::Another;
            known.belief.refute(Arc::clone(map), by, Instant::now());
            true
        });
        if may_look {
            self.look_at_shards_in_time().await;
        }
        if is_missed && self.known().facts.is_refuted {
            warn!(
                stream = self.stream.text(),
                "answers name other shards than the stream lists; records are not aggregated until \
                 they agree"
            );
        }
        // The way keys are used may have changed with the shards.
        self.is_old.notify_one();
    }

    async fn look(&self) -> bool {
        let shards = self.look_at_shards().await;
        let summary = self.look_at_summary(shards).await;
        let is_good = summary && shards;
        self.known.send_modify(|known| {
            known.was_asked = true;
            known.good_looks += u64::from(is_good);
        });
        is_good
    }

    async fn look_at_summary(&self, has_shards: bool) -> bool {
        let asked = self
            .client
            .describe_stream_summary()
            .set_stream_name(self.stream.name.clone())
            .set_stream_arn(self.stream.arn.clone())
            .send()
            .await;
        match asked.map_err(aws::fault_of) {
            Ok(answer) => {
                self.heard_summary(answer.stream_description_summary.as_ref(), has_shards);
                true
            }
            Err(fault) => {
                self.refused(&fault, SUMMARY);
                false
            }
        }
    }

    fn heard_summary(&self, summary: Option<&StreamDescriptionSummary>, has_shards: bool) {
        let kib = summary.and_then(StreamDescriptionSummary::max_record_size_in_kib);
        let bytes = kib.and_then(|kib| usize::try_from(kib).ok()).map(|kib| kib << 10);
        let created =
            summary.and_then(|summary| summary.stream_creation_timestamp().to_millis().ok());
        let keys_choose = summary.is_some_and(do_keys_choose);
        let spreads = summary.is_some_and(does_spread);
        self.known.send_if_modified(|known| {
            let before = known.facts.clone();
            let is_another = before.created_unix_ms.is_some() && before.created_unix_ms != created;
            if is_another && !has_shards {
                known.forget();
            }
            let facts = &mut known.facts;
            (facts.record_bytes_max, facts.created_unix_ms) = (bytes, created);
            facts.keys_choose = keys_choose;
            known.spreads = spreads;
            let is_news = *facts != before;
            known.size_told = Some(Instant::now());
            is_news
        });
        self.refusals.permitted(SUMMARY);
    }

    async fn look_at_shards_in_time(&self) -> bool {
        let looked = timeout(WAITED_FOR, self.look_at_shards()).await;
        if looked.is_err() {
            self.in_vain();
        }
        looked.unwrap_or(false)
    }

    /// Whether the shards are known afterwards, and believed.
    async fn look_at_shards(&self) -> bool {
        let begun = Instant::now();
        let mut last = self.looking.lock().await;
        if last.is_some_and(|last| last > begun) {
            // Somebody else looked while this one waited for its turn.
            return self.known().map().is_some();
        }
        if let Some(last) = *last {
            sleep_until(last + LOOK_APART).await;
        }
        let asked = Instant::now();
        let listed = list_shards(&self.client, &self.stream).await;
        *last = Some(Instant::now());
        drop(last);
        match listed {
            Ok(listed) => {
                self.refusals.permitted(SHARDS);
                self.heard_shards(listed, asked)
            }
            Err(fault) => {
                self.refused(&fault, SHARDS);
                self.in_vain();
                let was_unsure = self.known().is_unsure;
                self.known.send_if_modified(|known| {
                    known.not_told(&fault);
                    false
                });
                self.say_unsure(was_unsure);
                false
            }
        }
    }

    /// Whether the shards are a whole map, which in the middle of a reshard they may not be, and no
    /// answer contradicts it.
    fn heard_shards(&self, listed: Vec<Listed>, asked: Instant) -> bool {
        let now = Instant::now();
        let (mut is_new, mut is_another, mut is_believed) = (false, false, false);
        let mut was_unsure = false;
        let mut map = None;
        self.known.send_if_modified(|known| {
            let before = known.facts.clone();
            is_another = before.shards.as_ref().is_some_and(|old| !old.may_have_become(&listed));
            let shards = listed.into_iter().map(|one| one.shard).collect();
            map = ShardMap::new(shards).map(Arc::new);
            known.facts.keys_choose &= !is_another;
            let belief = &mut known.belief;
            match &map {
                Some(map) => is_believed = belief.listed(map, asked, now),
                None => belief.looked_in_vain(now),
            }
            known.facts.is_refuted = map.is_some() && !is_believed;
            was_unsure = std::mem::replace(&mut known.is_unsure, map.is_none());
            is_new = before.shards != map;
            known.facts.shards.clone_from(&map);
            before != known.facts
        });
        self.say_unsure(was_unsure);
        let (stream, count) = (self.stream.text(), map.map_or(0, |map| map.shards().len()));
        if is_new {
            info!(stream, shards = count, "the shards of the stream are known");
        }
        if is_another {
            info!(stream, "the stream was made anew; what was known of it is asked again");
            self.is_old.notify_one();
        }
        is_believed
    }

    /// Says once that it does not tell its shards any more, though it might.
    fn say_unsure(&self, was_unsure: bool) {
        if self.known().is_unsure && !was_unsure {
            info!(
                stream = self.stream.text(),
                "the stream does not tell its shards now; records are not aggregated, and aggregates \
                 of producers go key by key, until it does"
            );
        }
    }

    fn refused(&self, fault: &Fault, permission: &'static str) {
        self.refusals.refused(self.stream.text(), permission, fault);
    }

    fn in_vain(&self) {
        self.known.send_if_modified(|known| {
            known.belief.looked_in_vain(Instant::now());
            false
        });
    }
}
