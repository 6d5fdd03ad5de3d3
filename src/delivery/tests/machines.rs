//! The pure parts, driven by loops.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;

use super::{a_record, parcel_of};
use crate::delivery::bundle::Bundle;
use crate::delivery::class::{Class, classify};
use crate::delivery::lanes::Lanes;
use crate::delivery::owed::Owed;
use crate::delivery::parcel::Parcel;
use crate::delivery::retry::{Gate, Pause, Waiting};
use crate::delivery::settle::settle;
use crate::delivery::suspicion::Suspicion;
use crate::queue::Position;
use crate::sink::{At, Fate, Fault, HashRange, Limits, Shard, ShardMap};

const LINGER: Duration = Duration::from_millis(100);

fn parcel(number: u64, weight: usize) -> Parcel {
    Parcel { weight, tries: 1, ..Parcel::new(Position(number), a_record("x")) }
}

fn parcels(count: u64) -> Vec<Bundle> {
    (0..count).map(|number| Bundle::lone(parcel(number, 1))).collect()
}

/// What a parcel, or a bundle of one, is known by.
trait Numbered {
    fn number(&self) -> u64;
}

impl Numbered for Parcel {
    fn number(&self) -> u64 {
        self.position.0
    }
}

impl Numbered for Bundle {
    fn number(&self) -> u64 {
        assert!(self.is_lone());
        self.parcels[0].number()
    }
}

fn numbers<N: Numbered>(all: &[N]) -> Vec<u64> {
    all.iter().map(N::number).collect()
}

fn fault(at: At, code: &str) -> Fault {
    Fault { at, code: code.into(), message: "words".into(), retry_after: None }
}

fn lanes(entries: usize, request_bytes: usize) -> Lanes {
    Lanes::new(Limits { entries, request_bytes, entry_bytes: request_bytes }, LINGER, 100)
}

#[test]
fn a_batch_is_cut_when_it_is_full_or_its_first_parcel_has_waited() {
    let now = Instant::now();
    let mut lanes = lanes(3, 100);
    lanes.push(parcel(1, 10), now);
    lanes.push(parcel(2, 10), now + LINGER / 2);

    assert_eq!(lanes.cut(now + LINGER / 2, false), None);
    assert_eq!(lanes.due(now), Some(now + LINGER));
    assert_eq!(numbers(&lanes.cut(now + LINGER, false).unwrap()), [1, 2]);
    assert_eq!((lanes.due(now), lanes.cut(now + LINGER * 9, false)), (None, None));

    (1..=4).for_each(|number| lanes.push(parcel(number, 10), now));
    assert_eq!(numbers(&lanes.cut(now, false).unwrap()), [1, 2, 3], "full by count");
    assert_eq!(lanes.cut(now, false), None);

    (5..=6).for_each(|number| lanes.push(parcel(number, 50), now));
    assert_eq!(numbers(&lanes.cut(now, false).unwrap()), [4, 5], "full by bytes: 10 + 50 + 50");
    assert_eq!(lanes.cut(now, false), None);
}

#[test]
fn a_shard_is_crowded_only_while_another_one_has_nothing() {
    let half = 1_u128 << 127;
    let (whole, low, high) = ((0, u128::MAX), (0, half - 1), (half, u128::MAX));
    let map = |ranges: &[(u128, u128)]| {
        let shard = |(first, last): &(u128, u128)| Shard {
            id: format!("shard of {first}").into(),
            range: HashRange { first: *first, last: *last },
            since: 0,
        };
        ShardMap::new(ranges.iter().map(shard).collect()).map(Arc::new)
    };
    let now = Instant::now();
    let mut owed = Owed::default();
    (0..5).for_each(|_| owed.more((1, 1_000)));
    let mut lanes = lanes(10, 10_000);

    lanes.change(map(&[whole]), None, now);
    assert!(!lanes.is_crowded(1, &owed, (1, now)), "there is no other");
    lanes.change(map(&[low, high]), None, now);
    assert!(lanes.is_crowded(1, &owed, (4_999, now)));
    assert!(!lanes.is_crowded(1, &owed, (5_000, now)), "no more than it may");
    assert!(!lanes.is_crowded(half, &owed, (0, now)), "nothing is owed to it");
    let of_high = (0..).map(|number| parcel_of(number, &number.to_string()));
    let of_high = of_high.into_iter().find(|parcel| parcel.hash() >= half).unwrap();
    lanes.push(of_high, now);
    assert!(!lanes.is_crowded(1, &owed, (0, now)), "the other has something to do");
}

#[test]
fn parcels_that_waited_already_go_first_and_at_once() {
    let now = Instant::now();
    let mut lanes = lanes(3, 100);
    lanes.push(parcel(5, 1), now);
    lanes.push_due(vec![parcel(1, 1), parcel(2, 1)], now);
    assert_eq!(numbers(&lanes.cut(now, false).unwrap()), [1, 2, 5]);
}

proptest! {
    #[test]
    fn every_parcel_is_cut_once_in_order_and_within_the_limits(
        weights in proptest::collection::vec(0_usize..150, 0..60),
    ) {
        let now = Instant::now();
        let mut lanes = lanes(7, 100);
        let mut seen = Vec::new();
        for (number, weight) in weights.iter().enumerate() {
            lanes.push(parcel(number as u64, *weight), now);
        }
        while let Some(batch) = lanes.cut(now + LINGER, false) {
            let bytes: usize = batch.iter().map(Bundle::bytes).sum();
            prop_assert!(!batch.is_empty() && batch.len() <= 7);
            prop_assert!(bytes <= 100 || batch.len() == 1);
            seen.extend(numbers(&batch));
        }
        prop_assert_eq!(seen, (0..weights.len() as u64).collect::<Vec<_>>());
    }
}

#[test]
fn of_an_answered_request_only_the_failed_entries_go_again_whatever_failed_them() {
    for code in [
        "ProvisionedThroughputExceededException",
        "InternalFailure",
        "AccessDenied",
        "KMSDisabledException",
        "RequestExpired",
        "SomethingNew",
    ] {
        for failed in [vec![0], vec![4], vec![9], vec![0, 5, 9]] {
            let fates = (0..10)
                .map(|place| match failed.contains(&place) {
                    true => Fate::Failed(fault(At::Entry, code)),
                    false => Fate::Taken,
                })
                .collect();

            let settlement = settle(parcels(10), Ok(fates));

            let done: Vec<_> = (0..10).filter(|place| !failed.contains(place)).collect();
            assert_eq!(numbers(&settlement.done), done, "{code}");
            assert_eq!(numbers(&settlement.again), failed, "{code}");
            assert!(settlement.dead.is_empty() && settlement.alone.is_empty());
            assert_eq!(settlement.trouble, None);
        }
    }
}

#[test]
fn where_no_entry_passes_the_destination_is_in_trouble_but_one_alone_may_have_a_busy_shard() {
    let all_fail = |count: u64, code: &str| {
        let fates = vec![Fate::Failed(fault(At::Entry, code)); usize::try_from(count).unwrap()];
        settle(parcels(count), Ok(fates))
    };

    let settlement = all_fail(3, "ProvisionedThroughputExceededException");
    assert_eq!(settlement.trouble.map(|(class, _)| class), Some(Class::Throttled));
    assert_eq!(
        settlement.alone.iter().map(|batch| numbers(batch)).collect::<Vec<_>>(),
        [[0, 1, 2]]
    );

    let settlement = all_fail(1, "ProvisionedThroughputExceededException");
    assert_eq!((settlement.trouble, numbers(&settlement.again)), (None, vec![0]));

    let settlement = all_fail(1, "AccessDeniedException");
    assert_eq!(settlement.trouble.map(|(class, _)| class), Some(Class::Auth));
}

#[test]
fn a_poisonous_request_is_halved_until_one_record_is_left_and_only_that_dies() {
    for poison in [0, 1, 249, 250, 499] {
        let mut requests = 0;
        let mut to_send = vec![parcels(500)];
        let (mut done, mut dead) = (Vec::new(), Vec::new());
        while let Some(batch) = to_send.pop() {
            requests += 1;
            let outcome = match numbers(&batch).contains(&poison) {
                true => Err(fault(At::Answer(400), "ValidationException")),
                false => Ok(vec![Fate::Taken; batch.len()]),
            };
            let settlement = settle(batch, outcome);
            done.extend(numbers(&settlement.done));
            dead.extend(settlement.dead.iter().map(|(parcel, _)| parcel.position.0));
            to_send.extend(settlement.alone);
            assert!(settlement.again.is_empty() && settlement.trouble.is_none());
        }
        done.sort_unstable();
        assert_eq!(dead, [poison]);
        assert_eq!(done, (0..500).filter(|number| *number != poison).collect::<Vec<_>>());
        assert!(requests <= 19, "{requests}: one and two for each halving of 500");
    }
}

#[test]
fn a_fifth_single_record_refused_with_the_same_words_while_nothing_passes_is_spared() {
    let refuse = |number, count, code| {
        let parcels =
            (number..number + count).map(|number| Bundle::lone(parcel(number, 1))).collect();
        settle(parcels, Err(fault(At::Answer(400), code)))
    };
    let mut suspicion = Suspicion::default();
    let mut weigh = |mut settlement| {
        let is_cleared = suspicion.weigh(&mut settlement);
        let trouble = settlement.trouble.map(|(class, _)| class);
        (settlement.dead.len(), settlement.alone.len(), trouble, is_cleared)
    };
    let (dies, spared) = ((1, 0, None, false), (0, 1, Some(Class::Config), false));

    for number in 0..4 {
        assert_eq!(weigh(refuse(number, 1, "ValidationException")), dies);
    }
    assert_eq!(weigh(refuse(9, 2, "ValidationException")), (0, 2, None, false), "halves are none");
    assert_eq!(weigh(refuse(4, 1, "ValidationException")), spared);
    assert_eq!(weigh(refuse(4, 1, "ValidationException")), spared);
    let halves = (0, 2, Some(Class::Config), false);
    assert_eq!(weigh(refuse(9, 2, "ValidationException")), halves, "a look that met the same");

    assert_eq!(weigh(settle(parcels(1), Ok(vec![Fate::Taken]))), (0, 0, None, true));
    for number in 0..9 {
        let is_even = number % 2 == 0;
        let code = if is_even { "ValidationException" } else { "InvalidArgumentException" };
        assert_eq!(weigh(refuse(number, 1, code)), dies, "other words each time");
    }
    let (one, other) = ("InvalidArgumentException", "ValidationException");
    for (number, code) in (9..).zip([one, other, one]) {
        assert_eq!(weigh(refuse(number, 1, code)), dies, "the tenth to the twelfth");
    }
    assert_eq!(weigh(refuse(12, 1, other)), spared, "as if the words named the request");
    assert_eq!(weigh(refuse(12, 1, one)), spared);
    assert_eq!(weigh(settle(parcels(1), Ok(vec![Fate::Taken]))), (0, 0, None, true));
    assert_eq!(weigh(refuse(12, 1, other)), dies);
}

#[test]
fn entries_called_poisonous_are_sent_alone_first_and_many_with_the_same_words_are_spared() {
    let poison = |code| Fate::Failed(fault(At::Entry, code));
    let fates = vec![
        poison("ValidationException"),
        Fate::Taken,
        poison("ValidationException"),
        Fate::Taken,
    ];
    let settlement = settle(parcels(4), Ok(fates));
    assert_eq!(numbers(&settlement.done), [1, 3]);
    let alone: Vec<_> = settlement.alone.iter().map(|batch| numbers(batch)).collect();
    assert_eq!(
        (alone, settlement.dead.len(), settlement.trouble),
        (vec![vec![0], vec![2]], 0, None)
    );

    let mut suspicion = Suspicion::default();
    let mut died = 0;
    let mut held = 0;
    for number in 0..20 {
        let fates = vec![poison("ValidationException")];
        let mut settlement = settle(vec![Bundle::lone(parcel(number, 1))], Ok(fates));
        suspicion.weigh(&mut settlement);
        died += settlement.dead.len();
        held += settlement.alone.len();
        let trouble = settlement.trouble.map(|(class, _)| class);
        assert_eq!(trouble, (number >= 4).then_some(Class::Config));
    }
    assert_eq!((died, held), (4, 16));
}

/// Every code of both services, by where it is met: what it means is held by the tests of `class`,
/// and here what follows from it for three records.
#[test]
fn for_every_code_a_whole_request_goes_again_is_halved_or_dies_alone_as_its_class_says() {
    for code in crate::delivery::class::known_codes() {
        for code in [code.to_owned(), format!("{code}Exception")] {
            let of_request = fault(At::Answer(400), &code);
            let of_entry = fault(At::Entry, &code);
            let is_poison = classify(&of_request) == Class::Poison;

            let whole = settle(parcels(3), Err(of_request.clone()));
            assert_eq!(whole.alone.len(), if is_poison { 2 } else { 1 }, "{code}");
            assert_eq!(whole.trouble.is_none(), is_poison, "{code}");
            let single = settle(parcels(1), Err(of_request.clone()));
            assert_eq!(single.dead.len(), usize::from(is_poison), "{code}");

            for place in 0..3 {
                let mut fates = vec![Fate::Taken; 3];
                fates[place] = Fate::Failed(of_entry.clone());
                let among_others = settle(parcels(3), Ok(fates));
                let alone = among_others.alone.into_iter().flatten();
                let alone = alone.flat_map(|bundle| bundle.parcels);
                let again: Vec<_> = among_others.again.into_iter().chain(alone).collect();
                assert_eq!(numbers(&again), [place as u64], "{code}");
                assert_eq!((among_others.done.len(), among_others.dead.len()), (2, 0), "{code}");
                assert_eq!(among_others.trouble, None, "{code}");
            }
        }
    }
}

#[test]
fn a_request_that_met_a_fault_of_the_destination_goes_again_as_it_stands() {
    for (at, code, class) in [
        (At::Answer(400), "ProvisionedThroughputExceededException", Class::Throttled),
        (At::Answer(503), "ServiceUnavailableException", Class::Throttled),
        (At::Answer(500), "InternalFailure", Class::Transient),
        (At::Transport, "connection-refused", Class::Transient),
        (At::Timeout, "timeout", Class::Transient),
        (At::Disk, "disk-full", Class::Transient),
        (At::Credentials, "no-credentials", Class::Auth),
        (At::Answer(400), "ExpiredTokenException", Class::Auth),
        (At::Answer(400), "RequestTimeTooSkewed", Class::Clock),
        (At::Answer(400), "ResourceNotFoundException", Class::Config),
        (At::Settings, "unusable-settings", Class::Config),
    ] {
        for count in [1, 2, 500] {
            let settlement = settle(parcels(count), Err(fault(at, code)));
            assert_eq!(settlement.trouble.map(|(class, _)| class), Some(class), "{code}");
            let alone: Vec<_> = settlement.alone.iter().map(|batch| numbers(batch)).collect();
            assert_eq!(alone, [(0..count).collect::<Vec<_>>()], "{code}");
            assert!(settlement.done.is_empty() && settlement.dead.is_empty());
            assert_eq!(settlement.faults, [(class, count)]);
        }
    }
}

#[test]
fn a_request_that_was_too_much_for_the_link_is_cut_anew() {
    let large = || vec![Bundle::lone(parcel(0, 9_000)), Bundle::lone(parcel(1, 9_000))];
    for (sent, at) in [(parcels(2), At::Upload(1)), (large(), At::Timeout)] {
        let settlement = settle(sent, Err(fault(at, "late")));
        assert_eq!(settlement.trouble.map(|(class, _)| class), Some(Class::Transient));
        assert_eq!(numbers(&settlement.again), [0, 1]);
        assert!(settlement.alone.is_empty() && settlement.dead.is_empty());
    }
}

#[test]
fn no_two_agents_look_at_a_held_destination_or_try_an_entry_again_together() {
    let (first, most) = (Duration::from_millis(100), Duration::from_secs(30));
    let now = Instant::now();
    let look = |_| {
        let mut pause = Pause::new(first, most);
        pause.met(now, Class::Auth, fault(At::Answer(403), "AccessDeniedException"), false);
        match pause.gate(now) {
            Gate::Closed(until) => until - now,
            gate => panic!("{gate:?}"),
        }
    };
    let entry = |_| Pause::new(first, most).wait_of_entry(3, None);
    for (waits, whole) in
        [((0..200).map(look).collect::<Vec<_>>(), most), ((0..200).map(entry).collect(), first * 4)]
    {
        assert!(waits.iter().all(|wait| (whole / 2..=whole).contains(wait)), "{waits:?}");
        let early = waits.iter().filter(|wait| **wait < whole * 3 / 4).count();
        assert!((40..160).contains(&early), "{early} of 200 in the first half");
    }
}

#[test]
fn a_sink_that_miscounts_its_fates_settles_nothing() {
    let settlement = settle(parcels(2), Ok(vec![Fate::Taken]));
    assert_eq!(numbers(&settlement.alone[0]), [0, 1]);
    assert_eq!(settlement.trouble.map(|(class, _)| class), Some(Class::Transient));
}

fn pause() -> Pause {
    Pause::new(Duration::from_secs(1), Duration::from_secs(60))
}

fn closed_for(pause: &Pause, now: Instant) -> Duration {
    match pause.gate(now) {
        Gate::Closed(until) => until - now,
        gate => panic!("the gate is {gate:?}"),
    }
}

#[test]
fn in_trouble_one_request_looks_and_each_that_fails_doubles_the_wait() {
    let mut now = Instant::now();
    let mut pause = pause();
    assert_eq!(pause.gate(now), Gate::Open);
    pause.met(now, Class::Transient, fault(At::Timeout, "timeout"), false);

    for whole in [1, 2, 4, 8, 16, 32, 60, 60] {
        let wait = closed_for(&pause, now);
        let whole = Duration::from_secs(whole);
        assert!(wait >= whole / 2 && wait <= whole, "{wait:?} of {whole:?}");
        pause.met(now, Class::Transient, fault(At::Timeout, "timeout"), false);
        assert_eq!(closed_for(&pause, now), wait, "a straggler tells nothing new");
        now += wait;
        assert_eq!(pause.gate(now), Gate::Probe);
        pause.probe_sent();
        assert_eq!(pause.gate(now + whole), Gate::Probing);
        assert_eq!(pause.answered(false), None, "neither does one that got through before");
        pause.met(now, Class::Transient, fault(At::Timeout, "timeout"), true);
    }

    now += closed_for(&pause, now);
    pause.probe_sent();
    let ended = pause.answered(true).unwrap();
    assert_eq!((ended.tries, pause.gate(now)), (9, Gate::Open));
    pause.met(now, Class::Transient, fault(At::Timeout, "timeout"), false);
    assert!(closed_for(&pause, now) <= Duration::from_secs(1), "a new trouble starts small");
}

#[test]
fn a_hold_is_looked_at_slowly_from_the_start_and_the_upstreams_wish_is_kept_within_reason() {
    let now = Instant::now();
    for (class, code, is_quick_once) in [
        (Class::Auth, "AccessDeniedException", false),
        (Class::Auth, "ExpiredTokenException", true),
        (Class::Clock, "RequestTimeTooSkewed", true),
        (Class::Config, "ResourceNotFoundException", false),
    ] {
        let mut pause = pause();
        pause.met(now, class, fault(At::Answer(400), code), false);
        let first = closed_for(&pause, now);
        assert_eq!(first <= Duration::from_secs(1), is_quick_once, "{code}: {first:?}");
        pause.probe_sent();
        pause.met(now + first, class, fault(At::Answer(400), code), true);
        assert!(closed_for(&pause, now + first) >= Duration::from_secs(30), "{code}");
    }
    for (asked, kept) in [(7, 7), (100_000, 300)] {
        let mut pause = pause();
        let retry_after = Some(Duration::from_secs(asked));
        let fault = Fault { retry_after, ..fault(At::Answer(503), "SlowDown") };
        pause.met(now, Class::Throttled, fault, false);
        assert_eq!(closed_for(&pause, now), Duration::from_secs(kept));
    }
}

#[test]
fn waiting_parcels_come_back_when_they_are_due_and_not_before() {
    let now = Instant::now();
    let second = Duration::from_secs(1);
    let mut waiting = Waiting::default();
    waiting.push(now + second * 2, vec![parcel(3, 1)]);
    waiting.push(now + second, vec![parcel(1, 1)]);
    waiting.push(now + second, vec![parcel(2, 1)]);

    assert_eq!((waiting.take_due(now), waiting.due()), (Vec::new(), Some(now + second)));
    assert_eq!(numbers(&waiting.take_due(now + second)), [1, 2]);
    assert_eq!(numbers(&waiting.take_due(now + second * 5)), [3]);
    assert_eq!(waiting.due(), None);
}
