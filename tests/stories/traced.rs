//! A caller's trace goes through weir and on: given back, in the log, and as spans at a collector that
//! may be away without anybody waiting for it.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::support::agent::{Agent, ORDERS_TO_ARCHIVE, configure, weir};
use crate::support::books::Books;
use crate::support::scratch::Scratch;
use crate::support::tls_peer::{ALWAYS, Authority, TlsFront};
use crate::support::wait_for;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A collector of OpenTelemetry that keeps what it is handed, and answers with this status.
struct Collector {
    runtime: Runtime,
    url: String,
    status: Arc<Mutex<u16>>,
    /// What whoever hands something over must show in `authorization`.
    wants: Arc<Mutex<Option<String>>>,
    taken: Arc<Mutex<Vec<Value>>>,
}

impl Collector {
    fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let status = Arc::new(Mutex::new(200));
        let taken: Arc<Mutex<Vec<Value>>> = Arc::default();
        let wants: Arc<Mutex<Option<String>>> = Arc::default();
        let (answers, keeps, asks) = (status.clone(), taken.clone(), wants.clone());
        let export = move |headers: axum::http::HeaderMap, body: Bytes| async move {
            assert_eq!(headers[CONTENT_TYPE], "application/json");
            let shown = headers.get(AUTHORIZATION).map(|shown| shown.to_str().unwrap());
            let wanted = asks.lock().unwrap().clone();
            let is_known = wanted.is_none_or(|wanted| shown == Some(&wanted));
            let status = if is_known { *answers.lock().unwrap() } else { 401 };
            if status == 200 {
                keeps.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
            }
            (StatusCode::from_u16(status).unwrap(), axum::Json(json!({})))
        };
        let app = Router::new().route("/v1/traces", post(export));
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        runtime.spawn(async move { axum::serve(listener, app).await });
        Self { runtime, url, status, wants, taken }
    }

    fn spans(&self) -> Vec<Value> {
        let mut all = Vec::new();
        for request in &*self.taken.lock().unwrap() {
            for of_resource in request["resourceSpans"].as_array().unwrap() {
                check_attributes(&of_resource["resource"]["attributes"]);
                for scope in of_resource["scopeSpans"].as_array().unwrap() {
                    assert_eq!(scope["scope"]["name"], "weir");
                    all.extend(scope["spans"].as_array().unwrap().iter().cloned());
                }
            }
        }
        all.iter().for_each(check_span);
        all
    }

    /// The first span of this name that comes in a trace.
    #[track_caller]
    fn span(&self, trace: Option<&str>, name: &str) -> Value {
        wait_for(name, || {
            let fits = |span: &Value| {
                let of_trace = trace.is_none_or(|trace| span["traceId"] == trace);
                of_trace && span["name"].as_str().unwrap().starts_with(name)
            };
            self.spans().into_iter().find(fits)
        })
    }
}

/// A span as the JSON form of OTLP has it.
fn check_span(span: &Value) {
    let is_hex = |key: &str, digits: usize| {
        let text = span[key].as_str().unwrap_or_else(|| panic!("{key}: {span}"));
        let digit = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        assert!(text.len() == digits && text.chars().all(digit), "{key}: {span}");
        assert!(text.chars().any(|c| c != '0'), "{key}: {span}");
    };
    is_hex("traceId", 32);
    is_hex("spanId", 16);
    if span.get("parentSpanId").is_some() {
        is_hex("parentSpanId", 16);
    }
    let nanos = |key: &str| span[key].as_str().unwrap().parse::<u64>().unwrap();
    let (begun, ended) = (nanos("startTimeUnixNano"), nanos("endTimeUnixNano"));
    assert!(begun > 1_700_000_000_000_000_000 && begun <= ended, "{span}");
    assert!((1..=5).contains(&span["kind"].as_u64().unwrap()), "{span}");
    assert!(span["status"].is_object(), "{span}");
    check_attributes(&span["attributes"]);
}

fn check_attributes(all: &Value) {
    for one in all.as_array().unwrap() {
        assert!(!one["key"].as_str().unwrap().is_empty(), "{one}");
        let value = one["value"].as_object().unwrap();
        let (kind, worth) = value.iter().next().unwrap();
        let fits = match kind.as_str() {
            "stringValue" => worth.is_string(),
            // Numbers of 64 bits are texts in JSON.
            "intValue" => worth.as_str().is_some_and(|text| text.parse::<i64>().is_ok()),
            _ => false,
        };
        assert!(fits && value.len() == 1, "{one}");
    }
}

fn attribute<'a>(span: &'a Value, key: &str) -> &'a Value {
    let mut all = span["attributes"].as_array().unwrap().iter();
    let one = all.find(|one| one["key"] == key).unwrap_or_else(|| panic!("{key}: {span}"));
    one["value"].as_object().unwrap().values().next().unwrap()
}

fn config(endpoint: &str, sample: u32) -> String {
    format!(
        "log = {{ level = \"debug\" }}\n\
         traces = {{ endpoint = \"{endpoint}\", sample_percent = {sample} }}\n{ORDERS_TO_ARCHIVE}"
    )
}

#[test]
fn a_callers_trace_goes_on_through_request_commit_and_answer() {
    let scratch = Scratch::new("traced");
    let collector = Collector::start();
    let agent = Agent::start(&scratch, &config(&collector.url, 0));
    let client = agent.client("local");

    let headers = [("traceparent", PARENT), ("tracestate", "vendor=a")];
    let answer = client.post_with("orders", b"one", &headers).unwrap();
    assert_eq!(answer.status, 202);
    let back = answer.header("traceparent").unwrap().to_owned();
    assert!(back.starts_with(&format!("00-{TRACE}-")) && back != PARENT, "{back}");
    assert_eq!(answer.header("tracestate"), Some("vendor=a"));

    let request = collector.span(Some(TRACE), "POST ");
    assert_eq!(
        (&request["parentSpanId"], &request["kind"]),
        (&"00f067aa0ba902b7".into(), &2.into())
    );
    assert_eq!(request["traceState"], "vendor=a");
    assert!(back.contains(request["spanId"].as_str().unwrap()), "{back}: {request}");
    assert_eq!(attribute(&request, "http.response.status_code"), "202");
    assert_eq!(attribute(&request, "url.path"), "/v1/streams/orders");
    let commit = collector.span(Some(TRACE), "commit");
    assert_eq!(commit["parentSpanId"], request["spanId"]);
    assert_eq!(attribute(&commit, "weir.stream"), "orders");
    assert!(agent.log().lines().any(|line| line.contains("answered") && line.contains(TRACE)));

    // X-Ray's form, and a caller who does not keep the trace: weir keeps none of it either.
    let xray = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0";
    let answer = client.post_with("orders", b"two", &[("x-amzn-trace-id", xray)]).unwrap();
    assert_eq!((answer.status, answer.header("x-amzn-trace-id")), (202, Some(xray)));
    // What is no context is passed over.
    for wrong in ["00-x", "", &PARENT.to_uppercase(), &format!("{PARENT}-"), &"x".repeat(4_000)] {
        let headers = [("traceparent", wrong), ("x-amzn-trace-id", wrong), ("tracestate", wrong)];
        let answer = client.post_with("orders", b"three", &headers).unwrap();
        assert_eq!(answer.status, 202, "{wrong}");
        assert_eq!(answer.header("traceparent"), None, "{wrong}");
        assert_eq!(answer.header("tracestate"), None, "{wrong}");
    }
    Books::settled(&agent);
    assert_eq!(agent.terminate().code(), Some(0));
    assert_eq!(collector.spans().len(), 2, "nothing else was to be kept");
}

#[test]
fn every_batch_is_a_span_and_a_collector_that_is_away_holds_up_nothing() {
    let scratch = Scratch::new("traced-away");
    let collector = Collector::start();
    *collector.status.lock().unwrap() = 400;
    let agent = Agent::start(&scratch, &config(&collector.url, 100));
    let client = agent.client("local");
    let count = |result: &str| {
        let name = format!("weir_trace_spans_total{{result=\"{result}\"}} ");
        let metrics = agent.metrics();
        let line = metrics.lines().find(|line| line.starts_with(&name)).unwrap();
        line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };

    assert_eq!(client.post("orders", b"one").unwrap().status, 202);
    Books::settled(&agent);
    let dropped = wait_for("spans that nobody takes", || Some(count("dropped")).filter(|n| *n > 0));
    client.post("orders", b"two").unwrap();
    wait_for("more of them", || (count("dropped") > dropped).then_some(()));
    let away =
        |log: &str| log.lines().filter(|line| line.contains("cannot be handed over")).count();
    assert_eq!(away(&agent.log()), 1, "it is told once");

    *collector.status.lock().unwrap() = 200;
    client.post("orders", b"three").unwrap();
    let sent = collector.span(None, "send archive");
    assert_eq!((&sent["kind"], &sent["parentSpanId"]), (&4.into(), &Value::Null));
    assert_eq!(attribute(&sent, "weir.destination"), "archive");
    wait_for("word that it is back", || {
        agent.log().contains("traces are handed over again").then_some(())
    });
    assert!(count("exported") > 0);
    // What is under way goes with the last breath.
    client.post("orders", b"four").unwrap();
    assert_eq!(agent.terminate().code(), Some(0));
    let requests = collector.spans();
    let requests = requests.iter().filter(|span| span["kind"] == 2).count();
    assert!(requests >= 2, "{requests}");
}

/// Over TLS, with a certificate of an authority that only this collector has.
#[test]
fn a_collector_is_shown_a_secret_which_may_be_exchanged_while_weir_runs() {
    let scratch = Scratch::new("traced-shown");
    let collector = Collector::start();
    *collector.wants.lock().unwrap() = Some("Bearer new-9d41".to_owned());
    let authority = Authority::new("collectors");
    let issued = authority.issue("localhost", ALWAYS);
    let before = collector.url.trim_start_matches("http://").parse().unwrap();
    let front = collector.runtime.block_on(TlsFront::start(&issued, before));
    let ca = scratch.write("ca.pem", &authority.pem).display().to_string();
    let shown = scratch.write("shown", "Bearer old-3c07\n").display().to_string();
    let config = format!(
        "traces = {{ endpoint = \"https://localhost:{}\", ca_bundle = {ca:?}, sample_percent = 100, \
         headers = {{ Authorization = \"file:{shown}\" }} }}\n{ORDERS_TO_ARCHIVE}",
        front.address.port()
    );
    let agent = Agent::start(&scratch, &config);
    let client = agent.client("local");

    client.post("orders", b"one").unwrap();
    let told = wait_for("word that it is not let in", || {
        agent.log().lines().find(|line| line.contains("cannot be handed over")).map(str::to_owned)
    });
    assert!(told.contains("it answered 401") && !told.contains("old-3c07"), "{told}");
    // Nothing but the secret changes, and nobody tells weir.
    scratch.write("shown", "Bearer new-9d41\n");
    client.post("orders", b"two").unwrap();
    collector.span(None, "POST ");
    wait_for("word that it is let in", || {
        agent.log().contains("traces are handed over again").then_some(())
    });

    // What the file holds is no change of the configuration; another header is one, after a restart.
    let reload = || {
        let file = scratch.join("weir.toml").display().to_string();
        weir(&scratch, &["reload", "--config", &file]).succeeded()
    };
    scratch.write("shown", "Bearer newer-77aa\n");
    assert_eq!(reload(), "nothing changed\n");
    configure(&scratch, &config.replace("Authorization", "x-api-key"));
    assert!(reload().ends_with("not in force before a restart: traces\n"));
    assert_eq!(agent.terminate().code(), Some(0));
}
