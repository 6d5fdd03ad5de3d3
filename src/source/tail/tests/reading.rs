//! Which lines come, and in whose turn.

use super::*;

#[tokio::test(start_paused = true)]
async fn whole_lines_come_and_an_unfinished_one_waits_for_its_newline() {
    let mut room = Room::new(&["a.log"]);
    room.scratch.write("a.log", "one\r\n\ntw");
    room.start();

    room.run_dry().await;
    room.check(&["one"]);
    assert_eq!(room.status(), [("a.log".to_owned(), 8, 6)]);

    room.scratch.write("a.log", "o\n");
    room.written("a.log");
    room.steps().await;
    room.check(&["one", "two"]);
    assert_eq!(room.status(), [("a.log".to_owned(), 10, 10)]);
    assert_eq!((room.numbers().lines.get(), room.numbers().bytes.get()), (2, 10));
    assert_eq!((room.numbers().files.get(), room.numbers().lag_bytes.get()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn bytes_that_are_no_text_are_delivered_as_they_are() {
    let mut room = Room::new(&["a.log"]);
    fs::write(room.scratch.path("a.log"), b"\xff\xfe\0x\n").unwrap();
    room.start();

    room.run_dry().await;

    assert_eq!(room.door.store().lines, [&b"\xff\xfe\0x"[..]]);
}

#[tokio::test(start_paused = true)]
async fn a_long_line_is_cut_and_holds_nothing_up() {
    let mut room = Room::new(&["a.log"]);
    room.settings.framing.record_bytes_max = 300_000;
    let long = "x".repeat(2_000_000);
    room.scratch.write("a.log", &format!("a\n{long}"));
    room.start();

    room.run_dry().await;
    room.scratch.write("a.log", "\nz\n");
    room.run_dry().await;

    let lines = room.door.lines();
    let lengths: Vec<_> = lines.iter().map(String::len).collect();
    assert_eq!(lengths, [1, 300_000, 300_000, 300_000, 300_000, 300_000, 300_000, 200_000, 1]);
    assert_eq!(room.numbers().cuts.get(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_busy_file_does_not_starve_a_quiet_one() {
    let mut room = Room::new(&["*.log"]);
    let line = "x".repeat(99);
    room.scratch.write("busy.log", &format!("{line}\n").repeat(100_000));
    room.scratch.write("quiet.log", "hello\n");
    room.start();

    room.scan().await;
    for _ in 0..3 {
        room.step().await;
    }

    assert!(room.door.lines().contains(&"hello".to_owned()));
    assert!(room.door.lines().len() < 50_000);
    room.steps().await;
    assert_eq!(room.door.lines().len(), 100_001);
    let largest = room.door.store().groups.iter().max().copied();
    assert!(largest <= Some(15_700), "a group holds about 1.5 MiB: {largest:?}");
}

#[tokio::test(start_paused = true)]
async fn many_files_share_few_groups_and_few_handles() {
    let mut room = Room::new(&["**/*.log"]);
    for number in 0..700 {
        room.scratch.write(&format!("{}/{number}.log", number % 7), &format!("{number}\n"));
    }
    room.start();
    room.run_dry().await;
    for number in 0..700 {
        room.scratch.write(&format!("{}/{number}.log", number % 7), &format!("{number} again\n"));
    }
    room.run_dry().await;

    let mut lines = room.door.lines();
    lines.sort();
    lines.dedup();
    assert_eq!(lines.len(), 1400);
    assert_eq!(room.door.lines().len(), 1400);
    assert!(room.door.store().groups.len() < 20);
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_file_holds_nothing_up_and_is_tried_again() {
    let mut room = Room::new(&["*.log"]);
    room.scratch.write("a.log", "a\n");
    room.scratch.write("b.log", "b\n");
    room.start();
    room.scan().await;
    // The folder is swapped away under the path, as a lost permission would do for anybody but root.
    room.scratch.rename("a.log", "away");
    fs::create_dir(room.scratch.path("a.log")).unwrap();
    room.run_dry().await;
    assert!(room.door.lines().contains(&"b".to_owned()));

    fs::remove_dir(room.scratch.path("a.log")).unwrap();
    room.scratch.rename("away", "a.log");
    room.scratch.write("a.log", "c\n");
    room.run_dry().await;

    let mut lines = room.door.lines();
    lines.sort();
    assert_eq!(lines, ["a", "b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_appears_later_is_followed() {
    let mut room = Room::new(&["later/**/*.log"]);
    room.start();
    room.run_dry().await;
    room.check(&[]);

    room.scratch.write("later/x/a.log", "a\n");
    room.run_dry().await;

    room.check(&["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_file_with_two_names_is_read_once_also_behind_a_link() {
    let mut room = Room::new(&["*.log"]);
    room.scratch.write("a.log", "a\n");
    fs::hard_link(room.scratch.path("a.log"), room.scratch.path("b.log")).unwrap();
    std::os::unix::fs::symlink(room.scratch.path("a.log"), room.scratch.path("c.log")).unwrap();
    room.start();
    room.run_dry().await;
    room.scratch.write("a.log", "b\n");
    room.run_dry().await;

    room.check(&["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn each_number_is_registered_once_for_all_blocks() {
    let metrics = Metrics::default();
    BlockNumbers::register(&metrics, "a").lines.inc();
    BlockNumbers::register(&metrics, "b").lines.inc();

    let text = metrics.encode();

    assert_eq!(text.matches("# TYPE weir_tail_lines counter").count(), 1, "{text}");
    for block in ["a", "b"] {
        let line = format!("weir_tail_lines_total{{tail=\"{block}\"}} 1");
        assert!(text.contains(&line), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_that_was_just_written_is_not_called_delivered() {
    let mut room = Room::new(&["a.log"]);
    room.scratch.write("a.log", "1\n");
    room.start();
    room.run_dry().await;
    let is_delivered = |room: &Room| room.board.read()[0].is_delivered(u64::MAX);
    assert!(is_delivered(&room));

    room.door.store().refuse = full();
    room.scratch.write("a.log", "2\n");
    room.written("a.log");
    assert!(!is_delivered(&room), "nobody looked at it yet");
    room.steps().await;
    assert!(!is_delivered(&room), "it waits for room in the queue");

    room.door.store().refuse = None;
    tokio::time::advance(Duration::from_secs(60)).await;
    room.steps().await;
    assert!(is_delivered(&room));

    // Of the same length, and no event has told of it.
    let later = std::time::UNIX_EPOCH + Duration::from_secs(2_000_000_000);
    fs::write(room.scratch.path("a.log"), "3\n4\n").unwrap();
    fs::File::open(room.scratch.path("a.log")).unwrap().set_modified(later).unwrap();
    assert!(!is_delivered(&room));
    room.run_dry().await;
    assert!(is_delivered(&room));

    // A scan sees it before it is read.
    fs::write(room.scratch.path("a.log"), "5\n6\n").unwrap();
    fs::File::open(room.scratch.path("a.log"))
        .unwrap()
        .set_modified(later + Duration::from_secs(1))
        .unwrap();
    room.scan().await;
    assert!(!is_delivered(&room), "it is seen, and not read");
    room.run_dry().await;
    assert!(is_delivered(&room));
}

#[tokio::test(start_paused = true)]
async fn a_file_written_anew_to_its_length_and_with_its_last_bytes_is_read_anew() {
    let mut room = Room::new(&["a.log"]);
    let end = "y".repeat(300);
    let (first, second) = (format!("1 {end}"), format!("2 {end}"));
    room.scratch.write("a.log", &format!("{first}\n"));
    room.start();
    room.run_dry().await;

    fs::write(room.scratch.path("a.log"), format!("{second}\n")).unwrap();
    room.written("a.log");
    room.run_dry().await;
    room.check(&[&first, &second]);

    let touched = std::time::UNIX_EPOCH + Duration::from_secs(2_000_000_000);
    fs::File::open(room.scratch.path("a.log")).unwrap().set_modified(touched).unwrap();
    room.written("a.log");
    room.run_dry().await;
    room.check(&[&first, &second]);
}

#[tokio::test(start_paused = true)]
async fn many_files_are_begun_in_few_groups() {
    let mut room = Room::new(&["*.log"]);
    for number in 0..1000 {
        room.scratch.write(&format!("{number}.log"), "1\n");
    }
    room.start();
    room.run_dry().await;

    assert_eq!(room.door.store().groups, [0, 1000], "their marks, and their lines");
}
