//! What is wrong between settings and tables, as it is told.

use super::support::check;

#[test]
fn dangling_references_list_what_there_is() {
    check(
        r#"
[http.lan]
listen = "127.0.0.1:8080"
auth = ["keyz", "oidc"]
[auth.keys]
type = "api_key"
file = "keys.toml"
plan = "fast"
[tail.t]
include = "x"
stream = "acces"
[stream.access]
destinations = ["archive", "cloud"]
"#,
        r#"
error: listener `lan` asks `keyz`, but there is no [auth.keyz]
 --> /etc/weir/weir.toml:3:9
  |
3 | auth = ["keyz", "oidc"]
  |         ^^^^^^ no [auth.keyz]
hint: did you mean `keys`?

error: listener `lan` asks `oidc`, but there is no [auth.oidc]
 --> /etc/weir/weir.toml:3:17
  |
3 | auth = ["keyz", "oidc"]
  |                 ^^^^^^ no [auth.oidc]
hint: in this file: `keys`

error: auth `keys` gives its callers the plan `fast`, but there is no [plan.fast]
 --> /etc/weir/weir.toml:7:8
  |
7 | plan = "fast"
  |        ^^^^^^ no [plan.fast]
hint: there is no [plan.NAME] in this file

error: tail `t` feeds `acces`, but there is no [stream.acces]
  --> /etc/weir/weir.toml:10:10
   |
10 | stream = "acces"
   |          ^^^^^^^ no [stream.acces]
hint: did you mean `access`?

error: stream `access` leads to `archive`, but there is no [destination.archive]
  --> /etc/weir/weir.toml:12:17
   |
12 | destinations = ["archive", "cloud"]
   |                 ^^^^^^^^^ no [destination.archive]
hint: there is no [destination.NAME] in this file

error: stream `access` leads to `cloud`, but there is no [destination.cloud]
  --> /etc/weir/weir.toml:12:28
   |
12 | destinations = ["archive", "cloud"]
   |                            ^^^^^^^ no [destination.cloud]
hint: there is no [destination.NAME] in this file

6 problems in /etc/weir/weir.toml; nothing was started"#,
    );
}

#[test]
fn a_reference_to_a_table_that_is_itself_at_fault_does_not_dangle() {
    check(
        r#"
[http.lan]
listen = "127.0.0.1:8080"
auth = "keys"
[auth.keys]
type = "ldap"
plan = "p"
[plan.p]
burst = 0
[tail.t]
include = "x"
stream = "a"
[stream.a]
destinations = ["d"]
x = 1
[destination.d]
type = "s3"
"#,
        r#"
error: `type` is "ldap", but it should be `api_key`, `jwt`, `sigv4`, `mtls`, `peer`, `authorizer` or `lambda_authorizer`
 --> /etc/weir/weir.toml:5:8
  |
5 | type = "ldap"
  |        ^^^^^^ not one of the words
hint: for example: type = "api_key"

error: `burst` is 0, but it must be at least 1
 --> /etc/weir/weir.toml:8:9
  |
8 | burst = 0
  |         ^ less than 1
hint: set it to 1 or more

error: unknown key `x` in [stream.a]
  --> /etc/weir/weir.toml:14:1
   |
14 | x = 1
   | ^ not a setting of a stream
hint: what may stand here: `destinations`, `aliases`, `partition_key`, `max_record`, `plan`, `schema`, `schema_formats`, `transform`, `transform_to`, `transform_errors`, `transform_time`, `queue`, `priority` and `weight`

error: `type` is "s3", but it should be `kinesis`, `firehose` or `directory`
  --> /etc/weir/weir.toml:16:8
   |
16 | type = "s3"
   |        ^^^^ not one of the words
hint: for example: type = "kinesis"

4 problems in /etc/weir/weir.toml; nothing was started"#,
    );
}

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
fn names_stand_once_in_a_list() {
    check(
        r#"
[stream.a]
destinations = ["d", "d"]
[destination.d]
type = "directory"
path = "x"
"#,
        r#"
error: `d` stands twice in `destinations`
 --> /etc/weir/weir.toml:2:22
  |
2 | destinations = ["d", "d"]
  |                      ^^^ a second time
hint: take one of them out

1 problem in /etc/weir/weir.toml; nothing was started"#,
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
fn every_name_and_alias_leads_to_one_stream() {
    check(
        r#"
[stream.access]
destinations = "d"
aliases = ["orders", "prod", "a b"]
[stream.orders]
destinations = "d"
aliases = ["prod"]
[destination.d]
type = "directory"
path = "out"
"#,
        r#"
error: `orders` would lead to two streams: it is the name of [stream.orders]
 --> /etc/weir/weir.toml:3:12
  |
3 | aliases = ["orders", "prod", "a b"]
  |            ^^^^^^^^ taken
hint: take it out here, or give one of the streams another name

error: `a b` cannot be the name of a stream
 --> /etc/weir/weir.toml:3:30
  |
3 | aliases = ["orders", "prod", "a b"]
  |                              ^^^^^ not a name
hint: 1 to 128 of A-Z, a-z, 0-9, `_`, `-` and `.`

error: `prod` would lead to two streams: it is an alias of [stream.access] too
 --> /etc/weir/weir.toml:6:12
  |
6 | aliases = ["prod"]
  |            ^^^^^^ taken
hint: take it out here, or give one of the streams another name

3 problems in /etc/weir/weir.toml; nothing was started
"#,
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
