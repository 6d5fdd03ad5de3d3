//! Every bound of every row: below it, at it, above it.

use crate::config::key::{Key, Kind, Table};
use crate::config::reference::rows;
use crate::config::sections::TABLES;

use super::support::read;

/// What is told about a number of one setting, given in its smallest unit.
fn told(table: &Table, name: &str, key: &Key, number: u64) -> Vec<String> {
    let value = match key.kind {
        Kind::Size => format!("\"{number} B\""),
        Kind::Time => format!("\"{number} ms\""),
        Kind::Count => number.to_string(),
        Kind::Rate => format!("\"{number}/s\""),
        Kind::ByteRate => format!("\"{number} B/s\""),
        _ => panic!("{name} has no bounds"),
    };
    let header = match (table.name, table.example) {
        ("", _) => String::new(),
        (name, Some(example)) => format!("[{name}.{example}]\n"),
        (name, None) => format!("[{name}]\n"),
    };
    let kind = table.variant.map(|kind| format!("type = \"{kind}\"\n")).unwrap_or_default();
    let text = format!("{header}{kind}{name} = {value}\n");
    let findings = match read(&text) {
        Ok(_) => return Vec::new(),
        Err(findings) => findings,
    };
    let about = format!("`{}` is {}", key.name, value.trim_matches('"'));
    let messages = findings.shown().iter().map(|finding| finding.message().to_owned());
    messages.filter(|message| message.starts_with(&about) && message.contains("but it m")).collect()
}

#[test]
fn every_number_is_refused_just_outside_its_bounds_and_taken_just_inside() {
    let mut checked = 0;
    for table in TABLES {
        for (name, key) in rows(table) {
            let numbers = [Kind::Size, Kind::Time, Kind::Count, Kind::Rate, Kind::ByteRate];
            if !numbers.contains(&key.kind) {
                continue;
            }
            assert!(key.most < u64::MAX, "`{name}` has no upper bound");
            let (least, most) = (key.least, key.most);
            for inside in [least, (least + 1).min(most), most - 1, most] {
                assert_eq!(told(table, &name, key, inside), [""; 0], "`{name}`");
            }
            let above = told(table, &name, key, most + 1);
            assert!(above[0].contains("may be at most"), "`{name}`: {above:?}");
            if least > 0 {
                let below = told(table, &name, key, least - 1);
                assert!(below[0].contains("must be at least"), "`{name}`: {below:?}");
            }
            checked += 1;
        }
    }
    assert!(checked > 40, "only {checked} rows with bounds were found");
}

#[test]
fn defaults_lie_within_their_bounds() {
    for table in TABLES {
        for (name, key) in rows(table) {
            if matches!(key.default, crate::config::key::Default::Number(_)) {
                assert!((key.least..=key.most).contains(&key.number()), "`{name}`");
            }
        }
    }
}
