//! The loop around the machines, with a sink in memory and a clock that stands still.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep};

use super::{Bench, TestQueue, a_record, settings};
use crate::delivery::{Settings, Watch};
use crate::queue::{Lapsed, Settled};
use crate::record::encode;
use crate::sink::{At, Entry, Fate, Fault, Limits, Load, Outcome, Sink};

type Script = Box<dyn FnMut(usize, &[Entry]) -> Outcome + Send>;

/// A sink that keeps what it takes and answers by a script, after a while.
pub(super) struct ScriptSink {
    script: Mutex<Script>,
    takes: Duration,
    requests: AtomicUsize,
    under_way: AtomicUsize,
    most_under_way: AtomicUsize,
    taken: Mutex<BTreeMap<String, usize>>,
    times: Mutex<Vec<Instant>>,
    is_closed: AtomicBool,
    /// Larger entries may be refused.
    sure_bytes: AtomicUsize,
}

impl ScriptSink {
    pub(super) fn new(
        takes: Duration,
        script: impl FnMut(usize, &[Entry]) -> Outcome + Send + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            script: Mutex::new(Box::new(script)),
            takes,
            requests: AtomicUsize::new(0),
            under_way: AtomicUsize::new(0),
            most_under_way: AtomicUsize::new(0),
            taken: Mutex::default(),
            times: Mutex::default(),
            is_closed: AtomicBool::new(false),
            sure_bytes: AtomicUsize::new(500),
        })
    }

    pub(super) fn taking_all() -> Arc<Self> {
        Self::new(Duration::ZERO, |_, entries| all_taken(entries))
    }

    /// Fails the first requests as a whole, then takes everything.
    fn failing_first(count: usize, fault: Fault) -> Arc<Self> {
        Self::new(Duration::ZERO, move |number, entries| {
            if number < count { Err(fault.clone()) } else { all_taken(entries) }
        })
    }

    pub(super) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    pub(super) fn taken(&self) -> Vec<(String, usize)> {
        self.taken.lock().unwrap().clone().into_iter().collect()
    }

    pub(super) fn taken_count(&self) -> usize {
        self.taken.lock().unwrap().values().sum()
    }
}

pub(super) fn all_taken(entries: &[Entry]) -> Outcome {
    Ok(vec![Fate::Taken; entries.len()])
}

pub(super) fn fault(at: At, code: &str) -> Fault {
    Fault { at, code: code.into(), message: "words".into(), retry_after: None }
}

impl Sink for ScriptSink {
    fn kind(&self) -> &'static str {
        "script"
    }

    fn limits(&self) -> Limits {
        Limits { entries: 10, request_bytes: 1_000, entry_bytes: 500 }
    }

    fn sure_bytes(&self) -> usize {
        self.sure_bytes.load(Ordering::SeqCst)
    }

    fn weigh(&self, entry: &Entry) -> usize {
        entry.data.len()
    }

    fn wire_bytes(&self, load: Load) -> u64 {
        load.weight as u64
    }

    fn entry(&self, key: String, payload: Bytes) -> Entry {
        Entry::plain(key, payload)
    }

    async fn put(&self, entries: Vec<Entry>) -> Outcome {
        let now = 1 + self.under_way.fetch_add(1, Ordering::SeqCst);
        self.most_under_way.fetch_max(now, Ordering::SeqCst);
        self.times.lock().unwrap().push(Instant::now());
        sleep(self.takes).await;
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        let number = self.requests.fetch_add(1, Ordering::SeqCst);
        let outcome = (self.script.lock().unwrap())(number, &entries);
        if let Ok(fates) = &outcome {
            let taken = entries.iter().zip(fates).filter(|(_, fate)| **fate == Fate::Taken);
            for (entry, _) in taken {
                let text = String::from_utf8(entry.data.to_vec()).unwrap();
                *self.taken.lock().unwrap().entry(text).or_default() += 1;
            }
        }
        outcome
    }

    async fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
    }
}

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
        assert_eq!((sink.requests(), sink.taken_count()), (19, 100));
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

#[tokio::test(start_paused = true)]
async fn an_hour_without_uplink_costs_disk_but_no_memory_and_ends_with_everything_delivered() {
    const RECORDS: usize = 36_000;
    let queue = TestQueue::default();
    let until = Instant::now() + Duration::from_secs(3_600);
    let sink = ScriptSink::new(Duration::from_millis(20), move |number, entries| {
        match Instant::now() < until {
            // What an uplink that comes and goes looks like.
            true if number % 3 == 0 => Err(fault(At::Timeout, "timeout")),
            true if number % 3 == 1 => Err(fault(At::Answer(503), "ServiceUnavailable")),
            true => Err(fault(At::Transport, "no-connection")),
            false => all_taken(entries),
        }
    });
    let settings = Settings {
        in_flight_bytes: 100_000,
        retry_first: Duration::from_millis(200),
        retry_max: Duration::from_secs(30),
        ..settings()
    };
    let bench = Bench::start_with(queue, Arc::clone(&sink), settings);

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

#[tokio::test(start_paused = true)]
async fn on_a_link_that_bears_no_large_request_small_ones_carry_everything_and_grow_again() {
    for at in [At::Upload(300), At::Timeout] {
        let queue = TestQueue::default();
        queue.push_records(400);
        let is_slow = Arc::new(AtomicBool::new(true));
        let sink = ScriptSink::new(Duration::from_millis(1), {
            let is_slow = Arc::clone(&is_slow);
            move |_, entries| {
                let bytes: usize = entries.iter().map(|entry| entry.data.len()).sum();
                let is_too_much = at == At::Timeout || bytes > 60;
                match is_slow.load(Ordering::SeqCst) && is_too_much {
                    true => Err(fault(at, "too-slow")),
                    false => all_taken(entries),
                }
            }
        });
        let bench = Bench::start(queue, Arc::clone(&sink));
        sleep(Duration::from_secs(60)).await;
        match at {
            At::Upload(_) => {
                assert_eq!(bench.queue.owed(), 0);
                assert!(bench.number("weir_delivery_cut_off_bytes_total{") >= 300.0);
                assert!(bench.number("weir_delivery_request_max_bytes{") <= 75.0);
            }
            // It may be the service that is slow: requests as small as these stay as they are.
            _ => assert_eq!(bench.number("weir_delivery_request_max_bytes{"), 1_000.0),
        }

        is_slow.store(false, Ordering::SeqCst);
        bench.queue.push_records(400);
        bench.queue.settled_all().await;
        let requests = sink.requests();
        bench.queue.push_records(100);
        bench.queue.settled_all().await;
        assert!(sink.requests() - requests <= 11, "ten in each, as the sink takes them");
        assert!(sink.taken().iter().all(|(_, times)| *times <= 3) && bench.dead().is_empty());
        bench.end().await;
    }
}

/// Large records among small ones, and a sink that is sure of the small ones only.
fn large_among_small(takes_large: bool) -> (TestQueue, Arc<ScriptSink>) {
    let queue = TestQueue::default();
    for number in 0..200 {
        queue.push_record(&format!("small {number}"));
        if number % 10 == 0 {
            queue.push_record(&format!("large {number} {}", "x".repeat(100)));
        }
    }
    let sink = ScriptSink::new(Duration::from_millis(1), move |_, entries| {
        match entries.iter().any(|entry| entry.data.starts_with(b"large")) {
            true if entries.len() > 1 => panic!("a large record endangers others"),
            true if !takes_large => Err(fault(At::Answer(400), "ValidationException")),
            _ => all_taken(entries),
        }
    });
    sink.sure_bytes.store(50, Ordering::SeqCst);
    (queue, sink)
}

#[tokio::test(start_paused = true)]
async fn what_an_upstream_may_refuse_for_its_size_is_sent_alone_and_the_upstream_decides() {
    let (queue, sink) = large_among_small(true);
    let bench = Bench::start(queue, Arc::clone(&sink));
    bench.queue.settled_all().await;
    assert_eq!((sink.taken_count(), bench.dead().len()), (220, 0));
    bench.end().await;

    let (queue, sink) = large_among_small(false);
    let bench = Bench::start(queue, Arc::clone(&sink));
    while sink.taken_count() < 200 {
        sleep(Duration::from_millis(10)).await;
    }
    while bench.queue.owed() > 0 {
        // Each record that passes says that the destination is well, so that others may die.
        bench.queue.push_records(1);
        sleep(Duration::from_secs(1)).await;
    }
    let dead = bench.dead();
    assert_eq!(dead.len(), 20);
    assert!(dead.iter().all(|one| one.code == "ValidationException" && one.attempts >= 1));
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
