//! CloudWatch gets the books as lines that it makes metrics of: each line keeps the rules of the
//! embedded metric format, and their sums are the ledger.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::agent::{Agent, ORDERS_TO_ARCHIVE};
use crate::support::books::Books;
use crate::support::scratch::Scratch;
use crate::support::wait_for;

/// All that CloudWatch knows, of those that weir uses.
const UNITS: [&str; 3] = ["Count", "Bytes", "Seconds"];

fn lines(log: &str) -> Vec<Value> {
    let values = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    values.filter(|value| value.get("_aws").is_some()).collect()
}

/// The specification, sentence by sentence.
fn check(document: &Value) {
    let root = document.as_object().unwrap();
    let meta = document["_aws"].as_object().unwrap();
    let timestamp = meta["Timestamp"].as_u64().unwrap();
    assert!(timestamp > 1_700_000_000_000, "milliseconds since 1970: {document}");
    let directives = meta["CloudWatchMetrics"].as_array().unwrap();
    assert!(!directives.is_empty());
    for directive in directives {
        let namespace = directive["Namespace"].as_str().unwrap();
        assert!((1..=1_024).contains(&namespace.len()));
        for set in directive["Dimensions"].as_array().unwrap() {
            let set = set.as_array().unwrap();
            assert!((1..=30).contains(&set.len()), "{document}");
            for dimension in set {
                let value = root[dimension.as_str().unwrap()].as_str().unwrap();
                assert!((1..=1_024).contains(&value.chars().count()), "{document}");
            }
        }
        let metrics = directive["Metrics"].as_array().unwrap();
        assert!((1..=100).contains(&metrics.len()), "{document}");
        for metric in metrics {
            let name = metric["Name"].as_str().unwrap();
            assert!(root[name].is_number(), "{name}: {document}");
            assert!(UNITS.contains(&metric["Unit"].as_str().unwrap()), "{document}");
        }
    }
}

#[test]
fn each_line_keeps_the_rules_and_their_sums_are_the_ledger() {
    let scratch = Scratch::new("metered");
    let config = format!("emf = {{ to = \"stdout\", every = \"1 s\" }}\n{ORDERS_TO_ARCHIVE}");
    let agent = Agent::start(&scratch, &config);
    for number in 0..5 {
        let sent: Vec<String> = (0..10).map(|line| format!("{number} {line}")).collect();
        assert_eq!(agent.client("local").post_lines("orders", &sent).unwrap().status, 202);
    }
    Books::settled(&agent);
    let sum =
        |all: &[Value], name: &str| all.iter().map(|one| one[name].as_u64().unwrap()).sum::<u64>();
    wait_for("a line that knows of all", || {
        (sum(&lines(&agent.log()), "Delivered") == 50).then_some(())
    });
    assert_eq!(agent.client("local").post("orders", b"last").unwrap().status, 202);
    let log = scratch.join("weir.log");
    assert_eq!(agent.terminate().code(), Some(0));

    let all = lines(&std::fs::read_to_string(log).unwrap());
    all.iter().for_each(check);
    // The last line is written when everything is settled.
    assert_eq!((sum(&all, "Accepted"), sum(&all, "Delivered")), (51, 51));
    let last = all.last().unwrap();
    assert_eq!((&last["stream"], &last["destination"]), (&"orders".into(), &"archive".into()));
    for gauge in ["Waiting", "WaitingBytes", "OldestAge", "Held", "Dead"] {
        assert_eq!(last[gauge], 0, "{gauge}: {last}");
    }
    let by_time: BTreeMap<u64, &Value> =
        all.iter().map(|one| (one["_aws"]["Timestamp"].as_u64().unwrap(), one)).collect();
    assert_eq!(by_time.len(), all.len(), "one line at a time");
}
