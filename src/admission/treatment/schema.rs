//! A JSON Schema, ready to check records. Nothing outside its file is ever looked up, patterns are
//! matched in linear time, and steps are counted: what comes in from strangers meets them.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, Retrieve, Uri, ValidationError, Validator};
use serde_json::Value;
use serde_json::value::RawValue;

use super::Pace;
use super::steps::{self, Step};
use crate::admission::refusal::Flaw;

/// Most faults of one record that are named.
const FLAWS_MAX: usize = 10;
/// Beyond this size of a record only its first fault is looked for: listing all of them takes
/// memory for each of its values.
const ALL_FLAWS_BYTES: usize = 64 << 10;
/// Most bytes of one pattern once compiled, and of what its matching keeps at hand.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// Steps that a record may take to be checked: these, and so many for each of its bytes. The
/// smallest value has two bytes; a step takes well below a microsecond.
const STEPS: u64 = 10_000;
const STEPS_PER_BYTE: u64 = 4;

const TOO_BRANCHED: &str =
    "too deep for its schema, which looks at each of its values again for every level above it";

/// A schema that holds together.
#[derive(Clone)]
pub struct Schema {
    validator: Arc<Validator>,
    text: Arc<str>,
    checks_formats: bool,
    pub(super) pace: Pace,
}

/// Why a text is no schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadSchema {
    /// Bytes of the text.
    pub at: Range<usize>,
    /// In words.
    pub words: String,
}

impl Schema {
    /// Reads a schema of any draft from 4 to 2020-12; one that names none is of 2020-12. `format` is
    /// checked or taken as a note.
    ///
    /// # Errors
    /// [`BadSchema`], the first fault.
    pub fn parse(text: &str, checks_formats: bool) -> Result<Self, BadSchema> {
        let mut document: Value =
            serde_json::from_str(text).map_err(|error| no_json(text, &error))?;
        if !matches!(document, Value::Object(_) | Value::Bool(_)) {
            let words = "a schema is a JSON object, or true or false".to_owned();
            return Err(BadSchema { at: 0..text.len(), words });
        }
        steps::count_in(&mut document);
        let patterns =
            PatternOptions::regex().size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_BYTES_MAX);
        let built = jsonschema::options()
            .should_validate_formats(checks_formats)
            .should_ignore_unknown_formats(true)
            .with_pattern_options(patterns)
            .with_retriever(Nowhere)
            .with_keyword(steps::KEYWORD, Step::keyword)
            .build(&document);
        let validator = Arc::new(built.map_err(|error| bad(text, &error))?);
        Ok(Self { validator, text: text.into(), checks_formats, pace: Pace::default() })
    }

    /// What is wrong with a record; nothing when it is as it should be.
    pub(super) fn flaws(&self, record: &Value, bytes: usize) -> Vec<Flaw> {
        let steps = STEPS + STEPS_PER_BYTE * bytes as u64;
        let flaws = steps::within(steps, || self.all_flaws(record, bytes));
        flaws.unwrap_or_else(|| vec![Flaw::whole(TOO_BRANCHED)])
    }

    fn all_flaws(&self, record: &Value, bytes: usize) -> Vec<Flaw> {
        let Err(first) = self.validator.validate(record) else { return Vec::new() };
        if bytes > ALL_FLAWS_BYTES {
            return vec![flaw(&first)];
        }
        self.validator.iter_errors(record).take(FLAWS_MAX).map(|error| flaw(&error)).collect()
    }
}

impl PartialEq for Schema {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.checks_formats == other.checks_formats
    }
}

impl Eq for Schema {}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schema").field("bytes", &self.text.len()).finish_non_exhaustive()
    }
}

/// Follows no reference that leads out of the file.
struct Nowhere;

impl Retrieve for Nowhere {
    fn retrieve(
        &self,
        _uri: &Uri<String>,
    ) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        Err("it stands outside of this file".into())
    }
}

/// The pointer is that of the value that is wrong, also where it is one that is missing.
fn flaw(error: &ValidationError<'_>) -> Flaw {
    let at = error.instance_path().as_str();
    match error.kind() {
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            Flaw::at(format!("{at}/{}", escaped(name)), "missing")
        }
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
            match unexpected.as_slice() {
                [name] => Flaw::at(format!("{at}/{}", escaped(name)), "not known here"),
                names => {
                    Flaw::at(at, format!("holds what is not known here: {}", names.join(", ")))
                }
            }
        }
        _ => Flaw::at(at, error.to_string()),
    }
}

fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn no_json(text: &str, error: &serde_json::Error) -> BadSchema {
    let line = text.split_inclusive('\n').take(error.line().saturating_sub(1));
    let at = line.map(str::len).sum::<usize>() + error.column().saturating_sub(1);
    let words = error.to_string();
    let words = words.split(" at line ").next().unwrap_or_default();
    BadSchema { at: at..at + 1, words: format!("it is not JSON: {words}") }
}

/// Faults of a schema are those of a record, which the schema itself is to its metaschema.
fn bad(text: &str, error: &ValidationError<'_>) -> BadSchema {
    let found = flaw(error);
    let at = locate(text, error.instance_path().as_str());
    let words = match (error.kind(), found.pointer.as_deref()) {
        (ValidationErrorKind::Referencing(why), _) => {
            format!("a reference leads nowhere ({why}); nothing outside of this file is looked up")
        }
        (_, Some(pointer)) if !pointer.is_empty() => format!("`{pointer}`: {}", found.reason),
        _ => found.reason,
    };
    BadSchema { at, words }
}

/// Where the value stands that a JSON pointer leads to, or the last value on the way.
fn locate(text: &str, pointer: &str) -> Range<usize> {
    let mut here = text.trim();
    for step in pointer.split('/').skip(1) {
        let step = step.replace("~1", "/").replace("~0", "~");
        let Some(next) = child(here, &step) else { break };
        here = next;
    }
    let start = here.as_ptr() as usize - text.as_ptr() as usize;
    start..start + here.len()
}

fn child<'t>(text: &'t str, step: &str) -> Option<&'t str> {
    if text.starts_with('[') {
        let all: Vec<&RawValue> = serde_json::from_str(text).ok()?;
        return all.get(step.parse::<usize>().ok()?).map(|value| value.get());
    }
    let all: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
    all.get(step).map(|value| value.get())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ACCESS: &str = r##"{
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "required": ["id", "user"],
        "properties": {
            "id": { "type": "integer", "minimum": 1 },
            "user": { "$ref": "#/$defs/user" },
            "at": { "type": "string", "format": "date-time" },
            "tag": { "pattern": "^[a-z]+$" }
        },
        "additionalProperties": false,
        "$defs": { "user": { "type": "object", "required": ["a/b"] } }
    }"##;

    #[track_caller]
    fn check(schema: &Schema, record: &Value, expected: &[(&str, &str)]) {
        let flaws = schema.flaws(record, 0);
        let mut flaws: Vec<_> =
            flaws.iter().map(|f| (f.pointer.as_deref().unwrap(), f.reason.as_str())).collect();
        flaws.sort_unstable();
        assert_eq!(flaws, expected, "{record}");
    }

    #[test]
    fn every_fault_is_named_by_pointer() {
        let schema = Schema::parse(ACCESS, true).unwrap();
        let user = json!({ "a/b": 1 });
        check(&schema, &json!({ "id": 1, "user": user, "at": "2026-11-22T06:05:19Z" }), &[]);
        check(&schema, &json!({ "id": 1 }), &[("/user", "missing")]);
        check(
            &schema,
            &json!({ "id": 0, "user": {}, "at": "yesterday", "tag": "A", "more": 1 }),
            &[
                ("/at", "\"yesterday\" is not a \"date-time\""),
                ("/id", "0 is less than the minimum of 1"),
                ("/more", "not known here"),
                ("/tag", "\"A\" does not match \"^[a-z]+$\""),
                ("/user/a~1b", "missing"),
            ],
        );
        check(&schema, &json!([]), &[("", "[] is not of type \"object\"")]);
    }

    #[test]
    fn formats_are_checked_only_where_they_should_be() {
        let record = json!({ "id": 1, "user": { "a/b": 1 }, "at": "yesterday" });
        check(&Schema::parse(ACCESS, false).unwrap(), &record, &[]);
    }

    #[test]
    fn the_number_and_the_size_of_what_is_named_is_bounded() {
        let schema = Schema::parse(r#"{"items": {"type": "string"}}"#, true).unwrap();
        for (count, bytes, expected) in [
            (FLAWS_MAX - 1, 0, FLAWS_MAX - 1),
            (FLAWS_MAX, 0, FLAWS_MAX),
            (FLAWS_MAX + 1, 0, FLAWS_MAX),
            (3, ALL_FLAWS_BYTES, 3),
            (3, ALL_FLAWS_BYTES + 1, 1),
        ] {
            let record = Value::Array(vec![json!(7); count]);
            assert_eq!(schema.flaws(&record, bytes).len(), expected, "{count} in {bytes} bytes");
        }
        let schema = Schema::parse(r#"{"type": "integer"}"#, true).unwrap();
        let reason = &schema.flaws(&json!("x".repeat(5_000)), 5_000)[0].reason;
        assert!(reason.chars().count() <= 200, "{reason}");
    }

    #[test]
    fn drafts_are_told_apart() {
        let exclusive = |draft: &str| {
            let text =
                format!(r#"{{"$schema": "{draft}", "minimum": 1, "exclusiveMinimum": true}}"#);
            Schema::parse(&text, true)
        };
        // A flag in draft 4, a number from draft 6 on.
        let four = exclusive("http://json-schema.org/draft-04/schema#").unwrap();
        assert_eq!(four.flaws(&json!(1), 0).len(), 1);
        for later in [
            "http://json-schema.org/draft-07/schema#",
            "https://json-schema.org/draft/2020-12/schema",
        ] {
            let bad = exclusive(later).unwrap_err();
            assert!(bad.words.starts_with("`/exclusiveMinimum`: "), "{}", bad.words);
        }
    }

    #[track_caller]
    fn check_bad(text: &str, at: &str, words: &str) {
        let bad = Schema::parse(text, true).unwrap_err();
        assert_eq!(bad.words, words);
        assert_eq!(text.get(bad.at.start..bad.at.end.min(text.len())).unwrap(), at);
    }

    #[test]
    fn what_is_no_schema_is_told_with_its_place() {
        check_bad("{\n \"type\": nil }", "i", "it is not JSON: expected ident");
        check_bad("7", "7", "a schema is a JSON object, or true or false");
        check_bad(
            r#"{"properties": {"a/b": {"type": "sting"}}}"#,
            r#""sting""#,
            "`/properties/a~1b/type`: \"sting\" is not valid under any of the schemas listed in the 'anyOf' keyword",
        );
        check_bad(
            r#"{"allOf": [{}, {"minimum": "1"}]}"#,
            r#""1""#,
            "`/allOf/1/minimum`: \"1\" is not of type \"number\"",
        );
    }

    #[test]
    fn nothing_outside_the_file_is_looked_up() {
        for to in ["http://127.0.0.1:1/x.json", "file:///etc/hostname", "other.json"] {
            let text = format!(r#"{{"$ref": "{to}"}}"#);
            let bad = Schema::parse(&text, true).unwrap_err();
            assert!(
                bad.words.contains("nothing outside of this file is looked up"),
                "{}",
                bad.words
            );
        }
    }

    /// Lists in lists, so many deep; whether the innermost is as it should be.
    fn nested(depth: usize, is_fit: bool) -> Value {
        let innermost = if is_fit { json!({ "z": "leaf" }) } else { json!({ "z": 7 }) };
        (0..depth).fold(innermost, |below, _| json!({ "c": below, "z": "list" }))
    }

    #[test]
    fn a_schema_that_leads_back_to_itself_twice_is_given_up_in_time() {
        let branches = r##"[
            { "properties": { "c": { "$ref": "#/$defs/tree" }, "z": { "const": "item" } } },
            { "properties": { "c": { "$ref": "#/$defs/tree" }, "z": { "enum": ["list", "leaf"] } } }
        ]"##;
        for keyword in ["oneOf", "anyOf", "allOf"] {
            let text = format!(
                r##"{{"$ref": "#/$defs/tree", "$defs": {{"tree": {{"{keyword}": {branches}}}}}}}"##
            );
            let schema = Schema::parse(&text, true).unwrap();
            let is_fit = keyword != "allOf";
            for depth in [1, 3] {
                let flaws = schema.flaws(&nested(depth, true), 20 * depth);
                assert_eq!(flaws.is_empty(), is_fit, "{keyword}, {depth} deep: {flaws:?}");
                assert!(!schema.flaws(&nested(depth, false), 20 * depth).is_empty(), "{keyword}");
            }
            let flaws = schema.flaws(&nested(120, keyword != "anyOf"), 2_400);
            let is_given_up = flaws.iter().any(|flaw| flaw.reason == TOO_BRANCHED);
            assert!(is_given_up || keyword == "allOf", "{keyword}: {flaws:?}");
            // The next record is checked anew.
            assert_eq!(schema.flaws(&nested(1, true), 40).is_empty(), is_fit);
        }
    }

    #[test]
    fn what_is_no_schema_in_a_schema_stays_as_it_is() {
        let schema = Schema::parse(
            r#"{"properties": {"enum": {"enum": [{"a": 1}]}, "const": {"const": {"properties": {}}}}}"#,
            true,
        );
        let schema = schema.unwrap();
        check(&schema, &json!({ "enum": { "a": 1 }, "const": { "properties": {} } }), &[]);
        assert_eq!(schema.flaws(&json!({ "enum": {}, "const": {} }), 0).len(), 2);
    }

    #[test]
    fn a_large_record_of_a_plain_schema_has_steps_enough() {
        let schema = Schema::parse(
            r##"{"items": {"allOf": [{"$ref": "#/$defs/n"}, {"$ref": "#/$defs/n"}]}, "$defs": {"n": {"type": "integer"}}}"##,
            true,
        );
        let record = Value::Array(vec![json!(7); 500_000]);
        assert_eq!(schema.unwrap().flaws(&record, 1_000_001), []);
    }

    #[test]
    fn a_pattern_takes_linear_time_or_is_no_pattern() {
        let evil = Schema::parse(r#"{"pattern": "^(a+)+$"}"#, true).unwrap();
        assert_eq!(evil.flaws(&json!("a".repeat(50_000) + "b"), 0).len(), 1);

        for pattern in ["(?=a)b", r"(a)\\1", "a{1000}{1000}{1000}"] {
            let text = format!(r#"{{"pattern": "{pattern}"}}"#);
            assert!(Schema::parse(&text, true).is_err(), "{pattern}");
        }
    }
}
