//! Destinations that take nothing, for a while or for long, and those that find fault with records.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::script::{ScriptSink, all_taken, fault};
use super::{Bench, TestQueue, patient, settings};
use crate::delivery::{Settings, Watch};
use crate::queue::Settled;
use crate::sink::{At, Entry, Fate, Fault};

#[tokio::test(start_paused = true)]
async fn while_a_destination_is_held_one_probe_at_a_time_is_sent_and_the_hold_is_seen() {
    for (held, class) in [
        (fault(At::Answer(400), "AccessDeniedException"), "auth"),
        (fault(At::Credentials, "no-credentials"), "auth"),
        (fault(At::Answer(400), "RequestTimeTooSkewed"), "clock"),
        (fault(At::Answer(400), "ResourceNotFoundException"), "config"),
    ] {
        let queue = TestQueue::default();
        queue.push_records(100);
        let sink = ScriptSink::new(Duration::from_secs(1), {
            let held = held.clone();
            move |number, entries| if number < 9 { Err(held.clone()) } else { all_taken(entries) }
        });
        let settings = Settings { retry_max: Duration::from_secs(60), ..settings() };
        let bench = Bench::start_with(queue, Arc::clone(&sink), settings);
        sleep(Duration::from_secs(2)).await;

        let hold = bench.watch.hold().unwrap();
        assert_eq!((hold.class.as_str(), &hold.code), (class, &held.code));
        assert_eq!(hold.since_unix_ms, super::NOW + 1_000, "when the first answer came");
        let labels = format!("{{stream=\"access\",destination=\"archive\",class=\"{class}\"}}");
        let holding = format!("weir_delivery_holding{labels}");
        assert_eq!(bench.number(&holding), 1.0);
        // What the answer itself may have mended is tried again at once, the first time.
        let is_quick = class == "clock";
        let is_waiting = hold.next_try_unix_ms.is_some_and(|at| at > super::NOW + 30_000);
        assert!(is_waiting || is_quick, "{hold:?}");
        bench.queue.settled_all().await;

        let times = sink.times.lock().unwrap().clone();
        assert_eq!(times[3] - times[0], Duration::ZERO, "four were under way when it began");
        for pair in times[3 + usize::from(is_quick)..=9].windows(2) {
            assert!(pair[1] - pair[0] >= Duration::from_secs(30), "{times:?}");
        }
        // The last look was taken as well, and the nine that had been with it go by themselves.
        assert_eq!((sink.requests(), sink.taken_count()), (20, 100));
        assert!(bench.dead().is_empty());
        assert_eq!((bench.watch.hold(), bench.number(&holding)), (None, 0.0));
        let held = bench.number(&format!("weir_delivery_held_seconds_total{labels}"));
        let lasted = (times[9] - times[3]).as_secs_f64();
        assert!((held - lasted).abs() < 2.0, "held for {held} of {lasted}");
        bench.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_finds_fault_with_every_record_is_held_until_it_is_mended() {
    let queue = TestQueue::default();
    queue.push_records(1_000);
    let is_mended = Arc::new(AtomicBool::new(false));
    let sink = ScriptSink::new(Duration::from_millis(1), {
        let is_mended = Arc::clone(&is_mended);
        move |_, entries| match is_mended.load(Ordering::SeqCst) {
            true => all_taken(entries),
            false => Err(fault(At::Answer(400), "InvalidArgumentException")),
        }
    });
    let settings = Settings { retry_max: Duration::from_secs(60), ..settings() };
    let bench = Bench::start_with(queue, Arc::clone(&sink), settings);
    sleep(Duration::from_secs(3_600)).await;

    let hold = bench.watch.hold().unwrap();
    assert_eq!((hold.class.as_str(), hold.code.as_str()), ("config", "InvalidArgumentException"));
    assert_eq!(hold.since_unix_ms / 1_000, super::NOW / 1_000, "it never seemed to be over");
    assert_eq!(bench.dead().len(), 4);
    assert!(sink.requests() < 200, "{} requests in an hour", sink.requests());

    is_mended.store(true, Ordering::SeqCst);
    bench.queue.settled_all().await;
    assert_eq!((sink.taken_count(), bench.dead().len()), (996, 4));
    assert_eq!(bench.watch.hold(), None);
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn many_records_that_are_at_fault_in_a_row_do_not_keep_the_good_ones_waiting() {
    let queue = TestQueue::default();
    (0..100).for_each(|number| queue.push_record(&format!("poison {number}")));
    queue.push_records(500);
    let sink = ScriptSink::new(Duration::from_millis(1), |_, entries| {
        match entries.iter().any(|entry| entry.data.starts_with(b"poison")) {
            true => Err(fault(At::Answer(400), "ValidationException")),
            false => all_taken(entries),
        }
    });
    let settings = Settings { retry_max: Duration::from_secs(30), ..settings() };
    let bench = Bench::start_with(queue, Arc::clone(&sink), settings);

    sleep(Duration::from_secs(600)).await;
    assert_eq!(sink.taken_count(), 500);
    while bench.queue.owed() > 0 {
        // Each record that passes says that the destination is well, so that others may die.
        bench.queue.push_records(1);
        sleep(Duration::from_secs(60)).await;
    }
    assert_eq!(bench.dead().len(), 100);
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_a_day_costs_no_record_and_few_requests() {
    let queue = TestQueue::default();
    queue.push_records(50);
    let until = Instant::now() + Duration::from_secs(86_400);
    let sink = ScriptSink::new(Duration::ZERO, move |_, entries| {
        let is_down = Instant::now() < until;
        if is_down { Err(fault(At::Transport, "no-connection")) } else { all_taken(entries) }
    });
    let settings = Settings {
        retry_first: Duration::from_millis(200),
        retry_max: Duration::from_secs(60),
        ..settings()
    };
    let bench = Bench::start_with(queue, Arc::clone(&sink), settings);

    while bench.queue.owed() > 0 {
        sleep(Duration::from_secs(10)).await;
    }

    assert!(Instant::now() < until + Duration::from_secs(120));
    assert_eq!(sink.taken_count(), 50);
    assert!(sink.requests() < 86_400 / 30 + 20, "{}", sink.requests());
    assert!(bench.dead().is_empty());
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn failed_entries_wait_longer_each_time_and_never_die() {
    let queue = TestQueue::default();
    queue.push_records(10);
    let sink = ScriptSink::new(Duration::ZERO, |number, entries| {
        let fails = |entry: &Entry| entry.data.ends_with(b"7") && number < 40;
        let busy = fault(At::Entry, "ProvisionedThroughputExceededException");
        let fate = |entry| if fails(entry) { Fate::Failed(busy.clone()) } else { Fate::Taken };
        Ok(entries.iter().map(fate).collect())
    });
    let settings = Settings {
        retry_first: Duration::from_millis(100),
        retry_max: Duration::from_secs(10),
        ..settings()
    };
    let bench = Bench::start_with(queue, Arc::clone(&sink), settings);
    sleep(Duration::from_millis(10)).await;
    assert_eq!((bench.queue.owed(), bench.watch.hold()), (1, None));

    bench.queue.settled_all().await;

    assert!(sink.taken().iter().all(|(_, times)| *times == 1));
    assert_eq!((sink.requests(), bench.number("weir_delivery_retried_records_total{")), (41, 40.0));
    let times = sink.times.lock().unwrap().clone();
    let last = times[40] - times[39];
    assert!(last >= Duration::from_secs(5) && last <= Duration::from_secs(11), "{last:?}");
    assert!(bench.dead().is_empty());
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_hour_without_uplink_costs_disk_but_no_memory_and_ends_with_everything_delivered() {
    const RECORDS: usize = 36_000;
    let queue = TestQueue::default();
    let until = Instant::now() + Duration::from_secs(3_600);
    let sink = ScriptSink::away_until(until);
    let bench = Bench::start_with(queue, Arc::clone(&sink), patient());

    let mut most_owed = 0;
    for number in 0..RECORDS {
        bench.queue.push_record(&format!("record {number}"));
        sleep(Duration::from_millis(100)).await;
        most_owed = most_owed.max(bench.watch.owed());
    }
    assert_eq!(bench.queue.owed(), RECORDS);
    assert!(sink.requests() < 3_600 / 15 + 40, "{} requests in an hour", sink.requests());
    bench.queue.settled_all().await;

    assert!(most_owed <= 100_000 / 256, "{most_owed} records in memory");
    assert!(Instant::now() < until + Duration::from_secs(120));
    assert_eq!((sink.taken_count(), bench.queue.settled(Settled::Delivered)), (RECORDS, RECORDS));
    assert!(sink.taken().iter().all(|(_, times)| *times == 1) && bench.dead().is_empty());
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_was_suspected_when_weir_ended_costs_no_record_at_the_next_start() {
    let refuses_all = || {
        ScriptSink::new(Duration::ZERO, |number, _| {
            let words = Fault { message: format!("no {number}"), ..fault(At::Answer(400), "x") };
            Err(Fault { code: "ValidationException".into(), ..words })
        })
    };
    let queue = TestQueue::default();
    queue.push_records(100);
    let bench = Bench::start(queue, refuses_all());
    sleep(Duration::from_secs(60)).await;
    assert_eq!(bench.dead().len(), 12, "as many as any words are believed");
    let suspected = bench.watch.suspicions().borrow().clone();
    assert_eq!(suspected.as_ref().map(|one| one.code.as_str()), Some("ValidationException"));
    bench.end().await;

    let watch = Watch::default();
    watch.recall(suspected);
    let queue = TestQueue::default();
    queue.push_records(100);
    let sink = refuses_all();
    let bench = Bench::start_watched(&watch, queue, Arc::clone(&sink));
    sleep(Duration::from_secs(60)).await;
    assert_eq!((bench.dead().len(), bench.queue.owed()), (0, 100));
    assert_eq!(watch.hold().unwrap().class, "config");

    *sink.script.lock().unwrap() = Box::new(|_, entries| all_taken(entries));
    bench.queue.settled_all().await;
    assert_eq!(*watch.suspicions().borrow(), None, "and then it is over");
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_looks_whether_a_destination_takes_anything_is_one_small_entry() {
    for trouble in [
        fault(At::Answer(400), "AccessDeniedException"),
        fault(At::Answer(500), "InternalFailure"),
        fault(At::Answer(400), "ProvisionedThroughputExceededException"),
        fault(At::Transport, "connection-lost"),
        fault(At::Timeout, "timeout"),
    ] {
        let queue = TestQueue::default();
        queue.push_record(&"large ".repeat(20));
        queue.push_records(50);
        let is_well = Arc::new(AtomicBool::new(false));
        let loads = Arc::new(Mutex::new(Vec::new()));
        let sink = ScriptSink::new(Duration::from_millis(1), {
            let (is_well, loads, trouble) = (is_well.clone(), loads.clone(), trouble.clone());
            move |_, entries| {
                let bytes: usize = entries.iter().map(|entry| entry.data.len()).sum();
                loads.lock().unwrap().push((entries.len(), bytes));
                match is_well.load(Ordering::SeqCst) {
                    true => all_taken(entries),
                    false => Err(trouble.clone()),
                }
            }
        });
        let settings = Settings { in_flight: 1, ..settings() };
        let bench = Bench::start_with(queue, Arc::clone(&sink), settings);
        sleep(Duration::from_secs(10)).await;
        let looks = loads.lock().unwrap().split_off(1);
        assert!(looks.len() > 10, "{trouble:?}: {looks:?}");
        assert!(looks.iter().all(|(entries, bytes)| *entries == 1 && *bytes < 20), "{looks:?}");

        is_well.store(true, Ordering::SeqCst);
        bench.queue.settled_all().await;
        assert!(sink.taken().iter().all(|(_, times)| *times == 1) && bench.dead().is_empty());
        bench.end().await;
    }
}
