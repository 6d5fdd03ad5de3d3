//! What is no TOML, or a file that says nothing, as it is told.

use super::support::check;

#[test]
fn broken_syntax_is_told_alone_one_finding_a_line() {
    check(
        r#"
grace = 
b = [1,
[stream.a
unknown = 1
"#,
        r#"
error: this is not TOML: there is no value
 --> /etc/weir/weir.toml:1:9
  |
1 | grace =
  |         ^ a value is missing

error: this is not TOML: string values must be quoted, expected literal string
 --> /etc/weir/weir.toml:3:2
  |
3 | [stream.a
  |  ^^^^^^^^ here

error: this is not TOML: missing comma between array elements, expected `,`
 --> /etc/weir/weir.toml:4:1
  |
4 | unknown = 1
  | ^ here

3 problems in /etc/weir/weir.toml; nothing was started"#,
    );
}

#[test]
fn a_key_or_table_that_stands_twice_is_broken_syntax() {
    check(
        r#"
[stream.a]
[stream.a]
grace = 1
grace = 2
"#,
        r#"
error: `a` stands here a second time
 --> /etc/weir/weir.toml:2:9
  |
2 | [stream.a]
  |         ^ already given
hint: a key or table may stand once; take one of them out

error: `grace` stands here a second time
 --> /etc/weir/weir.toml:4:1
  |
4 | grace = 2
  | ^^^^^ already given
hint: a key or table may stand once; take one of them out

2 problems in /etc/weir/weir.toml; nothing was started"#,
    );
}

#[test]
fn an_empty_file_has_no_stream() {
    check(
        r#"
"#,
        r#"
error: there is no stream, so nothing could be taken in
 --> /etc/weir/weir.toml:1:1
  |
1 |
  | ^ no [stream.NAME]
hint: add a stream and its destination, as in config/examples; `weir demo` runs without a file

1 problem in /etc/weir/weir.toml; nothing was started"#,
    );
}

#[test]
fn columns_count_characters_not_bytes() {
    check(
        r#"
[stream.a]
destinations = ["größe", "größe", "d"]	# ü
[destination.d]
type = "directory"
	path = 1
"#,
        r#"
error: stream `a` leads to `größe`, but there is no [destination.größe]
 --> /etc/weir/weir.toml:2:17
  |
2 | destinations = ["größe", "größe", "d"]    # ü
  |                 ^^^^^^^ no [destination.größe]
hint: in this file: `d`

error: `größe` stands twice in `destinations`
 --> /etc/weir/weir.toml:2:26
  |
2 | destinations = ["größe", "größe", "d"]    # ü
  |                          ^^^^^^^ a second time
hint: take one of them out

error: `path` is a number, but it should be a text in quotes
 --> /etc/weir/weir.toml:5:9
  |
5 |     path = 1
  |            ^ not a path
hint: for example: path = "/var/lib/weir/out"

3 problems in /etc/weir/weir.toml; nothing was started"#,
    );
}
