//! The worker with Kinesis over HTTP, where the shards are known: what travels together, what a busy
//! shard holds up, and what may overtake what.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::upstream::{clock, kinesis, kinesis_settings, plain};
use super::{Bench, Ordering, Settings, TestQueue, a_record, settings};
use crate::queue::Settled;
use crate::record::{Record, encode};
use crate::sink::fake_upstream::{Answer, FakeUpstream, Taken};
use crate::sink::{Form, Kinesis, Piece};

const BY_KEYS: Option<&str> = Some("USER_PARTITION_KEY");

async fn with_shards(count: u128) -> FakeUpstream {
    let fake = FakeUpstream::start().await;
    fake.shards(count, 0, BY_KEYS);
    fake
}

/// `<7>` under one of so many keys.
fn push(queue: &TestQueue, numbers: std::ops::Range<usize>, keys: usize) {
    for number in numbers {
        let key = format!("key {}", number % keys);
        let record = Record { partition_key: Some(key.into()), ..a_record(&text(number)) };
        queue.push(encode(&record));
    }
}

fn text(number: usize) -> String {
    format!("<{number}>")
}

/// The numbers in the order in which they were taken, aggregated or not.
fn numbers(taken: &[Taken]) -> Vec<usize> {
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
fn each_once(fake: &FakeUpstream, count: usize, but: &[usize]) {
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
            let hash_key = has_hash_keys.then(|| crate::sink::hash_of(&text(number)));
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
async fn an_aggregate_from_elsewhere_is_passed_on_untouched_and_alone() {
    let fake = with_shards(2).await;
    let queue = TestQueue::default();
    let sealed = {
        use md5::{Digest as _, Md5};
        let body = b"any body";
        [&[0xf3, 0x89, 0x9a, 0xc2], body.as_slice(), Md5::digest(body).as_slice()].concat()
    };
    push(&queue, 0..5, 5);
    let payload = Bytes::from(sealed.clone());
    queue.push(encode(&Record { payload, ..a_record("") }));
    push(&queue, 5..10, 5);
    let bench = Bench::start(queue, kinesis(&fake.url()).await);
    bench.queue.settled_all().await;

    each_once(&fake, 10, &[]);
    let untouched = fake.taken().into_iter().filter(|one| one.data == sealed).count();
    assert_eq!(untouched, 1);
    bench.end().await;
}

/// An aggregate as a producer makes it that knows one shard: numbers under a key each.
fn by_a_producer(numbers: std::ops::Range<usize>) -> Record {
    let keys: Vec<String> = numbers.clone().map(|number| format!("key {number}")).collect();
    let data: Vec<Bytes> = numbers.map(|number| Bytes::from(text(number))).collect();
    let piece = |(key, data): (&'static str, &'static Bytes)| Piece {
        key,
        key_hash: crate::sink::hash_of(key),
        key_is_unique: false,
        explicit: None,
        data,
    };
    let (keys, data): (&'static [String], &'static [Bytes]) = (keys.leak(), data.leak());
    let pieces: Vec<_> = keys.iter().map(String::as_str).zip(data).map(piece).collect();
    let entry = Form::Aggregate { weight_max: 0 }.pack(&pieces, 0);
    let (payload, key) = (entry.data, Some("a".into()));
    Record { payload, partition_key: key, hash_key: entry.hash_key, ..a_record("") }
}

#[tokio::test]
async fn an_aggregate_from_elsewhere_goes_apart_where_a_reshard_made_several_shards_of_one() {
    for aggregates in [true, false] {
        let fake = with_shards(1).await;
        let sink = if aggregates { kinesis(&fake.url()).await } else { plain(&fake.url()).await };
        let queue = TestQueue::default();
        queue.push(encode(&by_a_producer(0..50)));
        let bench = Bench::start(queue, sink);
        bench.queue.settled_all().await;
        assert_eq!(fake.taken_count(), 1, "whole, while it belongs to one shard");

        // The first request after it knows nothing of the reshard, the others do.
        fake.shards(4, 10, BY_KEYS);
        for number in 1..4 {
            bench.queue.push(encode(&by_a_producer(number * 50..(number + 1) * 50)));
            bench.queue.settled_all().await;
        }

        readers_get_all(&fake, 200, 1_000);
        let taken = fake.taken();
        let once = numbers(&taken).into_iter().filter(|number| *number >= 100).count();
        assert_eq!(once, 100, "what is sent with the new shards known is sent once");
        assert_eq!(taken.iter().filter(|one| numbers(&[(*one).clone()])[0] >= 100).count(), 8);
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

#[tokio::test]
async fn what_a_reshard_led_astray_goes_again_and_nothing_else() {
    let fake = with_shards(2).await;
    let queue = TestQueue::default();
    push(&queue, 0..500, 100);
    let bench = Bench::start(queue, kinesis(&fake.url()).await);
    bench.queue.settled_all().await;
    fake.shards(8, 10, BY_KEYS);

    push(&bench.queue, 500..1_000, 100);
    bench.queue.settled_all().await;

    let strayed = bench.number("weir_delivery_strayed_records_total");
    assert!(strayed > 0.0 && strayed < 500.0, "{strayed}");
    let mut taken = numbers(&fake.taken());
    assert_eq!(f64::from(u32::try_from(taken.len()).unwrap()), 1_000.0 + strayed);
    taken.sort_unstable();
    taken.dedup();
    assert_eq!(taken.len(), 1_000);
    bench.end().await;
}

/// The numbers that readers get who keep only what belongs to the shard they read, as those of the
/// service do with aggregates.
fn kept_by_readers(taken: &[Taken], keys: usize) -> BTreeSet<usize> {
    let mut kept = BTreeSet::new();
    for one in taken {
        let (first, last) = one.shard.unwrap();
        let is_kept = |number: &usize| {
            let hash = crate::sink::hash_of(&format!("key {}", number % keys));
            one.key != "a" || (first..=last).contains(&hash)
        };
        kept.extend(numbers(std::slice::from_ref(one)).into_iter().filter(is_kept));
    }
    kept
}

#[track_caller]
fn readers_get_all(fake: &FakeUpstream, count: usize, keys: usize) {
    let kept = kept_by_readers(&fake.taken(), keys);
    let missing: Vec<_> = (0..count).filter(|number| !kept.contains(number)).collect();
    assert!(missing.is_empty(), "{} of {count} missing: {missing:?}", missing.len());
}

#[tokio::test]
async fn what_was_packed_for_a_stream_that_was_made_anew_meanwhile_is_packed_again() {
    for (before, after) in [(2, 4), (4, 2), (1, 8), (4, 4)] {
        let fake = with_shards(before).await;
        let queue = TestQueue::default();
        push(&queue, 0..500, 100);
        let bench = Bench::start(queue, kinesis(&fake.url()).await);
        bench.queue.settled_all().await;
        let gone = "ResourceNotFoundException";
        fake.script(move |_| Answer::refuse(400, gone, "Stream access is not found"));
        push(&bench.queue, 500..2_000, 100);
        while bench.watch.hold().is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }

        fake.begin_anew(after, BY_KEYS);
        fake.script(|_| Answer::Take);
        bench.queue.settled_all().await;
        // What it is now is asked again, and records travel together as before.
        let mut count = 2_000;
        loop {
            let entries = fake.taken_count();
            push(&bench.queue, count..count + 500, 100);
            count += 500;
            bench.queue.settled_all().await;
            if fake.taken_count() - entries < 100 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }

        readers_get_all(&fake, count, 100);
        bench.end().await;
    }
}

#[tokio::test]
async fn what_an_earlier_run_knew_of_a_stream_is_not_packed_by_before_it_is_asked_again() {
    let old = with_shards(2).await;
    let sink = kinesis(&old.url()).await;
    let mut news = sink.news();
    let bench = Bench::start(TestQueue::default(), sink);
    let facts = loop {
        let facts = news.next().await;
        if facts.keys_choose && facts.shards.is_some() {
            break facts;
        }
    };
    bench.end().await;

    for (count, entries_max) in [(2, 20), (4, 500)] {
        let fake = FakeUpstream::start().await;
        match count {
            2 => fake.shards(2, 0, BY_KEYS),
            // Nothing says how its keys are used any more.
            _ => fake.begin_anew(count, None),
        }
        let sink = kinesis(&fake.url()).await;
        sink.recall(facts.clone(), Duration::from_secs(1));
        let queue = TestQueue::default();
        push(&queue, 0..500, 100);
        let bench = Bench::start(queue, sink);
        bench.queue.settled_all().await;

        readers_get_all(&fake, 500, 100);
        assert!(fake.taken_count() <= entries_max, "{}", fake.taken_count());
        assert_eq!(fake.taken_count() == 500, count == 4, "they travel alone");
        bench.end().await;
    }
}

#[tokio::test]
async fn a_stream_that_grew_by_being_made_anew_between_two_requests_loses_nothing() {
    let fake = with_shards(2).await;
    let queue = TestQueue::default();
    push(&queue, 0..500, 100);
    let bench = Bench::start(queue, kinesis(&fake.url()).await);
    bench.queue.settled_all().await;

    fake.begin_anew(4, BY_KEYS);
    push(&bench.queue, 500..1_000, 100);
    bench.queue.settled_all().await;

    readers_get_all(&fake, 1_000, 100);
    bench.end().await;
}

#[tokio::test]
async fn while_a_list_of_shards_is_behind_delivery_goes_on_without_packing_and_says_so() {
    let fake = with_shards(2).await;
    let queue = TestQueue::default();
    push(&queue, 0..500, 100);
    let sink = kinesis(&fake.url()).await;
    let bench = Bench::start(queue, Arc::clone(&sink));
    bench.queue.settled_all().await;
    let listings = fake.listings();

    fake.shards_unlisted(8, 10);
    push(&bench.queue, 500..4_000, 100);
    bench.queue.settled_all().await;

    readers_get_all(&fake, 4_000, 100);
    let strayed = bench.number("weir_delivery_strayed_records_total");
    let taken = numbers(&fake.taken()).len();
    assert_eq!(f64::from(u32::try_from(taken).unwrap()), 4_000.0 + strayed);
    assert!(fake.listings() - listings < 10, "{} listings", fake.listings());
    assert_eq!(bench.number("weir_delivery_shards_in_doubt{"), 1.0);
    let entries = fake.taken_count();
    push(&bench.queue, 4_000..4_200, 100);
    bench.queue.settled_all().await;
    assert_eq!(fake.taken_count() - entries, 200, "nothing strays any more, and nothing is packed");

    fake.shards(8, 10, BY_KEYS);
    while sink.is_in_doubt() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let entries = fake.taken_count();
    push(&bench.queue, 4_200..5_000, 100);
    bench.queue.settled_all().await;
    assert!(fake.taken_count() - entries < 100);
    assert_eq!(bench.number("weir_delivery_shards_in_doubt{"), 0.0);
    readers_get_all(&fake, 5_000, 100);
    bench.end().await;
}

#[tokio::test]
async fn shards_that_take_nothing_hold_up_no_other_however_much_waits_for_them() {
    const QUARTER: u128 = 1 << 126;
    hold_up_no_other(true, |hash| hash < QUARTER).await;
    hold_up_no_other(true, |hash| hash < 2 * QUARTER).await;
    // With nothing but the permission to put.
    hold_up_no_other(false, |hash| hash < QUARTER).await;
    hold_up_no_other(false, |hash| hash < 2 * QUARTER).await;
}

async fn hold_up_no_other(are_known: bool, is_hot: impl Fn(u128) -> bool + Copy + Send + 'static) {
    let fake = with_shards(4).await;
    if !are_known {
        fake.keep_to_itself();
    }
    fake.script(move |request| {
        let code = "ProvisionedThroughputExceededException";
        Answer::fail_entries(request, code, |_, sent| is_hot(sent.hash()))
    });
    let queue = TestQueue::default();
    push(&queue, 0..8_000, 200);
    let key = |number: usize| format!("key {}", number % 200);
    let is_hot_number = |number: &usize| is_hot(crate::sink::hash_of(&key(*number)));
    let others: Vec<_> = (0..8_000).filter(|number| !is_hot_number(number)).collect();
    // Room for a twentieth of them.
    let settings = Settings { in_flight_bytes: 100 << 10, ..settings() };
    let settings_of_kinesis = crate::sink::KinesisSettings {
        aggregate_bytes: Some(4 << 10),
        ..kinesis_settings(&fake.url())
    };
    let sink = Arc::new(Kinesis::connect(&settings_of_kinesis, &clock()).await.unwrap());
    let bench = Bench::start_with(queue, sink, settings);
    while bench.queue.settled(Settled::Delivered) < others.len() {
        bench.queue.has_settled.notified().await;
    }
    let mut taken = numbers(&fake.taken());
    taken.sort_unstable();
    assert_eq!(taken, others);
    assert!(bench.number("weir_delivery_parked_records") > 0.0);

    fake.script(|_| Answer::Take);
    bench.queue.settled_all().await;

    each_once(&fake, 8_000, &[]);
    bench.end().await;
}

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
