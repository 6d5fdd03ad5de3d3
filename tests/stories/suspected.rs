//! A destination that refuses whatever it is sent costs four records once, and none at the next starts;
//! when it is mended everything that waited arrives.

use tokio::runtime::Runtime;

use crate::support::agent::{Agent, orders_to_kinesis};
use crate::support::books::Books;
use crate::support::fake_upstream::{Answer, FakeUpstream};
use crate::support::scratch::Scratch;
use crate::support::wait_for;

const RECORDS: u64 = 60;

#[test]
fn a_destination_that_refuses_everything_costs_no_more_letters_at_each_restart() {
    let runtime = Runtime::new().unwrap();
    let fake = runtime.block_on(FakeUpstream::start());
    fake.poisoned_by(|_| true);
    let scratch = Scratch::new("suspected");
    // Nothing comes of waiting for such a destination.
    let config = format!("grace = \"0 s\"\n{}", orders_to_kinesis(&fake.url(), ""));
    let mut agent = Agent::start(&scratch, &config);
    let lines: Vec<String> = (0..RECORDS).map(|number| format!("order {number}")).collect();
    assert_eq!(agent.client("local").post_lines("orders", &lines).unwrap().status, 202);

    let held = |agent: &Agent| {
        let requests = fake.request_count();
        wait_for("the hold, and a look at the destination", || {
            let row = agent.status()["streams"]["orders"]["destinations"]["cloud"].take();
            let is_held = row["hold"]["class"] == "config" && fake.request_count() > requests + 2;
            // A record is dead once its letter is synced.
            (is_held && row["dead"] == 4).then_some(())
        });
    };
    held(&agent);
    for _ in 0..3 {
        assert_eq!(agent.terminate().code(), Some(0));
        agent = Agent::start(&scratch, &config);
        held(&agent);
    }
    assert!(agent.admin("/readyz").body.contains("held: orders to cloud (config): "));

    fake.script(|_| Answer::Take);
    let row = Books::settled(&agent).row("orders", "cloud");
    assert_eq!((row.delivered, row.dead), (RECORDS - 4, 4));
    assert_eq!(agent.terminate().code(), Some(0));
}
