//! Keys and tables that nobody knows, as it is told.

use super::support::check;

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
