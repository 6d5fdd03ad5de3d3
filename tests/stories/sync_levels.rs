//! `queue.sync` says when records are on stable storage; whatever it says, a crash of the agent alone
//! takes nothing that was answered.

use crate::support::agent::Agent;
use crate::support::books::{Books, Row};
use crate::support::scratch::Scratch;
use crate::support::wait_for;

const RECORDS: u64 = 10;

/// Nothing answers at port 1: records wait.
fn config(sync: &str) -> String {
    format!(
        r#"
        grace = "1 s"
        [http.local]
        listen = "127.0.0.1:0"
        [stream.orders]
        destinations = ["cloud"]
        queue.sync = "{sync}"
        [destination.cloud]
        type = "kinesis"
        stream_name = "orders"
        region = "eu-west-1"
        endpoint_url = "http://127.0.0.1:1"
        retry_max = "1 s"
        "#
    )
}

fn number(agent: &Agent, metric: &str) -> u64 {
    let start = format!("{metric}{{stream=\"orders\"}} ");
    let metrics = agent.metrics();
    let line = metrics.lines().find_map(|line| line.strip_prefix(&start));
    line.unwrap_or_else(|| panic!("no {metric} in {metrics}")).parse().unwrap()
}

fn post(agent: &Agent) {
    for _ in 0..RECORDS {
        assert_eq!(agent.client("local").post("orders", b"one").unwrap().status, 202);
    }
}

#[track_caller]
fn waits(agent: &Agent, count: u64) {
    let row = Row { accepted: count, waiting: count, ..Row::default() };
    assert_eq!(Books::check(agent).row("orders", "cloud"), row);
}

/// Takes records, has them looked at, dies, takes more and stops in order.
#[track_caller]
fn check(sync: &str, look: impl Fn(&Agent)) {
    let scratch = Scratch::new("sync-level");
    let agent = Agent::start(&scratch, &config(sync));
    post(&agent);
    look(&agent);
    agent.kill();

    let agent = Agent::start(&scratch, &config(sync));
    waits(&agent, RECORDS);
    post(&agent);
    assert_eq!(agent.terminate().code(), Some(0));

    let agent = Agent::start(&scratch, &config("always"));
    waits(&agent, 2 * RECORDS);
    assert_eq!(agent.terminate().code(), Some(0));
}

#[test]
fn at_always_every_answer_waited_for_a_sync() {
    check("always", |agent| {
        assert_eq!(number(agent, "weir_queue_frames_total"), RECORDS);
        assert_eq!(number(agent, "weir_queue_unsynced_records"), 0);
        // The first came with its segment's name.
        assert!(number(agent, "weir_queue_sync_seconds_count") >= RECORDS - 1);
    });
}

#[test]
fn at_an_interval_answers_wait_for_no_sync_and_one_follows_in_time() {
    check("1 min", |agent| {
        assert_eq!(number(agent, "weir_queue_sync_seconds_count"), 0);
        assert_eq!(number(agent, "weir_queue_unsynced_records"), RECORDS - 1);
    });
    check("100 ms", |agent| {
        wait_for("the sync", || (number(agent, "weir_queue_unsynced_records") == 0).then_some(()));
        let syncs = number(agent, "weir_queue_sync_seconds_count");
        assert!((1..=RECORDS).contains(&syncs), "{syncs}");
    });
}

#[test]
fn at_os_the_system_alone_syncs() {
    check("os", |agent| {
        assert_eq!(number(agent, "weir_queue_sync_seconds_count"), 0);
    });
}
