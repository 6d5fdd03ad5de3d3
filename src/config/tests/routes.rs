//! Routes: as they are read, and as what is wrong with them is told.

use crate::config::Config;
use crate::source::http::{RouteSettings, Thanks};

use super::support::{check, sound};

const REST: &str =
    "[stream.a]\ndestinations = [\"d\"]\n[destination.d]\ntype = \"directory\"\npath = \"out\"\n";

fn with(text: &str) -> Config {
    sound(&format!(
        "[http.x]\nlisten = \"127.0.0.1:1\"\n[http.y]\nlisten = \"127.0.0.1:2\"\n{text}\n{REST}"
    ))
    .config
}

#[test]
fn a_route_is_served_where_it_says_or_everywhere() {
    let config = with(
        "[route.all]\npath = \"/all\"\nstream = \"a\"\n\
         [route.one]\npath = \"/one/{b}\"\nmethod = [\"PUT\", \"ANY\"]\nstream = \"a\"\nhttp = \"y\"\n\
         auth = []\njson_array = \"split\"\nstatus = 200\nbody = \"ok\"",
    );

    let all = RouteSettings {
        name: "all".into(),
        methods: vec!["POST".into()],
        path: "/all".into(),
        stream: "a".into(),
        auth: None,
        plan: None,
        split_arrays: false,
        thanks: Thanks { status: 202, body: None },
        treatment: None,
    };
    let one = RouteSettings {
        name: "one".into(),
        methods: vec!["PUT".into(), "ANY".into()],
        path: "/one/{b}".into(),
        stream: "a".into(),
        auth: Some(vec![]),
        plan: None,
        split_arrays: true,
        thanks: Thanks { status: 200, body: Some("ok".into()) },
        treatment: None,
    };
    assert_eq!(config.http[0].routes, std::slice::from_ref(&all));
    assert_eq!(config.http[1].routes, [all, one]);
}

#[test]
fn routes_that_cannot_be_served_are_told() {
    check(WRONG, TOLD);
}

const WRONG: &str = r#"
[http.x]
listen = "0.0.0.0:1"
auth = "keys"
[auth.keys]
type = "api_key"
file = "k"
[route.a]
path = "/in/{device}"
stream = "s"
[route.b]
path = "/in/{other}"
stream = "s"
[route.c]
path = "/v1/streams/mine"
stream = "s"
[route.d]
path = "/open"
stream = "s"
auth = []
[route.e]
path = "in"
method = "post"
stream = "none"
[route.f]
path = "/f"
stream = "s"
status = 203
[route.g]
path = "/g"
stream = "s"
status = 204
body = "x"
[stream.s]
destinations = ["d"]
[destination.d]
type = "directory"
path = "out"
"#;

const TOLD: &str = r#"
error: `/in/{other}` takes the same requests as POST /in/{device}, which is route `a`
  --> /etc/weir/weir.toml:11:8
   |
11 | path = "/in/{other}"
   |        ^^^^^^^^^^^^^ taken
hint: give one of them another path, method or listener

error: `/v1/streams/mine` is hidden by the fixed paths of [http.x]
  --> /etc/weir/weir.toml:14:8
   |
14 | path = "/v1/streams/mine"
   |        ^^^^^^^^^^^^^^^^^^ never reached
hint: choose another path, or set native = false or gateway = false there

error: [route.d] would be open to the network: [http.x] listens on 0.0.0.0:1
  --> /etc/weir/weir.toml:17:8
   |
17 | path = "/open"
   |        ^^^^^^^ not loopback, and no `auth`
hint: name who may come in, like auth = ["keys"], or name other listeners in `http`

error: `in` should begin with `/`
  --> /etc/weir/weir.toml:21:8
   |
21 | path = "in"
   |        ^^^^ not a path
hint: for example: path = "/ingest/{device}/events"

error: `post` is no method of HTTP
  --> /etc/weir/weir.toml:22:10
   |
22 | method = "post"
   |          ^^^^^^ not a method
hint: in capitals, like POST, or ANY for all

error: route `e` leads to `none`, but there is no [stream.none]
  --> /etc/weir/weir.toml:23:10
   |
23 | stream = "none"
   |          ^^^^^^ no [stream.none]
hint: in this file: `s`

error: `status` is 203, which says that somebody else changed the answer
  --> /etc/weir/weir.toml:27:10
   |
27 | status = 203
   |          ^^^ not 200, 201, 202 or 204
hint: leave the line out for the default: status = 202

error: `body` stands with `status` 204, which has none
  --> /etc/weir/weir.toml:32:8
   |
32 | body = "x"
   |        ^^^ never sent
hint: take it out, or set status = 200

8 problems in /etc/weir/weir.toml; nothing was started"#;
