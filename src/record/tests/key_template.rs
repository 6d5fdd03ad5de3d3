//! What templates make of records, and what is said of texts that are none.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn origin() -> Origin {
    Origin {
        file: Some("/var/log/nginx/a.log".into()),
        headers: vec![("X-Device".into(), "d-7".into()), ("x-empty".into(), String::new())],
        route: vec![("site".into(), "north".into())],
    }
}

fn key_of(template: &str, payload: &str) -> Option<String> {
    let origin = origin();
    let from = KeySource {
        payload: payload.as_bytes(),
        origin: Some(&origin),
        caller: "gateway",
        source: "http.lan",
    };
    KeyTemplate::parse(template).unwrap().key(&from)
}

#[track_caller]
fn check(template: &str, payload: &str, expected: Option<&str>) {
    assert_eq!(key_of(template, payload).as_deref(), expected, "{template} of {payload}");
}

#[test]
fn values_come_from_the_payload_the_request_the_file_and_the_caller() {
    check("{json:/user/id}", r#"{"user":{"id":"u-1"}}"#, Some("u-1"));
    check("{header:x-DEVICE}", "", Some("d-7"));
    check("{route:site}", "", Some("north"));
    check("{file}", "", Some("/var/log/nginx/a.log"));
    check("{caller}@{source}", "", Some("gateway@http.lan"));
    check("{hash}", "abc", Some("ba7816bf8f01cfea414140de5dae2223"));
    check("just text", "", Some("just text"));
    assert_eq!(key_of("{random}", "").unwrap().len(), 32);
    assert_ne!(key_of("{random}", ""), key_of("{random}", ""));
}

#[test]
fn the_first_choice_that_has_all_its_values_is_the_key() {
    check("{json:/a}-{json:/b}|{json:/a}|{file}", r#"{"a":1,"b":2}"#, Some("1-2"));
    check("{json:/a}-{json:/b}|{json:/a}|{file}", r#"{"a":1}"#, Some("1"));
    check("{json:/a}-{json:/b}|{json:/a}|{file}", "no JSON", Some("/var/log/nginx/a.log"));
    check("{json:/a}|none", "{}", Some("none"));
    check("{json:/a}|{header:x-empty}|{header:absent}|{route:absent}", "{}", None);
}

#[test]
fn a_record_that_came_from_nowhere_has_no_key_of_an_origin() {
    let from = KeySource { payload: b"{}", origin: None, caller: "", source: "stdin" };
    for template in ["{file}", "{header:a}", "{route:a}", "{caller}", "{json:/a}"] {
        assert_eq!(KeyTemplate::parse(template).unwrap().key(&from), None, "{template}");
    }
}

#[test]
fn json_pointers_lead_through_objects_and_lists_to_plain_values() {
    let payload = r#"{"a/b":"slash","m~n":"tilde","":"empty","l":[10,[true,-1.5]],"o":{},"n":null,
                      "big":18446744073709551615,"é":"ü","e\u0073c":"esc\u0061ped"}"#;
    for (pointer, expected) in [
        ("/a~1b", Some("slash")),
        ("/m~0n", Some("tilde")),
        ("/", Some("empty")),
        ("/l/0", Some("10")),
        ("/l/1/0", Some("true")),
        ("/l/1/1", Some("-1.5")),
        ("/l/2", None),
        ("/l/01", None),
        ("/l/-", None),
        ("/l/+1", None),
        ("/l/99999999999999999999", None),
        ("/o", None),
        ("/l", None),
        ("/n", None),
        ("/n/x", None),
        ("/l/0/x", None),
        ("/big", Some("18446744073709551615")),
        ("/é", Some("ü")),
        ("/esc", Some("escaped")),
        ("", None),
    ] {
        check(&format!("{{json:{pointer}}}"), payload, expected);
    }
    check("{json:}", "\"whole\"", Some("whole"));
    check("{json:}", "42", Some("42"));
}

#[test]
fn a_payload_is_read_as_far_as_the_value_and_no_further() {
    check("{json:/id}", r#"{"id":"early","rest": not JSON any more"#, Some("early"));
    check("{json:/id}", r#"{"rest": not JSON, "id":"late"}"#, None);
    check("{json:/id}", "", None);
}

#[test]
fn a_key_ends_at_256_characters_and_no_character_is_torn() {
    for (length, expected) in [(255, 255), (256, 256), (257, 256), (10_000, 256)] {
        let payload = format!("\"{}\"", "é".repeat(length));
        assert_eq!(key_of("{json:}", &payload).unwrap(), "é".repeat(expected));
    }
}

#[test]
fn what_has_a_meaning_stands_for_itself_when_it_is_doubled() {
    check("{{a}}||b", "", Some("{a}|b"));
    check("{{{caller}}}", "", Some("{gateway}"));
}

#[test]
fn a_text_that_is_no_template_is_refused_with_the_place() {
    for (text, at, words) in [
        ("", 0, "a choice is empty"),
        ("a|", 2, "a choice is empty"),
        ("|a", 0, "a choice is empty"),
        ("a{file", 1, "`{` has no `}`"),
        ("a}", 1, "`}` has no `{`"),
        ("{}", 1, "there is no such field"),
        ("x{fiel}", 2, "there is no such field"),
        ("{json}", 1, "`json` needs a pointer"),
        ("{json:a}", 6, "a JSON pointer begins with `/`"),
        ("{json:/a/b~2}", 10, "in a JSON pointer `~`"),
        ("{json:/a~}", 8, "in a JSON pointer `~`"),
        ("{header}", 1, "`header` needs a name"),
        ("{header:}", 8, "`header:` should be followed by a name"),
        ("{header:a b}", 8, "`header:` should be followed by a name"),
        ("{file:x}", 1, "`file` takes nothing"),
    ] {
        let bad = KeyTemplate::parse(text).unwrap_err();
        assert_eq!(bad.at, at, "{text}: {bad}");
        assert!(bad.words.contains(words), "{text}: {bad}");
    }
}

/// Any JSON of small depth, without doubles of names.
fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z~/é\"\\\\]{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-c~/]{0,2}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn a_pointer_finds_what_a_parse_of_the_whole_payload_finds(
        value in json(),
        steps in prop::collection::vec("[a-c~/0-3]{0,2}", 0..4),
    ) {
        let pointer: String = steps
            .iter()
            .map(|step| format!("/{}", step.replace('~', "~0").replace('/', "~1")))
            .collect();
        let expected = value.pointer(&pointer).and_then(|value| match value {
            Value::String(text) => (!text.is_empty()).then(|| text.clone()),
            Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
            _ => None,
        });

        let found = key_of(&format!("{{json:{pointer}}}"), &value.to_string());

        prop_assert_eq!(found, expected, "{} in {}", pointer, value);
    }

    #[test]
    fn no_text_and_no_payload_make_it_panic_and_a_key_is_never_too_long(
        text in "[{}|:~/a-zé]{0,20}",
        payload in any::<Vec<u8>>(),
    ) {
        let origin = origin();
        let from = KeySource { payload: &payload, origin: Some(&origin), caller: "c", source: "s" };
        match KeyTemplate::parse(&text) {
            Err(bad) => prop_assert!(text.is_char_boundary(bad.at)),
            Ok(template) => if let Some(key) = template.key(&from) {
                prop_assert!((1..=PARTITION_KEY_CHARS_MAX).contains(&key.chars().count()));
            }
        }
    }

    #[test]
    fn a_template_that_ends_in_text_always_has_a_key(payload in any::<Vec<u8>>()) {
        let from = KeySource { payload: &payload, origin: None, caller: "", source: "" };
        let template = KeyTemplate::parse("{json:/a/0}{file}|{header:h}|x").unwrap();
        prop_assert_eq!(template.key(&from), Some("x".to_owned()));
    }
}
