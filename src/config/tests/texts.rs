//! Texts that must look like something, as it is told: variables, addresses, regions, names, patterns.

use super::support::{check, check_warnings};

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
