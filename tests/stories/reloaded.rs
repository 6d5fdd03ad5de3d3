//! Another configuration is taken over while records come in; one at fault changes nothing.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::support::agent::{Agent, Ended, configure, weir};
use crate::support::books::Books;
use crate::support::client::Client;
use crate::support::peers::object_lines;
use crate::support::scratch::Scratch;
use crate::support::{PATIENCE, wait_at_most, wait_for};

/// Ends a test that waits for something else in vain.
const SENT_MAX: u32 = 50_000;

/// One listener and one stream into a folder.
const BEFORE: &str = r#"
    [http.local]
    listen = "127.0.0.1:0"
    [stream.events]
    destinations = ["folder"]
    [destination.folder]
    type = "directory"
    path = "out"
    object_age = "100 ms"
"#;

fn reload(scratch: &Scratch) -> Ended {
    weir(scratch, &["reload", "--config", scratch.join("weir.toml").to_str().unwrap()])
}

/// Every finished line below a folder.
fn arrived(folder: &Path) -> Vec<String> {
    let lines = object_lines(folder).into_iter();
    lines.map(|line| String::from_utf8(line).unwrap()).collect()
}

/// One request over a connection that stays open.
#[track_caller]
fn post_over(connection: &mut TcpStream, path: &str) -> u16 {
    let request = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nhi");
    connection.write_all(request.as_bytes()).unwrap();
    let mut answer = BufReader::new(&*connection);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(answer.read_line(&mut head).expect("an answer"), 0, "closed after {head:?}");
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.unwrap_or("0").parse().unwrap()];
    answer.read_exact(&mut body).unwrap();
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

/// Everything is another: a listener, a stream and a tail more, the destination elsewhere.
fn after(turn: u32, logs: &Path) -> String {
    format!(
        r#"
        {}
        object_bytes = "{} KiB"
        [http.second]
        listen = "127.0.0.1:0"
        [stream.more]
        destinations = ["folder"]
        [tail.logs]
        include = [{:?}]
        stream = "more"
        start_at = "beginning"
        rescan = "{} ms"
        "#,
        BEFORE.replace("\"out\"", &format!("\"out-{turn}\"")),
        100 + turn,
        logs.join("*.log").display().to_string(),
        100 + turn,
    )
}

#[test]
fn under_traffic_everything_but_the_queues_is_exchanged_and_nothing_is_lost() {
    let scratch = Scratch::new("reloaded");
    let agent = Agent::start(&scratch, BEFORE);
    let mut kept = TcpStream::connect(agent.http("local")).unwrap();
    kept.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(post_over(&mut kept, "/v1/streams/events"), 202);
    assert_eq!(agent.client("local").post("more", b"hi").unwrap().status, 404);

    let (client, is_over) = (agent.client("local"), AtomicBool::new(false));
    let sent = thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let mut sent = 0_u32;
            while !is_over.load(Ordering::Relaxed) && sent < SENT_MAX {
                let answer = client.post("events", format!("{sent:06}").as_bytes()).unwrap();
                assert_eq!(answer.status, 202, "{sent}: {answer:?}");
                sent += 1;
            }
            sent
        });
        for turn in 0..4 {
            let logs = scratch.folder("logs");
            fs::write(logs.join(format!("{turn}.log")), format!("line {turn}\n")).unwrap();
            configure(&scratch, &after(turn, &logs));
            let told = reload(&scratch).succeeded();
            assert!(told.contains("destination.folder"), "{told}");
            assert!(!told.contains("restart"), "{told}");
            let lines = format!("line {turn}");
            // Whoever follows the folder then: the tail of before may have seen the file first.
            wait_for("the line", || arrived(scratch.path()).contains(&lines).then_some(()));
        }
        is_over.store(true, Ordering::Relaxed);
        sending.join().unwrap()
    });

    assert_eq!(post_over(&mut kept, "/v1/streams/more"), 202, "over the same connection");
    let addresses = fs::read(scratch.join("state/addresses.json")).unwrap();
    let addresses: serde_json::Value = serde_json::from_slice(&addresses).unwrap();
    let second = Client::new(addresses["http"]["second"][0].as_str().unwrap());
    assert_eq!(second.post("more", b"through the new door").unwrap().status, 202);

    let books = Books::settled(&agent);
    let accepted = u64::from(sent) + 1;
    assert_eq!(books.row("events", "folder").delivered, accepted);
    assert_eq!(books.row("more", "folder").delivered, 4 + 2);
    let expected: Vec<String> = (0..sent).map(|number| format!("{number:06}")).collect();
    wait_for("each of them once", || {
        let mut lines = arrived(scratch.path());
        lines.retain(|line| line.len() == 6 && line.parse::<u32>().is_ok());
        lines.sort();
        (lines == expected).then_some(())
    });
    let metrics = agent.metrics();
    assert!(metrics.contains("weir_config_reloads_total{result=\"done\"} 4"), "{metrics}");

    // And back again: the stream, the tail and the listener go, and what they had stays on disk.
    configure(&scratch, BEFORE);
    let told = reload(&scratch).succeeded();
    for gone in ["stream.more", "http.second", "tail.logs"] {
        assert!(told.contains(gone), "{told}");
    }
    assert_eq!(agent.client("local").post("more", b"hi").unwrap().status, 404);
    assert!(second.post("more", b"nobody is there").is_err());
    assert!(scratch.join("state/queue/more").is_dir());
    assert_eq!(agent.terminate().code(), Some(0));
}

#[test]
fn a_file_at_fault_is_refused_with_its_reason_and_the_agent_goes_on_as_before() {
    let scratch = Scratch::new("reload-refused");
    let agent = Agent::start(&scratch, BEFORE);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("[http.taken]\nlisten = \"{}\"\n{BEFORE}", taken.local_addr().unwrap());
    let faults = [
        (BEFORE.replace("[\"folder\"]", "[\"nowhere\"]"), "`nowhere`"),
        (format!("grace = \"soon\"\n{BEFORE}"), "`grace` is \"soon\""),
        ("[[[".to_owned(), "weir.toml"),
        (taken, "is taken by another program"),
        (format!("{BEFORE}[auth.a]\ntype = \"api_key\"\nfile = \"weir.toml\"\n"), "weir.toml"),
    ];
    for (count, (config, reason)) in (1_u64..).zip(faults) {
        configure(&scratch, &config);
        let ended = reload(&scratch);
        assert_eq!(ended.code, Some(78), "{ended:?}");
        assert!(ended.stderr.contains("the agent goes on"), "{ended:?}");
        assert!(ended.stderr.contains(reason), "{reason}: {ended:?}");
        // The command asks nobody to read what is no TOML; others do.
        if agent.status()["config"]["reloads"] != count {
            agent.hang_up();
        }
        let status = wait_for("the reload", || {
            let status = agent.status();
            (status["config"]["reloads"] == count).then_some(status)
        });
        assert!(status["config"]["refused"].as_str().unwrap().contains(reason), "{status}");
        assert_eq!(agent.client("local").post("events", b"still").unwrap().status, 202);
    }
    assert!(agent.metrics().contains("weir_config_last_reload_successful 0"));

    configure(&scratch, BEFORE);
    assert_eq!(reload(&scratch).succeeded(), "nothing changed\n");
    assert_eq!(agent.status()["config"]["refused"], serde_json::Value::Null);
    assert!(agent.metrics().contains("weir_config_last_reload_successful 1"));
    assert_eq!(Books::settled(&agent).row("events", "folder").delivered, 5);
}

#[test]
fn what_takes_a_restart_is_named_and_stays_as_it_was_until_then() {
    let scratch = Scratch::new("reload-restart");
    let agent = Agent::start(&scratch, BEFORE);
    let after = BEFORE
        .replace("listen = \"127.0.0.1:0\"", "listen = \"127.0.0.1:0\"\nidle_timeout = \"9 s\"")
        .replace("[\"folder\"]", "[\"folder\", \"other\"]\nqueue = { max_bytes = \"9 MiB\" }");
    let after = format!("{after}[destination.other]\ntype = \"directory\"\npath = \"other\"\n");
    configure(&scratch, &after);

    let told = reload(&scratch).succeeded();

    let restart = "not in force before a restart: http.local.limits, stream.events.destinations, \
                   stream.events.queue\n";
    assert!(told.ends_with(restart), "{told}");
    assert_eq!(agent.client("local").post("events", b"one").unwrap().status, 202);
    assert_eq!(Books::settled(&agent).row("events", "folder").delivered, 1);
    let status = agent.status();
    assert_ne!(status["streams"]["events"]["max_bytes"], 9 << 20, "{status}");
    assert_eq!(agent.terminate().code(), Some(0));

    let agent = Agent::start(&scratch, &after);
    assert_eq!(agent.status()["streams"]["events"]["max_bytes"], 9 << 20);
    assert_eq!(agent.client("local").post("events", b"two").unwrap().status, 202);
    assert_eq!(Books::settled(&agent).row("events", "other").delivered, 1);
}

#[test]
fn a_destination_that_is_held_is_mended_by_a_reload() {
    let scratch = Scratch::new("reload-mends");
    // A folder cannot be made below a file.
    fs::write(scratch.join("file"), "x").unwrap();
    let wrong = BEFORE.replace("\"directory\"\n    path = \"out\"\n    object_age = \"100 ms\"", "\"kinesis\"\n    stream_name = \"s\"\n    region = \"eu-west-1\"\n    endpoint_url = \"http://127.0.0.1:1\"");
    let agent = Agent::start(&scratch, &wrong);
    for number in 0..50 {
        let body = format!("{number:06}");
        assert_eq!(agent.client("local").post("events", body.as_bytes()).unwrap().status, 202);
    }
    wait_for("the hold", || {
        let hold = &agent.status()["streams"]["events"]["destinations"]["folder"]["hold"];
        hold.is_object().then_some(())
    });

    configure(&scratch, BEFORE);
    reload(&scratch).succeeded();

    assert_eq!(Books::settled(&agent).row("events", "folder").delivered, 50);
    let out = scratch.join("out");
    wait_for("all of them", || (arrived(&out).len() == 50).then_some(()));
    assert!(agent.status()["streams"]["events"]["destinations"]["folder"]["hold"].is_null());
}

#[test]
fn a_changed_file_is_taken_over_by_itself_if_that_is_wanted() {
    let scratch = Scratch::new("reload-changed");
    let wanted = format!("reload_on_change = true\n{BEFORE}");
    let agent = Agent::start(&scratch, &wanted);

    configure(&scratch, &format!("{wanted}[stream.more]\ndestinations = [\"folder\"]\n"));

    wait_for("the new stream", || {
        (agent.client("local").post("more", b"x").unwrap().status == 202).then_some(())
    });
    wait_for("the end of the reload", || (agent.status()["config"]["reloads"] == 1).then_some(()));
}

/// A request that has begun at a listener which the next configuration does not have: the reload waits
/// for it.
fn held_up(scratch: &Scratch, agent: &Agent) -> TcpStream {
    let mut held = TcpStream::connect(agent.http("going")).unwrap();
    held.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = "POST /v1/streams/events HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nh";
    held.write_all(head.as_bytes()).unwrap();
    wait_for("the request to be under way", || {
        agent.metrics().contains("weir_http_connections{listener=\"going\"} 1").then_some(())
    });
    configure(scratch, &format!("grace = \"20 s\"\n{BEFORE}"));
    agent.hang_up();
    let going = agent.http("going");
    wait_for("the listener to be closed", || TcpStream::connect(&going).is_err().then_some(()));
    held
}

fn with_one_more() -> String {
    format!("{BEFORE}[http.going]\nlisten = \"127.0.0.1:0\"\n")
}

#[test]
fn asked_to_stop_in_the_middle_of_a_reload_weir_finishes_it_and_cuts_nobody_off() {
    let scratch = Scratch::new("reload-stopped");
    let mut agent = Agent::start(&scratch, &with_one_more());
    let mut held = held_up(&scratch, &agent);

    agent.ask_to_stop();
    wait_for("word of the signal", || agent.log().contains("SIGTERM").then_some(()));
    held.write_all(b"i").unwrap();

    let mut answer = String::new();
    BufReader::new(&held).read_line(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer:?}");
    assert_eq!(wait_for("the end", || agent.ended()).code(), Some(0));
    let log = agent.log();
    assert!(log.contains("stopped; 0 records wait on disk"), "{log}");

    let agent = Agent::start(&scratch, BEFORE);
    let row = Books::settled(&agent).row("events", "folder");
    assert_eq!((row.accepted, row.delivered), (1, 1));
    wait_for("what was answered last", || {
        arrived(&scratch.join("out")).contains(&"hi".to_owned()).then_some(())
    });
}

#[test]
fn asked_to_stop_twice_in_the_middle_of_a_reload_weir_waits_for_nobody() {
    let scratch = Scratch::new("reload-cut-off");
    let mut agent = Agent::start(&scratch, &with_one_more());
    assert_eq!(agent.client("local").post("events", b"one").unwrap().status, 202);
    let _held = held_up(&scratch, &agent);

    agent.ask_to_stop();
    wait_for("word of the signal", || agent.log().contains("SIGTERM").then_some(()));
    agent.ask_to_stop();

    // Less than what a request has that is under way.
    let ended = wait_at_most(Duration::from_secs(5), || agent.ended());
    assert_eq!(ended.and_then(|status| status.code()), Some(0), "{}", agent.log());
    assert!(agent.log().contains("stopped; "), "{}", agent.log());
    let agent = Agent::start(&scratch, BEFORE);
    let row = Books::settled(&agent).row("events", "folder");
    assert_eq!((row.accepted, row.delivered), (1, 1), "nothing is lost");
}

#[test]
fn one_change_is_one_reload_also_where_the_file_is_watched_and_a_signal_comes() {
    let scratch = Scratch::new("reload-once");
    let wanted = format!("reload_on_change = true\nlog.level = \"debug\"\n{BEFORE}");
    let agent = Agent::start(&scratch, &wanted);

    configure(&scratch, &format!("{wanted}[stream.more]\ndestinations = [\"folder\"]\n"));
    agent.hang_up();

    wait_for("word that it is not read again", || {
        agent.log().contains("it is not read a second time").then_some(())
    });
    assert_eq!(agent.status()["config"]["reloads"], 1);
    assert_eq!(agent.client("local").post("more", b"x").unwrap().status, 202);
    // Who asks is heard, whatever the file holds: what it refers to may be another.
    agent.hang_up();
    wait_for("the second reload", || (agent.status()["config"]["reloads"] == 2).then_some(()));
}

#[test]
fn who_speaks_for_others_is_taken_over() {
    let scratch = Scratch::new("reload-proxies");
    let listen = "listen = \"127.0.0.1:0\"";
    let one = BEFORE.replace(
        listen,
        &format!("{listen}\nmax_connections_per_address = 1\nallow = [\"10.0.0.0/8\"]"),
    );
    let agent = Agent::start(&scratch, &one);
    let client = agent.client("local");
    let forwarded = [("x-forwarded-for", "10.1.2.3")];
    assert_eq!(client.post_with("events", b"x", &forwarded).unwrap().status, 403);

    let trusting = one.replace("allow", "trusted_proxies = \"127.0.0.1\"\nallow");
    configure(&scratch, &trusting);
    assert_eq!(reload(&scratch).succeeded(), "taken over: http.local\n");

    let _held = TcpStream::connect(agent.http("local")).unwrap();
    let mut second = TcpStream::connect(agent.http("local")).unwrap();
    second.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(post_over(&mut second, "/v1/streams/events"), 403, "it names nobody");
    assert_eq!(client.post_with("events", b"x", &forwarded).unwrap().status, 202);
    assert_eq!(reload(&scratch).succeeded(), "nothing changed\n");
}
