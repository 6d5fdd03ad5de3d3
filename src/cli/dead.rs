//! `weir dead`: records that could not be delivered; list, show, put back, take out, remove.

mod export;
mod purge;
mod which;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Value, json};

use self::which::Which;
use super::progress::while_waiting;
use super::reach::Reach;
use super::report::{Answer, Exit, Report, say, tell};
use super::table::{age, count, counted, lay_out};
use crate::base::clock::Clock;
use crate::base::disk::RealDisk;
use crate::base::units::ByteSize;
use crate::dead_letter::{self, Filter, Lying};

#[derive(Clone, Debug, Subcommand)]
pub(super) enum Dead {
    /// Count the dead letters of each stream and destination
    Ls(Ls),
    /// Print dead letters, one JSON object a line
    Show(Show),
    /// Put dead letters back into their queue, for the destination that could not take them
    Replay(Replay),
    /// Copy dead letters out, as lines that `weir send --envelope` takes
    Export(export::Export),
    /// Remove dead letters for good
    Purge(purge::Purge),
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
    /// Only the letter of this record, as `--id` has it
    #[arg(value_name = "ID", conflicts_with = "id")]
    record: Option<String>,
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
    /// For this destination of their stream, instead of the one that could not take them
    #[arg(long, value_name = "DESTINATION")]
    to: Option<String>,
    /// Print the outcome as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn dead(dead: &Dead) -> Answer {
    match dead {
        Dead::Ls(ls) => list(ls),
        Dead::Show(show) => print(show),
        Dead::Replay(replay) => put_back(replay),
        Dead::Export(export) => export::export(export),
        Dead::Purge(purge) => purge::purge(purge),
    }
}

fn list(ls: &Ls) -> Answer {
    let now = Clock::real().unix_ms();
    let filter = ls.which.filter(now);
    let folder = ls.reach.state_dir()?.join("dead");
    let mut rows = Vec::new();
    let mut values = Vec::new();
    for lying in which::shelves(&folder, &filter)? {
        let Lying { stream, destination, .. } = &lying;
        let tally = Tally::of(&lying, &filter)?;
        let aged_out = dead_letter::aged_out(&RealDisk, &folder, stream, destination)?;
        if !filter.is_by_shelf() && tally.letters == 0 {
            continue;
        }
        let age = tally.oldest.map_or_else(|| "-".into(), |at| age(now.saturating_sub(at) / 1000));
        values.push(json!({
            "stream": stream,
            "destination": destination,
            "letters": tally.letters,
            "unreadable": tally.unreadable,
            "bytes": tally.bytes,
            "oldest_unix_ms": tally.oldest,
            "aged_out": aged_out,
        }));
        let bytes = ByteSize(tally.bytes).rounded();
        let names = [stream.clone(), destination.clone()];
        let numbers = [count(tally.letters), bytes, age, count(aged_out)];
        rows.push(names.into_iter().chain(numbers).collect());
    }
    const HEAD: [&str; 6] = ["STREAM", "DESTINATION", "LETTERS", "SIZE", "OLDEST", "AGED OUT"];
    say(match (ls.json, rows.is_empty()) {
        (true, _) => format!("{:#}", Value::Array(values)),
        (false, true) => "no dead letters".into(),
        (false, false) => lay_out(&HEAD, &rows),
    });
    Ok(ExitCode::SUCCESS)
}

/// What lies on one shelf.
#[derive(Default)]
struct Tally {
    letters: u64,
    unreadable: u64,
    /// Of the letters' lines.
    bytes: u64,
    /// When the first of them was given up.
    oldest: Option<u64>,
}

impl Tally {
    fn of(lying: &Lying, filter: &Filter) -> Result<Self, Report> {
        let mut tally = Self::default();
        for file in &lying.files {
            let letters = dead_letter::letters(&RealDisk, &file.path);
            let mut letters = which::of(&file.path, letters)?;
            loop {
                let at = letters.offset();
                match which::of(&file.path, letters.next().transpose())? {
                    None => break,
                    Some(Ok(letter)) if filter.fits(&letter) => {
                        tally.letters += 1;
                        tally.bytes += letters.offset() - at;
                        let died = letter.died_unix_ms;
                        tally.oldest = Some(tally.oldest.map_or(died, |oldest| oldest.min(died)));
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) => tally.unreadable += 1,
                }
            }
        }
        Ok(tally)
    }
}

fn print(show: &Show) -> Answer {
    let mut filter = show.which.filter(Clock::real().unix_ms());
    filter.id = show.record.clone().or(filter.id);
    let mut shown = 0_u64;
    let bad = which::each(&show.reach, &filter, |letter| {
        shown += 1;
        say(letter.to_line());
        Ok(())
    })?;
    match &filter.id {
        Some(id) if shown == 0 => {
            Err(Report::new(Exit::Data, format!("there is no dead letter with the id `{id}`"))
                .hint("`weir dead show` prints all of them"))
        }
        _ if bad > 0 => Ok(Exit::Data.code()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn put_back(replay: &Replay) -> Answer {
    let mut order = json!(replay.which.filter(Clock::real().unix_ms()));
    if let (Some(order), Some(to)) = (order.as_object_mut(), &replay.to) {
        order.insert("to".into(), to.as_str().into());
    }
    let answer = while_waiting("putting letters back", || {
        replay.reach.ask(Method::POST, "/dead/replay", Some(&order))
    })?;
    let number = |key| answer.get(key).and_then(Value::as_u64).unwrap_or(0);
    let left = number("left");
    let notes = answer.get("notes").and_then(Value::as_array).into_iter().flatten();
    notes.filter_map(Value::as_str).for_each(|note| tell(format!("warning: {note}")));
    let back = counted(
        number("records"),
        "dead letter is back in its queue",
        "dead letters are back in their queues",
    );
    say(match (replay.json, left) {
        (true, _) => format!("{answer:#}"),
        (false, 0) => back,
        (false, _) => format!("{back}; {} cannot be put back and stay", count(left)),
    });
    Ok(ExitCode::SUCCESS)
}
