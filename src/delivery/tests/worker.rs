//! The loop around the machines, with a sink in memory and a clock that stands still.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::script::{ScriptSink, all_taken, fault};
use super::{Bench, TestQueue, settings};
use crate::delivery::Settings;
use crate::queue::Settled;
use crate::sink::{At, Fate, Fault};

#[tokio::test(start_paused = true)]
async fn records_are_batched_taken_and_settled_and_the_sink_is_closed_at_the_end() {
    let queue = TestQueue::default();
    queue.push_records(25);
    let sink = ScriptSink::taking_all();
    let mut bench = Bench::start(queue, Arc::clone(&sink));

    bench.queue.settled_all().await;

    assert_eq!((sink.requests(), sink.taken_count()), (3, 25), "10, 10 and 5");
    assert_eq!(bench.queue.settled(Settled::Delivered), 25);
    assert_eq!(bench.number("weir_delivery_records_total{"), 25.0);
    assert_eq!((bench.watch.hold(), bench.watch.owed(), bench.watch.in_flight()), (None, 0, 0));
    bench.stop().await;
    assert!(sink.is_closed.load(Ordering::SeqCst));
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_closed_queue_is_worked_off_to_the_end() {
    let queue = TestQueue::default();
    queue.push_records(25);
    queue.close();
    let sink = ScriptSink::failing_first(3, fault(At::Timeout, "timeout"));
    let mut bench = Bench::start(queue, Arc::clone(&sink));

    bench.tasks.finish().await.unwrap();

    assert_eq!((bench.queue.owed(), sink.taken_count()), (0, 25));
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_record_waits_for_others_no_longer_than_the_linger() {
    let sink = ScriptSink::taking_all();
    let settings = Settings { linger: Duration::from_millis(500), ..settings() };
    let bench = Bench::start_with(TestQueue::default(), Arc::clone(&sink), settings);
    bench.queue.push_record("early");
    sleep(Duration::from_millis(400)).await;
    bench.queue.push_record("late");
    sleep(Duration::from_millis(99)).await;
    assert_eq!(sink.requests(), 0);
    sleep(Duration::from_millis(2)).await;
    assert_eq!((sink.requests(), sink.taken_count()), (1, 2));
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn requests_and_bytes_under_way_stay_within_their_bounds() {
    let queue = TestQueue::default();
    queue.push_records(2_000);
    let sink = ScriptSink::new(Duration::from_millis(50), |_, entries| all_taken(entries));
    let settings = Settings { in_flight: 3, in_flight_bytes: 20_000, ..settings() };
    let bench = Bench::start_with(queue, Arc::clone(&sink), settings);

    let mut most_owed = 0;
    while bench.queue.owed() > 0 {
        most_owed = most_owed.max(bench.watch.owed());
        assert!(bench.watch.in_flight() <= 3);
        sleep(Duration::from_millis(10)).await;
    }

    assert_eq!(sink.most_under_way.load(Ordering::SeqCst), 3);
    assert!((30..=20_000 / 256).contains(&most_owed), "{most_owed}");
    assert_eq!(bench.queue.inner.lock().unwrap().largest_budget, 20_000);
    assert!(sink.taken().iter().all(|(_, times)| *times == 1));
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_record_larger_than_the_bound_on_memory_moves_all_the_same() {
    let queue = TestQueue::default();
    queue.push_record(&"x".repeat(400));
    queue.push_record("y");
    let settings = Settings { in_flight_bytes: 10, ..settings() };
    let sink = ScriptSink::taking_all();
    let bench = Bench::start_with(queue, Arc::clone(&sink), settings);
    bench.queue.settled_all().await;
    assert_eq!(sink.taken_count(), 2);
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn stopping_ends_what_is_under_way_and_gives_up_every_wait() {
    let queue = TestQueue::default();
    queue.push_records(60);
    let sink = ScriptSink::new(Duration::from_secs(3), |number, entries| {
        if number < 2 { all_taken(entries) } else { Err(fault(At::Timeout, "timeout")) }
    });
    let settings = Settings { retry_first: Duration::from_secs(900), ..settings() };
    let settings = Settings { retry_max: Duration::from_secs(900), ..settings };
    let mut bench = Bench::start_with(queue, Arc::clone(&sink), settings);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(bench.watch.in_flight(), 4);

    let asked = Instant::now();
    bench.stop().await;

    assert!(asked.elapsed() <= Duration::from_secs(3));
    assert_eq!((sink.requests(), bench.queue.settled(Settled::Delivered)), (4, 20));
    assert_eq!(bench.queue.owed(), 40);
    assert!(sink.is_closed.load(Ordering::SeqCst));
    bench.end().await;

    let queue = TestQueue::default();
    queue.push_records(1);
    let sink = ScriptSink::failing_first(99, fault(At::Transport, "no-connection"));
    let settings = Settings { retry_first: Duration::from_secs(900), ..super::settings() };
    let settings = Settings { retry_max: Duration::from_secs(900), ..settings };
    let mut bench = Bench::start_with(queue, sink, settings);
    sleep(Duration::from_secs(1)).await;
    let asked = Instant::now();
    bench.stop().await;
    assert_eq!(asked.elapsed(), Duration::ZERO, "a wait is given up at once");
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_panics_ends_the_worker_with_words() {
    let queue = TestQueue::default();
    queue.push_records(1);
    let sink = ScriptSink::new(Duration::ZERO, |_, _| panic!("a broken invariant"));
    let mut bench = Bench::start(queue, sink);
    let failed = bench.tasks.finish().await.unwrap_err();
    assert!(failed.why.contains("a broken invariant"), "{failed}");
    assert_eq!(bench.queue.owed(), 1);
    bench.stop = Some(crate::base::shutdown::channel().0);
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn every_wait_ends_at_once_when_it_is_asked_to_stop() {
    let slow = Fault {
        retry_after: Some(Duration::from_secs(300)),
        ..fault(At::Answer(429), "TooManyRequests")
    };
    for held in [
        slow.clone(),
        fault(At::Answer(400), "AccessDeniedException"),
        fault(At::Transport, "no-connection"),
        Fault { at: At::Entry, ..slow },
    ] {
        let queue = TestQueue::default();
        queue.push_records(10);
        let sink = ScriptSink::new(Duration::ZERO, move |_, entries| match held.at {
            At::Entry => Ok(vec![Fate::Failed(held.clone()); entries.len()]),
            _ => Err(held.clone()),
        });
        let settings = Settings { retry_max: Duration::from_secs(3_600), ..settings() };
        let mut bench = Bench::start_with(queue, Arc::clone(&sink), settings);
        sleep(Duration::from_secs(5)).await;
        let begun = Instant::now();
        bench.stop().await;
        assert_eq!((begun.elapsed(), bench.queue.owed()), (Duration::ZERO, 10));
        bench.end().await;
    }
}
