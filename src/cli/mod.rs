//! The words between operator and process: commands, flags, reports, exit codes.
//!
//! Uses: everything below.
//! Always: results on standard output, faults on standard error, an exit code that scripts can use.
//! Never: lives longer than one command.

use std::process::ExitCode;

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
