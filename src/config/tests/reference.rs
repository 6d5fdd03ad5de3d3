//! The generated papers are in step with the rows, and the rows with the parser.

use std::path::PathBuf;

use crate::config::key::{Default, Kind};
use crate::config::reference::{commented_file, page, rows};
use crate::config::sections::TABLES;

use super::support::{read, sound};

/// Compares a file of the repository with what it should hold; `UPDATE=1` rewrites it.
#[track_caller]
fn check_file(path: &str, right: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, right).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == right,
        "{} is not what the rows say; UPDATE=1 cargo test --lib config rewrites it",
        path.display()
    );
}

#[test]
fn the_commented_file_is_in_step_with_the_rows() {
    check_file("config/weir.toml", &commented_file());
}

#[test]
fn the_reference_page_is_in_step_with_the_rows() {
    check_file("docs/CONFIG.md", &page());
}

#[test]
fn the_commented_file_changes_nothing() {
    let told = read(&commented_file()).unwrap_err();

    assert_eq!(told.count(), 1);
    assert_eq!(told.shown()[0].message(), "there is no stream, so nothing could be taken in");
}

/// The file with the `#` before settings taken away, but for the lines that `leave_out` names.
fn uncommented(leave_out: &[&str]) -> String {
    let mut text = String::new();
    for line in commented_file().lines() {
        let setting = line.strip_prefix('#').filter(|rest| !rest.starts_with(' '));
        let setting = setting.unwrap_or_default();
        if !leave_out.iter().any(|name| setting.starts_with(name)) {
            text.push_str(setting);
            text.push('\n');
        }
    }
    text
}

#[test]
fn every_setting_of_the_commented_file_is_known_to_the_parser() {
    // A profile, keys of its own and a device certificate exclude each other.
    sound(&uncommented(&["profile", "iot."]));
    sound(&uncommented(&["profile", "access_key_id", "secret_access_key", "session_token"]));
}

/// A file with what is required, and the defaults written out or not.
fn with_defaults(written: bool) -> String {
    let mut text = String::new();
    for table in TABLES {
        let name = table.example.map(|example| format!(".{example}")).unwrap_or_default();
        if !table.name.is_empty() {
            text.push_str(&format!("[{}{name}]\n", table.name));
        }
        for (name, key) in rows(table) {
            match (key.default, table.variant) {
                (Default::Required(_), Some(kind)) if name == "type" => {
                    text.push_str(&format!("type = \"{kind}\"\n"));
                }
                (Default::Otherwise { .. }, _) => {}
                (Default::Required(_), _) => {
                    text.push_str(&format!("{name} = {}\n", key.example_toml()));
                }
                _ if written => {
                    text.push_str(&format!("{name} = {}\n", key.example_toml()));
                }
                _ => {}
            }
        }
    }
    text
}

#[test]
fn a_default_that_is_written_out_changes_nothing() {
    assert_eq!(sound(&with_defaults(true)).config, sound(&with_defaults(false)).config);
}

#[test]
fn rows_are_whole() {
    for table in TABLES {
        assert!(!table.effect.is_empty());
        for (name, key) in rows(table) {
            let fits = match key.default {
                Default::Number(_) => matches!(key.kind, Kind::Size | Kind::Time | Kind::Count),
                Default::Flag(_) => key.kind == Kind::Flag,
                Default::Text(text) => match key.kind {
                    Kind::Choice(words) => words.contains(&text),
                    kind => matches!(kind, Kind::Text | Kind::Path),
                },
                Default::Nothing => matches!(key.kind, Kind::Texts | Kind::Secrets),
                Default::Required(example) | Default::Otherwise { example, .. } => {
                    !example.is_empty()
                }
                Default::Rows => false,
            };
            assert!(fits, "the default of `{name}` does not fit its kind");
            assert!(key.effect.ends_with('.'), "the effect of `{name}` is no sentence");
        }
    }
}
