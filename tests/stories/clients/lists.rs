//! The map of shards that callers get is that of the upstream, page by page, or none: who packs records by it loses
//! none of them.

use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::refused::{Said, call};
use super::{ALIAS, KEY, check_arrived, config, endpoint, given, run, waiting};
use crate::support::agent::Agent;
use crate::support::books::{Books, Row};
use crate::support::peers::{Kinesis, venv_program};
use crate::support::scratch::Scratch;
use crate::support::wait_for;

/// An open door, and a stream that leads to these destinations.
fn open(destinations: &str, tables: &str) -> String {
    format!(
        "[http.open]\nlisten = \"127.0.0.1:0\"\n\
         [stream.orders]\ndestinations = {destinations}\n{tables}"
    )
}

fn list(agent: &Agent, body: &Value) -> Said {
    call(&agent.http("open"), "Kinesis_20131202.ListShards", body)
}

fn ids(said: &Value) -> Vec<String> {
    let shards = said["Shards"].as_array().unwrap();
    shards.iter().map(|shard| shard["ShardId"].as_str().unwrap().to_owned()).collect()
}

#[track_caller]
fn check_refused(said: &Said, code: &str, status: u16) {
    let value = said.value();
    assert_eq!((value["__type"].as_str(), said.status), (Some(code), status), "{value}");
}

#[test]
fn shards_come_in_pages() {
    let scratch = Scratch::new("clients-pages");
    let kinesis = Kinesis::start();
    kinesis.create_stream("orders", 7);
    let agent =
        Agent::start(&scratch, &open("[\"cloud\"]", &kinesis.destination("cloud", "orders")));
    let of_orders = json!({"StreamName": "orders"});
    let whole = wait_for("the shards to be known", || {
        let said = list(&agent, &of_orders);
        (said.status == 200).then(|| said.value())
    });

    let all = ids(&whole);
    assert_eq!(all.len(), 7);
    assert!(whole["NextToken"].is_null(), "{whole}");
    for size in [1, 3, 6, 7, 8] {
        let mut page = list(&agent, &json!({"StreamName": "orders", "MaxResults": size})).value();
        let mut found = ids(&page);
        while let Some(token) = page["NextToken"].as_str() {
            assert_eq!(ids(&page).len(), size, "a page that others follow is full");
            page = list(&agent, &json!({"NextToken": token, "MaxResults": size})).value();
            found.extend(ids(&page));
        }
        assert_eq!(found, all, "in pages of {size}");
    }
    let behind = json!({"StreamName": "orders", "ExclusiveStartShardId": all[4]});
    assert_eq!(ids(&list(&agent, &behind).value()), all[5..]);

    let first = list(&agent, &json!({"StreamName": "orders", "MaxResults": 1})).value();
    let both = json!({"StreamName": "orders", "NextToken": first["NextToken"]});
    check_refused(&list(&agent, &both), "InvalidArgumentException", 400);
    for junk in ["", "x", "b3JkZXJz", "b3JkZXJzCnNoYXJkSWQtMQ"] {
        let said = list(&agent, &json!({"NextToken": junk}));
        check_refused(&said, "ExpiredNextTokenException", 400);
    }
    let none = json!({"StreamName": "orders", "MaxResults": 0});
    check_refused(&list(&agent, &none), "ValidationException", 400);
    check_refused(
        &list(&agent, &json!({"StreamName": "nobody"})),
        "ResourceNotFoundException",
        400,
    );
}

#[test]
fn a_map_that_is_not_known_is_none_and_records_are_taken_all_the_same() {
    let scratch = Scratch::new("clients-unknown");
    let mut kinesis = Kinesis::start();
    kinesis.create_stream("orders", 2);
    kinesis.create_stream("copy", 3);
    kinesis.vanish();
    let tables = kinesis.destination("cloud", "orders") + &kinesis.destination("other", "copy");
    let agent = Agent::start(
        &scratch,
        &(open("[\"cloud\"]", &tables) + "[stream.both]\ndestinations = [\"cloud\", \"other\"]\n"),
    );
    let unknown = |stream: &str| {
        let said = list(&agent, &json!({ "StreamName": stream }));
        check_refused(&said, "ServiceUnavailableException", 503);
        assert!(said.header("x-amz-retry-after").parse::<u64>().unwrap() >= 1000, "{said:?}");
        assert!(said.header("retry-after").parse::<u64>().unwrap() >= 1, "{said:?}");
    };

    unknown("orders");
    unknown("both");
    for stream in ["orders", "both"] {
        let put = json!({"StreamName": stream, "Data": "YQ==", "PartitionKey": "k"});
        let said = call(&agent.http("open"), "Kinesis_20131202.PutRecord", &put);
        assert_eq!(said.status, 200, "{said:?}");
    }
    kinesis.appear();

    let known = wait_for("the shards to be known", || {
        let said = list(&agent, &json!({"StreamName": "orders"}));
        (said.status == 200).then(|| ids(&said.value()))
    });
    assert_eq!(known.len(), 2);
    Books::settled(&agent);
    // There are two maps, and so there is none.
    unknown("both");
}

#[test]
fn a_stream_that_leads_to_no_shards_is_one() {
    let scratch = Scratch::new("clients-one");
    let archive = "[destination.archive]\ntype = \"directory\"\npath = \"archive\"\n";
    let agent = Agent::start(&scratch, &open("[\"archive\"]", archive));

    let said = list(&agent, &json!({"StreamName": "orders"})).value();

    let range = json!({"StartingHashKey": "0", "EndingHashKey": u128::MAX.to_string()});
    assert_eq!((ids(&said).len(), &said["Shards"][0]["HashKeyRange"]), (1, &range), "{said}");
}

/// Shards that were split and merged, as the producer library reads them; what it packs by them lies untouched
/// upstream, whole in one shard.
#[test]
fn what_a_producer_packs_by_the_map_goes_on_as_it_is() {
    let scratch = Scratch::new("clients-packed");
    let mut kinesis = Kinesis::start();
    kinesis.create_stream("orders", 3);
    kinesis.split("orders", "shardId-000000000001");
    kinesis.merge("orders", "shardId-000000000000", "shardId-000000000003");
    let destination = kinesis.destination("cloud", "orders");
    let agent = Agent::start(&scratch, &config(&scratch, "", &destination));
    wait_for("the agent to know the shards", || {
        agent.log().contains("the shards of the stream are known").then_some(())
    });
    kinesis.vanish();
    let mut all = given(300);
    all.iter_mut().enumerate().for_each(|(at, one)| one.key = Some(format!("device {}", at % 40)));
    let records: Vec<Value> =
        all.iter().map(|one| json!([BASE64_STANDARD.encode(&one.data), one.key])).collect();

    let mut command = Command::new(venv_program("python"));
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/packed.py"));
    let asked = json!({
        "endpoint": endpoint(&agent), "stream": ALIAS, "key": KEY.0, "secret": KEY.1,
        "page": 2, "records": records,
    });
    let said: Value = serde_json::from_str(&run(&scratch, command, &asked.to_string())).unwrap();

    assert_eq!((&said["pages"], &said["shards"]), (&json!(2), &json!(3)));
    let packed: Vec<String> = serde_json::from_value(said["packed"].clone()).unwrap();
    assert_eq!((packed.len(), waiting(&agent)), (3, 3));
    kinesis.appear();
    let delivered = Row { accepted: 3, delivered: 3, ..Row::default() };
    assert_eq!(Books::settled(&agent).row("orders", "cloud"), delivered);
    let mut entries: Vec<String> =
        kinesis.entries("orders").iter().map(|one| BASE64_STANDARD.encode(&one.data)).collect();
    let mut packed = packed;
    entries.sort();
    packed.sort();
    assert_eq!(entries, packed, "not a byte is another");
    check_arrived(&all, &kinesis.records("orders"));
}
