//! Values of a wrong unit, type or size, as it is told.

use super::support::check;

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
hint: leave the line out for the default: in_flight_bytes = "16 MiB"

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
