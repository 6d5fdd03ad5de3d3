//! `weir keys`: API keys in their file, hashed; the secret is shown once.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::report::{Answer, Exit, Report, say};
use super::table::lay_out;
use crate::admission::keys;
use crate::base::disk::RealDisk;

#[derive(Clone, Debug, Subcommand)]
pub(super) enum Keys {
    /// Make a key for a caller and print its secret, once
    Add(Add),
    /// List the keys of a file; secrets are not in it
    Ls(File),
    /// Take a key back by its id, or all keys of a caller by its name
    Revoke(Revoke),
}

#[derive(Clone, Debug, Args)]
pub(super) struct File {
    /// The keys file, as `[auth.*]` names it
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Debug, Args)]
pub(super) struct Add {
    /// The caller
    name: String,
    #[command(flatten)]
    file: File,
    /// The usage plan of the key
    #[arg(long, value_name = "PLAN")]
    plan: Option<String>,
    /// A stream the key is good for; all without
    #[arg(long = "stream", value_name = "STREAM")]
    streams: Vec<String>,
    /// When it ends, like 2027-01-01T00:00:00Z; never without
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
}

#[derive(Clone, Debug, Args)]
pub(super) struct Revoke {
    /// A caller, or the id of one key
    who: String,
    #[command(flatten)]
    file: File,
}
