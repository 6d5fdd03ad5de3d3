//! Schemas and programs that streams and routes name: what is wrong in them, and between them.

use std::path::Path;

use super::support::{Files, PATH, environment};
use crate::config::{Finding, Findings, Loaded, parse};

const REST: &str = "[http.x]\nlisten = \"127.0.0.1:1\"\n[stream.b]\ndestinations = [\"d\"]\n\
                    [destination.d]\ntype = \"directory\"\npath = \"out\"\n";

/// A stream `a` of these lines beside these files.
fn read(lines: &str, files: &[(&str, &str)]) -> Result<Loaded, Findings> {
    let text = format!("[stream.a]\ndestinations = [\"d\"]\n{lines}\n{REST}");
    let disk = files.iter().fold(Files::new(), |disk, (path, text)| {
        disk.with(&format!("/etc/weir/{path}"), text.as_bytes())
    });
    parse(&text, Path::new(PATH), &environment, &disk)
}

#[track_caller]
fn check(lines: &str, files: &[(&str, &str)], told: &str) {
    let findings = read(lines, files).expect_err("there is something to tell");
    assert_eq!(findings.to_string(), told.trim_matches('\n'));
}

#[test]
fn a_schema_and_a_program_become_part_of_their_stream() {
    let files = [("a.json", "{\"type\": \"object\"}"), ("a.vrl", "%stream = \"b\"\n.a = 1\n")];
    let lines = "schema = \"a.json\"\ntransform = \"/etc/weir/a.vrl\"\ntransform_to = \"b\"";

    let loaded = read(lines, &files).unwrap();

    let treatment = &loaded.config.admission.streams["a"].treatment;
    assert!(treatment.schema.is_some() && treatment.transform.as_ref().unwrap().sets_stream());
    assert_eq!(loaded.warnings, []);
}

#[test]
fn faults_of_a_schema_and_of_a_program_are_drawn_in_their_own_files() {
    check(
        "schema = \"a.json\"\ntransform = \"a.vrl\"",
        &[
            ("a.json", "{\n  \"properties\": {\n    \"n\": { \"minimum\": \"1\" }\n  }\n}\n"),
            ("a.vrl", ".a = 1\n.b = downcase(.c)\n.d = nothing(1)\n"),
        ],
        BOTH,
    );
}

const BOTH: &str = r#"
error: `schema` is no JSON Schema: `/properties/n/minimum`: "1" is not of type "number"
 --> /etc/weir/a.json:3:23
  |
3 |     "n": { "minimum": "1" }
  |                       ^^^ here

error: the transform does not compile: unhandled fallible assignment
 --> /etc/weir/a.vrl:2:6
  |
2 | .b = downcase(.c)
  |      ^^^^^^^^^^^^ this expression is fallible because at least one argument's type cannot be verified to be valid
hint: `!` behind the function lets the record fail; `?? value` takes another value then

error: the transform does not compile: call to undefined function
 --> /etc/weir/a.vrl:3:6
  |
3 | .d = nothing(1)
  |      ^^^^^^^ undefined function

3 problems in /etc/weir/weir.toml; nothing was started
"#;

#[test]
fn files_that_cannot_be_read_are_told_at_their_place() {
    check(
        "schema = \"none.json\"\ntransform = \"big.vrl\"",
        &[("big.vrl", &"#".repeat((1 << 20) + 1))],
        UNREADABLE,
    );
}

const UNREADABLE: &str = r#"
error: `schema` cannot be read: there is no such file
 --> /etc/weir/weir.toml:3:10
  |
3 | schema = "none.json"
  |          ^^^^^^^^^^^ /etc/weir/none.json
hint: relative paths begin at the folder of the configuration

error: `transform` cannot be read: it has more than 1 MiB
 --> /etc/weir/weir.toml:4:13
  |
4 | transform = "big.vrl"
  |             ^^^^^^^^^ /etc/weir/big.vrl
hint: relative paths begin at the folder of the configuration

2 problems in /etc/weir/weir.toml; nothing was started
"#;

#[test]
fn a_program_leads_only_where_records_stay() {
    let files = [("a.vrl", "%stream = \"b\""), ("b.vrl", ".a = 1")];
    check("transform = \"a.vrl\"", &files, NOWHERE);
    check("transform = \"a.vrl\"\ntransform_to = [\"c\", \"a\"]", &files, CIRCLE);
    check("transform_to = [\"b\"]", &files, ALONE);
}

const NOWHERE: &str = r#"
error: the transform sets `%stream`, but may lead nowhere
 --> /etc/weir/weir.toml:3:13
  |
3 | transform = "a.vrl"
  |             ^^^^^^^ no `transform_to`
hint: name the streams: transform_to = ["…"]

1 problem in /etc/weir/weir.toml; nothing was started
"#;
const CIRCLE: &str = r#"
error: the transform of stream `a` may lead to `c`, but there is no [stream.c]
 --> /etc/weir/weir.toml:4:17
  |
4 | transform_to = ["c", "a"]
  |                 ^^^ no [stream.c]
hint: in this file: `a` and `b`

error: stream `a` is led to, but leads on itself
 --> /etc/weir/weir.toml:4:22
  |
4 | transform_to = ["c", "a"]
  |                      ^^^ not where records stay
hint: take `transform_to` out of [stream.a], or lead to where it leads

2 problems in /etc/weir/weir.toml; nothing was started
"#;
const ALONE: &str = r#"
error: [stream.a] has `transform_to`, but no `transform`
 --> /etc/weir/weir.toml:3:17
  |
3 | transform_to = ["b"]
  |                 ^^^ nothing leads there
hint: name the file of a program, or take the line out

1 problem in /etc/weir/weir.toml; nothing was started
"#;

#[test]
fn a_doubtful_program_is_a_warning() {
    let loaded = read("transform = \"a.vrl\"", &[("a.vrl", "x = 1\n.a = 2\n")]).unwrap();

    let told: Vec<String> = loaded.warnings.iter().map(Finding::to_string).collect();
    assert_eq!(told.join("\n\n"), DOUBTFUL.trim_matches('\n'));
}

const DOUBTFUL: &str = r#"
warning: the transform is doubtful: unused variable `x`
 --> /etc/weir/a.vrl:1:1
  |
1 | x = 1
  | ^ use the result of this expression or remove it
hint: this expression has no side-effects
"#;

#[cfg(not(feature = "transform"))]
#[test]
fn a_weir_that_runs_no_programs_says_which_feature_it_lacks() {
    check(
        "transform = \"a.vrl\"",
        &[],
        r#"
error: `transform` names a program, but this weir was built without them
 --> /etc/weir/weir.toml:3:13
  |
3 | transform = "a.vrl"
  |             ^^^^^^^ the feature `transform` is missing
hint: build it with its default features (no `--no-default-features`, or with `--features transform`), or take the line out

1 problem in /etc/weir/weir.toml; nothing was started"#,
    );
}
