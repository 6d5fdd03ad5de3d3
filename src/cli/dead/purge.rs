//! `weir dead purge`: letters removed for good, by the operator's word.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::which::{Which, each};
use crate::base::clock::Clock;
use crate::base::disk::RealDisk;
use crate::cli::reach::Reach;
use crate::cli::report::{Answer, Exit, Report, say, tell};
use crate::cli::table::{count, counted};
use crate::dead_letter::{self, Filter, Purged};

#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Purge {
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    which: Which,
    /// Don't ask
    #[arg(long)]
    yes: bool,
    /// Print the outcome as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn purge(purge: &Purge) -> Answer {
    let filter = purge.which.filter(Clock::real().unix_ms());
    if !purge.yes {
        confirm(purge, &filter)?;
    }
    let folder = purge.reach.state_dir()?.join("dead");
    let purged = dead_letter::purge(&RealDisk, &folder, &filter)?;
    for path in &purged.in_use {
        tell(format!(
            "warning: {} is on its way back to its queue, or is just being written; it was left as \
             it is\nhint: `weir dead replay` ends what was begun; then purge once more",
            path.display()
        ));
    }
    say(if purge.json { value(&purged) } else { text(&purged) });
    Ok(if purged.in_use.is_empty() { ExitCode::SUCCESS } else { Exit::TryLater.code() })
}

fn confirm(purge: &Purge, filter: &Filter) -> Result<(), Report> {
    if !io::stdin().is_terminal() {
        return Err(Report::new(Exit::Usage, "nobody is there to be asked; nothing was purged")
            .hint("say `--yes` to purge without a question"));
    }
    let mut letters = 0_u64;
    each(&purge.reach, filter, |_| {
        letters += 1;
        Ok(())
    })?;
    let letters = counted(letters, "dead letter", "dead letters");
    let mut prompt = io::stderr().lock();
    write!(prompt, "{letters} will be removed, for good. Type `purge` to go on: ")?;
    prompt.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if answer.trim() == "purge" {
        return Ok(());
    }
    Err(Report::new(Exit::Usage, "that was not `purge`; nothing was purged"))
}

fn text(purged: &Purged) -> String {
    let letters = counted(purged.letters, "dead letter", "dead letters");
    match purged.unreadable {
        0 => format!("{letters} removed"),
        lines => format!("{letters} removed, and {} that could not be read", count(lines)),
    }
}

fn value(purged: &Purged) -> String {
    let in_use: Vec<_> = purged.in_use.iter().map(|path| path.display().to_string()).collect();
    let value = json!({
        "letters": purged.letters,
        "unreadable": purged.unreadable,
        "in_use": in_use,
    });
    format!("{value:#}")
}
