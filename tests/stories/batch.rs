//! What has an end: standard input, and files that are read once. weir reads it, delivers it and
//! ends; exit code 0 says that everything arrived.

use std::fs;

use crate::support::agent::{Ended, configure, weir, weir_fed};
use crate::support::peers::{Kinesis, object_lines};
use crate::support::scratch::Scratch;

fn config(scratch: &Scratch, more: &str) -> String {
    let config = format!(
        "[stream.s]\ndestinations = [\"out\"]\n\
         [destination.out]\ntype = \"directory\"\npath = {:?}\nobject_age = \"100 ms\"\n{more}",
        scratch.join("out").display().to_string()
    );
    configure(scratch, &config).display().to_string()
}

/// Everything that arrived, a line each.
fn arrived(scratch: &Scratch) -> String {
    let lines = object_lines(&scratch.join("out")).into_iter();
    lines.map(|line| String::from_utf8(line).unwrap() + "\n").collect()
}

#[track_caller]
fn ended(ended: &Ended, code: i32) {
    assert_eq!(ended.code, Some(code), "{ended:?}");
}

#[test]
fn standard_input_is_stored_delivered_and_then_weir_ends() {
    let scratch = Scratch::new("batch-stdin");
    let config = config(&scratch, "");
    let input: String = (0..20_000).map(|number| format!("line {number}\n")).collect();

    let run = weir_fed(&scratch, &["run", "--config", &config, "--stdin", "s"], &input);

    ended(&run, 0);
    // Several requests are under way at a time, so that lines may change places between objects.
    let (lines, sent) = (arrived(&scratch), input);
    let (mut lines, mut sent): (Vec<_>, Vec<_>) = (lines.lines().collect(), sent.lines().collect());
    lines.sort_unstable();
    sent.sort_unstable();
    assert_eq!(lines, sent);
}

#[test]
fn a_last_line_without_an_end_and_a_stack_trace_arrive_whole() {
    let scratch = Scratch::new("batch-trace");
    let config = config(&scratch, "[stdin]\nmultiline = { preset = \"python\" }\n");
    let input = "start\nTraceback (most recent call last):\n  File \"a\"\nKeyError: 'x'\nend";

    let run = weir_fed(&scratch, &["run", "--config", &config, "--stdin", "s"], input);

    ended(&run, 0);
    assert_eq!(arrived(&scratch), format!("{input}\n"), "framing puts one end behind each record");
    let out = weir(&scratch, &["queue", "stat", "s", "--config", &config, "--json"]).succeeded();
    assert!(out.contains("\"delivered\":2") || out.contains("\"delivered\": 2"), "{out}");
}

#[test]
fn the_journal_arrives_as_objects() {
    let scratch = Scratch::new("batch-journal");
    let config = config(&scratch, "[stdin]\nformat = \"journal\"\n");
    let input = "__CURSOR=1\nMESSAGE=one\n\n__CURSOR=2\nMESSAGE\n\x03\0\0\0\0\0\0\0a\nb\n\n";

    let run = weir_fed(&scratch, &["run", "--config", &config, "--stdin", "s"], input);

    ended(&run, 0);
    let lines = arrived(&scratch);
    let lines: Vec<_> = lines.lines().collect();
    assert_eq!(
        lines,
        [r#"{"MESSAGE":"one","__CURSOR":"1"}"#, r#"{"MESSAGE":"a\nb","__CURSOR":"2"}"#]
    );
}

#[test]
fn files_are_read_to_their_end_once_and_not_again() {
    let scratch = Scratch::new("batch-once");
    let more = format!(
        "[tail.pods]\ninclude = \"{}/pods/*/*/*.log\"\nstream = \"s\"\nstart_at = \"beginning\"\n\
         format = \"cri\"\nenvelope = \"json\"\nhost = \"node\"\nlabels = [\"site=north\"]\n",
        scratch.path().display()
    );
    let config = config(&scratch, &more);
    let folder = scratch.join("pods/shop_web-1_8f/nginx");
    fs::create_dir_all(&folder).unwrap();
    let text = "2026-11-22T08:00:00Z stdout P half \n2026-11-22T08:00:01Z stdout F and half\n\
                2026-11-22T08:00:02Z stderr F no end";
    fs::write(folder.join("0.log"), text).unwrap();

    ended(&weir(&scratch, &["run", "--once", "--config", &config]), 0);
    ended(&weir(&scratch, &["run", "--once", "--config", &config]), 0);

    let lines = arrived(&scratch);
    let lines: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let messages: Vec<_> = lines.iter().map(|line| line["message"].as_str().unwrap()).collect();
    assert_eq!(messages, ["half and half", "no end"]);
    assert_eq!(lines[1]["kubernetes"]["pod"], "web-1");
    assert_eq!((&lines[1]["stream"], &lines[1]["host"]), (&"stderr".into(), &"node".into()));
    assert_eq!(lines[1]["labels"]["site"], "north");
}

#[test]
fn what_cannot_be_delivered_waits_on_disk_and_the_exit_code_says_so() {
    let scratch = Scratch::new("batch-away");
    let mut kinesis = Kinesis::start();
    kinesis.vanish();
    let away = format!(
        "grace = \"300 ms\"\n[stream.s]\ndestinations = [\"away\"]\n{}",
        kinesis.destination("away", "x")
    );
    let config = configure(&scratch, &away).display().to_string();

    let run = weir_fed(&scratch, &["run", "--config", &config, "--stdin", "s"], "a\nb\n");

    ended(&run, 69);
    assert!(run.stderr.contains("2 records are not delivered yet"), "{}", run.stderr);
    let kept = weir(&scratch, &["queue", "export", "s", "--config", &config]).succeeded();
    assert_eq!(kept, "a\nb\n");
}

#[test]
fn a_stream_that_is_not_there_is_named_and_nothing_is_read() {
    let scratch = Scratch::new("batch-unknown");
    let config = config(&scratch, "");
    let run = weir_fed(&scratch, &["run", "--config", &config, "--stdin", "t"], "a\n");
    ended(&run, 64);
    assert!(run.stderr.contains("there is no stream `t`"), "{}", run.stderr);
    assert!(run.stderr.contains("`s`"), "{}", run.stderr);
}
