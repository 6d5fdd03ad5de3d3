//! `weir status --watch` takes over a terminal, draws what moves, and gives it back as it was.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::agent::{Agent, ORDERS_TO_ARCHIVE, configure};
use crate::support::books::Books;
use crate::support::scratch::Scratch;
use crate::support::wait_for;

const WEIR: &str = env!("CARGO_BIN_EXE_weir");
const ENTER: &str = "\u{1b}[?1049h\u{1b}[?25l";
const LEAVE: &str = "\u{1b}[?25h\u{1b}[?1049l";

fn in_terminal(size: [&str; 2], wanted: &str, end: &str, file: &str) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/watched.py");
    let done = Command::new("python3")
        .arg(script)
        .args(size)
        .args([wanted, end, WEIR, "status", "--watch", "--every", "100 ms", "-c", file])
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
    serde_json::from_slice(&done.stdout).unwrap()
}

#[track_caller]
fn check_given_back(seen: &Value) -> &str {
    let output = seen["output"].as_str().unwrap();
    assert!(output.starts_with(ENTER), "{output:?}");
    assert!(output.ends_with(LEAVE), "{output:?}");
    assert_eq!(seen["code"], 0, "{output:?}");
    assert_eq!((&seen["is_as_before"], &seen["took_keys"]), (&true.into(), &true.into()));
    output
}

#[test]
fn it_draws_until_q_or_a_signal_and_gives_the_terminal_back() {
    let scratch = Scratch::new("watched");
    let agent = Agent::start(&scratch, ORDERS_TO_ARCHIVE);
    let file = configure(&scratch, ORDERS_TO_ARCHIVE).display().to_string();
    assert_eq!(agent.client("local").post("orders", b"x").unwrap().status, 202);
    Books::settled(&agent);

    // A rate is there from the second look on.
    let seen = in_terminal(["120", "30"], "0.0", "q", &file);
    let output = check_given_back(&seen);
    for words in ["ready", "OUT, LATELY", "orders", "archive", "ACCEPTED", "UTC   q ends"] {
        assert!(output.contains(words), "{words}: {output:?}");
    }
    let seen = in_terminal(["60", "6"], "more lines do not fit", "TERM", &file);
    check_given_back(&seen);

    let killed = format!("kill:{}:NO ANSWER", agent.pid());
    let seen = in_terminal(["120", "30"], "orders", &killed, &file);
    let output = check_given_back(&seen);
    assert!(output.contains("what stands below is not live"), "{output:?}");
}

#[test]
fn elsewhere_it_writes_a_line_for_each_look() {
    let scratch = Scratch::new("watched-lines");
    let agent = Agent::start(&scratch, ORDERS_TO_ARCHIVE);
    let file = configure(&scratch, ORDERS_TO_ARCHIVE).display().to_string();
    let watch = |more: &[&str]| {
        let mut command = Command::new(WEIR);
        command.args(["status", "--watch", "--every", "50 ms", "-c", &file]).args(more);
        command.stdout(Stdio::piped()).spawn().unwrap()
    };
    let three = |child: &mut std::process::Child| -> Vec<String> {
        BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap).take(3).collect()
    };

    // Nobody reads on behind the third line, which ends it too.
    let mut child = watch(&[]);
    for line in three(&mut child) {
        assert!(line.contains("Z ready, in ") && line.ends_with(" waiting, 0 dead"), "{line}");
    }
    let status = wait_for("the watch to end", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
    let mut child = watch(&["--json"]);
    for line in three(&mut child) {
        assert_eq!(line.parse::<Value>().unwrap()["ready"], true);
    }
    let status = wait_for("the watch to end", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));

    let mut child = watch(&[]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.next().unwrap().unwrap();
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let status = wait_for("the watch to end", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
    assert_eq!(agent.terminate().code(), Some(0));
}
