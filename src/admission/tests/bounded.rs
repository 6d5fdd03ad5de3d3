//! What programs may make of a record, and how long that is awaited on an async thread.

use std::collections::BTreeSet;

use super::*;

const TOO_MUCH: &str = "the transform makes more than 64 MiB of it";

fn compile(text: &str) -> Result<Transform, Vec<BadProgram>> {
    let time = Duration::from_secs(60);
    let outlets = Outlets { to: BTreeSet::new(), when_wrong: WhenWrong::Reject, time };
    Transform::compile(text, outlets).map(|made| made.0)
}

/// What this program makes of this payload, or what is wrong with it.
fn made(text: &str, payload: &str) -> Result<String, String> {
    let door = Door::new();
    let transform = compile(text).unwrap_or_else(|faults| panic!("{text}: {faults:?}"));
    let treatment = Treatment { schema: None, transform: Some(transform) };
    let metrics = Metrics::default();
    let stream = StreamSettings { treatment, ..open_stream(64 << 20) };
    let settings =
        Settings { streams: BTreeMap::from([("access".into(), stream)]), ..Settings::default() };
    let queues = BTreeMap::from([("access".to_owned(), door.queue("access", &metrics))]);
    let (disk, clock) = (door.disk.clone(), door.clock.clone());
    let below = Below { disk, clock, queues, lambdas: BTreeMap::new(), quotas: None };
    let admission = Admission::open(below, settings, &metrics).unwrap();
    let all: Vec<_> = payload.lines().map(|line| raw(line, None)).collect();
    let (admitted, rejections) = admission.admit(&walk_in(&admission), all).unwrap();
    match rejections.first() {
        Some(rejection) => Err(rejection.in_words()),
        None => {
            let stored = crate::record::decode(admitted.encoded().remove(0)).unwrap();
            Ok(String::from_utf8(stored.payload.to_vec()).unwrap())
        }
    }
}

#[track_caller]
fn check_too_much(text: &str, payload: &str) {
    let said = made(text, payload).map(|made| made.len());
    assert!(said.as_ref().is_err_and(|words| words.contains(TOO_MUCH)), "{text}: {said:?}");
}

#[tokio::test(start_paused = true)]
async fn a_record_grows_to_a_bound_whatever_makes_it_grow() {
    let doubled = ".a = string!(.a) + string!(.a)\n".repeat(40);
    check_too_much(&doubled, r#"{"a":"x"}"#);
    // In a loop: the kinds that the compiler knows of would double with each line, too. Copies of a
    // text share it; what is stored of them does not.
    let long = format!(r#"{{"a":"{}","l":[{}0]}}"#, "x".repeat(100_000), "0,".repeat(12));
    let looped = |line: &str| format!("l = array!(.l)\nfor_each(l) -> |_i, _v| {{ {line} }}\n");
    check_too_much(&looped(". = [., .]"), &long);
    check_too_much(&looped(".b = append([.], [.])\n. = {\"a\": .b}"), &long);
    check_too_much(&format!("x = [.a]\n{}.x = x", looped("x = append(x, x)")), &long);
    check_too_much(". = unnest!(.a)", &format!(r#"{{"a":[{}0]}}"#, "0,".repeat(20_000)));
    // Deeper than anything may be that is taken apart by calls within calls.
    check_too_much(r#"for_each(array!(.a)) -> |_i, _v| { .b = {"b": .b} }"#, &{
        format!(r#"{{"a":[{}0]}}"#, "0,".repeat(300))
    });
    // It fits as a value, and no longer once its characters are escaped.
    let escaped = ".a = parse_json!(string!(.a))\n".to_owned()
        + &".a = string!(.a) + string!(.a)\n".repeat(24);
    check_too_much(&escaped, r#"{"a":"\"\\u0001\""}"#);
}

#[tokio::test(start_paused = true)]
async fn what_a_record_asks_for_in_one_step_is_not_made() {
    let long = "x".repeat(100_000);
    for (text, payload) in [
        ("set!(., [.at], 1)", r#"{"at":9000000000}"#.to_owned()),
        ("set!(., [.at], 1)", r#"{"at":-9000000000}"#.to_owned()),
        (".a = format_number!(1.5, scale: .n)", r#"{"n":9000000000000}"#.to_owned()),
        (".a = format_number(float!(.n))", r#"{"n":1e300}"#.to_owned()),
        (
            ".a = join!(.l, string!(.s))",
            format!(r#"{{"s":"{long}","l":[{}"a"]}}"#, "\"a\",".repeat(9_000)),
        ),
        (".a = replace(string!(.s), \"x\", string!(.s))", format!(r#"{{"s":"{long}"}}"#)),
        (".a = parse_regex_all!(.s, r'(?P<one>.)')", format!(r#"{{"s":"{long}"}}"#)),
    ] {
        check_too_much(text, &payload);
    }
}

#[tokio::test(start_paused = true)]
async fn a_text_is_repeated_only_as_often_as_the_program_says() {
    let text = ".total = .price * .count ?? \"none\"";
    assert_eq!(
        made(text, r#"{"count":3,"price":2.5}"#).unwrap(),
        r#"{"count":3,"price":2.5,"total":7.5}"#
    );
    for (price, count) in [("\"x\"", "9000000000000"), ("9000000000000000000", "\"x\"")] {
        let payload = format!(r#"{{"count":{count},"price":{price}}}"#);
        let expected = format!(r#"{{"count":{count},"price":{price},"total":"none"}}"#);
        assert_eq!(made(text, &payload).unwrap(), expected);
    }
    for (text, payload, expected) in [
        (".a = string!(.a) * 3", r#"{"a":"ab"}"#, r#"{"a":"ababab"}"#),
        (".a = 2 * (.a + 1) ?? 0", r#"{"a":4}"#, r#"{"a":10}"#),
        (".a = (to_int(.a) ?? 1) * int!(.b)", r#"{"a":"6","b":7}"#, r#"{"a":42,"b":7}"#),
        (".a = to_int(.a) * int!(.b) ?? 5", r#"{"a":[],"b":7}"#, r#"{"a":5,"b":7}"#),
        (".a, .e = .a * .b * .a", r#"{"a":2,"b":3}"#, r#"{"a":12,"b":3,"e":null}"#),
        (
            "a = int!(.a)\nb = if a * a > 3 { a * a } else { 0 }\n.a = [{\"b\": b * a}]",
            r#"{"a":2}"#,
            r#"{"a":[{"b":8}]}"#,
        ),
        (". = map_values(object!(.)) -> |v| { int!(v) * int!(v) }", r#"{"a":3}"#, r#"{"a":9}"#),
        (".\"é\" = \"ü\"; .a = int!(.a) * int!(.a) # ü * ü", r#"{"a":3}"#, r#"{"a":9,"é":"ü"}"#),
    ] {
        assert_eq!(made(text, payload).unwrap(), expected, "{text}");
    }
    let bad = compile(".a = string!(.a) * int!(.b)").unwrap_err();
    assert_eq!(bad[0].words, "a text would be repeated here as often as a record says");
    assert_eq!(bad[0].at, 5..16);
}

#[tokio::test(start_paused = true)]
async fn what_programs_honestly_make_is_well_below_the_bound() {
    let long = "x".repeat(100_000);
    let payload = format!(r#"{{"l":["{long}","b"],"s":"{long}"}}"#);
    for text in [
        ".a = join!(.l, string!(.s))",
        ".a = replace(string!(.s), \"x\", \"yyyy\")",
        ".a = parse_regex_all!(.s, r'(?P<one>x{100})')",
        ". = unnest!(.l)",
        "set!(., [\"l\", 7], 1)",
        ".a = split(string!(.s), \"\")",
        "for_each(split(string!(.s), \"\")) -> |_i, v| { .last = v }",
        ".a = [., ., ., .]",
    ] {
        assert!(made(text, &payload).is_ok(), "{text}: {:?}", made(text, &payload));
    }
}

#[tokio::test(start_paused = true)]
async fn all_records_of_a_hand_in_together_grow_to_a_bound() {
    let text = ".a = string!(.a) * 1000000";
    let made_of = |count: usize| made(text, &"{\"a\":\"x\"}\n".repeat(count));
    assert!(made_of(66).is_ok());
    let words =
        "the transforms add more than 64 MiB to what was handed in with it; send it in parts";
    assert!(made_of(70).is_err_and(|said| said.contains(words)));
}
