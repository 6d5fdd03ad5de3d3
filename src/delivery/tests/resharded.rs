//! Shards that change: by a reshard, or because the stream was made anew.

use std::sync::Arc;
use std::time::Duration;

use super::shards::{BY_KEYS, numbers, push, readers_get_all, with_shards};
use super::upstream::kinesis;
use super::{Bench, TestQueue};
use crate::sink::fake_upstream::{Answer, FakeUpstream};

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
async fn shards_that_were_in_doubt_when_an_earlier_run_ended_are_asked_for_at_once() {
    let fake = with_shards(2).await;
    let sink = kinesis(&fake.url()).await;
    let mut news = sink.news();
    let bench = Bench::start(TestQueue::default(), sink);
    push(&bench.queue, 0..100, 100);
    bench.queue.settled_all().await;
    fake.shards_unlisted(8, 10);
    push(&bench.queue, 100..200, 100);
    bench.queue.settled_all().await;
    let facts = loop {
        let facts = news.next().await;
        if facts.is_refuted {
            break facts;
        }
    };
    bench.end().await;

    fake.shards(8, 10, BY_KEYS);
    let listings = fake.listings();
    let sink = kinesis(&fake.url()).await;
    sink.recall(facts, Duration::from_secs(1));
    assert!(sink.is_in_doubt());
    let bench = Bench::start(TestQueue::default(), Arc::clone(&sink));
    // Nothing comes that could contradict what is known; what is in no doubt waits for minutes.
    let asked = async {
        while sink.is_in_doubt() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let asked = tokio::time::timeout(Duration::from_secs(120), asked).await;

    assert!(asked.is_ok() && fake.listings() > listings);
    bench.end().await;
}
