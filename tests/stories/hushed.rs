//! The log tells no secret, at whatever level, and does not say the same thing for ever.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;
use tokio::runtime::Runtime;

use crate::support::agent::{Agent, orders_to_kinesis, weir};
use crate::support::books::Books;
use crate::support::fake_upstream::{Answer, FakeUpstream};
use crate::support::scratch::Scratch;
use crate::support::wait_for;

/// Sends a request as it stands and waits for the answer.
fn raw(address: &str, head: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    // A refusal may be followed by a reset; what came until then is the answer.
    stream.read_to_string(&mut answer).ok();
    answer
}

/// Shows wrong keys at a listener, and a right and a wrong one at the operator's door.
fn knock(http: &str, door: &str, operator: &str) {
    for header in ["x-api-key: wrong-key-55aa01", "authorization: Bearer wrong-token-66bb02"] {
        let head = format!(
            "POST /v1/streams/orders?token=in-the-query-77cc03 HTTP/1.1\r\nhost: {http}\r\n{header}\r\n\
             content-length: 2\r\nconnection: close\r\n\r\n{{}}"
        );
        assert!(raw(http, &head).starts_with("HTTP/1.1 401 "));
    }
    for key in [operator, "wrong-admin-88dd04"] {
        let head = format!(
            "GET /dead?key=asked-for-99ee05 HTTP/1.1\r\nhost: {door}\r\nx-api-key: {key}\r\n\
             connection: close\r\n\r\n"
        );
        raw(door, &head);
    }
}

#[test]
fn no_secret_and_no_payload_stands_in_the_log_at_the_lowest_level() {
    let runtime = Runtime::new().unwrap();
    let fake = runtime.block_on(FakeUpstream::start());
    let scratch = Scratch::new("hushed");
    let key_file = |name: &str| {
        let file = scratch.join(name).display().to_string();
        let secret = weir(&scratch, &["keys", "add", "ada", "--file", &file]).succeeded();
        (file, secret.trim().to_owned())
    };
    let (senders, sender) = key_file("keys.toml");
    let (operators, operator) = key_file("admin-keys.toml");
    let upstream = "upstream-secret-3f9a7c51d2";
    let config = orders_to_kinesis(&fake.url(), "")
        .replace("[stream.orders]", "auth = [\"keys\"]\n[stream.orders]")
        .replace(
            "[destination.cloud]",
            &format!(
                "[auth.keys]\ntype = \"api_key\"\nfile = \"{senders}\"\n[destination.cloud]\n\
                 access_key_id = \"AKIAIOSFODNN7EXAMPLE\"\nsecret_access_key = \"${{UPSTREAM_SECRET}}\""
            ),
        );
    let shown = scratch.write("collector", "Bearer collector-secret-6b20c8").display().to_string();
    // Nobody is there, which is told.
    let traces = format!(
        "traces = {{ endpoint = \"http://127.0.0.1:1\", sample_percent = 100, \
         headers = {{ authorization = \"file:{shown}\", x-team = \"collector-team-1f77d0\" }} }}"
    );
    let config = format!("log = {{ level = \"debug\" }}\n{traces}\n{config}");
    let admin = format!("key_file = \"{operators}\"");
    let secret = scratch.write("secret", upstream).display().to_string();
    let config = config.replace("${UPSTREAM_SECRET}", &format!("file:{secret}"));
    let agent = Agent::start_with_admin(&scratch, &config, &admin);
    let http = agent.http("local");

    let client = agent.client("local").with_key(&sender);
    assert_eq!(client.post("orders", b"payload-7d1e4b").unwrap().status, 202);
    knock(&http, agent.admin_address(), &operator);
    Books::settled(&agent);
    wait_for("word that nobody collects", || {
        agent.log().contains("cannot be handed over").then_some(())
    });

    let log = agent.log();
    assert!(log.contains("\"level\":\"DEBUG\""), "{log}");
    let secrets = [
        sender.as_str(),
        &operator,
        upstream,
        "collector-secret-6b20c8",
        "collector-team-1f77d0",
        "payload-7d1e4b",
        "wrong-key-55aa01",
        "wrong-token-66bb02",
        "in-the-query-77cc03",
        "wrong-admin-88dd04",
        "asked-for-99ee05",
        "an-example-and-no-secret",
    ];
    for secret in secrets {
        assert!(!log.contains(secret), "{secret} stands in\n{log}");
    }
    // What the configuration leaves to be desired is told before there is a log.
    for line in log.lines().filter(|line| line.starts_with('{')) {
        assert!(line.parse::<Value>().is_ok_and(|line| line["level"].is_string()), "{line}");
    }
    assert_eq!(agent.terminate().code(), Some(0));
}

/// Each record is poison of its own, and each is told of; what differs is only a number.
#[test]
fn what_happens_again_and_again_is_told_a_few_times() {
    let runtime = Runtime::new().unwrap();
    let fake = runtime.block_on(FakeUpstream::start());
    let scratch = Scratch::new("hushed-repeats");
    let mut number = 0_u32;
    // Gone and back: each time the hold is told of, and its end.
    fake.script(move |_| {
        number += 1;
        let is_away = number % 2 == 1;
        if is_away { Answer::refuse(400, "AccessDeniedException", "not you") } else { Answer::Take }
    });
    let config = orders_to_kinesis(&fake.url(), "");
    let agent = Agent::start(&scratch, &config);
    for number in 0..40 {
        let line = format!("order {number}");
        assert_eq!(agent.client("local").post("orders", line.as_bytes()).unwrap().status, 202);
        Books::settled(&agent);
    }

    let log = agent.log();
    let told = log.lines().filter(|line| line.contains("takes nothing")).count();
    assert!((1..=20).contains(&told), "told {told} times:\n{log}");
    assert_eq!(agent.terminate().code(), Some(0));
}
