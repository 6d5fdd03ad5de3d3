//! `weir dead export`: letters as lines that `weir send --envelope` puts into any agent.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::which::{Which, each};
use crate::base::clock::Clock;
use crate::cli::queue::output::{Output, Reader};
use crate::cli::reach::Reach;
use crate::cli::report::{Answer, Exit, Report, say, tell};
use crate::cli::table::{count, counted};

#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Export {
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    which: Which,
    /// Write into this new file instead of standard output
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// Print the outcome as JSON: on standard output with `--to`, else on standard error
    #[arg(long)]
    json: bool,
}

pub(super) fn export(export: &Export) -> Answer {
    let filter = export.which.filter(Clock::real().unix_ms());
    let mut output = Output::new(export.to.as_deref())?;
    let mut exported = 0_u64;
    let went_away = || {
        Report::new(
            Exit::Disk,
            "the reader of standard output went away; not everything was written",
        )
    };
    let unreadable = each(&export.reach, &filter, |letter| {
        exported += 1;
        match output.line(letter.to_line().as_bytes())? {
            Reader::Listens => Ok(()),
            Reader::WentAway => Err(went_away()),
        }
    })?;
    if output.finish()? == Reader::WentAway {
        return Err(went_away());
    }

    let outcome = if export.json {
        format!("{:#}", json!({ "letters": exported, "unreadable": unreadable }))
    } else {
        let letters = counted(exported, "dead letter", "dead letters");
        let rest = match unreadable {
            0 => String::new(),
            _ => format!(", {} could not be read", count(unreadable)),
        };
        format!("{letters} exported{rest}; they stay where they are")
    };
    // Standard output belongs to the letters.
    if export.to.is_some() {
        say(outcome);
    } else {
        tell(outcome);
    }
    Ok(if unreadable == 0 { ExitCode::SUCCESS } else { Exit::Data.code() })
}
