//! Bad input and bad surroundings get a clear no, and cost nobody a record.

use std::path::Path;

use crate::support::agent::{Agent, configure, weir};
use crate::support::books::{Books, Row};
use crate::support::client::{Answer, NDJSON, gzip};
use crate::support::peers::Kinesis;
use crate::support::scratch::Scratch;
use crate::support::wait_for;

const DIRECTORY: &str = r#"
    [stream.orders]
    destinations = ["archive"]
    max_record = "64 KiB"
    [destination.archive]
    type = "directory"
    path = "archive"
    object_age = "1 s"
    "#;

fn with_directory(more: &str) -> String {
    format!("[http.local]\nlisten = \"127.0.0.1:0\"\n{more}\n{DIRECTORY}")
}

/// This refusal; then one good record, which is the only one in the books.
#[track_caller]
fn check(status: u16, slug: &str, ask: impl FnOnce(&Agent) -> Answer) -> Answer {
    let scratch = Scratch::new("refusals");
    let agent = Agent::start(&scratch, &with_directory(""));

    let answer = ask(&agent);

    assert_eq!((answer.status, answer.problem().as_deref()), (status, Some(slug)), "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer:?}");
    let good = agent.client("local").post("orders", b"good").unwrap();
    assert_eq!(good.status, 202, "{good:?}");
    let one = Row { accepted: 1, delivered: 1, ..Row::default() };
    assert_eq!(Books::settled(&agent).row("orders", "archive"), one);
    answer
}

#[test]
fn a_malformed_configuration_is_told_whole_and_starts_nothing() {
    let scratch = Scratch::new("refusals-config");
    let text = "state_dir = \"state\"\n\
                [http.local]\n\
                listen = \"127.0.0.1:0\"\n\
                max_bdy = \"1 MiB\"\n\
                [stream.orders]\n\
                destinations = [\"archiv\"]\n\
                [destination.archive]\n\
                type = \"directory\"\n\
                path = \"archive\"\n";
    let file = scratch.write("weir.toml", text).display().to_string();

    let ended = weir(&scratch, &["run", "--config", &file]);

    assert_eq!(ended.code, Some(78), "{ended:?}");
    assert_eq!(ended.stdout, "");
    let expected = format!(
        "error: unknown key `max_bdy` in [http.local]\n \
         --> {file}:4:1\n  \
         |\n\
         4 | max_bdy = \"1 MiB\"\n  \
         | ^^^^^^^ not a setting of an HTTP listener\n\
         hint: did you mean `max_body`?\n\
         \n\
         error: stream `orders` leads to `archiv`, but there is no [destination.archiv]\n \
         --> {file}:6:17\n  \
         |\n\
         6 | destinations = [\"archiv\"]\n  \
         |                 ^^^^^^^^ no [destination.archiv]\n\
         hint: did you mean `archive`?\n\
         \n\
         2 problems in {file}; nothing was started\n"
    );
    assert_eq!(ended.stderr, expected);
    assert!(!scratch.join("state").exists());
}

#[test]
fn an_unknown_stream_is_not_found() {
    check(404, "unknown-stream", |agent| agent.client("local").post("nobody", b"x").unwrap());
}

#[test]
fn a_body_declared_too_large_is_refused_before_it_is_sent() {
    check(413, "body-too-large", |agent| agent.client("local").declare("orders", 1 << 30));
}

#[test]
fn a_record_too_large_is_refused() {
    let most = vec![b'x'; 64 << 10];
    check(413, "record-too-large", |agent| {
        agent.client("local").post("orders", &[&most[..], b"x"].concat()).unwrap()
    });
}

#[test]
fn a_decompression_bomb_is_refused() {
    // 256 MiB of zeros in 256 KiB; at most 64 MiB are unpacked by default.
    let bomb = gzip(&vec![0; 256 << 20]);
    let headers = [("content-type", NDJSON), ("content-encoding", "gzip")];
    check(413, "unpacked-too-large", |agent| {
        agent.client("local").post_with("orders", &bomb, &headers).unwrap()
    });
}

#[test]
fn a_truncated_gzip_is_refused() {
    let whole = gzip(b"one\ntwo\nthree\n");
    let headers = [("content-type", NDJSON), ("content-encoding", "gzip")];
    for length in [1, 10, whole.len() - 1] {
        check(400, "bad-compression", |agent| {
            agent.client("local").post_with("orders", &whole[..length], &headers).unwrap()
        });
    }
}

#[test]
fn a_line_that_is_no_text_is_refused_with_its_place_and_none_is_stored() {
    let headers = [("content-type", NDJSON)];
    let body = b"{\"a\":1}\n\xff\xfe\n{\"a\":3}\n";

    let answer = check(422, "records-rejected", |agent| {
        agent.client("local").post_with("orders", body, &headers).unwrap()
    });

    assert_eq!(answer.json()["rejected"][0]["index"], 1, "{answer:?}");
}

#[test]
fn a_wrong_key_is_unknown_and_the_right_one_opens() {
    let scratch = Scratch::new("refusals-keys");
    let keys = scratch.join("keys.toml").display().to_string();
    let added = weir(&scratch, &["keys", "add", "device-1", "--file", &keys]);
    assert_eq!(added.code, Some(0), "{added:?}");
    let config = with_directory(&format!(
        "auth = [\"keys\"]\n[auth.keys]\ntype = \"api_key\"\nfile = \"{keys}\"\n"
    ));
    let agent = Agent::start(&scratch, &config);
    let post = |key: &str| agent.client("local").with_key(key).post("orders", b"x").unwrap();

    let without = agent.client("local").post("orders", b"x").unwrap();
    let wrong = post("weir_0000000000000000000000000000000000000000000");
    let right = post(added.stdout.trim());

    assert_eq!((without.status, wrong.status, right.status), (401, 401, 202), "{wrong:?}");
    assert_eq!(wrong.problem().as_deref(), Some("unknown-caller"));
    assert!(!wrong.body.contains(&keys), "no path for strangers: {wrong:?}");
    assert_eq!(Books::settled(&agent).row("orders", "archive").accepted, 1);
}

#[test]
fn a_caller_that_is_too_fast_is_told_when_to_come_back() {
    let scratch = Scratch::new("refusals-plan");
    let keys = scratch.join("keys.toml").display().to_string();
    let added = weir(&scratch, &["keys", "add", "device-1", "--file", &keys, "--plan", "slow"]);
    let config = with_directory(&format!(
        "auth = [\"keys\"]\n[auth.keys]\ntype = \"api_key\"\nfile = \"{keys}\"\n\
         [plan.slow]\nrate = \"1/s\"\nburst = 3\n"
    ));
    let agent = Agent::start(&scratch, &config);
    let client = agent.client("local").with_key(added.stdout.trim());
    let post = || client.post("orders", b"x").unwrap();

    let answers: Vec<Answer> = (0..20).map(|_| post()).collect();

    let (stored, refused): (Vec<_>, Vec<_>) =
        answers.iter().partition(|answer| answer.status == 202);
    assert!(stored.len() >= 3 && !refused.is_empty(), "{} of 20 were stored", stored.len());
    for answer in refused {
        assert_eq!((answer.status, answer.problem().as_deref()), (429, Some("too-fast")));
        assert!(seconds_to_wait(answer) >= 1, "{answer:?}");
    }
    assert!(wait_for("the bucket to fill again", || (post().status == 202).then_some(true)));
}

#[test]
fn a_full_queue_says_so_and_heals_when_the_upstream_returns() {
    let scratch = Scratch::new("refusals-full");
    let mut kinesis = Kinesis::start();
    kinesis.create_stream("orders", 4);
    kinesis.vanish();
    // The upstream is missing from the start: weir is ready all the same, and takes records.
    let agent = Agent::start(
        &scratch,
        &format!(
            "[http.local]\nlisten = \"127.0.0.1:0\"\n[stream.orders]\ndestinations = [\"cloud\"]\n\
             queue = {{ max_bytes = \"4 MiB\" }}\n{}",
            kinesis.destination("cloud", "orders")
        ),
    );
    let client = agent.client("local");
    let mut stored = 0;

    let full = loop {
        let answer = client.post("orders", &vec![b'x'; 64 << 10]).unwrap();
        if answer.status != 202 {
            break answer;
        }
        stored += 1;
        assert!(stored <= 64, "more than 4 MiB were stored");
    };

    assert_eq!(full.status, 503, "{full:?}");
    assert_eq!(full.problem().as_deref(), Some("queue-full"));
    assert!(seconds_to_wait(&full) >= 1, "{full:?}");
    assert!(stored >= 8, "only {stored} records of 64 KiB were stored");
    let hold = wait_for("the destination to hold", || {
        let hold = agent.status()["streams"]["orders"]["destinations"]["cloud"]["hold"].take();
        (!hold.is_null()).then_some(hold)
    });
    assert_eq!(hold["class"], "transient", "{hold}");

    kinesis.appear();
    Books::settled(&agent);
    wait_for("the queue to take records again", || {
        let answer = client.post("orders", b"after").unwrap();
        stored += u64::from(answer.status == 202);
        (answer.status == 202).then_some(())
    });
    let all = Row { accepted: stored, delivered: stored, ..Row::default() };
    assert_eq!(Books::settled(&agent).row("orders", "cloud"), all);
    assert_eq!(kinesis.payloads("orders").len() as u64, stored);
}

#[test]
fn a_state_directory_that_cannot_be_written_is_named() {
    let scratch = Scratch::new("refusals-state");
    // Below a regular file nobody can make a folder, root included.
    let file = scratch.write("a-file", "");
    let state = file.join("state").display().to_string();
    let config = format!("state_dir = \"{state}\"\n{}", with_directory(""));
    let config = scratch.write("weir.toml", &config).display().to_string();

    let ended = weir(&scratch, &["run", "--config", &config]);

    assert_eq!(ended.code, Some(74), "{ended:?}");
    assert!(ended.stderr.contains("error: ") && ended.stderr.contains(&state), "{ended:?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "");
}

#[test]
fn a_second_weir_on_the_same_state_directory_is_turned_away() {
    let scratch = Scratch::new("refusals-second");
    let config = with_directory("");
    let agent = Agent::start(&scratch, &config);
    let file = configure(&scratch, &config).display().to_string();

    let ended = weir(&scratch, &["run", "--config", &file]);

    assert_eq!(ended.code, Some(75), "{ended:?}");
    let state = scratch.join("state");
    assert!(says(&ended.stderr, &state) && ended.stderr.contains("in use"), "{ended:?}");
    assert_eq!(agent.client("local").post("orders", b"x").unwrap().status, 202);
    assert_eq!(Books::settled(&agent).row("orders", "archive").delivered, 1);
}

fn says(text: &str, path: &Path) -> bool {
    text.contains(&path.display().to_string())
}

#[track_caller]
fn seconds_to_wait(answer: &Answer) -> u64 {
    let header = answer.header("retry-after");
    header.unwrap_or_else(|| panic!("no Retry-After in {answer:?}")).parse().unwrap()
}
