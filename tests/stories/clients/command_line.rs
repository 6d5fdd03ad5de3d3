//! The AWS CLI puts, lists page by page, and comes again where it is held back, by its own policy.

use std::process::Command;

use serde_json::{Value, json};

use super::{ALIAS, config, endpoint, run};
use crate::support::agent::Agent;
use crate::support::books::{Books, Row};
use crate::support::peers::{Kinesis, venv_program};
use crate::support::scratch::Scratch;
use crate::support::wait_for;

/// One call; what it says, as JSON.
#[track_caller]
pub(super) fn aws(
    scratch: &Scratch,
    agent: &Agent,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> Value {
    let mut command = Command::new(venv_program("python"));
    command.arg(venv_program("aws")).args(["--endpoint-url", &endpoint(agent), "--output", "json"]);
    command.args(arguments).envs(environment.iter().copied());
    let said = run(scratch, command, "");
    serde_json::from_str(&said).unwrap()
}

/// One record.
fn put_record(scratch: &Scratch, agent: &Agent, data: &str) -> Value {
    let put = ["kinesis", "put-record", "--stream-name", ALIAS, "--partition-key", "k", "--data"];
    let patient = [("AWS_RETRY_MODE", "standard"), ("AWS_MAX_ATTEMPTS", "30")];
    aws(scratch, agent, &[&put[..], &[data]].concat(), &patient)
}

#[test]
fn it_puts_and_lists_page_by_page() {
    let scratch = Scratch::new("clients-cli");
    let mut kinesis = Kinesis::start();
    kinesis.create_stream("orders", 7);
    let destination = kinesis.destination("cloud", "orders");
    let agent = Agent::start(&scratch, &config(&scratch, "", &destination));
    wait_for("the agent to know the shards", || {
        agent.log().contains("the shards of the stream are known").then_some(())
    });
    kinesis.vanish();
    let aws = |arguments: &[&str]| aws(&scratch, &agent, arguments, &[]);
    let records = "Data=hello,PartitionKey=a Data=there,PartitionKey=b";

    let mut put = vec!["kinesis", "put-records", "--stream-name", ALIAS, "--records"];
    put.extend(records.split(' '));
    let put = aws(&put);
    let summary = aws(&["kinesis", "describe-stream-summary", "--stream-name", ALIAS]);
    let listed = aws(&["kinesis", "list-streams", "--page-size", "1"]);
    let whole = aws(&["kinesis", "list-shards", "--stream-name", ALIAS]);
    let page = ["kinesis", "list-shards", "--no-paginate", "--max-results", "4"];
    let first = aws(&[&page[..], &["--stream-name", ALIAS]].concat());
    let token = first["NextToken"].as_str().unwrap();
    let last = aws(&[&page[..], &["--next-token", token]].concat());

    assert_eq!(put["FailedRecordCount"], 0, "{put}");
    let arn = format!("arn:aws:kinesis:eu-west-1:000000000000:stream/{ALIAS}");
    assert_eq!(summary["StreamDescriptionSummary"]["StreamARN"], arn);
    assert_eq!(listed["StreamNames"], json!(["orders", ALIAS]));
    let shards = |said: &Value| said["Shards"].as_array().unwrap().clone();
    assert_eq!(shards(&whole).len(), 7, "{whole}");
    assert_eq!([shards(&first), shards(&last)].concat(), shards(&whole));
    assert_eq!((shards(&first).len(), &last["NextToken"]), (4, &Value::Null));
    kinesis.appear();
    assert_eq!(Books::settled(&agent).row("orders", "cloud").delivered, 2);
    let mut payloads = kinesis.payloads("orders");
    payloads.sort();
    assert_eq!(payloads, [b"hello".to_vec(), b"there".to_vec()]);
}

/// Five at once, of which the plan lets one a second through; again until one of them was held back.
#[test]
fn it_comes_again_where_a_plan_holds_it_back() {
    let scratch = Scratch::new("clients-cli-slow");
    let kinesis = Kinesis::start();
    kinesis.create_stream("orders", 1);
    let plan = "plan = \"slow\"\n[plan.slow]\nrate = \"1/s\"\nburst = 1\n";
    let destination = kinesis.destination("cloud", "orders");
    let agent = Agent::start(&scratch, &config(&scratch, plan, &destination));

    let mut told: Vec<String> = Vec::new();
    wait_for("a call to be held back", || {
        let first = told.len();
        std::thread::scope(|scope| {
            let put = |number: usize| {
                let (scratch, agent) = (&scratch, &agent);
                scope.spawn(move || put_record(scratch, agent, &format!("record {number:03}")))
            };
            let started: Vec<_> = (first..first + 5).map(put).collect();
            let number = |said: Value| said["SequenceNumber"].as_str().unwrap().to_owned();
            told.extend(started.into_iter().map(|one| number(one.join().unwrap())));
        });
        (refusals(&agent, "too-fast") > 0).then_some(())
    });

    let count = told.len();
    told.sort();
    told.dedup();
    assert_eq!(told.len(), count);
    let all = count as u64;
    let delivered = Row { accepted: all, delivered: all, ..Row::default() };
    assert_eq!(Books::settled(&agent).row("orders", "cloud"), delivered);
    let mut payloads = kinesis.payloads("orders");
    payloads.sort();
    let expected = (0..count).map(|number| format!("record {number:03}").into_bytes());
    assert_eq!(payloads, expected.collect::<Vec<_>>());
}

#[test]
fn it_comes_again_until_a_full_queue_has_room() {
    let scratch = Scratch::new("clients-cli-full");
    let mut kinesis = Kinesis::start();
    kinesis.create_stream("orders", 1);
    let destination = kinesis.destination("cloud", "orders");
    kinesis.vanish();
    let open = "[http.open]\nlisten = \"127.0.0.1:0\"\n";
    let text = config(&scratch, open, &destination)
        .replace("destinations =", "queue = { max_bytes = \"4 MiB\" }\ndestinations =");
    let agent = Agent::start(&scratch, &text);
    // Somebody else fills the queue, by another door.
    let client = agent.client("open");
    let filled = (0..100)
        .take_while(|_| client.post("orders", &vec![b'.'; 64 << 10]).unwrap().status == 202)
        .count() as u64;
    assert!(filled < 100, "4 MiB were full");

    // As large as the others: there may be room for less.
    let last = format!("at last{}", ".".repeat(64 << 10));
    let said = std::thread::scope(|scope| {
        let said = scope.spawn(|| put_record(&scratch, &agent, &last));
        wait_for("the CLI to be turned away again", || {
            (refusals(&agent, "queue-full") > 1).then_some(())
        });
        kinesis.appear();
        said.join().unwrap()
    });

    assert!(said["SequenceNumber"].is_string(), "{said}");
    let all = filled + 1;
    let delivered = Row { accepted: all, delivered: all, ..Row::default() };
    assert_eq!(Books::settled(&agent).row("orders", "cloud"), delivered);
    let payloads = kinesis.payloads("orders");
    assert_eq!(payloads.iter().filter(|one| *one == last.as_bytes()).count(), 1);
    assert_eq!(payloads.len() as u64, all);
}

/// How many calls were turned away at the door of the SDKs.
fn refusals(agent: &Agent, reason: &str) -> u64 {
    let line = format!("weir_refusals_total{{source=\"http.sdks\",reason=\"{reason}\"}} ");
    let metrics = agent.metrics();
    let value = metrics.lines().find_map(|one| one.strip_prefix(&line));
    value.map_or(0, |count| count.parse().unwrap())
}
