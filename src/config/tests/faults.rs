//! What is wrong within one table, as it is told.

use super::support::{check, check_warnings};

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
fn an_unknown_key_near_a_known_one_is_suggested() {
    check(
        r#"
[http.lan]
listen = "127.0.0.1:8080"
max_bdy = "1 MiB"
[destination.k]
type = "kinesis"
stream_name = "x"
retry_fisrt = "1 s"
"#,
        r#"
error: unknown key `max_bdy` in [http.lan]
 --> /etc/weir/weir.toml:3:1
  |
3 | max_bdy = "1 MiB"
  | ^^^^^^^ not a setting of an HTTP listener
hint: did you mean `max_body`?

error: unknown key `retry_fisrt` in [destination.k]
 --> /etc/weir/weir.toml:7:1
  |
7 | retry_fisrt = "1 s"
  | ^^^^^^^^^^^ not a setting of a Kinesis destination
hint: did you mean `retry_first`?

2 problems in /etc/weir/weir.toml; nothing was started"#,
    );
}

#[test]
fn an_unknown_key_near_nothing_lists_what_may_stand_there() {
    check(
        r#"
[http.lan]
listen = "127.0.0.1:8080"
compression = "gzip"
[dead_letters]
count = 1
[destination.k]
type = "kinesis"
stream_name = "x"
delivery_stream = "x"
"#,
        r#"
error: unknown key `compression` in [http.lan]
 --> /etc/weir/weir.toml:3:1
  |
3 | compression = "gzip"
  | ^^^^^^^^^^^ not a setting of an HTTP listener

error: unknown key `count` in [dead_letters]
 --> /etc/weir/weir.toml:5:1
  |
5 | count = 1
  | ^^^^^ not a setting of the dead letters
hint: what may stand here: `max_bytes` and `max_age`

error: unknown key `delivery_stream` in [destination.k]
 --> /etc/weir/weir.toml:9:1
  |
9 | delivery_stream = "x"
  | ^^^^^^^^^^^^^^^ not a setting of a Kinesis destination

3 problems in /etc/weir/weir.toml; nothing was started"#,
    );
}

#[test]
fn unknown_tables_are_faults() {
    check(
        r#"
[strem.a]
x = 1
[sink.b]
x = 1
"#,
        r#"
error: unknown table [strem]
 --> /etc/weir/weir.toml:1:2
  |
1 | [strem.a]
  |  ^^^^^ no table has this name
hint: did you mean `stream`?

error: unknown table [sink]
 --> /etc/weir/weir.toml:3:2
  |
3 | [sink.b]
  |  ^^^^ no table has this name
hint: what may stand here: `state_dir`, `grace`, `log`, `traces`, `emf`, `reload_on_change`, `http`, `route`, `rule`, `auth`, `plan`, `tail`, `stdin`, `stream`, `destination`, `encryption`, `uplink`, `dead_letters` and `admin`

2 problems in /etc/weir/weir.toml; nothing was started"#,
    );
}

#[test]
fn unknown_keys_below_a_key_are_faults() {
    check(
        r#"
[stream.a]
queue = { max_byte = "1 GiB" }
destinations = ["b"]
[stream.b]
destinations = ["b"]
queue.pace = "always"
"#,
        r#"
error: unknown key `max_byte` in [stream.a.queue]
 --> /etc/weir/weir.toml:2:11
  |
2 | queue = { max_byte = "1 GiB" }
  |           ^^^^^^^^ not a setting of queue
hint: did you mean `max_bytes`?

error: stream `a` leads to `b`, but there is no [destination.b]
 --> /etc/weir/weir.toml:3:17
  |
3 | destinations = ["b"]
  |                 ^^^ no [destination.b]
hint: there is no [destination.NAME] in this file

error: stream `b` leads to `b`, but there is no [destination.b]
 --> /etc/weir/weir.toml:5:17
  |
5 | destinations = ["b"]
  |                 ^^^ no [destination.b]
hint: there is no [destination.NAME] in this file

error: unknown key `pace` in [stream.b.queue]
 --> /etc/weir/weir.toml:6:7
  |
6 | queue.pace = "always"
  |       ^^^^ not a setting of queue
hint: what may stand here: `max_bytes`, `sync`, `min_free_disk`, `when_full`, `max_age`, `lapsed`, `idempotency`, `cursor_save`, `compression` and `encryption`

4 problems in /etc/weir/weir.toml; nothing was started"#,
    );
}

#[test]
fn wrong_units_are_told_with_the_right_ones() {
    check(
        r#"
grace = "25 sec"
[http.lan]
listen = "127.0.0.1:8080"
max_body = "16 mib"
max_unpacked = "64"
[plan.p]
rate = "500"
bytes = "2 MiB"
"#,
        r#"
error: `grace` is "25 sec", but a time is a whole number with a unit, like "30 s" (ms, s, min, h, d)
 --> /etc/weir/weir.toml:1:9
  |
1 | grace = "25 sec"
  |         ^^^^^^^^ not a time
hint: leave the line out for the default: grace = "25 s"

error: `max_body` is "16 mib", but a size is a whole number with a unit, like "64 MiB" (B, KiB, MiB, GiB, TiB, kB, MB, GB, TB)
 --> /etc/weir/weir.toml:4:12
  |
4 | max_body = "16 mib"
  |            ^^^^^^^^ not a size
hint: leave the line out for the default: max_body = "16 MiB"

error: `max_unpacked` is "64", but a size is a whole number with a unit, like "64 MiB" (B, KiB, MiB, GiB, TiB, kB, MB, GB, TB)
 --> /etc/weir/weir.toml:5:16
  |
5 | max_unpacked = "64"
  |                ^^^^ not a size
hint: leave the line out for the default: max_unpacked = "64 MiB"

error: `rate` is "500", but a rate is a whole number per time, like "500/s" (ms, s, min, h, d)
 --> /etc/weir/weir.toml:7:8
  |
7 | rate = "500"
  |        ^^^^^ not a rate
hint: for example: rate = "500/s"

error: `bytes` is "2 MiB", but a byte rate is a size per time, like "2 MiB/s" (ms, s, min, h, d)
 --> /etc/weir/weir.toml:8:9
  |
8 | bytes = "2 MiB"
  |         ^^^^^^^ not a byte rate
hint: for example: bytes = "2 MiB/s"

5 problems in /etc/weir/weir.toml; nothing was started"#,
    );
}

#[test]
fn wrong_types_are_told_with_the_right_ones() {
    check(
        r#"
[http.lan]
listen = 8080
max_connections = "many"
max_body = 16777216
max_unpacked = 64.0
auth = [1, "keys"]
"#,
        r#"
error: `listen` is a number, but it should be a text in quotes, or a list of them
 --> /etc/weir/weir.toml:2:10
  |
2 | listen = 8080
  |          ^^^^ not a list of texts
hint: for example: listen = "127.0.0.1:8080"

error: `max_connections` is a text, but it should be a whole number
 --> /etc/weir/weir.toml:3:19
  |
3 | max_connections = "many"
  |                   ^^^^^^ not a whole number
hint: leave the line out for the default: max_connections = 1024

error: `max_body` is a number, but it should be a size with a unit, like "64 MiB"
 --> /etc/weir/weir.toml:4:12
  |
4 | max_body = 16777216
  |            ^^^^^^^^ not a size
hint: with its unit: max_body = "16777216 B"

error: `max_unpacked` is a number, but it should be a size with a unit, like "64 MiB"
 --> /etc/weir/weir.toml:5:16
  |
5 | max_unpacked = 64.0
  |                ^^^^ not a size
hint: leave the line out for the default: max_unpacked = "64 MiB"

error: `auth` is a number, but it should be a text in quotes, or a list of them
 --> /etc/weir/weir.toml:6:9
  |
6 | auth = [1, "keys"]
  |         ^ not a list of texts
hint: leave the line out for the default: auth = []

error: listener `lan` asks `keys`, but there is no [auth.keys]
 --> /etc/weir/weir.toml:6:12
  |
6 | auth = [1, "keys"]
  |            ^^^^^^ no [auth.keys]
hint: there is no [auth.NAME] in this file

6 problems in /etc/weir/weir.toml; nothing was started"#,
    );
}

#[test]
fn texts_times_tables_and_flags_of_the_wrong_type_are_told_too() {
    check(
        r#"
grace = 25
state_dir = true
log = "json"
[destination.f]
type = "firehose"
delivery_stream = ["x"]
newline = "yes"
[stream]
a = 1
"#,
        r#"
error: `grace` is a number, but it should be a time with a unit, like "30 s"
 --> /etc/weir/weir.toml:1:9
  |
1 | grace = 25
  |         ^^ not a time
hint: leave the line out for the default: grace = "25 s"

error: `state_dir` is a boolean, but it should be a text in quotes
 --> /etc/weir/weir.toml:2:13
  |
2 | state_dir = true
  |             ^^^^ not a path
hint: leave the line out for the default: state_dir = "/var/lib/weir"

error: `log` is a text, but it should be a table
 --> /etc/weir/weir.toml:3:1
  |
3 | log = "json"
  | ^^^ not a table
hint: for example: log = { format = "auto" }

error: `delivery_stream` is a list, but it should be a text in quotes
 --> /etc/weir/weir.toml:6:19
  |
6 | delivery_stream = ["x"]
  |                   ^^^^^ not a text
hint: for example: delivery_stream = "access-to-s3"

error: `newline` is a text, but it should be true or false
 --> /etc/weir/weir.toml:7:11
  |
7 | newline = "yes"
  |           ^^^^^ not true or false
hint: leave the line out for the default: newline = true

error: the settings of [stream] stand without a name
 --> /etc/weir/weir.toml:8:1
  |
8 | [stream]
  | ^^^^^^^^ no name
hint: give it one: [stream.access]

6 problems in /etc/weir/weir.toml; nothing was started"#,
    );
}

#[test]
fn numbers_beyond_any_range_are_out_of_range() {
    check(
        r#"
[http.lan]
listen = "127.0.0.1:8080"
max_connections = -1
[http.wan]
listen = "127.0.0.1:8081"
max_connections = 99999999999999999999999999
[destination.d]
type = "directory"
path = "x"
max_in_flight = 0x41
in_flight_bytes = "99999999 TiB"
"#,
        r#"
error: `max_connections` is -1, but it must be at least 1
 --> /etc/weir/weir.toml:3:19
  |
3 | max_connections = -1
  |                   ^^ less than 1
hint: set it to 1 or more, or leave the line out: 1024 is the default

error: `max_connections` is 99999999999999999999999999, but it may be at most 65536
 --> /etc/weir/weir.toml:6:19
  |
6 | max_connections = 99999999999999999999999999
  |                   ^^^^^^^^^^^^^^^^^^^^^^^^^^ more than 65536
hint: set it to 65536 or less, or leave the line out: 1024 is the default

error: `max_in_flight` is 0x41, but it may be at most 64
  --> /etc/weir/weir.toml:10:17
   |
10 | max_in_flight = 0x41
   |                 ^^^^ more than 64
hint: set it to 64 or less, or leave the line out: 4 is the default

error: `in_flight_bytes` is "99999999 TiB", but that is more than 2^64
  --> /etc/weir/weir.toml:11:19
   |
11 | in_flight_bytes = "99999999 TiB"
   |                   ^^^^^^^^^^^^^^ not a size
hint: leave the line out for the default: in_flight_bytes = "10 MiB"

4 problems in /etc/weir/weir.toml; nothing was started"#,
    );
}

#[test]
fn words_that_are_none_of_the_choices_are_told_the_choices() {
    check(
        r#"
log.format = "jsn"
log.level = "loud"
[destination.f]
type = "firhose"
[destination.g]
type = "s3"
bucket = "x"
"#,
        r#"
error: `format` is "jsn", but it should be `auto`, `text` or `json`
 --> /etc/weir/weir.toml:1:14
  |
1 | log.format = "jsn"
  |              ^^^^^ not one of the words
hint: did you mean "json"?

error: `level` is "loud", but it should be `error`, `warn`, `info` or `debug`
 --> /etc/weir/weir.toml:2:13
  |
2 | log.level = "loud"
  |             ^^^^^^ not one of the words
hint: leave the line out for the default: level = "info"

error: `type` is "firhose", but it should be `kinesis`, `firehose` or `directory`
 --> /etc/weir/weir.toml:4:8
  |
4 | type = "firhose"
  |        ^^^^^^^^^ not one of the words
hint: did you mean "firehose"?

error: `type` is "s3", but it should be `kinesis`, `firehose` or `directory`
 --> /etc/weir/weir.toml:6:8
  |
6 | type = "s3"
  |        ^^^^ not one of the words
hint: for example: type = "kinesis"

4 problems in /etc/weir/weir.toml; nothing was started"#,
    );
}

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

#[test]
fn a_variable_that_is_not_set_is_a_fault_at_its_place() {
    check(
        r#"
state_dir = "${NOPE}"
[http.lan]
listen = ["127.0.0.1:8080", "${NOPE}"]
max_connections = "${REGION}"
max_body = "${EMPTY}"
[destination.k]
type = "kinesis"
stream_name = "events-${REGION}"
[destination.f]
type = "firehose"
delivery_stream = "x"
region = "${YES}"
[destination.h]
type = "kinesis"
stream_name = "x"
region = "${}"
"#,
        r#"
error: the environment has no variable `NOPE`
 --> /etc/weir/weir.toml:1:13
  |
1 | state_dir = "${NOPE}"
  |             ^^^^^^^^^ not set
hint: set NOPE for the process, or write the value here

error: the environment has no variable `NOPE`
 --> /etc/weir/weir.toml:3:29
  |
3 | listen = ["127.0.0.1:8080", "${NOPE}"]
  |                             ^^^^^^^^^ not set
hint: set NOPE for the process, or write the value here

error: `max_connections` is "${REGION}", but it should be a whole number
 --> /etc/weir/weir.toml:4:19
  |
4 | max_connections = "${REGION}"
  |                   ^^^^^^^^^^^ not a whole number
hint: leave the line out for the default: max_connections = 1024

error: `max_body` is empty
 --> /etc/weir/weir.toml:5:12
  |
5 | max_body = "${EMPTY}"
  |            ^^^^^^^^^^ nothing in it
hint: leave the line out for the default: max_body = "16 MiB"

error: `stream_name` has `${` in it, but is no reference as a whole
 --> /etc/weir/weir.toml:8:15
  |
8 | stream_name = "events-${REGION}"
  |               ^^^^^^^^^^^^^^^^^^ not just ${NAME}
hint: put the whole value into the variable, and write "${NAME}"

error: `${YES}` is no region
  --> /etc/weir/weir.toml:12:10
   |
12 | region = "${YES}"
   |          ^^^^^^^^ not a region
hint: for example: region = "eu-west-1"

error: `region` has `${` in it, but is no reference as a whole
  --> /etc/weir/weir.toml:16:10
   |
16 | region = "${}"
   |          ^^^^^ not just ${NAME}
hint: put the whole value into the variable, and write "${NAME}"

7 problems in /etc/weir/weir.toml; nothing was started"#,
    );
}

#[test]
fn addresses_that_are_none_are_mended_where_they_can_be() {
    check(
        r#"
[http.lan]
listen = ["localhost:8080", ":8080", "8080", "*:80", "127.0.0.1", "host.example:80", "unix:", "unix:xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "[::1]"]
"#,
        r#"
error: `listen` is "localhost:8080", but it should be an IP address with a port, like "127.0.0.1:8080"
 --> /etc/weir/weir.toml:2:11
  |
2 | listen = ["localhost:8080", ":8080", "8080", "*:80", "127.0.0.1", "host.example:80", "unix:", "unix:xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…
  |           ^^^^^^^^^^^^^^^^ not an address
hint: did you mean "127.0.0.1:8080"?

error: `listen` is ":8080", but it should be an IP address with a port, like "127.0.0.1:8080"
 --> /etc/weir/weir.toml:2:29
  |
2 | listen = ["localhost:8080", ":8080", "8080", "*:80", "127.0.0.1", "host.example:80", "unix:", "unix:xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…
  |                             ^^^^^^^ not an address
hint: did you mean "127.0.0.1:8080"?

error: `listen` is "8080", but it should be an IP address with a port, like "127.0.0.1:8080"
 --> /etc/weir/weir.toml:2:38
  |
2 | listen = ["localhost:8080", ":8080", "8080", "*:80", "127.0.0.1", "host.example:80", "unix:", "unix:xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…
  |                                      ^^^^^^ not an address
hint: did you mean "127.0.0.1:8080"?

error: `listen` is "*:80", but it should be an IP address with a port, like "127.0.0.1:8080"
 --> /etc/weir/weir.toml:2:46
  |
2 | listen = ["localhost:8080", ":8080", "8080", "*:80", "127.0.0.1", "host.example:80", "unix:", "unix:xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…
  |                                              ^^^^^^ not an address
hint: did you mean "0.0.0.0:80"?

error: `listen` is "127.0.0.1", but it should be an IP address with a port, like "127.0.0.1:8080"
 --> /etc/weir/weir.toml:2:54
  |
2 | listen = ["localhost:8080", ":8080", "8080", "*:80", "127.0.0.1", "host.example:80", "unix:", "unix:xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…
  |                                                      ^^^^^^^^^^^ not an address
hint: did you mean "127.0.0.1:8080"?

error: `listen` is "host.example:80", but it should be an IP address with a port, like "127.0.0.1:8080"
 --> /etc/weir/weir.toml:2:67
  |
2 | … = ["localhost:8080", ":8080", "8080", "*:80", "127.0.0.1", "host.example:80", "unix:", "unix:xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…
  |                                                              ^^^^^^^^^^^^^^^^^ not an address

error: `listen` names a unix socket without a path
 --> /etc/weir/weir.toml:2:86
  |
2 | …", ":8080", "8080", "*:80", "127.0.0.1", "host.example:80", "unix:", "unix:xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…
  |                                                              ^^^^^^^ no path
hint: for example: "unix:/run/weir/ingest.sock"

error: the path of a unix socket has at most 107 bytes, but this one has 130
 --> /etc/weir/weir.toml:2:95
  |
2 | …", "8080", "*:80", "127.0.0.1", "host.example:80", "unix:", "unix:xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…
  |                                                              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ too long
hint: put it into a shorter folder: "unix:/run/weir/ingest.sock"

error: `listen` is "[::1]", but it should be an IP address with a port, like "127.0.0.1:8080"
 --> /etc/weir/weir.toml:2:224
  |
2 | …xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "[::1]"]
  |                                                              ^^^^^^^ not an address

9 problems in /etc/weir/weir.toml; nothing was started"#,
    );
}

#[test]
fn the_admin_listener_stays_on_loopback() {
    check(
        r#"
[admin]
listen = "0.0.0.0:9808"
"#,
        r#"
error: [admin] would be open to the network: 0.0.0.0:9808
 --> /etc/weir/weir.toml:2:10
  |
2 | listen = "0.0.0.0:9808"
  |          ^^^^^^^^^^^^^^ not loopback
hint: without `key_file` the admin listener asks nobody who they are: listen on 127.0.0.1, or name a file that `weir keys add` made

1 problem in /etc/weir/weir.toml; nothing was started"#,
    );
}

#[test]
fn regions_and_endpoints_must_look_right() {
    check(
        r#"
[destination.k]
type = "kinesis"
stream_name = "x"
region = "EU (Ireland)"
endpoint_url = "localhost:4566"
[destination.a]
type = "kinesis"
stream_name = "arn:aws-cn:kinesis:cn-north-1:123456789012:stream/x"
endpoint_url = "http://"
[destination.f]
type = "firehose"
delivery_stream = "x"
endpoint_url = "https://x/?y"
"#,
        r#"
error: `EU (Ireland)` is no region
 --> /etc/weir/weir.toml:4:10
  |
4 | region = "EU (Ireland)"
  |          ^^^^^^^^^^^^^^ not a region
hint: for example: region = "eu-west-1"

error: `endpoint_url` is "localhost:4566", but it should be a URL
 --> /etc/weir/weir.toml:5:16
  |
5 | endpoint_url = "localhost:4566"
  |                ^^^^^^^^^^^^^^^^ not http://HOST or https://HOST
hint: for example: endpoint_url = "http://127.0.0.1:4566"

error: `endpoint_url` is "http://", but it should be a URL
 --> /etc/weir/weir.toml:9:16
  |
9 | endpoint_url = "http://"
  |                ^^^^^^^^^ not http://HOST or https://HOST
hint: for example: endpoint_url = "http://127.0.0.1:4566"

error: `endpoint_url` is "https://x/?y", but it should be a URL
  --> /etc/weir/weir.toml:13:16
   |
13 | endpoint_url = "https://x/?y"
   |                ^^^^^^^^^^^^^^ not http://HOST or https://HOST
hint: for example: endpoint_url = "http://127.0.0.1:4566"

4 problems in /etc/weir/weir.toml; nothing was started"#,
    );
}

#[test]
fn names_of_upstreams_must_look_right() {
    check(
        r#"
[destination.k]
type = "kinesis"
stream_name = "my stream"
[destination.a]
type = "kinesis"
stream_name = "arn:aws:kinesis:eu-west-1:1234:stream/x"
[destination.f]
type = "firehose"
delivery_stream = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
[destination.d]
type = "directory"
path = "x"
name = "a/b"
"#,
        r#"
error: `stream_name` is "my stream", but names have 1 to 128 of A-Z, a-z, 0-9, `_`, `-` and `.`
 --> /etc/weir/weir.toml:3:15
  |
3 | stream_name = "my stream"
  |               ^^^^^^^^^^^ not a name
hint: for example: stream_name = "access-logs"

error: `stream_name` is "arn:aws:kinesis:eu-west-1:1234:stream/x", but names have 1 to 128 of A-Z, a-z, 0-9, `_`, `-` and `.`
 --> /etc/weir/weir.toml:6:15
  |
6 | stream_name = "arn:aws:kinesis:eu-west-1:1234:stream/x"
  |               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ not a name
hint: for example: stream_name = "access-logs"

error: `delivery_stream` is "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…", but names have 1 to 64 of A-Z, a-z, 0-9, `_`, `-` and `.`
 --> /etc/weir/weir.toml:9:19
  |
9 | delivery_stream = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
  |                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ not a name
hint: for example: delivery_stream = "access-to-s3"

error: `a/b` cannot begin the name of a file
  --> /etc/weir/weir.toml:13:8
   |
13 | name = "a/b"
   |        ^^^^^ not a name
hint: 1 to 64 of A-Z, a-z, 0-9, `_`, `-` and `.`, not beginning with `.`

4 problems in /etc/weir/weir.toml; nothing was started"#,
    );
}

#[test]
fn globs_must_be_globs() {
    check(
        r#"
[tail.t]
include = ["/var/log/a***", "/var/log/[a"]
stream = "a"
[stream.a]
destinations = ["d"]
[destination.d]
type = "directory"
path = "x"
"#,
        r#"
error: `/var/log/a***` is no glob: wildcards are either regular `*` or recursive `**`
 --> /etc/weir/weir.toml:2:12
  |
2 | include = ["/var/log/a***", "/var/log/[a"]
  |            ^^^^^^^^^^^^^^^ not a glob
hint: for example: "/var/log/nginx/*.log"

error: `/var/log/[a` is no glob: invalid range pattern
 --> /etc/weir/weir.toml:2:29
  |
2 | include = ["/var/log/a***", "/var/log/[a"]
  |                             ^^^^^^^^^^^^^ not a glob
hint: for example: "/var/log/nginx/*.log"

2 problems in /etc/weir/weir.toml; nothing was started"#,
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

#[test]
fn a_window_that_is_none_is_told_and_so_is_an_age_without_a_rate() {
    check(
        r#"
[uplink]
window = ["22:00-06:00", "at night"]
bytes = "64 KiB"
[http.local]
listen = "127.0.0.1:8080"
[stream.a]
destinations = ["k"]
priority = 10
[destination.k]
type = "kinesis"
stream_name = "x"
"#,
        r#"
error: `window` is "at night", but a window is two times of day, like "22:00-06:00" (UTC) or "22:00-06:00 +02:00"
 --> /etc/weir/weir.toml:2:26
  |
2 | window = ["22:00-06:00", "at night"]
  |                          ^^^^^^^^^^ not a window
hint: for example: window = ["22:00-06:00"]

error: `bytes` is "64 KiB", but a byte rate is a size per time, like "2 MiB/s" (ms, s, min, h, d)
 --> /etc/weir/weir.toml:3:9
  |
3 | bytes = "64 KiB"
  |         ^^^^^^^^ not a byte rate
hint: for example: bytes = "2 MiB/s"

error: `priority` is 10, but it may be at most 9
 --> /etc/weir/weir.toml:8:12
  |
8 | priority = 10
  |            ^^ more than 9
hint: set it to 9 or less, or leave the line out: 5 is the default

3 problems in /etc/weir/weir.toml; nothing was started"#,
    );
    check_warnings(
        r#"
[http.local]
listen = "127.0.0.1:8080"
[stream.a]
destinations = ["k"]
[destination.k]
type = "kinesis"
stream_name = "x"
catch_up_after = "5 min"
"#,
        r#"
warning: `catch_up_after` stands without `catch_up_rate`
 --> /etc/weir/weir.toml:8:18
  |
8 | catch_up_after = "5 min"
  |                  ^^^^^^^ after that, what?
hint: add catch_up_rate = "2 MiB/s", or take it out"#,
    );
}
