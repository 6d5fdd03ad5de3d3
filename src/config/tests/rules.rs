//! What is wrong between settings and tables, as it is told.

use super::support::check;

#[test]
fn an_open_door_off_loopback_is_a_fault_for_each_address() {
    check(
        r#"
[http.lan]
listen = ["0.0.0.0:80", "127.0.0.1:80", "unix:/run/x", "[::]:80", "[::1]:80", "10.0.0.1:80"]
"#,
        r#"
error: [http.lan] would be open to the network: 0.0.0.0:80 without `auth`
 --> /etc/weir/weir.toml:2:11
  |
2 | listen = ["0.0.0.0:80", "127.0.0.1:80", "unix:/run/x", "[::]:80", "[::1]:80", "10.0.0.1:80"]
  |           ^^^^^^^^^^^^ not loopback, and no `auth`
hint: name who may come in, like auth = ["keys"], or listen on 127.0.0.1 or a unix socket

error: [http.lan] would be open to the network: [::]:80 without `auth`
 --> /etc/weir/weir.toml:2:56
  |
2 | listen = ["0.0.0.0:80", "127.0.0.1:80", "unix:/run/x", "[::]:80", "[::1]:80", "10.0.0.1:80"]
  |                                                        ^^^^^^^^^ not loopback, and no `auth`
hint: name who may come in, like auth = ["keys"], or listen on 127.0.0.1 or a unix socket

error: [http.lan] would be open to the network: 10.0.0.1:80 without `auth`
 --> /etc/weir/weir.toml:2:79
  |
2 | listen = ["0.0.0.0:80", "127.0.0.1:80", "unix:/run/x", "[::]:80", "[::1]:80", "10.0.0.1:80"]
  |                                                                               ^^^^^^^^^^^^^ not loopback, and no `auth`
hint: name who may come in, like auth = ["keys"], or listen on 127.0.0.1 or a unix socket

3 problems in /etc/weir/weir.toml; nothing was started"#,
    );
}

#[test]
fn one_address_cannot_be_bound_twice() {
    check(
        r#"
[http.a]
listen = ["127.0.0.1:8080", "127.0.0.1:0", "unix:x"]
[http.b]
listen = ["127.0.0.1:8080", "127.0.0.1:0", "127.0.0.1:9808", "unix:/etc/weir/x"]
"#,
        r#"
error: [http.b] and [http.a] both listen on 127.0.0.1:8080
 --> /etc/weir/weir.toml:4:11
  |
4 | listen = ["127.0.0.1:8080", "127.0.0.1:0", "127.0.0.1:9808", "unix:/etc/weir/x"]
  |           ^^^^^^^^^^^^^^^^ taken
hint: give one of them another port

error: [http.b] and [admin] both listen on 127.0.0.1:9808
 --> /etc/weir/weir.toml:4:44
  |
4 | listen = ["127.0.0.1:8080", "127.0.0.1:0", "127.0.0.1:9808", "unix:/etc/weir/x"]
  |                                            ^^^^^^^^^^^^^^^^ taken
hint: give one of them another port

error: [http.b] and [http.a] both listen on unix:/etc/weir/x
 --> /etc/weir/weir.toml:4:62
  |
4 | listen = ["127.0.0.1:8080", "127.0.0.1:0", "127.0.0.1:9808", "unix:/etc/weir/x"]
  |                                                              ^^^^^^^^^^^^^^^^^^ taken
hint: give one of them another path

3 problems in /etc/weir/weir.toml; nothing was started"#,
    );
}

#[test]
fn what_is_let_in_must_fit_at_the_next_place() {
    check(
        r#"
[http.a]
listen = "127.0.0.1:8080"
max_unpacked = "8 MiB"
[tail.t]
include = "x"
stream = "a"
max_line = "2 MiB"
[tail.u]
include = "x"
stream = "b"
max_line = "65 KiB"
[stream.a]
destinations = ["d"]
queue.max_bytes = "4 MiB"
[stream.b]
destinations = ["d"]
max_record = "64 KiB"
[stream.c]
destinations = ["d"]
max_record = "10 MiB"
queue.max_bytes = "39 MiB"
[destination.d]
type = "directory"
path = "x"
"#,
        r#"
error: `max_unpacked` is 8 MiB, but a body of up to 16 MiB is let in (`max_body`)
 --> /etc/weir/weir.toml:3:16
  |
3 | max_unpacked = "8 MiB"
  |                ^^^^^^^ less than 16 MiB
hint: raise it, or lower `max_body`

error: `max_line` is 2 MiB, but stream `a` takes records of up to 1 MiB
 --> /etc/weir/weir.toml:7:12
  |
7 | max_line = "2 MiB"
  |            ^^^^^^^ more than 1 MiB
hint: set it to "1 MiB", or raise `max_record` in [stream.a]

error: `max_line` is 65 KiB, but stream `b` takes records of up to 64 KiB
  --> /etc/weir/weir.toml:11:12
   |
11 | max_line = "65 KiB"
   |            ^^^^^^^^ more than 64 KiB
hint: set it to "64 KiB", or raise `max_record` in [stream.b]

error: the queue of `c` has 39 MiB, but must hold 4 records of 10 MiB
  --> /etc/weir/weir.toml:21:19
   |
21 | queue.max_bytes = "39 MiB"
   |                   ^^^^^^^^ less than 40 MiB
hint: set `queue.max_bytes` to "40 MiB" or more, or lower `max_record`

4 problems in /etc/weir/weir.toml; nothing was started"#,
    );
}

#[test]
fn waits_grow_and_bursts_have_a_rate() {
    check(
        r#"
[plan.p]
burst = 5
[destination.d]
type = "directory"
path = "x"
retry_first = "31 s"
[destination.e]
type = "directory"
path = "x"
retry_first = "1 s"
retry_max = "999 ms"
"#,
        r#"
error: `burst` stands without `rate`
 --> /etc/weir/weir.toml:2:9
  |
2 | burst = 5
  |         ^ a burst of what?
hint: add a rate, like rate = "500/s", or take it out

error: the first wait is 31 s, but the longest is 30 s
 --> /etc/weir/weir.toml:6:15
  |
6 | retry_first = "31 s"
  |               ^^^^^^ first > longest
hint: `retry_first` must be at most `retry_max`

error: the first wait is 1 s, but the longest is 999 ms
  --> /etc/weir/weir.toml:11:13
   |
11 | retry_max = "999 ms"
   |             ^^^^^^^^ first > longest
hint: `retry_first` must be at most `retry_max`

3 problems in /etc/weir/weir.toml; nothing was started"#,
    );
}

#[test]
fn findings_of_all_tables_are_sorted_by_place() {
    check(
        r#"
[destination.d]
type = "directory"
path = 1
[stream.a]
destinations = ["e"]
[http.lan]
listen = "0.0.0.0:80"
max_connections = 0
foo = 1
"#,
        r#"
error: `path` is a number, but it should be a text in quotes
 --> /etc/weir/weir.toml:3:8
  |
3 | path = 1
  |        ^ not a path
hint: for example: path = "/var/lib/weir/out"

error: stream `a` leads to `e`, but there is no [destination.e]
 --> /etc/weir/weir.toml:5:17
  |
5 | destinations = ["e"]
  |                 ^^^ no [destination.e]
hint: in this file: `d`

error: [http.lan] would be open to the network: 0.0.0.0:80 without `auth`
 --> /etc/weir/weir.toml:7:10
  |
7 | listen = "0.0.0.0:80"
  |          ^^^^^^^^^^^^ not loopback, and no `auth`
hint: name who may come in, like auth = ["keys"], or listen on 127.0.0.1 or a unix socket

error: `max_connections` is 0, but it must be at least 1
 --> /etc/weir/weir.toml:8:19
  |
8 | max_connections = 0
  |                   ^ less than 1
hint: set it to 1 or more, or leave the line out: 1024 is the default

error: unknown key `foo` in [http.lan]
 --> /etc/weir/weir.toml:9:1
  |
9 | foo = 1
  | ^^^ not a setting of an HTTP listener

5 problems in /etc/weir/weir.toml; nothing was started"#,
    );
}

#[test]
fn signatures_need_keys_and_nobody_is_believed_over_the_network() {
    check(
        r#"
[http.lan]
listen = "0.0.0.0:8080"
auth = ["sdks"]
[auth.sdks]
type = "sigv4"
file = "access-keys.toml"
mode = "identify"
[http.local]
listen = "127.0.0.1:8081"
auth = ["sdks", "strict"]
[auth.strict]
type = "sigv4"
[stream.access]
destinations = "d"
[destination.d]
type = "directory"
path = "out"
"#,
        r#"
error: auth `sdks` believes everybody, but [http.lan] may be reached over the network: 0.0.0.0:8080
 --> /etc/weir/weir.toml:3:9
  |
3 | auth = ["sdks"]
  |         ^^^^^^ checks nothing
hint: set mode = "verify" there, or listen on 127.0.0.1 or a unix socket

error: [auth.strict] has no `file`
  --> /etc/weir/weir.toml:11:1
   |
11 | [auth.strict]
   | ^^^^^^^^^^^^^ `file` is missing
hint: for example: file = "/etc/weir/access-keys.toml"

2 problems in /etc/weir/weir.toml; nothing was started
"#,
    );
}
