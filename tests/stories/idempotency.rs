//! A sender whose answer got lost sends again with the same key, and nothing is stored twice.

use std::io::Write as _;
use std::net::TcpStream;

use crate::support::agent::Agent;
use crate::support::books::Books;
use crate::support::scratch::Scratch;
use crate::support::wait_for;

const KEY: (&str, &str) = ("Idempotency-Key", "order-4711");

#[test]
fn a_request_repeated_after_a_kill_gets_the_answer_it_lost() {
    let scratch = Scratch::new("idempotency");
    let config = format!(
        r#"
        [http.local]
        listen = "127.0.0.1:0"
        [http.other]
        listen = "127.0.0.1:0"
        [stream.orders]
        destinations = ["archive"]
        queue = {{ min_free_disk = "0 B" }}
        [destination.archive]
        type = "directory"
        path = "{}"
        "#,
        scratch.folder("archive").display()
    );
    let agent = Agent::start(&scratch, &config);
    let body = "{\"n\":1}\n{\"n\":2}";
    // Nobody reads the answer: the line broke.
    let mut lost = TcpStream::connect(agent.http("local")).unwrap();
    write!(
        lost,
        "POST /v1/streams/orders HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-ndjson\r\n\
         idempotency-key: {}\r\ncontent-length: {}\r\n\r\n{body}",
        KEY.1,
        body.len()
    )
    .unwrap();
    let committed = |agent: &Agent| agent.status()["streams"]["orders"]["committed"].as_u64();
    wait_for("the commit", || (committed(&agent) == Some(2)).then_some(()));
    agent.kill();

    let agent = Agent::start(&scratch, &config);
    let lines = ("Content-Type", "application/x-ndjson");
    let again = || agent.client("local").post_with("orders", body.as_bytes(), &[lines, KEY]);
    let (first, second) = (again().unwrap(), again().unwrap());

    for answer in [&first, &second] {
        assert_eq!((answer.status, answer.header("idempotent-replayed")), (202, Some("true")));
        assert_eq!(answer.json()["accepted"], 2);
    }
    assert_eq!(first.json(), second.json(), "the same ids");
    assert_eq!(committed(&agent), Some(2));
    let other = agent.client("local").post_with("orders", b"{\"n\":3}", &[lines, KEY]).unwrap();
    assert_eq!(other.status, 422);
    // Nobody is known at either door, so that a key there says nothing of a key here.
    let elsewhere = agent.client("other").post_with("orders", b"{\"n\":3}", &[lines, KEY]).unwrap();
    assert_eq!((elsewhere.status, elsewhere.header("idempotent-replayed")), (202, None));
    let books = Books::settled(&agent);
    assert_eq!(books.row("orders", "archive").accepted, 3);
}
