//! What was learned of Kinesis streams, kept across restarts: a gateway that starts without an uplink
//! knows how large a record may be, and which shards there are.
//!
//! `stream/<destination>` holds a head, and `stream/<destination>/<n>` its shards, some in each.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tracing::debug;

use crate::base::clock::Clock;
use crate::base::shutdown::Stopping;
use crate::sink::{HashRange, KinesisSettings, Shard, ShardMap, StreamFacts, StreamNews};
use crate::state::Area;

/// So many shards stand in one value, which has room for 4096 bytes.
const SHARDS_EACH: usize = 48;
/// A stream with more shards is asked again after a restart.
const SHARDS_MAX: usize = 960;

/// What is remembered of streams.
#[derive(Debug)]
pub(super) struct StreamMemory {
    area: Area,
    clock: Clock,
    /// Two streams may lead to one destination.
    noting: Mutex<()>,
}

/// What is said once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    /// Which stream it is about: a destination may be led elsewhere.
    of: String,
    record_bytes_max: Option<usize>,
    keys_choose: bool,
    /// Whether answers contradicted the shards.
    #[serde(default)]
    is_refuted: bool,
    #[serde(default)]
    created_unix_ms: Option<i64>,
    /// How many shards there are, and the checksum of them all; none are known without.
    shards: Option<(usize, u32)>,
}

/// A shard: its name, the first of its hashes and what tells it from others of its name, both in
/// hexadecimal. It ends where the next begins.
type Row = (String, String, String);

impl StreamMemory {
    pub(super) fn new(area: Area, clock: Clock) -> Arc<Self> {
        Arc::new(Self { area, clock, noting: Mutex::default() })
    }

    /// What was learned of the stream behind a destination, and how long ago.
    pub(super) fn of(
        &self,
        destination: &str,
        settings: &KinesisSettings,
    ) -> Option<(StreamFacts, Duration)> {
        let head = self.area.known::<Head>(&key(destination))?;
        let age = Duration::from_millis(head.age_ms(self.clock.unix_ms()));
        let Head { of, record_bytes_max, keys_choose, is_refuted, created_unix_ms, shards } =
            head.value;
        if of != name(settings) {
            return None;
        }
        let shards = shards.and_then(|(count, sum)| self.shards(destination, count, sum));
        let is_refuted = is_refuted && shards.is_some();
        let facts =
            StreamFacts { record_bytes_max, keys_choose, shards, is_refuted, created_unix_ms };
        Some((facts, age))
    }

    fn shards(&self, destination: &str, count: usize, sum: u32) -> Option<Arc<ShardMap>> {
        let mut rows: Vec<Row> = Vec::new();
        for part in 0..count.div_ceil(SHARDS_EACH) {
            let value = self.area.value(&part_key(destination, part))?;
            rows.extend(serde_json::from_slice::<Vec<Row>>(&value).ok()?);
        }
        (rows.len() == count && sum_of(&rows) == sum).then_some(())?;
        let firsts = rows.iter().map(|(_, first, _)| u128::from_str_radix(first, 16).ok());
        let firsts: Vec<u128> = firsts.collect::<Option<_>>()?;
        let since = rows.iter().map(|(.., since)| u32::from_str_radix(since, 16).ok());
        let since: Vec<u32> = since.collect::<Option<_>>()?;
        let ends = firsts.iter().skip(1).map(|next| next.wrapping_sub(1)).chain([u128::MAX]);
        let ranges = firsts.iter().zip(ends).map(|(first, last)| HashRange { first: *first, last });
        let shards = rows.iter().zip(ranges).zip(since);
        let shards =
            shards.map(|(((id, ..), range), since)| Shard { id: id.as_str().into(), range, since });
        ShardMap::new(shards.collect()).map(Arc::new)
    }

    /// Notes what is learned of a stream, until asked to stop.
    pub(super) async fn follow(
        self: Arc<Self>,
        (destination, settings): (String, KinesisSettings),
        mut news: StreamNews,
        mut stopping: Stopping,
    ) -> Result<(), String> {
        loop {
            let facts = tokio::select! {
                () = stopping.asked() => return Ok(()),
                facts = news.next() => facts,
            };
            self.note(&destination, &settings, &facts);
        }
    }

    fn note(&self, destination: &str, settings: &KinesisSettings, facts: &StreamFacts) {
        let _alone = self.noting.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = facts.shards.as_ref().map(|map| rows(map)).unwrap_or_default();
        let rows = if rows.len() <= SHARDS_MAX { rows } else { Vec::new() };
        let mut is_kept = !rows.is_empty();
        for (part, some) in rows.chunks(SHARDS_EACH).enumerate() {
            let value = serde_json::to_vec(some).unwrap_or_default();
            is_kept &= self.area.put(&part_key(destination, part), value).is_ok();
        }
        for (left, _) in self.area.scan(&part_key(destination, "")) {
            let part = left.rsplit('/').next().and_then(|part| part.parse::<usize>().ok());
            if !is_kept || part.is_none_or(|part| part >= rows.len().div_ceil(SHARDS_EACH)) {
                self.area.remove(&left);
            }
        }
        let head = Head {
            of: name(settings),
            record_bytes_max: facts.record_bytes_max,
            keys_choose: facts.keys_choose,
            is_refuted: facts.is_refuted,
            created_unix_ms: facts.created_unix_ms,
            shards: is_kept.then(|| (rows.len(), sum_of(&rows))),
        };
        if let Err(why) = self.area.learn(&key(destination), &head, self.clock.unix_ms()) {
            debug!(destination, %why, "what was learned of the stream is not kept");
        }
    }
}

fn key(destination: &str) -> String {
    format!("stream/{destination}")
}

fn part_key(destination: &str, part: impl std::fmt::Display) -> String {
    format!("stream/{destination}/{part}")
}

/// What makes it this stream and no other.
fn name(settings: &KinesisSettings) -> String {
    let aws = &settings.aws;
    let of = |part: &Option<String>| part.clone().unwrap_or_default();
    format!("{} {} {}", settings.stream_name, of(&aws.region), of(&aws.endpoint_url))
}

fn rows(map: &ShardMap) -> Vec<Row> {
    let row = |shard: &Shard| {
        (shard.id.to_string(), format!("{:x}", shard.range.first), format!("{:x}", shard.since))
    };
    map.shards().iter().map(row).collect()
}

fn sum_of(rows: &[Row]) -> u32 {
    let parts = rows.iter().flat_map(|(id, first, since)| [id, first, since]);
    parts.fold(0, |sum, part| crc32c::crc32c_append(sum, part.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::disk::FaultyDisk;
    use crate::sink::{AwsSettings, Protocol};
    use crate::state::State;
    use crate::telemetry::Metrics;

    fn memory() -> Arc<StreamMemory> {
        let clock = Clock::starting_at(1_000_000);
        // There is no such folder, so it lives in memory.
        let (disk, folder) = (FaultyDisk::new().shared(), std::path::Path::new("/none"));
        let state = State::open(disk, clock.clone(), folder, &Metrics::default());
        StreamMemory::new(state.cloud(), clock)
    }

    fn stream(name: &str) -> KinesisSettings {
        KinesisSettings {
            stream_name: name.into(),
            max_record_bytes: 1 << 20,
            aggregate_bytes: None,
            protocol: Protocol::Auto,
            aws: AwsSettings::default(),
        }
    }

    fn facts(shards: u128) -> StreamFacts {
        let size = u128::MAX / shards;
        let shard = |place: u128| {
            let last = if place + 1 == shards { u128::MAX } else { (place + 1) * size - 1 };
            let id = format!("shardId-{place:012}").into();
            let since = u32::MAX - u32::try_from(place).unwrap();
            Shard { id, range: HashRange { first: place * size, last }, since }
        };
        StreamFacts {
            record_bytes_max: Some(5 << 20),
            keys_choose: true,
            shards: ShardMap::new((0..shards).map(shard).collect()).map(Arc::new),
            is_refuted: true,
            created_unix_ms: Some(1_795_327_519_000),
        }
    }

    #[test]
    fn what_was_noted_is_known_again_for_as_many_shards_as_there_is_room() {
        let memory = memory();
        assert_eq!(memory.of("cloud", &stream("s")), None);
        for count in [1, 47, 48, 49, 960, 2] {
            memory.note("cloud", &stream("s"), &facts(count));
            let known = memory.of("cloud", &stream("s")).map(|(facts, _)| facts);
            assert_eq!(known, Some(facts(count)));
        }
        assert_eq!(memory.area.scan("stream/cloud").len(), 2, "what is not needed goes");

        memory.note("cloud", &stream("s"), &facts(961));
        let (known, _) = memory.of("cloud", &stream("s")).unwrap();
        assert_eq!(known, StreamFacts { shards: None, is_refuted: false, ..facts(1) });
    }

    #[test]
    fn what_is_of_another_stream_or_not_whole_is_not_known() {
        let memory = memory();
        memory.note("cloud", &stream("s"), &facts(100));

        assert_eq!(memory.of("cloud", &stream("other")), None);
        assert_eq!(memory.of("other", &stream("s")), None);
        memory.area.put("stream/cloud/1", "[]").unwrap();
        let (known, _) = memory.of("cloud", &stream("s")).unwrap();
        assert_eq!(known, StreamFacts { shards: None, is_refuted: false, ..facts(1) });
    }
}
