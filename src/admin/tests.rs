//! The door over a real socket: pages, actions, and what a browser may not do.

use std::sync::Mutex;

use hyper::Method;
use serde_json::{Value, json};

use super::*;
use crate::admission::keys;
use crate::base::disk::RealDisk;
use crate::base::http_call::{Call, Reply, call};
use crate::base::scratch::Scratch;
use crate::base::shutdown::{self, Stop};

struct Open {
    target: String,
    unready: Arc<Mutex<Vec<String>>>,
    orders: Arc<Mutex<Vec<Value>>>,
    stop: Stop,
    served: tokio::task::JoinHandle<Result<(), String>>,
}

async fn open() -> Open {
    open_at("127.0.0.1:0", None).await
}

async fn open_at(listen: &str, key_file: Option<PathBuf>) -> Open {
    let settings = Settings { listen: listen.parse().unwrap(), key_file };
    let bound = bind(settings, Arc::new(RealDisk), Clock::real()).await.unwrap();
    let target = format!("http://127.0.0.1:{}", bound.address().port());
    let unready: Arc<Mutex<Vec<String>>> = Arc::default();
    let orders: Arc<Mutex<Vec<Value>>> = Arc::default();
    let (reasons, seen, purged) = (unready.clone(), orders.clone(), orders.clone());
    let views = Views {
        status: Arc::new(|| json!({ "streams": [] })),
        unready: Arc::new(move || reasons.lock().unwrap().clone()),
        held: Arc::new(|| vec!["access to cloud (auth): mend it".into()]),
        letters: Arc::new(|asked, content| {
            Box::pin(async move { Ok(json!([asked, content == Content::Shown])) })
        }),
        purge: Arc::new(move |order| {
            purged.lock().unwrap().push(order);
            Box::pin(async { Ok(json!({ "letters": 1 })) })
        }),
        replay: Arc::new(move |order| {
            seen.lock().unwrap().push(order.clone());
            Box::pin(async move {
                match order.get("stream") {
                    Some(_) => Ok(json!({ "replayed": 3 })),
                    None => Err("there is no `stream`; nothing was replayed".to_owned()),
                }
            })
        }),
    };
    let (stop, stopping) = shutdown::channel();
    #[expect(clippy::disallowed_methods, reason = "the test awaits it")]
    let served = tokio::spawn(bound.serve(views, Metrics::default(), stopping));
    Open { target, unready, orders, stop, served }
}

impl Open {
    async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let mut asked = Call::new(method, path, body.to_owned());
        for (name, value) in headers {
            let name: hyper::header::HeaderName = name.parse().unwrap();
            asked.headers.insert(name, value.parse().unwrap());
        }
        call(&self.target, asked).await.unwrap()
    }

    async fn check(&self, method: Method, path: &str, status: u16, body: &str) -> Reply {
        let reply = self.ask(method, path, &[], "").await;
        let text = String::from_utf8_lossy(&reply.body);
        assert_eq!((reply.status, text.as_ref()), (status, body), "{path}");
        reply
    }
}

fn slug(reply: &Reply) -> String {
    let problem: Value = serde_json::from_slice(&reply.body).unwrap();
    let kind = problem["type"].as_str().unwrap();
    kind.strip_prefix("urn:weir:problem:").unwrap().to_owned()
}

const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn the_pages_answer_what_they_are_handed_until_it_stops() {
    let open = open().await;

    open.check(Method::GET, "/livez", 200, "live\n").await;
    open.check(Method::GET, "/readyz", 200, "ready\nheld: access to cloud (auth): mend it\n").await;
    open.check(Method::HEAD, "/readyz", 200, "").await;
    let status = open.check(Method::GET, "/status", 200, "{\"streams\":[]}").await;
    assert_eq!(status.header("content-type"), Some("application/json"));
    let metrics = open.check(Method::GET, "/metrics", 200, "# EOF\n").await;
    assert_eq!(metrics.header("content-type"), Some(crate::telemetry::OPENMETRICS_TYPE));
    open.unready.lock().unwrap().push("stopping".into());
    let words = "{\"ready\":false,\"reasons\":[\"stopping\"]}";
    open.check(Method::GET, "/readyz", 503, words).await;

    open.stop.ask();
    open.served.await.unwrap().unwrap();
}

#[tokio::test]
async fn other_paths_and_methods_are_refused() {
    let open = open().await;

    let reply = open.ask(Method::GET, "/ui/other.js", &[], "").await;
    assert_eq!((reply.status, slug(&reply)), (404, "unknown-path".into()));
    let reply = open.ask(Method::POST, "/", &[JSON], "{}").await;
    assert_eq!((reply.status, reply.header("allow")), (405, Some("GET, HEAD")));
    let reply = open.ask(Method::GET, "/dead?limit=many", &[], "").await;
    assert_eq!((reply.status, slug(&reply)), (400, "bad-query".into()));
    let reply = open.ask(Method::POST, "/status", &[], "x").await;
    assert_eq!((reply.status, reply.header("allow")), (405, Some("GET, HEAD")));
    let reply = open.ask(Method::GET, "/dead/replay", &[], "").await;
    assert_eq!((reply.status, reply.header("allow")), (405, Some("POST")));
}

#[tokio::test]
async fn an_order_is_carried_out_and_its_refusal_is_told_in_words() {
    let open = open().await;
    let order = json!({ "stream": "access" });

    for header in [JSON, ("weir-admin", "1"), ("content-type", "Application/JSON; charset=utf-8")] {
        let reply = open.ask(Method::POST, "/dead/replay", &[header], &order.to_string()).await;
        assert_eq!((reply.status, reply.body.as_ref()), (200, b"{\"replayed\":3}".as_ref()));
    }
    let reply = open.ask(Method::POST, "/dead/replay", &[JSON], "{}").await;
    assert_eq!((reply.status, slug(&reply)), (409, "replay-refused".into()));
    assert_eq!(*open.orders.lock().unwrap(), [order.clone(), order.clone(), order, json!({})]);
}

#[tokio::test]
async fn a_malformed_order_reaches_nobody() {
    let open = open().await;
    let fits = format!("\"{}\"", "x".repeat((64 << 10) - 2));
    let large = format!("\"{}\"", "x".repeat((64 << 10) - 1));

    let reply = open.ask(Method::POST, "/dead/replay", &[JSON], "{").await;
    assert_eq!((reply.status, slug(&reply)), (400, "not-json".into()));
    let reply = open.ask(Method::POST, "/dead/replay", &[JSON], &large).await;
    assert_eq!((reply.status, slug(&reply)), (413, "body-too-large".into()));
    assert!(open.orders.lock().unwrap().is_empty());
    let reply = open.ask(Method::POST, "/dead/replay", &[JSON], &fits).await;
    assert_eq!(reply.status, 409);
}

/// What a raw request with these header lines is answered with.
async fn raw(open: &Open, first: &str, lines: &str) -> u16 {
    raw_with(open, first, lines, "").await
}

async fn raw_with(open: &Open, first: &str, lines: &str, body: &str) -> u16 {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let address = open.target.strip_prefix("http://").unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("{first} HTTP/1.1\r\n{lines}connection: close\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text.split(' ').nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_request_that_two_readers_would_take_for_two_things_is_refused() {
    let open = open().await;
    let own = "host: localhost\r\nweir-admin: 1\r\n";
    let order = r#"{"stream":"access"}"#;
    let chunked = format!("{:x}\r\n{order}\r\n0\r\n\r\n", order.len());
    let lines = |lines: &str| format!("{own}{lines}");
    let length = format!("content-length: {}\r\n", order.len());
    for (lines, status) in [
        (lines(&format!("{length}transfer-encoding: chunked\r\n")), 400),
        (lines(&format!("transfer-encoding: chunked\r\n{length}")), 400),
        (lines("transfer-encoding: chunked, chunked\r\n"), 400),
        (lines("transfer-encoding: gzip, chunked\r\n"), 501),
        (lines("host: elsewhere\r\ntransfer-encoding: chunked\r\n"), 400),
        (lines("x-api-key: a\r\nx-api-key: b\r\ntransfer-encoding: chunked\r\n"), 400),
        (lines("authorization: a\r\nauthorization: b\r\ntransfer-encoding: chunked\r\n"), 400),
        (lines("transfer-encoding: chunked\r\n"), 200),
    ] {
        let orders = open.orders.lock().unwrap().len();
        let said = raw_with(&open, "POST /dead/replay", &lines, &chunked).await;
        assert_eq!(said, status, "{lines}");
        let carried_out = open.orders.lock().unwrap().len() - orders;
        assert_eq!(carried_out, usize::from(status == 200), "{lines}");
    }
    assert_eq!(raw(&open, "GET /livez", "").await, 400);
    assert_eq!(raw(&open, "GET /livez", "host: a\r\nhost: a\r\n").await, 400);
    assert_eq!(raw(&open, "GET /livez", "host: a\r\n").await, 200);
}

#[tokio::test]
async fn a_page_in_a_browser_can_neither_order_nor_look() {
    let open = open().await;
    let port = open.target.rsplit(':').next().unwrap();

    for (lines, expected) in [
        (format!("host: 127.0.0.1:{port}\r\n"), 200),
        (format!("host: localhost:{port}\r\n"), 200),
        (format!("host: [::1]:{port}\r\n"), 200),
        (format!("host: localhost:{port}\r\norigin: http://localhost:{port}\r\n"), 200),
        (format!("host: evil.example:{port}\r\n"), 403),
        (format!("host: localhost.evil.example:{port}\r\n"), 403),
        (format!("host: 127.0.0.1:{port}\r\norigin: http://evil.example\r\n"), 403),
        (format!("host: 127.0.0.1:{port}\r\norigin: null\r\n"), 403),
    ] {
        assert_eq!(raw(&open, "GET /status", &lines).await, expected, "{lines}");
    }
    let plain = format!("host: 127.0.0.1:{port}\r\ncontent-type: text/plain\r\n");
    assert_eq!(raw(&open, "POST /dead/replay", &plain).await, 403);
    let none = format!("host: 127.0.0.1:{port}\r\n");
    assert_eq!(raw(&open, "POST /dead/replay", &none).await, 403);
    for (host, expected) in [("collector.example", 403), ("127.0.0.1", 200), ("localhost", 200)] {
        let lines = format!("host: {host}:{port}\r\n");
        assert_eq!(raw(&open, "GET /metrics", &lines).await, expected, "{host}");
    }
    assert!(open.orders.lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_dashboard_may_load_nothing_from_elsewhere_and_be_framed_by_nobody() {
    let open = open().await;

    let page = open.ask(Method::GET, "/", &[], "").await;

    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let policy = page.header("content-security-policy").unwrap();
    for part in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    let status = open.ask(Method::GET, "/status", &[], "").await;
    assert_eq!(status.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(status.header("cross-origin-resource-policy"), Some("same-origin"));
    assert_eq!(status.header("weir-access"), Some("orders"));
}

#[tokio::test]
async fn dead_letters_are_asked_for_and_purged() {
    let open = open().await;

    open.check(Method::GET, "/dead?stream=a&limit=5", 200, r#"[{"limit":5,"stream":"a"},true]"#)
        .await;
    let order = json!({ "id": "x" }).to_string();
    let reply = open.ask(Method::POST, "/dead/purge", &[JSON], &order).await;
    assert_eq!((reply.status, reply.body.as_ref()), (200, b"{\"letters\":1}".as_ref()));
    assert_eq!(*open.orders.lock().unwrap(), [json!({ "id": "x" })]);
    let foreign = ("origin", "http://evil.example");
    let reply = open.ask(Method::POST, "/dead/purge", &[JSON, foreign], &order).await;
    assert_eq!((reply.status, slug(&reply)), (403, "not-from-here".into()));
}

/// A file with a key in it, and the key.
fn key_file(scratch: &Scratch) -> (PathBuf, String) {
    let file = scratch.join("admin-keys.toml");
    let new = keys::NewKey { name: "ada".into(), plan: None, streams: None, expires: None };
    let secret = keys::add(&RealDisk, &Clock::real(), &file, &new).unwrap();
    (file, secret.reveal().to_owned())
}

#[tokio::test]
async fn with_keys_everybody_on_this_host_may_look_and_operators_may_order() {
    let scratch = Scratch::new();
    let (file, secret) = key_file(&scratch);
    let open = open_at("127.0.0.1:0", Some(file)).await;
    let (right, wrong) = (format!("Bearer {secret}"), format!("Bearer {secret}x"));
    let (right, wrong) = (("authorization", right.as_str()), ("authorization", wrong.as_str()));
    let order = json!({ "stream": "access" }).to_string();

    let status = open.ask(Method::GET, "/status", &[], "").await;
    assert_eq!((status.status, status.header("weir-access")), (200, Some("looks")));
    open.check(Method::GET, "/dead", 200, "[{},false]").await;
    for path in ["/dead/replay", "/dead/purge"] {
        for headers in [&[JSON][..], &[JSON, wrong], &[JSON, ("x-api-key", "")]] {
            let reply = open.ask(Method::POST, path, headers, &order).await;
            assert_eq!((reply.status, slug(&reply)), (401, "admin-key-needed".into()));
        }
    }
    assert!(open.orders.lock().unwrap().is_empty());
    let status = open.ask(Method::GET, "/status", &[wrong], "").await;
    assert_eq!(status.status, 401, "who shows a key means to use it");

    let status = open.ask(Method::GET, "/status", &[right], "").await;
    assert_eq!((status.status, status.header("weir-access")), (200, Some("orders")));
    let letters = open.ask(Method::GET, "/dead", &[("x-api-key", &secret)], "").await;
    assert_eq!(letters.body.as_ref(), b"[{},true]");
    let reply = open.ask(Method::POST, "/dead/replay", &[JSON, right], &order).await;
    assert_eq!(reply.status, 200);
    let plain = ("content-type", "text/plain");
    let reply = open.ask(Method::POST, "/dead/replay", &[plain, right], &order).await;
    assert_eq!((reply.status, slug(&reply)), (403, "not-from-here".into()));
}

#[tokio::test]
async fn off_loopback_nobody_sees_more_than_health_without_a_key() {
    let scratch = Scratch::new();
    let (file, secret) = key_file(&scratch);
    let open = open_at("0.0.0.0:0", Some(file)).await;
    let key = ("x-api-key", secret.as_str());

    open.check(Method::GET, "/livez", 200, "live\n").await;
    open.check(Method::GET, "/readyz", 200, "ready\n").await;
    for path in ["/status", "/metrics", "/dead"] {
        let reply = open.ask(Method::GET, path, &[], "").await;
        assert_eq!((reply.status, slug(&reply)), (401, "admin-key-needed".into()), "{path}");
        assert!(reply.header("www-authenticate").unwrap().starts_with("Bearer"));
        assert_eq!(open.ask(Method::GET, path, &[key], "").await.status, 200, "{path}");
    }
    let port = open.target.rsplit(':').next().unwrap();
    let named = format!("host: gateway.example:{port}\r\nx-api-key: {secret}\r\n");
    assert_eq!(raw(&open, "GET /status", &named).await, 200);
}
