//! Compressed files: however they come to be, what is in them comes once, and reading them holds up nobody.

use super::*;

/// Lines of about a kilobyte.
fn lines(name: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{name} {number} {}", "x".repeat(900))).collect()
}

fn text(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[track_caller]
fn check(room: &Room, parts: &[&[String]]) {
    let (lines, expected) = (room.door.lines(), parts.concat());
    assert_eq!(lines.len(), expected.len());
    assert!(lines == expected, "out of order");
}

/// When the compressed file is met: its bytes come in several pieces, the first of them none, and the
/// original goes when all are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Met {
    Empty,
    Half,
    Whole,
    AfterItsOriginalWent,
    AfterARestart,
}

async fn look(room: &mut Room) {
    room.run_dry().await;
    tokio::time::advance(Duration::from_secs(6)).await;
    room.run_dry().await;
}

#[tokio::test(start_paused = true)]
async fn a_compressed_sibling_that_the_globs_find_is_read_on_and_never_again_whenever_it_is_met() {
    use Met::*;
    for met in [Empty, Half, Whole, AfterItsOriginalWent, AfterARestart] {
        for (end, is_read) in [(".gz", true), (".zst", true), (".gz", false), (".zst", false)] {
            let mut room = Room::new(&["a.log*"]);
            let (first, rest, next) = (lines("first", 50), lines("rest", 5), lines("next", 3));
            room.scratch.write("a.log", &text(&first));
            room.start();
            room.run_dry().await;
            if !is_read {
                room.door.store().refuse = full();
            }
            room.scratch.write("a.log", &text(&rest));
            room.run_dry().await;
            room.scratch.rename("a.log", "a.log.1");
            room.scratch.write("a.log", "");
            room.run_dry().await;

            let whole = packed(&fs::read(room.scratch.path("a.log.1")).unwrap(), end);
            let name = format!("a.log.1{end}");
            let mut file = fs::File::create(room.scratch.path(&name)).unwrap();
            if met == Empty {
                look(&mut room).await;
            }
            file.write_all(&whole[..whole.len() / 2]).unwrap();
            if met == Half {
                look(&mut room).await;
            }
            file.write_all(&whole[whole.len() / 2..]).unwrap();
            if met == Whole {
                look(&mut room).await;
            }
            if met == AfterARestart {
                room.kill();
            }
            room.scratch.remove("a.log.1");
            if met == AfterItsOriginalWent {
                look(&mut room).await;
            }
            room.scratch.rename(&name, &format!("a.log.2{end}"));
            room.scratch.write("a.log", &text(&next));
            room.door.store().refuse = None;
            tokio::time::advance(Duration::from_secs(60)).await;
            if !room.is_up() {
                room.start();
            }
            for _ in 0..2 {
                room.grace().await;
                room.restart().await;
            }
            room.grace().await;

            let mut arrived = room.door.lines();
            let place = arrived.iter().position(|line| line.starts_with("rest"));
            let of_old = arrived.drain(place.unwrap_or(0)..place.unwrap_or(0) + 5);
            assert_eq!(of_old.collect::<Vec<_>>(), rest, "{met:?} {end} {is_read}");
            assert_eq!(arrived, [first, next].concat(), "{met:?} {end} {is_read}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_way_to_a_far_position_in_a_compressed_file_holds_up_nobody() {
    let mut room = Room::new(&["*.log"]);
    room.settings.framing.record_bytes_max = 1 << 20;
    let long = |name: &str| format!("{name} {}", "x".repeat(900_000));
    let first: Vec<_> = (0..40).map(|number| long(&number.to_string())).collect();
    room.scratch.write("a.log", &text(&first));
    room.start();
    room.run_dry().await;
    room.kill();
    let rest = lines("rest", 3);
    room.scratch.write("a.log", &text(&rest));
    room.scratch.rename("a.log", "a.log.1");
    room.scratch.pack("a.log.1", ".zst");
    room.scratch.write("b.log", "b\n");

    room.start();
    room.scan().await;
    while room.door.lines().len() == first.len() {
        room.step().await;
    }
    check(&room, &[&first, &["b".to_owned()]]);
    room.steps().await;

    check(&room, &[&first, &["b".to_owned()], &rest]);
    room.grace().await;
    room.restart().await;
    room.grace().await;
    check(&room, &[&first, &["b".to_owned()], &rest]);
}

#[tokio::test(start_paused = true)]
async fn a_compressed_copy_that_ends_before_the_position_is_known_however_long_it_is() {
    for end in [".gz", ".zst"] {
        let mut room = Room::new(&["a.log"]);
        let (first, gap, next) = (lines("first", 2000), lines("gap", 5), lines("next", 3));
        room.scratch.write("a.log", &text(&first));
        room.start();
        room.run_dry().await;
        room.scratch.copy("a.log", "a.log.1");
        room.scratch.write("a.log", &text(&gap));
        room.run_dry().await;

        room.scratch.truncate("a.log");
        room.scratch.pack("a.log.1", end);
        room.scratch.write("a.log", &text(&next));
        for _ in 0..2 {
            room.grace().await;
            room.restart().await;
        }

        check(&room, &[&first, &gap, &next]);
        assert_eq!(room.numbers().vanished_bytes.get(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn of_many_compressed_files_a_few_are_decompressed_at_once() {
    let mut room = Room::new(&["*.zst"]);
    let all: Vec<_> = (0..20).map(|number| lines(&format!("{number:02}"), 300)).collect();
    for (number, lines) in all.iter().enumerate() {
        let packed = packed(text(lines).as_bytes(), ".zst");
        fs::write(room.scratch.path(&format!("{number:02}.zst")), packed).unwrap();
    }
    room.start();
    room.run_dry().await;
    // They are called like copies, so they are read when they are quiet.
    tokio::time::advance(Duration::from_secs(6)).await;
    let (mut most, mut pace) = (0, Some(Pace::Now));
    while pace == Some(Pace::Now) {
        pace = room.step().await;
        most = most.max(room.unpacking());
    }

    assert_eq!(most, 8);
    assert_eq!(room.unpacking(), 0);
    let mut lines = room.door.lines();
    lines.sort_by_key(|line| line.chars().take(2).collect::<String>());
    assert!(lines == all.concat());
}

#[tokio::test(start_paused = true)]
async fn a_rotated_file_that_somebody_unpacks_beside_the_compressed_one_is_not_read_again() {
    for end in [".gz", ".zst"] {
        let mut room = Room::new(&["a.log*"]);
        let lines = lines("one", 5);
        room.scratch.write("a.log", &text(&lines));
        room.start();
        room.run_dry().await;
        room.scratch.rename("a.log", "a.log.1");
        room.scratch.write("a.log", "");
        room.grace().await;
        room.scratch.pack("a.log.1", end);
        room.grace().await;

        room.scratch.write("a.log.1", &text(&lines));
        room.grace().await;
        check(&room, &[&lines]);

        // With a line that the other does not have it is a file of its own.
        room.scratch.write("a.log.1", "more\n");
        room.grace().await;
        room.restart().await;
        room.grace().await;
        check(&room, &[&lines, &lines, &["more".to_owned()]]);
    }
}
