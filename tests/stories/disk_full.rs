//! A disk that fills up refuses for a while, a queue that may drops its oldest: nothing that was
//! acknowledged disappears uncounted, and all of it heals by itself.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tokio::runtime::Runtime;

use crate::support::agent::{Agent, orders_to_kinesis};
use crate::support::books::Books;
use crate::support::fake_upstream::{Answer, FakeUpstream};
use crate::support::scratch::Scratch;
use crate::support::wait_for;

/// A file system of its own.
pub(crate) struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where this test may not mount one.
    pub(crate) fn mount(folder: PathBuf) -> Option<Self> {
        let size = ["-t", "tmpfs", "-o", "size=24m", "tmpfs"];
        let done = Command::new("mount").args(size).arg(&folder).status();
        done.is_ok_and(|status| status.success()).then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.0).status().ok();
    }
}

/// A payload of 64 KiB that begins with its number.
fn payload(number: usize) -> Vec<u8> {
    let mut payload = format!("order {number} ").into_bytes();
    payload.resize(64 << 10, b'.');
    payload
}

fn number(payload: &[u8]) -> usize {
    let text = String::from_utf8_lossy(payload);
    text.split(' ').nth(1).unwrap().parse().unwrap()
}

fn away(fake: &FakeUpstream) {
    fake.script(|_| Answer::refuse(500, "InternalFailure", "try again"));
}

/// Fills what is left of a disk, but for the last bytes.
fn fill(folder: &Path) -> PathBuf {
    let ballast = folder.join("ballast");
    let full = fs::write(&ballast, vec![0; 64 << 20]).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    ballast
}

#[test]
fn a_full_disk_answers_503_loses_nothing_and_heals_by_itself() {
    let scratch = Scratch::new("disk-full");
    let Some(disk) = SmallDisk::mount(scratch.folder("state")) else {
        println!("skipped: to mount a small file system, root is needed");
        return;
    };
    let runtime = Runtime::new().unwrap();
    let fake = runtime.block_on(FakeUpstream::start());
    away(&fake);
    let agent = Agent::start(
        &scratch,
        &orders_to_kinesis(&fake.url(), r#"queue = { min_free_disk = "0 B" }"#),
    );
    let client = agent.client("local");
    let mut acknowledged = BTreeSet::new();
    let mut post = |number: usize| {
        let answer = client.post("orders", &payload(number)).unwrap();
        if answer.status == 202 {
            acknowledged.insert(number);
        } else {
            assert_eq!((answer.status, answer.problem().as_deref()), (503, Some("queue-full")));
            assert!(answer.header("retry-after").is_some());
        }
        answer.status == 202
    };
    let mut next = 0;
    while post(next) {
        next += 1;
        assert!(next < 24 * 16, "the disk holds no more");
    }
    assert!(next > 100, "{next} records of 64 KiB in 24 MiB");
    let ballast = fill(&disk.0);
    assert!(!post(next), "now not a byte is left");
    Books::check(&agent);

    // Delivery needs no room: what it settles makes some, though the ballast stays.
    fake.script(|_| Answer::Take);
    let mut tried = next;
    wait_for("the agent to take records again", || {
        tried += 1;
        post(tried).then_some(())
    });
    fs::remove_file(ballast).unwrap();
    let books = Books::settled(&agent);
    assert_eq!(agent.terminate().code(), Some(0));

    let arrived: BTreeSet<usize> = fake.taken().iter().map(|taken| number(&taken.data)).collect();
    assert!(acknowledged.is_subset(&arrived), "{:?}", acknowledged.difference(&arrived));
    let row = books.row("orders", "cloud");
    assert_eq!((row.dead, row.dropped, row.damaged), (0, 0, 0));
}

#[test]
fn a_queue_that_drops_its_oldest_takes_everything_and_counts_what_it_dropped() {
    const RECORDS: usize = 200;
    let scratch = Scratch::new("drop-oldest");
    let runtime = Runtime::new().unwrap();
    let fake = runtime.block_on(FakeUpstream::start());
    away(&fake);
    let queue =
        r#"queue = { max_bytes = "4 MiB", min_free_disk = "0 B", when_full = "drop_oldest" }"#;
    let mut agent = Agent::start(&scratch, &orders_to_kinesis(&fake.url(), queue));
    for number in 0..RECORDS {
        if number == RECORDS / 2 {
            agent.kill();
            agent = Agent::start(&scratch, &orders_to_kinesis(&fake.url(), queue));
        }
        let answer = agent.client("local").post("orders", &payload(number)).unwrap();
        assert_eq!(answer.status, 202);
    }
    let row = Books::check(&agent).row("orders", "cloud");
    assert_eq!(row.accepted, RECORDS as u64);
    assert!(row.dropped > 100 && row.waiting > 20, "{row:?}");
    assert_eq!(agent.status()["streams"]["orders"]["dropping"], true);

    fake.script(|_| Answer::Take);
    let books = Books::settled(&agent);

    let arrived: BTreeSet<usize> = fake.taken().iter().map(|taken| number(&taken.data)).collect();
    let row = books.row("orders", "cloud");
    assert_eq!((row.dead, row.damaged), (0, 0));
    assert!(arrived.len() as u64 >= row.delivered, "{row:?}, {} arrived", arrived.len());
    let newest: BTreeSet<usize> = (RECORDS - 20..RECORDS).collect();
    assert!(newest.is_subset(&arrived), "the newest are kept");
    assert!(agent.metrics().contains("weir_queue_dropped_records_total{stream=\"orders\""));
}
