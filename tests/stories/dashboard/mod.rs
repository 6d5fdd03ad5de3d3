//! The dashboard in a real browser: read, walked by keyboard, used to replay; light, dark, wide, narrow.
//!
//! `WEIR_PICTURES=docs/images cargo test --test stories -- dashboard` takes the pictures of the manual.

mod pictures;

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::Runtime;

use crate::clients::node_modules;
use crate::support::agent::{Agent, ORDERS_TO_ARCHIVE, configure, weir};
use crate::support::books::Books;
use crate::support::fake_upstream::{Answer, FakeUpstream};
use crate::support::peers::REGION;
use crate::support::scratch::Scratch;
use crate::support::{wait_at_most, wait_for};

/// A whole look takes many steps, each of which may take its time.
const LOOK: Duration = Duration::from_secs(400);

/// The browser ends at the latest with the story.
fn look(scratch: &Scratch, agent: &Agent, arguments: &[&str]) {
    let (stdout, stderr) = (scratch.join("look.out"), scratch.join("look.err"));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/dashboard.mjs");
    let mut child = Command::new("node")
        .arg(script)
        .arg(agent.admin_address())
        .args(arguments)
        .env("WEIR_TEST_CLIENTS", node_modules())
        .stdout(File::create(&stdout).unwrap())
        .stderr(File::create(&stderr).unwrap())
        .spawn()
        .unwrap();
    let ended = wait_at_most(LOOK, || child.try_wait().unwrap());
    if ended.is_none() {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let said = fs::read_to_string(stdout).unwrap();
    let complained = fs::read_to_string(stderr).unwrap();
    assert!(said.ends_with("done\n"), "{ended:?}\n{said}\n{complained}");
}

/// Orders go to a cloud that takes them, and to files; what is audited is refused for its keys.
fn config(scratch: &Scratch, url: &str, more: &str) -> String {
    let logs = scratch.join("logs");
    fs::create_dir_all(&logs).unwrap();
    fs::write(logs.join("app.log"), "first line\nsecond line\n").unwrap();
    let kinesis = |name: &str, stream: &str| {
        format!(
            "[destination.{name}]\ntype = \"kinesis\"\nstream_name = \"{stream}\"\n\
             region = \"{REGION}\"\nendpoint_url = \"{url}\"\nlinger = \"10 ms\"\n"
        )
    };
    format!(
        r#"
        [http.local]
        listen = "127.0.0.1:0"
        [tail.log]
        include = ["{logs}/*.log"]
        stream = "orders"
        start_at = "beginning"
        [stream.orders]
        destinations = ["cloud", "archive"]
        [stream.audit]
        destinations = ["refusing"]
        [destination.archive]
        type = "directory"
        path = "archive"
        object_age = "100 ms"
        {}{}{more}
        "#,
        kinesis("cloud", "orders"),
        kinesis("refusing", "audit"),
        logs = logs.display(),
    )
}

/// An upstream that takes orders, but no poison until it is mended, and nothing that is audited.
fn upstream(runtime: &Runtime) -> (FakeUpstream, Arc<AtomicBool>) {
    let fake = runtime.block_on(FakeUpstream::start());
    let mended = Arc::new(AtomicBool::new(false));
    let is_mended = mended.clone();
    fake.script(move |request| {
        let poisoned = request.records.iter().any(|sent| sent.data.starts_with(b"poison"));
        if request.stream == "audit" {
            Answer::refuse(400, "AccessDeniedException", "it is not for you")
        } else if poisoned && !is_mended.load(Ordering::Relaxed) {
            Answer::refuse(400, "ValidationException", "a record is not valid")
        } else {
            Answer::Take
        }
    });
    (fake, mended)
}

/// Records of each kind, and three dead letters; returns when only the audit waits.
fn bring_traffic(agent: &Agent) {
    let lines: Vec<String> = (0..60)
        .map(|number| match number {
            7 => "poison <img src=x onerror=alert(1)>".into(),
            30 | 50 => format!("poison {number}"),
            _ => format!("{{\"order\":{number}}}"),
        })
        .collect();
    assert_eq!(agent.client("local").post_lines("orders", &lines).unwrap().status, 202);
    assert_eq!(agent.client("local").post("audit", b"{}").unwrap().status, 202);
    wait_for("three dead letters, a hold and the lines of the file", || {
        let books = Books::check(agent);
        let cloud = books.row("orders", "cloud");
        let archive = books.row("orders", "archive");
        let hold = &agent.status()["streams"]["audit"]["destinations"]["refusing"]["hold"];
        let is_read = agent.status()["tails"]["log"][0]["is_delivered"] == true;
        let is_settled = cloud.waiting == 0 && archive.delivered == 62 && cloud.dead == 3;
        (is_settled && is_read && hold["class"] == "auth").then_some(())
    });
}

#[test]
fn it_is_read_walked_by_keyboard_and_replays() {
    if let Some(folder) = std::env::var_os("WEIR_PICTURES") {
        pictures::take(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder));
    }
    let runtime = Runtime::new().unwrap();
    let (fake, mended) = upstream(&runtime);
    let scratch = Scratch::new("dashboard");
    let mut agent = Agent::start(&scratch, &config(&scratch, &fake.url(), ""));
    bring_traffic(&agent);
    mended.store(true, Ordering::Relaxed);

    look(&scratch, &agent, &["look", &agent.pid().to_string()]);

    let status = wait_for("the agent to stop", || agent.ended());
    assert_eq!(status.code(), Some(0));
    let log = agent.log();
    for order in ["/dead/replay", "/dead/purge"] {
        assert!(
            log.lines().any(|line| line.contains("carried out") && line.contains(order)),
            "{order}"
        );
    }
}

#[test]
fn without_an_operators_key_it_only_looks() {
    let runtime = Runtime::new().unwrap();
    let (fake, mended) = upstream(&runtime);
    let scratch = Scratch::new("dashboard-keyed");
    let file = scratch.join("admin-keys.toml").display().to_string();
    let secret = weir(&scratch, &["keys", "add", "ada", "--file", &file]).succeeded();
    let secret = secret.trim();
    let config = config(&scratch, &fake.url(), "");
    let agent = Agent::start_with_admin(&scratch, &config, &format!("key_file = \"{file}\""));
    bring_traffic(&agent);
    mended.store(true, Ordering::Relaxed);

    let file = scratch.join("weir.toml").display().to_string();
    let refused = weir(&scratch, &["dead", "replay", "-c", &file]);
    assert_eq!(refused.code, Some(69), "{refused:?}");
    assert!(refused.stderr.contains("Show a key of `[admin] key_file`"), "{refused:?}");
    look(&scratch, &agent, &["keyed", secret]);
    let key = scratch.write("key", secret).display().to_string();
    let replay = ["dead", "replay", "-c", &file, "--admin-key", &key];
    weir(&scratch, &replay).succeeded();

    assert!(agent.log().contains("\"operator\":\"ada\""));
    assert!(!agent.log().contains(secret), "a key stands in the log");
    assert_eq!(agent.terminate().code(), Some(0));
}

#[test]
fn an_agent_that_nothing_happened_to_yet_has_words_for_it() {
    let scratch = Scratch::new("dashboard-empty");
    let two = r#"
        [http.local]
        listen = "127.0.0.1:0"
        [stream.orders]
        destinations = ["archive", "copy"]
        [destination.archive]
        type = "directory"
        path = "archive"
        [destination.copy]
        type = "directory"
        path = "copy"
        "#;
    let agent = Agent::start(&scratch, two);

    look(&scratch, &agent, &["empty"]);

    assert_eq!(agent.terminate().code(), Some(0));
}

#[test]
fn a_configuration_that_was_refused_and_one_that_takes_a_restart_are_named() {
    let scratch = Scratch::new("dashboard-reloaded");
    let agent = Agent::start(&scratch, ORDERS_TO_ARCHIVE);
    let file = configure(&scratch, ORDERS_TO_ARCHIVE);
    let reload = || weir(&scratch, &["reload", "-c", &file.display().to_string()]);
    let text = fs::read_to_string(&file).unwrap();
    fs::write(
        &file,
        text.replace("[admin]\nlisten = \"127.0.0.1:0\"", "[admin]\nlisten = \"127.0.0.2:0\""),
    )
    .unwrap();
    reload().succeeded();
    fs::write(&file, format!("unknown = 1\n{text}")).unwrap();
    assert_eq!(reload().code, Some(78));

    look(&scratch, &agent, &["reloaded"]);

    assert_eq!(agent.terminate().code(), Some(0));
}
