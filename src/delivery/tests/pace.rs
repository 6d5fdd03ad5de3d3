//! Budgets, windows, priorities and concurrency, on a clock that stands still.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::script::ScriptSink;
use super::{Bench, NOW, TestQueue, a_record, settings};
use crate::base::units::{ByteRate, ByteSize};
use crate::delivery::tempo::{Concurrency, request_bytes_max};
use crate::delivery::uplink::{Line, Wait};
use crate::delivery::watch::Paced;
use crate::delivery::{LinkSettings, PaceSettings, Rank, Settings, Uplink};
use crate::record::{Record, RecordId, encode};
use crate::sink::{At, Fate, Fault};

const SECOND: Duration = Duration::from_secs(1);

fn per_second(bytes: u64) -> ByteRate {
    ByteRate { bytes: ByteSize(bytes), per: SECOND }
}

fn budget(bytes: u64) -> LinkSettings {
    LinkSettings { bytes: Some(per_second(bytes)), windows: Vec::new() }
}

fn paced(destination: &str, pace: PaceSettings) -> Settings {
    Settings { destination: destination.into(), pace, ..settings() }
}

/// Works a line for so long, everybody wanting all the time; what each got.
fn share_out(ranks: &[(u8, u32, u64)], seconds: u64) -> Vec<u64> {
    let begin = Instant::now();
    let mut line = Line::new(&budget(1_000), begin);
    let seats: Vec<_> = ranks
        .iter()
        .map(|(priority, weight, _)| line.enter(Rank { priority: *priority, weight: *weight }))
        .collect();
    let mut got = vec![0; ranks.len()];
    let mut now = begin;
    while now < begin + SECOND * u32::try_from(seconds).unwrap() {
        let mut wait = None;
        // The last asks first: being quick is no rank.
        for seat in seats.iter().rev() {
            match line.ask(*seat, now, NOW) {
                None => {
                    line.spent(*seat, ranks[*seat].2, now);
                    got[*seat] += ranks[*seat].2;
                }
                Some(Wait::Budget(at)) => wait = Some(at),
                Some(_) => {}
            }
        }
        now = wait.unwrap_or(now);
    }
    got
}

#[test]
fn a_budget_is_kept_over_time_however_large_the_requests_are() {
    for request in [1, 300, 1_000, 7_777] {
        let got = share_out(&[(5, 100, request)], 1_000);
        // A second's worth is there at the start, and one request may overdraw.
        assert!((990_000..=1_001_000 + request).contains(&got[0]), "{request}: {got:?}");
    }
}

#[test]
fn weights_share_a_budget_by_bytes_not_by_requests() {
    let got = share_out(&[(5, 300, 500), (5, 100, 100)], 1_000);
    let share = got[0] * 100 / (got[0] + got[1]);
    assert!((74..=76).contains(&share), "{got:?}");
}

#[test]
fn a_higher_priority_takes_all_as_long_as_it_has_anything_to_send() {
    let got = share_out(&[(5, 1_000, 100), (6, 1, 100)], 100);
    assert!(got[0] <= 1_100 && got[1] >= 98_000, "{got:?}");
}

#[test]
fn who_had_nothing_to_send_has_not_saved_up_a_share() {
    let begin = Instant::now();
    let mut line = Line::new(&budget(1_000), begin);
    let (busy, late) = (line.enter(Rank::default()), line.enter(Rank::default()));
    let mut now = begin;
    for _ in 0..1_000 {
        while let Some(Wait::Budget(at)) = line.ask(busy, now, NOW) {
            now = at;
        }
        line.spent(busy, 100, now);
    }
    let mut got = [0_u32; 2];
    for _ in 0..400 {
        for seat in [busy, late] {
            match line.ask(seat, now, NOW) {
                None => {
                    line.spent(seat, 100, now);
                    got[seat] += 1;
                }
                Some(Wait::Budget(at)) => now = at,
                Some(_) => {}
            }
        }
    }
    assert!(got[0].abs_diff(got[1]) <= 2, "{got:?}");
}

#[test]
fn one_that_does_not_want_any_more_holds_nobody_up() {
    let now = Instant::now();
    let mut line = Line::new(&budget(1_000), now);
    let first = line.enter(Rank { priority: 9, weight: 1 });
    let second = line.enter(Rank::default());
    assert_eq!(line.ask(first, now, NOW), None);
    assert_eq!(line.ask(second, now, NOW), Some(Wait::Others));
    assert!(line.withdraw(first));
    assert_eq!(line.ask(second, now, NOW), None);
}

#[test]
fn a_closed_window_is_looked_at_again_when_it_opens_or_in_a_minute() {
    let now = Instant::now();
    // NOW is 06:05:19 in UTC.
    for (window, wait) in
        [("06:06-07:00", Some(41)), ("22:00-06:00", Some(60)), ("06:00-06:06", None)]
    {
        let windows = vec![window.parse().unwrap()];
        let mut line = Line::new(&LinkSettings { bytes: None, windows }, now);
        let seat = line.enter(Rank::default());
        let wait = wait.map(|seconds| Wait::Window(now + Duration::from_secs(seconds)));
        assert_eq!(line.ask(seat, now, NOW), wait, "{window}");
    }
}

#[test]
fn a_request_never_keeps_a_slow_link_busy_for_longer_than_it_may_take() {
    let with = |link, catch_up, agent: Option<u64>| {
        let pace = PaceSettings {
            link: LinkSettings { bytes: link, windows: vec![] },
            catch_up_rate: catch_up,
            ..PaceSettings::default()
        };
        request_bytes_max(&pace, agent.map(per_second))
    };
    assert_eq!(with(None, None, None), usize::MAX);
    assert_eq!(with(Some(per_second(1 << 20)), None, None), 4 << 20);
    assert_eq!(with(None, Some(per_second(100_000)), Some(1 << 20)), 400_000);
    assert_eq!(with(None, None, Some(10)), 64 << 10);
}

#[test]
fn requests_at_a_time_halve_once_a_round_and_grow_back_one_by_one() {
    let now = Instant::now();
    let quick = Duration::from_millis(20);
    let mut concurrency = Concurrency::new(16);
    assert_eq!(concurrency.limit(), 16);
    for _ in 0..16 {
        concurrency.cut(now, quick);
    }
    assert_eq!(concurrency.limit(), 8, "those under way together count once");
    (1..20).for_each(|round| concurrency.cut(now + quick * round, quick));
    assert_eq!(concurrency.limit(), 1, "one is always left");

    (0..2).for_each(|_| concurrency.passed(quick));
    assert_eq!(concurrency.limit(), 2);
    (0..200).for_each(|_| concurrency.passed(quick));
    assert_eq!(concurrency.limit(), 16, "never more than the settings say");
    (0..8).for_each(|_| concurrency.passed(SECOND));
    assert!(concurrency.limit() < 16, "who waits for others on the way is not helped by more");
    assert_eq!(Concurrency::new(0).limit(), 1);
}

#[tokio::test(start_paused = true)]
async fn two_streams_share_the_agents_budget_and_none_of_it_is_a_hold() {
    let uplink = Uplink::new(&budget(1_000));
    let queues = [TestQueue::default(), TestQueue::default()];
    let sink = ScriptSink::taking_all();
    let rank = |weight| PaceSettings { rank: Rank { priority: 5, weight }, ..Default::default() };
    for queue in &queues {
        (0..2_000).for_each(|_| queue.push_record(&"x".repeat(90)));
    }
    let benches = [("a", 300), ("b", 100)].map(|(name, weight)| {
        let queue = queues[usize::from(name == "b")].clone();
        Bench::start_over(&uplink, queue, Arc::clone(&sink), paced(name, rank(weight)))
    });

    sleep(SECOND * 200).await;

    let taken: Vec<_> = queues.iter().map(|queue| 2_000 - queue.owed()).collect();
    let bytes = taken.iter().sum::<usize>() * 90;
    assert!((198_000..=204_000).contains(&bytes), "{bytes} bytes in 200 s");
    let share = taken[0] * 100 / (taken[0] + taken[1]);
    assert!((70..=80).contains(&share), "{taken:?}");
    assert!(benches.iter().all(|bench| bench.watch.hold().is_none()));
    assert!(benches.iter().any(|bench| bench.watch.paced() == Some(Paced::Budget)));
    for bench in benches {
        bench.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn streams_that_lead_to_one_destination_share_its_budget() {
    let uplink = Uplink::default();
    let sink = ScriptSink::taking_all();
    let pace = PaceSettings { link: budget(900), ..Default::default() };
    let queues = [TestQueue::default(), TestQueue::default()];
    let benches = queues.clone().map(|queue| {
        (0..500).for_each(|_| queue.push_record(&"x".repeat(90)));
        Bench::start_over(&uplink, queue, Arc::clone(&sink), paced("lake", pace.clone()))
    });
    sleep(SECOND * 50).await;
    let taken = sink.taken_count() * 90;
    assert!((44_000..=48_000).contains(&taken), "{taken} bytes in 50 s");
    for bench in benches {
        bench.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn outside_its_window_nothing_is_sent_and_status_says_so() {
    let queue = TestQueue::default();
    queue.push_records(30);
    let sink = ScriptSink::taking_all();
    // NOW is 06:05:19 in UTC.
    let windows = vec!["08:00-09:00".parse().unwrap()];
    let link = LinkSettings { bytes: None, windows };
    let pace = PaceSettings { link, ..Default::default() };
    let bench = Bench::start_with(queue, Arc::clone(&sink), paced("archive", pace));

    sleep(SECOND * 6_800).await;
    assert_eq!((sink.requests(), bench.watch.paced()), (0, Some(Paced::Window)));
    assert_eq!(bench.watch.hold(), None);
    let labels = "{stream=\"access\",destination=\"archive\",reason=\"window\"}";
    assert_eq!(bench.number(&format!("weir_delivery_paced{labels}")), 1.0);

    sleep(SECOND * 82).await;
    assert_eq!((sink.taken_count(), bench.watch.paced()), (30, None));
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_old_records_go_at_the_catch_up_rate_and_live_ones_at_once() {
    let queue = TestQueue::default();
    let old = Record { id: RecordId::new(NOW - 3_600_000), ..a_record(&"x".repeat(100)) };
    (0..1_000).for_each(|_| queue.push(encode(&old)));
    let sink = ScriptSink::taking_all();
    let pace = PaceSettings {
        catch_up_rate: Some(per_second(1_000)),
        catch_up_after: SECOND * 60,
        ..Default::default()
    };
    let bench = Bench::start_with(queue, Arc::clone(&sink), paced("archive", pace));
    sleep(SECOND * 50).await;
    let taken = sink.taken_count() * 100;
    assert!((49_000..=53_000).contains(&taken), "{taken} bytes in 50 s");
    assert_eq!(bench.watch.paced(), Some(Paced::CatchUp));
    bench.queue.settled_all().await;

    let (begin, before) = (Instant::now(), sink.taken_count());
    let live = Record { id: RecordId::new(NOW + 200_000), ..a_record(&"y".repeat(100)) };
    (0..1_000).for_each(|_| bench.queue.push(encode(&live)));
    bench.queue.settled_all().await;
    assert_eq!(sink.taken_count() - before, 1_000);
    // The last old request is paid for first.
    assert!(begin.elapsed() < SECOND * 2, "{:?}", begin.elapsed());
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_paced_stops_at_once_and_keeps_what_it_did_not_send() {
    let queue = TestQueue::default();
    queue.push_records(1_000);
    let pace = PaceSettings { link: budget(10), ..Default::default() };
    let sink = ScriptSink::taking_all();
    let mut bench = Bench::start_with(queue, Arc::clone(&sink), paced("archive", pace));
    sleep(SECOND * 20).await;
    let begin = Instant::now();
    bench.stop().await;
    assert!(begin.elapsed() < SECOND);
    assert_eq!(bench.queue.owed() + sink.taken_count(), 1_000);
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_overrun_destination_gets_fewer_requests_at_a_time() {
    let queue = TestQueue::default();
    queue.push_records(4_000);
    let sink = ScriptSink::new(Duration::from_millis(100), |number, entries| {
        let fault = || Fault {
            at: At::Entry,
            code: "ServiceUnavailableException".into(),
            message: "slow down".into(),
            retry_after: None,
        };
        let is_overrun = number < 40;
        let fate =
            |place| if is_overrun && place > 1 { Fate::Failed(fault()) } else { Fate::Taken };
        Ok((0..entries.len()).map(fate).collect())
    });
    let settings = Settings { in_flight: 16, ..settings() };
    let bench = Bench::start_with(queue, Arc::clone(&sink), settings);
    sleep(Duration::from_millis(50)).await;
    assert_eq!(bench.watch.in_flight(), 16);
    sleep(SECOND).await;
    assert!(bench.watch.in_flight() <= 2, "{}", bench.watch.in_flight());
    bench.queue.settled_all().await;
    assert_eq!(sink.taken_count(), 4_000);
    assert!(bench.number("weir_delivery_in_flight_max{") >= 4.0);
    bench.end().await;
}
