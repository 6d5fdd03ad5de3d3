//! The door over a real socket: pages, actions, and what a browser may not do.

use std::sync::Mutex;

use hyper::Method;
use serde_json::{Value, json};

use super::*;
use crate::base::http_call::{Call, Reply, call};
use crate::base::shutdown::{self, Stop};

struct Open {
    target: String,
    unready: Arc<Mutex<Vec<String>>>,
    orders: Arc<Mutex<Vec<Value>>>,
    stop: Stop,
    served: tokio::task::JoinHandle<Result<(), String>>,
}

async fn open() -> Open {
    let bound = bind(Settings { listen: "127.0.0.1:0".parse().unwrap() }).await.unwrap();
    let target = format!("http://{}", bound.address());
    let unready: Arc<Mutex<Vec<String>>> = Arc::default();
    let orders: Arc<Mutex<Vec<Value>>> = Arc::default();
    let (reasons, seen) = (unready.clone(), orders.clone());
    let views = Views {
        status: Arc::new(|| json!({ "streams": [] })),
        unready: Arc::new(move || reasons.lock().unwrap().clone()),
        held: Arc::new(|| vec!["access to cloud (auth): mend it".into()]),
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

    let reply = open.ask(Method::GET, "/", &[], "").await;
    assert_eq!((reply.status, slug(&reply)), (404, "unknown-path".into()));
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
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let address = open.target.strip_prefix("http://").unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("{first} HTTP/1.1\r\n{lines}connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text.split(' ').nth(1).unwrap().parse().unwrap()
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
    assert_eq!(raw(&open, "GET /metrics", "host: collector.example\r\n").await, 200);
    assert!(open.orders.lock().unwrap().is_empty());
}
