use proptest::prelude::*;
use regex::bytes::Regex;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn small(record_bytes_max: usize) -> Settings {
    Settings { record_bytes_max, ..Settings::default() }
}

fn all(settings: &Settings, bytes: &[u8], quiet_for: Option<Duration>) -> Cut {
    let situation = Situation { records_max: 1000, quiet_for, ..Situation::default() };
    Framing::new(settings).cut(&Bytes::copy_from_slice(bytes), &situation)
}

#[track_caller]
fn check_with(settings: &Settings, bytes: &str, last: bool, lines: &[&str], used: usize) {
    let cut = all(settings, bytes.as_bytes(), last.then_some(Situation::END));
    let payloads: Vec<_> = cut.records.iter().map(|one| one.payload.clone()).collect();
    assert_eq!(payloads, lines);
    assert_eq!(cut.used, used);
}

#[track_caller]
fn check(max: usize, bytes: &str, last: bool, lines: &[&str], used: usize) {
    check_with(&small(max), bytes, last, lines, used);
}

#[test]
fn a_line_ends_at_its_newline_and_the_unfinished_rest_waits() {
    check(10, "one\ntwo\r\nthr", false, &["one", "two"], 9);
    check(10, "one\ntwo\r\nthr", true, &["one", "two", "thr"], 12);
    check(10, "thr\r", true, &["thr"], 4);
    check(10, "a\rb\n", false, &["a\rb"], 4);
}

#[test]
fn a_line_may_end_at_a_zero_byte() {
    let settings = Settings { ending: Ending::Nul, ..small(10) };
    check_with(&settings, "a\nb\0c\r\0d", false, &["a\nb", "c\r"], 7);
}

#[test]
fn empty_lines_are_passed_over() {
    check(10, "\n\r\n\n a\n\n", false, &[" a"], 8);
    check(10, "\r", true, &[], 1);
}

#[test]
fn an_unfinished_last_line_is_sent_after_the_time_that_was_set_and_not_before() {
    let settings = Settings { partial_after: Some(5 * SECOND), ..small(10) };

    assert_eq!(all(&settings, b"ab", Some(5 * SECOND - Duration::from_millis(1))).used, 0);
    assert_eq!(all(&settings, b"ab", Some(5 * SECOND)).used, 2);
    assert_eq!(all(&small(10), b"ab", Some(3600 * SECOND)).used, 0, "by default it waits");
    assert_eq!(Framing::new(&settings).patience(SECOND), Some(5 * SECOND));
    assert_eq!(Framing::new(&settings).patience(5 * SECOND), None);
}

#[test]
fn a_line_is_split_from_one_byte_over_the_limit() {
    check(4, "123\n1234\n", false, &["123", "1234"], 9);
    check(4, "1234\r\n", false, &["1234"], 6);
    check(4, "12345\n", false, &["1234", "5"], 6);
    check(4, "12345", false, &[], 0);
    check(4, "123456", false, &["1234"], 4);
    check(4, "12345", true, &["1234", "5"], 5);
    check(4, "12345678\n", false, &["1234", "5678"], 9);
}

#[test]
fn a_cut_tears_no_character_and_bytes_that_are_none_are_left_alone() {
    check(4, "abcé123\n", false, &["abc", "é12", "3"], 9);
    let cut = all(&small(4), &[0x80; 9], Some(Situation::END));
    let payloads: Vec<_> = cut.records.iter().map(|one| one.payload.len()).collect();
    assert_eq!(payloads, [4, 4, 1]);
}

#[test]
fn a_limit_shorter_than_the_note_leaves_the_note_out_and_comes_to_an_end() {
    for max in [1, 13, 14] {
        for format in [Format::Plain, Format::Cri] {
            let line = "2026-11-22T08:00:00Z stdout F abcdefghijklmnopqrstuvwxyz\n";
            let cut =
                all(&Settings { long: Long::Cut, format, ..small(max) }, line.as_bytes(), None);
            let payloads: Vec<_> = cut.records.iter().map(|one| one.payload.len()).collect();
            assert_eq!(payloads, [max], "{format:?}");
        }
    }
}

#[test]
fn a_long_line_may_be_cut_with_a_note_and_its_rest_is_passed_over_across_calls() {
    let settings = Settings { long: Long::Cut, ..small(20) };
    let framing = Framing::new(&settings);
    let mut situation = Situation { records_max: 10, ..Situation::default() };

    let cut = framing.cut(&Bytes::from("abcdefghijklmnopqrstuvwxyz-".repeat(3)), &situation);
    assert_eq!(cut.records.len(), 1);
    assert_eq!(cut.records[0].payload, "abcdef [cut by weir]");
    assert!(cut.is_skipping && cut.used == 81, "{cut:?}");

    situation.is_skipping = true;
    let cut = framing.cut(&Bytes::from_static(b"still the same line\nnext\n"), &situation);
    assert_eq!(cut.records.len(), 1);
    assert_eq!((&cut.records[0].payload[..], cut.records[0].at), (&b"next"[..], 20));
    assert!(!cut.is_skipping);
}

#[test]
fn a_long_line_may_become_a_dead_letter_and_the_next_line_does_not() {
    let settings = Settings { long: Long::DeadLetter, ..small(4) };
    let cut = all(&settings, b"12345678\nok\n", None);
    let faults: Vec<_> = cut.records.iter().map(|one| (&one.payload[..], one.fault)).collect();
    assert_eq!(faults, [(&b"1234"[..], Some(Fault::TooLong)), (b"ok", None)]);
}

#[test]
fn it_stops_at_the_limit_of_records_and_says_so() {
    let situation = Situation { records_max: 2, ..Situation::default() };
    let cut = Framing::new(&small(9)).cut(&Bytes::from_static(b"a\nb\nc\n"), &situation);
    assert_eq!((cut.records.len(), cut.used, cut.is_full), (2, 4, true));
}

fn utf16(text: &str, big: bool) -> Vec<u8> {
    let units = text.encode_utf16();
    units.flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
}

#[test]
fn utf_16_becomes_utf_8_either_way_round() {
    for (encoding, big) in [(Encoding::Utf16Le, false), (Encoding::Utf16Be, true)] {
        let settings = Settings { encoding, ..small(90) };
        let bytes = utf16("grün\r\n漢\u{10348}\nrest", big);
        let cut = all(&settings, &bytes, None);
        let lines: Vec<_> = cut.records.iter().map(|one| one.payload.clone()).collect();
        assert_eq!(lines, ["grün", "漢\u{10348}"]);
        assert_eq!(cut.used, bytes.len() - 8);

        let framing = Framing::new(&settings);
        let mark = utf16("\u{feff}", big);
        assert_eq!(framing.preamble(&mark), 2);
        assert_eq!(framing.preamble(b"ab"), 0);
        assert_eq!(framing.unfinished(&bytes), Some(8));
    }
}

#[test]
fn what_is_no_text_follows_the_policy() {
    let check = |invalid, bytes: &[u8], payload: &[u8], fault| {
        let cut = all(&Settings { invalid, ..small(90) }, bytes, None);
        assert_eq!((&cut.records[0].payload[..], cut.records[0].fault), (payload, fault));
    };
    check(Invalid::Keep, b"a\xff\n", b"a\xff", None);
    check(Invalid::Replace, b"a\xff\n", "a\u{fffd}".as_bytes(), None);
    check(Invalid::Base64, b"a\xff\n", b"Yf8=", None);
    check(Invalid::DeadLetter, b"a\xff\n", b"a\xff", Some(Fault::NotText));
    check(Invalid::DeadLetter, b"fine\n", b"fine", None);
    let lone = Settings { encoding: Encoding::Utf16Le, invalid: Invalid::DeadLetter, ..small(90) };
    assert_eq!(all(&lone, b"\x00\xd8\n\0", None).records[0].fault, Some(Fault::NotText));
}

fn grouped(max: usize) -> Settings {
    let start = Some(Regex::new(r"^\d").unwrap());
    let rule = Rule::Patterns { start, next: None, end: None };
    let multiline = Multiline { rule, timeout: SECOND, lines_max: 3 };
    Settings { multiline: Some(multiline), ..small(max) }
}

#[test]
fn a_group_waits_for_its_end_or_until_it_was_quiet_long_enough() {
    let settings = grouped(90);
    check_with(&settings, "1\n a\n\n2\n b\n", false, &["1\n a"], 6);
    assert_eq!(all(&settings, b"2\n b\n", Some(SECOND / 2)).used, 0);
    assert_eq!(all(&settings, b"2\n b\n", Some(SECOND)).used, 5);
    let cut = all(&settings, b"2\n b\n unfinish", Some(SECOND));
    assert_eq!(cut.used, 0, "the unfinished line may belong to it");
    check_with(&settings, "2\n b\n last", true, &["2\n b\n last"], 10);
}

#[test]
fn a_group_has_so_many_lines_and_bytes_and_not_more() {
    check_with(&grouped(90), "1\na\nb\nc\n2\n", false, &["1\na\nb", "c"], 8);
    check_with(&grouped(4), "1\nabcde\n2\n", false, &["1\nab", "cd", "e"], 8);
    let cut = Settings { long: Long::Cut, ..grouped(20) };
    let text = "1\naaaaaaaaaa\nbbbbbbbbbbbbbb\n2\n";
    check_with(&cut, text, false, &["1\naaaa [cut by weir]"], 28);
}

#[test]
fn what_never_ends_is_used_up_all_the_same() {
    let endless = Bytes::from("x".repeat(100_000));
    for long in [Long::Split, Long::Cut, Long::DeadLetter] {
        for format in [Format::Plain, Format::Cri, Format::Docker] {
            for base in [small(1000), grouped(1000)] {
                let framing = Framing::new(&Settings { long, format, ..base });
                let mut situation = Situation { records_max: 10, ..Situation::default() };
                let mut from = 0;
                while endless.len() - from >= framing.room() {
                    let chunk = endless.slice(from..from + framing.room());
                    let cut = framing.cut(&chunk, &situation);
                    assert!(cut.used > 0, "{framing:?}");
                    assert!(cut.records.iter().all(|one| one.payload.len() <= 1000));
                    situation.is_skipping = cut.is_skipping;
                    from += cut.used;
                }
            }
        }
    }
}

#[test]
fn pieces_of_a_container_line_are_joined_per_stream() {
    let settings = Settings { format: Format::Cri, ..small(90) };
    let text = "2026 stdout P one \n2026 stderr P two \n2026 stdout F three\n\
                2026 stderr F four\n2026 stdout F five\n2026 stdout P six";
    let cut = all(&settings, text.as_bytes(), None);
    let lines: Vec<_> = cut.records.iter().map(|one| one.payload.clone()).collect();
    assert_eq!(lines, ["one three", "two four", "five"]);
    assert_eq!(cut.records[1].origin.stream.as_deref(), Some(&b"stderr"[..]));
    assert_eq!(cut.used, text.rfind("2026").unwrap());
}

#[test]
fn no_position_is_passed_over_that_a_record_reaches_across() {
    let settings = Settings { format: Format::Cri, ..small(90) };
    let text = "2026 stdout P a\n2026 stderr P b\n2026 stdout F c\n";
    assert_eq!(all(&settings, text.as_bytes(), None), Cut::default());
    check_with(&settings, text, true, &["ac", "b"], text.len());
}

/// Cuts as a reader does that gets the bytes in steps; the records, in the order they came.
fn in_steps(settings: &Settings, whole: &Bytes, steps: &[usize]) -> Vec<Bytes> {
    let framing = Framing::new(settings);
    let mut situation = Situation { records_max: 1000, ..Situation::default() };
    let (mut records, mut from, mut until) = (Vec::new(), 0, 0);
    for step in steps.iter().cycle() {
        until = (until + step).min(whole.len());
        situation.quiet_for = (until == whole.len()).then_some(Situation::END);
        let cut = framing.cut(&whole.slice(from..until), &situation);
        from += cut.used;
        situation.is_skipping = cut.is_skipping;
        records.extend(cut.records.into_iter().map(|one| one.payload));
        if until == whole.len() {
            break;
        }
    }
    assert_eq!(from, whole.len());
    records
}

proptest! {
    #[test]
    fn the_same_records_come_out_however_the_bytes_arrive(
        text in "[ab\r\né]{0,60}",
        max in 20usize..40,
        long in 0usize..3,
        steps in proptest::collection::vec(1usize..9, 1..40),
    ) {
        let long = [Long::Split, Long::Cut, Long::DeadLetter][long];
        let settings = Settings { long, ..small(max) };
        let whole = Bytes::copy_from_slice(text.as_bytes());
        let expected = in_steps(&settings, &whole, &[whole.len().max(1)]);
        prop_assert_eq!(in_steps(&settings, &whole, &steps), expected);
    }

    #[test]
    fn groups_and_container_lines_come_out_the_same_however_the_bytes_arrive(
        lines in proptest::collection::vec(("[12]? ?[ab]{0,3}", any::<bool>(), 0usize..4), 0..12),
        is_cri in any::<bool>(),
        steps in proptest::collection::vec(1usize..30, 1..40),
    ) {
        let format = if is_cri { Format::Cri } else { Format::Plain };
        let text: String = lines.iter().map(|(line, is_out, part)| {
            let stream = if *is_out { "stdout" } else { "stderr" };
            let tag = if *part == 0 { "P" } else { "F" };
            if is_cri { format!("2026 {stream} {tag} {line}\n") } else { format!("{line}\n") }
        }).collect();
        let settings = Settings { format, ..grouped(1000) };
        let whole = Bytes::copy_from_slice(text.as_bytes());
        let mut expected = in_steps(&settings, &whole, &[whole.len().max(1)]);
        let mut stepped = in_steps(&settings, &whole, &steps);
        // Records of two streams may change places; within a stream they do not.
        expected.sort();
        stepped.sort();
        prop_assert_eq!(stepped, expected);
    }

    #[test]
    fn no_bytes_at_all_make_it_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        which in 0usize..12,
    ) {
        let format = [Format::Plain, Format::Docker, Format::Cri][which % 3];
        let encoding = [Encoding::Utf8, Encoding::Utf16Le, Encoding::Utf16Be][which / 4];
        let base = if which % 2 == 0 { small(16) } else { grouped(16) };
        let cut = all(&Settings { format, encoding, ..base }, &bytes, Some(Situation::END));
        prop_assert!(cut.used <= bytes.len());
        prop_assert!(bytes.len() - cut.used < 2);
    }
}
