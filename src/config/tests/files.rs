//! Files that cannot be read, and what a file is allowed to be.

use std::path::Path;

use crate::base::disk::RealDisk;
use crate::config::{Findings, Loaded, load};

use super::support::{Files, environment, sound};

const SOUND: &[u8] = b"[http.a]\nlisten = \"127.0.0.1:1\"\n[stream.a]\ndestinations = [\"d\"]\n\
                       [destination.d]\ntype = \"directory\"\npath = \"out\"\n";

fn load_from(files: &Files, path: &str) -> Result<Loaded, Findings> {
    load(files, &environment, Path::new(path))
}

#[track_caller]
fn check(bytes: &[u8], told: &str) {
    let files = Files::new().with("/weir.toml", bytes);
    let findings = load_from(&files, "/weir.toml").expect_err("there is something to tell");
    assert_eq!(findings.to_string(), told.trim_matches('\n'));
}

#[test]
fn a_file_is_read_also_through_a_symbolic_link_and_its_own_folder_counts() {
    let files = Files::new()
        .with("/mnt/..data/weir.toml", SOUND)
        .with_link("/mnt/weir.toml", "/mnt/..data/weir.toml");

    let loaded = load_from(&files, "/mnt/weir.toml").unwrap();

    assert!(loaded.config.summary().contains("folder /mnt/out,"), "{}", loaded.config.summary());
}

#[test]
fn a_file_on_the_real_disk_is_read() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/config/examples/tail-to-firehose.toml");

    let loaded = load(&RealDisk, &environment, Path::new(example)).unwrap();

    assert_eq!(loaded.config.tail[0].name, "nginx");
}

#[test]
fn a_missing_file_is_named() {
    let told = load_from(&Files::new(), "/etc/weir/weir.toml").unwrap_err();

    assert_eq!(
        told.to_string(),
        "error: the configuration cannot be read: there is no such file
 --> /etc/weir/weir.toml
hint: name another one with --config FILE; `weir demo` runs without any

1 problem in /etc/weir/weir.toml; nothing was started"
    );
}

#[test]
fn a_file_without_permission_is_named() {
    let told = load_from(&Files::new(), "locked.toml").unwrap_err();

    assert_eq!(
        told.to_string(),
        "error: the configuration cannot be read: permission denied
 --> locked.toml
hint: let the user that runs weir read it

1 problem in locked.toml; nothing was started"
    );
}

#[test]
fn a_file_that_is_not_utf_8_is_refused_with_the_place() {
    check(
        b"state_dir = \"/x\"\nsecret = \"hush\xff\"\n# \xff\n",
        "
error: the configuration is not UTF-8 text: it has a byte 0xff
 --> /weir.toml:2:15
  |
2 | secret = ***
  |          ^^^ not UTF-8
hint: save the file as UTF-8

1 problem in /weir.toml; nothing was started",
    );
    check(
        b"# caf\xe9 au lait\n",
        "
error: the configuration is not UTF-8 text: it has a byte 0xe9
 --> /weir.toml:1:6
  |
1 | # caf\u{fffd} au lait
  |      ^ not UTF-8
hint: save the file as UTF-8

1 problem in /weir.toml; nothing was started",
    );
}

#[test]
fn a_file_of_exactly_one_mebibyte_is_read_and_a_byte_more_is_not() {
    let mut bytes = SOUND.to_vec();
    bytes.resize(1 << 20, b'\n');
    let files = Files::new().with("/weir.toml", &bytes);
    load_from(&files, "/weir.toml").unwrap();

    bytes.push(b'\n');
    check(
        &bytes,
        "
error: the configuration has more than 1 MiB
 --> /weir.toml
hint: check that --config names the right file

1 problem in /weir.toml; nothing was started",
    );
}

#[test]
fn a_flood_of_findings_is_counted_and_the_first_hundred_are_shown() {
    let text: String = (0..5_000).map(|number| format!("x{number} = 1\n")).collect();

    let files = Files::new().with("/weir.toml", text.as_bytes());
    let told = load_from(&files, "/weir.toml").unwrap_err();

    assert_eq!((told.count(), told.shown().len()), (5_000, 100));
    let end = "5000 problems in /weir.toml (100 are shown); nothing was started";
    assert!(told.to_string().ends_with(end));
    assert_eq!(told.shown()[99].place(), Some((100, 1)));
}

#[test]
fn one_long_line_of_findings_stays_short_on_the_screen() {
    let text = format!("{}\n", "a.b={},".repeat(100_000));

    let files = Files::new().with("/weir.toml", text.as_bytes());
    let told = load_from(&files, "/weir.toml").unwrap_err();

    assert!(told.to_string().len() < 1_000);
}

#[test]
fn the_end_of_lines_may_be_of_either_kind() {
    let text = String::from_utf8(SOUND.to_vec()).unwrap();

    assert_eq!(sound(&text), sound(&text.replace('\n', "\r\n")));
}
