//! The ways in for the fuzz targets `treatment`, any bytes as a record before schemas and programs, `token` and
//! `signature`, which stand with what they try.

use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;

pub use super::callers::{signature, token};
use super::treatment::{Circumstances, Patient, Treated, Treating};
use super::{Outlets, Schema, Transform, Treatment, WhenWrong};

const SCHEMA: &str = r##"{
    "$defs": { "node": { "properties": { "next": { "$ref": "#/$defs/node" } } } },
    "type": ["object", "array", "string", "number"],
    "properties": {
        "at": { "format": "date-time" },
        "mail": { "format": "email", "maxLength": 64 },
        "tag": { "pattern": "^(a+)+$" },
        "n": { "multipleOf": 0.01, "exclusiveMaximum": 1e300 },
        "node": { "$ref": "#/$defs/node" }
    },
    "patternProperties": { "^x-": { "uniqueItems": true, "contains": { "const": 1 } } },
    "dependentRequired": { "a": ["b"] },
    "unevaluatedProperties": { "maxItems": 3 }
}"##;
const PROGRAMS: [&str; 6] = [
    ".",
    ". = flatten(object!(.), separator: \"_\")",
    ". = redact(to_string!(.), filters: [r'\\d+'])",
    ".at = parse_timestamp(.at, \"%+\") ?? null\n.n = round(to_float(.n) ?? 0.0, 2)\n\
     %partition_key = string(.key) ?? null\nif .drop == true { abort }",
    ". = parse_json(string!(.)) ?? parse_key_value(string!(.)) ?? parse_csv!(string!(.))",
    "for_each(array!(.)) -> |_i, v| { .last = v }\n.sum = sha2(encode_json(.))",
];

static TREATMENTS: LazyLock<Vec<Treatment>> = LazyLock::new(|| {
    let outlets = Outlets {
        to: BTreeSet::new(),
        when_wrong: WhenWrong::Reject,
        time: Duration::from_secs(5),
    };
    let transform = |text: &&str| Transform::compile(text, outlets.clone()).map(|made| made.0).ok();
    let schema = Schema::parse(SCHEMA, true).ok();
    let mut all: Vec<Treatment> = PROGRAMS
        .iter()
        .map(|text| Treatment { schema: None, transform: transform(text) })
        .collect();
    all.push(Treatment { schema, transform: None });
    assert!(all.iter().all(|one| *one != Treatment::default()), "every one of them compiles");
    all
});

/// The first byte chooses what is done to the rest.
pub fn treatment(bytes: &[u8]) {
    let Some((which, rest)) = bytes.split_first() else { return };
    let Some(treatment) = TREATMENTS.get(usize::from(*which) % TREATMENTS.len()) else { return };
    let mut treating = Treating::new(Circumstances { source: "http.lan", caller: "" });
    let mut patient = Patient {
        payload: Bytes::copy_from_slice(rest),
        partition_key: None,
        origin: None,
        stream: "access".into(),
    };
    match treating.treat(treatment, &mut patient) {
        Treated::Wrong(flaws) => assert!((1..=10).contains(&flaws.len()), "{flaws:?}"),
        Treated::Fit if treatment.transform.is_none() => assert_eq!(patient.payload, rest),
        Treated::Fit | Treated::Dropped => {}
    }
    assert_eq!(patient.stream, "access");
}
