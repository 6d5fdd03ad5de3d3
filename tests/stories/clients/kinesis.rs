//! SDKs put into Kinesis while it is away, are held back by plans and full queues, and lose nothing.

use super::{
    Client, Given, Put, check_arrived, check_growing, config, endpoint, given, wait_for_refusal,
    waiting,
};
use crate::support::agent::{Agent, weir};
use crate::support::books::{Books, Row};
use crate::support::peers::Kinesis;
use crate::support::scratch::Scratch;

/// Puts into Kinesis while it is away, then lets it come. The content type that the client sent.
#[track_caller]
fn check_outage(client: Client) -> Option<String> {
    let scratch = Scratch::new("clients");
    let mut kinesis = Kinesis::start();
    kinesis.create_stream("orders", 2);
    let destination = kinesis.destination("cloud", "orders") + "ordering = \"key\"\n";
    kinesis.vanish();
    let agent = Agent::start(&scratch, &config(&scratch, "", &destination));
    let all = given(720);
    let (many, one) = all.split_at(700);

    let first = client.put(&scratch, &Put::kinesis(&endpoint(&agent), "many", many));
    let rest = client.put(&scratch, &Put::kinesis(&endpoint(&agent), "one", one));

    assert_eq!((first.told.len(), rest.told.len(), first.again()), (700, 20, 0));
    let told: Vec<String> = first.told.into_iter().chain(rest.told).collect();
    check_growing(&told);
    assert_eq!(waiting(&agent), 720);
    kinesis.appear();
    let delivered = Row { accepted: 720, delivered: 720, ..Row::default() };
    assert_eq!(Books::settled(&agent).row("orders", "cloud"), delivered);
    check_arrived(&all, &kinesis.records("orders"));
    assert_eq!(agent.terminate().code(), Some(0));
    first.kind
}

/// A plan that lets part of a call through: the client puts the rest again, by its own policy, and each record is
/// stored once.
#[track_caller]
fn check_plan(client: Client) {
    let scratch = Scratch::new("clients-slow");
    let kinesis = Kinesis::start();
    kinesis.create_stream("orders", 2);
    let destination = kinesis.destination("cloud", "orders") + "ordering = \"key\"\n";
    let plan = "plan = \"slow\"\n[plan.slow]\nrate = \"400/s\"\nburst = 200\n";
    let agent = Agent::start(&scratch, &config(&scratch, plan, &destination));
    let all = given(900);

    let url = endpoint(&agent);
    let put = Put::kinesis(&url, "many", &all).with_attempts(50);
    let done = client.put(&scratch, &put);

    check_growing(&done.told);
    let taken: u64 = done.calls.iter().map(|(taken, _)| taken).sum();
    assert_eq!((done.told.len(), taken), (900, 900), "{:?}", done.calls);
    let (taken, held_back) = done.calls[0];
    assert!(taken >= 200 && held_back > 0, "the bucket was empty in the middle: {:?}", done.calls);
    let delivered = Row { accepted: 900, delivered: 900, ..Row::default() };
    assert_eq!(Books::settled(&agent).row("orders", "cloud"), delivered);
    let counted = "weir_caller_records_total{caller=\"till\",stream=\"orders\"} 900";
    assert!(agent.metrics().lines().any(|line| line == counted), "{}", agent.metrics());
    check_arrived(&all, &kinesis.records("orders"));
}

/// A queue that is full until the upstream is back: the client comes again by its own policy, and nothing is lost.
#[track_caller]
fn check_full_queue(client: Client) {
    let scratch = Scratch::new("clients-full");
    let mut kinesis = Kinesis::start();
    kinesis.create_stream("full", 2);
    let destination = kinesis.destination("cloud", "full") + "ordering = \"key\"\n";
    kinesis.vanish();
    let text = config(&scratch, "", &destination).replace(
        "destinations =",
        "queue = { max_bytes = \"4 MiB\" }\nmax_record = \"256 KiB\"\ndestinations =",
    );
    let agent = Agent::start(&scratch, &text);
    let mut large = given(90);
    large.iter_mut().for_each(|one| one.data.resize(64 << 10, b'.'));

    let endpoint = endpoint(&agent);
    let put = Put::kinesis(&endpoint, "one", &large).with_attempts(100);
    let done = std::thread::scope(|scope| {
        let done = scope.spawn(|| client.put(&scratch, &put));
        wait_for_refusal(&agent, "queue-full");
        kinesis.appear();
        done.join().unwrap()
    });

    assert_eq!(done.told.len(), 90);
    let delivered = Row { accepted: 90, delivered: 90, ..Row::default() };
    assert_eq!(Books::settled(&agent).row("orders", "cloud"), delivered);
    check_arrived(&large, &kinesis.records("full"));
}

#[test]
fn boto3_puts_through_an_outage() {
    check_outage(Client::Boto3);
}

#[test]
fn boto3_puts_again_what_a_plan_held_back_in_the_middle_of_a_call() {
    check_plan(Client::Boto3);
}

#[test]
fn boto3_waits_while_the_queue_is_full() {
    check_full_queue(Client::Boto3);
}

#[test]
fn the_sdk_for_javascript_puts_through_an_outage_over_http_2() {
    check_outage(Client::JavaScript);
}

#[test]
fn the_sdk_for_javascript_puts_again_what_a_plan_held_back() {
    check_plan(Client::JavaScript);
}

#[test]
fn the_sdk_for_javascript_waits_while_the_queue_is_full() {
    check_full_queue(Client::JavaScript);
}

#[test]
fn the_sdk_for_rust_puts_through_an_outage() {
    check_outage(Client::Rust);
}

#[test]
fn the_sdk_for_rust_puts_again_what_a_plan_held_back() {
    check_plan(Client::Rust);
}

#[test]
fn the_sdk_for_rust_waits_while_the_queue_is_full() {
    check_full_queue(Client::Rust);
}

#[test]
fn the_sdk_for_java_puts_through_an_outage_in_cbor() {
    assert_eq!(check_outage(Client::Java).as_deref(), Some("application/x-amz-cbor-1.1"));
}

#[test]
fn the_sdk_for_java_puts_again_what_a_plan_held_back() {
    check_plan(Client::Java);
}

#[test]
fn the_sdk_for_java_waits_while_the_queue_is_full() {
    check_full_queue(Client::Java);
}

#[test]
fn an_explicit_hash_key_chooses_the_shard_upstream() {
    let scratch = Scratch::new("clients-hash");
    let kinesis = Kinesis::start();
    kinesis.create_stream("orders", 4);
    let destination = kinesis.destination("cloud", "orders");
    let agent = Agent::start(&scratch, &config(&scratch, "", &destination));
    let hashes = [0, 1 << 126, 1 << 127, u128::MAX];
    let record = |hash_key: u128| Given {
        data: hash_key.to_string().into_bytes(),
        key: Some("same".into()),
        hash_key: Some(hash_key),
    };
    let records = hashes.map(record);

    Client::Boto3.put(&scratch, &Put::kinesis(&endpoint(&agent), "many", &records));
    Books::settled(&agent);

    let arrived = kinesis.records("orders");
    assert_eq!(arrived.len(), 4);
    for one in arrived {
        let hash: u128 = String::from_utf8(one.data).unwrap().parse().unwrap();
        let bounds = [&one.range.0, &one.range.1].map(|bound| bound.parse::<u128>().unwrap());
        assert!((bounds[0]..=bounds[1]).contains(&hash), "{hash} in {bounds:?}");
    }
}

#[test]
fn keys_that_everybody_may_read_start_nothing() {
    let scratch = Scratch::new("clients-open");
    let kinesis = Kinesis::start();
    let text = config(&scratch, "", &kinesis.destination("cloud", "orders"));
    let mode = rustix::fs::Mode::from_raw_mode(0o644);
    rustix::fs::chmod(scratch.join("access-keys.toml"), mode).unwrap();
    let file = crate::support::agent::configure(&scratch, &text).display().to_string();

    let ended = weir(&scratch, &["run", "--config", &file]);

    assert_eq!(ended.code, Some(78), "{ended:?}");
    assert!(ended.stderr.contains("chmod 600"), "{ended:?}");
}
