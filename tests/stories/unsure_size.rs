//! A record that is larger than weir knows the stream to take, on a gateway that boots without an uplink
//! and may only put records: it waits, is tried, and the stream decides.

use tokio::runtime::Runtime;

use crate::support::agent::{Agent, orders_to_kinesis};
use crate::support::books::{Books, Row};
use crate::support::fake_upstream::{Answer, FakeUpstream};
use crate::support::gate::Gate;
use crate::support::scratch::Scratch;
use crate::support::wait_for;

#[test]
fn a_record_beyond_the_assumed_limit_is_sent_alone_and_only_the_stream_has_it_die() {
    let runtime = Runtime::new().unwrap();
    let fake = runtime.block_on(FakeUpstream::start());
    fake.keep_to_itself();
    fake.script(|request| {
        let sizes: Vec<_> = request.records.iter().map(|sent| sent.data.len()).collect();
        match sizes.iter().any(|bytes| *bytes > 3 << 20) {
            true => Answer::refuse(400, "ValidationException", "a record is too large"),
            false if sizes.len() > 1 && sizes.iter().any(|bytes| *bytes > 1 << 20) => {
                Answer::refuse(400, "ValidationException", "it endangers others")
            }
            false => Answer::Take,
        }
    });
    let mut gate = Gate::shut();
    let scratch = Scratch::new("unsure-size");
    let config = orders_to_kinesis(&gate.url(), "max_record = \"4 MiB\"");
    let agent = Agent::start(&scratch, &config);
    let client = agent.client("local");
    let sizes = [2_usize << 20, 100, (3 << 20) + 1, 200, 3 << 20, 300];
    for bytes in sizes {
        assert_eq!(client.post("orders", &vec![b'x'; bytes]).unwrap().status, 202);
    }
    wait_for("a try", || {
        let row = agent.status()["streams"]["orders"]["destinations"]["cloud"].take();
        assert_eq!(row["dead"], 0, "nothing dies of what nobody said: {row}");
        (row["hold"]["class"] == "transient").then_some(())
    });

    gate.open(fake.address());
    let row = Books::settled(&agent).row("orders", "cloud");

    assert_eq!(row, Row { accepted: 6, delivered: 5, dead: 1, ..Row::default() });
    let mut taken: Vec<_> = fake.taken().into_iter().map(|one| one.data.len()).collect();
    taken.sort_unstable();
    assert_eq!(taken, [100, 200, 300, 2 << 20, 3 << 20]);
    assert!(agent.terminate().success());
}
