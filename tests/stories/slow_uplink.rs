//! A link that is so slow that a request takes longer than its time limit: what moves arrives, and
//! where a large request never arrives the next ones are smaller.

use std::time::Duration;

use tokio::runtime::Runtime;

use crate::support::agent::{Agent, orders_to_kinesis};
use crate::support::books::{Books, Row};
use crate::support::fake_upstream::FakeUpstream;
use crate::support::scratch::Scratch;
use crate::support::slow_link::SlowLink;

const RECORDS: u64 = 200;

fn config(link: &SlowLink, request_timeout: &str) -> String {
    let free = orders_to_kinesis(&link.url(), "");
    format!("{free}\nconnect_timeout = \"1 s\"\nrequest_timeout = \"{request_timeout}\"\n")
}

fn number(agent: &Agent, name: &str) -> u64 {
    let metrics = agent.metrics();
    let line = metrics.lines().find(|line| line.starts_with(name));
    let line = line.unwrap_or_else(|| panic!("no {name} in {metrics}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn one_large_record_arrives_over_a_link_that_takes_longer_for_it_than_a_request_may_stand_still() {
    let runtime = Runtime::new().unwrap();
    let fake = runtime.block_on(FakeUpstream::start());
    let link = runtime.block_on(SlowLink::start(fake.address(), Duration::from_millis(70)));
    let scratch = Scratch::new("slow-uplink");
    let agent = Agent::start(&scratch, &config(&link, "2 s"));
    // 75 turns of the link, and more than five seconds.
    let record = vec![b'x'; 900 << 10];

    assert_eq!(agent.client("local").post("orders", &record).unwrap().status, 202);
    let row = Books::settled(&agent).row("orders", "cloud");

    assert_eq!(row, Row { accepted: 1, delivered: 1, ..Row::default() });
    assert!(fake.taken().iter().all(|one| one.data == record));
    assert_eq!((fake.taken_count(), number(&agent, "weir_delivery_requests_total")), (1, 1));
    assert!(agent.terminate().success());
}

#[test]
fn where_a_large_request_never_arrives_smaller_ones_do() {
    let runtime = Runtime::new().unwrap();
    let fake = runtime.block_on(FakeUpstream::start());
    let link = runtime.block_on(SlowLink::start(fake.address(), Duration::from_millis(1)));
    link.carry_at_a_stretch(300 << 10);
    let scratch = Scratch::new("short-stretches");
    let agent = Agent::start(&scratch, &config(&link, "500 ms"));
    let lines: Vec<String> =
        (0..RECORDS).map(|number| format!("{number} {}", "x".repeat(10_000))).collect();

    assert_eq!(agent.client("local").post_lines("orders", &lines).unwrap().status, 202);
    let row = Books::settled(&agent).row("orders", "cloud");

    assert_eq!(row, Row { accepted: RECORDS, delivered: RECORDS, ..Row::default() });
    let mut taken: Vec<_> = fake.taken().into_iter().map(|one| one.data).collect();
    taken.sort_unstable();
    taken.dedup();
    assert_eq!(taken.len() as u64, RECORDS);
    assert!(number(&agent, "weir_delivery_cut_off_bytes_total") > 0);
    assert!(number(&agent, "weir_delivery_request_max_bytes") < 1 << 20);
    assert!(link.carried() > 0);
    assert!(agent.terminate().success());
}
