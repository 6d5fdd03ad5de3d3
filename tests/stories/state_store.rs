//! What `weir status` knows of tailed files outlives a restart; a ruined state store costs nothing.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::support::agent::{Agent, weir};
use crate::support::books::{Books, compare};
use crate::support::log_file::LogFile;
use crate::support::peers::object_lines;
use crate::support::scratch::Scratch;
use crate::support::wait_for;

fn config(scratch: &Scratch, logs: &Path) -> String {
    format!(
        r#"
        [tail.app]
        include = ["{glob}"]
        stream = "logs"
        start_at = "beginning"
        [stream.logs]
        destinations = ["files"]
        [destination.files]
        type = "directory"
        path = {out:?}
        "#,
        glob = LogFile::glob(logs),
        out = scratch.join("out").display().to_string(),
    )
}

/// The one file, once every destination is done with all of it.
#[track_caller]
fn done(agent: &Agent, logs: &Path) -> Value {
    let bytes = std::fs::metadata(logs.join("app.log")).unwrap().len();
    wait_for("the file to be delivered to its end", || {
        let status = agent.status();
        let file = status["tails"]["app"][0].clone();
        let all = ["bytes", "read", "queued", "delivered"].iter().all(|key| file[*key] == bytes);
        (all && file["is_delivered"] == true).then_some(file)
    })
}

#[test]
fn tailed_files_are_known_after_a_restart_and_after_the_store_was_ruined() {
    let scratch = Scratch::new("state-store");
    let logs = scratch.folder("logs");
    let config = config(&scratch, &logs);
    let mut log = LogFile::create(&logs);
    log.write(100);

    let agent = Agent::start(&scratch, &config);
    done(&agent, &logs);
    let file = scratch.join("weir.toml").display().to_string();
    let shown = weir(&scratch, &["status", "--config", &file]).succeeded();
    assert!(
        shown.lines().any(|line| line.contains("app.log") && line.ends_with("done")),
        "{shown}"
    );
    assert_eq!(agent.terminate().code(), Some(0));
    let agent = Agent::start(&scratch, &config);
    done(&agent, &logs);
    let state = &agent.status()["state"];
    assert_eq!((&state["health"], &state["keys"]), (&"on disk".into(), &1.into()), "{state}");
    agent.kill();

    log.write(100);
    let db = scratch.join("state/state/db");
    let bytes = std::fs::metadata(&db).unwrap().len();
    std::fs::write(&db, vec![0xA5; usize::try_from(bytes).unwrap()]).unwrap();
    std::fs::write(scratch.join("state/state/conf"), "not what it was").unwrap();
    let agent = Agent::start(&scratch, &config);
    done(&agent, &logs);

    assert!(agent.log().contains("state-damaged"), "the log names it");
    assert_eq!(agent.status()["state"]["health"], "on disk");
    Books::settled(&agent);
    assert_eq!(agent.terminate().code(), Some(0));
    let lines = LogFile::lines(&logs);
    assert_eq!(lines.len(), 200);
    // The kill may have come before the cursor was saved.
    compare(&lines, &BTreeSet::new(), object_lines(&scratch.join("out"))).complete("files", 100);
}
