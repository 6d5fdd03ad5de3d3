//! Records are sealed on disk with a key from a file or from KMS: nobody reads them without it, the
//! agent goes on with it after a restart, and a new key follows an old one.

use std::fs;

use serde_json::Value;

use crate::support::agent::{Agent, configure, weir};
use crate::support::books::Books;
use crate::support::peers::{Moto, REGION};
use crate::support::scratch::Scratch;

/// Nothing answers at port 1: records wait.
const WAITING: &str = r#"
    grace = "1 s"
    [http.local]
    listen = "127.0.0.1:0"
    [stream.orders]
    destinations = ["cloud"]
    queue.compression = "zstd"
    queue.encryption = "at-rest"
    [destination.cloud]
    type = "kinesis"
    stream_name = "orders"
    region = "eu-west-1"
    endpoint_url = "http://127.0.0.1:1"
    retry_max = "1 s"
    "#;

const SECRET: &str = "the number of my card is 4111 1111 1111 1111";

fn with_keys(rows: &str) -> String {
    format!("{WAITING}\n[encryption.at-rest]\ntype = \"key\"\n{rows}\n")
}

fn with_kms(endpoint: &str, key: &str) -> String {
    format!(
        "{WAITING}\n[encryption.at-rest]\ntype = \"kms\"\nkms_key = \"{key}\"\n\
         region = \"{REGION}\"\nendpoint_url = \"{endpoint}\"\naccess_key_id = \"AKID\"\n\
         secret_access_key = \"hush\"\n"
    )
}

/// Takes `count` records and stops; everything it logged.
fn take(scratch: &Scratch, config: &str, count: usize) -> String {
    let agent = Agent::start(scratch, config);
    for _ in 0..count {
        let line = format!("{SECRET}; ").repeat(20);
        assert_eq!(agent.client("local").post("orders", line.as_bytes()).unwrap().status, 202);
    }
    let log = agent.log();
    assert_eq!(agent.terminate().code(), Some(0));
    log
}

/// Whether a text lies anywhere in the state directory.
fn lies_there(scratch: &Scratch, text: &str) -> bool {
    let queue = scratch.join("state/queue/orders");
    let files = fs::read_dir(queue).unwrap().map(|entry| entry.unwrap().path());
    files
        .filter(|path| path.is_file())
        .any(|path| fs::read(path).unwrap().windows(text.len()).any(|part| part == text.as_bytes()))
}

#[test]
fn a_queue_is_sealed_with_a_key_from_a_file_and_the_key_changes() {
    let scratch = Scratch::new("sealed-key");
    let (first, second) = ("07".repeat(32), "08".repeat(32));
    scratch.write("first.key", &first);
    scratch.write("second.key", &second);
    let at = ["--state-dir", "state"];

    let mut log = take(&scratch, &with_keys("key = \"file:first.key\""), 3);
    assert!(!lies_there(&scratch, "the number of my card"));
    let rotated = with_keys("key = \"file:second.key\"\nold_keys = [\"file:first.key\"]");
    log += &take(&scratch, &rotated, 2);

    let file = configure(&scratch, &with_keys("key = \"file:second.key\""));
    let refused = weir(&scratch, &["run", "--config", file.to_str().unwrap()]);
    assert_eq!(refused.code, Some(78), "{refused:?}");
    for words in
        ["00000000000000000001.seg is sealed with the key ", "nothing was changed", "old_keys"]
    {
        assert!(refused.stderr.contains(words), "{refused:?}");
    }
    let agent = Agent::start(&scratch, &rotated);
    let row = Books::check(&agent).row("orders", "cloud");
    assert_eq!((row.accepted, row.waiting, row.damaged), (5, 5, 0));
    assert_eq!(agent.terminate().code(), Some(0));

    let locked = weir(&scratch, &["queue", "verify", "orders", at[0], at[1], "--config", "none"]);
    assert!(locked.stdout.contains("sealed with a key that is not known here"), "{locked:?}");
    assert_eq!(locked.code, Some(0), "{locked:?}");
    let unread = weir(&scratch, &["queue", "dump", "orders", at[0], at[1], "--config", "none"]);
    assert_eq!((unread.code, unread.stdout.as_str()), (Some(78), ""), "{unread:?}");
    fs::rename(scratch.join("state/queue/orders"), scratch.join("rescued")).unwrap();
    let keys = ["--key", "file:first.key", "--key", "file:second.key"];
    let export = [&["queue", "export", "--folder", "rescued"], &keys[..]].concat();
    let exported = weir(&scratch, &export).succeeded();
    assert_eq!(exported.lines().filter(|line| line.contains(SECRET)).count(), 5);
    let stat = [&["queue", "stat", "--folder", "rescued", "--json"], &keys[..]].concat();
    let stat: Value = serde_json::from_str(&weir(&scratch, &stat).succeeded()).unwrap();
    let segments = stat["segments"].as_array().unwrap();
    assert_eq!(segments.len(), 2);
    assert_ne!(segments[0]["key"], segments[1]["key"]);
    let size = |name: &str| segments[0][name].as_u64().unwrap();
    assert!(size("packed_frames") >= 3 && size("body_bytes") * 2 < size("plain_bytes"), "{stat}");
    let verify = [&["queue", "verify", "--folder", "rescued"], &keys[..]].concat();
    let sound = weir(&scratch, &verify).succeeded();
    assert!(!sound.contains("not known"), "{sound}");

    let literal = weir(&scratch, &["queue", "stat", "--folder", "rescued", "--key", &first]);
    assert_eq!(literal.code, Some(64), "{literal:?}");
    let told = [log, format!("{refused:?}{locked:?}{unread:?}{literal:?}{stat}{sound}")].concat();
    assert!(!told.contains(&first) && !told.contains(&second), "a key was printed");
}

#[test]
fn a_data_key_of_kms_is_kept_wrapped_beside_the_queue_and_changes_with_age() {
    let scratch = Scratch::new("sealed-kms");
    let moto = Moto::start(&scratch);
    let config = with_kms(&moto.url(), &moto.create_key());
    let keys = scratch.join("state/queue/orders/keys");
    let kept = || {
        let listed = fs::read_dir(&keys).unwrap().map(|entry| entry.unwrap().path());
        let mut listed: Vec<_> = listed.collect();
        listed.sort();
        listed
    };

    take(&scratch, &config, 3);
    let first = kept();
    assert_eq!(first.len(), 1);
    assert!(!lies_there(&scratch, "the number of my card"));
    take(&scratch, &config, 1);
    assert_eq!(kept(), first, "a young key stays");

    // A quarter of a year later.
    let mut written: Value = serde_json::from_slice(&fs::read(&first[0]).unwrap()).unwrap();
    written["created_unix_ms"] = 1_000.into();
    fs::write(&first[0], written.to_string()).unwrap();
    take(&scratch, &config, 2);
    assert_eq!(kept().len(), 2, "the old key stays for what it has sealed");
    let file = configure(&scratch, &config);
    let config_file = file.to_str().unwrap();
    let exported =
        weir(&scratch, &["queue", "export", "orders", "--config", config_file]).succeeded();
    assert_eq!(exported.lines().filter(|line| line.contains(SECRET)).count(), 6);

    drop(moto);
    let away = weir(&scratch, &["run", "--config", config_file]);
    assert_eq!(away.code, Some(69), "{away:?}");
    assert!(away.stderr.contains("KMS gives no key for the queue of stream `orders`"), "{away:?}");
    assert!(away.stderr.contains("hint: "), "{away:?}");
    let verified = weir(&scratch, &["queue", "verify", "orders", "--config", config_file]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
    assert!(verified.stderr.contains("cannot be had"), "{verified:?}");
}
