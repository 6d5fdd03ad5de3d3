//! SDKs put into Firehose while it is away, are held back by plans and full queues; every record lies in the
//! bucket once, in its order.

use super::{
    ALIAS, Client, Given, Put, check_growing, config, endpoint, wait_for_refusal, waiting,
};
use crate::support::agent::Agent;
use crate::support::books::{Books, Row};
use crate::support::gate::Gate;
use crate::support::peers::Moto;
use crate::support::scratch::Scratch;

/// Firehose with S3 behind it, away until the gate opens, and an agent before it.
struct Edge {
    moto: Moto,
    gate: Gate,
    agent: Agent,
    scratch: Scratch,
}

impl Edge {
    #[track_caller]
    fn start(more: &str, of_stream: &str) -> Self {
        let scratch = Scratch::new("clients-firehose");
        let moto = Moto::start(&scratch);
        moto.create_delivery_stream("orders");
        let gate = Gate::shut();
        let destination = moto.destination("cloud", "orders").replace(&moto.url(), &gate.url());
        // Firehose itself promises no order; with one request at a time there is one.
        let text = config(&scratch, more, &(destination + "max_in_flight = 1\n"));
        let text = text.replace("destinations =", &format!("{of_stream}destinations ="));
        let agent = Agent::start(&scratch, &text);
        Self { moto, gate, agent, scratch }
    }

    fn open(&mut self) {
        self.gate.open(self.moto.address());
    }

    /// Every record lies there once, in the order in which it was put: within an object, and from one to the next.
    #[track_caller]
    fn check_delivered(&self, all: &[Given]) {
        let count = all.len() as u64;
        let delivered = Row { accepted: count, delivered: count, ..Row::default() };
        assert_eq!(Books::settled(&self.agent).row("orders", "cloud"), delivered);
        let mut objects = self.moto.objects("orders");
        // The key ends in the second and an id of 36 characters.
        objects.iter_mut().for_each(|(key, _)| key.truncate(key.len() - 36));
        let place = |line: &[u8]| all.iter().position(|one| one.data.trim_ascii_end() == line);
        objects.sort_by_key(|(_, lines)| place(&lines[0]));
        let seconds: Vec<&str> = objects.iter().map(|(key, _)| key.as_str()).collect();
        assert!(seconds.is_sorted(), "{seconds:?}");
        let lines: Vec<&[u8]> =
            objects.iter().flat_map(|(_, all)| all).map(|one| &one[..]).collect();
        let expected: Vec<&[u8]> = all.iter().map(|one| one.data.trim_ascii_end()).collect();
        assert!(lines == expected, "{} of {}: {:?}", lines.len(), expected.len(), lines.first());
    }
}

/// Lines that say their place, of at least so many bytes.
fn lines(count: usize, bytes: usize) -> Vec<Given> {
    let line = |number: usize| {
        let rest = ".".repeat(bytes.saturating_sub(24));
        let data = format!("{{\"number\":{number:06},\"rest\":\"{rest}\"}}\n").into_bytes();
        Given { data, key: None, hash_key: None }
    };
    (0..count).map(line).collect()
}

#[track_caller]
fn check_outage(client: Client) {
    let mut edge = Edge::start("", "");
    let all = lines(520, 0);
    let (many, one) = all.split_at(510);

    let first = client.put(&edge.scratch, &Put::firehose(&endpoint(&edge.agent), "many", many));
    let rest = client.put(&edge.scratch, &Put::firehose(&endpoint(&edge.agent), "one", one));

    assert_eq!((first.told.len(), rest.told.len(), first.again()), (510, 10, 0));
    let told: Vec<String> = first.told.into_iter().chain(rest.told).collect();
    check_growing(&told);
    assert_eq!(waiting(&edge.agent), 520);
    edge.open();
    edge.check_delivered(&all);
    assert_eq!(edge.agent.terminate().code(), Some(0));
}

/// First a plan holds back part of a call, then, with another agent, the queue is full.
#[track_caller]
fn check_back_pressure(client: Client) {
    let plan = "plan = \"slow\"\n[plan.slow]\nrate = \"400/s\"\nburst = 200\n";
    let mut edge = Edge::start(plan, "");
    edge.open();
    let all = lines(700, 0);
    let url = endpoint(&edge.agent);
    let put = Put::firehose(&url, "many", &all).with_attempts(50);
    let done = client.put(&edge.scratch, &put);
    assert!(done.again() > 0, "some were held back in the middle of a call");
    assert_eq!(done.told.len(), 700);
    check_growing(&done.told);
    edge.check_delivered(&all);
    drop(edge);

    let queue = "queue = { max_bytes = \"4 MiB\" }\nmax_record = \"256 KiB\"\n";
    let mut edge = Edge::start("", queue);
    let large = lines(90, 64 << 10);
    let url = endpoint(&edge.agent);
    let put = Put::firehose(&url, "one", &large).with_attempts(100);
    let Edge { scratch, agent, gate, moto } = &mut edge;
    let done = std::thread::scope(|scope| {
        let done = scope.spawn(|| client.put(scratch, &put));
        wait_for_refusal(agent, "queue-full");
        gate.open(moto.address());
        done.join().unwrap()
    });
    assert_eq!(done.told.len(), 90);
    edge.check_delivered(&large);
}

#[test]
fn boto3_puts_through_an_outage() {
    check_outage(Client::Boto3);
}

#[test]
fn the_sdk_for_javascript_puts_through_an_outage() {
    check_outage(Client::JavaScript);
}

#[test]
fn the_sdk_for_rust_puts_through_an_outage() {
    check_outage(Client::Rust);
}

#[test]
fn boto3_waits_where_it_is_told_to() {
    check_back_pressure(Client::Boto3);
}

#[test]
fn the_sdk_for_javascript_waits_where_it_is_told_to() {
    check_back_pressure(Client::JavaScript);
}

#[test]
fn the_sdk_for_rust_waits_where_it_is_told_to() {
    check_back_pressure(Client::Rust);
}

#[test]
fn the_command_line_is_told_of_a_delivery_stream() {
    let edge = Edge::start("", "");
    let aws =
        |arguments: &[&str]| super::command_line::aws(&edge.scratch, &edge.agent, arguments, &[]);

    let listed = aws(&["firehose", "list-delivery-streams"]);
    let described = aws(&["firehose", "describe-delivery-stream", "--delivery-stream-name", ALIAS]);

    assert_eq!(listed["DeliveryStreamNames"], serde_json::json!(["orders", ALIAS]));
    let described = &described["DeliveryStreamDescription"];
    assert_eq!(described["DeliveryStreamStatus"], "ACTIVE", "{described}");
}
