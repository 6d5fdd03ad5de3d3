//! Asked to stop, weir delivers what it can, names what waits, exits 0, and goes on where it was.

use std::collections::BTreeSet;

use crate::support::agent::Agent;
use crate::support::books::{Books, Row, compare};
use crate::support::peers::Kinesis;
use crate::support::scratch::Scratch;

fn config(kinesis: &Kinesis, grace: &str) -> String {
    format!(
        r#"
        grace = "{grace}"
        [http.local]
        listen = "127.0.0.1:0"
        [stream.orders]
        destinations = ["cloud"]
        {}
        "#,
        kinesis.destination("cloud", "orders"),
    )
}

fn orders(count: usize) -> Vec<String> {
    (0..count).map(|number| format!(r#"{{"order":{number}}}"#)).collect()
}

#[test]
fn what_is_under_way_is_delivered_before_the_end() {
    let scratch = Scratch::new("stop-drains");
    let kinesis = Kinesis::start();
    kinesis.create_stream("orders", 2);
    let agent = Agent::start(&scratch, &config(&kinesis, "60 s"));

    let orders = orders(3_000);
    assert_eq!(agent.client("local").post_lines("orders", &orders).unwrap().status, 202);
    let ended = agent.terminate();

    assert_eq!(ended.code(), Some(0));
    let sent: BTreeSet<String> = orders.into_iter().collect();
    compare(&sent, &BTreeSet::new(), kinesis.payloads("orders")).complete("kinesis", 0);
    assert!(!scratch.join("state/addresses.json").exists(), "the addresses are gone with it");
}

#[test]
fn what_waits_is_named_at_the_end_and_delivered_after_the_next_start() {
    let scratch = Scratch::new("stop-names");
    let mut kinesis = Kinesis::start();
    kinesis.create_stream("orders", 2);
    kinesis.vanish();
    let config = config(&kinesis, "1 s");
    let agent = Agent::start(&scratch, &config);
    let orders = orders(57);
    assert_eq!(agent.client("local").post_lines("orders", &orders).unwrap().status, 202);

    let log = {
        let ended = agent.terminate();
        assert_eq!(ended.code(), Some(0));
        std::fs::read_to_string(scratch.join("weir.log")).unwrap()
    };

    let last = log.lines().last().unwrap_or_default();
    assert!(last.contains("stopped; 57 records wait on disk"), "{last}");

    kinesis.appear();
    let agent = Agent::start(&scratch, &config);
    let books = Books::settled(&agent);

    let all = Row { accepted: 57, delivered: 57, ..Row::default() };
    assert_eq!(books.row("orders", "cloud"), all);
    let sent: BTreeSet<String> = orders.into_iter().collect();
    compare(&sent, &BTreeSet::new(), kinesis.payloads("orders")).complete("kinesis", 0);
    assert_eq!(agent.terminate().code(), Some(0));
}
