//! The loop with real events and real time: no scan is due within the hour, so only events can help.

use super::*;
use crate::base::shutdown;
use crate::base::tasks::{Tasks, blocking};
use crate::source::tail::run;
use crate::source::tail::watch::Watch;

/// Waits until the door holds these lines. The limit is for a broken test only.
async fn arrives<S: AsRef<str>>(door: &StandIn, lines: &[S]) {
    let arrived = async {
        while !door.lines().iter().map(String::as_str).eq(lines.iter().map(AsRef::as_ref)) {
            door.stored.notified().await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(20), arrived).await;
    let have = door.lines().len();
    assert!(in_time.is_ok(), "{have} lines of {}: {:?}", lines.len(), door.lines());
}

/// Starts the loop; asking the first to stop ends the second.
fn run_loop(room: &mut Room) -> (shutdown::Stop, Tasks) {
    room.start();
    let follower = room.follower.take().unwrap();
    let watch = Watch::new("t", follower.globs());
    let (stop, stopping) = shutdown::channel();
    let mut tasks = Tasks::new();
    tasks.spawn("tail", run::run(follower, watch, room.settings.rescan_every, stopping));
    (stop, tasks)
}

#[tokio::test]
async fn events_bring_lines_new_files_rotated_files_and_new_folders_without_a_scan() {
    let mut room = Room::new(&["a.log", "later/*.log"]);
    let (stop, mut tasks) = run_loop(&mut room);

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

#[tokio::test]
async fn a_folder_that_is_replaced_at_once_is_watched_on() {
    let mut room = Room::new(&["later/*.log"]);
    let (stop, mut tasks) = run_loop(&mut room);
    let mut lines = Vec::new();

    for number in 0..20 {
        let (name, line) = (format!("later/{number}.log"), format!("{number}\n"));
        drop(fs::remove_dir_all(room.scratch.path("later")));
        room.scratch.write(&name, &line);
        lines.push(number.to_string());
        arrives(&room.door, &lines).await;
        // Written once more: by then the folder, too, is the new one.
        room.scratch.write(&name, &line);
        lines.push(number.to_string());
        arrives(&room.door, &lines).await;
    }

    stop.ask();
    tasks.finish().await.unwrap();
}

#[tokio::test]
async fn a_writer_that_rotates_without_a_pause_loses_and_repeats_nothing_and_keeps_its_order() {
    let mut room = Room::new(&["a.log*"]);
    let (stop, mut tasks) = run_loop(&mut room);
    let folder = room.scratch.path("");

    blocking(move || {
        for file in 0..20 {
            let mut open = fs::File::create(folder.join("a.log")).unwrap();
            for line in 0..250 {
                open.write_all(format!("{file}-").as_bytes()).unwrap();
                open.write_all(format!("{line}\n").as_bytes()).unwrap();
            }
            fs::rename(folder.join("a.log"), folder.join(format!("a.log.{file}"))).unwrap();
        }
    })
    .await;
    let all_came = async {
        while room.door.lines().len() < 5000 {
            room.door.stored.notified().await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(20), all_came).await;
    assert!(in_time.is_ok(), "{} of 5000", room.door.lines().len());
    stop.ask();
    tasks.finish().await.unwrap();

    let lines = room.door.lines();
    for file in 0..20 {
        let first = format!("{file}-");
        let of_file: Vec<_> = lines.iter().filter(|line| line.starts_with(&first)).collect();
        let written: Vec<_> = (0..250).map(|line| format!("{file}-{line}")).collect();
        assert!(of_file.iter().copied().eq(&written), "{of_file:?}");
    }
    assert_eq!(lines.len(), 5000);
}
