//! Containers log through docker and through a kubelet, who rotate, compress and delete: every line
//! arrives whole, once and in order, with the pod it is from.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::agent::{Agent, configure, weir};
use crate::support::books::Books;
use crate::support::peers::REGION;
use crate::support::scratch::Scratch;
use crate::support::wait_for;

const LINES: u64 = 6000;
const ROTATE_EVERY: u64 = 1000;
/// Between bursts of [`BURST`] lines.
const PACE: Duration = Duration::from_millis(5);
const BURST: u64 = 50;

fn config(scratch: &Scratch, glob: &str, format: &str) -> String {
    let glob = scratch.join(glob).display().to_string();
    format!(
        r#"
        [tail.pods]
        include = [{glob:?}]
        format = "{format}"
        envelope = "json"
        stream = "s"
        start_at = "beginning"
        [stream.s]
        destinations = ["away"]
        [destination.away]
        type = "firehose"
        delivery_stream = "s"
        region = "{REGION}"
        endpoint_url = "http://127.0.0.1:1"
        "#
    )
}

/// Writes all lines; calls `rotate` now and then, after which the file is opened anew.
fn log(path: &Path, write: impl Fn(&mut File, u64), mut rotate: impl FnMut(u64)) {
    let open = || File::options().create(true).append(true).open(path).unwrap();
    let mut file = open();
    for number in 0..LINES {
        if number > 0 && number.is_multiple_of(ROTATE_EVERY) {
            rotate(number / ROTATE_EVERY);
            // The runtime learns of it a moment later.
            write(&mut file, number);
            file = open();
        } else {
            write(&mut file, number);
        }
        if number.is_multiple_of(BURST) {
            std::thread::sleep(PACE);
        }
    }
}

fn is_queued(agent: &Agent, lines: u64) -> Option<()> {
    (Books::check(agent).row("s", "away").accepted >= lines).then_some(())
}

/// What lies in the queue, once all lines do.
#[track_caller]
fn messages(scratch: &Scratch, agent: Agent, config: &str) -> Vec<Value> {
    wait_for("all lines to be queued", || is_queued(&agent, LINES));
    agent.kill();
    let config = configure(scratch, config).display().to_string();
    let out = weir(scratch, &["queue", "export", "s", "--config", &config]).succeeded();
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[track_caller]
fn check(messages: &[Value], text: impl Fn(u64) -> String) {
    // Of several files, one may come before another.
    let mut got: Vec<_> =
        messages.iter().map(|message| message["message"].as_str().unwrap()).collect();
    got.sort_by_key(|text| text.split(' ').nth(1).and_then(|number| number.parse::<u64>().ok()));
    let expected: Vec<_> = (0..LINES).map(text).collect();
    assert_eq!(got.len(), expected.len());
    for (got, expected) in got.iter().zip(&expected) {
        assert_eq!(got, expected);
    }
}

fn gzip(path: &Path) {
    assert!(Command::new("gzip").arg(path).status().unwrap().success());
}

#[test]
fn a_kubelet_rotates_compresses_and_deletes_the_logs_of_a_pod() {
    let scratch = Scratch::new("kubelet");
    let folder = scratch.folder("pods/shop_web-1_8f0c/nginx");
    let links = scratch.folder("containers");
    let path = folder.join("0.log");
    File::create(&path).unwrap();
    std::os::unix::fs::symlink(&path, links.join("web-1_shop_nginx-0123abc.log")).unwrap();
    let text = |number: u64| format!("request {number} {}", "-".repeat(30));
    let config = config(&scratch, "containers/*.log", "cri");
    let mut agent = Some(Agent::start(&scratch, &config));

    // As containerd writes a line longer than its buffer: in parts.
    let write = |file: &mut File, number: u64| {
        let (text, time) = (text(number), "2026-11-28T10:00:00.123456789Z");
        let (first, rest) = text.split_at(9);
        let lines = if number.is_multiple_of(3) {
            format!("{time} stdout P {first}\n{time} stdout F {rest}\n")
        } else {
            format!("{time} stdout F {text}\n")
        };
        file.write_all(lines.as_bytes()).unwrap();
    };
    let name = |rotation: u64| folder.join(format!("0.log.20261128-1000{rotation:02}"));
    log(&path, write, |rotation| {
        // What is deleted before anybody could read it is lost to all: in life there are minutes
        // between rotations. The kill finds lines unread all the same.
        if let Some(agent) = agent.as_ref().filter(|_| rotation != 3) {
            wait_for("all lines so far to be queued", || is_queued(agent, rotation * ROTATE_EVERY));
        }
        fs::rename(&path, name(rotation)).unwrap();
        if rotation > 1 {
            gzip(&name(rotation - 1));
        }
        if rotation > 3 {
            fs::remove_file(name(rotation - 3).with_added_extension("gz")).unwrap();
        }
        if rotation == 3 {
            agent.take().unwrap().kill();
        }
        if rotation == 4 {
            agent = Some(Agent::start(&scratch, &config));
        }
    });

    let messages = messages(&scratch, agent.unwrap(), &config);
    check(&messages, text);
    let pod = json!({"namespace": "shop", "pod": "web-1", "container": "nginx"});
    assert!(messages.iter().all(|message| message["stream"] == "stdout"));
    let of_pod = messages.iter().filter(|message| message["kubernetes"] == pod).count();
    assert!(of_pod > 0, "{}", messages[0]);
}

#[test]
fn docker_rotates_and_compresses_the_log_of_a_container() {
    let scratch = Scratch::new("docker");
    let folder = scratch.folder("containers/4f2a");
    let path = folder.join("4f2a-json.log");
    let text = |number: u64| format!("request {number} \"quoted\" {}", "é".repeat(20));
    let config = config(&scratch, "containers/*/*-json.log", "docker");
    let mut agent = Some(Agent::start(&scratch, &config));

    let write = |file: &mut File, number: u64| {
        let log = text(number) + "\n";
        let line = json!({"log": log, "stream": "stderr", "time": "2026-11-28T10:00:00.1Z"});
        file.write_all((line.to_string() + "\n").as_bytes()).unwrap();
    };
    let name = |generation: u64, end: &str| folder.join(format!("4f2a-json.log.{generation}{end}"));
    log(&path, write, |rotation| {
        // `max-file`: the generations move on, all but the youngest are compressed.
        for generation in (2..rotation).rev() {
            fs::rename(name(generation, ".gz"), name(generation + 1, ".gz")).unwrap();
        }
        if rotation > 1 {
            fs::rename(name(1, ""), name(2, "")).unwrap();
            gzip(&name(2, ""));
        }
        fs::rename(&path, name(1, "")).unwrap();
        if rotation == 2 {
            agent.take().unwrap().kill();
        }
        if rotation == 5 {
            agent = Some(Agent::start(&scratch, &config));
        }
    });

    check(&messages(&scratch, agent.unwrap(), &config), text);
}
