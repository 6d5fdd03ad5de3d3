//! What the log says of an upstream that fails for a while: weir's own words, once when it begins and
//! once when it is over, and nothing of the SDK's about each request.

use serde_json::Value;
use tokio::runtime::Runtime;

use crate::support::agent::{Agent, orders_to_kinesis};
use crate::support::books::Books;
use crate::support::fake_upstream::{Answer, FakeUpstream};
use crate::support::scratch::Scratch;

#[test]
fn an_upstream_that_fails_for_a_while_is_told_in_two_lines() {
    let runtime = Runtime::new().unwrap();
    let fake = runtime.block_on(FakeUpstream::start());
    let mut left = 8;
    fake.script(move |_| {
        left -= 1;
        match left {
            0.. if left % 2 == 0 => Answer::refuse(503, "ServiceUnavailable", "later"),
            0.. => Answer::refuse(500, "InternalFailure", "broken"),
            _ => Answer::Take,
        }
    });
    let scratch = Scratch::new("quiet-log");
    let agent = Agent::start(&scratch, &orders_to_kinesis(&fake.url(), ""));

    assert_eq!(agent.client("local").post("orders", b"one").unwrap().status, 202);
    assert_eq!(Books::settled(&agent).row("orders", "cloud").delivered, 1);
    assert_eq!(agent.terminate().code(), Some(0));

    let log = std::fs::read_to_string(scratch.join("weir.log")).unwrap();
    let lines: Vec<Value> =
        log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let of_weir = |line: &&Value| line["target"].as_str().is_some_and(|of| of.starts_with("weir"));
    assert_eq!(lines.len(), lines.iter().filter(of_weir).count(), "{log}");
    assert!(lines.iter().all(|line| line["level"] != "ERROR"), "{log}");
    let said =
        |words: &str| lines.iter().filter(|line| line["message"] == words).collect::<Vec<_>>();
    let begun =
        said("the destination takes nothing; its records wait, and it is tried now and then");
    let ended = said("the destination takes records again");
    assert_eq!((begun.len(), ended.len()), (1, 1), "{log}");
    assert!(begun[0]["says"].is_string() && ended[0]["lasted"].is_string(), "{log}");
}
