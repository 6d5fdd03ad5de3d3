//! What is taken and what is not, and that the view and the disk agree in the end.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use super::super::view::{BYTES_MAX, CHANGES_MAX, KEY_BYTES_MAX, KEYS_MAX, VALUE_BYTES_MAX, View};
use super::super::{Known, Refused};
use super::{Moody, all, open, real};
use crate::base::scratch::Scratch;

fn put(view: &mut View, key: &str, bytes: usize) -> Result<bool, Refused> {
    view.put(key.to_owned(), vec![7; bytes].into(), KEYS_MAX)
}

#[test]
fn keys_and_values_are_taken_up_to_their_longest_and_no_further() {
    let mut view = View::default();
    for (bytes, taken) in [
        (KEY_BYTES_MAX - 1, Ok(true)),
        (KEY_BYTES_MAX, Ok(true)),
        (KEY_BYTES_MAX + 1, Err(Refused::KeyTooLong { bytes: KEY_BYTES_MAX + 1 })),
    ] {
        assert_eq!(put(&mut view, &"k".repeat(bytes), 1), taken);
    }
    for (bytes, taken) in [
        (0, Ok(true)),
        (VALUE_BYTES_MAX - 1, Ok(true)),
        (VALUE_BYTES_MAX, Ok(true)),
        (VALUE_BYTES_MAX + 1, Err(Refused::ValueTooLarge { bytes: VALUE_BYTES_MAX + 1 })),
    ] {
        assert_eq!(put(&mut view, "cloud/limits", bytes), taken);
    }
    assert_eq!(view.value("cloud/limits").unwrap().len(), VALUE_BYTES_MAX, "it has what it had");
}

#[test]
fn an_area_has_room_for_its_keys_whatever_the_others_have() {
    let mut view = View::default();
    let mut put = |key: &str| view.put(key.to_owned(), Bytes::from_static(b"1"), 2);
    assert_eq!([put("a/1"), put("a/2"), put("b/1")], [Ok(true); 3]);

    assert_eq!(put("a/3"), Err(Refused::TooManyKeys { keys_max: 2 }));
    assert_eq!(put("a/2"), Ok(false), "a key that is there is no new one");
    assert_eq!(put("ab/1"), Ok(true), "an area ends at its slash");
    assert!(view.remove("a/1"));
    assert_eq!(view.put("a/3".into(), Bytes::new(), 2), Ok(true));
}

#[test]
fn all_keys_and_all_bytes_are_bounded() {
    let mut view = View::default();
    for at in 0..KEYS_MAX {
        assert_eq!(put(&mut view, &format!("k{at}/"), 0), Ok(true));
    }
    let full = Err(Refused::TooManyKeys { keys_max: KEYS_MAX });
    assert_eq!(put(&mut view, "one-more", 0), full);

    let mut view = View::default();
    let whole = BYTES_MAX / VALUE_BYTES_MAX;
    for at in 0..whole {
        // Four bytes of key are part of the sum.
        assert_eq!(put(&mut view, &format!("{at:04}"), VALUE_BYTES_MAX - 4), Ok(true));
    }
    assert_eq!(view.bytes(), BYTES_MAX);
    assert_eq!(put(&mut view, "0000", VALUE_BYTES_MAX - 3), Err(Refused::Full));
    assert_eq!(put(&mut view, "0000", VALUE_BYTES_MAX - 5), Ok(true));
    assert_eq!(put(&mut view, "0001", VALUE_BYTES_MAX - 3), Ok(true));
}

#[test]
fn a_commit_has_a_thousand_changes_at_most() {
    let (moody, scratch) = (Moody::default(), Scratch::new());
    let mut view = View::default();
    for at in 0..=CHANGES_MAX {
        put(&mut view, &format!("{at}"), 1).unwrap();
    }
    assert_eq!([view.take_changes().len(), view.take_changes().len()], [CHANGES_MAX, 1]);
    assert!(view.take_changes().is_empty());

    let state = open(moody.opener(), real(), &scratch);
    for at in 0..2500 {
        state.tail().put(&format!("{at}"), vec![1]).unwrap();
    }
    state.close();
    let mood = moody.mood();
    assert_eq!(mood.medium.len(), 2500);
    assert!(mood.batches.iter().all(|changes| *changes <= CHANGES_MAX), "{:?}", mood.batches);
}

#[test]
fn an_area_shows_its_own_keys_alone() {
    let (moody, scratch) = (Moody::default(), Scratch::new());
    let state = open(moody.opener(), real(), &scratch);
    let (tail, cloud) = (state.tail(), state.cloud());
    tail.put("nginx/1", "a").unwrap();
    tail.put("nginx/2", "b").unwrap();
    tail.put("other/1", "c").unwrap();
    cloud.put("nginx/1", "d").unwrap();

    let keys: Vec<_> = tail.scan("nginx/").into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["nginx/1", "nginx/2"]);
    assert_eq!(cloud.value("nginx/1").unwrap(), "d");
    cloud.remove("nginx/1");
    cloud.remove("nginx/1");
    assert_eq!((cloud.value("nginx/1"), tail.scan("").len()), (None, 3));
}

#[test]
fn a_fact_is_known_with_its_age_and_what_is_no_fact_is_not_known() {
    let (moody, scratch) = (Moody::default(), Scratch::new());
    let cloud = open(moody.opener(), real(), &scratch).cloud();
    cloud.learn("shards", &vec!["a", "b"], 1000).unwrap();

    let known: Known<Vec<String>> = cloud.known("shards").unwrap();
    assert_eq!(known, Known { since_unix_ms: 1000, value: vec!["a".into(), "b".into()] });
    assert_eq!([known.age_ms(1500), known.age_ms(999)], [500, 0]);
    assert_eq!(cloud.known::<u64>("shards"), None, "of another shape");
    cloud.put("shards", "{").unwrap();
    assert_eq!(cloud.known::<Vec<String>>("shards"), None);
    let long = "x".repeat(VALUE_BYTES_MAX);
    assert!(matches!(cloud.learn("shards", &long, 1), Err(Refused::ValueTooLarge { .. })));
}

#[test]
fn a_value_that_is_there_already_costs_no_commit() {
    let (moody, scratch) = (Moody::default(), Scratch::new());
    let state = open(moody.opener(), real(), &scratch);
    state.cloud().put("a", "1").unwrap();
    assert!(state.settle());

    state.cloud().put("a", "1").unwrap();
    state.cloud().remove("b");
    state.close();

    assert_eq!(moody.mood().batches, [1]);
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, u8),
    Remove(u8),
    Commit,
    Fail,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..12u8, any::<u8>()).prop_map(|(key, value)| Step::Put(key, value)),
        2 => (0..12u8).prop_map(Step::Remove),
        2 => Just(Step::Commit),
        1 => Just(Step::Fail),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// The machine alone: whatever fails and whenever the disk is looked at anew, a commit that
    /// goes well leaves on disk what the view says.
    #[test]
    fn the_disk_follows_the_view(steps in proptest::collection::vec(step(), 0..60)) {
        let (mut view, mut disk) = (View::default(), BTreeMap::<String, Bytes>::new());
        view.meet(Vec::new());
        for step in steps {
            match step {
                Step::Put(key, value) => {
                    view.put(format!("a/{key}"), vec![value].into(), KEYS_MAX).unwrap();
                }
                Step::Remove(key) => _ = view.remove(&format!("a/{key}")),
                // Half of it reaches the disk, and the store is opened again.
                Step::Fail => {
                    let changes = view.take_changes();
                    let half = changes.len() / 2;
                    follow(&mut disk, &changes[..half]);
                    view.give_back(changes);
                    view.meet(disk.clone().into_iter().collect());
                }
                Step::Restart => {
                    let changes = view.take_changes();
                    follow(&mut disk, &changes);
                    let before: Vec<_> = view.below("").map(own).collect();
                    view = View::default();
                    view.meet(disk.clone().into_iter().collect());
                    prop_assert_eq!(before, view.below("").map(own).collect::<Vec<_>>());
                    prop_assert!(!view.is_changed());
                }
                Step::Commit => {
                    let changes = view.take_changes();
                    follow(&mut disk, &changes);
                    let shown: BTreeMap<_, _> = view.below("").map(own).collect();
                    prop_assert_eq!(&shown, &disk);
                    let sum: usize = disk.iter().map(|(key, value)| key.len() + value.len()).sum();
                    prop_assert_eq!((view.keys(), view.bytes()), (disk.len(), sum));
                }
            }
        }
    }
}

fn follow(disk: &mut BTreeMap<String, Bytes>, changes: &[super::Change]) {
    for change in changes {
        match change.value.clone() {
            Some(value) => drop(disk.insert(change.key.clone(), value)),
            None => drop(disk.remove(&change.key)),
        }
    }
}

fn own((key, value): (&str, &Bytes)) -> (String, Bytes) {
    (key.to_owned(), value.clone())
}

#[test]
fn what_changed_before_the_disk_was_read_wins_over_what_lies_there() {
    let mut view = View::default();
    put(&mut view, "changed", 1).unwrap();
    put(&mut view, "gone", 1).unwrap();
    view.remove("gone");
    let old = |key: &str| (key.to_owned(), Bytes::from_static(b"old"));

    view.meet(vec![old("changed"), old("gone"), old("kept")]);

    let shown: Vec<_> = view.below("").map(own).collect();
    assert_eq!(shown, [("changed".into(), Bytes::from_static(&[7])), old("kept")]);
    let keys: Vec<_> = view.take_changes().into_iter().map(|change| change.key).collect();
    assert_eq!(keys, ["changed", "gone"]);
}

#[test]
fn many_entries_are_found_again() {
    let (moody, scratch) = (Moody::default(), Scratch::new());
    let state = open(moody.opener(), real(), &scratch);
    for at in 0..1500 {
        state.tail().put(&format!("{at}"), format!("{at}")).unwrap();
    }
    state.close();

    let again = open(moody.opener(), real(), &scratch);
    assert_eq!(all(&again).len(), 1500);
    assert_eq!(again.tail().value("1499").unwrap(), "1499");
}
