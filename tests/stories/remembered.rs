//! What was learned of a stream holds after a restart: without an uplink large records wait, and
//! with it small ones travel together once the shards were asked again.

use tokio::runtime::Runtime;

use crate::support::agent::{Agent, orders_to_kinesis, weir};
use crate::support::books::{Books, Row};
use crate::support::fake_upstream::FakeUpstream;
use crate::support::scratch::Scratch;
use crate::support::wait_for;

const BY_KEYS: Option<&str> = Some("USER_PARTITION_KEY");
const SMALL: usize = 400;
/// More than every stream takes, less than this one says it takes.
const LARGE_BYTES: usize = 3 << 19;

#[test]
fn a_restart_without_an_uplink_knows_the_size_of_records_and_the_shards() {
    let (scratch, runtime) = (Scratch::new("remembered"), Runtime::new().unwrap());
    let upstream = runtime.block_on(FakeUpstream::start());
    upstream.shards(4, 0, BY_KEYS);
    let address = upstream.address();
    let config = orders_to_kinesis(&upstream.url(), "max_record = \"2 MiB\"");
    let config = config.replace("linger = \"10 ms\"", "linger = \"300 ms\"");
    let agent = Agent::start(&scratch, &config);
    assert_eq!(agent.client("local").post("orders", b"first").unwrap().status, 202);
    Books::settled(&agent);
    let looks = upstream.looks();
    assert_eq!(looks, 2, "the summary and the shards");
    assert!(agent.terminate().success());

    // What is fresh is not asked again, however often it is started.
    let agent = Agent::start(&scratch, &config);
    assert_eq!(agent.client("local").post("orders", b"second").unwrap().status, 202);
    Books::settled(&agent);
    assert_eq!(upstream.looks(), looks);
    assert!(agent.terminate().success());

    runtime.block_on(upstream.stop());
    let agent = Agent::start(&scratch, &config);
    let client = agent.client("local");
    assert_eq!(client.post("orders", &vec![b'x'; LARGE_BYTES]).unwrap().status, 202);
    let lines: Vec<String> = (0..SMALL).map(|number| format!("line {number}")).collect();
    assert_eq!(client.post_lines("orders", &lines).unwrap().status, 202);
    let destination =
        |agent: &Agent| agent.status()["streams"]["orders"]["destinations"]["cloud"].take();
    wait_for("the hold", || (!destination(&agent)["hold"].is_null()).then_some(()));
    assert_eq!(destination(&agent)["dead"], 0, "the large one waits");

    let upstream = runtime.block_on(FakeUpstream::start_at(address));
    upstream.shards(4, 0, BY_KEYS);
    let books = Books::settled(&agent);

    let all = SMALL as u64 + 3;
    let delivered = Row { accepted: all, delivered: all, ..Row::default() };
    assert_eq!(books.row("orders", "cloud"), delivered);
    let taken = upstream.taken();
    assert!(taken.iter().any(|one| one.data.len() == LARGE_BYTES));
    assert!(taken.len() <= 40, "{} entries: four shards, some requests", taken.len());
    assert!(agent.terminate().success());
}

#[test]
fn a_list_of_shards_that_is_behind_is_told_and_a_restart_does_not_send_by_it_again() {
    let (scratch, runtime) = (Scratch::new("behind"), Runtime::new().unwrap());
    let upstream = runtime.block_on(FakeUpstream::start());
    upstream.shards(2, 0, BY_KEYS);
    let config = orders_to_kinesis(&upstream.url(), "");
    let config = config.replace("linger = \"10 ms\"", "linger = \"300 ms\"");
    let agent = Agent::start(&scratch, &config);
    let send = |agent: &Agent| {
        let lines: Vec<String> = (0..SMALL).map(|number| format!("line {number}")).collect();
        assert_eq!(agent.client("local").post_lines("orders", &lines).unwrap().status, 202);
        Books::settled(agent);
    };
    let strayed = |agent: &Agent| {
        let metrics = agent.metrics();
        let name = "weir_delivery_strayed_records_total{";
        let line = metrics.lines().find(|line| line.starts_with(name)).unwrap();
        line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    send(&agent);
    assert_eq!(strayed(&agent), 0);

    upstream.shards_unlisted(8, 10);
    send(&agent);
    send(&agent);
    assert!((1..=SMALL as u64).contains(&strayed(&agent)), "{}", strayed(&agent));
    let words = "answers name other shards than the stream lists";
    wait_for("the warning", || agent.log().contains(words).then_some(()));
    let file = scratch.join("weir.toml").display().to_string();
    let shown = weir(&scratch, &["status", "--config", &file]).succeeded();
    assert!(shown.contains("its answers name other shards than it lists"), "{shown}");
    assert!(
        agent
            .metrics()
            .contains("weir_delivery_shards_in_doubt{stream=\"orders\",destination=\"cloud\"} 1")
    );
    assert!(agent.terminate().success());

    let agent = Agent::start(&scratch, &config);
    send(&agent);
    assert_eq!(strayed(&agent), 0, "what was contradicted is known");
    assert!(agent.terminate().success());
}

#[test]
fn permissions_that_are_missing_are_named_once_in_the_log_and_in_the_status() {
    let (scratch, runtime) = (Scratch::new("missing"), Runtime::new().unwrap());
    let upstream = runtime.block_on(FakeUpstream::start());
    let agent = Agent::start(&scratch, &orders_to_kinesis(&upstream.url(), ""));
    assert_eq!(agent.client("local").post("orders", b"first").unwrap().status, 202);
    Books::settled(&agent);

    let missing = ["kinesis:DescribeStreamSummary", "kinesis:ListShards"];
    let status = agent.status()["streams"]["orders"]["destinations"]["cloud"].take();
    assert_eq!(status["missing_permissions"], serde_json::json!(missing));
    wait_for("a second look", || (upstream.looks() >= 4).then_some(()));
    let log = agent.log();
    for permission in missing {
        let told = log.lines().filter(|line| line.contains(permission)).count();
        assert_eq!(told, 1, "{permission}: {log}");
    }
    let file = scratch.join("weir.toml").display().to_string();
    let shown = weir(&scratch, &["status", "--config", &file]).succeeded();
    let words = "orders to cloud: the policy lacks kinesis:DescribeStreamSummary and \
                 kinesis:ListShards, so records are not aggregated";
    assert!(shown.contains(words), "{shown}");
    assert!(agent.terminate().success());
}
