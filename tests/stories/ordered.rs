//! With `ordering = "key"` no record overtakes an older one of its key, though entries fail and the
//! agent is killed in the middle; what comes twice after a kill comes from one place on, in order.

use std::collections::BTreeMap;

use tokio::runtime::Runtime;

use crate::support::agent::Agent;
use crate::support::books::Books;
use crate::support::fake_upstream::{Answer, FakeUpstream, Taken};
use crate::support::peers::REGION;
use crate::support::scratch::Scratch;
use crate::support::wait_for;

const KEYS: usize = 25;
const RECORDS: usize = 3_000;
const KILLS: usize = 4;

fn config(upstream: &FakeUpstream, ordering: &str) -> String {
    format!(
        r#"
        [http.local]
        listen = "127.0.0.1:0"
        [stream.orders]
        destinations = ["cloud"]
        partition_key = "{{json:/key}}"
        [destination.cloud]
        type = "kinesis"
        stream_name = "orders"
        region = "{REGION}"
        endpoint_url = "{url}"
        ordering = "{ordering}"
        aggregate_bytes = "1 KiB"
        max_in_flight = 8
        linger = "5 ms"
        retry_first = "10 ms"
        retry_max = "100 ms"
        "#,
        url = upstream.url(),
    )
}

/// The numbers of the records of each key, in the order in which they were taken.
fn arrivals(taken: &[Taken]) -> BTreeMap<usize, Vec<usize>> {
    let mut all: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for one in taken {
        // Plain or aggregated, a record ends with its number: `{"key":"k7","n":<1204>}`.
        for part in String::from_utf8_lossy(&one.data).split("\"n\":\"<").skip(1) {
            let number: usize = part.split_once('>').unwrap().0.parse().unwrap();
            all.entry(number % KEYS).or_default().push(number);
        }
    }
    all
}

/// Hands everything in, kills the agent again and again while it is delivered, and gives back what
/// the upstream took.
fn through_kills(name: &str, ordering: &str) -> BTreeMap<usize, Vec<usize>> {
    let (scratch, runtime) = (Scratch::new(name), Runtime::new().unwrap());
    let upstream = runtime.block_on(FakeUpstream::start());
    upstream.shards(4, 0, Some("USER_PARTITION_KEY"));
    upstream.script(|request| match request.number % 7 {
        3 => Answer::refuse(500, "InternalFailure", "busy"),
        number => Answer::fail_entries(request, "InternalFailure", move |place, _| {
            (place + number) % 3 == 1
        }),
    });
    let config = config(&upstream, ordering);
    let mut agent = Agent::start(&scratch, &config);
    let lines: Vec<String> = (0..RECORDS)
        .map(|number| format!(r#"{{"key":"k{}","n":"<{number}>"}}"#, number % KEYS))
        .collect();
    for some in lines.chunks(500) {
        assert_eq!(agent.client("local").post_lines("orders", some).unwrap().status, 202);
    }
    for kill in 1..=KILLS {
        let enough = kill * RECORDS / (KILLS + 2) / 20;
        wait_for("more to be taken", || (upstream.taken_count() >= enough).then_some(()));
        agent.kill();
        agent = Agent::start(&scratch, &config);
    }
    let books = Books::settled(&agent);
    let row = books.row("orders", "cloud");
    assert_eq!((row.accepted, row.delivered), (RECORDS as u64, RECORDS as u64));
    assert!(agent.terminate().success());
    arrivals(&upstream.taken())
}

/// Whether each record came the first time after all older ones of its key, and whatever came again
/// came behind the kill that made it, in order.
fn is_in_order(arrived: &[usize]) -> bool {
    let back = arrived.windows(2).filter(|pair| pair[1] <= pair[0]).count();
    let has_gap = arrived.windows(2).any(|pair| pair[1] > pair[0] + KEYS);
    arrived[0] < KEYS && !has_gap && back <= KILLS
}

#[test]
fn with_ordering_by_key_nothing_overtakes_an_older_record_through_failures_and_kills() {
    let arrived = through_kills("ordered", "key");

    assert_eq!(arrived.len(), KEYS);
    for (key, numbers) in &arrived {
        assert!(is_in_order(numbers), "key {key}: {numbers:?}");
        assert_eq!(*numbers.last().unwrap(), RECORDS - KEYS + key);
    }
}

#[test]
fn without_it_the_same_failures_let_records_overtake_each_other() {
    let arrived = through_kills("unordered", "none");

    assert!(arrived.values().any(|numbers| !is_in_order(numbers)));
}
