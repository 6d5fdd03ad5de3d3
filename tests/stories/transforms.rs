//! Records are checked and changed on their way in, as the operator's files say, and `weir test`
//! tells beforehand what will become of them.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::agent::{Agent, configure, weir};
use crate::support::books::{Books, Row};
use crate::support::client::NDJSON;
use crate::support::peers::object_lines;
use crate::support::scratch::Scratch;
use crate::support::wait_for;

fn examples() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples")
}

#[test]
fn every_example_does_what_its_cases_say() {
    let scratch = Scratch::new("transforms-examples");
    let config = examples().join("transforms.toml").display().to_string();

    let told = weir(&scratch, &["test", "--config", &config]).succeeded();

    assert!(told.ends_with(" passed, 0 failed\n"), "{told}");
    let told = weir(&scratch, &["test", "--config", &config, "--json"]).succeeded();
    let told: Value = serde_json::from_str(&told).unwrap();
    for file in fs::read_dir(examples()).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        let is_told = |case: &Value| case["file"].as_str().unwrap().ends_with(&name);
        if name.ends_with(".test.toml") {
            assert!(told["cases"].as_array().unwrap().iter().any(is_told), "{name}");
        }
    }
}

const CONFIG: &str = r#"
[http.local]
listen = "127.0.0.1:0"
[tail.app]
include = ["app.log"]
stream = "orders"
start_at = "beginning"
[stream.orders]
destinations = ["archive"]
schema = "order.json"
transform = "order.vrl"
transform_to = ["rush"]
[stream.rush]
destinations = ["archive"]
[destination.archive]
type = "directory"
path = "archive"
object_age = "100 ms"
"#;
const LINES: [(&str, &str); 1] = [("content-type", NDJSON)];
const SCHEMA: &str = r#"{"type": "object", "required": ["id"]}"#;
const PROGRAM: &str = "if .test == true { abort }\nif .rush == true { %stream = \"rush\" }\n\
                       .card = redact(to_string!(.card || \"\"), filters: [r'\\d{12}'])\n";

#[test]
fn what_comes_in_is_checked_changed_led_dropped_or_set_aside() {
    let scratch = Scratch::new("transforms");
    scratch.write("order.json", SCHEMA);
    scratch.write("order.vrl", PROGRAM);
    scratch.write("app.log", "{\"id\":1}\nno order\n{\"id\":2,\"test\":true}\n");
    let config = configure(&scratch, CONFIG).display().to_string();
    let agent = Agent::start(&scratch, CONFIG);

    let body = b"{\"id\":3,\"card\":\"4111111111111111\"}\n{\"id\":4,\"rush\":true}\n{\"id\":5,\"test\":true}\n";
    let answer = agent.client("local").post_with("orders", body, &LINES).unwrap();
    assert_eq!((answer.status, &answer.json()["dropped"]), (202, &Value::from(1)), "{answer:?}");
    let answer = agent.client("local").post_with("orders", b"{\"id\":6}\n{}\n", &LINES).unwrap();
    assert_eq!(answer.status, 422, "{answer:?}");

    wait_for("the lines of the file", || {
        (agent.status()["streams"]["orders"]["transform_dropped"] == 2).then_some(())
    });
    let books = Books::settled(&agent);
    assert_eq!(books.row("orders", "archive"), Row { accepted: 2, delivered: 2, ..Row::default() });
    assert_eq!(books.row("rush", "archive"), Row { accepted: 1, delivered: 1, ..Row::default() });
    // An object is closed a moment after its records were delivered.
    let mut lines = wait_for("the closed objects", || {
        let lines = object_lines(&scratch.join("archive")).into_iter();
        let lines: Vec<_> = lines.map(|line| String::from_utf8(line).unwrap()).collect();
        (lines.len() == 3).then_some(lines)
    });
    lines.sort();
    assert_eq!(
        lines,
        [
            r#"{"card":"","id":1}"#,
            r#"{"card":"","id":4,"rush":true}"#,
            r#"{"card":"[REDACTED]1111","id":3}"#,
        ]
    );
    let dead = weir(&scratch, &["dead", "show", "--config", &config]).succeeded();
    assert!(dead.contains("no order") && dead.contains("not JSON"), "{dead}");
}

#[test]
fn a_case_that_fails_is_told_part_by_part_and_ends_with_1() {
    let scratch = Scratch::new("transforms-failing");
    scratch.write("order.json", SCHEMA);
    scratch.write("order.vrl", PROGRAM);
    scratch.write("weir.toml", CONFIG);
    let cases = "config = \"weir.toml\"\n\n[[case]]\nname = \"an order\"\n\
                 request = { path = \"/v1/streams/orders\", body = '{\"id\":1}' }\n\
                 status = 200\n\
                 stored = [{ stream = \"orders\", key = \"k\", record = '{\"id\":1}' }]\n";
    let file = scratch.write("orders.test.toml", cases).display().to_string();

    let ended = weir(&scratch, &["test", &file]);

    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_eq!(ended.stdout, "FAILED  an order\n0 passed, 1 failed\n");
    let told = "  status\n    expected  200\n    seen      202\n  stored[0].key\n    expected  k\n    \
                seen      \n  stored[0].record\n    expected  {\"id\":1}\n    seen      {\"card\":\"\",\"id\":1}\n";
    assert_eq!(ended.stderr, format!("error: {file}:3: an order\n{told}"));

    for (wrong, words) in [
        ("[[case]]\nname = \"a\"\n", "a case has either a `request` or a `line`"),
        ("[[case]]\nname = \"a\"\nrequest = { path = \"/\" }\n", "a case expects"),
        ("[[case]]\nnam = \"a\"\n", "unknown field `nam`"),
        ("config = \"weir.toml\"\n", "there is no [[case]]"),
    ] {
        let file = scratch.write("wrong.test.toml", wrong).display().to_string();
        let ended = weir(&scratch, &["test", &file]);
        assert_eq!(ended.code, Some(78), "{ended:?}");
        assert!(ended.stderr.contains(words), "{ended:?}");
    }
}
