//! `weir doctor`: looks at the host and asks the upstream, for real; puts nothing anywhere but a
//! small file into the state directory, to see how fast the disk is, and removes it.

mod host;
mod upstream;

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::ConfigFile;
use super::reach::load;
use super::report::{Answer, Exit, Report, say};
use super::table::{counted, lay_out};

/// What `weir doctor` can be told.
#[derive(Clone, Debug, Args)]
pub(super) struct Doctor {
    #[command(flatten)]
    file: ConfigFile,
    /// Print what was found as JSON
    #[arg(long)]
    json: bool,
}

/// How one thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    Well,
    /// It works, but not as well as it could.
    Note,
    /// It does not work; with the exit code that says so.
    Fault(Exit),
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    /// `host`, or a destination.
    about: String,
    what: &'static str,
    health: Health,
    words: String,
}

pub(super) fn doctor(doctor: &Doctor) -> Answer {
    let config = load(&doctor.file.config)?;
    let mut found = host::look(&config);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Report::new(Exit::Software, error))?;
    for (name, destination) in &config.destinations {
        found.extend(runtime.block_on(upstream::look(name, destination)));
    }
    say(if doctor.json { as_json(&found) } else { as_text(&found) });
    let worst = found.iter().find_map(|found| match found.health {
        Health::Fault(exit) => Some(exit),
        _ => None,
    });
    Ok(worst.map_or(ExitCode::SUCCESS, Exit::code))
}

impl Health {
    fn as_str(self) -> &'static str {
        match self {
            Self::Well => "well",
            Self::Note => "note",
            Self::Fault(_) => "fault",
        }
    }
}

fn as_json(found: &[Found]) -> String {
    let row = |found: &Found| {
        let Found { about, what, health, words } = found;
        json!({ "about": about, "what": what, "health": health.as_str(), "words": words })
    };
    format!("{:#}", Value::Array(found.iter().map(row).collect()))
}

fn as_text(found: &[Found]) -> String {
    let row = |found: &Found| {
        let Found { about, what, health, words } = found;
        vec![health.as_str().to_owned(), about.clone(), (*what).to_owned(), words.clone()]
    };
    let rows: Vec<_> = found.iter().map(row).collect();
    let count = |wanted: fn(Health) -> bool| {
        found.iter().filter(|found| wanted(found.health)).count() as u64
    };
    let faults = count(|health| matches!(health, Health::Fault(_)));
    let notes = count(|health| health == Health::Note);
    format!(
        "{}\n\n{}, {}; nothing was put anywhere",
        lay_out(&["", "ABOUT", "WHAT", "FOUND"], &rows),
        counted(faults, "fault", "faults"),
        counted(notes, "note", "notes")
    )
}
