//! `weir status`: the ledger of the running agent.

mod moving;
mod screen;
mod watch;

use std::process::ExitCode;

use clap::Args;
use hyper::Method;
use serde_json::{Map, Value};

use super::reach::Reach;
use super::report::{Answer, Exit, Report, say};
use super::table::{age, count, counted, lay_out};
use crate::base::clock::Clock;
use crate::base::units::{ByteSize, Span};

/// What `weir status` can be told.
#[derive(Clone, Debug, Args)]
pub(super) struct Show {
    #[command(flatten)]
    reach: Reach,
    /// Print the agent's answer as JSON
    #[arg(long)]
    json: bool,
    /// Print nothing if records may be sent there now; otherwise why not, and exit with 69
    #[arg(long, conflicts_with = "json")]
    ready: bool,
    /// Print nothing if the agent answers; otherwise exit with 69
    #[arg(long, conflicts_with_all = ["json", "ready"])]
    live: bool,
    /// Go on showing it: drawn on a terminal until `q`, a line for each look elsewhere
    #[arg(long, conflicts_with_all = ["live", "ready"])]
    watch: bool,
    /// How often to look with `--watch`
    #[arg(long, value_name = "TIME", default_value = "1 s", requires = "watch")]
    every: Span,
}

pub(super) fn status(show: &Show) -> Answer {
    if show.watch {
        return watch::watch(show);
    }
    let answer = show.reach.ask(Method::GET, "/status", None)?;
    if show.live || show.ready && unready(&answer).is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    if show.ready {
        let reasons = unready(&answer).join("; ");
        return Err(Report::new(Exit::Unavailable, format!("not ready: {reasons}")));
    }
    say(if show.json { format!("{answer:#}") } else { draw(&answer, Clock::real().unix_ms()) });
    Ok(ExitCode::SUCCESS)
}

fn draw(status: &Value, now_unix_ms: u64) -> String {
    picture(status, now_unix_ms, None).join("\n\n")
}

/// The parts of it, from top to bottom; `moving` stands behind the headline.
fn picture(status: &Value, now_unix_ms: u64, moving: Option<String>) -> Vec<String> {
    let mut parts = vec![headline(status)];
    parts.extend(moving);
    let mut holds = Vec::new();
    let mut rows = Vec::new();
    for (stream, queue) in table(status, "streams") {
        for (destination, ledger) in table(queue, "destinations") {
            rows.push(row(stream, destination, ledger, now_unix_ms));
            holds.extend(held(stream, destination, ledger, now_unix_ms));
            holds.extend(paced(stream, destination, ledger));
            holds.extend(seen(stream, destination, ledger, now_unix_ms));
            holds.extend(aged_out(stream, destination, ledger));
        }
    }
    const HEAD: [&str; 9] = [
        "STREAM",
        "DESTINATION",
        "ACCEPTED",
        "DELIVERED",
        "DEAD",
        "DROPPED",
        "DAMAGED",
        "WAITING",
        "OLDEST",
    ];
    parts.push(lay_out(&HEAD, &rows));
    parts.extend(forgetful(status, now_unix_ms));
    parts.extend((!holds.is_empty()).then(|| holds.join("\n")));
    let files = tails(status, now_unix_ms);
    const FILES: [&str; 7] = ["TAIL", "FILE", "SIZE", "READ", "QUEUED", "DELIVERED", "STATE"];
    parts.extend((!files.is_empty()).then(|| lay_out(&FILES, &files)));
    parts
}

/// Why no records should be sent there now; empty when they should.
fn unready(status: &Value) -> Vec<&str> {
    let reasons = status.get("unready").and_then(Value::as_array);
    reasons.into_iter().flatten().filter_map(Value::as_str).collect()
}

fn headline(status: &Value) -> String {
    let version = status.get("version").and_then(Value::as_str).unwrap_or("?");
    let unready = unready(status);
    let state = if unready.is_empty() {
        "ready".into()
    } else {
        format!("not ready: {}", unready.join("; "))
    };
    let used: Vec<String> = table(status, "streams")
        .map(|(stream, queue)| {
            let [used, max] =
                ["used_bytes", "max_bytes"].map(|key| ByteSize(number(queue, key)).rounded());
            let drops = queue.get("dropping").and_then(Value::as_bool).unwrap_or(false);
            let drops = if drops { ", its oldest records are dropped" } else { "" };
            // Only where an answer promises less than what everybody expects.
            let level = queue.get("sync").and_then(Value::as_str).filter(|at| *at != "always");
            let level = level.map(|level| format!(", sync = {level}")).unwrap_or_default();
            // They never reached the queue, so no ledger has them.
            let unwanted = number(queue, "transform_dropped");
            let unwanted = match unwanted {
                0 => String::new(),
                _ => format!(", {} dropped by a transform since the start", count(unwanted)),
            };
            format!("\nqueue {stream}: {used} of {max}{level}{drops}{unwanted}")
        })
        .collect();
    format!("weir {version}, up {}, {state}{}", age(number(status, "uptime_s")), used.concat())
}

fn row(stream: &str, destination: &str, ledger: &Value, now_unix_ms: u64) -> Vec<String> {
    let oldest = ledger
        .get("oldest_unix_ms")
        .and_then(Value::as_u64)
        .map_or_else(|| "-".into(), |at| age(now_unix_ms.saturating_sub(at) / 1000));
    let numbers = ["accepted", "delivered", "dead", "dropped", "damaged", "waiting"]
        .map(|key| count(number(ledger, key)));
    [stream.to_owned(), destination.to_owned()].into_iter().chain(numbers).chain([oldest]).collect()
}

fn held(stream: &str, destination: &str, ledger: &Value, now_unix_ms: u64) -> Option<String> {
    let hold = ledger.get("hold").filter(|hold| !hold.is_null())?;
    let word =
        |key| hold.get(key).and_then(Value::as_str).unwrap_or("?").replace(char::is_control, " ");
    let since = age(now_unix_ms.saturating_sub(number(hold, "since_unix_ms")) / 1000);
    let next = hold.get("next_try_unix_ms").and_then(Value::as_u64);
    let next = next.map_or_else(
        || "being tried now".to_owned(),
        |at| format!("next try in {}", age(at.saturating_sub(now_unix_ms).div_ceil(1000))),
    );
    Some(format!(
        "{stream} to {destination} is held for {since}, {next} ({})\n  {destination} {}\n  it says: \
         {}: {}",
        word("class"),
        word("meaning"),
        word("code"),
        word("message")
    ))
}

/// Said only while the state store is not on disk: it is nothing to look after otherwise.
fn forgetful(status: &Value, now_unix_ms: u64) -> Option<String> {
    let state = status.get("state")?;
    let why = state.get("why").and_then(Value::as_str)?;
    let since = age(now_unix_ms.saturating_sub(number(state, "since_unix_ms")) / 1000);
    Some(format!("the state store is in memory only for {since}: {why}; no record is at risk"))
}

/// What the operator asked for is no hold, but explains why records wait.
fn paced(stream: &str, destination: &str, ledger: &Value) -> Option<String> {
    let why = match ledger.get("waits_for").and_then(Value::as_str)? {
        "window" => "its window of time",
        "budget" => "its budget of bytes",
        "others" => "streams that go before it",
        "catch_up" => "its catch-up rate, as its records are old",
        "oldest" => "its oldest records: the queue keeps track of no more that were sent past them",
        other => other,
    };
    Some(format!("{stream} to {destination} waits for {why}"))
}

/// What is worth knowing of the upstream, be it well or not.
fn seen(stream: &str, destination: &str, ledger: &Value, now_unix_ms: u64) -> Vec<String> {
    let mut all = Vec::new();
    let offset_ms = ledger.get("clock_offset_ms").and_then(Value::as_i64);
    if let Some(offset_ms) = offset_ms {
        let apart = age(offset_ms.unsigned_abs() / 1000);
        let way = if offset_ms < 0 { "behind" } else { "ahead of" };
        all.push(format!("the service's time is {apart} {way} the host's clock, and signed for"));
    }
    if let Some(end) = ledger.get("credentials_end_unix_ms").and_then(Value::as_u64) {
        let now = now_unix_ms.saturating_add_signed(offset_ms.unwrap_or(0));
        let is_over = ledger.get("credentials_expired").and_then(Value::as_bool) == Some(true);
        let (from, to) = if is_over { (end, now) } else { (now, end) };
        let apart = age(to.saturating_sub(from) / 1000);
        all.push(match is_over {
            true => format!("its credentials expired {apart} ago, and no new ones could be had"),
            false => format!("its credentials are good for {apart}"),
        });
    }
    let missing = ledger.get("missing_permissions").and_then(Value::as_array);
    let missing: Vec<_> = missing.into_iter().flatten().filter_map(Value::as_str).collect();
    if !missing.is_empty() {
        let missing = missing.join(" and ");
        all.push(format!("the policy lacks {missing}, so records are not aggregated"));
    }
    if ledger.get("shards_in_doubt").and_then(Value::as_bool) == Some(true) {
        all.push(
            "its answers name other shards than it lists, or it does not tell them now, so records are \
             not aggregated"
                .into(),
        );
    }
    all.into_iter().map(|words| format!("{stream} to {destination}: {words}")).collect()
}

fn aged_out(stream: &str, destination: &str, ledger: &Value) -> Option<String> {
    let letters = number(ledger, "dead_aged_out");
    let gone = counted(letters, "dead letter", "dead letters");
    (letters > 0).then(|| {
        format!("{stream} to {destination}: {gone} removed, as there were too many or too old ones")
    })
}

fn tails(status: &Value, now_unix_ms: u64) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for (tail, files) in table(status, "tails") {
        for file in files.as_array().into_iter().flatten() {
            // A file may be named by anybody who may write there: no name moves the cursor.
            let path = file.get("path").and_then(Value::as_str).unwrap_or("?");
            let path = path.replace(char::is_control, "?");
            let numbers =
                ["bytes", "read", "queued", "delivered"].map(|key| count(number(file, key)));
            let state = file_state(file, now_unix_ms);
            let row = [tail.to_owned(), path].into_iter().chain(numbers).chain([state]);
            rows.push(row.collect());
        }
    }
    rows
}

/// `to do`, or `done` once every destination is done with all of it and it may be deleted; `passed
/// over` if weir began behind what stood in it; `unreadable` and why, if that is so.
fn file_state(file: &Value, now_unix_ms: u64) -> String {
    let is = |key| file.get(key).and_then(Value::as_bool).unwrap_or(false);
    if let Some(why) = file.get("trouble").and_then(Value::as_str) {
        return format!("unreadable: {}", why.replace(char::is_control, "?"));
    }
    let state = match (is("is_delivered"), is("is_passed_over")) {
        (true, _) => "done",
        (false, true) => "passed over in part",
        (false, false) => "to do",
    };
    match file.get("gone_unix_ms").and_then(Value::as_u64) {
        Some(at) => format!("{state}, gone {}", age(now_unix_ms.saturating_sub(at) / 1000)),
        None => state.into(),
    }
}

fn table<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = (&'a str, &'a Value)> {
    let map: Option<&Map<String, Value>> = value.get(key).and_then(Value::as_object);
    map.into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

fn number(value: &Value, key: &str) -> u64 {
    value.get(key).and_then(Value::as_u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_worth_knowing_of_an_upstream_is_told() {
        let check = |rows: Value, words: &[&str]| {
            let words: Vec<_> = words.iter().map(|words| format!("s to d: {words}")).collect();
            assert_eq!(seen("s", "d", &rows, 1_000_000), words);
        };
        check(json!({}), &[]);
        let none = json!({"clock_offset_ms": null, "credentials_end_unix_ms": null,
            "credentials_expired": false, "missing_permissions": []});
        check(none, &[]);
        check(
            json!({"credentials_end_unix_ms": 1_600_000, "credentials_expired": false,
                "missing_permissions": ["kinesis:ListShards", "kinesis:X"]}),
            &[
                "its credentials are good for 10 min",
                "the policy lacks kinesis:ListShards and kinesis:X, so records are not aggregated",
            ],
        );
        check(
            json!({"clock_offset_ms": 600_000, "credentials_end_unix_ms": 1_000_000,
                "credentials_expired": true}),
            &[
                "the service's time is 10 min ahead of the host's clock, and signed for",
                "its credentials expired 10 min ago, and no new ones could be had",
            ],
        );
        check(
            json!({"clock_offset_ms": -90_000}),
            &["the service's time is 90 s behind the host's clock, and signed for"],
        );
    }

    #[test]
    fn the_ledger_the_hold_and_the_files_are_all_shown() {
        let status = json!({
            "version": "0.1.0", "ready": true, "unready": [], "uptime_s": 200,
            "streams": {"access": {"committed": 18_204, "used_bytes": 1_048_576, "max_bytes": 1_073_741_824,
                "sync": "100 ms", "unsynced": 3, "transform_dropped": 1_204,
                "destinations": {"kinesis": {
                    "accepted": 18_204, "delivered": 18_000, "dead": 1, "dropped": 0, "damaged": 0,
                    "waiting": 203, "waiting_bytes": 4_096, "oldest_unix_ms": 60_000,
                    "hold": {"class": "auth", "code": "ExpiredToken", "message": "it expired",
                        "meaning": "does not know weir", "since_unix_ms": 90_000, "next_try_unix_ms": 130_000}}}}},
            "tails": {"nginx": [
                {"path": "/var/log/nginx/access.log", "bytes": 2_000, "read": 1_700, "queued": 1_500,
                    "delivered": 900, "is_delivered": false, "gone_unix_ms": null},
                {"path": "/var/log/nginx/\u{1b}[2J\n.log", "bytes": 7, "read": 7, "queued": 7,
                    "delivered": 7, "is_delivered": true, "gone_unix_ms": 60_000},
                {"path": "/var/log/secret", "bytes": 0, "read": 0, "queued": 0, "delivered": 0,
                    "is_delivered": false, "gone_unix_ms": null, "trouble": "Permission denied"}]},
            "state": {"keys": 2, "bytes": 180, "disk_bytes": 0, "health": "in memory",
                "why": "no space left on device", "since_unix_ms": 40_000},
        });

        let drawn = draw(&status, 100_000);

        assert_eq!(
            drawn,
            "weir 0.1.0, up 3 min, ready\n\
             queue access: 1.0 MiB of 1.0 GiB, sync = 100 ms, 1 204 dropped by a transform since the start\n\
             \n\
             STREAM  DESTINATION  ACCEPTED  DELIVERED  DEAD  DROPPED  DAMAGED  WAITING  OLDEST\n\
             access  kinesis        18 204     18 000     1        0        0      203  40 s\n\
             \n\
             the state store is in memory only for 60 s: no space left on device; no record is at risk\n\
             \n\
             access to kinesis is held for 10 s, next try in 30 s (auth)\n\
             \x20 kinesis does not know weir\n\
             \x20 it says: ExpiredToken: it expired\n\
             \n\
             TAIL   FILE                        SIZE   READ  QUEUED  DELIVERED  STATE\n\
             nginx  /var/log/nginx/access.log  2 000  1 700   1 500        900  to do\n\
             nginx  /var/log/nginx/?[2J?.log       7      7       7          7  done, gone 40 s\n\
             nginx  /var/log/secret                0      0       0          0  unreadable: Permission denied"
        );
    }
}
