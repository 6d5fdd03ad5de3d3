//! What is missing, empty or without a name, as it is told.

use super::support::check;

#[test]
fn missing_settings_are_told_at_the_header_of_their_table() {
    check(
        r#"
[http.lan]
[auth.keys]
[tail.nginx]
[stream.a]
[destination.d]
[destination.k]
type = "kinesis"
[destination.f]
type = "firehose"
[destination.e]
type = "directory"
[auth.more]
type = "api_key"
"#,
        r#"
error: [http.lan] has no `listen`
 --> /etc/weir/weir.toml:1:1
  |
1 | [http.lan]
  | ^^^^^^^^^^ `listen` is missing
hint: for example: listen = "127.0.0.1:8080"

error: [auth.keys] has no `type`
 --> /etc/weir/weir.toml:2:1
  |
2 | [auth.keys]
  | ^^^^^^^^^^^ `type` is missing
hint: for example: type = "api_key"

error: [tail.nginx] has no `include`
 --> /etc/weir/weir.toml:3:1
  |
3 | [tail.nginx]
  | ^^^^^^^^^^^^ `include` is missing
hint: for example: include = ["/var/log/nginx/*.log"]

error: [tail.nginx] has no `stream`
 --> /etc/weir/weir.toml:3:1
  |
3 | [tail.nginx]
  | ^^^^^^^^^^^^ `stream` is missing
hint: for example: stream = "access"

error: [stream.a] has no `destinations`
 --> /etc/weir/weir.toml:4:1
  |
4 | [stream.a]
  | ^^^^^^^^^^ `destinations` is missing
hint: for example: destinations = ["archive"]

error: [destination.d] has no `type`
 --> /etc/weir/weir.toml:5:1
  |
5 | [destination.d]
  | ^^^^^^^^^^^^^^^ `type` is missing
hint: for example: type = "kinesis"

error: [destination.k] has no `stream_name`
 --> /etc/weir/weir.toml:6:1
  |
6 | [destination.k]
  | ^^^^^^^^^^^^^^^ `stream_name` is missing
hint: for example: stream_name = "access-logs"

error: [destination.f] has no `delivery_stream`
 --> /etc/weir/weir.toml:8:1
  |
8 | [destination.f]
  | ^^^^^^^^^^^^^^^ `delivery_stream` is missing
hint: for example: delivery_stream = "access-to-s3"

error: [destination.e] has no `path`
  --> /etc/weir/weir.toml:10:1
   |
10 | [destination.e]
   | ^^^^^^^^^^^^^^^ `path` is missing
hint: for example: path = "/var/lib/weir/out"

error: [auth.more] has no `file`
  --> /etc/weir/weir.toml:12:1
   |
12 | [auth.more]
   | ^^^^^^^^^^^ `file` is missing
hint: for example: file = "/etc/weir/keys.toml"

10 problems in /etc/weir/weir.toml; nothing was started"#,
    );
}

#[test]
fn empty_texts_and_lists_are_faults() {
    check(
        r#"
state_dir = ""
[http.lan]
listen = []
[stream.a]
destinations = [""]
[destination.k]
type = "kinesis"
stream_name = "x\u0000"
"#,
        r#"
error: `state_dir` is empty
 --> /etc/weir/weir.toml:1:13
  |
1 | state_dir = ""
  |             ^^ nothing in it
hint: leave the line out for the default: state_dir = "/var/lib/weir"

error: `listen` is empty
 --> /etc/weir/weir.toml:3:10
  |
3 | listen = []
  |          ^^ at least one
hint: for example: listen = "127.0.0.1:8080"

error: `destinations` is empty
 --> /etc/weir/weir.toml:5:17
  |
5 | destinations = [""]
  |                 ^^ nothing in it
hint: for example: destinations = ["archive"]

error: `stream_name` holds a control character
 --> /etc/weir/weir.toml:8:15
  |
8 | stream_name = "x\u0000"
  |               ^^^^^^^^^ not plain text

4 problems in /etc/weir/weir.toml; nothing was started"#,
    );
}

#[test]
fn tables_without_a_name_or_in_a_list_are_faults() {
    check(
        r#"
[http]
listen = "127.0.0.1:8080"
[[stream]]
destinations = ["d"]
[tail]
foo = 1
[tail.bar]
include = "x"
stream = "a"
"#,
        r#"
error: the settings of [http] stand without a name
 --> /etc/weir/weir.toml:1:1
  |
1 | [http]
  | ^^^^^^ no name
hint: give it one: [http.local]

error: `stream` is a list, but it should be a table
 --> /etc/weir/weir.toml:3:3
  |
3 | [[stream]]
  |   ^^^^^^ not a table
hint: for example: [stream.access]

error: `foo` is a number, but it should be a table
 --> /etc/weir/weir.toml:6:1
  |
6 | foo = 1
  | ^^^ not a table
hint: for example: [tail.nginx]

error: tail `bar` feeds `a`, but there is no [stream.a]
 --> /etc/weir/weir.toml:9:10
  |
9 | stream = "a"
  |          ^^^ no [stream.a]
hint: there is no [stream.NAME] in this file

4 problems in /etc/weir/weir.toml; nothing was started"#,
    );
}

#[test]
fn names_must_be_plain_as_they_become_folders() {
    check(
        r#"
[stream."../etc"]
destinations = ["ü"]
[stream.".."]
destinations = ["ü"]
[destination."ü"]
type = "directory"
path = "x"
[destination."aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]
type = "directory"
path = "x"
[destination.""]
type = "directory"
path = "x"
"#,
        r#"
error: `../etc` cannot be NAME in [stream.NAME]
 --> /etc/weir/weir.toml:1:9
  |
1 | [stream."../etc"]
  |         ^^^^^^^^ not a name
hint: 1 to 64 of A-Z, a-z, 0-9, `_`, `-` and `.`, not beginning with `.`

error: `..` cannot be NAME in [stream.NAME]
 --> /etc/weir/weir.toml:3:9
  |
3 | [stream.".."]
  |         ^^^^ not a name
hint: 1 to 64 of A-Z, a-z, 0-9, `_`, `-` and `.`, not beginning with `.`

error: `ü` cannot be NAME in [destination.NAME]
 --> /etc/weir/weir.toml:5:14
  |
5 | [destination."ü"]
  |              ^^^ not a name
hint: 1 to 64 of A-Z, a-z, 0-9, `_`, `-` and `.`, not beginning with `.`

error: `aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…` cannot be NAME in [destination.NAME]
 --> /etc/weir/weir.toml:8:14
  |
8 | [destination."aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]
  |              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ not a name
hint: 1 to 64 of A-Z, a-z, 0-9, `_`, `-` and `.`, not beginning with `.`

error: `` cannot be NAME in [destination.NAME]
  --> /etc/weir/weir.toml:11:14
   |
11 | [destination.""]
   |              ^^ not a name
hint: 1 to 64 of A-Z, a-z, 0-9, `_`, `-` and `.`, not beginning with `.`

5 problems in /etc/weir/weir.toml; nothing was started"#,
    );
}
