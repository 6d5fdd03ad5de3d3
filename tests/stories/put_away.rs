//! What becomes of files that are delivered to their end, and of those that are too old to begin with.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::support::agent::Agent;
use crate::support::log_file::LogFile;
use crate::support::out_folder;
use crate::support::scratch::Scratch;
use crate::support::wait_for;

/// Follows `logs/*.log` into a folder, or to where nobody listens.
fn config(scratch: &Scratch, more: &str, arrives: bool) -> String {
    let destination = if arrives {
        "type = \"directory\"\npath = \"out\"\nobject_age = \"100 ms\""
    } else {
        "type = \"kinesis\"\nstream_name = \"s\"\nregion = \"eu-west-1\"\nendpoint_url = \"http://127.0.0.1:1\""
    };
    format!(
        r#"
        [tail.app]
        include = [{:?}]
        stream = "s"
        start_at = "beginning"
        rescan = "100 ms"
        {more}
        [stream.s]
        destinations = ["there"]
        [destination.there]
        {destination}
        "#,
        scratch.join("logs/*.log").display().to_string()
    )
}

fn lines(name: &str) -> String {
    (0..50).map(|number| format!("{name} {number}\n")).collect()
}

/// Everything that arrived, in order.
fn arrived(folder: &Path) -> String {
    String::from_utf8(out_folder::arrived(folder)).unwrap()
}

#[test]
fn what_is_delivered_to_its_end_is_deleted_and_nothing_else_is() {
    let scratch = Scratch::new("put-away");
    let logs = scratch.folder("logs");
    fs::write(logs.join("done.log"), lines("done")).unwrap();
    fs::write(logs.join("unfinished.log"), lines("unfinished") + "no end").unwrap();
    let settings = "when_done = \"delete\"\ndone_after = \"0 s\"";

    let agent = Agent::start(&scratch, &config(&scratch, settings, true));
    wait_for("the file to be put away", || (!logs.join("done.log").exists()).then_some(()));

    let out = scratch.join("out");
    wait_for("both files", || (arrived(&out).lines().count() == 100).then_some(()));
    let arrived = arrived(&out);
    let of = |name: &str| -> String {
        arrived.lines().filter(|line| line.starts_with(name)).flat_map(|one| [one, "\n"]).collect()
    };
    assert_eq!(of("done"), lines("done"));
    assert_eq!(of("unfinished"), lines("unfinished"));
    assert!(agent.metrics().contains("weir_tail_finished_files_total{tail=\"app\"} 1"));
    assert!(logs.join("unfinished.log").exists(), "half a line is not delivered");
    assert_eq!(fs::read_dir(&logs).unwrap().count(), 1, "nothing is left of the other");
}

#[test]
fn what_waits_in_the_queue_is_not_put_away() {
    let scratch = Scratch::new("put-away-not");
    let logs = scratch.folder("logs");
    fs::write(logs.join("a.log"), lines("a")).unwrap();
    let settings = "when_done = \"delete\"\ndone_after = \"0 s\"";

    let agent = Agent::start(&scratch, &config(&scratch, settings, false));
    LogFile::wait_until_read(&agent, "app", &logs);
    // Ten scans.
    std::thread::sleep(Duration::from_secs(1));

    assert_eq!(fs::read_to_string(logs.join("a.log")).unwrap(), lines("a"));
}

/// What `weir status` says of the only file: its bytes, how far it is queued, and whether it may be
/// deleted.
fn stands(agent: &Agent) -> Option<(u64, u64, bool)> {
    let status = agent.status();
    let file = status["tails"]["app"].as_array()?.first()?.clone();
    Some((file["bytes"].as_u64()?, file["queued"].as_u64()?, file["is_delivered"].as_bool()?))
}

#[test]
fn a_file_written_anew_is_not_called_delivered_after_a_kill_because_the_one_before_was() {
    let scratch = Scratch::new("put-away-killed");
    let logs = scratch.folder("logs");
    let write = |name: &str| fs::write(logs.join("a.log"), lines(name)).unwrap();
    let committed = |agent: &Agent| agent.status()["streams"]["s"]["committed"].as_u64();
    let all = lines("a").len() as u64;
    write("a");
    let agent = Agent::start(&scratch, &config(&scratch, "", true));
    wait_for("the file to be delivered", || {
        (stands(&agent) == Some((all, all, true))).then_some(())
    });
    // What is known of files is saved at a stop.
    assert!(agent.terminate().success());

    let agent = Agent::start(&scratch, &config(&scratch, "", false));
    wait_for("the file to be known again", || (stands(&agent)? == (all, all, true)).then_some(()));
    write("b");
    wait_for("the new lines to be stored", || (committed(&agent) == Some(100)).then_some(()));
    agent.kill();

    let agent = Agent::start(&scratch, &config(&scratch, "", false));
    wait_for("the file to be known again", || stands(&agent).filter(|now| now.1 == all));
    assert_eq!(stands(&agent), Some((all, all, false)), "its lines wait in the queue");
    agent.kill();

    let agent = Agent::start(&scratch, &config(&scratch, "", true));
    wait_for("the file to be delivered", || {
        (stands(&agent) == Some((all, all, true))).then_some(())
    });
    let arrived = arrived(&scratch.join("out"));
    assert!(arrived.contains(&lines("a")) && arrived.contains(&lines("b")), "{arrived}");
    assert_eq!(arrived.lines().count(), 100);
}

#[test]
fn delivered_files_go_to_a_folder_of_their_own_and_old_ones_are_passed_over() {
    let scratch = Scratch::new("put-away-moved");
    let (logs, done) = (scratch.folder("logs"), scratch.folder("delivered"));
    fs::write(logs.join("new.log"), lines("new")).unwrap();
    fs::write(logs.join("old.log"), lines("old")).unwrap();
    let old = File::options().append(true).open(logs.join("old.log")).unwrap();
    old.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)).unwrap();
    let settings = format!(
        "ignore_older = \"1 d\"\nwhen_done = \"move\"\ndone_after = \"0 s\"\ndone_folder = {:?}",
        done.display().to_string()
    );

    let agent = Agent::start(&scratch, &config(&scratch, &settings, true));
    wait_for("the file to be moved", || done.join("new.log").exists().then_some(()));
    (&old).write_all(b"old and added\n").unwrap();
    let out = scratch.join("out");
    wait_for("what was added", || arrived(&out).contains("old and added").then_some(()));

    assert_eq!(fs::read_to_string(done.join("new.log")).unwrap(), lines("new"));
    assert_eq!(arrived(&out).lines().filter(|line| line.starts_with("old")).count(), 1);
    assert!(logs.join("old.log").exists(), "it was passed over in part");
    drop(agent);
}
