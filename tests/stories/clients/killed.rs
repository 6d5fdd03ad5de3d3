//! Killed again and again while records are put by PutRecords, weir loses none that it answered 200 for, and its
//! numbers go on growing.

use std::collections::BTreeSet;
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use fastrand::Rng;
use serde_json::{Value, json};

use super::check_growing;
use super::refused::try_call;
use crate::support::agent::Agent;
use crate::support::books::Books;
use crate::support::peers::object_lines;
use crate::support::scratch::Scratch;
use crate::support::{seed, wait_for};

const KILLS: usize = 4;
/// Records of one call.
const RECORDS: usize = 20;
/// Answered calls between two kills, at least.
const CALLS: usize = 10;

/// What was put, and the numbers it got.
#[derive(Default)]
struct Stored {
    payloads: BTreeSet<String>,
    numbers: Vec<String>,
}

/// A sender that puts one batch after the other, each until it is answered 200.
struct Sender {
    address: RwLock<String>,
    answered: AtomicUsize,
    is_over: AtomicBool,
}

impl Sender {
    fn put(&self) -> Stored {
        let mut stored = Stored::default();
        for batch in 0.. {
            if self.is_over.load(Ordering::Relaxed) {
                break;
            }
            let payloads: Vec<String> =
                (0..RECORDS).map(|n| format!(r#"{{"batch":{batch},"number":{n}}}"#)).collect();
            let record = |payload: &String| json!({"Data": BASE64_STANDARD.encode(payload), "PartitionKey": "k"});
            let records: Vec<Value> = payloads.iter().map(record).collect();
            let call = json!({"StreamName": "orders", "Records": records});
            let said = wait_for("the batch to be stored", || {
                let address = self.address.read().unwrap().clone();
                let said = try_call(&address, "Kinesis_20131202.PutRecords", &call)?;
                if said.status != 200 {
                    assert_eq!(said.status, 503, "{said:?}");
                    return None;
                }
                Some(said.value())
            });
            assert_eq!(said["FailedRecordCount"], 0, "{said}");
            let number = |one: &Value| one["SequenceNumber"].as_str().unwrap().to_owned();
            stored.numbers.extend(said["Records"].as_array().unwrap().iter().map(number));
            stored.payloads.extend(payloads);
            self.answered.fetch_add(1, Ordering::Relaxed);
        }
        stored
    }
}

#[test]
fn every_record_answered_200_arrives_and_numbers_grow_across_kills() {
    let mut random = Rng::with_seed(seed());
    let scratch = Scratch::new("clients-killed");
    let archive = scratch.folder("archive");
    let config = format!(
        "[http.open]\nlisten = \"127.0.0.1:0\"\n\
         [stream.orders]\ndestinations = [\"archive\"]\n\
         [destination.archive]\ntype = \"directory\"\npath = \"{}\"\nobject_age = \"1 s\"\n",
        archive.display()
    );
    let agent = Agent::start(&scratch, &config);
    let sender = Sender {
        address: RwLock::new(agent.http("open")),
        answered: AtomicUsize::new(0),
        is_over: AtomicBool::new(false),
    };

    let (agent, stored) = thread::scope(|scope| {
        let mut agent = agent;
        let putting = scope.spawn(|| sender.put());
        for _ in 0..KILLS {
            let enough = sender.answered.load(Ordering::Relaxed) + CALLS;
            wait_for("calls to be answered", || {
                (sender.answered.load(Ordering::Relaxed) >= enough).then_some(())
            });
            thread::sleep(Duration::from_micros(random.u64(..20_000)));
            agent.kill();
            agent = Agent::start(&scratch, &config);
            *sender.address.write().unwrap() = agent.http("open");
        }
        sender.is_over.store(true, Ordering::Relaxed);
        (agent, putting.join().unwrap())
    });

    assert!(stored.numbers.len() >= KILLS * CALLS * RECORDS);
    check_growing(&stored.numbers);
    let accepted = Books::settled(&agent).row("orders", "archive").accepted;
    assert_eq!(agent.terminate().code(), Some(0));
    let arrived: BTreeSet<String> =
        object_lines(&archive).into_iter().map(|line| String::from_utf8(line).unwrap()).collect();
    let missing: Vec<&String> = stored.payloads.difference(&arrived).take(10).collect();
    assert!(missing.is_empty(), "{missing:?} of {} are missing", stored.payloads.len());
    // A call whose answer was cut off was perhaps stored, and was made again.
    let most = stored.payloads.len() + KILLS * RECORDS;
    assert!(
        (stored.payloads.len()..=most).contains(&usize::try_from(accepted).unwrap()),
        "{accepted} of {most}"
    );
}
