//! A stream all of whose shards throttle for long is seen to be held, everywhere; and what one of them
//! takes again goes there at once.

use tokio::runtime::Runtime;

use crate::support::agent::{Agent, configure, orders_to_kinesis, weir};
use crate::support::books::Books;
use crate::support::fake_upstream::{Answer, FakeUpstream};
use crate::support::scratch::Scratch;
use crate::support::wait_for;

const RECORDS: u64 = 200;

#[test]
fn shards_that_all_throttle_are_told_as_a_hold_from_its_start_to_its_end() {
    let runtime = Runtime::new().unwrap();
    let fake = runtime.block_on(FakeUpstream::start());
    fake.shards(4, 0, Some("USER_PARTITION_KEY"));
    fake.script(|request| {
        let code = "ProvisionedThroughputExceededException";
        Answer::fail_entries(request, code, |_, _| true)
    });
    let scratch = Scratch::new("jammed");
    let config = format!("{}\naggregate = \"off\"", orders_to_kinesis(&fake.url(), ""));
    let agent = Agent::start(&scratch, &config);
    let file = configure(&scratch, &config).display().to_string();
    let lines: Vec<String> = (0..RECORDS).map(|number| format!("order {number}")).collect();
    assert_eq!(agent.client("local").post_lines("orders", &lines).unwrap().status, 202);

    let told = "the destination takes nothing";
    let hold = wait_for("the hold", || {
        let hold = agent.status()["streams"]["orders"]["destinations"]["cloud"]["hold"].take();
        (hold["class"] == "throttled" && agent.log().contains(told)).then_some(hold)
    });
    assert!(hold["next_try_unix_ms"].is_null(), "it is tried all the time: {hold}");
    assert!(agent.admin("/readyz").body.contains("held: orders to cloud (throttled): "));
    let shown = weir(&scratch, &["status", "--config", &file]).succeeded();
    assert!(shown.contains("orders to cloud is held for"), "{shown}");
    let number = |metric: &str| {
        let metrics = agent.metrics();
        let mut lines = metrics.lines().filter(|line| line.starts_with(metric));
        let line = lines.find(|line| line.contains("class=\"throttled\"")).unwrap_or_default();
        line.rsplit(' ').next().unwrap_or_default().parse::<f64>().unwrap_or_default()
    };
    wait_for("the metrics", || {
        let are_told = number("weir_delivery_holding{") == 1.0
            && number("weir_delivery_held_seconds_total{") > 0.0;
        are_told.then_some(())
    });

    fake.script(|_| Answer::Take);
    let row = Books::settled(&agent).row("orders", "cloud");
    assert_eq!((row.delivered, row.dead), (RECORDS, 0));
    wait_for("the end of the hold", || {
        let is_held = agent.admin("/readyz").body.contains("held");
        (!is_held).then_some(())
    });
    let log = agent.log();
    assert_eq!(log.matches(told).count(), 1, "told once at its start");
    let end = log.lines().find(|line| line.contains("the destination takes records again"));
    assert!(end.is_some_and(|line| line.contains("lasted")), "{log}");
    assert_eq!(agent.terminate().code(), Some(0));
}
