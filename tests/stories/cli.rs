//! Commands tell scripts what they did: results on standard output, faults on standard error, and
//! an exit code.

use serde_json::{Value, json};

use crate::support::agent::{Agent, ORDERS_TO_ARCHIVE, configure, weir, weir_fed};
use crate::support::books::{Books, Row};
use crate::support::peers::object_lines;
use crate::support::scratch::Scratch;
use crate::support::wait_for;

#[test]
fn help_names_every_command() {
    let scratch = Scratch::new("cli-help");

    let help = weir(&scratch, &["--help"]).succeeded();

    for command in [
        "run",
        "demo",
        "check",
        "test",
        "status",
        "dead",
        "queue",
        "keys",
        "send",
        "completions",
        "man",
    ] {
        let stands = |line: &str| line.trim_start().starts_with(command);
        assert!(help.lines().any(stands), "`{command}` is missing in\n{help}");
    }
    assert!(weir(&scratch, &["--version"]).succeeded().contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_usage_is_64_and_told_on_standard_error() {
    let scratch = Scratch::new("cli-usage");

    for arguments in [&["rnu"][..], &["run", "--confg", "x"], &["keys"], &["dead", "burn"]] {
        let ended = weir(&scratch, arguments);
        assert_eq!(ended.code, Some(64), "{arguments:?}: {ended:?}");
        assert_eq!(ended.stdout, "", "{arguments:?}");
        assert!(ended.stderr.contains("error: "), "{arguments:?}: {ended:?}");
    }
}

#[test]
fn keys_are_added_listed_and_revoked_and_the_secret_is_shown_once() {
    let scratch = Scratch::new("cli-keys");
    let path = scratch.join("keys.toml");
    let file = path.display().to_string();

    let secret = weir(&scratch, &["keys", "add", "device-1", "--file", &file]).succeeded();
    let again = weir(&scratch, &["keys", "add", "device-2", "--file", &file]).succeeded();
    let listed = weir(&scratch, &["keys", "ls", "--file", &file]).succeeded();

    assert_eq!(secret.lines().count(), 1, "a script can take standard output as it is: {secret}");
    assert!(secret.trim().len() >= 32, "{secret}");
    assert_ne!(secret, again);
    assert!(listed.contains("device-1") && listed.contains("device-2"), "{listed}");
    let kept = std::fs::read_to_string(&path).unwrap();
    assert!(!kept.contains(secret.trim()) && !listed.contains(secret.trim()), "{kept}\n{listed}");

    weir(&scratch, &["keys", "revoke", "device-1", "--file", &file]).succeeded();
    let listed = weir(&scratch, &["keys", "ls", "--file", &file]).succeeded();

    assert!(!listed.contains("device-1") && listed.contains("device-2"), "{listed}");
    let nobody = weir(&scratch, &["keys", "revoke", "device-1", "--file", &file]);
    assert!(nobody.code != Some(0) && nobody.stderr.contains("device-1"), "{nobody:?}");
}

#[test]
fn a_revoked_key_stops_working_while_the_agent_runs() {
    let scratch = Scratch::new("cli-revoked");
    let file = scratch.join("keys.toml").display().to_string();
    let secret = weir(&scratch, &["keys", "add", "device-1", "--file", &file]).succeeded();
    let config = ORDERS_TO_ARCHIVE.replace(
        "[stream.orders]",
        &format!(
            "auth = [\"keys\"]\n[auth.keys]\ntype = \"api_key\"\nfile = \"{file}\"\n[stream.orders]"
        ),
    );
    let agent = Agent::start(&scratch, &config);
    let client = agent.client("local").with_key(secret.trim());
    assert_eq!(client.post("orders", b"x").unwrap().status, 202);

    weir(&scratch, &["keys", "revoke", "device-1", "--file", &file]).succeeded();

    wait_for("the key to be refused", || {
        let status = client.post("orders", b"x").unwrap().status;
        assert!(matches!(status, 202 | 401), "{status}");
        (status == 401).then_some(())
    });
}

#[test]
fn check_tells_what_would_run_and_starts_nothing() {
    let scratch = Scratch::new("cli-check");
    let file = configure(&scratch, ORDERS_TO_ARCHIVE).display().to_string();

    let told = weir(&scratch, &["check", "--config", &file]).succeeded();

    for word in ["local", "orders", "archive"] {
        assert!(told.contains(word), "`{word}` is missing in\n{told}");
    }
    assert!(!scratch.join("state").exists() && !scratch.join("archive").exists());
    let missing = weir(&scratch, &["check", "--config", "nowhere.toml"]);
    assert_eq!(missing.code, Some(78), "{missing:?}");
    assert!(missing.stderr.contains("nowhere.toml"), "{missing:?}");
    let sound = weir(&scratch, &["check", "--json", "--config", &file]).succeeded();
    assert_eq!(sound.parse::<Value>().unwrap()["errors"], json!([]));
    scratch.write("odd.toml", "stat_dir = \"x\"\n");
    let odd = weir(&scratch, &["check", "--json", "--config", "odd.toml"]);
    let found = odd.stdout.parse::<Value>().unwrap()["errors"].take();
    assert_eq!((odd.code, &found[0]["line"]), (Some(78), &json!(1)), "{found}");
}

#[test]
fn the_agent_is_found_whatever_else_is_wrong_with_the_file() {
    let scratch = Scratch::new("cli-found");
    let agent = Agent::start(&scratch, ORDERS_TO_ARCHIVE);
    let state_dir = format!("state_dir = {:?}\n", scratch.join("state").display().to_string());
    let keyless = "[stream.x]\ndestinations = [\"gone\"]\n[destination.y]\ntype = \"kinesis\"\n\
                   secret_access_key = \"credential:for-the-agent-alone\"\n";
    let file = scratch.write("weir.toml", &format!("{state_dir}{keyless}")).display().to_string();

    for asked in [&["status"][..], &["status", "--live"], &["dead", "ls"], &["queue", "ls"]] {
        weir(&scratch, &[asked, &["--config", &file]].concat()).succeeded();
    }

    assert_eq!(weir(&scratch, &["check", "--config", &file]).code, Some(78));
    scratch.write("weir.toml", &format!("state_dir = 7\n{keyless}"));
    let lost = weir(&scratch, &["status", "--config", &file]);
    assert_eq!(lost.code, Some(78));
    assert!(lost.stderr.contains("`state_dir`") && !lost.stderr.contains("gone"), "{lost:?}");
    drop(agent);
}

#[test]
fn what_is_sent_is_in_the_books_and_arrives() {
    let scratch = Scratch::new("cli-send");
    let agent = Agent::start(&scratch, ORDERS_TO_ARCHIVE);
    let file = configure(&scratch, ORDERS_TO_ARCHIVE).display().to_string();

    let lines = "first\nsecond\nthird without an end";
    let sent = weir_fed(&scratch, &["send", "--stream", "orders", "--config", &file], lines);
    sent.succeeded();
    let books = Books::settled(&agent);
    let status = weir(&scratch, &["status", "--config", &file, "--json"]).succeeded();
    let shown = weir(&scratch, &["status", "--config", &file]).succeeded();

    let three = Row { accepted: 3, delivered: 3, ..Row::default() };
    assert_eq!(books.row("orders", "archive"), three);
    let status: Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["streams"]["orders"]["destinations"]["archive"]["delivered"], 3);
    assert!(shown.contains("orders") && shown.contains("archive"), "{shown}");
    assert!(agent.metrics().contains("weir_"), "{}", agent.metrics());
    assert_eq!(agent.admin("/livez").status, 200);
    assert_eq!(agent.admin("/readyz").status, 200);
    assert_eq!(agent.terminate().code(), Some(0));
    let mut arrived = object_lines(&scratch.join("archive"));
    arrived.sort();
    assert_eq!(arrived, [&b"first"[..], b"second", b"third without an end"]);
}

#[test]
fn a_file_that_cannot_be_sent_is_named_with_what_went_before_it() {
    let scratch = Scratch::new("cli-send-unreadable");
    let agent = Agent::start(&scratch, ORDERS_TO_ARCHIVE);
    let file = configure(&scratch, ORDERS_TO_ARCHIVE).display().to_string();
    let whole = scratch.write("whole.txt", "first\nsecond\n").display().to_string();

    for name in ["nowhere.txt", "state"] {
        let unreadable = scratch.join(name).display().to_string();
        let sent =
            weir(&scratch, &["send", "-s", "orders", "--config", &file, &whole, &unreadable]);
        let named = format!("error: {unreadable} cannot be read: ");
        assert_eq!(sent.code, Some(65), "{sent:?}");
        assert!(sent.stderr.contains(&named), "{sent:?}");
        assert!(sent.stderr.contains("0 records before it were sent"), "{sent:?}");
    }

    assert_eq!(Books::settled(&agent).row("orders", "archive"), Row::default());
}

#[test]
fn without_an_agent_status_says_so_with_69() {
    let scratch = Scratch::new("cli-away");
    let file = configure(&scratch, ORDERS_TO_ARCHIVE).display().to_string();

    for arguments in [&["status", "--config", &file][..], &["dead", "replay", "--config", &file]] {
        let ended = weir(&scratch, arguments);
        assert_eq!(ended.code, Some(69), "{arguments:?}: {ended:?}");
        assert!(ended.stderr.contains("error: "), "{ended:?}");
    }
}
