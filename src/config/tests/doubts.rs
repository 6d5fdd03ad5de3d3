//! What works and is probably not meant, as it is told.

use super::support::check_warnings;

#[test]
fn a_state_folder_that_does_not_last_is_doubtful() {
    check_warnings(
        r#"
state_dir = "/tmp/weir"
[http.local]
listen = "127.0.0.1:8080"
[stream.a]
destinations = ["d"]
[destination.d]
type = "directory"
path = "out"
"#,
        r#"
warning: `state_dir` is below /tmp, which does not outlive a restart of the machine
 --> /etc/weir/weir.toml:1:13
  |
1 | state_dir = "/tmp/weir"
  |             ^^^^^^^^^^^ what waits here would be lost
hint: put it on a real disk, like state_dir = "/var/lib/weir""#,
    );
}

#[test]
fn what_nobody_uses_is_doubtful() {
    check_warnings(
        r#"
[http.local]
listen = "127.0.0.1:8080"
[stream.a]
destinations = ["d"]
[destination.d]
type = "directory"
path = "out"
[destination.e]
type = "directory"
path = "x"
[plan.p]
rate = "1/s"
"#,
        r#"
warning: no stream leads to destination `e`
 --> /etc/weir/weir.toml:8:14
  |
8 | [destination.e]
  |              ^ not used
hint: name it in the `destinations` of a stream, or take it out

warning: nobody has plan `p`: there is no [auth.NAME]
  --> /etc/weir/weir.toml:11:7
   |
11 | [plan.p]
   |       ^ not used
hint: plans are for callers that are known by a key"#,
    );
}

#[test]
fn routes_beside_which_the_protocols_of_aws_are_forgotten_are_doubtful() {
    let with = |http: &str| {
        format!(
            r#"
[http.local]
listen = "127.0.0.1:8080"
{http}
[route.r]
path = "/r"
stream = "a"
[stream.a]
destinations = ["d"]
[destination.d]
type = "directory"
path = "out"
"#
        )
    };
    check_warnings(
        &with("native = false\ngateway = false"),
        r#"
warning: [http.local] has routes, neither `native` nor `gateway`, and still speaks the protocols of AWS
 --> /etc/weir/weir.toml:1:1
  |
1 | [http.local]
  | ^^^^^^^^^^^^ `POST /` leads to every stream, past all routes
hint: add aws = false; or aws = true, if that is meant"#,
    );
    for meant in [
        "",
        "native = false",
        "native = false\ngateway = false\naws = false",
        "native = false\ngateway = false\naws = true",
    ] {
        check_warnings(&with(meant), "");
    }
}

#[test]
fn an_auth_block_that_nobody_asks_is_doubtful_and_its_plans_are_not() {
    check_warnings(
        r#"
[http.local]
listen = "127.0.0.1:8080"
[stream.a]
destinations = ["d"]
[destination.d]
type = "directory"
path = "out"
[auth.keys]
type = "api_key"
file = "k"
[plan.p]
rate = "1/s"
"#,
        r#"
warning: no listener asks auth `keys`
 --> /etc/weir/weir.toml:8:7
  |
8 | [auth.keys]
  |       ^^^^ not used
hint: name it in the `auth` of a listener, or take it out"#,
    );
}

#[test]
fn a_plan_that_limits_nothing_is_doubtful() {
    check_warnings(
        r#"
[http.local]
listen = "127.0.0.1:8080"
auth = "keys"
[stream.a]
destinations = ["d"]
[destination.d]
type = "directory"
path = "out"
[auth.keys]
type = "api_key"
file = "k"
plan = "p"
[plan.p]
"#,
        r#"
warning: [plan.p] limits nothing
  --> /etc/weir/weir.toml:13:1
   |
13 | [plan.p]
   | ^^^^^^^^ neither rate nor quota
hint: for example: rate = "500/s""#,
    );
}

#[test]
fn a_stream_that_nothing_feeds_is_doubtful() {
    check_warnings(
        r#"
[tail.t]
include = "x"
stream = "a"
[stream.a]
destinations = ["d"]
[destination.d]
type = "directory"
path = "out"
[stream.b]
destinations = ["d"]
"#,
        r#"
warning: nothing feeds stream `b`
 --> /etc/weir/weir.toml:9:1
  |
9 | [stream.b]
  | ^^^^^^^^^^ no tail, and no listener
hint: add an [http.NAME], or a [tail.NAME] with this stream"#,
    );
}

#[test]
fn records_that_a_destination_cannot_take_are_doubtful() {
    check_warnings(
        r#"
[http.local]
listen = "127.0.0.1:8080"
[stream.a]
destinations = ["d"]
[destination.d]
type = "directory"
path = "out"
[stream.b]
destinations = ["d", "k", "f"]
max_record = "2 MiB"
[destination.k]
type = "kinesis"
stream_name = "x"
[destination.f]
type = "firehose"
delivery_stream = "x"
"#,
        r#"
warning: `max_record` is 2 MiB, but destination `k` takes at most 1 MiB
  --> /etc/weir/weir.toml:10:14
   |
10 | max_record = "2 MiB"
   |              ^^^^^^^ larger ones may become dead letters
hint: set it to "1 MiB", so that senders are told

warning: `max_record` is 2 MiB, but destination `f` takes at most 1023999 B
  --> /etc/weir/weir.toml:10:14
   |
10 | max_record = "2 MiB"
   |              ^^^^^^^ larger ones may become dead letters
hint: set it to "1023999 B", so that senders are told"#,
    );
}

#[test]
fn much_memory_for_records_under_way_is_doubtful() {
    check_warnings(
        r#"
[http.local]
listen = "127.0.0.1:8080"
[stream.a]
destinations = ["d"]
[destination.d]
type = "directory"
path = "out"
in_flight_bytes = "300 MiB"
[stream.b]
destinations = ["d"]
"#,
        r#"
warning: records under way may take 600.0 MiB of memory, over all streams and destinations
 --> /etc/weir/weir.toml:5:14
  |
5 | [destination.d]
  |              ^ the largest of them
hint: lower `in_flight_bytes`"#,
    );
}

#[test]
fn a_tail_of_our_own_objects_is_doubtful() {
    check_warnings(
        r#"
[http.local]
listen = "127.0.0.1:8080"
[stream.a]
destinations = ["d"]
[destination.d]
type = "directory"
path = "out"
[tail.u]
include = "/etc/weir/**"
exclude = "out/**"
stream = "a"
[tail.t]
include = ["/etc/weir/out/**/*.ndjson", "/etc/weir/**/*.ndjson", "/etc/weir/*.log"]
stream = "a"
"#,
        r#"
warning: `include` covers what destination `d` writes
  --> /etc/weir/weir.toml:13:12
   |
13 | include = ["/etc/weir/out/**/*.ndjson", "/etc/weir/**/*.ndjson", "/etc/weir/*.log"]
   |            ^^^^^^^^^^^^^^^^^^^^^^^^^^^ records may go round in circles
hint: leave it out: exclude = ["/etc/weir/out/**"]

warning: `include` covers what destination `d` writes
  --> /etc/weir/weir.toml:13:41
   |
13 | include = ["/etc/weir/out/**/*.ndjson", "/etc/weir/**/*.ndjson", "/etc/weir/*.log"]
   |                                         ^^^^^^^^^^^^^^^^^^^^^^^ records may go round in circles
hint: leave it out: exclude = ["/etc/weir/out/**"]"#,
    );
}

#[test]
fn queues_larger_than_the_disk_are_doubtful_and_as_large_as_it_are_not() {
    let file = |first: &str| {
        format!(
            r#"
state_dir = "/small/weir"
[http.local]
listen = "127.0.0.1:8080"
[stream.a]
destinations = ["d"]
queue.max_bytes = "{first}"
[stream.b]
destinations = ["d"]
[destination.d]
type = "directory"
path = "out"
"#
        )
    };
    check_warnings(&file("7 GiB"), "");
    check_warnings(
        &file("7169 MiB"),
        r#"
warning: the queues may take 8.0 GiB, but the disk of `state_dir` holds 8.0 GiB
 --> /etc/weir/weir.toml:6:19
  |
6 | queue.max_bytes = "7169 MiB"
  |                   ^^^^^^^^^^ the largest of them
hint: lower `queue.max_bytes`; else `queue.min_free_disk` is what stops them, all at once"#,
    );
}
