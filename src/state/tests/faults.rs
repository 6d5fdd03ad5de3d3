//! An engine that panics, fails, finds the disk full: the store lives on, and heals.

use std::io::ErrorKind;

use super::Fault::{Error, None, Panic};
use super::{Fault, Moody, all, open, real, standing};
use crate::base::disk::{Disk as _, Open, RealDisk};
use crate::base::scratch::Scratch;
use crate::state::Health;
use crate::state::ballast::BALLAST_BYTES;

/// Opens a store that has one entry, with faults at opening, and changes something.
#[track_caller]
fn open_with(openings: &[Fault], scratch: &Scratch) -> (Moody, super::State) {
    let moody = Moody::default();
    moody.mood().openings = openings.to_vec();
    let state = open(moody.opener(), real(), scratch);
    state.cloud().put("a", "1").unwrap();
    (moody, state)
}

#[test]
fn a_panic_or_damage_at_opening_sets_the_store_aside_and_a_new_one_is_begun() {
    for fault in [Panic, Error(ErrorKind::InvalidData), Error(ErrorKind::Other)] {
        let scratch = Scratch::new();
        let (moody, state) = open_with(&[fault], &scratch);

        assert_eq!(state.overview().health, Health::OnDisk, "{fault:?}");
        assert_eq!(standing(&scratch, "state.damaged-").len(), 1);
        state.close();
        assert_eq!(moody.mood().medium.len(), 1);
        assert_eq!(state.overview().health, Health::Closed);
    }
}

#[test]
fn three_stores_that_were_set_aside_are_kept() {
    let scratch = Scratch::new();
    for _ in 0..6 {
        let (_, state) = open_with(&[Panic], &scratch);
        state.close();
    }
    assert_eq!(standing(&scratch, "state.damaged-").len(), 3);
}

#[test]
fn a_store_that_cannot_be_opened_at_all_lives_in_memory_and_is_not_set_aside() {
    for kind in [ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem, ErrorKind::StorageFull]
    {
        let scratch = Scratch::new();
        let (moody, state) = open_with(&[Error(kind); 9], &scratch);

        let Health::InMemory { why, .. } = state.overview().health else { panic!("{kind:?}") };
        assert_eq!(why, std::io::Error::from(kind).to_string());
        assert_eq!(all(&state).len(), 1, "reads go on");
        assert!(standing(&scratch, "state.damaged-").is_empty());
        moody.mood().openings.clear();
        state.close();
        assert_eq!(moody.mood().medium.len(), 1, "the last attempt at the stop goes well");
    }
}

#[test]
fn a_new_store_that_fails_too_is_not_tried_for_ever() {
    let scratch = Scratch::new();
    let (moody, state) = open_with(&[Panic, Panic, None], &scratch);

    assert!(matches!(state.overview().health, Health::InMemory { .. }));
    assert_eq!(moody.mood().opened, 2);
    state.close();
}

#[test]
fn on_a_full_disk_the_ballast_makes_room_to_open() {
    let scratch = Scratch::new();
    let (_, state) = open_with(&[], &scratch);
    state.close();
    let ballast = RealDisk.open(&scratch.join("state.ballast"), Open::Read).unwrap();
    assert_eq!(ballast.bytes().unwrap(), BALLAST_BYTES);

    let (moody, state) = open_with(&[Error(ErrorKind::StorageFull)], &scratch);

    assert_eq!(state.overview().health, Health::OnDisk);
    assert_eq!(moody.mood().opened, 2);
    state.close();
    assert_eq!(standing(&scratch, "state.ballast").len(), 1, "made again when there is room");
}

#[test]
fn a_full_disk_without_ballast_is_memory_only() {
    let scratch = Scratch::new();
    let (moody, state) = open_with(&[Error(ErrorKind::StorageFull)], &scratch);

    assert!(matches!(state.overview().health, Health::InMemory { .. }));
    assert_eq!(moody.mood().opened, 1);
    state.close();
}

#[test]
fn a_disk_that_stays_full_is_not_tried_without_a_pause() {
    let scratch = Scratch::new();
    let moody = Moody::default();
    let state = open(moody.opener(), real(), &scratch);
    assert!(state.settle());
    moody.mood().applies = vec![Error(ErrorKind::StorageFull); 50];
    state.cloud().put("a", "1").unwrap();

    assert!(state.settle_in_memory());
    state.close();

    let opened = moody.mood().opened;
    assert!(
        opened < 8,
        "each try once more with the room of the ballast, and no try without a wait: {opened}"
    );
}

#[test]
fn a_store_that_somebody_took_away_after_two_bad_starts_is_begun_anew() {
    let scratch = Scratch::new();
    let file = RealDisk.open(&scratch.join("state.opening"), Open::Create).unwrap();
    file.write_all_at(b"2", 0).unwrap();

    let (_, state) = open_with(&[], &scratch);

    assert_eq!(state.overview().health, Health::OnDisk);
    state.close();
}

#[test]
fn a_commit_that_fails_is_made_again_after_the_store_was_opened_again() {
    for fault in [Panic, Error(ErrorKind::Other), Error(ErrorKind::StorageFull)] {
        let scratch = Scratch::new();
        let moody = Moody::default();
        let state = open(moody.opener(), real(), &scratch);
        state.cloud().put("kept", "1").unwrap();
        assert!(state.settle());
        moody.mood().applies = vec![fault];
        state.cloud().put("a", "1").unwrap();
        state.cloud().remove("kept");

        state.close();

        let mood = moody.mood();
        assert_eq!(mood.medium.keys().collect::<Vec<_>>(), ["cloud/a"], "{fault:?}");
        assert_eq!(mood.opened, 2);
        assert!(standing(&scratch, "state.damaged-").is_empty());
    }
}

#[test]
fn after_a_failed_sync_the_store_is_set_aside_and_everything_is_written_anew() {
    let scratch = Scratch::new();
    let moody = Moody::default();
    let state = open(moody.opener(), real(), &scratch);
    state.cloud().put("kept", "1").unwrap();
    assert!(state.settle());
    moody.mood().syncs = vec![Error(ErrorKind::Other)];
    state.cloud().put("a", "1").unwrap();
    assert!(state.settle_in_memory());
    moody.mood().medium.clear();

    state.close();

    let written: Vec<_> = moody.mood().medium.keys().cloned().collect();
    assert_eq!(written, ["cloud/a", "cloud/kept"]);
    assert_eq!(standing(&scratch, "state.damaged-").len(), 1);
}

#[test]
fn an_opening_that_took_the_process_with_it_twice_sets_the_store_aside() {
    let scratch = Scratch::new();
    RealDisk.create_folders(&scratch.join("state")).unwrap();
    for (noted, set_aside) in [(&b"1"[..], 0), (b"2", 1), (b"9", 2), (b"", 2), (b"2 or more", 2)] {
        let file = RealDisk.open(&scratch.join("state.opening"), Open::Create).unwrap();
        file.set_bytes(0).unwrap();
        file.write_all_at(noted, 0).unwrap();

        let (_, state) = open_with(&[], &scratch);

        assert_eq!(standing(&scratch, "state.damaged-").len(), set_aside, "{noted:?}");
        assert_eq!(state.overview().health, Health::OnDisk);
        assert!(standing(&scratch, "state.opening").is_empty());
        state.close();
    }
}
