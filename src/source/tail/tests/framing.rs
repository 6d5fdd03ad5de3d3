//! Framing in a file that is followed: what waits, what is sent when nothing more comes, and what a
//! restart in between changes.

use crate::source::framing::{Builtin, Encoding, Invalid, Long, Multiline, Rule};
use crate::source::tail::envelope;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

async fn after(room: &mut Room, wait: Duration) {
    tokio::time::advance(wait).await;
    room.steps().await;
}

#[tokio::test(start_paused = true)]
async fn a_stack_trace_is_one_record_once_it_was_quiet_and_a_restart_does_not_tear_it() {
    let mut room = Room::new(&["a.log"]);
    let rule = Rule::Builtin(Builtin::Java);
    room.settings.framing.multiline = Some(Multiline { rule, timeout: SECOND, lines_max: 100 });
    room.scratch.write("a.log", "INFO 1\nERROR 2\njava.io.IOException: x\n");
    room.start();
    room.run_dry().await;
    room.check(&["INFO 1"]);

    room.restart().await;
    room.scratch.write("a.log", "\tat a.B.c(B.java:1)\n");
    room.written("a.log");
    room.steps().await;
    room.check(&["INFO 1"]);
    after(&mut room, SECOND / 2).await;
    room.check(&["INFO 1"]);
    after(&mut room, SECOND).await;

    room.check(&["INFO 1", "ERROR 2\njava.io.IOException: x\n\tat a.B.c(B.java:1)"]);
    assert_eq!(room.step().await, Some(Pace::AtNews), "nothing is left to wait for");
}

/// How a file is rotated within a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rotation {
    Renamed,
    Copied,
    RenamedWhileDown,
    CopiedWhileDown,
    PackedWhileDown,
}

#[tokio::test(start_paused = true)]
async fn a_trace_that_a_rotation_cuts_off_is_one_record_and_what_follows_is_another() {
    use Rotation::*;
    for rotation in [Renamed, Copied, RenamedWhileDown, CopiedWhileDown, PackedWhileDown] {
        for glob in ["a.log", "a.log*"] {
            let mut room = Room::new(&[glob]);
            let rule = Rule::Builtin(Builtin::Java);
            room.settings.framing.multiline =
                Some(Multiline { rule, timeout: SECOND, lines_max: 100 });
            let begun = format!("ERROR {}\njava.io.IOException: x\n", "2".repeat(80));
            room.scratch.write("a.log", &format!("INFO 1\n{begun}"));
            room.start();
            room.run_dry().await;
            room.check(&["INFO 1"]);

            if matches!(rotation, RenamedWhileDown | CopiedWhileDown | PackedWhileDown) {
                room.kill();
            }
            room.scratch.write("a.log", "\tat a.B.c(B.java:1)\n");
            if matches!(rotation, Copied | CopiedWhileDown) {
                room.scratch.copy("a.log", "a.log.1");
                room.scratch.truncate("a.log");
            } else {
                room.scratch.rename("a.log", "a.log.1");
            }
            room.scratch.write("a.log", "\tat d.E.f(E.java:2)\nINFO 3\nINFO 4\n");
            if rotation == PackedWhileDown {
                room.scratch.pack("a.log.1", ".gz");
            }
            if !room.is_up() {
                room.start();
            }
            room.grace().await;
            room.restart().await;
            room.grace().await;

            let trace = format!("{begun}\tat a.B.c(B.java:1)");
            let mut lines = room.door.lines();
            let place = lines.iter().position(|line| *line == trace);
            assert!(place.is_some(), "{rotation:?} {glob}: {lines:?}");
            lines.remove(place.unwrap());
            assert_eq!(
                lines,
                ["INFO 1", "\tat d.E.f(E.java:2)", "INFO 3", "INFO 4"],
                "{rotation:?} {glob}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_unfinished_line_is_sent_when_it_was_quiet_and_its_rest_is_another_record() {
    let mut room = Room::new(&["a.log"]);
    room.settings.framing.partial_after = Some(5 * SECOND);
    room.scratch.write("a.log", "whole\nhal");
    room.start();
    room.run_dry().await;
    after(&mut room, 3 * SECOND).await;
    room.check(&["whole"]);
    room.scratch.write("a.log", "f a");
    room.written("a.log");
    room.steps().await;
    after(&mut room, 4 * SECOND).await;
    room.check(&["whole"]);
    after(&mut room, 2 * SECOND).await;
    room.check(&["whole", "half a"]);

    room.scratch.write("a.log", " line\n");
    room.run_dry().await;

    room.check(&["whole", "half a", " line"]);
}

#[tokio::test(start_paused = true)]
async fn the_rest_of_a_cut_line_is_passed_over_also_after_a_restart() {
    let mut room = Room::new(&["a.log"]);
    room.settings.framing.record_bytes_max = 64;
    room.settings.framing.long = Long::Cut;
    room.scratch.write("a.log", &"x".repeat(200_000));
    room.start();
    room.run_dry().await;
    room.restart().await;
    room.scratch.write("a.log", "the end of it\nnext\n");
    room.run_dry().await;

    let lines = room.door.lines();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].ends_with("x [cut by weir]") && lines[0].len() == 64);
    assert_eq!(lines[1], "next");
}

#[tokio::test(start_paused = true)]
async fn a_line_at_fault_lies_on_the_shelf_before_the_position_moves() {
    let mut room = Room::new(&["a.log"]);
    room.settings.framing.invalid = Invalid::DeadLetter;
    room.start();
    room.run_dry().await;
    room.door.store().refuse = full();
    fs::write(room.scratch.path("a.log"), b"one\n\xff\xfe\ntwo\n").unwrap();
    room.run_dry().await;
    room.check(&[]);
    assert_eq!(room.door.store().letters.len(), 1, "it is safe though nothing is stored yet");

    after(&mut room, Duration::from_mins(1)).await;
    room.door.store().refuse = None;
    after(&mut room, Duration::from_mins(1)).await;

    room.check(&["one", "two"]);
    let letters = std::mem::take(&mut room.door.store().letters);
    assert_eq!(letters.len(), 1, "waiting costs no second letter");
    assert_eq!(letters[0].record.payload, &b"\xff\xfe"[..]);
    assert!(letters[0].message.contains("no text"), "{}", letters[0].message);
}

#[tokio::test(start_paused = true)]
async fn a_byte_order_mark_is_passed_over_and_utf_16_is_followed_from_its_end() {
    let mut room = Room::new(&["*.log"]);
    room.settings.framing.encoding = Encoding::Utf16Le;
    room.settings.start_at = StartAt::End;
    let units = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    fs::write(room.scratch.path("old.log"), units("\u{feff}seen\nunfin")).unwrap();
    room.start();
    room.run_dry().await;
    let append = |name: &str, text: &str| {
        let path = room.scratch.path(name);
        let file = fs::OpenOptions::new().append(true).create(true).open(path);
        file.unwrap().write_all(&units(text)).unwrap();
    };
    append("old.log", "ished\r\n");
    append("new.log", "\u{feff}grün\n");
    room.run_dry().await;

    let mut lines = room.door.lines();
    lines.sort();
    assert_eq!(lines, ["grün", "unfinished"]);
}

#[tokio::test(start_paused = true)]
async fn an_envelope_says_where_each_line_stands() {
    let mut room = Room::new(&["a.log"]);
    room.settings.envelope = Some(envelope::Settings { host: "h".into(), ..Default::default() });
    room.scratch.write("a.log", "one\ntwo\n");
    room.start();
    room.run_dry().await;
    room.scratch.write("a.log", "three\n");
    room.run_dry().await;

    let offsets: Vec<u64> = room
        .door
        .lines()
        .iter()
        .map(|line| {
            let json: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(
                (json["host"].as_str(), json["file"].as_str().map(|f| f.ends_with("a.log"))),
                (Some("h"), Some(true))
            );
            json["offset"].as_u64().unwrap()
        })
        .collect();
    assert_eq!(offsets, [0, 4, 8]);
}
