//! What lies in a queue's folder is looked at before anything starts: what is none of ours, or more
//! than this weir knows, ends the start in words; what is damaged or missing is counted, and the
//! rest goes on.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::agent::{Agent, Ended, configure, weir};
use crate::support::books::{Books, Row};
use crate::support::scratch::Scratch;

/// Nothing answers at port 1: records wait. Segments of 1 MiB.
const WAITING: &str = r#"
    grace = "1 s"
    [http.local]
    listen = "127.0.0.1:0"
    [stream.orders]
    destinations = ["cloud"]
    queue = { max_bytes = "16 MiB", min_free_disk = "0 B" }
    [destination.cloud]
    type = "kinesis"
    stream_name = "orders"
    region = "eu-west-1"
    endpoint_url = "http://127.0.0.1:1"
    retry_max = "1 s"
    "#;
const SEGMENT: &str = "00000000000000000001.seg";

/// An agent took `count` records of 64 KiB and stopped.
fn stopped(test: &str, count: usize) -> (Scratch, PathBuf) {
    let scratch = Scratch::new(test);
    let agent = Agent::start(&scratch, WAITING);
    for _ in 0..count {
        assert_eq!(agent.client("local").post("orders", &[b'o'; 64 << 10]).unwrap().status, 202);
    }
    assert_eq!(agent.terminate().code(), Some(0));
    let folder = scratch.join("state/queue/orders");
    (scratch, folder)
}

fn run(scratch: &Scratch) -> Ended {
    let file = configure(scratch, WAITING);
    weir(scratch, &["run", "--config", file.to_str().unwrap()])
}

/// Starts on a folder that somebody has had a hand in.
#[track_caller]
fn refuses(test: &str, had_a_hand_in: impl Fn(&Path), words: &str) {
    let (scratch, folder) = stopped(test, 1);
    had_a_hand_in(&folder);

    let refused = run(&scratch);

    assert_eq!(refused.code, Some(65), "{refused:?}");
    assert!(refused.stderr.contains("\nerror: "), "{refused:?}");
    assert!(refused.stderr.contains("is not a queue file this weir can read: "), "{refused:?}");
    assert!(refused.stderr.contains(words), "{refused:?}");
}

/// Changes the header of a segment so that its checksum fits again.
fn rewrite_header(folder: &Path, at: usize, byte: u8) {
    let file = File::options().read(true).write(true).open(folder.join(SEGMENT)).unwrap();
    let mut header = [0; 64];
    file.read_exact_at(&mut header, 0).unwrap();
    header[at] = byte;
    let sum = crc32c::crc32c(&header[..60]).to_le_bytes();
    header[60..].copy_from_slice(&sum);
    file.write_all_at(&header, 0).unwrap();
    file.write_all_at(&header, 4096 - 64).unwrap();
}

#[test]
fn a_file_of_another_program_ends_the_start() {
    let foreign = |folder: &Path| {
        fs::write(folder.join("00000000000000000009.seg"), "another program's\n".repeat(99))
            .unwrap();
    };
    refuses(
        "start-foreign",
        foreign,
        "it does not begin like a segment; move it out of the folder",
    );
}

#[test]
fn a_segment_of_another_version_ends_the_start() {
    let newer = |folder: &Path| rewrite_header(folder, 8, 2);
    refuses("start-version", newer, "its format is version 2, this weir reads 1");
}

#[test]
fn a_segment_with_a_feature_that_is_not_known_ends_the_start() {
    let richer = |folder: &Path| rewrite_header(folder, 13, 1);
    refuses("start-feature", richer, "it uses features 0x100, which this weir does not know");
}

#[test]
fn a_segment_behind_a_link_ends_the_start() {
    let linked = |folder: &Path| {
        let elsewhere = folder.with_file_name("elsewhere");
        fs::rename(folder.join(SEGMENT), &elsewhere).unwrap();
        symlink(&elsewhere, folder.join(SEGMENT)).unwrap();
    };
    refuses("start-link", linked, "it is a link or a folder; a segment is a plain file");
}

#[test]
fn a_segment_under_another_name_ends_the_start() {
    let renamed = |folder: &Path| {
        fs::rename(folder.join(SEGMENT), folder.join("00000000000000000005.seg")).unwrap();
    };
    refuses("start-renamed", renamed, "it begins with payload 1, but its name says 5");
}

#[test]
fn a_queue_in_use_is_left_alone_and_its_user_is_named() {
    let scratch = Scratch::new("start-locked");
    let agent = Agent::start(&scratch, WAITING);

    let second = run(&scratch);

    assert_eq!(second.code, Some(75), "{second:?}");
    assert!(second.stderr.contains("in use by process"), "{second:?}");
    assert_eq!(agent.client("local").post("orders", b"one").unwrap().status, 202);
    assert_eq!(Books::check(&agent).row("orders", "cloud").waiting, 1);
}

#[test]
fn on_a_disk_that_takes_no_writes_nothing_starts_and_what_waits_can_be_read() {
    let (scratch, _) = stopped("start-read-only", 3);
    let state = scratch.join("state");
    let mount = |arguments: &[&str]| {
        let done = Command::new("mount").args(arguments).arg(&state).status();
        done.is_ok_and(|status| status.success())
    };
    let bound = mount(&["--bind", state.to_str().unwrap()]);
    if !bound || !mount(&["-o", "remount,bind,ro"]) {
        println!("skipped: to mount a folder for reading alone, root is needed");
        return;
    }

    let refused = run(&scratch);
    let export = ["queue", "export", "orders", "--state-dir", "state", "--config", "none"];
    let exported = weir(&scratch, &export);
    let unmounted = Command::new("umount").arg(&state).status().unwrap();

    assert!(unmounted.success());
    assert_eq!(refused.code, Some(77), "{refused:?}");
    assert!(refused.stderr.contains("Read-only file system"), "{refused:?}");
    assert_eq!(exported.succeeded().lines().count(), 3);
}

#[test]
fn segments_missing_in_the_middle_are_counted_and_the_rest_waits() {
    let (scratch, folder) = stopped("start-missing", 50);
    let mut segments: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| name.strip_suffix(".seg").and_then(|first| first.parse::<u64>().ok()))
        .collect();
    segments.sort_unstable();
    assert!(segments.len() >= 3, "{segments:?}");
    fs::remove_file(folder.join(format!("{:020}.seg", segments[1]))).unwrap();
    let lost = segments[2] - segments[1];

    let agent = Agent::start(&scratch, WAITING);

    let row = crate::support::wait_for("the gap to be noticed", || {
        let row = Books::check(&agent).row("orders", "cloud");
        (row.damaged > 0).then_some(row)
    });
    let expected = Row { accepted: 50, damaged: lost, waiting: 50 - lost, ..Row::default() };
    assert_eq!(row, expected);
    assert!(agent.log().contains("queue-damaged"));
    assert_eq!(agent.client("local").post("orders", b"it goes on").unwrap().status, 202);
    assert_eq!(agent.terminate().code(), Some(0));
}

/// A file that is no segment stands where the newest would be; the agent goes on around it.
#[track_caller]
fn goes_on(test: &str, bytes: u64) {
    let (scratch, folder) = stopped(test, 3);
    let bogus = File::create(folder.join("00000000000000000009.seg")).unwrap();
    bogus.set_len(bytes).unwrap();
    assert_eq!(bogus.metadata().unwrap().blocks(), 0, "it has a hole");

    let agent = Agent::start(&scratch, WAITING);
    assert_eq!(agent.client("local").post("orders", b"it goes on").unwrap().status, 202);

    let used = agent.status()["streams"]["orders"]["used_bytes"].as_u64().unwrap();
    assert!(used <= 4 << 20, "{used} bytes");
    let row = Books::check(&agent).row("orders", "cloud");
    assert!(row.waiting >= 4, "{row:?}");
    assert_eq!(agent.terminate().code(), Some(0));
    let export = ["queue", "export", "orders", "--state-dir", "state", "--config", "none"];
    let exported = weir(&scratch, &export);
    assert_eq!(exported.stdout.lines().count(), 4, "{exported:?}");
}

#[test]
fn an_empty_file_with_the_name_of_a_segment_is_no_obstacle() {
    goes_on("start-empty", 0);
}

#[test]
fn a_sparse_file_of_a_tebibyte_takes_no_time_and_no_room() {
    goes_on("start-sparse", 1 << 40);
}
