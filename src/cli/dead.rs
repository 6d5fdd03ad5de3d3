//! `weir dead`: records that could not be delivered; list, show, and put back.

use std::path::Path;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Value, json};

use super::reach::Reach;
use super::report::{Answer, Exit, Report, say, tell};
use super::table::{age, count, counted, lay_out};
use crate::base::clock::Clock;
use crate::base::disk::RealDisk;
use crate::base::units::ByteSize;
use crate::dead_letter::{self, Lying};

#[derive(Clone, Debug, Subcommand)]
pub(super) enum Dead {
    /// Count the dead letters of each stream and destination
    Ls(Ls),
    /// Print dead letters, one JSON object a line
    Show(Show),
    /// Put dead letters back into their queue, for the destination that could not take them
    Replay(Replay),
}

#[derive(Clone, Debug, Args)]
pub(super) struct Ls {
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    which: Which,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Debug, Args)]
pub(super) struct Show {
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    which: Which,
    /// Only the letter of this record
    #[arg(value_name = "ID")]
    id: Option<String>,
    /// As the other commands have it; letters are JSON in any case
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Debug, Args)]
pub(super) struct Replay {
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    which: Which,
    /// Print the outcome as JSON
    #[arg(long)]
    json: bool,
}

/// Which letters; all of them without.
#[derive(Clone, Debug, Args)]
struct Which {
    /// Only this stream
    #[arg(long, short, value_name = "STREAM")]
    stream: Option<String>,
    /// Only this destination
    #[arg(long, short, value_name = "DESTINATION")]
    destination: Option<String>,
}

impl Which {
    fn shelves(&self, state_dir: &Path) -> Result<Vec<Lying>, Report> {
        let fits = |asked: &Option<String>, name: &str| asked.as_deref().is_none_or(|one| one == name);
        let mut found = dead_letter::shelves(&RealDisk, &state_dir.join("dead"))?;
        found.retain(|lying| {
            fits(&self.stream, &lying.stream) && fits(&self.destination, &lying.destination)
        });
        Ok(found)
    }
}

pub(super) fn dead(dead: &Dead) -> Answer {
    match dead {
        Dead::Ls(ls) => list(ls),
        Dead::Show(show) => print(show),
        Dead::Replay(replay) => put_back(replay),
    }
}

fn list(ls: &Ls) -> Answer {
    let now = Clock::real().unix_ms();
    let mut rows = Vec::new();
    let mut values = Vec::new();
    for lying in ls.which.shelves(&ls.reach.state_dir()?)? {
        let tally = Tally::of(&lying)?;
        let oldest = lying.files.first().map(|file| file.begun_unix_ms);
        let age = oldest.map_or_else(|| "-".into(), |at| age(now.saturating_sub(at) / 1000));
        values.push(json!({
            "stream": lying.stream,
            "destination": lying.destination,
            "letters": tally.letters,
            "unreadable": tally.unreadable,
            "bytes": tally.bytes,
            "oldest_unix_ms": oldest,
        }));
        let bytes = ByteSize(tally.bytes).rounded();
        rows.push(vec![lying.stream, lying.destination, count(tally.letters), bytes, age]);
    }
    say(match (ls.json, rows.is_empty()) {
        (true, _) => format!("{:#}", Value::Array(values)),
        (false, true) => "no dead letters".into(),
        (false, false) => lay_out(&["STREAM", "DESTINATION", "LETTERS", "SIZE", "OLDEST"], &rows),
    });
    Ok(ExitCode::SUCCESS)
}

/// What lies on one shelf.
#[derive(Default)]
struct Tally {
    letters: u64,
    unreadable: u64,
    bytes: u64,
}

impl Tally {
    fn of(lying: &Lying) -> Result<Self, Report> {
        let mut tally = Self::default();
        for file in &lying.files {
            tally.bytes += file.bytes;
            for letter in dead_letter::letters(&RealDisk, &file.path)? {
                match letter? {
                    Ok(_) => tally.letters += 1,
                    Err(_) => tally.unreadable += 1,
                }
            }
        }
        Ok(tally)
    }
}

fn print(show: &Show) -> Answer {
    let mut shown = 0_u64;
    let mut bad = 0_u64;
    for lying in show.which.shelves(&show.reach.state_dir()?)? {
        for path in lying.files.iter().map(|file| &file.path) {
            for letter in dead_letter::letters(&RealDisk, path)? {
                match letter? {
                    Ok(letter) if wanted(&letter.record.id.to_string(), show.id.as_deref()) => {
                        shown += 1;
                        say(letter.to_line());
                    }
                    Ok(_) => {}
                    Err(line) => {
                        bad += 1;
                        tell(unreadable(path, &line));
                    }
                }
            }
        }
    }
    match &show.id {
        Some(id) if shown == 0 => {
            Err(Report::new(Exit::Data, format!("there is no dead letter with the id `{id}`"))
                .hint("`weir dead show` prints all of them"))
        }
        _ if bad > 0 => Ok(Exit::Data.code()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn wanted(id: &str, asked: Option<&str>) -> bool {
    asked.is_none_or(|asked| asked.eq_ignore_ascii_case(id))
}

fn unreadable(path: &Path, line: &dead_letter::BadLine) -> String {
    format!("warning: {}, byte {}: {}; it was passed over", path.display(), line.at, line.why)
}

fn put_back(replay: &Replay) -> Answer {
    let Which { stream, destination } = &replay.which;
    let filter = json!({ "stream": stream, "destination": destination });
    let answer = replay.reach.ask(Method::POST, "/dead/replay", Some(&filter))?;
    let number = |key| answer.get(key).and_then(Value::as_u64).unwrap_or(0);
    let left = number("left");
    let notes = answer.get("notes").and_then(Value::as_array).into_iter().flatten();
    notes.filter_map(Value::as_str).for_each(|note| tell(format!("warning: {note}")));
    let back =
        counted(number("records"), "dead letter is back in its queue", "dead letters are back in their queues");
    say(match (replay.json, left) {
        (true, _) => format!("{answer:#}"),
        (false, 0) => back,
        (false, _) => format!("{back}; {} cannot be put back and stay", count(left)),
    });
    Ok(ExitCode::SUCCESS)
}
