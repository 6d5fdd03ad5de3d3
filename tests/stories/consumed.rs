//! The operator reads back what arrived: every record by itself with its key, across reshards,
//! throttles and iterators that expired; and is told what is not as it should be.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::agent::{Agent, configure, orders_to_kinesis, weir, weir_fed};
use crate::support::books::Books;
use crate::support::client::{Client, NDJSON, ndjson};
use crate::support::peers::{Kinesis, Mood, Moto, REGION};
use crate::support::scratch::Scratch;
use crate::support::wait_for;

const WEIR: &str = env!("CARGO_BIN_EXE_weir");
const FIRST: &str = "shardId-000000000000";

fn config(url: &str) -> String {
    orders_to_kinesis(url, "").replace("linger = \"10 ms\"", "linger = \"200 ms\"")
}

/// Hands in a hundred lines under each of four keys and two explicit hash keys, and bytes of all
/// kinds.
fn hand_in(client: &Client, round: usize, sent: &mut BTreeSet<(String, Vec<u8>)>) {
    for number in 0..6 {
        let key = format!("device {number}");
        let hash = (u128::MAX / 6 * number).to_string();
        let mut headers = vec![("content-type", NDJSON), ("weir-partition-key", key.as_str())];
        if number >= 4 {
            headers.push(("weir-explicit-hash-key", hash.as_str()));
        }
        let line = |line: usize| format!("{{\"round\":{round},\"key\":{number},\"line\":{line}}}");
        let lines: Vec<String> = (0..100).map(line).collect();
        let answer = client.post_with("orders", ndjson(&lines).as_bytes(), &headers).unwrap();
        assert_eq!(answer.status, 202, "{answer:?}");
        sent.extend(lines.into_iter().map(|line| (key.clone(), line.into_bytes())));
    }
    let bytes: Vec<u8> = (0..=255).cycle().skip(round).take(300).collect();
    let answer = client.post_with("orders", &bytes, &[("weir-partition-key", "bytes")]);
    assert_eq!(answer.unwrap().status, 202);
    sent.insert(("bytes".into(), bytes));
}

fn values(stdout: &str) -> Vec<Value> {
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

fn payload(value: &Value) -> Vec<u8> {
    use base64::Engine as _;
    let code = value.get("payload_base64").map(text);
    let bytes = code.map(|code| base64::prelude::BASE64_STANDARD.decode(code).unwrap());
    bytes.unwrap_or_else(|| text(&value["payload"]).as_bytes().to_vec())
}

fn with_key(values: &[Value]) -> BTreeSet<(String, Vec<u8>)> {
    values.iter().map(|one| (text(&one["partition_key"]).to_owned(), payload(one))).collect()
}

#[test]
fn every_record_comes_back_with_its_key_in_order_across_a_split_and_a_merge() {
    let scratch = Scratch::new("consumed");
    let kinesis = Kinesis::start();
    kinesis.create_stream("orders", 2);
    let agent = Agent::start(&scratch, &config(&kinesis.url()));
    let file = configure(&scratch, &config(&kinesis.url())).display().to_string();
    let client = agent.client("local");
    let mut sent = BTreeSet::new();

    hand_in(&client, 0, &mut sent);
    Books::settled(&agent);
    kinesis.split("orders", FIRST);
    hand_in(&client, 1, &mut sent);
    Books::settled(&agent);
    kinesis.merge("orders", "shardId-000000000002", "shardId-000000000003");
    hand_in(&client, 2, &mut sent);
    Books::settled(&agent);

    let ended = weir(&scratch, &["consume", "cloud", "-c", &file, "--json"]);
    assert!(ended.stderr.contains(" aggregated)"), "{}", ended.stderr);
    let read = values(&ended.succeeded());
    assert_eq!(with_key(&read), sent);
    // What strayed into another shard is left out, so nothing came twice.
    assert_eq!(read.len(), sent.len());
    assert!(read.iter().filter(|one| one["sub_sequence_number"].is_u64()).count() > 600);
    assert!(read.iter().all(|one| text(&one["arrived_at"]).starts_with("20")));
    let hashes: BTreeSet<_> =
        read.iter().filter_map(|one| one["explicit_hash_key"].as_str()).collect();
    assert_eq!(hashes.len(), 2, "{hashes:?}");
    // A key's rounds come in their order, whatever became of its shard.
    let mut rounds: BTreeMap<&str, u64> = BTreeMap::new();
    for one in read.iter().filter(|one| one["payload"].is_string()) {
        let line: Value = serde_json::from_str(text(&one["payload"])).unwrap();
        let round = line["round"].as_u64().unwrap();
        let last = rounds.insert(text(&one["partition_key"]), round).unwrap_or_default();
        assert!(last <= round, "{one}");
    }
    let shards: BTreeSet<_> = read.iter().map(|one| text(&one["shard"]).to_owned()).collect();
    assert!(shards.len() >= 4, "{shards:?}");

    // What was read can be sent on as it is.
    let lines: String = read.iter().map(|one| format!("{one}\n")).collect();
    let to = format!("http://{}", agent.http("local"));
    let again =
        weir_fed(&scratch, &["send", "--envelope", "--stream", "orders", "--to", &to], &lines);
    again.succeeded();
    assert_eq!(agent.terminate().code(), Some(0));
}

#[test]
fn part_of_it_can_be_asked_for_and_the_reader_may_go_away() {
    let scratch = Scratch::new("consumed-part");
    let kinesis = Kinesis::start();
    kinesis.create_stream("orders", 2);
    let url = kinesis.url();
    let consume = |more: &[&str]| {
        let way = ["consume", "--stream", "orders", "--region", REGION, "--endpoint-url", &url];
        weir(&scratch, &[&way, more].concat())
    };
    for number in 0..20 {
        kinesis.put("orders", &format!("key {number}"), format!("line {number}").as_bytes());
    }

    let all = consume(&[]).succeeded();
    assert_eq!(all.lines().collect::<BTreeSet<_>>().len(), 20, "{all}");
    assert_eq!(consume(&["--max", "7"]).succeeded().lines().count(), 7);
    let of_first = values(&consume(&["--shard", FIRST, "--json"]).succeeded());
    assert!(!of_first.is_empty() && of_first.iter().all(|one| one["shard"] == FIRST));
    assert_eq!(consume(&["--from", "1 h"]).succeeded().lines().count(), 20);
    assert_eq!(consume(&["--from", "2100-01-01"]).code, Some(64), "it is still to come");

    kinesis.put("orders", "k", b"\xf3\x89\x9a\xc2 is no aggregate");
    let ended = consume(&["--json"]);
    assert!(ended.stderr.contains("begins like an aggregate"), "{}", ended.stderr);
    assert_eq!(values(&ended.succeeded()).len(), 21);

    let mut child = Command::new(WEIR)
        .args(["consume", "--stream", "orders", "--region", REGION, "--endpoint-url", &url])
        .arg("--follow")
        .envs([("AWS_ACCESS_KEY_ID", "AKID"), ("AWS_SECRET_ACCESS_KEY", "none")])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().starts_with("line "));
    drop(lines);
    // It follows: only what comes now tells it that nobody reads.
    for number in 0..20 {
        kinesis.put("orders", &format!("key {number}"), b"more");
    }
    let ended = child.wait_with_output().unwrap();
    // But for what begins like an aggregate nothing is said, least of all about the reader.
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    let of_pipe = |line: &&str| !line.contains("begins like an aggregate");
    assert_eq!((ended.status.code(), told.lines().find(of_pipe)), (Some(0), None), "{told}");
}

#[test]
fn a_follower_sees_what_arrives_whatever_kinesis_refuses_meanwhile_and_ends_when_told() {
    let scratch = Scratch::new("consumed-follow");
    let asked = AtomicU64::new(0);
    let kinesis = Kinesis::start_of_moods(move |action| {
        if action != "GetRecords" {
            return Mood::Well;
        }
        match asked.fetch_add(1, Ordering::Relaxed) {
            1..=4 => Mood::Fault("ProvisionedThroughputExceededException"),
            6 | 9 => Mood::Fault("ExpiredIteratorException"),
            7 => Mood::Refuse(500),
            _ => Mood::Well,
        }
    });
    kinesis.create_stream("orders", 1);
    let agent = Agent::start(&scratch, &config(&kinesis.url()));
    let file = configure(&scratch, &config(&kinesis.url())).display().to_string();
    let mut child = Command::new(WEIR)
        .args(["consume", "--destination", "cloud", "--follow", "--from", "latest", "-c", &file])
        .envs([("AWS_ACCESS_KEY_ID", "AKID"), ("AWS_SECRET_ACCESS_KEY", "none")])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
    // Once, however often it happens.
    assert!(told.any(|line| line.unwrap().contains("slowing down")));

    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for round in 0..3 {
        let sent: Vec<String> = (0..50).map(|line| format!("{round} {line}")).collect();
        let headers = [("content-type", NDJSON), ("weir-partition-key", "one for all")];
        let answer = agent.client("local").post_with("orders", ndjson(&sent).as_bytes(), &headers);
        assert_eq!(answer.unwrap().status, 202);
        let read: Vec<String> = lines.by_ref().take(50).map(|line| line.unwrap()).collect();
        assert_eq!(read, sent, "every record once, in order");
        if round == 0 {
            kinesis.split("orders", FIRST);
        }
    }
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let last = told.map(|line| line.unwrap()).last().unwrap();
    assert!(last.starts_with("150 records read"), "{last}");
    assert_eq!(agent.terminate().code(), Some(0));
}

#[test]
fn on_a_terminal_it_says_how_far_it_is_and_leaves_nothing_of_that_behind() {
    let scratch = Scratch::new("consumed-terminal");
    let kinesis = Kinesis::start();
    kinesis.create_stream("orders", 1);
    kinesis.put("orders", "k", b"one");
    kinesis.put("orders", "k", b"two");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/watched.py");
    let out = scratch.join("out");
    let follow = format!(
        "exec {WEIR} consume --stream orders --region {REGION} \
         --endpoint-url {1} --follow >{0:?}",
        out,
        kinesis.url()
    );
    let done = Command::new("python3")
        .arg(script)
        .args(["120", "30", "3 records; shardId-000000000000 is 0 s behind", "TERM"])
        .args(["sh", "-c", &follow])
        .envs([("AWS_ACCESS_KEY_ID", "AKID"), ("AWS_SECRET_ACCESS_KEY", "none")])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // What arrives once the first page is printed.
    wait_for("the first two", || {
        fs::read_to_string(&out).ok().filter(|text| text.lines().count() == 2)
    });
    std::thread::sleep(Duration::from_millis(500));
    kinesis.put("orders", "k", b"three");
    let done = done.wait_with_output().unwrap();
    assert!(done.status.success(), "{done:?}");
    let seen: Value = serde_json::from_slice(&done.stdout).unwrap();
    let output = text(&seen["output"]);
    let last = output.rsplit("\u{1b}[K").next().unwrap();
    assert!(last.starts_with("3 records read"), "{output:?}");
    assert_eq!(seen["code"], 0);
    assert_eq!(fs::read_to_string(&out).unwrap(), "one\ntwo\nthree\n");
}

#[test]
fn another_kinesis_is_read_as_well() {
    let scratch = Scratch::new("consumed-moto");
    let moto = Moto::start(&scratch);
    moto.create_stream("orders");
    let agent = Agent::start(&scratch, &config(&moto.url()));
    let file = configure(&scratch, &config(&moto.url())).display().to_string();
    let mut sent = BTreeSet::new();
    hand_in(&agent.client("local"), 0, &mut sent);
    Books::settled(&agent);

    let ended = weir(&scratch, &["consume", "cloud", "-c", &file, "--json"]);
    assert_eq!(with_key(&values(&ended.succeeded())), sent);
    assert_eq!(agent.terminate().code(), Some(0));
}

#[test]
fn what_cannot_be_read_is_told_with_its_reason() {
    let scratch = Scratch::new("consumed-refused");
    let kinesis = Kinesis::start_of_moods(|action| match action {
        "GetRecords" => Mood::Fault("AccessDeniedException"),
        _ => Mood::Well,
    });
    kinesis.create_stream("orders", 1);
    let more = "[destination.folder]\ntype = \"directory\"\npath = \"x\"\n[stream.more]\ndestinations = [\"folder\"]\n";
    let file = configure(&scratch, &(config(&kinesis.url()) + more)).display().to_string();
    let check = |arguments: &[&str], code: i32, words: &str| {
        let ended = weir(&scratch, &[&["consume"], arguments].concat());
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert!(ended.stderr.contains(words), "{words}: {}", ended.stderr);
        assert_eq!(ended.stdout, "");
    };

    check(&["cloud", "-c", &file], 77, "kinesis:GetRecords");
    check(&["cloud", "-c", &file, "--shard", "shardId-7"], 64, FIRST);
    check(&["clout", "-c", &file], 64, "`cloud`");
    check(&["folder", "-c", &file], 64, "is no Kinesis stream");
    check(&["cloud", "-c", &file, "--from", "latest"], 64, "--follow");
    check(&["cloud", "-c", &file, "--from", "soon"], 64, "trim-horizon");
    check(&[], 64, "DESTINATION");
    let away = ["--stream", "gone", "--region", REGION, "--endpoint-url", &kinesis.url()];
    check(&away, 78, "ResourceNotFound");
}
