//! The pictures of the manual: an agent of a small plant, two minutes into its day.

use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tokio::runtime::Runtime;

use super::{look, upstream};
use crate::support::agent::Agent;
use crate::support::peers::REGION;
use crate::support::scratch::Scratch;

/// How long traffic goes on before a picture is taken.
const SECONDS: u32 = 100;

fn config(scratch: &Scratch, url: &str) -> String {
    let logs = scratch.folder("logs");
    let cloud = |name: &str, more: &str| {
        format!("[destination.{name}]\nregion = \"{REGION}\"\nendpoint_url = \"{url}\"\n{more}\n")
    };
    format!(
        r#"
        [http.local]
        listen = "127.0.0.1:0"
        [http.plant]
        listen = "127.0.0.1:0"
        [tail.nginx]
        include = ["{logs}/*.log"]
        stream = "access"
        start_at = "beginning"
        [stream.telemetry]
        destinations = ["telemetry-kinesis", "archive"]
        queue = {{ max_bytes = "128 MiB" }}
        [stream.access]
        destinations = ["access-to-s3"]
        [stream.audit]
        destinations = ["audit-kinesis"]
        queue = {{ max_bytes = "32 MiB" }}
        [destination.archive]
        type = "directory"
        path = "archive"
        {}{}{}
        "#,
        cloud("telemetry-kinesis", "type = \"kinesis\"\nstream_name = \"telemetry\""),
        cloud(
            "access-to-s3",
            "type = \"firehose\"\ndelivery_stream = \"access-to-s3\"\nlinger = \"2 s\""
        ),
        cloud("audit-kinesis", "type = \"kinesis\"\nstream_name = \"audit\""),
        logs = logs.display(),
    )
}

/// Rises and falls, as traffic does.
fn bring_traffic(agent: &Agent, scratch: &Scratch, is_over: &AtomicBool) {
    let (local, plant) = (agent.client("local"), agent.client("plant"));
    let log = scratch.join("logs/access.log");
    let mut log = std::fs::File::options().create(true).append(true).open(log).unwrap();
    let mut turn = 0_u32;
    while !is_over.load(Ordering::Relaxed) {
        let wave = (f64::from(turn) / 37.0).sin() + (f64::from(turn) / 11.0).cos() / 3.0;
        let count = 20 + (1..=24).filter(|step| f64::from(*step) / 12.0 < wave + 1.0).count();
        let lines: Vec<String> = (0..count)
            .map(|n| {
                format!(
                    "{{\"device\":\"gw-{}\",\"celsius\":{},\"turn\":{turn}}}",
                    n % 7,
                    20 + n % 9
                )
            })
            .collect();
        local.post_lines("telemetry", &lines).unwrap();
        if turn.is_multiple_of(3) {
            plant.post_lines("telemetry", &lines[..7]).unwrap();
        }
        if turn.is_multiple_of(5) {
            local.post("audit", b"{\"actor\":\"ada\",\"did\":\"login\"}").unwrap();
        }
        if turn % 150 == 40 {
            let bad = format!("poison {{\"device\":\"gw-4\",\"celsius\":null,\"turn\":{turn}}}");
            local.post("telemetry", bad.as_bytes()).unwrap();
        }
        for line in 0..count / 2 {
            writeln!(log, "10.0.0.{line} - - \"GET /item/{turn} HTTP/1.1\" 200 5123").unwrap();
        }
        turn += 1;
        thread::sleep(Duration::from_millis(200));
    }
}

pub(super) fn take(folder: &Path) {
    let runtime = Runtime::new().unwrap();
    let (fake, _) = upstream(&runtime);
    let scratch = Scratch::new("dashboard-pictures");
    let agent = Agent::start(&scratch, &config(&scratch, &fake.url()));
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| bring_traffic(&agent, &scratch, &is_over));
        thread::sleep(Duration::from_secs(5));
        look(&scratch, &agent, &["pictures", folder.to_str().unwrap(), &SECONDS.to_string()]);
        is_over.store(true, Ordering::Relaxed);
    });
}
