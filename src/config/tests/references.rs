//! Names that lead from one table to another, as it is told when they do not.

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
