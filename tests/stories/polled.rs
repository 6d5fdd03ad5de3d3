//! Where the system tells weir nothing of what is written, the files are looked at by the clock, which is
//! said once, with what to raise if it is a limit; no line is missed and none comes twice.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::agent::Agent;
use crate::support::log_file::append;
use crate::support::out_folder::wait_for_lines;
use crate::support::scratch::Scratch;

/// Follows `logs/**/*.log`; no scan is due within the hour, so only events or polling can help.
fn config(scratch: &Scratch) -> String {
    format!(
        r#"
        [tail.app]
        include = [{:?}]
        stream = "s"
        start_at = "beginning"
        rescan = "1 h"
        [stream.s]
        destinations = ["there"]
        [destination.there]
        type = "directory"
        path = "out"
        object_age = "100 ms"
        "#,
        scratch.join("logs/**/*.log").display().to_string()
    )
}

/// Writes and makes files in several folders, and waits for what that should bring.
#[track_caller]
fn check(scratch: &Scratch, agent: &Agent, written_to: &Path, said: &str) {
    let log = |name: &str| written_to.join(name);
    wait_for_lines(scratch, &["a 1", "b 1", "c 1"]);
    for folder in ["a", "b", "c"] {
        append(&log(&format!("{folder}/0.log")), &format!("{folder} 2\n"));
    }
    wait_for_lines(scratch, &["a 1", "a 2", "b 1", "b 2", "c 1", "c 2"]);
    append(&log("c/new/0.log"), "c 3\n");
    wait_for_lines(scratch, &["a 1", "a 2", "b 1", "b 2", "c 1", "c 2", "c 3"]);
    assert_eq!(agent.log().matches(said).count(), 1, "{}", agent.log());
}

fn write_first(scratch: &Scratch, written_to: &str) {
    for folder in ["a", "b", "c"] {
        append(&scratch.join(written_to).join(folder).join("0.log"), &format!("{folder} 1\n"));
    }
}

#[test]
fn when_a_limit_of_inotify_is_reached_the_files_are_polled_and_the_limit_is_named() {
    for (limit, most, said) in [
        ("max_inotify_instances", 0, "fs.inotify.max_user_instances"),
        ("max_inotify_watches", 2, "fs.inotify.max_user_watches"),
    ] {
        let scratch = Scratch::new("polled");
        write_first(&scratch, "logs");
        let config = config(&scratch);
        let Some(agent) = Agent::start_within(&scratch, &config, &[(limit, most)]) else {
            println!("skipped: to reach the limit, user namespaces are needed");
            return;
        };
        check(&scratch, &agent, &scratch.join("logs"), said);
        let log = |name: &str| scratch.join("logs").join(name);
        fs::rename(log("a/0.log"), log("a/0.log.1")).unwrap();
        append(&log("a/0.log.1"), "a 3\n");
        append(&log("a/0.log"), "a 4\n");
        let all = ["a 1", "a 2", "a 3", "a 4", "b 1", "b 2", "c 1", "c 2", "c 3"];
        wait_for_lines(&scratch, &all);
        assert_eq!(agent.terminate().code(), Some(0), "{limit}");
    }
}

/// A file system that shows another one, whose changes bring no event.
struct Overlay<'a>(&'a Scratch);

impl<'a> Overlay<'a> {
    /// `None` where this test may not mount one.
    fn mount(scratch: &'a Scratch) -> Option<Self> {
        let base = scratch.folder("base");
        let mount = |what: &[&str], at: &Path| {
            let done = Command::new("mount").args(what).arg(at).output();
            done.is_ok_and(|done| done.status.success())
        };
        // What lies below it must be able to carry one.
        if !mount(&["-t", "tmpfs", "tmpfs"], &base) {
            return None;
        }
        let overlay = Self(scratch);
        for folder in ["lower", "upper", "work"] {
            fs::create_dir(base.join(folder)).unwrap();
        }
        let logs = scratch.folder("logs");
        let of = |name: &str| base.join(name).display().to_string();
        let layers =
            format!("lowerdir={},upperdir={},workdir={}", of("lower"), of("upper"), of("work"));
        mount(&["-t", "overlay", "-o", &layers, "overlay"], &logs).then_some(overlay)
    }
}

impl Drop for Overlay<'_> {
    fn drop(&mut self) {
        for place in ["logs", "base"] {
            Command::new("umount").arg("-l").arg(self.0.join(place)).output().ok();
        }
    }
}

#[test]
fn on_a_file_system_without_events_the_files_are_polled() {
    let scratch = Scratch::new("polled-overlay");
    let Some(_overlay) = Overlay::mount(&scratch) else {
        println!("skipped: to mount an overlay, root is needed");
        return;
    };
    write_first(&scratch, "logs");
    let agent = Agent::start(&scratch, &config(&scratch));

    // Below it, where nobody tells.
    check(&scratch, &agent, &scratch.join("base/upper"), "\"file_system\":\"overlay\"");

    assert_eq!(agent.terminate().code(), Some(0));
}
