//! `weir queue`: looking into queues on disk, taking records out, and purging. All but `purge`
//! read only and need no lock.

mod export;
mod keys;
pub(super) mod output;
mod purge;
mod records;
mod stat;
mod verify;

pub(super) use records::shown;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::DEFAULT_CONFIG;
use super::reach::state_dir_of;
use super::report::{Answer, Exit, Report, say, tell};
use super::table::{count, lay_out};
use crate::agent::Addresses;
use crate::base::disk::{Disk as _, Kind, RealDisk};
use crate::base::units::ByteSize;
use crate::queue::inspect::{CursorState, Destination, Look};

#[derive(Clone, Debug, Subcommand)]
pub(super) enum Queue {
    /// List the queues: segments, size, positions, what waits for each destination
    Ls(Ls),
    /// Show the segments, cursors and set aside ranges of a queue
    Stat(stat::Stat),
    /// Read a queue, or all, and check every frame; exit code 65 if something is damaged
    Verify(verify::Verify),
    /// Print records as they lie in a queue
    Dump(records::Dump),
    /// Take records out as lines that `weir send` can put back; the queue stays as it is
    Export(export::Export),
    /// Drop what waits, counted in the ledger, and give its space back; the agent must be stopped
    Purge(purge::Purge),
}

#[derive(Clone, Debug, Args)]
pub(super) struct Ls {
    #[command(flatten)]
    place: Place,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// Where the queues are. The agent may run; what it settled in the last moment is not saved yet.
#[derive(Clone, Debug, Args)]
struct Place {
    #[command(flatten)]
    home: Home,
    /// One queue's own folder, such as a rescued copy, instead of those in a state directory
    #[arg(long, value_name = "QUEUE_FOLDER", conflicts_with = "state_dir")]
    folder: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
struct Home {
    /// The configuration the agent runs with
    #[arg(long, short, value_name = "FILE", env = "WEIR_CONFIG", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
    /// The agent's state directory, instead of the one in the configuration
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// A key of a sealed queue, as `file:PATH` or `credential:NAME`, instead of those in the
    /// configuration; may be given several times
    #[arg(long, value_name = "REFERENCE")]
    key: Vec<String>,
}

/// A queue that was found.
struct Lying {
    stream: String,
    look: Look,
}

pub(super) fn queue(queue: &Queue) -> Answer {
    match queue {
        Queue::Ls(ls) => list(ls),
        Queue::Stat(stat) => stat::stat(stat),
        Queue::Verify(verify) => verify::verify(verify),
        Queue::Dump(dump) => records::dump(dump),
        Queue::Export(export) => export::export(export),
        Queue::Purge(purge) => purge::purge(purge),
    }
}

impl Place {
    /// One queue, named unless its folder is.
    fn one(&self, stream: Option<&str>) -> Result<Lying, Report> {
        match (&self.folder, stream) {
            (Some(folder), stream) => self.home.look(stream, folder),
            (None, Some(stream)) => {
                let state_dir = self.home.state_dir()?;
                let folder = self.home.folder_of(&state_dir, stream)?;
                warn_if_running(&state_dir);
                self.home.look(Some(stream), &folder)
            }
            (None, None) => {
                Err(Report::new(Exit::Usage, "which queue? the name of a stream is missing")
                    .hint("`weir queue ls` lists them; `--folder` takes a queue's own folder"))
            }
        }
    }

    /// One queue, or all that can be looked into; what is wrong with the others is told.
    fn all(&self, stream: Option<&str>) -> Result<Found, Report> {
        if self.folder.is_some() || stream.is_some() {
            return Ok(Found { queues: vec![self.one(stream)?], is_complete: true });
        }
        let state_dir = self.home.state_dir()?;
        let mut found = Found { queues: Vec::new(), is_complete: true };
        for name in streams(&state_dir)? {
            match self.home.look(Some(&name), &state_dir.join(QUEUES).join(&name)) {
                Ok(lying) => found.queues.push(lying),
                Err(report) => {
                    report.print();
                    found.is_complete = false;
                }
            }
        }
        warn_if_running(&state_dir);
        Ok(found)
    }
}

/// The queues that can be looked into.
struct Found {
    queues: Vec<Lying>,
    is_complete: bool,
}

/// The exit code of a command that told what is wrong on the way.
fn ending(is_sound: bool) -> ExitCode {
    if is_sound { ExitCode::SUCCESS } else { Exit::Data.code() }
}

impl Home {
    fn state_dir(&self) -> Result<PathBuf, Report> {
        match &self.state_dir {
            Some(dir) => Ok(dir.clone()),
            None => state_dir_of(&self.config),
        }
    }

    fn folder_of(&self, state_dir: &Path, stream: &str) -> Result<PathBuf, Report> {
        let known = streams(state_dir)?;
        if known.iter().any(|name| name == stream) {
            return Ok(state_dir.join(QUEUES).join(stream));
        }
        let words = format!("there is no queue of a stream `{stream}` in {}", state_dir.display());
        let known = if known.is_empty() { "none".into() } else { known.join(", ") };
        Err(Report::new(Exit::Data, words).hint(&format!("these are there: {known}")))
    }
}

const QUEUES: &str = "queue";

/// The streams that have a queue.
fn streams(state_dir: &Path) -> Result<Vec<String>, Report> {
    let folder = state_dir.join(QUEUES);
    let listed = RealDisk.list(&folder).map_err(|error| {
        let words = format!("{} holds no queues: {error}", state_dir.display());
        let report = match error.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => {
                Report::new(Exit::Data, words)
            }
            _ => Report::disk(&error, words),
        };
        report.hint(
            "a state directory of weir has a folder `queue`; `--folder` takes one of those in it",
        )
    })?;
    let folders = listed.into_iter().filter(|one| one.kind == Kind::Folder);
    Ok(folders.map(|one| one.name).collect())
}

fn look(stream: Option<&str>, folder: &Path) -> Result<Lying, Report> {
    let named = || folder.file_name().map(|name| name.to_string_lossy().into_owned());
    let stream = stream.map(str::to_owned).or_else(named).unwrap_or_else(|| "?".into());
    Ok(Lying { stream, look: Look::at(Arc::new(RealDisk), folder)? })
}

fn warn_if_running(state_dir: &Path) {
    if Addresses::read(&RealDisk, state_dir).is_ok() {
        tell(
            "note: an agent seems to be running; what it settled since it last saved its cursors still counts as waiting here (`weir status` knows)",
        );
    }
}

fn list(ls: &Ls) -> Answer {
    let mut rows = Vec::new();
    let mut values = Vec::new();
    let found = ls.place.all(None)?;
    for Lying { stream, look } in found.queues {
        let (first, end) = (look.first(), look.end()?);
        let waiting: Vec<Value> =
            look.destinations().iter().map(|one| waiting_value(one, end)).collect();
        values.push(json!({
            "stream": stream,
            "folder": look.folder().display().to_string(),
            "segments": look.segment_count(),
            "bytes": look.bytes(),
            "first": first,
            "last": end,
            "destinations": waiting,
        }));
        let front = [
            stream,
            count(look.segment_count() as u64),
            ByteSize(look.bytes()).rounded(),
            first.map_or_else(|| "-".into(), count),
            count(end),
        ];
        if look.destinations().is_empty() {
            rows.push([&front[..], &["-".into(), "-".into()]].concat());
        }
        for one in look.destinations() {
            rows.push([&front[..], &[one.name.clone(), waiting_text(one, end)]].concat());
        }
    }
    const HEAD: [&str; 7] =
        ["STREAM", "SEGMENTS", "SIZE", "FIRST", "LAST", "DESTINATION", "WAITING"];
    say(match (ls.json, rows.is_empty()) {
        (true, _) => format!("{:#}", Value::Array(values)),
        (false, true) => "no queues".into(),
        (false, false) => lay_out(&HEAD, &rows),
    });
    Ok(ending(found.is_complete))
}

fn waiting_text(destination: &Destination, end: u64) -> String {
    match &destination.cursor {
        CursorState::Good(standing) => count(standing.waiting(end)),
        CursorState::Damaged => "cursor damaged".into(),
        CursorState::Foreign(version) => format!("cursor of version {version}"),
    }
}

fn waiting_value(destination: &Destination, end: u64) -> Value {
    json!({
        "destination": destination.name,
        "waiting": destination.standing().map(|standing| standing.waiting(end)),
        "cursor": state_word(&destination.cursor),
    })
}

fn state_word(cursor: &CursorState) -> String {
    match cursor {
        CursorState::Good(_) => "good".into(),
        CursorState::Damaged => "damaged".into(),
        CursorState::Foreign(version) => format!("version {version}"),
    }
}
