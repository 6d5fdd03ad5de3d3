//! The log says who ordered what, and who was turned away, each time; and how much else it says is
//! changed while the agent runs.

use serde_json::Value;

use crate::support::agent::{Agent, ORDERS_TO_ARCHIVE, configure, weir};
use crate::support::scratch::Scratch;

fn audit(log: &str) -> Vec<Value> {
    let values = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    values.filter(|value| value["target"] == "weir::audit").collect()
}

#[test]
fn every_order_stands_in_the_log_those_that_were_refused_too() {
    let scratch = Scratch::new("audited");
    let keys = scratch.join("admin-keys.toml").display().to_string();
    let secret = weir(&scratch, &["keys", "add", "ada", "--file", &keys]).succeeded();
    let key = scratch.write("key", secret.trim()).display().to_string();
    let wrong = scratch.write("wrong", "weir_nobodys-key").display().to_string();
    let more = format!("key_file = \"{keys}\"");
    let agent = Agent::start_with_admin(&scratch, ORDERS_TO_ARCHIVE, &more);
    let file = scratch.join("weir.toml").display().to_string();

    // More than a minute has room for of lines that are equal.
    for _ in 0..12 {
        assert_eq!(weir(&scratch, &["dead", "replay", "-c", &file]).code, Some(69));
    }
    let refused = weir(&scratch, &["dead", "replay", "-c", &file, "--admin-key", &wrong]);
    assert_eq!(refused.code, Some(69));
    for _ in 0..12 {
        weir(&scratch, &["dead", "replay", "-c", &file, "--admin-key", &key]).succeeded();
    }

    let log = agent.log();
    let audit = audit(&log);
    let count = |operator: &str, words: &str| {
        let fits = |line: &&Value| line["operator"] == operator && line["message"] == words;
        audit.iter().filter(fits).count()
    };
    assert_eq!(count("(nobody with a key)", "refused an order"), 12, "{log}");
    assert_eq!(count("(a key that opens nothing)", "refused an order"), 1, "{log}");
    assert_eq!(count("ada", "carried out an order"), 12, "{log}");
    assert!(audit.iter().all(|line| line["path"] == "/dead/replay"));
    assert!(!log.contains(secret.trim()) && !log.contains("nobodys-key"), "a key in the log");
    assert_eq!(agent.terminate().code(), Some(0));
}

#[test]
fn a_reload_changes_how_much_is_logged() {
    let scratch = Scratch::new("log-level");
    let at = |level: &str| format!("log = {{ level = \"{level}\" }}\n{ORDERS_TO_ARCHIVE}");
    let agent = Agent::start(&scratch, &at("info"));
    let answered = || agent.log().lines().filter(|line| line.contains("\"answered\"")).count();
    let post = || assert_eq!(agent.client("local").post("orders", b"x").unwrap().status, 202);

    post();
    assert_eq!(answered(), 0);
    let file = configure(&scratch, &at("debug")).display().to_string();
    let said = weir(&scratch, &["reload", "-c", &file]).succeeded();
    assert!(said.contains("log_level"), "{said}");
    post();
    // The line is written before the answer is.
    let of_debug = answered();
    assert!(of_debug > 0);
    configure(&scratch, &at("info"));
    weir(&scratch, &["reload", "-c", &file]).succeeded();
    let before = answered();
    post();
    assert_eq!(answered(), before);
    assert_eq!(agent.terminate().code(), Some(0));
}
