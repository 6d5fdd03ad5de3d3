//! Shards that take less than comes: what they hold up, and that it is told.

use std::sync::Arc;
use std::time::Duration;

use super::shards::{each_once, numbers, push, with_shards};
use super::upstream::{clock, kinesis, kinesis_settings};
use super::{Bench, Settings, TestQueue, patient, settings};
use crate::queue::Settled;
use crate::record::hash_of_key;
use crate::sink::Kinesis;
use crate::sink::fake_upstream::{Answer, Request};

#[tokio::test]
async fn shards_that_take_nothing_hold_up_no_other_however_much_waits_for_them() {
    const QUARTER: u128 = 1 << 126;
    for settings in [settings(), patient()] {
        hold_up_no_other(&settings, true, |hash| hash < QUARTER).await;
        hold_up_no_other(&settings, true, |hash| hash < 2 * QUARTER).await;
        // With nothing but the permission to put.
        hold_up_no_other(&settings, false, |hash| hash < QUARTER).await;
        hold_up_no_other(&settings, false, |hash| hash < 2 * QUARTER).await;
    }
}

async fn hold_up_no_other(
    settings: &Settings,
    are_known: bool,
    is_hot: impl Fn(u128) -> bool + Copy + Send + 'static,
) {
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
    let is_hot_number = |number: &usize| is_hot(hash_of_key(&key(*number)));
    let others: Vec<_> = (0..8_000).filter(|number| !is_hot_number(number)).collect();
    // Room for a twentieth of them.
    let is_patient = settings.retry_max > Duration::from_secs(1);
    let settings = Settings { in_flight_bytes: 100 << 10, ..settings.clone() };
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
    if !is_patient {
        bench.queue.settled_all().await;
        each_once(&fake, 8_000, &[]);
    }
    bench.end().await;
}

#[tokio::test]
async fn while_nothing_is_taken_the_backlog_is_not_searched_for_other_shards() {
    const QUARTER: u128 = 1 << 126;
    for (are_known, answer) in [true, false].into_iter().flat_map(|are_known| {
        [Answer::refuse(500, "InternalFailure", "down"), Answer::Stall]
            .map(|answer| (are_known, answer))
    }) {
        let fake = with_shards(4).await;
        if !are_known {
            fake.keep_to_itself();
        }
        fake.script(move |_| answer.clone());
        // Nothing for the first shard, which has nothing to do all the time.
        let queue = TestQueue::default();
        let others = (0..).filter(|number| hash_of_key(&format!("key {number}")) >= QUARTER);
        for number in others.take(20_000) {
            push(&queue, number..number + 1, usize::MAX);
        }
        let settings = Settings { in_flight_bytes: 200 << 10, ..settings() };
        let bench = Bench::start_with(queue, kinesis(&fake.url()).await, settings);
        while fake.requests().len() < 4 && bench.watch.hold().is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        let given = bench.queue.given();
        assert!(given < 3_000, "{given} of 20,000 were read");

        fake.script(|_| Answer::Take);
        bench.queue.settled_all().await;
        assert_eq!(numbers(&fake.taken()).len(), 20_000);
        bench.end().await;
    }
}

#[tokio::test]
async fn shards_that_all_throttle_are_a_hold_that_stops_nothing_and_ends_with_the_first_record() {
    const HALF: u128 = 1 << 127;
    for are_known in [true, false] {
        let fake = with_shards(2).await;
        if !are_known {
            fake.keep_to_itself();
        }
        let all_but = |is_calm: fn(u128) -> bool| {
            move |request: &Request| {
                let code = "ProvisionedThroughputExceededException";
                Answer::fail_entries(request, code, |_, sent| !is_calm(sent.hash()))
            }
        };
        fake.script(all_but(|_| false));
        let queue = TestQueue::default();
        push(&queue, 0..100, 100);
        let bench = Bench::start(queue, kinesis(&fake.url()).await);
        let hold = loop {
            if let Some(hold) = bench.watch.hold() {
                break hold;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        assert_eq!((hold.class.as_str(), hold.next_try_unix_ms), ("throttled", None));
        let is_throttled = |bench: &Bench| {
            let all = bench.metrics.encode();
            let mut lines = all.lines().filter(|line| line.starts_with("weir_delivery_holding{"));
            let line = lines.find(|line| line.contains("throttled")).unwrap_or_default();
            line.ends_with(" 1")
        };
        while !is_throttled(&bench) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }

        // One of them recovers: nobody has to look first, and it is no hold any more.
        fake.script(all_but(|hash| hash < HALF));
        let is_calm = |number: &usize| hash_of_key(&format!("key {number}")) < HALF;
        let calm = (0..100).filter(is_calm).count();
        while bench.queue.settled(Settled::Delivered) < calm {
            bench.queue.has_settled.notified().await;
        }
        fake.script(|_| Answer::Take);
        bench.queue.settled_all().await;

        while bench.watch.hold().is_some() || is_throttled(&bench) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        each_once(&fake, 100, &[]);
        bench.end().await;
    }
}
