//! Where destinations begin when cursors are damaged, gone, exchanged or new; and power cuts meanwhile.

use std::path::{Path, PathBuf};

use super::rig::{ALL, FOLDER, Rig, assert_balanced};
use crate::queue::OpenError;

const RECORDS: u64 = 6;

fn path(name: &str) -> PathBuf {
    Path::new(FOLDER).join(name)
}

/// One destination has taken everything, the other one nothing.
fn rig() -> Rig {
    let mut rig = Rig::new(&["ahead", "behind"]);
    for number in 0..RECORDS {
        rig.put(&[u8::try_from(number).unwrap(); 10]).unwrap();
    }
    rig.take(0, ALL);
    rig.settle(0, 1..=RECORDS);
    rig.store.save().unwrap();
    rig
}

fn positions(rig: &mut Rig, at: usize) -> Vec<u64> {
    rig.take(at, ALL).into_iter().map(|stored| stored.position.0).collect()
}

/// However the power fails while it is put right, the one that is behind gets all it is owed.
#[track_caller]
fn check(harm: impl Fn(&Rig)) {
    for call in 0..60 {
        let rig = rig();
        harm(&rig);
        rig.disk.end_power_after(call);
        let opened = rig.open_again();
        let was_cut = opened.is_err();
        drop(opened);
        let mut rig = rig.crashed(call);

        let given = positions(&mut rig, 1);
        assert_eq!(given, (1..=RECORDS).collect::<Vec<_>>(), "cut at call {call}: {was_cut}");
        rig.settle(1, given);
        assert_eq!((rig.ledger(1).delivered, rig.ledger(1).waiting), (RECORDS, 0));
        assert_balanced(&rig.ledger(0));
    }
}

#[test]
fn a_damaged_cursor_is_replaced_and_nothing_that_is_owed_is_lost_on_the_way() {
    check(|rig| rig.disk.put(&path("cursors/behind.cur"), &[0x55; 100]));
}

#[test]
fn of_a_cursor_that_is_gone_everything_is_owed() {
    check(|rig| rig.disk.shared().remove(&path("cursors/behind.cur")).unwrap());
}

#[test]
fn where_all_cursors_are_gone_everything_is_owed_to_all() {
    check(|rig| {
        for name in ["ahead", "behind"] {
            rig.disk.shared().remove(&path(&format!("cursors/{name}.cur"))).unwrap();
        }
    });
    check(|rig| {
        for name in ["cursors/ahead.cur", "cursors/behind.cur", "destinations"] {
            rig.disk.shared().remove(&path(name)).unwrap();
        }
    });
}

#[test]
fn what_else_lies_among_the_cursors_is_none_and_where_that_is_all_everything_is_owed() {
    let rig = rig();
    for name in ["cursors/ahead.cur", "cursors/behind.cur", "destinations"] {
        rig.disk.shared().remove(&path(name)).unwrap();
    }
    rig.disk.put(&path("cursors/notes.txt"), b"somebody's");
    rig.disk.shared().create_folders(&path("cursors/kept.cur")).unwrap();

    let mut rig = rig.reopened();

    assert_eq!(positions(&mut rig, 1), (1..=RECORDS).collect::<Vec<_>>());
}

/// As an absent one it would make a destination new whose cursor is gone, and owe it nothing.
#[test]
fn a_list_of_destinations_that_cannot_be_read_is_not_an_absent_one() {
    let (rig, list) = (rig(), path("destinations"));
    let content = rig.disk.content(&list).unwrap();
    rig.disk.shared().remove(&path("cursors/behind.cur")).unwrap();
    rig.disk.spoil(&list, 0);

    assert!(matches!(rig.open_again(), Err(OpenError::Io { .. })));

    rig.disk.put(&list, &content);
    let mut rig = rig.reopened();
    assert_eq!(positions(&mut rig, 1), (1..=RECORDS).collect::<Vec<_>>());
}

/// Cursors say that there were destinations before, and so does the list of them.
#[test]
fn a_destination_is_new_where_there_are_cursors_or_a_list_of_them() {
    for gone in [&["destinations"][..], &["cursors/ahead.cur", "cursors/behind.cur"]] {
        let rig = rig();
        for name in gone {
            rig.disk.shared().remove(&path(name)).unwrap();
        }

        let (disk, limits) = (rig.disk.clone(), rig.limits.clone());
        let mut now = Rig::with(disk, limits, &["ahead", "behind", "new"]).unwrap();

        assert_eq!(positions(&mut now, 2), [0; 0], "{gone:?}");
        assert_eq!(positions(&mut now, 1), (1..=RECORDS).collect::<Vec<_>>(), "{gone:?}");
    }
}

#[test]
fn the_cursor_of_another_destination_settles_nothing() {
    check(|rig| {
        let other = rig.disk.content(&path("cursors/ahead.cur")).unwrap();
        rig.disk.put(&path("cursors/behind.cur"), &other);
    });
}

#[test]
fn one_that_was_never_there_is_new_and_gets_what_comes_in_from_now_on() {
    for call in 0..60 {
        let rig = rig();
        let disk = rig.disk.clone();
        let open = || Rig::with(disk.clone(), rig.limits.clone(), &["ahead", "behind", "new"]);
        disk.end_power_after(call);
        drop(open());
        disk.crash(call);

        let mut now = open().unwrap();
        assert_eq!(positions(&mut now, 2), [0; 0], "cut at call {call}");
        now.put(b"from now on").unwrap();
        assert_eq!(positions(&mut now, 2), [RECORDS + 1]);
        assert_eq!(positions(&mut now, 1).len() as u64, RECORDS + 1);
    }
}

#[test]
fn one_that_was_taken_out_and_whose_cursor_was_removed_is_new_again() {
    let rig = rig();
    let open = |names: &[&str]| Rig::with(rig.disk.clone(), rig.limits.clone(), names).unwrap();
    drop(open(&["ahead"]));
    rig.disk.shared().remove(&path("cursors/behind.cur")).unwrap();
    drop(open(&["ahead"]));

    let mut now = open(&["ahead", "behind"]);

    assert_eq!(positions(&mut now, 1), [0; 0]);
}
