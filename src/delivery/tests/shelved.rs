//! What is given up, or lapses while it waits.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::sleep;

use super::script::{ScriptSink, all_taken, fault};
use super::{Bench, TestQueue, a_record, settings};
use crate::delivery::Settings;
use crate::queue::{Lapsed, Settled};
use crate::record::encode;
use crate::sink::At;

#[tokio::test(start_paused = true)]
async fn what_cannot_be_sent_at_all_goes_to_the_shelf_before_it_is_settled() {
    let queue = TestQueue::default();
    queue.push(Bytes::from_static(b"\x09no record"));
    queue.push_record(&"x".repeat(501));
    queue.push_record(&"y".repeat(500));
    let elsewhere = crate::record::Record { only_for: Some("other".into()), ..a_record("z") };
    queue.push(encode(&elsewhere));
    let here = crate::record::Record { only_for: Some("archive".into()), ..a_record("here") };
    queue.push(encode(&here));
    let sink = ScriptSink::taking_all();
    let bench = Bench::start(queue, Arc::clone(&sink));

    bench.queue.settled_all().await;

    let taken: Vec<_> = sink.taken().into_iter().map(|(text, _)| text).collect();
    assert_eq!(taken, ["here".to_owned(), "y".repeat(500)]);
    let dead = bench.dead();
    let told: Vec<_> = dead
        .iter()
        .map(|letter| (letter.class.as_str(), letter.code.as_str(), letter.attempts))
        .collect();
    assert_eq!(told, [("undecodable", "undecodable-record", 0), ("poison", "record-too-large", 0)]);
    assert_eq!(dead[0].record.payload, Bytes::from_static(b"\x09no record"));
    assert_eq!(dead[1].record.payload.len(), 501);
    assert_eq!(dead[1].record.source, "http.local");
    assert_eq!(dead[1].died_unix_ms, super::NOW);
    let settled =
        [Settled::Delivered, Settled::Dead, Settled::Elsewhere].map(|how| bench.queue.settled(how));
    assert_eq!(settled, [2, 2, 1]);
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn while_the_shelf_fails_nothing_is_skipped_and_the_others_are_delivered() {
    let queue = TestQueue::default();
    let sink = ScriptSink::taking_all();
    let bench = Bench::start(queue, Arc::clone(&sink));
    let (shelf, aside) = (bench.folder.join("access"), bench.folder.join("aside"));
    sleep(Duration::from_millis(1)).await;
    std::fs::rename(&shelf, &aside).unwrap();
    std::fs::write(&shelf, b"in the way").unwrap();
    bench.queue.push_record(&"x".repeat(501));
    bench.queue.push_records(20);

    sleep(Duration::from_secs(5)).await;
    assert_eq!((bench.queue.owed(), sink.taken_count()), (1, 20));

    std::fs::remove_file(&shelf).unwrap();
    std::fs::rename(&aside, &shelf).unwrap();
    bench.queue.settled_all().await;
    assert_eq!((bench.queue.settled(Settled::Dead), bench.dead().len()), (1, 1));
    bench.end().await;
}

/// Holds more than it may read, whatever came first.
fn small_and_held() -> (TestQueue, Arc<ScriptSink>, Settings) {
    let queue = TestQueue::default();
    queue.push_records(100);
    let sink = ScriptSink::new(Duration::ZERO, |_, _| {
        Err(fault(At::Answer(400), "ExpiredTokenException"))
    });
    (queue, sink, Settings { in_flight_bytes: 8 << 10, ..settings() })
}

#[tokio::test(start_paused = true)]
async fn what_lapsed_goes_to_the_dead_letters_though_the_destination_is_held() {
    let (queue, sink, settings) = small_and_held();
    let mut bench = Bench::start_with(queue, sink, settings);
    sleep(Duration::from_millis(100)).await;
    assert!(bench.watch.hold().is_some());
    assert_eq!(bench.queue.settled(Settled::Dead), 0);

    bench.queue.lapse(91, Lapsed::DeadLetter);
    while bench.queue.settled(Settled::Dead) < 90 {
        sleep(Duration::from_millis(10)).await;
    }

    bench.stop().await;
    assert_eq!((bench.queue.settled(Settled::Dead), bench.queue.owed()), (90, 10));
    let dead = bench.dead();
    assert_eq!(dead.len(), 90);
    assert!(dead.iter().all(|one| (&*one.class, &*one.code) == ("lapsed", "max-age")));
    assert!(bench.number("weir_delivery_dead_letters_total{") >= 90.0);
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_hold_ends_when_all_that_it_held_has_lapsed() {
    for lapsed in [Lapsed::Discard, Lapsed::DeadLetter] {
        let (queue, sink, settings) = small_and_held();
        let bench = Bench::start_with(queue, sink, settings);
        while bench.watch.hold().is_none() {
            sleep(Duration::from_millis(10)).await;
        }

        bench.queue.lapse(u64::MAX, lapsed);
        while bench.watch.hold().is_some() {
            sleep(Duration::from_millis(10)).await;
        }

        assert_eq!(bench.watch.owed(), 0);
        bench.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_queue_dropped_is_let_go_and_makes_room_for_what_follows() {
    let (queue, sink, settings) = small_and_held();
    let mut bench = Bench::start_with(queue, Arc::clone(&sink), settings);
    sleep(Duration::from_millis(100)).await;

    bench.queue.lapse(91, Lapsed::Discard);
    *sink.script.lock().unwrap() = Box::new(|_, entries| all_taken(entries));
    while bench.queue.settled(Settled::Delivered) < 10 {
        sleep(Duration::from_millis(10)).await;
    }

    bench.stop().await;
    assert_eq!(bench.queue.settled(Settled::Dead), 0);
    assert!(sink.taken_count() >= 10, "only a request under way may still carry one of the others");
    bench.end().await;
}
