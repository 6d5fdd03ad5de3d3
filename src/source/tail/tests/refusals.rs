//! What the door says no to, and what becomes of the lines.

use super::*;

#[tokio::test(start_paused = true)]
async fn while_the_queue_is_full_nothing_is_read_and_then_everything_comes() {
    let mut room = Room::new(&["a.log"]);
    room.start();
    room.run_dry().await;
    room.door.store().refuse = full();
    room.scratch.write("a.log", "1\n");
    room.run_dry().await;
    room.scratch.write("a.log", "2\n");
    room.scratch.rename("a.log", "a.log.1");
    room.scratch.write("a.log", "3\n");
    room.scratch.remove("a.log.1");
    room.run_dry().await;
    room.check(&[]);

    room.door.store().refuse = None;
    assert!(matches!(room.step().await, Some(Pace::At(_))), "the wait it was asked for");
    tokio::time::advance(Duration::from_secs(3)).await;
    room.run_dry().await;

    room.check(&["1", "2", "3"]);
    assert!(room.numbers().refusals.get() > 0);
}

#[tokio::test(start_paused = true)]
async fn a_restart_while_the_queue_is_full_loses_and_repeats_nothing() {
    let mut room = Room::new(&["a.log"]);
    room.scratch.write("a.log", "1\n");
    room.start();
    room.run_dry().await;
    room.door.store().refuse = full();
    room.scratch.write("a.log", "2\n");
    room.run_dry().await;
    room.restart().await;

    room.door.store().refuse = None;
    tokio::time::advance(Duration::from_secs(3)).await;
    room.run_dry().await;

    room.check(&["1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn a_rejected_line_lies_on_the_shelf_and_the_others_go_on() {
    let mut room = Room::new(&["a.log"]);
    room.door.store().line_bytes_max = Some(3);
    room.scratch.write("a.log", "1\ntoo long\n2\n");
    room.start();
    room.run_dry().await;

    room.check(&["1", "2"]);
    let letters = std::mem::take(&mut room.door.store().letters);
    let [letter] = letters.as_slice() else { panic!("one letter: {letters:?}") };
    assert_eq!(letter.record.payload, "too long");
    assert_eq!((letter.stream.as_str(), letter.destination.as_str()), ("s", "tail.t"));
    assert_eq!((letter.class.as_str(), letter.code.as_str()), ("rejected", "record-too-large"));
    assert_eq!(room.numbers().rejected.get(), 1);

    room.scratch.write("a.log", "all too long\nthis too\n");
    room.run_dry().await;
    room.restart().await;
    assert_eq!(room.door.store().letters.len(), 2, "the mark moved with a group without lines");
    room.check(&["1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn a_broken_shelf_stops_the_reading_until_it_works_again() {
    let mut room = Room::new(&["a.log"]);
    room.door.store().line_bytes_max = Some(3);
    room.door.store().shelf_is_broken = true;
    room.scratch.write("a.log", "too long\n");
    room.start();
    room.run_dry().await;
    room.scratch.write("a.log", "2\n");
    room.run_dry().await;
    room.check(&[]);

    room.door.store().shelf_is_broken = false;
    tokio::time::advance(Duration::from_secs(1)).await;
    room.run_dry().await;

    room.check(&["2"]);
    assert_eq!(room.door.store().letters.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_group_too_large_for_the_queue_is_divided_down_to_the_line_at_fault() {
    let mut room = Room::new(&["*.log"]);
    room.door.store().group_bytes_max = Some(50);
    let text: String = (0..100).map(|number| format!("line {number:02}\n")).collect();
    room.scratch.write("a.log", &text);
    room.scratch.write("b.log", &format!("b1\n{}\nb2\n", "x".repeat(51)));
    room.start();

    room.run_dry().await;

    let lines = room.door.lines();
    let of = |first: char| lines.iter().filter(|line| line.starts_with(first)).collect::<Vec<_>>();
    assert_eq!(of('l'), text.lines().collect::<Vec<_>>());
    assert_eq!(of('b'), ["b1", "b2"]);
    assert_eq!(room.door.store().letters.len(), 1);
}
