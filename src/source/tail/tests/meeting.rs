//! New files of which an event tells are met one by one; whatever may depend on others waits for a scan.

use std::collections::BTreeSet;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_new_file_is_followed_without_a_scan_and_once() {
    let mut room = Room::new(&["*.log"]);
    room.start();
    room.run_dry().await;
    room.scratch.write("a.log", "1\n");
    room.scratch.write("job-17.log", "2\n");
    assert!(room.appeared(&["a.log", "job-17.log"]).await);
    room.steps().await;
    room.check(&["1", "2"]);
    room.scratch.write("a.log", "3\n");
    room.written("a.log");
    room.steps().await;
    room.check(&["1", "2", "3"]);

    assert!(!room.appeared(&["a.log"]).await, "it is known already");
    room.run_dry().await;
    room.restart().await;
    room.check(&["1", "2", "3"]);
    assert_eq!(room.marks(), 3);
}

#[tokio::test(start_paused = true)]
async fn who_may_be_somebody_else_is_left_to_a_scan() {
    let mut room = Room::new(&["*.log", "*.log.1"]);
    room.scratch.write("a.log", "1\n");
    room.start();
    assert!(!room.appeared(&["a.log"]).await, "nobody looked yet what was there before");
    room.run_dry().await;

    room.scratch.rename("a.log", "b.log");
    assert!(!room.appeared(&["b.log"]).await, "a number that somebody has");
    room.scratch.write("a.log", "2\n");
    assert!(!room.appeared(&["a.log"]).await, "a name that somebody had");
    room.run_dry().await;
    room.scratch.copy("b.log", "b.log.1");
    assert!(!room.appeared(&["b.log.1"]).await, "perhaps a copy");
    std::os::unix::fs::symlink(room.scratch.path("a.log"), room.scratch.path("l.log")).unwrap();
    assert!(!room.appeared(&["l.log"]).await, "a link");
    fs::hard_link(room.scratch.path("a.log"), room.scratch.path("h.log")).unwrap();
    assert!(!room.appeared(&["h.log"]).await, "one of two names");
    assert!(!room.appeared(&["gone.log"]).await, "nothing stands there");
    room.scratch.write("c.txt", "x\n");
    assert!(!room.appeared(&["c.txt"]).await, "nobody wants it");
    room.grace().await;
    room.check(&["1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_scan_holds_up_nobody_in_other_folders() {
    let mut room = Room::new(&["**/*.log"]);
    room.scratch.write("a/1.log", "1\n");
    room.start();
    room.run_dry().await;
    room.scratch.rename("a/1.log", "a/2.log");
    for name in ["a/1.log", "a/3.log", "b/1.log"] {
        room.scratch.write(name, &format!("{name}\n"));
    }

    let names = ["a/1.log", "a/3.log", "b/1.log"].map(|name| room.scratch.path(name));
    let unmet = room.follower.as_ref().unwrap().meet(BTreeSet::from(names.clone())).await;
    let is_unmet = names.map(|path| unmet.touches(&path));
    assert_eq!(is_unmet, [true, true, false]);
    room.steps().await;
    room.check(&["1", "b/1.log"]);
    room.run_dry().await;
    // The one whose name another had is read behind that one.
    room.check(&["1", "b/1.log", "a/3.log", "a/1.log"]);
}

#[tokio::test(start_paused = true)]
async fn many_new_files_are_met_at_once() {
    let mut room = Room::new(&["*.log"]);
    room.start();
    room.run_dry().await;
    let names: Vec<_> = (0..700).map(|number| format!("n{number:03}.log")).collect();
    names.iter().for_each(|name| room.scratch.write(name, "x\n"));
    assert!(room.appeared(&names.iter().map(String::as_str).collect::<Vec<_>>()).await);
    room.steps().await;
    assert_eq!(room.door.lines().len(), 700);
    room.run_dry().await;
    assert_eq!((room.door.lines().len(), room.marks()), (700, 701));
}
