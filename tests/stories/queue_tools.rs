//! The operator looks into queues, running agent or not, takes records out, puts them into another
//! agent, and drops what nobody wants; every number can be told.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::Value;

use crate::support::agent::{Agent, Ended, ORDERS_TO_ARCHIVE, weir, weir_fed};
use crate::support::books::{Books, Row};
use crate::support::client::Client;
use crate::support::peers::object_lines;
use crate::support::scratch::Scratch;

/// Nothing answers at port 1: records wait.
const WAITING: &str = r#"
    grace = "1 s"
    [http.local]
    listen = "127.0.0.1:0"
    [stream.orders]
    destinations = ["cloud"]
    [destination.cloud]
    type = "kinesis"
    stream_name = "orders"
    region = "eu-west-1"
    endpoint_url = "http://127.0.0.1:1"
    retry_max = "1 s"
    "#;

#[track_caller]
fn json(ended: Ended) -> Value {
    serde_json::from_str(&ended.succeeded()).unwrap()
}

fn orders(count: usize) -> Vec<String> {
    (0..count).map(|number| format!(r#"{{"order":{number},"is":"waiting for a cloud"}}"#)).collect()
}

/// An agent with so many orders that wait.
fn waiting(scratch: &Scratch, count: usize) -> Agent {
    let agent = Agent::start(scratch, WAITING);
    for batch in orders(count).chunks(10) {
        assert_eq!(agent.client("local").post_lines("orders", batch).unwrap().status, 202);
    }
    agent
}

#[test]
fn a_running_agent_can_be_looked_at() {
    let scratch = Scratch::new("queue-look");
    let agent = waiting(&scratch, 50);
    let at = ["--state-dir", "state"];

    let listed = weir(&scratch, &["queue", "ls", at[0], at[1]]);
    let values = json(weir(&scratch, &["queue", "ls", at[0], at[1], "--json"]));
    let stat = json(weir(&scratch, &["queue", "stat", "orders", at[0], at[1], "--json"]));
    let shown = weir(&scratch, &["queue", "stat", "orders", at[0], at[1]]).succeeded();
    let sound = weir(&scratch, &["queue", "verify", at[0], at[1]]).succeeded();
    let dump = ["queue", "dump", "orders", at[0], at[1], "--from", "3", "--limit", "2"];
    let dumped = weir(&scratch, &dump).succeeded();
    let lines = weir(&scratch, &[&dump[..], &["--json"]].concat()).succeeded();

    assert!(listed.stderr.contains("an agent seems to be running"), "{listed:?}");
    assert!(listed.stdout.contains("orders") && listed.stdout.contains("cloud"), "{listed:?}");
    assert_eq!(values[0]["destinations"][0]["waiting"], 50);
    assert_eq!((&stat["last"], &stat["destinations"][0]["accepted"]), (&50.into(), &50.into()));
    assert!(shown.contains("00000000000000000001.seg") && shown.contains("WATERMARK"), "{shown}");
    assert!(sound.starts_with("orders: sound; ") && sound.contains("50 records"), "{sound}");
    assert_eq!(dumped.lines().count(), 2);
    assert!(dumped.starts_with("3  20") && dumped.contains("\"order\":2"), "{dumped}");
    let line: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!((&line["position"], &line["source"]), (&3.into(), &"http.local".into()));
    assert_eq!(line["payload"], orders(3)[2].as_str());
    assert_eq!(Books::check(&agent).row("orders", "cloud").waiting, 50, "nothing was taken");
}

#[test]
fn what_is_written_just_then_is_never_called_damage() {
    let scratch = Scratch::new("queue-busy");
    let agent = Agent::start(&scratch, ORDERS_TO_ARCHIVE);
    let stopping = AtomicBool::new(false);
    thread::scope(|scope| {
        let busy = scope.spawn(|| {
            let (client, big) = (agent.client("local"), "x".repeat(100_000));
            while !stopping.load(Ordering::Relaxed) {
                assert_eq!(client.post("orders", big.as_bytes()).unwrap().status, 202);
                assert_eq!(client.post_lines("orders", &orders(5)).unwrap().status, 202);
            }
        });
        let looks: Vec<Ended> = (0..10)
            .map(|_| weir(&scratch, &["queue", "verify", "orders", "--state-dir", "state"]))
            .collect();
        stopping.store(true, Ordering::Relaxed);
        busy.join().unwrap();
        looks.into_iter().for_each(|ended| drop(ended.succeeded()));
    });
    Books::settled(&agent);
    assert_eq!(agent.terminate().code(), Some(0));
}

#[test]
fn what_waits_in_a_rescued_copy_goes_into_another_agent() {
    let scratch = Scratch::new("queue-rescue");
    let agent = waiting(&scratch, 35);
    agent.kill();
    fs::rename(scratch.join("state/queue/orders"), scratch.join("rescued")).unwrap();
    let other = Scratch::new("queue-rescue-other");
    let taking = Agent::start(&other, ORDERS_TO_ARCHIVE);
    let to = format!("http://{}", taking.http("local"));

    let export = ["queue", "export", "--folder", "rescued", "--waiting-for", "cloud"];
    let exported = weir(&scratch, &export);
    let told = exported.stderr.clone();
    let lines = exported.succeeded();
    weir_fed(&scratch, &["send", "--stream", "orders", "--to", &to], &lines).succeeded();
    let again = json(weir(&scratch, &[&export[..], &["--to", "lines", "--json"]].concat()));
    let refused = weir(&scratch, &[&export[..], &["--to", "lines"]].concat());

    assert!(told.contains("35 records exported; the queue stays as it is"), "{told}");
    assert_eq!(again["records"], 35);
    assert_eq!(fs::read_to_string(scratch.join("lines")).unwrap(), lines);
    assert_eq!(refused.code, Some(64), "{refused:?}");
    let row = Row { accepted: 35, delivered: 35, ..Row::default() };
    assert_eq!(Books::settled(&taking).row("orders", "archive"), row);
    assert_eq!(taking.terminate().code(), Some(0));
    let arrived = object_lines(&other.join("archive"));
    assert_eq!(arrived, orders(35).into_iter().map(String::into_bytes).collect::<Vec<_>>());
}

#[test]
fn an_envelope_keeps_any_bytes_and_the_keys() {
    let scratch = Scratch::new("queue-envelope");
    let agent = Agent::start(&scratch, WAITING);
    let client: Client = agent.client("local");
    let sent: [(&[u8], Option<&str>); 5] = [
        (b"a", Some("k1")),
        (b"b", Some("k1")),
        (b"\xff\0\n", None),
        (b"two\nlines", Some("k2")),
        (b" c\r", None),
    ];
    for (payload, key) in sent {
        let mut headers = vec![("content-type", "application/octet-stream")];
        headers.extend(key.map(|key| ("weir-partition-key", key)));
        headers.extend(key.filter(|key| *key == "k2").map(|_| ("weir-explicit-hash-key", "7")));
        assert_eq!(client.post_with("orders", payload, &headers).unwrap().status, 202);
    }
    let export = ["queue", "export", "orders", "--state-dir", "state"];

    let bare = weir(&scratch, &export);
    let whole = weir(&scratch, &[&export[..], &["--envelope"]].concat()).succeeded();
    let send = ["send", "--envelope", "--stream", "orders", "--state-dir", "state"];
    let fed = format!("{whole}{{\"payload\":\"\",\"partition_key\":\"e\"}}\n");
    let told = weir_fed(&scratch, &send, &fed).succeeded();
    assert!(told.starts_with("6 records are"), "{told}");
    let twice = weir(&scratch, &[&export[..], &["--envelope"]].concat()).succeeded();

    assert_eq!(bare.code, Some(65), "{bare:?}");
    assert!(bare.stderr.contains("position 3") && bare.stderr.contains("--envelope"), "{bare:?}");
    assert_eq!(bare.stdout, "a\nb\n", "what came before it is written");
    let content = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        ["payload", "payload_base64", "partition_key", "explicit_hash_key"]
            .map(|key| line[key].clone())
    };
    let all: Vec<_> = twice.lines().map(content).collect();
    assert_eq!(all.len(), 11);
    assert_eq!(all[..5], all[5..10], "{twice}");
    assert_eq!((&all[10][0], &all[10][2]), (&"".into(), &"e".into()), "a record of nothing");
    assert_eq!(all[3][3], "7", "{twice}");
    let broken = weir_fed(&scratch, &send, "{\"no\":1}\n");
    assert!(broken.code == Some(65) && broken.stderr.contains("line 1"), "{broken:?}");
}

#[test]
fn a_flipped_bit_is_told_with_its_place_and_the_rest_can_be_taken_out() {
    let scratch = Scratch::new("queue-flip");
    waiting(&scratch, 40).kill();
    let path = scratch.join("state/queue/orders/00000000000000000001.seg");
    let content = fs::read(&path).unwrap();
    let at = content.windows(11).position(|part| part == b"\"order\":15,").unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.write_all_at(&[content[at] ^ 1], at as u64).unwrap();

    let at = ["--state-dir", "state"];
    let told = weir(&scratch, &["queue", "verify", "orders", at[0], at[1]]);
    let value = weir(&scratch, &["queue", "verify", at[0], at[1], "--json"]);
    let export = weir(&scratch, &["queue", "export", "orders", at[0], at[1]]);

    assert_eq!((told.code, value.code, export.code), (Some(65), Some(65), Some(65)));
    for words in [
        "in the queue of stream `orders` is damaged",
        "00000000000000000001.seg, byte ",
        "checksum is ",
        "10 records (positions 11 to 20) lost",
        "hint: ",
    ] {
        assert!(told.stderr.contains(words), "`{words}` is missing in\n{}", told.stderr);
    }
    let value: Value = serde_json::from_str(&value.stdout).unwrap();
    assert_eq!(
        (&value[0]["lost_records"], &value[0]["damaged"][0]["first"]),
        (&10.into(), &11.into())
    );
    assert_eq!(export.stdout.lines().count(), 30, "{export:?}");
    assert!(export.stderr.contains("10 records are passed over from position 11 on"), "{export:?}");
}

#[test]
fn a_purge_waits_for_the_agent_to_stop_and_keeps_the_books() {
    let scratch = Scratch::new("queue-purge");
    let agent = waiting(&scratch, 30);
    let purge = ["queue", "purge", "orders", "--state-dir", "state", "--destination", "cloud"];
    let yes = [&purge[..], &["--yes"]].concat();

    let running = weir(&scratch, &yes);
    assert_eq!(agent.terminate().code(), Some(0));
    let unasked = weir(&scratch, &purge);
    let unknown = weir(
        &scratch,
        &["queue", "purge", "orders", "--state-dir", "state", "--destination", "clod", "--yes"],
    );
    let done = json(weir(&scratch, &[&yes[..], &["--json"]].concat()));
    let agent = Agent::start(&scratch, WAITING);

    assert_eq!(running.code, Some(75), "{running:?}");
    assert!(running.stderr.contains("nothing was purged"), "{running:?}");
    assert_eq!(unasked.code, Some(64), "{unasked:?}");
    assert_eq!(unknown.code, Some(65), "{unknown:?}");
    assert_eq!(done["destinations"][0]["dropped"], 30);
    let row = Row { accepted: 30, dropped: 30, ..Row::default() };
    assert_eq!(Books::check(&agent).row("orders", "cloud"), row);
    assert_eq!(agent.client("local").post("orders", b"more").unwrap().status, 202);
    assert_eq!(Books::check(&agent).row("orders", "cloud").waiting, 1);
}

#[test]
fn folders_that_hold_no_queue_are_named() {
    let scratch = Scratch::new("queue-foreign");
    scratch.folder("photos");
    scratch.write("photos/a.jpg", "jpeg");
    scratch.folder("state/queue/orders/cursors");

    for (arguments, words) in [
        (&["queue", "verify", "--folder", "photos"][..], "is not a queue's folder"),
        (&["queue", "ls", "--folder", "nowhere"], "nothing of that name"),
        (&["queue", "ls", "--folder", "photos/a.jpg"], "it is a file"),
        (&["queue", "ls", "--state-dir", "photos"], "holds no queues"),
        (&["queue", "stat", "odrers", "--state-dir", "state"], "these are there: orders"),
        (&["queue", "purge", "../../x", "--state-dir", "state", "--yes"], "there is no queue"),
    ] {
        let ended = weir(&scratch, arguments);
        assert_eq!(ended.code, Some(65), "{arguments:?}: {ended:?}");
        assert!(ended.stderr.contains(words), "{arguments:?}: {ended:?}");
    }
    scratch.write("state/queue/wrong", "a file beside the queues is none of ours");
    let empty = weir(&scratch, &["queue", "verify", "--state-dir", "state"]).succeeded();
    assert!(empty.starts_with("orders: sound; 0 frames"), "{empty}");
}

#[test]
fn one_strange_folder_does_not_hide_the_other_queues() {
    let scratch = Scratch::new("queue-strange");
    scratch.folder("state/queue/orders/cursors");
    scratch.folder("state/queue/strange");

    for command in ["ls", "verify"] {
        let ended = weir(&scratch, &["queue", command, "--state-dir", "state"]);
        assert_eq!(ended.code, Some(65), "{ended:?}");
        assert!(ended.stdout.contains("orders"), "{ended:?}");
        assert!(ended.stderr.contains("queue/strange is not a queue's folder"), "{ended:?}");
    }
}
