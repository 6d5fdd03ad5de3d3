//! The worker with Kinesis over HTTP, where the shards are known: what travels together.

use std::collections::BTreeSet;

use super::upstream::{kinesis, plain};
use super::{Bench, TestQueue, a_record};
use crate::queue::Settled;
use crate::record::{Record, encode};
use crate::sink::fake_upstream::{FakeUpstream, Taken};

pub(super) const BY_KEYS: Option<&str> = Some("USER_PARTITION_KEY");

pub(super) async fn with_shards(count: u128) -> FakeUpstream {
    let fake = FakeUpstream::start().await;
    fake.shards(count, 0, BY_KEYS);
    fake
}

/// `<7>` under one of so many keys.
pub(super) fn push(queue: &TestQueue, numbers: std::ops::Range<usize>, keys: usize) {
    for number in numbers {
        let key = format!("key {}", number % keys);
        let record = Record { partition_key: Some(key.into()), ..a_record(&text(number)) };
        queue.push(encode(&record));
    }
}

pub(super) fn text(number: usize) -> String {
    format!("<{number}>")
}

/// The numbers in the order in which they were taken, aggregated or not.
pub(super) fn numbers(taken: &[Taken]) -> Vec<usize> {
    let mut numbers = Vec::new();
    for one in taken {
        let parts = one.data.split(|byte| *byte == b'<').skip(1);
        let number = |part: &[u8]| {
            let end = part.iter().position(|byte| *byte == b'>')?;
            str::from_utf8(&part[..end]).ok()?.parse::<usize>().ok()
        };
        numbers.extend(parts.filter_map(number));
    }
    numbers
}

#[track_caller]
pub(super) fn each_once(fake: &FakeUpstream, count: usize, but: &[usize]) {
    let mut taken = numbers(&fake.taken());
    taken.sort_unstable();
    let right: Vec<_> = (0..count).filter(|number| !but.contains(number)).collect();
    assert_eq!(taken, right);
}

#[tokio::test]
async fn records_of_one_shard_travel_as_one_entry_to_that_shard() {
    let fake = with_shards(4).await;
    let queue = TestQueue::default();
    push(&queue, 0..3_000, 100);
    let bench = Bench::start(queue, kinesis(&fake.url()).await);
    bench.queue.settled_all().await;

    each_once(&fake, 3_000, &[]);
    let entries = fake.taken_count();
    assert!(entries <= 12, "{entries}");
    assert!(fake.taken().iter().all(|one| one.key == "a" && one.data.len() < 50 << 10));
    bench.end().await;
}

#[tokio::test]
async fn an_explicit_hash_key_leads_to_its_shard_alone_and_in_company() {
    let quarter = 1_u128 << 126;
    for aggregates in [true, false] {
        let fake = with_shards(4).await;
        let queue = TestQueue::default();
        for number in 0..400 {
            // The key is one, and leads to one shard; the records go to four.
            let (key, hash_key) = (Some("k".into()), Some(number as u128 % 4 * quarter));
            let record = Record { partition_key: key, hash_key, ..a_record(&text(number)) };
            queue.push(encode(&record));
        }
        let sink = if aggregates { kinesis(&fake.url()).await } else { plain(&fake.url()).await };
        let bench = Bench::start(queue, sink);
        bench.queue.settled_all().await;

        each_once(&fake, 400, &[]);
        for one in fake.taken() {
            let shard = one.hash_key.unwrap() / quarter;
            let here = numbers(std::slice::from_ref(&one));
            assert!(here.iter().all(|number| *number as u128 % 4 == shard), "{shard}: {here:?}");
            assert_eq!(one.hash_key.unwrap() % quarter, 0);
        }
        assert_eq!(fake.taken_count() == 400, !aggregates);
        bench.end().await;
    }
}

#[tokio::test]
async fn the_bytes_on_the_wire_are_counted_with_their_hash_keys() {
    for (aggregates, has_hash_keys) in [(true, false), (false, true), (false, false)] {
        let fake = with_shards(4).await;
        let queue = TestQueue::default();
        for number in 0..600_usize {
            let hash_key = has_hash_keys.then(|| crate::record::hash_of_key(&text(number)));
            let record = Record {
                partition_key: Some("key".into()),
                hash_key,
                ..a_record(&format!("{}{}", text(number), "x".repeat(60)))
            };
            queue.push(encode(&record));
        }
        let sink = if aggregates { kinesis(&fake.url()).await } else { plain(&fake.url()).await };
        let bench = Bench::start(queue, sink);
        bench.queue.settled_all().await;

        let sent: usize = fake.requests().iter().map(|request| request.body_bytes).sum();
        let sent = f64::from(u32::try_from(sent).unwrap());
        let counted = bench.number("weir_delivery_wire_bytes_total");
        assert!((counted / sent - 1.0).abs() < 0.05, "{counted} of {sent}, {aggregates}");
        bench.end().await;
    }
}

#[tokio::test]
async fn nothing_is_aggregated_where_keys_choose_no_shard_or_nobody_says_so() {
    for strategy in [Some("AUTO"), None] {
        let fake = FakeUpstream::start().await;
        fake.shards(4, 0, strategy);
        let queue = TestQueue::default();
        push(&queue, 0..600, 100);
        let bench = Bench::start(queue, kinesis(&fake.url()).await);
        bench.queue.settled_all().await;

        assert_eq!(fake.taken_count(), 600, "{strategy:?}");
        bench.end().await;
    }
}

#[tokio::test]
async fn one_poisonous_record_in_an_aggregate_dies_alone() {
    let fake = with_shards(4).await;
    fake.poisoned_by(|sent| sent.data.windows(6).any(|words| words == b"<1234>"));
    let queue = TestQueue::default();
    push(&queue, 0..2_000, 100);
    let bench = Bench::start(queue, kinesis(&fake.url()).await);
    bench.queue.settled_all().await;

    each_once(&fake, 2_000, &[1_234]);
    let dead: Vec<_> = bench.dead().into_iter().map(|letter| letter.record.payload).collect();
    assert_eq!(dead, ["<1234>"]);
    assert_eq!(bench.queue.settled(Settled::Dead), 1);
    bench.end().await;
}

/// The numbers that readers get who keep only what belongs to the shard they read, as those of the
/// service do with aggregates.
fn kept_by_readers(taken: &[Taken], keys: usize) -> BTreeSet<usize> {
    let mut kept = BTreeSet::new();
    for one in taken {
        let (first, last) = one.shard.unwrap();
        let is_kept = |number: &usize| {
            let hash = crate::record::hash_of_key(&format!("key {}", number % keys));
            one.key != "a" || (first..=last).contains(&hash)
        };
        kept.extend(numbers(std::slice::from_ref(one)).into_iter().filter(is_kept));
    }
    kept
}

#[track_caller]
pub(super) fn readers_get_all(fake: &FakeUpstream, count: usize, keys: usize) {
    let kept = kept_by_readers(&fake.taken(), keys);
    let missing: Vec<_> = (0..count).filter(|number| !kept.contains(number)).collect();
    assert!(missing.is_empty(), "{} of {count} missing: {missing:?}", missing.len());
}
