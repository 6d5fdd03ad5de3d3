//! Two agents in a row balance their books, and what one packs the other passes on.

use super::{ALIAS, Given, KEY, check_arrived, config};
use crate::support::agent::Agent;
use crate::support::books::{Books, Row};
use crate::support::peers::Kinesis;
use crate::support::scratch::Scratch;
use crate::support::wait_for;

/// One weir sends to another, which sends to the cloud: what is packed for the shards of the cloud at the
/// edge lies whole in one of them there, and the books of both balance.
#[test]
fn an_agent_that_sends_to_another_packs_for_the_shards_behind_it() {
    let (edge_scratch, hub_scratch) = (Scratch::new("chain-edge"), Scratch::new("chain-hub"));
    let mut kinesis = Kinesis::start();
    kinesis.create_stream("orders", 4);
    let destination = kinesis.destination("cloud", "orders");
    let hub = Agent::start(&hub_scratch, &config(&hub_scratch, "", &destination));
    wait_for("the hub to know the shards", || {
        let log = hub.log();
        log.contains("the shards of the stream are known").then_some(())
    });
    kinesis.vanish();
    let url = format!("http://{}", hub.http("sdks"));
    let edge = Agent::start(
        &edge_scratch,
        &format!(
            "[http.local]\nlisten = \"127.0.0.1:0\"\n[stream.orders]\ndestinations = [\"hub\"]\n\
             [destination.hub]\ntype = \"kinesis\"\nstream_name = \"{ALIAS}\"\nregion = \"eu-west-1\"\n\
             endpoint_url = \"{url}\"\nlinger = \"1 s\"\nretry_max = \"1 s\"\nordering = \"key\"\n\
             access_key_id = \"{}\"\nsecret_access_key = \"{}\"\n",
            KEY.0, KEY.1
        ),
    );
    let client = edge.client("local");
    let keys: Vec<String> = (0..16).map(|number| format!("device {number}")).collect();
    let mut all = Vec::new();
    for (number, key) in keys.iter().cycle().take(48).enumerate() {
        let lines: Vec<String> =
            (0..50).map(|line| format!("{{\"batch\":{number:03},\"line\":{line}}}")).collect();
        let headers =
            [("content-type", "application/x-ndjson"), ("weir-partition-key", key.as_str())];
        let body = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        assert_eq!(client.post_with("orders", body.as_bytes(), &headers).unwrap().status, 202);
        let given =
            |line: String| Given { data: line.into(), key: Some(key.clone()), hash_key: None };
        all.extend(lines.into_iter().map(given));
    }

    let of_edge = Books::settled(&edge).row("orders", "hub");
    let waiting = Books::check(&hub).row("orders", "cloud");
    kinesis.appear();
    let of_hub = Books::settled(&hub).row("orders", "cloud");

    let count = all.len() as u64;
    assert_eq!(of_edge, Row { accepted: count, delivered: count, ..Row::default() });
    assert!(waiting.accepted < count / 4, "{} of {count} came unpacked", waiting.accepted);
    assert_eq!(of_hub.delivered, waiting.accepted);
    check_arrived(&all, &kinesis.records("orders"));
    drop((edge, hub));
}
