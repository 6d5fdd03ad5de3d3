//! Delivered files that are put away, where files are copied and truncated and weir dies.

use super::*;
use crate::source::tail::WhenDone;

/// Long quiet, as the clock of the room tells.
fn age(room: &Room, name: &str) {
    let file = fs::File::options().append(true).open(room.scratch.path(name)).unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
}

fn there(room: &Room) -> Vec<String> {
    let names = fs::read_dir(room.scratch.path("")).unwrap();
    let mut names: Vec<_> =
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name != "done");
    names.sort();
    names
}

#[tokio::test(start_paused = true)]
async fn a_copy_is_put_away_when_what_it_brought_is_delivered_and_the_file_stays_that_is_written() {
    for is_moved in [false, true] {
        let mut room = Room::new(&["a.log*"]);
        fs::create_dir(room.scratch.path("done")).unwrap();
        let moved = WhenDone::Move(room.scratch.path("done"));
        room.settings.done.what = if is_moved { moved } else { WhenDone::Delete };
        let long = "x".repeat(80);
        room.scratch.write("a.log", &format!("{long}\n"));
        room.start();
        room.run_dry().await;
        room.scratch.write("a.log", "two\n");
        room.scratch.copy("a.log", "a.log.1");
        age(&room, "a.log.1");
        room.door.store().settled = 1;
        room.run_dry().await;
        assert_eq!(there(&room), ["a.log", "a.log.1"], "its original is still there");

        room.scratch.truncate("a.log");
        room.scratch.write("a.log", "three\n");
        room.grace().await;
        room.check(&[&long, "two", "three"]);
        room.door.store().settled = 1;
        room.run_dry().await;
        assert_eq!(there(&room), ["a.log", "a.log.1"], "its last line waits in the queue");

        // Killed before and after it is put away.
        room.restart().await;
        room.grace().await;
        room.door.store().settled = 3;
        room.run_dry().await;
        assert_eq!(there(&room), ["a.log"]);
        assert_eq!(room.scratch.path("done/a.log.1").exists(), is_moved);
        room.scratch.write("a.log", "four\n");
        room.restart().await;
        room.grace().await;
        room.check(&[&long, "two", "three", "four"]);
        assert_eq!(there(&room), ["a.log"], "somebody writes into it");
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_that_was_truncated_and_written_anew_is_not_put_away_for_what_it_held_before() {
    let mut room = Room::new(&["a.log"]);
    room.settings.done.what = WhenDone::Delete;
    room.scratch.write("a.log", "one\n");
    room.start();
    room.run_dry().await;
    room.scratch.truncate("a.log");
    room.scratch.write("a.log", "two\n");
    age(&room, "a.log");
    room.door.store().settled = 1;
    room.run_dry().await;
    room.run_dry().await;
    assert_eq!(there(&room), ["a.log"]);
    room.check(&["one", "two"]);

    room.door.store().settled = 2;
    room.run_dry().await;
    assert_eq!(there(&room), [""; 0]);
}
