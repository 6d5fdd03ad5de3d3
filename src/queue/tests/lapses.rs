//! What the policy lets go: exactly that, from exactly whom, and the books balance at every moment.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, advance, sleep};

use super::rig::{ALL, Rig, chosen_seeds, group, over_seeds, seeds, small};
use crate::base::disk::{Call, FaultyDisk};
use crate::queue::lapse::Sweep;
use crate::queue::metrics::Shown as _;
use crate::queue::{AppendError, Lapse, Lapsed, Policy, WhenFull};

const DROPS: Policy = Policy {
    when_full: WhenFull::DropOldest,
    max_age: None,
    lapsed: Lapsed::Discard,
    keys_kept: Duration::ZERO,
};
const SHELVES: Policy = Policy { lapsed: Lapsed::DeadLetter, ..DROPS };

fn rig(policy: Policy, destinations: &[&str]) -> Rig {
    Rig::under(policy, FaultyDisk::new(), small(), destinations).unwrap()
}

fn aged(max_age: Duration, lapsed: Lapsed) -> Policy {
    Policy { max_age: Some(max_age), lapsed, ..Policy::default() }
}

/// Puts payloads of 3 KiB until so many segments were begun.
fn put(rig: &mut Rig, count: usize) {
    for number in 0..count {
        let mut payload = number.to_le_bytes().to_vec();
        payload.resize(3 << 10, 0x33);
        rig.put(&payload).unwrap();
        rig.ledger(0);
    }
}

#[test]
fn a_full_queue_lets_its_oldest_segment_go_and_only_the_slow_destination_loses() {
    let mut rig = rig(DROPS, &["fast", "slow"]);
    for _ in 0..100 {
        put(&mut rig, 1);
        let given: Vec<_> = rig.take(0, ALL).into_iter().map(|one| one.position.0).collect();
        rig.settle(0, given);
    }

    let (fast, slow) = (rig.ledger(0), rig.ledger(1));
    assert_eq!((fast.accepted, fast.delivered, fast.dropped), (100, 100, 0));
    assert_eq!(slow.dropped, rig.store.log().first() - 1, "whole segments, and no more");
    assert!(slow.dropped > 50 && slow.waiting > 10, "{slow:?}");
    let overview = rig.store.overview();
    assert!(overview.used_bytes <= overview.max_bytes && overview.is_dropping);

    let given: Vec<_> = rig.take(1, ALL).into_iter().map(|one| one.position.0).collect();
    let first = rig.store.log().first();
    assert_eq!(given, (first..=100).collect::<Vec<_>>(), "the reader goes on at the next segment");
    assert_eq!(rig.ledger(1).damaged, 0);

    rig.drain();
    put(&mut rig, 10);
    rig.drain();
    assert!(!rig.store.overview().is_dropping, "it ends when destinations keep up");
}

#[test]
fn what_is_under_way_when_it_is_dropped_is_not_counted_twice() {
    let mut rig = rig(DROPS, &["a"]);
    put(&mut rig, 4);
    let under_way: Vec<_> = rig.take(0, ALL).into_iter().map(|one| one.position.0).collect();
    rig.settle(0, [3]);
    put(&mut rig, 60);
    let before = rig.ledger(0);

    rig.settle(0, under_way);

    assert_eq!(rig.ledger(0), before);
    assert_eq!((before.delivered, before.dropped), (1, rig.store.log().first() - 2));
}

#[test]
fn a_reader_in_the_middle_of_a_segment_that_goes_finds_no_damage() {
    let mut rig = rig(DROPS, &["a"]);
    put(&mut rig, 30);
    let few = crate::queue::Budget { count: 2, bytes: usize::MAX };
    let mut given = BTreeSet::new();
    for _ in 0..60 {
        match rig.feeds[0].turn(few) {
            crate::queue::feed::Turn::Give(stored) => {
                given.extend(stored.iter().map(|one| one.position.0));
            }
            crate::queue::feed::Turn::Read => rig.feeds[0].read().unwrap(),
            _ => {}
        }
        put(&mut rig, 1);
    }

    let ledger = rig.ledger(0);
    assert_eq!((ledger.damaged, ledger.delivered), (0, 0));
    assert!(ledger.dropped > 40);
    assert_eq!(rig.store.metrics.damaged_ranges.get(), 0);
}

#[test]
fn the_newest_segment_never_goes_and_a_group_that_can_never_fit_is_refused() {
    let mut rig = rig(DROPS, &["a"]);
    put(&mut rig, 100);
    let largest = vec![7; rig.limits.group_bytes - 4];

    rig.put(&largest).unwrap();

    assert_eq!(rig.take(0, ALL).last().unwrap().payload, largest);
    rig.disk.set_capacity(Some(0));
    assert!(matches!(rig.put(&largest), Err(AppendError::DiskFull { .. })));
    assert_eq!(rig.take(0, ALL).len(), 0);
    assert_eq!(rig.store.log().second(), None, "all but the newest went");
    assert_eq!(rig.ledger(0).waiting, 1, "the newest stays");
}

#[test]
fn a_full_disk_makes_room_the_same_way() {
    let mut rig = rig(DROPS, &["a"]);
    put(&mut rig, 20);
    // What the cursor takes stands beside the segments.
    let used = rig.used_bytes() + (64 << 10);
    rig.disk.set_capacity(Some(used));

    put(&mut rig, 40);

    assert!(rig.ledger(0).dropped > 0);
    assert!(rig.used_bytes() <= used);
}

#[test]
fn without_the_policy_and_without_destinations_nothing_goes() {
    for mut rig in [rig(Policy::default(), &["a"]), rig(DROPS, &[])] {
        let refused = (0..200).any(|_| rig.put(&[1; 3000]).is_err());
        assert!(refused);
        assert_eq!(rig.store.log().first(), 1);
    }
}

#[test]
fn with_dead_letters_a_full_queue_refuses_until_the_oldest_segment_lies_there() {
    let mut rig = rig(SHELVES, &["a", "b"]);
    let full = loop {
        if let Err(full) = rig.put(&[1; 3000]) {
            break full;
        }
    };
    assert!(matches!(full, AppendError::Full { .. }));
    let below = rig.store.lapses.below();
    assert_eq!(Some(below), rig.store.log().second());
    assert_eq!(rig.store.lapses.of(below - 1), Some(Lapse::MadeRoom));
    assert_eq!(rig.store.lapses.of(below), None);
    assert!(rig.put(&[1; 3000]).is_err(), "asking again makes nothing more lapse");
    assert_eq!(rig.store.lapses.below(), below);
    assert_eq!((rig.ledger(0).dropped, rig.ledger(1).dropped), (0, 0));

    for at in 0..2 {
        assert!(rig.put(&[1; 3000]).is_err());
        rig.take(at, ALL);
        rig.bury(at, 1..below);
    }
    rig.store.save().unwrap();

    rig.put(&[1; 3000]).unwrap();
    assert_eq!((rig.ledger(0).dead, rig.ledger(1).dead), (below - 1, below - 1));
}

#[test]
fn a_power_cut_or_a_fault_at_any_disk_call_while_segments_go_leaves_the_books_balanced() {
    let work = |rig: &mut Rig| {
        let mut promised = 0;
        for number in 0..60_u8 {
            if rig.put(&[number; 3000]).is_ok() {
                promised = rig.store.log().end();
            }
            let ledger = rig.ledger(0);
            assert_eq!(ledger.accepted, rig.store.log().end());
        }
        promised
    };
    let mut whole = rig(DROPS, &["a"]);
    let before = whole.disk.count_all();
    assert_eq!(work(&mut whole), 60);
    let calls = whole.disk.count_all() - before;
    assert!(whole.ledger(0).dropped > 0 && calls > 200, "{calls} calls");
    over_seeds(calls, |call| {
        let mut cut = rig(DROPS, &["a"]);
        cut.disk.end_power_after(call);
        let promised = work(&mut cut);
        let cut = cut.crashed(call);
        let ledger = cut.ledger(0);
        assert!(ledger.accepted >= promised && ledger.accepted <= promised + 1, "{ledger:?}");
        assert_eq!((ledger.delivered, ledger.damaged), (0, 0));
        let first = cut.store.books[0].open().cursor.watermark() + 1;
        assert!(cut.store.log().first() <= first, "what is owed is there");

        let mut faulty = rig(DROPS, &["a"]);
        let any = [Call::Write, Call::Sync, Call::Remove, Call::Rename, Call::SyncFolder];
        faulty.disk.fail(&any, call % 150, ErrorKind::Other);
        work(&mut faulty);
        faulty.drain();
        let ledger = faulty.ledger(0);
        assert_eq!((ledger.waiting, ledger.damaged), (0, 0), "{ledger:?}");
    });
}

#[tokio::test(start_paused = true)]
async fn what_waited_too_long_is_dropped_to_the_frame_and_not_a_moment_earlier() {
    const AGE: Duration = Duration::from_secs(100);
    let mut rig = rig(aged(AGE, Lapsed::Discard), &["a", "b"]);
    let mut sweep = Sweep::default();
    for _ in 0..30 {
        rig.put(&[1; 1800]).unwrap();
        advance(Duration::from_secs(1)).await;
    }
    rig.take(0, ALL);
    rig.settle(0, 1..=10);

    // The first was put 30 s ago, the last 1 s ago.
    for (passes, lapsed) in [(0, 0), (69_999, 0), (1, 1), (1_000, 2), (17_500, 19), (9_500, 29)] {
        advance(Duration::from_millis(passes)).await;
        sweep.step(&rig.store).unwrap();
        assert_eq!(rig.ledger(1).dropped, lapsed, "after {passes} ms more");
        assert_eq!(rig.ledger(0).dropped, lapsed.saturating_sub(10));
    }

    let left: Vec<_> = rig.take(1, ALL).into_iter().map(|one| one.position.0).collect();
    assert_eq!(left, [30]);
    rig.store.save().unwrap();
    assert!(rig.store.log().first() > 20, "files go as well");
    let rig = rig.reopened();
    assert_eq!((rig.ledger(1).dropped, rig.ledger(1).waiting), (29, 1));
}

#[tokio::test(start_paused = true)]
async fn what_is_to_be_put_with_the_dead_letters_is_pointed_out_and_stays_owed() {
    const AGE: Duration = Duration::from_secs(100);
    let mut rig = rig(aged(AGE, Lapsed::DeadLetter), &["a"]);
    put(&mut rig, 5);
    advance(AGE).await;
    put(&mut rig, 1);

    Sweep::default().step(&rig.store).unwrap();

    assert_eq!(rig.store.lapses.of(5), Some(Lapse::TooOld));
    assert_eq!(rig.store.lapses.of(6), None);
    assert_eq!(rig.ledger(0).waiting, 6);
    assert_eq!(rig.take(0, ALL).len(), 6, "they are given all the same");
}

#[tokio::test(start_paused = true)]
async fn looking_reads_only_when_something_may_be_too_old() {
    let mut rig = rig(aged(Duration::from_secs(1000), Lapsed::Discard), &["a"]);
    let mut sweep = Sweep::default();
    put(&mut rig, 20);
    sweep.step(&rig.store).unwrap();
    let before = rig.disk.count_all();

    for _ in 0..9 {
        advance(Duration::from_secs(100)).await;
        sweep.step(&rig.store).unwrap();
    }

    assert_eq!(rig.disk.count_all(), before);
    rig.drain();
    let before = rig.disk.count_all();
    advance(Duration::from_secs(5000)).await;
    sweep.step(&rig.store).unwrap();
    assert_eq!(rig.disk.count_all(), before, "nothing is owed");
    drop(Arc::clone(&rig.store));
}

#[test]
fn a_group_that_does_not_fit_beside_others_is_taken_when_they_are_let_go() {
    let mut rig = rig(DROPS, &["a"]);
    put(&mut rig, 30);

    let answers = rig.commit(vec![group(&[&[1; 2000]]), group(&[&[2; 2000], &[3; 2000]])]);

    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(rig.ledger(0).accepted, 33);
}

const MAX_AGE: Duration = Duration::from_secs(100);

/// Puts, takes, settles, waits and starts again as the seed says. What was put when is known.
async fn live(seed: u64) {
    let mut chance = fastrand::Rng::with_seed(seed);
    let policy = aged(MAX_AGE, Lapsed::Discard);
    let mut rig = rig(policy, &["a", "b"]);
    let (mut sweep, mut put_at) = (Sweep::default(), Vec::new());
    for _ in 0..80 {
        match chance.u32(0..100) {
            0..40 => {
                let stored = rig.put(&vec![7; chance.usize(0..3000)]).is_ok();
                put_at.extend(stored.then(Instant::now));
            }
            40..55 => {
                let at = chance.usize(0..2);
                let given = rig.take(at, ALL).into_iter().map(|one| one.position.0);
                let some: Vec<u64> = given.filter(|_| chance.bool()).collect();
                rig.settle(at, some);
            }
            55..75 => advance(MAX_AGE.mul_f64(chance.f64() / 3.0)).await,
            75..90 => sweep.step(&rig.store).unwrap(),
            90..94 => rig.store.save().unwrap(),
            _ => {
                // A process that ended removes no spare files; this clock stands while a thread does.
                sleep(Duration::from_millis(1)).await;
                rig = if chance.bool() { rig.crashed(seed) } else { rig.reopened() };
                sweep = Sweep::default();
            }
        }
        assert_eq!(rig.store.log().end(), put_at.len() as u64);
        let below = usize::try_from(rig.store.lapses.below()).unwrap();
        let lapsed = put_at.iter().take(below.saturating_sub(1));
        assert!(lapsed.into_iter().all(|at| at.elapsed() >= MAX_AGE), "one lapsed early");
        for at in [0, 1] {
            let ledger = rig.ledger(at);
            assert_eq!(ledger.damaged, 0);
        }
    }

    // What was there at an opening gets as long again.
    advance(MAX_AGE * 2).await;
    sweep.step(&rig.store).unwrap();
    assert_eq!((rig.ledger(0).waiting, rig.ledger(1).waiting), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_nothing_lapses_early_and_in_the_end_everything_does() {
    for seed in chosen_seeds(seeds(60)) {
        println!("SEED={seed}");
        live(seed).await;
    }
}
