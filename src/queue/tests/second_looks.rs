//! What was given out and let go is read once more, by its positions.

use std::io::ErrorKind;
use std::path::Path;

use super::recovery::offsets;
use super::rig::{ALL, FOLDER, Rig, group};
use crate::base::disk::Call;
use crate::queue::again::{Again, again};
use crate::queue::{Position, segment};

/// Payloads `0`, `1`, … of 200 bytes, each in a frame of its own, over several segments, given out.
fn rig(count: u64) -> Rig {
    let mut rig = Rig::new(&["a"]);
    for number in 0..count {
        rig.put(&[u8::try_from(number).unwrap(); 200]).unwrap();
    }
    assert_eq!(rig.take(0, ALL).len() as u64, count);
    assert!(rig.segments().len() > 2);
    rig
}

fn places(numbers: &[u64]) -> Vec<Position> {
    numbers.iter().copied().map(Position).collect()
}

#[track_caller]
fn check(again: &Again, found: &[u64], lost: &[u64]) {
    let positions: Vec<_> = again.found.iter().map(|one| one.position).collect();
    assert_eq!((positions, again.lost.clone()), (places(found), places(lost)));
    for one in &again.found {
        assert_eq!(*one.payload, [u8::try_from(one.position.0 - 1).unwrap(); 200]);
    }
}

#[test]
fn the_oldest_come_first_up_to_so_many_bytes_and_at_least_one() {
    let rig = rig(200);
    let wanted = places(&[1, 2, 90, 199, 200]);

    check(&again(&rig.store, 0, &wanted, usize::MAX).unwrap(), &[1, 2, 90, 199, 200], &[]);
    check(&again(&rig.store, 0, &wanted, 401).unwrap(), &[1, 2, 90], &[]);
    check(&again(&rig.store, 0, &wanted, 400).unwrap(), &[1, 2], &[]);
    check(&again(&rig.store, 0, &wanted, 1).unwrap(), &[1], &[]);
}

#[test]
fn of_one_frame_no_more_comes_than_was_asked_for() {
    let mut rig = Rig::new(&["a"]);
    rig.commit(vec![group(&[&[0; 200], &[1; 200], &[2; 200]])])[0].clone().unwrap();
    rig.take(0, ALL);
    let wanted = places(&[1, 2, 3]);

    check(&again(&rig.store, 0, &wanted, 1).unwrap(), &[1], &[]);
    check(&again(&rig.store, 0, &wanted, 400).unwrap(), &[1, 2], &[]);
}

#[test]
fn after_a_restart_what_is_owed_can_be_given_and_looked_at_again() {
    let rig = rig(200);
    rig.settle(0, (1..=200).filter(|position| position % 50 != 0));
    rig.store.save().unwrap();
    let mut rig = rig.crashed(1);

    let given: Vec<u64> = rig.take(0, ALL).iter().map(|one| one.position.0).collect();
    assert_eq!(given, [50, 100, 150, 200]);
    let wanted = places(&given);
    check(&again(&rig.store, 0, &wanted, usize::MAX).unwrap(), &given, &[]);
    rig.settle(0, given);
    assert_eq!((rig.ledger(0).delivered, rig.ledger(0).waiting), (200, 0));
}

#[test]
fn what_was_damaged_since_counts_as_such_and_the_rest_comes() {
    let rig = rig(200);
    let path = Path::new(FOLDER).join(segment::name(1));
    let all = offsets(&rig.disk, &path);
    let (offset, _) = all.iter().find(|(_, header)| header.first == 5).unwrap();
    rig.disk.flip(&path, offset + 100, 0);

    let again = again(&rig.store, 0, &places(&[4, 5, 6]), usize::MAX).unwrap();

    check(&again, &[4, 6], &[5]);
    assert_eq!(rig.ledger(0).damaged, 1);
}

#[test]
fn a_disk_that_cannot_be_read_now_loses_nothing() {
    let rig = rig(200);
    rig.disk.fail_all(&[Call::Read], ErrorKind::Other);
    again(&rig.store, 0, &places(&[3, 150]), usize::MAX).unwrap_err();
    rig.disk.heal();

    check(&again(&rig.store, 0, &places(&[3, 150]), usize::MAX).unwrap(), &[3, 150], &[]);
    assert_eq!(rig.ledger(0).waiting, 200);
}
