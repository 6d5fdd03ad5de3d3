//! `weir doctor` looks at the host and asks the upstream: what is missing is named with what it
//! costs, and nothing is put into a stream.

use serde_json::Value;
use tokio::runtime::Runtime;

use crate::support::agent::{Ended, configure, orders_to_kinesis, weir};
use crate::support::fake_upstream::{Answer, FakeUpstream};
use crate::support::peers::Kinesis;
use crate::support::scratch::Scratch;

/// What was found out of one thing: how it is, and the words.
#[track_caller]
fn found(ended: &Ended, what: &str) -> (String, String) {
    let rows: Value = serde_json::from_str(&ended.stdout).unwrap();
    let row = rows.as_array().unwrap().iter().find(|row| row["what"] == what);
    let row = row.unwrap_or_else(|| panic!("nothing about {what} in {rows}"));
    let text = |name: &str| row[name].as_str().unwrap().to_owned();
    (text("health"), text("words"))
}

fn doctor(scratch: &Scratch, url: &str) -> Ended {
    let file = configure(scratch, &orders_to_kinesis(url, ""));
    scratch.folder("state");
    weir(scratch, &["doctor", "--json", "--config", file.to_str().unwrap()])
}

#[test]
fn an_upstream_that_is_well_is_called_well_and_gets_no_record() {
    let scratch = Scratch::new("doctor-well");
    let kinesis = Kinesis::start();
    kinesis.create_stream("orders", 3);

    let ended = doctor(&scratch, &kinesis.url());

    assert_eq!(ended.code, Some(0), "{ended:?}");
    for what in ["sync", "credentials", "kinesis:PutRecords", "kinesis:DescribeStreamSummary"] {
        assert_eq!(found(&ended, what).0, "well", "{what}: {ended:?}");
    }
    assert_eq!(found(&ended, "kinesis:ListShards"), ("well".into(), "3 open".into()));
    assert_eq!(kinesis.payloads("orders"), Vec::<Vec<u8>>::new());
    assert_eq!(std::fs::read_dir(scratch.join("state")).unwrap().count(), 0);
}

#[test]
fn a_policy_that_grants_only_putting_is_enough_and_what_it_costs_is_named() {
    let runtime = Runtime::new().unwrap();
    let fake = runtime.block_on(FakeUpstream::start());
    let scratch = Scratch::new("doctor-poor");
    fake.script(|_| Answer::refuse(400, "DryRunOperationException", "it would have worked"));

    let ended = doctor(&scratch, &fake.url());

    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(found(&ended, "kinesis:PutRecords").0, "well");
    for what in ["kinesis:DescribeStreamSummary", "kinesis:ListShards"] {
        let (health, words) = found(&ended, what);
        assert_eq!(health, "note");
        assert!(words.contains("not allowed; without it, ") && words.contains("aggregated"));
    }
    fake.script(|_| Answer::refuse(400, "AccessDeniedException", "not for you"));
    let denied = doctor(&scratch, &fake.url());
    assert_eq!(denied.code, Some(77), "{denied:?}");
    assert_eq!(found(&denied, "kinesis:PutRecords").0, "fault");
    assert_eq!(fake.taken_count(), 0);
}

#[test]
fn a_stream_that_is_missing_and_an_upstream_that_is_away_are_told_apart() {
    let scratch = Scratch::new("doctor-away");
    let mut kinesis = Kinesis::start();

    let missing = doctor(&scratch, &kinesis.url());
    kinesis.vanish();
    let away = doctor(&scratch, &kinesis.url());

    assert_eq!((missing.code, away.code), (Some(78), Some(69)), "{missing:?} {away:?}");
    let words = found(&missing, "kinesis:DescribeStreamSummary").1;
    assert!(words.starts_with("ResourceNotFoundException"), "{words}");
    assert!(found(&away, "kinesis:PutRecords").1.starts_with("connection-refused"));
}
