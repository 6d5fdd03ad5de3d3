//! What may overtake what.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::shards::{BY_KEYS, numbers, push};
use super::upstream::{clock, kinesis_settings};
use super::{Bench, Ordering, Settings, TestQueue, settings};
use crate::sink::Kinesis;
use crate::sink::fake_upstream::{Answer, FakeUpstream};

/// By key, the numbers in the order of their first arrival.
fn by_key(fake: &FakeUpstream, keys: usize) -> BTreeMap<usize, Vec<usize>> {
    let mut all: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for number in numbers(&fake.taken()) {
        let of_key = all.entry(number % keys).or_default();
        if !of_key.contains(&number) {
            of_key.push(number);
        }
    }
    all
}

/// Delivers through an upstream that fails entries and whole requests at random.
async fn through_moods(ordering: Ordering, shards: Option<u128>) -> bool {
    const KEYS: usize = 20;
    let fake = FakeUpstream::start().await;
    if let Some(count) = shards {
        fake.shards(count, 0, BY_KEYS);
    }
    fake.script(|request| match request.number % 5 {
        1 => Answer::refuse(500, "InternalFailure", "busy"),
        2 => Answer::Reset,
        _ => Answer::fail_entries(request, "InternalFailure", |place, _| place % 3 == 1),
    });
    let settings_of_kinesis = crate::sink::KinesisSettings {
        aggregate_bytes: Some(1 << 10),
        ..kinesis_settings(&fake.url())
    };
    let sink = Arc::new(Kinesis::connect(&settings_of_kinesis, &clock()).await.unwrap());
    let queue = TestQueue::default();
    push(&queue, 0..1_000, KEYS);
    let retry_max = Duration::from_millis(8);
    let settings = Settings { ordering, in_flight: 8, retry_max, ..settings() };
    let bench = Bench::start_with(queue, sink, settings);
    bench.queue.settled_all().await;
    bench.end().await;

    let by_key = by_key(&fake, KEYS);
    assert_eq!(by_key.values().map(Vec::len).sum::<usize>(), 1_000);
    by_key.values().all(|numbers| numbers.is_sorted())
}

#[tokio::test]
async fn with_ordering_by_key_no_record_overtakes_an_older_one_of_its_key() {
    assert!(through_moods(Ordering::Key, None).await, "one by one");
    assert!(through_moods(Ordering::Key, Some(4)).await, "aggregated");
}

#[tokio::test]
async fn without_ordering_the_same_upstream_lets_records_overtake_each_other() {
    assert!(!through_moods(Ordering::None, None).await, "one by one");
}
