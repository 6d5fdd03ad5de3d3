//! Many records travel as one, and a consumer that others wrote gets each of them back; a reshard
//! in the middle loses none.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::agent::Agent;
use crate::support::books::{Books, Row};
use crate::support::client::{Client, NDJSON, ndjson};
use crate::support::peers::{Arrival, Kinesis};
use crate::support::scratch::Scratch;

fn agent(scratch: &Scratch, kinesis: &Kinesis, more: &str) -> Agent {
    Agent::start(
        scratch,
        &format!(
            "[http.local]\nlisten = [\"127.0.0.1:0\"]\n[stream.orders]\ndestinations = [\"cloud\"]\n\
             {}{more}",
            kinesis.destination("cloud", "orders")
        ),
    )
}

const KEYS: usize = 8;
const LINES: usize = 250;

/// What was handed in under each key, in order.
type Sent = BTreeMap<String, Vec<Vec<u8>>>;

/// Hands in lines under keys of many kinds, and one record of all bytes under each.
fn hand_in(client: &Client, round: usize) -> Sent {
    let mut sent = Sent::new();
    for number in 0..KEYS {
        let key = format!("device {number} é{}", "x".repeat(number * 17));
        let headers = [("content-type", NDJSON), ("weir-partition-key", key.as_str())];
        let line = |line: usize| format!("{{\"round\":{round},\"key\":{number},\"line\":{line}}}");
        let lines: Vec<String> = (0..LINES).map(line).collect();
        let answer = client.post_with("orders", ndjson(&lines).as_bytes(), &headers).unwrap();
        assert_eq!(answer.status, 202, "{answer:?}");
        let bytes: Vec<u8> = (0..=255).cycle().skip(round + number).take(700).collect();
        let headers = [("weir-partition-key", key.as_str())];
        assert_eq!(client.post_with("orders", &bytes, &headers).unwrap().status, 202);
        let lines = lines.into_iter().map(String::into_bytes);
        sent.insert(key, lines.chain([bytes]).collect());
    }
    sent
}

fn by_key(arrived: &[Arrival]) -> Sent {
    let mut all = Sent::new();
    for one in arrived {
        all.entry(one.partition_key.clone()).or_default().push(one.data.clone());
    }
    all
}

fn number(agent: &Agent, metric: &str) -> u64 {
    let metrics = agent.metrics();
    let line = metrics.lines().find(|line| line.starts_with(metric)).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn another_implementation_gets_back_every_record_with_its_key_in_order() {
    every_record_comes_back("json");
}

#[test]
fn another_implementation_gets_back_what_it_was_given_in_cbor() {
    every_record_comes_back("cbor");
}

fn every_record_comes_back(protocol: &str) {
    let scratch = Scratch::new(&format!("aggregates-{protocol}"));
    let kinesis = Kinesis::start();
    kinesis.create_stream("orders", 4);
    let more = format!("linger = \"1 s\"\nordering = \"key\"\nprotocol = \"{protocol}\"\n");
    let agent = agent(&scratch, &kinesis, &more);

    let sent = hand_in(&agent.client("local"), 0);
    let books = Books::settled(&agent);

    let all = (KEYS * (LINES + 1)) as u64;
    let delivered = Row { accepted: all, delivered: all, ..Row::default() };
    assert_eq!(books.row("orders", "cloud"), delivered);
    let arrived = kinesis.records("orders");
    assert_eq!(by_key(&arrived), sent);
    assert!(arrived.iter().filter(|one| one.aggregated).count() > KEYS * LINES / 2);
    let entries = kinesis.entries("orders").len();
    assert!(entries <= KEYS * LINES / 20, "{entries} entries for {all} records");
    assert_eq!(number(&agent, "weir_delivery_entries_total"), entries as u64);
    assert_eq!(agent.terminate().code(), Some(0));
}

#[test]
fn an_explicit_hash_key_leads_to_its_shard_and_another_implementation_reads_it_back() {
    let scratch = Scratch::new("hash-keys");
    let kinesis = Kinesis::start();
    kinesis.create_stream("orders", 4);
    let agent = agent(&scratch, &kinesis, "linger = \"300 ms\"\nprotocol = \"cbor\"\n");
    let client = agent.client("local");
    let mut sent = BTreeMap::new();

    for (number, hash) in [0, (1 << 126) - 1, 1 << 126, u128::MAX].into_iter().enumerate() {
        let key = hash.to_string();
        let headers = [
            ("content-type", NDJSON),
            ("weir-partition-key", "the same for all"),
            ("weir-explicit-hash-key", key.as_str()),
        ];
        let lines: Vec<String> = (0..20).map(|line| format!("{number} {line}")).collect();
        let answer = client.post_with("orders", ndjson(&lines).as_bytes(), &headers).unwrap();
        assert_eq!(answer.status, 202, "{answer:?}");
        sent.extend(lines.into_iter().map(|line| (line.into_bytes(), hash)));
    }
    Books::settled(&agent);

    let arrived = kinesis.records("orders");
    assert_eq!(arrived.len(), sent.len());
    assert!(arrived.iter().all(|one| one.aggregated));
    for one in arrived {
        let (first, last) = &one.range;
        let hash = sent.remove(&one.data).unwrap();
        assert!((first.parse().unwrap()..=last.parse().unwrap()).contains(&hash), "{one:?}");
        assert_eq!((one.hash_key, one.partition_key.as_str()), (Some(hash), "the same for all"));
    }
    assert_eq!(agent.terminate().code(), Some(0));
}

#[test]
fn a_split_and_a_merge_in_the_middle_lose_nothing_and_aggregation_goes_on() {
    let scratch = Scratch::new("reshard");
    let kinesis = Kinesis::start();
    kinesis.create_stream("orders", 2);
    let agent = agent(&scratch, &kinesis, "linger = \"300 ms\"\n");
    let client = agent.client("local");
    let mut sent: BTreeSet<String> = BTreeSet::new();
    let mut round = |number: usize| {
        let of_round = hand_in(&client, number).into_values().flatten();
        sent.extend(of_round.map(|data| String::from_utf8_lossy(&data).into_owned()));
    };

    round(0);
    kinesis.split("orders", "shardId-000000000000");
    round(1);
    Books::settled(&agent);
    kinesis.split("orders", "shardId-000000000001");
    round(2);
    kinesis.merge("orders", "shardId-000000000002", "shardId-000000000003");
    round(3);
    Books::settled(&agent);
    let before = number(&agent, "weir_delivery_entries_total");
    round(4);
    Books::settled(&agent);

    let strayed = number(&agent, "weir_delivery_strayed_records_total");
    assert!(strayed > 0, "the first request after a split knows nothing of it");
    let arrived = kinesis.records("orders");
    let texts = arrived.iter().map(|one| String::from_utf8_lossy(&one.data).into_owned());
    assert_eq!(texts.collect::<BTreeSet<_>>(), sent);
    let more = arrived.len() - 5 * KEYS * (LINES + 1);
    assert!(more as u64 <= strayed, "{more} came twice, {strayed} strayed");
    let entries = number(&agent, "weir_delivery_entries_total") - before;
    assert!(entries <= 60, "{entries} entries for the last round");
    assert_eq!(agent.terminate().code(), Some(0));
}
