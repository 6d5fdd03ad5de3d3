//! The loop with real events and real time: no scan is due within the hour, so only events can help.

use super::*;
use crate::base::shutdown;
use crate::base::tasks::Tasks;
use crate::source::tail::run;
use crate::source::tail::watch::Watch;

/// Waits until the door holds these lines. The limit is for a broken test only.
async fn arrives(door: &StandIn, lines: &[&str]) {
    let arrived = async {
        while door.lines() != lines {
            door.stored.notified().await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(20), arrived).await;
    assert!(in_time.is_ok(), "{:?}", door.lines());
}

#[tokio::test]
async fn events_bring_lines_new_files_rotated_files_and_new_folders_without_a_scan() {
    let mut room = Room::new(&["a.log", "later/*.log"]);
    room.start();
    let follower = room.follower.take().unwrap();
    let watch = Watch::new("t", follower.globs());
    let (stop, stopping) = shutdown::channel();
    let mut tasks = Tasks::new();
    tasks.spawn("tail", run::run(follower, watch, room.settings.rescan_every, stopping));

    room.scratch.write("a.log", "1\n");
    arrives(&room.door, &["1"]).await;
    room.scratch.write("a.log", "2\n");
    arrives(&room.door, &["1", "2"]).await;
    room.scratch.rename("a.log", "a.log.1");
    room.scratch.write("a.log", "3\n");
    arrives(&room.door, &["1", "2", "3"]).await;
    room.scratch.write("a.log.1", "4\n");
    arrives(&room.door, &["1", "2", "3", "4"]).await;
    room.scratch.write("later/b.log", "5\n");
    arrives(&room.door, &["1", "2", "3", "4", "5"]).await;
    fs::remove_dir_all(room.scratch.path("later")).unwrap();
    room.scratch.write("later/c.log", "6\n");
    arrives(&room.door, &["1", "2", "3", "4", "5", "6"]).await;

    stop.ask();
    tasks.finish().await.unwrap();
}
