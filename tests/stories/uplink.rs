//! A metered link: what its budget or its hours do not let through waits on disk, `weir status` says
//! what it waits for, and nothing is lost.

use tokio::runtime::Runtime;
use weir::base::clock::Clock;

use crate::support::agent::{Agent, orders_to_kinesis};
use crate::support::books::Books;
use crate::support::fake_upstream::FakeUpstream;
use crate::support::scratch::Scratch;
use crate::support::wait_for;

const RECORDS: usize = 300;

#[track_caller]
fn waits_for(agent: &Agent, what: &str) {
    wait_for(what, || {
        let row = agent.status()["streams"]["orders"]["destinations"]["cloud"].take();
        assert!(row["hold"].is_null(), "a wait by intent is no hold: {row}");
        (row["waits_for"] == what && row["waiting"] != 0).then_some(())
    });
}

/// Two hours from now, for an hour.
fn closed_now() -> String {
    let minutes = Clock::real().unix_ms() / 60_000 + 120;
    let time = |minutes: u64| format!("{:02}:{:02}", minutes / 60 % 24, minutes % 60);
    format!("{}-{}", time(minutes), time(minutes + 60))
}

#[test]
fn what_a_budget_or_a_window_holds_back_waits_on_disk_and_goes_when_it_may() {
    let runtime = Runtime::new().unwrap();
    let fake = runtime.block_on(FakeUpstream::start());
    let scratch = Scratch::new("uplink");
    let free = orders_to_kinesis(&fake.url(), "");
    let (closed, metered) = (
        format!("{free}\nwindow = \"{}\"\n", closed_now()),
        format!("{free}\n[uplink]\nbytes = \"2 KiB/s\"\n"),
    );

    let agent = Agent::start(&scratch, &closed);
    for number in 0..RECORDS {
        let record = format!("order {number} {}", "x".repeat(1_000));
        assert_eq!(agent.client("local").post("orders", record.as_bytes()).unwrap().status, 202);
    }
    waits_for(&agent, "window");
    assert_eq!(fake.taken_count(), 0, "a closed window lets nothing through");
    Books::check(&agent);
    assert!(agent.terminate().success());

    let agent = Agent::start(&scratch, &metered);
    waits_for(&agent, "budget");
    assert!(fake.taken_count() < RECORDS, "300 KB do not fit in seconds of 2 KiB");
    Books::check(&agent);
    assert!(agent.terminate().success());

    let agent = Agent::start(&scratch, &free);
    Books::settled(&agent);
    let mut taken: Vec<_> = fake.taken().into_iter().map(|one| one.data).collect();
    taken.sort_unstable();
    taken.dedup();
    assert_eq!(taken.len(), RECORDS);
    assert!(agent.terminate().success());
}
