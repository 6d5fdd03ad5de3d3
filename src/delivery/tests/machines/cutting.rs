//! What goes into one request.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;

use super::{numbers, parcel};
use crate::delivery::bundle::Bundle;
use crate::delivery::lanes::Lanes;
use crate::delivery::owed::Owed;
use crate::delivery::parcel::Parcel;
use crate::delivery::tests::{Settings, parcel_of, settings};
use crate::sink::{Form, HashRange, Limits, Shard, ShardMap};

const LINGER: Duration = Duration::from_millis(100);

fn lanes(entries: usize, request_bytes: usize) -> Lanes {
    let limits = Limits { entries, request_bytes, entry_bytes: request_bytes };
    let retry_max = Duration::from_secs(30);
    Lanes::new(limits, &Settings { linger: LINGER, shard_share: 100, retry_max, ..settings() })
}

const HALF: u128 = 1 << 127;

fn shards(ranges: &[(u128, u128)]) -> Option<Arc<ShardMap>> {
    let shard = |(first, last): &(u128, u128)| Shard {
        id: format!("shard of {first}").into(),
        range: HashRange { first: *first, last: *last },
        since: 0,
    };
    ShardMap::new(ranges.iter().map(shard).collect()).map(Arc::new)
}

/// Of the upper half of all hashes, or of the lower one.
fn of_half(is_high: bool) -> Parcel {
    let mut all = (0..).map(|number| parcel_of(number, &number.to_string()));
    all.find(|parcel| (parcel.hash() >= HALF) == is_high).unwrap()
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
fn a_shard_is_crowded_only_while_it_is_held_up_and_another_one_has_nothing() {
    let (whole, low, high) = ((0, u128::MAX), (0, HALF - 1), (HALF, u128::MAX));
    let now = Instant::now();
    let mut owed = Owed::default();
    (0..5).for_each(|_| owed.more((1, 1_000)));
    let mut lanes = lanes(10, 10_000);

    lanes.change(shards(&[whole]), None, now);
    assert!(!lanes.is_crowded(1, &owed, (1, true, now)), "there is no other");
    lanes.change(shards(&[low, high]), None, now);
    assert!(lanes.is_crowded(1, &owed, (4_999, true, now)), "nobody knows whether it takes any");
    lanes.took(1, now);
    assert!(!lanes.is_crowded(1, &owed, (4_999, true, now)), "what is owed to it may go");
    // More than it takes in a second.
    lanes.push(Parcel { weight: 8 << 20, ..of_half(false) }, now);
    assert!(lanes.cut(now, true).is_some());
    assert!(lanes.is_crowded(1, &owed, (4_999, true, now)));
    assert!(!lanes.is_crowded(1, &owed, (5_000, true, now)), "no more than it may");
    assert!(!lanes.is_crowded(HALF, &owed, (0, true, now)), "nothing is owed to it");
    // What it throttled waits longer than its pace.
    let later = now + Duration::from_secs(20);
    lanes.took(1, later);
    assert!(!lanes.is_crowded(1, &owed, (4_999, true, later)), "its pace is open again");
    lanes.throttled(1, 1.0, now);
    assert!(lanes.is_crowded(1, &owed, (4_999, true, later)));
    let later = now + Duration::from_secs(61);
    lanes.took(1, later);
    assert!(!lanes.is_crowded(1, &owed, (4_999, true, later)), "what it throttled was tried again");

    lanes.push(of_half(true), now);
    assert!(!lanes.is_crowded(1, &owed, (0, true, now)), "the other has something to do");
}

#[test]
fn an_entry_that_waited_long_enough_takes_along_those_of_other_shards_that_nearly_have() {
    let now = Instant::now();
    let (form, tick) = (Form::Aggregate { weight_max: 50 << 10 }, Duration::from_millis(1));
    let mut lanes = lanes(10, 20 << 20);
    lanes.change(shards(&[(0, HALF - 1), (HALF, u128::MAX)]), Some(form), now);
    for (later, expected) in [(LINGER / 4, 2), (LINGER / 4 + tick, 1)] {
        lanes.push(of_half(false), now);
        lanes.push(of_half(true), now + later);
        assert_eq!(lanes.cut(now + LINGER - tick, false), None);
        assert_eq!(lanes.cut(now + LINGER, false).map(|batch| batch.len()), Some(expected));
        assert_eq!(lanes.due(now).is_some(), expected == 1);
        drop(lanes.cut(now, true));
    }

    // What goes again at once takes nothing along that may still grow, nor does one that may not go.
    lanes.push(of_half(true), now);
    lanes.push_due(vec![of_half(false)], now);
    assert_eq!(lanes.cut(now, false).map(|batch| batch.len()), Some(1));
    lanes.push_due(vec![Parcel { weight: 8 << 20, ..of_half(false) }], now);
    assert!(lanes.cut(now, false).is_some());
    lanes.push(of_half(false), now - LINGER / 8);
    assert_eq!(lanes.cut(now + LINGER - tick, false), None);
    assert_eq!(lanes.cut(now + LINGER, false).map(|batch| batch.len()), Some(1));
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
