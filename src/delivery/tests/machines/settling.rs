//! What becomes of the records of a request.

use super::{fault, numbers, parcel, parcels};
use crate::delivery::bundle::Bundle;
use crate::delivery::class::{Class, classify};
use crate::delivery::ration::UNANSWERED_LEAST;
use crate::delivery::settle::settle;
use crate::delivery::suspicion::Suspicion;
use crate::sink::{At, Fate, Fault, HashRange, Shard};

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
fn of_several_faults_the_worst_is_the_trouble_told_by_its_first_and_each_kind_is_counted() {
    let (slow, broken) = ("ProvisionedThroughputExceededException", "InternalFailure");
    let fates = [slow, broken, broken, slow].into_iter().zip("abcd".chars());
    let fates = fates.map(|(code, words)| {
        Fate::Failed(Fault { message: words.into(), ..fault(At::Entry, code) })
    });

    let settlement = settle(parcels(4), Ok(fates.collect()));

    let (class, told) = settlement.trouble.unwrap();
    assert_eq!((class, told.message.as_str()), (Class::Transient, "b"));
    assert_eq!(settlement.faults, [(Class::Throttled, 2), (Class::Transient, 2)]);
}

#[test]
fn entries_that_wait_for_their_own_shards_jam_those_and_are_no_trouble_of_the_destination() {
    let shard = |id: &str| {
        Some(Shard { id: id.into(), range: HashRange { first: 0, last: u128::MAX }, since: 0 })
    };
    let (slow, broken) = ("ProvisionedThroughputExceededException", "InternalFailure");
    for (code, shards, is_jam) in [
        (slow, [shard("a"), shard("b")], true),
        (slow, [shard("a"), None], false),
        (broken, [shard("a"), shard("a")], true),
        (broken, [shard("a"), shard("b")], false),
        (broken, [None, None], false),
    ] {
        let sent = shards.into_iter().zip(0..);
        let sent = sent.map(|(shard, number)| Bundle::lone_for(shard, parcel(number, 1))).collect();

        let settlement = settle(sent, Ok(vec![Fate::Failed(fault(At::Entry, code)); 2]));

        assert_eq!((settlement.jam.is_some(), settlement.trouble.is_none()), (is_jam, is_jam));
        assert_eq!(settlement.again.len(), if is_jam { 2 } else { 0 }, "{code}");
    }
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
fn a_small_request_that_nobody_answered_goes_again_as_it_stands() {
    let sent = vec![Bundle::lone(parcel(0, UNANSWERED_LEAST))];
    let settlement = settle(sent, Err(fault(At::Timeout, "late")));
    assert_eq!((settlement.again.len(), numbers(&settlement.alone[0])), (0, vec![0]));
}

#[test]
fn a_sink_that_miscounts_its_fates_settles_nothing() {
    let settlement = settle(parcels(2), Ok(vec![Fate::Taken]));
    assert_eq!(numbers(&settlement.alone[0]), [0, 1]);
    assert_eq!(settlement.trouble.map(|(class, _)| class), Some(Class::Transient));
}
