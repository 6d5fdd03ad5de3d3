//! What is worth knowing of a stream, asked now and then: its shards, the size of its records, and
//! whether keys choose shards at all. A policy need not permit any of it.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::{
    RecordDistributionStrategy, ShardFilter, ShardFilterType, StreamDescriptionSummary, StreamMode,
};
use tokio::sync::{Mutex, Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tracing::{debug, info, warn};

use super::StreamName;
use super::facts::{StreamFacts, StreamNews};
use super::shards::{HashRange, Shard, ShardMap};
use crate::base::backoff::Backoff;
use crate::base::random;
use crate::sink::{Fault, aws};

/// What is known is asked again after half of this time to the whole of it: a fleet that was
/// started together does not ask together.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(600);
/// First wait after a look that failed; doubled up to [`LOOK_AGAIN_AFTER`].
const LOOK_FIRST: Duration = Duration::from_secs(1);
/// A reshard shows in many answers at once; one look is enough for all of them.
const LOOK_APART: Duration = Duration::from_millis(250);
/// Most pages of shards: a stream has 20 000 at most, and a page up to 1000.
const PAGES_MAX: usize = 100;

/// What an earlier run learned longer ago is asked again within this time: a fleet that comes back
/// from the same outage does not ask together.
const OLD_LOOK_WITHIN: Duration = Duration::from_secs(60);

/// What is known.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub(super) facts: StreamFacts,
    /// How often all of it was heard.
    pub(super) good_looks: u64,
    /// Whether it was asked for, now or by an earlier run.
    was_asked: bool,
    /// When the stream said last how large a record may be.
    size_told: Option<Instant>,
}

impl Known {
    /// Whether the stream itself said of late how large a record may be: its owner may have raised
    /// that since it was told, and an earlier run may be long ago.
    pub(super) fn is_record_bytes_max_told(&self) -> bool {
        let is_fresh = |told: Instant| told.elapsed() < LOOK_AGAIN_AFTER * 2;
        self.facts.record_bytes_max.is_some() && self.size_told.is_some_and(is_fresh)
    }
}

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
    refusals: std::sync::Mutex<Refusals>,
    /// How long the first look has time, as an earlier run has looked.
    first_look_in: std::sync::Mutex<Duration>,
}

/// What was refused at the last look, so that each refusal is told once.
#[derive(Debug, Default)]
struct Refusals {
    summary: Option<String>,
    shards: Option<String>,
}

impl Scout {
    pub(super) fn new(client: Client, stream: StreamName) -> Self {
        Self {
            client,
            stream,
            known: watch::Sender::new(Known::default()),
            looking: Mutex::default(),
            is_old: Notify::new(),
            refusals: std::sync::Mutex::default(),
            first_look_in: std::sync::Mutex::default(),
        }
    }

    /// Takes up what an earlier run learned so long ago. What it did not learn is asked at once.
    pub(super) fn recall(&self, facts: StreamFacts, age: Duration) {
        let is_all = facts.is_all();
        if is_all {
            let calm = Backoff::new(LOOK_AGAIN_AFTER, LOOK_AGAIN_AFTER).wait_at(0);
            let soon = OLD_LOOK_WITHIN.mul_f64(random::fraction());
            let wait = calm.checked_sub(age).unwrap_or(soon);
            *self.first_look_in.lock().unwrap_or_else(PoisonError::into_inner) = wait;
        }
        let known = Known { facts, was_asked: is_all, ..Known::default() };
        self.known.send_replace(known);
    }

    /// Tells what is learned from now on.
    pub(super) fn news(&self) -> StreamNews {
        StreamNews::new(self.known.subscribe())
    }

    pub(super) fn known(&self) -> watch::Ref<'_, Known> {
        self.known.borrow()
    }

    /// Ends after the first look.
    pub(super) async fn has_looked(&self) {
        // The sender lives as long as this, so the wait ends only with the look.
        drop(self.known.subscribe().wait_for(|known| known.was_asked).await);
    }

    /// Looks, again and again.
    pub(super) async fn tend(&self) {
        let mut backoff = Backoff::new(LOOK_FIRST, LOOK_AGAIN_AFTER);
        let calm = Backoff::new(LOOK_AGAIN_AFTER, LOOK_AGAIN_AFTER);
        let mut wait = *self.first_look_in.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if timeout_at(Instant::now() + wait, self.is_old.notified()).await.is_ok() {
                // What lists shards may itself be behind.
                sleep(LOOK_FIRST).await;
            }
            let is_well = self.look().await;
            wait = if is_well { calm.wait_at(0) } else { backoff.next_wait() };
            if is_well {
                backoff.reset();
            }
        }
    }

    /// The range of a shard that an answer named and a request did not expect: the map is old, and
    /// is made anew. Where that is not possible there is no map any more, so nothing is foretold.
    pub(super) async fn range_of_unknown(&self, shard: &str) -> Option<HashRange> {
        let known =
            |scout: &Self| scout.known().facts.shards.as_ref().and_then(|map| map.range_of(shard));
        if let Some(range) = known(self) {
            return Some(range);
        }
        if !self.look_at_shards().await {
            self.known.send_modify(|known| known.facts.shards = None);
        }
        // The way keys are used may have changed with the shards.
        self.is_old.notify_one();
        known(self)
    }

    async fn look(&self) -> bool {
        let summary = self.look_at_summary().await;
        let shards = self.look_at_shards().await;
        let is_good = summary && shards;
        self.known.send_modify(|known| {
            known.was_asked = true;
            known.good_looks += u64::from(is_good);
        });
        is_good
    }

    async fn look_at_summary(&self) -> bool {
        let asked = self
            .client
            .describe_stream_summary()
            .set_stream_name(self.stream.name.clone())
            .set_stream_arn(self.stream.arn.clone())
            .send()
            .await;
        match asked.map_err(aws::fault_of) {
            Ok(answer) => {
                self.heard_summary(answer.stream_description_summary.as_ref());
                true
            }
            Err(fault) => {
                self.refused(&fault, "kinesis:DescribeStreamSummary");
                false
            }
        }
    }

    fn heard_summary(&self, summary: Option<&StreamDescriptionSummary>) {
        let kib = summary.and_then(StreamDescriptionSummary::max_record_size_in_kib);
        let bytes = kib.and_then(|kib| usize::try_from(kib).ok()).map(|kib| kib << 10);
        let keys_choose = summary.is_some_and(do_keys_choose);
        self.known.send_if_modified(|known| {
            let facts = &mut known.facts;
            let is_news = (facts.record_bytes_max, facts.keys_choose) != (bytes, keys_choose);
            (facts.record_bytes_max, facts.keys_choose) = (bytes, keys_choose);
            known.size_told = Some(Instant::now());
            is_news
        });
        self.permitted("kinesis:DescribeStreamSummary");
    }

    async fn look_at_shards(&self) -> bool {
        let begun = Instant::now();
        let mut last = self.looking.lock().await;
        if last.is_some_and(|last| last > begun) {
            // Somebody else looked while this one waited for its turn.
            return self.known().facts.shards.is_some();
        }
        if let Some(last) = *last {
            sleep_until(last + LOOK_APART).await;
        }
        let listed = self.list_shards().await;
        *last = Some(Instant::now());
        drop(last);
        match listed {
            Ok(shards) => {
                self.permitted("kinesis:ListShards");
                self.heard_shards(shards)
            }
            Err(fault) => {
                self.refused(&fault, "kinesis:ListShards");
                false
            }
        }
    }

    pub(super) async fn list_shards(&self) -> Result<Vec<Shard>, Fault> {
        let open = ShardFilter::builder()
            .r#type(ShardFilterType::AtLatest)
            .build()
            .map_err(|error| aws::unbuilt(&error))?;
        let mut shards = Vec::new();
        let mut next = None;
        for _ in 0..PAGES_MAX {
            let ask = self.client.list_shards();
            // A token stands for the stream and the filter, which then must not be named.
            let ask = match next.take() {
                Some(token) => ask.next_token(token),
                None => ask
                    .set_stream_name(self.stream.name.clone())
                    .set_stream_arn(self.stream.arn.clone())
                    .shard_filter(open.clone()),
            };
            let page = ask.send().await.map_err(aws::fault_of)?;
            shards.extend(page.shards.unwrap_or_default().iter().filter_map(open_shard));
            next = page.next_token;
            if next.is_none() {
                break;
            }
        }
        Ok(shards)
    }

    /// Whether the shards are a whole map; in the middle of a reshard they may not be.
    fn heard_shards(&self, shards: Vec<Shard>) -> bool {
        let map = ShardMap::new(shards).map(Arc::new);
        let is_whole = map.is_some();
        let count = map.as_ref().map_or(0, |map| map.shards().len());
        let is_news = self.known.send_if_modified(|known| {
            let is_news = known.facts.shards != map;
            if is_news {
                known.facts.shards = map;
            }
            is_news
        });
        if is_news {
            info!(
                stream = self.stream.text(),
                shards = count,
                "the shards of the stream are known"
            );
        }
        is_whole
    }

    fn refused(&self, fault: &Fault, permission: &'static str) {
        let mut refusals = self.locked();
        let known = refusals.of(permission);
        if known.as_deref() == Some(&fault.code) {
            return;
        }
        *known = Some(fault.code.clone());
        let Fault { code, message, .. } = fault;
        let stream = self.stream.text();
        if code.starts_with("AccessDenied") {
            warn!(
                stream,
                permission,
                says = message,
                "the policy lacks a permission; delivery works without it, but records are not \
                 aggregated"
            );
        } else {
            debug!(stream, permission, code, says = message, "the stream cannot be looked at");
        }
    }

    fn permitted(&self, permission: &'static str) {
        *self.locked().of(permission) = None;
    }

    /// Permissions that were asked for and refused.
    pub(super) fn missing(&self) -> Vec<&'static str> {
        let mut refusals = self.locked();
        ["kinesis:DescribeStreamSummary", "kinesis:ListShards"]
            .into_iter()
            .filter(|name| {
                refusals.of(name).as_ref().is_some_and(|code| code.starts_with("AccessDenied"))
            })
            .collect()
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Refusals> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Refusals {
    fn of(&mut self, permission: &str) -> &mut Option<String> {
        if permission.ends_with("ListShards") { &mut self.shards } else { &mut self.summary }
    }
}

impl StreamName {
    fn text(&self) -> &str {
        self.name.as_deref().or(self.arn.as_deref()).unwrap_or_default()
    }
}

/// Only streams on demand can spread records by themselves, and those say so; one that does not
/// say what it does is not believed to go by keys.
pub(super) fn do_keys_choose(summary: &StreamDescriptionSummary) -> bool {
    let mode = summary.stream_mode_details.as_ref().map(|details| details.stream_mode());
    match &summary.record_distribution_strategy {
        Some(strategy) => *strategy == RecordDistributionStrategy::UserPartitionKey,
        None => mode == Some(&StreamMode::Provisioned),
    }
}

fn open_shard(shard: &aws_sdk_kinesis::types::Shard) -> Option<Shard> {
    let sequence = shard.sequence_number_range.as_ref();
    let is_closed = sequence.is_some_and(|range| range.ending_sequence_number.is_some());
    let range = shard.hash_key_range.as_ref().filter(|_| !is_closed)?;
    let first = range.starting_hash_key.parse().ok()?;
    let last = range.ending_hash_key.parse().ok()?;
    Some(Shard { id: shard.shard_id.as_str().into(), range: HashRange { first, last } })
}
