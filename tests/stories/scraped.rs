//! Numbers for others: a thousand collectors at once, and dashboards that name only what there is.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::support::PATIENCE;
use crate::support::agent::{Agent, ORDERS_TO_ARCHIVE, configure, orders_to_kinesis, weir};
use crate::support::books::Books;
use crate::support::fake_upstream::FakeUpstream;
use crate::support::scratch::Scratch;

const COLLECTORS: usize = 1_000;
/// Connections that the admin listener serves at once, and a few files that are opened meanwhile.
const FILES_MORE: usize = 64 + 32;

fn open_files(agent: &Agent) -> usize {
    fs::read_dir(format!("/proc/{}/fd", agent.pid())).unwrap().count()
}

async fn scrape(address: String) -> String {
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let request = format!("GET /metrics HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[test]
fn a_thousand_scrapes_at_once_are_all_answered_and_the_agent_works_on() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    let scratch = Scratch::new("scraped");
    let agent = Agent::start(&scratch, ORDERS_TO_ARCHIVE);
    let client = agent.client("local");
    assert_eq!(client.post("orders", b"first").unwrap().status, 202);
    let (files, bytes) = (open_files(&agent), agent.resident_bytes());
    let address = agent.admin_address().to_owned();

    let runtime = Runtime::new().unwrap();
    let mut scrapes = JoinSet::new();
    for _ in 0..COLLECTORS {
        scrapes.spawn_on(scrape(address.clone()), runtime.handle());
    }
    let mut most = 0;
    for _ in 0..20 {
        assert_eq!(client.post("orders", b"meanwhile").unwrap().status, 202);
        most = most.max(open_files(&agent));
    }
    let answers = runtime.block_on(async { timeout(PATIENCE, scrapes.join_all()).await }).unwrap();

    for answer in &answers {
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(answer.ends_with("# EOF\n"), "{answer}");
    }
    assert_eq!(answers.len(), COLLECTORS);
    assert!(most <= files + FILES_MORE, "{most} open files, {files} before");
    let grown = agent.resident_bytes().saturating_sub(bytes) >> 20;
    assert!(grown < 64, "{grown} MiB more");
    let file = configure(&scratch, ORDERS_TO_ARCHIVE).display().to_string();
    weir(&scratch, &["status", "--live", "-c", &file]).succeeded();
    assert_eq!(Books::settled(&agent).row("orders", "archive").delivered, 21);
    assert_eq!(agent.terminate().code(), Some(0));
}

/// Every `weir_…` in a text.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let words = text.split(|c| !is_name(c)).filter(|word| word.starts_with("weir_"));
    words.map(str::to_owned).collect()
}

#[test]
fn the_grafana_dashboard_and_the_alert_rules_name_only_metrics_that_there_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    let dashboard = read("packaging/grafana/weir.json");
    let parsed: Value = serde_json::from_str(&dashboard).unwrap();
    let panels = parsed["panels"].as_array().unwrap();
    let manual = metrics_in(&read("docs/METRICS.md"));
    let runtime = Runtime::new().unwrap();
    let fake = runtime.block_on(FakeUpstream::start());
    // Some numbers are there only once there is something to count.
    fake.poisoned_by(|sent| sent.data == b"poison");
    let scratch = Scratch::new("grafana");
    let logs = scratch.join("logs");
    fs::create_dir_all(&logs).unwrap();
    let tail = format!("[tail.log]\ninclude = [\"{}/*.log\"]\nstream = \"orders\"", logs.display());
    let config = orders_to_kinesis(&fake.url(), "");
    let agent = Agent::start(&scratch, &format!("{config}\n{tail}"));
    let client = agent.client("local");
    assert_eq!(client.post("orders", b"first").unwrap().status, 202);
    assert_eq!(client.post("orders", b"poison").unwrap().status, 202);
    assert_eq!(client.post("nowhere", b"x").unwrap().status, 404);
    Books::settled(&agent);
    let scraped = metrics_in(&agent.metrics());

    let mut named = BTreeSet::new();
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{panel}");
        assert!(panel["title"].is_string() && panel["gridPos"]["w"].is_u64(), "{panel}");
        for target in targets {
            named.extend(metrics_in(target["expr"].as_str().unwrap()));
        }
    }
    assert!(named.len() > 20, "{named:?}");
    // The rules are also of certificates, which this agent has none of.
    let rules = metrics_in(&read("packaging/prometheus/alerts.yaml"));
    for name in named.union(&rules) {
        let series = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let family = series.unwrap_or(name);
        assert!(manual.contains(family), "docs/METRICS.md does not know {name}");
        // A family without a series yet stands in its TYPE line, without the ending of a counter.
        let is_there =
            scraped.contains(family) || scraped.contains(family.trim_end_matches("_total"));
        assert!(is_there || !named.contains(name), "no scrape has {name}");
    }
    assert_eq!(agent.terminate().code(), Some(0));
}

/// A queue that a hanging collector sits on is no queue: it is let go.
#[test]
fn collectors_that_say_nothing_do_not_keep_others_out() {
    let scratch = Scratch::new("scraped-silent");
    let agent = Agent::start(&scratch, ORDERS_TO_ARCHIVE);
    let address = agent.admin_address().to_owned();

    let runtime = Runtime::new().unwrap();
    let answer = runtime.block_on(async {
        let mut silent = Vec::new();
        for _ in 0..64 {
            let mut stream = TcpStream::connect(&address).await.unwrap();
            stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: ").await.unwrap();
            silent.push(stream);
        }
        // A head has ten seconds; this is asked while all places are taken.
        timeout(PATIENCE.max(Duration::from_secs(60)), scrape(address)).await.unwrap()
    });

    assert!(answer.ends_with("# EOF\n"), "{answer}");
    assert_eq!(agent.terminate().code(), Some(0));
}
