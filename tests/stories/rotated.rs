//! logrotate at work, about once a second under load, in every mode it knows: each line arrives once
//! and in its order, whether weir looks on or comes back later.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use tokio::runtime::Runtime;

use crate::support::agent::Agent;
use crate::support::books::Books;
use crate::support::fake_upstream::FakeUpstream;
use crate::support::numbered::{Writer, in_files, missing};
use crate::support::peers::REGION;
use crate::support::scratch::Scratch;
use crate::support::wait_for;

/// How logrotate is told to rotate, and which files weir is told to follow.
const MODES: [(&str, &str, &str); 6] = [
    ("create", "create", "app.log"),
    ("packed", "create\ncompress\ndelaycompress", "app.log*"),
    ("dated", "create\ncompress\ndelaycompress\ndateext\ndateformat -%Y%m%d-%s", "app.log"),
    (
        "zstd",
        "create\ncompress\ndelaycompress\ncompresscmd /usr/bin/zstd\ncompressext .zst\ncompressoptions -q",
        "app.log*",
    ),
    ("copied", "copytruncate\nnocompress", "app.log*"),
    ("copypacked", "copytruncate\ncompress\ndateext\ndateformat -%Y%m%d-%s", "app.log"),
];
const ROTATIONS: usize = 5;

struct Rotated {
    mode: &'static str,
    folder: PathBuf,
    writer: Writer,
}

fn config(scratch: &Scratch, fake: &FakeUpstream) -> String {
    let mut config = String::new();
    for (mode, _, glob) in MODES {
        let glob = scratch.join(mode).join(glob).display().to_string();
        config += &format!(
            r#"
            [tail.{mode}]
            include = [{glob:?}]
            stream = "{mode}"
            start_at = "beginning"
            [stream.{mode}]
            destinations = ["{mode}"]
            [destination.{mode}]
            type = "firehose"
            delivery_stream = "{mode}"
            region = "{REGION}"
            endpoint_url = "{url}"
            max_in_flight = 1
            linger = "10 ms"
            "#,
            url = fake.url(),
        );
    }
    config
}

fn rotate(scratch: &Scratch) {
    let state = scratch.join("logrotate.state");
    let ended = Command::new("logrotate")
        .args(["--force", "--state"])
        .arg(state)
        .arg(scratch.join("logrotate.conf"))
        .output()
        .expect("logrotate is installed: `./tests/run` does it");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

#[test]
fn logrotate_may_rotate_copy_and_compress_while_weir_looks_on_and_while_it_is_down() {
    let scratch = Scratch::new("rotated");
    let runtime = Runtime::new().unwrap();
    let fake = runtime.block_on(FakeUpstream::start());
    let mut rules = String::new();
    let rotated: Vec<Rotated> = MODES
        .into_iter()
        .map(|(mode, how, _)| {
            let folder = scratch.folder(mode);
            let path = folder.join("app.log");
            rules += &format!("{:?} {{\nrotate 1000\n{how}\n}}\n", path.display().to_string());
            Rotated { mode, folder, writer: Writer::start(&path, 10) }
        })
        .collect();
    let file = scratch.write("logrotate.conf", &rules);
    fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let config = config(&scratch, &fake);

    let mut agent = Agent::start(&scratch, &config);
    for _ in 0..ROTATIONS {
        thread::sleep(Duration::from_secs(1));
        rotate(&scratch);
    }
    agent.terminate();
    for _ in 0..2 {
        thread::sleep(Duration::from_secs(1));
        rotate(&scratch);
    }
    agent = Agent::start(&scratch, &config);
    rotated[0].writer.wait_for_more(100);
    let written: Vec<_> =
        rotated.into_iter().map(|one| (one.mode, one.folder, one.writer.stop())).collect();

    wait_for("every line to arrive", || {
        written
            .iter()
            .all(|(mode, folder, count)| has_all(&fake, mode, folder, *count))
            .then_some(())
    });
    Books::settled(&agent);
    assert_eq!(agent.terminate().code(), Some(0));
    for (mode, folder, count) in &written {
        check(&fake, mode, folder, *count);
    }
}

fn arrived(fake: &FakeUpstream, stream: &str) -> String {
    let taken = fake.taken().into_iter().filter(|taken| taken.stream == stream);
    taken.map(|taken| String::from_utf8(taken.data).unwrap()).collect()
}

fn has_all(fake: &FakeUpstream, mode: &str, folder: &Path, written: u64) -> bool {
    let there = in_files(folder);
    let arrived = arrived(fake, mode);
    let arrived = arrived.lines().filter_map(crate::support::numbered::number_of);
    let arrived: std::collections::BTreeSet<u64> = arrived.collect();
    arrived.contains(&(written - 1)) && there.keys().all(|number| arrived.contains(number))
}

/// Each line once and in its order; only a truncation after a copy takes lines, those that are in no
/// file any more.
fn check(fake: &FakeUpstream, mode: &str, folder: &Path, written: u64) {
    let there = in_files(folder);
    let files = fs::read_dir(folder).unwrap().count();
    let missing = missing(arrived(fake, mode).lines(), folder, written);
    println!("{mode}: {written} lines in {files} files, {} in none of them", missing.len());
    assert_eq!(files, ROTATIONS + 3, "{mode}");
    assert!(missing.iter().all(|number| !there.contains_key(number)), "{mode}: {missing:?}");
    assert!(missing.is_empty() || mode.starts_with("cop"), "{mode}: {missing:?}");
}
