//! What nobody should put where weir looks, and somebody will: files it may not read, folders that come
//! and go, bytes that are no text, lines without an end, things that are no files. None of it holds up
//! what stands beside it, and each fault is said once and ends by itself.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};

use crate::support::agent::Agent;
use crate::support::log_file::append;
use crate::support::out_folder::{self, wait_for_lines};
use crate::support::scratch::Scratch;
use crate::support::{number_from, wait_for};

/// Follows `glob` into the folder `out`.
fn config(scratch: &Scratch, glob: &str, more: &str) -> String {
    format!(
        r#"
        [tail.app]
        include = [{glob:?}]
        stream = "s"
        start_at = "beginning"
        rescan = "100 ms"
        {more}
        [stream.s]
        destinations = ["there"]
        [destination.there]
        type = "directory"
        path = "out"
        object_age = "100 ms"
        "#,
        glob = scratch.join(glob).display().to_string()
    )
}

/// What `weir status` says of the trouble with each path that has one.
fn troubles(agent: &Agent) -> Vec<(String, String)> {
    let status = agent.status();
    let files = status["tails"]["app"].as_array().unwrap();
    let trouble = |file: &serde_json::Value| {
        let path = Path::new(file["path"].as_str()?).file_name()?.to_str()?;
        Some((path.to_owned(), file["trouble"].as_str()?.to_owned()))
    };
    files.iter().filter_map(trouble).collect()
}

#[track_caller]
fn wait_for_troubles(agent: &Agent, expected: &[&str]) {
    let now = || -> Vec<String> { troubles(agent).into_iter().map(|(path, _)| path).collect() };
    wait_for("the troubles", || (now() == expected).then_some(()));
    let number = format!("weir_tail_unreadable{{tail=\"app\"}} {}", expected.len());
    assert!(agent.metrics().lines().any(|line| line == number), "{}", agent.metrics());
}

fn allow(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Waits until the folders were looked through so many times more, as read errors tell.
#[track_caller]
fn wait_for_errors(agent: &Agent, errors: u64) {
    let count = || {
        let metrics = agent.metrics();
        let count = metrics.lines().find_map(|line| {
            line.strip_prefix("weir_tail_read_errors_total{tail=\"app\"} ")?.parse::<u64>().ok()
        });
        count.unwrap()
    };
    let enough = count() + errors;
    wait_for("more attempts", || (count() >= enough).then_some(()));
}

#[test]
fn what_may_not_be_read_is_said_once_and_read_when_it_may() {
    let scratch = Scratch::new("bad-permission");
    let logs = scratch.folder("logs");
    let (open, secret, closed) =
        (logs.join("open.log"), logs.join("secret.log"), logs.join("closed"));
    append(&open, "open 1\n");
    append(&secret, "secret 1\n");
    append(&closed.join("c.log"), "closed 1\n");
    allow(&secret, 0);
    allow(&closed, 0);
    let config = config(&scratch, "logs/**/*.log", "");

    let agent = Agent::start_without_privileges(&scratch, &config);
    wait_for_lines(&scratch, &["open 1"]);
    wait_for_troubles(&agent, &["closed", "secret.log"]);
    assert!(troubles(&agent).iter().all(|(_, why)| why.contains("Permission denied")));
    wait_for_errors(&agent, 6);
    for said in ["a followed file cannot be read", "a folder or file cannot be looked at"] {
        assert_eq!(agent.log().matches(said).count(), 1, "{said}: {}", agent.log());
    }

    allow(&secret, 0o644);
    allow(&closed, 0o755);
    wait_for_lines(&scratch, &["open 1", "secret 1", "closed 1"]);
    wait_for_troubles(&agent, &[]);
    assert!(agent.log().contains("the file can be read again"));
    assert!(agent.log().contains("it can be looked at again"));

    // Taken away while it is open: what is open may be read.
    allow(&open, 0);
    if rustix::process::geteuid().is_root() {
        append(&open, "open 2\n");
        wait_for_lines(&scratch, &["open 1", "open 2", "secret 1", "closed 1"]);
    } else {
        allow(&open, 0o644);
        append(&open, "open 2\n");
        allow(&open, 0);
    }
    // A folder that is closed midway takes nothing away that was known.
    allow(&closed, 0);
    wait_for_troubles(&agent, &["closed"]);
    assert_eq!(agent.terminate().code(), Some(0));
    let agent = Agent::start_without_privileges(&scratch, &config);
    wait_for_troubles(&agent, &["closed", "open.log"]);
    wait_for_errors(&agent, 6);
    allow(&closed, 0o755);
    allow(&open, 0o644);
    append(&open, "open 3\n");
    append(&closed.join("c.log"), "closed 2\n");
    let all = ["open 1", "open 2", "open 3", "secret 1", "closed 1", "closed 2"];
    wait_for_lines(&scratch, &all);
    wait_for_troubles(&agent, &[]);
    assert_eq!(agent.terminate().code(), Some(0));
}

#[test]
fn a_folder_may_come_later_go_and_come_back() {
    let scratch = Scratch::new("bad-folder");
    let agent = Agent::start(&scratch, &config(&scratch, "later/on/*.log", ""));
    let (later, away) = (scratch.join("later"), scratch.join("away"));

    append(&later.join("on/a.log"), "a 1\n");
    wait_for_lines(&scratch, &["a 1"]);
    fs::rename(&later, &away).unwrap();
    append(&away.join("on/a.log"), "a 2\n");
    append(&later.join("on/a.log"), "another a\n");
    wait_for_lines(&scratch, &["a 1", "a 2", "another a"]);
    fs::remove_dir_all(&later).unwrap();
    fs::rename(&away, &later).unwrap();
    append(&later.join("on/a.log"), "a 3\n");
    wait_for_lines(&scratch, &["a 1", "a 2", "another a", "a 3"]);
    assert_eq!(agent.terminate().code(), Some(0));

    fs::rename(&later, &away).unwrap();
    let agent = Agent::start(&scratch, &config(&scratch, "later/on/*.log", ""));
    fs::rename(&away, &later).unwrap();
    append(&later.join("on/a.log"), "a 4\n");
    wait_for_lines(&scratch, &["a 1", "a 2", "another a", "a 3", "a 4"]);
    assert!(troubles(&agent).is_empty());
}

/// A file system in memory that is shown in a second place.
struct Removable {
    medium: PathBuf,
    shown: PathBuf,
}

impl Removable {
    /// `None` where this test may not mount one.
    fn new(scratch: &Scratch) -> Option<Self> {
        let removable = Self { medium: scratch.folder("medium"), shown: scratch.folder("logs") };
        removable.mount(&["-t", "tmpfs", "tmpfs"], &removable.medium).then_some(removable)
    }

    fn mount(&self, what: &[&str], at: &Path) -> bool {
        let done = Command::new("mount").args(what).arg(at).output();
        done.is_ok_and(|done| done.status.success())
    }

    #[track_caller]
    fn plug_in(&self) {
        assert!(self.mount(&["--bind", self.medium.to_str().unwrap()], &self.shown));
    }

    #[track_caller]
    fn pull_out(&self) {
        // Somebody may have it open.
        let done = Command::new("umount").arg("-l").arg(&self.shown).status().unwrap();
        assert!(done.success());
    }
}

impl Drop for Removable {
    fn drop(&mut self) {
        for place in [&self.shown, &self.medium] {
            Command::new("umount").arg("-l").arg(place).output().ok();
        }
    }
}

#[test]
fn a_file_system_that_goes_and_comes_back_is_read_on_where_it_was() {
    let scratch = Scratch::new("bad-mount");
    let Some(disk) = Removable::new(&scratch) else {
        println!("skipped: to mount a file system, root is needed");
        return;
    };
    let config = config(&scratch, "logs/*.log", "");
    disk.plug_in();
    append(&disk.shown.join("a.log"), "a 1\n");
    let agent = Agent::start(&scratch, &config);
    wait_for_lines(&scratch, &["a 1"]);

    disk.pull_out();
    append(&disk.shown.join("b.log"), "below the mount\n");
    wait_for_lines(&scratch, &["a 1", "below the mount"]);
    append(&disk.medium.join("a.log"), "a 2\n");
    disk.plug_in();
    append(&disk.shown.join("a.log"), "a 3\n");
    wait_for_lines(&scratch, &["a 1", "below the mount", "a 2", "a 3"]);

    // The same while weir is down, and started without it.
    disk.pull_out();
    assert_eq!(agent.terminate().code(), Some(0));
    append(&disk.medium.join("a.log"), "a 4\n");
    let agent = Agent::start(&scratch, &config);
    append(&disk.shown.join("b.log"), "below once more\n");
    wait_for_lines(&scratch, &["a 1", "below the mount", "a 2", "a 3", "below once more"]);
    disk.plug_in();
    let all = ["a 1", "below the mount", "a 2", "a 3", "below once more", "a 4"];
    wait_for_lines(&scratch, &all);
    assert_eq!(agent.terminate().code(), Some(0));
}

#[test]
fn bytes_that_are_no_text_arrive_as_they_are() {
    let scratch = Scratch::new("bad-bytes");
    let mut random = fastrand::Rng::with_seed(7);
    let mut bytes: Vec<u8> = (0..500_000).map(|_| random.u8(..)).collect();
    bytes.push(b'\n');
    scratch.folder("logs");
    fs::write(scratch.join("logs/core.log"), &bytes).unwrap();
    append(&scratch.join("logs/text.log"), "text\n");
    // A line is what stands before a line feed, and a carriage return before that; nothing is no line.
    let lines =
        bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let lines: Vec<_> = lines.filter(|line| !line.is_empty()).collect();

    let _agent = Agent::start(&scratch, &config(&scratch, "logs/*.log", ""));

    let whole: usize = lines.iter().map(|line| line.len() + 1).sum::<usize>() + "text\n".len();
    let arrived = || out_folder::arrived(&scratch.join("out"));
    wait_for("all bytes", || (arrived().len() >= whole).then_some(()));
    let arrived = arrived();
    let of_text = arrived.windows(5).position(|window| window == b"text\n").unwrap();
    let rest = [&arrived[..of_text], &arrived[of_text + 5..]].concat();
    assert!(rest == lines.join(&b'\n').into_iter().chain(*b"\n").collect::<Vec<_>>());
}

#[test]
fn what_is_no_file_is_left_alone_and_odd_names_are_not() {
    let scratch = Scratch::new("bad-kind");
    let logs = scratch.folder("logs");
    let (pipe, socket) = (logs.join("pipe.log"), logs.join("socket.log"));
    mknodat(CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let _listener = UnixListener::bind(&socket).unwrap();
    symlink("/dev/zero", logs.join("device.log")).unwrap();
    symlink("self.log", logs.join("self.log")).unwrap();
    symlink("nowhere", logs.join("dangling.log")).unwrap();
    symlink(&logs, logs.join("round")).unwrap();
    fs::create_dir(logs.join("folder.log")).unwrap();
    let odd = logs.join(OsStr::from_bytes(b"odd \xff\n.log"));
    append(&odd, "odd 1\n");
    append(&logs.join("plain.log"), "plain\n");
    let config = config(&scratch, "logs/**/*.log", "");

    let agent = Agent::start(&scratch, &config);
    wait_for_lines(&scratch, &["odd 1", "plain"]);
    // Nobody reads from the pipe, so nobody can write to it without waiting.
    let writer = rustix::fs::open(&pipe, OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty());
    assert_eq!(writer.unwrap_err(), rustix::io::Errno::NXIO);
    wait_for_troubles(&agent, &["self.log"]);
    let status = agent.status();
    let paths = status["tails"]["app"].as_array().unwrap().iter();
    let paths: BTreeSet<_> = paths.filter_map(|file| file["path"].as_str()).collect();
    let path = |name: &str| logs.join(name).display().to_string();
    let expected = [path("plain.log"), path("odd \u{fffd}\n.log"), path("self.log")];
    assert_eq!(paths, expected.iter().map(String::as_str).collect());

    assert_eq!(agent.terminate().code(), Some(0));
    append(&odd, "odd 2\n");
    let agent = Agent::start(&scratch, &config);
    wait_for_lines(&scratch, &["odd 1", "odd 2", "plain"]);
    assert_eq!(agent.terminate().code(), Some(0));
}

#[test]
fn gigabytes_without_a_line_end_take_no_memory_and_hold_nothing_up() {
    // Ten are for a build that is optimised.
    let bytes = number_from("WEIR_TEST_SPARSE_GIB").unwrap_or(1) << 30;
    let scratch = Scratch::new("bad-length");
    scratch.folder("logs");
    let path = scratch.join("logs/sparse.log");
    File::create(&path).unwrap().set_len(bytes).unwrap();
    append(&path, " the end\nafter it\n");
    append(&scratch.join("logs/small.log"), "small\n");

    let agent = Agent::start(
        &scratch,
        &config(&scratch, "logs/*.log", "long_lines = \"cut\"\nmax_line = \"1 KiB\""),
    );
    let mut peak = 0;
    let out = scratch.join("out");
    let arrived = || out_folder::arrived(&out);
    let holds = |text: &[u8]| arrived().windows(text.len()).any(|window| window == text);
    wait_for("the small file", || holds(b"small\n").then_some(()));
    let read = |agent: &Agent| -> u64 {
        let status = agent.status();
        let files = status["tails"]["app"].as_array().unwrap();
        files.iter().filter_map(|file| file["queued"].as_u64()).sum()
    };
    assert!(read(&agent) < bytes, "the small file came first");
    wait_for("the line behind the long one", || {
        peak = peak.max(agent.resident_bytes());
        holds(b"after it\n").then_some(())
    });

    assert!(peak < 128 << 20, "{peak} bytes");
    let mut cut = vec![0; 1024];
    let mark = b" [cut by weir]";
    cut.truncate(1024 - mark.len());
    cut.extend(mark);
    assert!(holds(&cut), "its beginning, and a mark behind it");
    assert!(agent.metrics().contains("weir_tail_cuts_total{tail=\"app\"} 1"));
    assert_eq!(agent.terminate().code(), Some(0));
}
