//! Aggregates that producers made: whole, or apart where their records belong to several shards.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::shards::{BY_KEYS, each_once, numbers, push, readers_get_all, text, with_shards};
use super::upstream::{kinesis, plain};
use super::{Bench, Settings, TestQueue, a_record};
use crate::delivery::Ordering;
use crate::queue::Settled;
use crate::record::{Record, RoutingKey, encode};
use crate::sink::fake_upstream::{Answer, FakeUpstream, Sent};
use crate::sink::{Form, Piece};

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
        key: RoutingKey::Own(key),
        key_hash: crate::record::hash_of_key(key),
        explicit: None,
        data,
    };
    let (keys, data): (&'static [String], &'static [Bytes]) = (keys.leak(), data.leak());
    let pieces: Vec<_> = keys.iter().map(String::as_str).zip(data).map(piece).collect();
    let entry = Form::Aggregate { weight_max: 0 }.pack_one(pieces, 0);
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
async fn an_aggregate_from_elsewhere_reaches_its_readers_though_its_shards_are_not_listed() {
    for shards in [1, 4] {
        let fake = with_shards(shards).await;
        let sink = kinesis(&fake.url()).await;
        let bench = Bench::start(TestQueue::default(), Arc::clone(&sink));
        push(&bench.queue, 0..1, 1);
        bench.queue.settled_all().await;

        // Whole for the one shard, or by four shards: the first answer contradicts all that is known.
        fake.shards_unlisted(8, 10);
        bench.queue.push(encode(&by_a_producer(1..51)));
        bench.queue.settled_all().await;

        assert!(sink.is_in_doubt());
        readers_get_all(&fake, 51, 1_000);
        bench.end().await;
    }
}

#[tokio::test]
async fn while_a_list_of_shards_is_behind_aggregates_from_elsewhere_go_key_by_key() {
    let fake = with_shards(2).await;
    let sink = kinesis(&fake.url()).await;
    let bench = Bench::start(TestQueue::default(), Arc::clone(&sink));
    fake.shards_unlisted(8, 10);
    push(&bench.queue, 0..100, 100);
    bench.queue.settled_all().await;
    assert!(sink.is_in_doubt());
    let (requests, entries) = (fake.request_count(), fake.taken_count());

    // Some of what goes key by key fails, and only that goes again.
    fake.script(|request| match request.number % 3 {
        0 => Answer::fail_entries(request, "InternalFailure", |place, _| place % 7 == 3),
        _ => Answer::Take,
    });
    for aggregate in 1..=20 {
        bench.queue.push(encode(&by_a_producer(aggregate * 100..(aggregate + 1) * 100)));
    }
    bench.queue.settled_all().await;

    readers_get_all(&fake, 2_100, 10_000);
    assert_eq!(fake.taken_count() - entries, 2_000, "each key once");
    let requests = fake.request_count() - requests;
    assert!(requests < 100, "{requests} requests: many keys travel together");
    bench.end().await;
}

#[tokio::test]
async fn aggregates_from_elsewhere_that_waited_for_a_stream_that_was_gone_reach_its_readers() {
    for has_sent in [true, false] {
        let fake = with_shards(2).await;
        let gone = "ResourceNotFoundException";
        let bench = Bench::start(TestQueue::default(), kinesis(&fake.url()).await);
        if has_sent {
            push(&bench.queue, 0..10, 10);
            bench.queue.settled_all().await;
        }
        fake.script(move |_| Answer::refuse(400, gone, "Stream access is not found"));
        let first = if has_sent { 10 } else { 0 };
        for aggregate in 0..20 {
            let from = first + aggregate * 50;
            bench.queue.push(encode(&by_a_producer(from..from + 50)));
        }
        while bench.watch.hold().is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }

        fake.begin_anew(8, BY_KEYS);
        fake.script(|_| Answer::Take);
        bench.queue.settled_all().await;

        readers_get_all(&fake, first + 1_000, 10_000);
        bench.end().await;
    }
}

#[tokio::test]
async fn aggregates_from_elsewhere_are_sure_to_arrive_while_the_shards_are_not_told() {
    for is_throttled in [true, false] {
        let fake = with_shards(4).await;
        if is_throttled {
            fake.put_off()
        } else {
            fake.list_half()
        }
        let sink = kinesis(&fake.url()).await;
        let bench = Bench::start(TestQueue::default(), Arc::clone(&sink));
        (0..10).for_each(|place| {
            bench.queue.push(encode(&by_a_producer(place * 50..(place + 1) * 50)));
        });
        bench.queue.settled_all().await;
        readers_get_all(&fake, 500, 1_000);
        assert!(sink.is_in_doubt() && fake.taken_count() == 500);

        fake.tell();
        while sink.is_in_doubt() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bench.queue.push(encode(&by_a_producer(500..550)));
        bench.queue.settled_all().await;
        assert_eq!(fake.taken_count(), 504, "by shards");
        readers_get_all(&fake, 550, 1_000);
        bench.end().await;
    }
}

#[tokio::test]
async fn where_the_stream_spreads_records_as_it_likes_an_aggregate_from_elsewhere_goes_once() {
    let fake = FakeUpstream::start().await;
    fake.shards(4, 0, Some("AUTO"));
    let sink = kinesis(&fake.url()).await;
    let bench = Bench::start(TestQueue::default(), Arc::clone(&sink));
    push(&bench.queue, 0..1, 1);
    bench.queue.settled_all().await;

    fake.shards_unlisted(8, 10);
    bench.queue.push(encode(&by_a_producer(1..51)));
    bench.queue.settled_all().await;

    assert_eq!((fake.taken_count(), sink.is_in_doubt()), (2, false));
    bench.end().await;
}

/// The shard of this number of four, when it throttles all it gets.
fn throttle(fake: &FakeUpstream, shard: u128) {
    fake.script(move |request| {
        let is_hot = |_, sent: &Sent| sent.hash() >> 126 == shard;
        Answer::fail_entries(request, "ProvisionedThroughputExceededException", is_hot)
    });
}

/// The records of so many aggregates that belong to that shard, or to the others.
fn of_shard(count: usize, shard: u128, is_in: bool) -> Vec<usize> {
    let shard_of = |number: &usize| crate::record::hash_of_key(&format!("key {number}")) >> 126;
    (0..count).filter(|number| (shard_of(number) == shard) == is_in).collect()
}

async fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_shard_that_throttles_keeps_no_part_for_others_waiting_and_nothing_arrives_twice() {
    // Known shards, and shards that are in doubt.
    for is_known in [true, false] {
        let fake = with_shards(4).await;
        if !is_known {
            fake.put_off();
        }
        let sink = kinesis(&fake.url()).await;
        let mut bench = Bench::start(TestQueue::default(), Arc::clone(&sink));
        throttle(&fake, 2);
        for aggregate in 0..20 {
            bench.queue.push(encode(&by_a_producer(aggregate * 20..(aggregate + 1) * 20)));
        }
        let cold = of_shard(400, 2, false);
        until(|| numbers(&fake.taken()).len() >= cold.len()).await;
        let mut arrived = numbers(&fake.taken());
        arrived.sort_unstable();
        assert_eq!(arrived, cold, "each once");

        // What is left is in the queue, as records of their own: a restart sends no more than that.
        until(|| bench.queue.settled(Settled::Delivered) >= 20).await;
        bench.stop().await;
        let queue = bench.queue.begin_again();
        bench.end().await;
        fake.script(|_| Answer::Take);
        let bench = Bench::start(queue, sink);
        bench.queue.settled_all().await;

        each_once(&fake, 400, &[]);
        readers_get_all(&fake, 400, 1_000);
        bench.end().await;
    }
}

#[tokio::test]
async fn where_nothing_can_be_put_back_the_parts_that_are_left_wait_in_memory() {
    for (is_full, ordering) in [(true, Ordering::None), (false, Ordering::Key)] {
        let fake = with_shards(4).await;
        throttle(&fake, 1);
        let queue = TestQueue::default();
        queue.inner.lock().unwrap().is_full = is_full;
        (0..5).for_each(|place| queue.push(encode(&by_a_producer(place * 20..(place + 1) * 20))));
        let settings = Settings { ordering, ..super::settings() };
        let bench = Bench::start_with(queue, kinesis(&fake.url()).await, settings);
        // Those of one key follow each other, so only the first of them is on its way.
        let first = if is_full { 100 } else { 20 };
        let cold = of_shard(first, 1, false).len();
        until(|| numbers(&fake.taken()).len() >= cold).await;

        fake.script(|_| Answer::Take);
        bench.queue.settled_all().await;

        each_once(&fake, 100, &[]);
        assert_eq!(bench.queue.settled(Settled::Delivered), 5, "none was put back");
        bench.end().await;
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_record_of_an_aggregate_costs_no_part_of_another_shard() {
    let fake = with_shards(4).await;
    fake.poisoned_by(|sent| sent.data.windows(4).any(|words| words == b"<33>"));
    let queue = TestQueue::default();
    queue.push(encode(&by_a_producer(0..50)));
    let bench = Bench::start(queue, kinesis(&fake.url()).await);
    bench.queue.settled_all().await;

    let shard = crate::record::hash_of_key("key 33") >> 126;
    let mut arrived = numbers(&fake.taken());
    arrived.sort_unstable();
    assert_eq!(arrived, of_shard(50, shard, false));
    let dead = bench.dead();
    assert_eq!(dead.len(), 1);
    let text = String::from_utf8_lossy(&dead[0].record.payload).into_owned();
    let in_letter = of_shard(50, shard, true);
    assert!(in_letter.iter().all(|number| text.contains(&format!("<{number}>"))), "{text}");
    assert!(arrived.iter().all(|number| !text.contains(&format!("<{number}>"))), "{text}");
    bench.end().await;
}
