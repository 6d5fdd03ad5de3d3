//! `weir queue purge`: what waits is dropped, by the operator's word, and counted.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use bytes::Bytes;
use clap::Args;
use serde_json::json;

use super::{Home, Lying};
use crate::agent::{StartError, StateDir, StateDirError};
use crate::base::disk::RealDisk;
use crate::base::units::ByteSize;
use crate::cli::report::{Answer, Exit, Report, say};
use crate::cli::table::{count, counted, lay_out};
use crate::queue::inspect::{self, Look, Purged};
use crate::record;

#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Purge {
    #[command(flatten)]
    home: Home,
    /// The stream
    #[arg(value_name = "STREAM")]
    stream: String,
    /// Only what waits for this destination; for all without
    #[arg(long, short, value_name = "DESTINATION")]
    destination: Option<String>,
    /// Don't ask
    #[arg(long)]
    yes: bool,
    /// Print the outcome as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn purge(purge: &Purge) -> Answer {
    let state_dir = purge.home.state_dir()?;
    let folder = purge.home.folder_of(&state_dir, &purge.stream)?;
    let _lock = StateDir::open(Arc::new(RealDisk), &state_dir).map_err(in_use)?;
    let Lying { look, .. } = purge.home.look(Some(&purge.stream), &folder)?;
    if !purge.yes {
        confirm(purge, &look)?;
    }
    let purged = inspect::purge(&look, purge.destination.as_deref(), &is_elsewhere)?;
    say(if purge.json { value(&purge.stream, &purged) } else { text(&purged) });
    Ok(ExitCode::SUCCESS)
}

fn in_use(error: StateDirError) -> Report {
    match error {
        StateDirError::Locked { path, holder } => {
            let words = format!(
                "the state directory {} is in use by {holder}; nothing was purged",
                path.display()
            );
            Report::new(Exit::TryLater, words).hint("stop the agent (`systemctl stop weir`)")
        }
        other => StartError::StateDir(other).into(),
    }
}

/// Whether a record was put back for another destination only. What is no record waits for all.
fn is_elsewhere(payload: &Bytes, destination: &str) -> bool {
    let record = record::decode(payload.clone()).ok();
    record.and_then(|record| record.only_for).is_some_and(|only| only != destination)
}

fn confirm(purge: &Purge, look: &Look) -> Result<(), Report> {
    if !io::stdin().is_terminal() {
        return Err(Report::new(Exit::Usage, "nobody is there to be asked; nothing was purged")
            .hint("say `--yes` to purge without a question"));
    }
    let end = look.end()?;
    let asked = |name: &str| purge.destination.as_deref().is_none_or(|asked| asked == name);
    let waiting = look.destinations().iter().filter(|one| asked(&one.name));
    let waiting: Vec<String> = waiting
        .filter_map(|one| {
            Some(format!("{} for `{}`", count(one.standing()?.waiting(end)), one.name))
        })
        .collect();
    let waiting = if waiting.is_empty() { "nothing".into() } else { waiting.join(", ") };
    let stream = &purge.stream;
    let mut prompt = io::stderr().lock();
    write!(
        prompt,
        "{waiting} will be dropped from stream `{stream}`, for good. Type `{stream}` to go on: "
    )?;
    prompt.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if answer.trim() == stream {
        return Ok(());
    }
    Err(Report::new(Exit::Usage, "that was not the stream's name; nothing was purged"))
}

fn text(purged: &Purged) -> String {
    let rows: Vec<_> = purged
        .rows
        .iter()
        .map(|row| vec![row.destination.clone(), count(row.dropped), count(row.damaged)])
        .collect();
    let segments = counted(purged.segments, "segment", "segments");
    let freed = format!("{segments} removed, {} freed", ByteSize(purged.bytes).rounded());
    if rows.is_empty() {
        return format!("the queue has no destinations, so nothing waits; {freed}");
    }
    format!("{}\n\n{freed}", lay_out(&["DESTINATION", "DROPPED", "DAMAGED"], &rows))
}

fn value(stream: &str, purged: &Purged) -> String {
    let rows = purged.rows.iter().map(|row| {
        json!({
            "destination": row.destination,
            "dropped": row.dropped,
            "damaged": row.damaged,
            "elsewhere": row.elsewhere,
        })
    });
    let value = json!({
        "stream": stream,
        "destinations": rows.collect::<Vec<_>>(),
        "segments_removed": purged.segments,
        "bytes_freed": purged.bytes,
    });
    format!("{value:#}")
}
