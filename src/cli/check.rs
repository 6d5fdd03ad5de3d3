//! `weir check`: say what would run; touch nothing.

use std::process::ExitCode;

use clap::Args;

use super::ConfigFile;
use super::reach::load;
use super::report::{Answer, say};

/// What `weir check` can be told.
#[derive(Clone, Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    file: ConfigFile,
}

pub(super) fn check(check: &Check) -> Answer {
    let config = load(&check.file.config)?;
    say(config.summary().trim_end());
    Ok(ExitCode::SUCCESS)
}
