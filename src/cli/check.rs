//! `weir check`: say what would run; touch nothing.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::ConfigFile;
use super::reach::{load, read};
use super::report::{Answer, Exit, say};
use crate::config::Finding;

/// What `weir check` can be told.
#[derive(Clone, Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    file: ConfigFile,
    /// Print what was found as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn check(check: &Check) -> Answer {
    if check.json {
        return Ok(findings(&check.file.config));
    }
    let config = load(&check.file.config)?;
    say(config.summary().trim_end());
    Ok(ExitCode::SUCCESS)
}

fn findings(path: &Path) -> ExitCode {
    let (errors, warnings) = match read(path) {
        Ok(loaded) => (Vec::new(), loaded.warnings),
        Err(findings) => (findings.shown().to_vec(), Vec::new()),
    };
    let values = |found: &[Finding]| found.iter().map(value).collect::<Vec<_>>();
    say(format!("{:#}", json!({ "errors": values(&errors), "warnings": values(&warnings) })));
    if errors.is_empty() { ExitCode::SUCCESS } else { Exit::Config.code() }
}

fn value(finding: &Finding) -> Value {
    let (line, column) = finding.place().unzip();
    json!({
        "message": finding.message(),
        "line": line,
        "column": column,
        "text": finding.to_string(),
    })
}
