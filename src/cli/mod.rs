//! The words between operator and process: commands, flags, reports, exit codes.
//!
//! Uses: everything below.
//! Always: results on standard output, faults on standard error, an exit code that scripts can use.
//! Never: lives longer than one command.

mod check;
mod consume;
mod dead;
mod doctor;
mod envelope;
mod keys;
mod manual;
mod progress;
mod queue;
mod reach;
mod reload;
mod report;
mod run;
mod send;
mod status;
mod table;
mod test;
mod when;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, Parser, Subcommand};

use report::Report;

/// What the process was started with.
#[derive(Debug, Parser)]
#[command(
    name = "weir",
    version,
    about = "Edge ingestion agent: takes records over HTTP and from files, makes them durable, ships them to Kinesis and Firehose",
    max_term_width = 100
)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the agent
    Run(run::Run),
    /// Run with no configuration and no cloud: HTTP in, files in a folder out
    Demo(run::Demo),
    /// Check the configuration and say what would run; start nothing
    Check(check::Check),
    /// Check the host and the upstream for real; put nothing anywhere
    Doctor(doctor::Doctor),
    /// Try cases against the configuration: what comes in, what becomes of it
    Test(test::Test),
    /// Have the running agent read its configuration again; say what changed, or why not
    Reload(reload::Reload),
    /// Show the ledger and the health of the running agent
    Status(status::Show),
    /// Send records to an agent: each line of standard input or of files is one
    Send(send::Send),
    /// Read back what arrived at a Kinesis stream, aggregates taken apart
    Consume(consume::Consume),
    /// List, show and replay records that could not be delivered
    #[command(subcommand)]
    Dead(dead::Dead),
    /// Look into the queues on disk, running agent or not; take records out, check, purge
    #[command(subcommand)]
    Queue(queue::Queue),
    /// Add, list and revoke API keys
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Print what makes a shell complete commands and flags
    Completions(manual::Completions),
    /// Write the manual pages into a folder: a page for each command, and weir.toml(5)
    Man(manual::Man),
}

/// Where the configuration is.
#[derive(Clone, Debug, Args)]
struct ConfigFile {
    /// The configuration
    #[arg(long, short, value_name = "FILE", env = "WEIR_CONFIG", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
}

const DEFAULT_CONFIG: &str = "/etc/weir/weir.toml";

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let line = match Line::try_parse() {
        Ok(line) => line,
        Err(error) => return report::usage(&error),
    };
    let answer = match line.command {
        Command::Run(run) => run::run(&run),
        Command::Demo(demo) => run::demo(&demo),
        Command::Check(check) => check::check(&check),
        Command::Doctor(doctor) => doctor::doctor(&doctor),
        Command::Test(test) => test::test(&test),
        Command::Reload(reload) => reload::reload(&reload),
        Command::Status(show) => status::status(&show),
        Command::Send(send) => send::send(&send),
        Command::Consume(consume) => consume::consume(&consume),
        Command::Dead(dead) => dead::dead(&dead),
        Command::Queue(queue) => queue::queue(&queue),
        Command::Keys(keys) => keys::keys(&keys),
        Command::Completions(shell) => manual::completions(&shell, Line::command()),
        Command::Man(man) => manual::man(&man, Line::command()),
    };
    answer.unwrap_or_else(Report::print)
}
