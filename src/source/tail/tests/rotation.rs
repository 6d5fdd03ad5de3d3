//! Files that are renamed, cut, replaced and deleted while weir looks on.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_renamed_file_is_read_to_its_end_before_its_successor() {
    let mut room = Room::new(&["a.log"]);
    room.scratch.write("a.log", "1\n");
    room.start();
    room.run_dry().await;

    room.scratch.write("a.log", "2\n");
    room.scratch.rename("a.log", "a.log.1");
    room.scratch.write("a.log", "4\n");
    room.scratch.write("a.log.1", "3\n");
    room.run_dry().await;
    room.check(&["1", "2", "3", "4"]);

    room.scratch.write("a.log.1", "late\nunfinished");
    room.run_dry().await;
    room.check(&["1", "2", "3", "4", "late"]);
    room.grace().await;
    room.check(&["1", "2", "3", "4", "late", "unfinished"]);
}

#[tokio::test(start_paused = true)]
async fn a_renamed_file_that_still_matches_goes_on_where_it_was() {
    let mut room = Room::new(&["a.log*"]);
    room.scratch.write("a.log", "1\n2");
    room.start();
    room.run_dry().await;

    room.scratch.rename("a.log", "a.log.1");
    room.scratch.write("a.log", "3\n");
    room.grace().await;

    room.check(&["1", "3", "2"]);
    room.restart().await;
    room.grace().await;
    room.check(&["1", "3", "2"]);
    let names: Vec<_> = room.status().into_iter().map(|(name, ..)| name).collect();
    assert_eq!(names, ["a.log", "a.log.1"]);
}

#[tokio::test(start_paused = true)]
async fn a_file_cut_and_written_anew_is_read_from_its_beginning() {
    let mut room = Room::new(&["a.log"]);
    room.scratch.write("a.log", "one\ntwo\n");
    room.start();
    room.run_dry().await;

    room.scratch.truncate("a.log");
    room.scratch.write("a.log", "3\n");
    room.run_dry().await;
    room.check(&["one", "two", "3"]);

    room.scratch.truncate("a.log");
    room.scratch.write("a.log", "longer than before\n");
    room.run_dry().await;
    room.check(&["one", "two", "3", "longer than before"]);
    assert_eq!(room.numbers().restarts.get(), 2);

    room.scratch.truncate("a.log");
    room.run_dry().await;
    room.scratch.write("a.log", "longer than before\n");
    room.restart().await;
    room.check(&["one", "two", "3", "longer than before", "longer than before"]);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_file_is_read_to_its_end_and_its_mark_forgotten() {
    let mut room = Room::new(&["*.log"]);
    room.scratch.write("a.log", "1\n");
    room.scratch.write("b.log", "b\n");
    room.start();
    room.run_dry().await;
    assert_eq!(room.marks(), 3, "two files and the block");

    room.scratch.write("a.log", "2\nunfinished");
    room.scratch.remove("a.log");
    room.run_dry().await;
    room.check(&["1", "b", "2"]);
    room.grace().await;

    room.check(&["1", "b", "2", "unfinished"]);
    assert_eq!(room.marks(), 2);
    assert_eq!(room.status().len(), 1);
    assert_eq!(room.numbers().vanished_bytes.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_file_deleted_with_its_folder_is_forgotten_too() {
    let mut room = Room::new(&["*/a.log"]);
    room.scratch.write("pod/a.log", "1\n");
    room.start();
    room.run_dry().await;

    fs::remove_dir_all(room.scratch.path("pod")).unwrap();
    room.grace().await;

    assert_eq!((room.marks(), room.status().len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_file_replaced_by_rename_is_a_new_file() {
    let mut room = Room::new(&["a.log"]);
    room.scratch.write("a.log", "1\n");
    room.start();
    room.run_dry().await;

    room.scratch.write("a.log", "2\n");
    room.scratch.write("new", "3\n");
    room.scratch.rename("new", "a.log");
    room.grace().await;

    room.check(&["1", "2", "3"]);
    assert_eq!(room.marks(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_rotated_file_is_remembered_while_it_exists_and_let_go_when_it_does_not() {
    let mut room = Room::new(&["a.log"]);
    room.scratch.write("a.log", "1\n");
    room.start();
    room.run_dry().await;
    room.scratch.rename("a.log", "a.log.1");
    room.grace().await;
    assert_eq!(room.marks(), 2);

    room.scratch.write("a.log.1", "much later\n");
    room.run_dry().await;
    room.check(&["1", "much later"]);

    room.grace().await;
    room.scratch.remove("a.log.1");
    room.grace().await;
    assert_eq!((room.marks(), room.status().len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn what_a_link_leads_to_may_be_rotated_too() {
    let mut room = Room::new(&["links/*.log"]);
    room.scratch.write("pods/0.log", "1\n");
    fs::create_dir(room.scratch.path("links")).unwrap();
    let link = room.scratch.path("links/a.log");
    std::os::unix::fs::symlink(room.scratch.path("pods/0.log"), link).unwrap();
    room.start();
    room.run_dry().await;

    room.scratch.write("pods/0.log", "2\n");
    room.scratch.rename("pods/0.log", "pods/0.log.old");
    room.scratch.write("pods/0.log", "3\n");
    room.run_dry().await;
    room.check(&["1", "2", "3"]);

    room.kill();
    room.scratch.write("pods/0.log", "4\n");
    room.scratch.rename("pods/0.log", "pods/0.log.older");
    room.scratch.write("pods/0.log", "5\n");
    room.restart().await;
    room.check(&["1", "2", "3", "4", "5"]);
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_is_moved_away_and_comes_back_is_read_on() {
    let mut room = Room::new(&["logs/*.log"]);
    room.scratch.write("logs/a.log", "1\n");
    room.start();
    room.run_dry().await;

    room.scratch.rename("logs", "elsewhere");
    room.scratch.write("elsewhere/a.log", "2\n");
    room.grace().await;
    room.scratch.write("elsewhere/a.log", "3\n");
    room.restart().await;
    room.grace().await;
    room.check(&["1", "2"]);
    room.scratch.rename("elsewhere", "logs");
    room.run_dry().await;
    room.check(&["1", "2", "3"]);

    room.scratch.rename("logs", "elsewhere");
    room.grace().await;
    tokio::time::advance(Duration::from_secs(24 * 3600)).await;
    room.grace().await;
    assert_eq!((room.marks(), room.status().len()), (1, 0), "nobody waits for ever");
}

#[tokio::test(start_paused = true)]
async fn deleted_files_are_kept_open_until_they_are_read_up_to_a_bound() {
    for (limit, kept) in [(160, 2), (159, 1), (80, 1), (79, 0)] {
        let mut room = Room::new(&["*.log"]);
        room.settings.pinned_bytes_max = limit;
        room.scratch.write("a.log", "a\n");
        room.scratch.write("b.log", "b\n");
        room.start();
        room.run_dry().await;
        room.door.store().refuse = full();
        room.scratch.write("c.log", "what is refused first\n");
        room.run_dry().await;
        let rest = format!("{}\n", "x".repeat(77));
        room.scratch.write("a.log", &rest);
        room.scratch.write("b.log", &rest);
        room.scan().await;
        room.scratch.remove("a.log");
        room.scan().await;
        tokio::time::advance(Duration::from_secs(1)).await;
        room.scratch.remove("b.log");
        room.scan().await;
        assert_eq!(room.numbers().pinned_bytes.get(), 80 * kept, "{limit}");

        room.door.store().refuse = None;
        tokio::time::advance(Duration::from_secs(60)).await;
        room.grace().await;

        let rest = rest.trim_end();
        let expected = match kept {
            2 => vec!["a", "b", "what is refused first", rest, rest],
            1 => vec!["a", "b", "what is refused first", rest],
            _ => vec!["a", "b", "what is refused first"],
        };
        let mut lines = room.door.lines();
        lines.sort_unstable();
        assert_eq!(lines, expected, "{limit}");
        let (pinned, lost) =
            (room.numbers().pinned_bytes.get(), room.numbers().vanished_bytes.get());
        assert_eq!((pinned, lost), (0, 78 * (2 - u64::try_from(kept).unwrap())), "{limit}");
        assert_eq!((room.marks(), room.status().len()), (2, 1), "{limit}");
    }
}

#[tokio::test(start_paused = true)]
async fn where_a_link_led_between_two_scans_is_read_in_its_order() {
    let mut room = Room::new(&["a.log"]);
    let lead = |room: &Room, name: &str| {
        let link = room.scratch.path("a.log");
        drop(fs::remove_file(&link));
        std::os::unix::fs::symlink(room.scratch.path(name), link).unwrap();
    };
    let write = |room: &Room, number: u64| {
        let name = format!("run-{number}.txt");
        room.scratch.write(&name, &format!("{number}\n"));
        let at = std::time::UNIX_EPOCH + Duration::from_secs(1_800_000_000 + number);
        let file = fs::File::options().append(true).open(room.scratch.path(&name)).unwrap();
        file.set_modified(at).unwrap();
        name
    };
    // Nothing is followed at the link yet, then something is.
    for first in [1, 5] {
        for number in first..first + 4 {
            let name = write(&room, number);
            lead(&room, &name);
            if room.is_up() {
                let led = (room.scratch.path("a.log"), room.scratch.path(&name));
                room.follower.as_ref().unwrap().note_links([led].into());
            } else {
                fs::remove_file(room.scratch.path("a.log")).unwrap();
                room.start();
                room.run_dry().await;
            }
        }
        room.grace().await;
    }
    room.restart().await;
    room.grace().await;

    room.check(&["2", "3", "4", "5", "6", "7", "8"]);
    assert_eq!(room.marks(), 8, "no file is forgotten while it is there");
}
