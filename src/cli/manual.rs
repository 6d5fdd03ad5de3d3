//! `weir completions` and `weir man`: what shells and `man` know of the commands, made from the
//! definitions that the commands are read by.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Command};
use clap_complete::Shell;

use super::report::{Answer, Report, say};
use crate::base::disk::foreign;
use crate::config::reference;

#[derive(Clone, Debug, Args)]
pub(super) struct Completions {
    /// The shell that is to complete
    shell: Shell,
}

#[derive(Clone, Debug, Args)]
pub(super) struct Man {
    /// The folder that takes them; what is there of the same name is replaced
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub(super) fn completions(completions: &Completions, mut line: Command) -> Answer {
    let mut script = Vec::new();
    clap_complete::generate(completions.shell, &mut line, "weir", &mut script);
    say(String::from_utf8_lossy(&script).trim_end());
    Ok(ExitCode::SUCCESS)
}

pub(super) fn man(man: &Man, line: Command) -> Answer {
    let page = man.folder.join("weir.toml.5");
    clap_mangen::generate_to(line, &man.folder)
        .and_then(|()| foreign::publish(&page, reference::manual().as_bytes()))
        .map_err(|error: io::Error| {
            let words = format!("cannot write pages into {}: {error}", man.folder.display());
            Report::disk(&error, words).hint("name a folder that is there and may be written to")
        })?;
    Ok(ExitCode::SUCCESS)
}
