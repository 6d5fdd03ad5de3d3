//! What a link bears: requests that are too large for it, or may be for the upstream.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::sleep;

use super::script::{ScriptSink, all_taken, fault};
use super::{Bench, TestQueue};
use crate::sink::{At, Fault};

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
                // What passed last, below 70 bytes, and a quarter more for each that was under way.
                assert!(bench.number("weir_delivery_request_max_bytes{") < 175.0);
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

#[tokio::test(start_paused = true)]
async fn a_request_that_outlives_its_signature_on_the_way_goes_again_in_smaller_ones() {
    let queue = TestQueue::default();
    queue.push_records(80);
    // So slow that ten records take longer than a signature is good for, and one does not.
    let sink = ScriptSink::new(Duration::from_secs(280), |_, entries| {
        let old = Fault {
            message: "Signature expired: 20261122T060000Z is now earlier than 20261122T060519Z"
                .into(),
            ..fault(At::Answer(400), "InvalidSignatureException")
        };
        if entries.len() > 2 { Err(old) } else { all_taken(entries) }
    });
    let bench = Bench::start(queue, Arc::clone(&sink));
    while bench.queue.owed() == 80 {
        sleep(Duration::from_secs(60)).await;
        let hold = bench.watch.hold();
        assert!(hold.is_none_or(|hold| hold.code == "signature-outlived"), "it is not the clock");
    }
    bench.queue.settled_all().await;

    assert!(bench.number("weir_delivery_cut_off_bytes_total{") > 0.0);
    assert!(sink.taken().iter().all(|(_, times)| *times == 1));
    bench.end().await;
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
