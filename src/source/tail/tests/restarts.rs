//! What holds across the end of the process, orderly or not.

use super::*;
use crate::source::tail::progress::Progress;

#[tokio::test(start_paused = true)]
async fn a_restart_in_the_middle_goes_on_at_the_next_line() {
    let mut room = Room::new(&["a.log"]);
    room.scratch.write("a.log", "1\n2\n3");
    room.start();
    room.run_dry().await;

    room.kill();
    room.scratch.write("a.log", "\n4\n");
    room.restart().await;

    room.check(&["1", "2", "3", "4"]);
}

#[tokio::test(start_paused = true)]
async fn a_death_before_and_after_storing_loses_and_repeats_nothing() {
    for death in [Death::BeforeStoring, Death::AfterStoring] {
        let mut room = Room::new(&["a.log"]);
        room.scratch.write("a.log", "1\n");
        room.start();
        room.run_dry().await;
        room.scratch.write("a.log", "2\n");
        room.door.store().die = Some(death);
        room.run_dry().await;
        assert!(!room.is_up());

        room.scratch.write("a.log", "3\n");
        room.restart().await;
        room.check(&["1", "2", "3"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_rotated_while_weir_was_down_is_finished_first() {
    let mut room = Room::new(&["a.log"]);
    room.scratch.write("a.log", "1\n");
    room.start();
    room.run_dry().await;

    room.kill();
    room.scratch.write("a.log", "2\n");
    room.scratch.rename("a.log", "a.log-20261122");
    room.scratch.write("a.log", "3\n");
    room.restart().await;

    room.check(&["1", "2", "3"]);
}

#[tokio::test(start_paused = true)]
async fn an_empty_file_is_known_too_when_it_was_rotated_while_weir_was_down() {
    let mut room = Room::new(&["a.log"]);
    room.scratch.write("a.log", "");
    room.start();
    room.run_dry().await;

    room.kill();
    room.scratch.write("a.log", "1\n");
    room.scratch.rename("a.log", "a.log.1");
    room.restart().await;

    room.check(&["1"]);
}

#[tokio::test(start_paused = true)]
async fn a_stranger_with_a_known_inode_beside_a_followed_path_is_not_read() {
    let mut room = Room::new(&["a.log"]);
    room.scratch.write("a.log", "1\n");
    room.start();
    room.run_dry().await;

    room.kill();
    room.scratch.truncate("a.log");
    room.scratch.write("a.log", "private\n");
    room.scratch.rename("a.log", "secrets");
    room.restart().await;
    room.grace().await;

    room.check(&["1"]);
}

#[tokio::test(start_paused = true)]
async fn a_new_file_with_the_inode_of_an_old_one_is_read_from_its_beginning() {
    let mut room = Room::new(&["a.log"]);
    room.scratch.write("a.log", "other content\n");
    let path = room.scratch.path("a.log");
    let before = Progress::start().advanced(b"12345\n");
    let id = id_of(&path);
    let name = mark::fresh("tail/t/", id);
    room.door.store().marks.insert(name, mark::encode(id, &before, &path));
    room.door.store().marks.insert("tail/t/started".into(), Bytes::from_static(&[1]));

    room.start();
    room.run_dry().await;

    room.check(&["other content"]);
    assert_eq!(mark_of(&room.door, &path).unwrap().progress.position, 14);
    assert_eq!(room.marks(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_device_that_got_another_number_changes_nothing() {
    let mut room = Room::new(&["a.log"]);
    room.scratch.write("a.log", "1\n2\n");
    let path = room.scratch.path("a.log");
    let mut id = id_of(&path);
    id.device += 1;
    let value = mark::encode(id, &Progress::start().advanced(b"1\n"), &path);
    room.door.store().marks.insert(mark::fresh("tail/t/", id), value);
    room.door.store().marks.insert("tail/t/started".into(), Bytes::from_static(&[1]));

    room.start();
    room.grace().await;

    room.check(&["2"]);
    assert_eq!(room.marks(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_block_that_starts_at_the_end_skips_only_what_was_there_at_the_very_first_start() {
    let mut room = Room::new(&["*.log"]);
    room.settings.start_at = StartAt::End;
    room.scratch.write("a.log", "old\nunfin");
    room.start();
    room.run_dry().await;
    room.check(&[]);
    room.scratch.write("a.log", "ished\n");
    room.scratch.write("b.log", "new\n");
    room.run_dry().await;
    room.check(&["unfinished", "new"]);

    room.kill();
    room.scratch.write("a.log", "2\n");
    room.scratch.write("c.log", "made while down\n");
    room.restart().await;

    room.check(&["unfinished", "new", "2", "made while down"]);
}

#[tokio::test(start_paused = true)]
async fn the_end_is_where_it_was_found_first_even_if_weir_dies_at_once() {
    for death in [Death::BeforeStoring, Death::AfterStoring] {
        let mut room = Room::new(&["*.log"]);
        room.settings.start_at = StartAt::End;
        room.scratch.write("a.log", "old\n");
        room.start();
        room.door.store().die = Some(death);
        room.run_dry().await;
        room.scratch.write("a.log", "new\n");
        room.restart().await;
        room.scratch.write("a.log", "newer\n");
        room.run_dry().await;

        // Before the first commit weir has promised nothing: the second start is the first.
        let expected: &[_] =
            if death == Death::AfterStoring { &["new", "newer"] } else { &["newer"] };
        room.check(expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_block_without_any_file_has_started_too() {
    let mut room = Room::new(&["*.log"]);
    room.settings.start_at = StartAt::End;
    room.start();
    room.run_dry().await;
    assert_eq!(room.marks(), 1);

    room.kill();
    room.scratch.write("a.log", "made while down\n");
    room.restart().await;

    room.check(&["made while down"]);
}

#[tokio::test(start_paused = true)]
async fn a_file_the_globs_no_longer_name_is_left_alone_and_remembered() {
    let mut room = Room::new(&["*.log"]);
    room.scratch.write("a.log", "1\n");
    room.start();
    room.run_dry().await;
    room.kill();
    room.scratch.write("a.log", "2\n");

    room.settings.exclude = vec!["a.*".into()];
    room.restart().await;
    room.grace().await;
    room.check(&["1"]);

    room.settings.exclude = Vec::new();
    room.restart().await;
    room.check(&["1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn a_mark_that_is_damaged_costs_a_repetition_and_no_more() {
    let mut room = Room::new(&["a.log"]);
    room.scratch.write("a.log", "1\n");
    room.start();
    room.run_dry().await;
    for (name, value) in &mut room.door.store().marks {
        if !name.ends_with("started") {
            *value = Bytes::from_static(b"\xffnonsense");
        }
    }

    room.restart().await;

    room.check(&["1", "1"]);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_renamed_while_the_globs_are_changed_is_read_on() {
    let mut room = Room::new(&["a.log"]);
    room.scratch.write("a.log", "1\n");
    room.start();
    room.run_dry().await;
    room.kill();
    room.scratch.rename("a.log", "b.log");
    room.scratch.write("b.log", "2\n");
    room.settings.include = vec![room.scratch.text("b.log")];
    room.start();
    room.grace().await;
    room.check(&["1", "2"]);

    // Its number is used again, by a file that the globs find.
    room.settings.include = vec![room.scratch.text("c.log")];
    room.restart().await;
    fs::write(room.scratch.path("b.log"), "3\n").unwrap();
    room.scratch.rename("b.log", "c.log");
    room.restart().await;
    room.grace().await;
    room.check(&["1", "2", "3"]);
}

/// Seed 1281 of the model read a file twice: it was found in the place of another one, weir died before it
/// was written down where that one is, and the other mark of that number was believed.
#[tokio::test(start_paused = true)]
async fn of_two_marks_for_one_file_the_one_holds_that_tells_its_content() {
    let text = |name: &str| format!("{name} {}\n", "x".repeat(70)).repeat(3);
    for (of_there, of_elsewhere) in [("1", "2"), ("2", "1")] {
        let mut room = Room::new(&["a.log*"]);
        for (name, content) in [("a.log.1", "there"), ("a.log.2", "elsewhere")] {
            room.scratch.write(name, &text(content));
            room.scratch.pack(name, ".zst");
        }
        let there = room.scratch.path("a.log.1.zst");
        let id = id_of(&there);
        for (mark, content) in [(of_there, "there"), (of_elsewhere, "elsewhere")] {
            let progress = Progress::start().advanced(text(content).as_bytes());
            let value = mark::encode(id, &progress, &there);
            room.door.store().marks.insert(format!("tail/t/{mark}"), value);
        }
        room.door.store().marks.insert("tail/t/started".into(), Bytes::from_static(&[1]));

        room.start();
        room.grace().await;
        room.restart().await;
        room.grace().await;

        room.check(&[]);
        assert_eq!(mark_of(&room.door, &there).unwrap().progress.position, 3 * 77);
        assert_eq!(room.marks(), 3, "of both files and the block");
    }
}
