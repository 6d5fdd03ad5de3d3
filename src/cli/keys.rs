//! `weir keys`: API keys in their file, hashed; the secret is shown once.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::report::{Answer, Exit, Report, say, tell};
use super::table::lay_out;
use crate::admission::keys::{self, KeysError, Listed};
use crate::base::clock::Clock;
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

pub(super) fn keys(keys: &Keys) -> Answer {
    match keys {
        Keys::Add(new) => add(new),
        Keys::Ls(file) => list(file),
        Keys::Revoke(revoke) => take_back(revoke),
    }
}

fn add(add: &Add) -> Answer {
    let new = keys::NewKey {
        name: add.name.clone(),
        plan: add.plan.clone(),
        streams: (!add.streams.is_empty()).then(|| add.streams.clone()),
        expires: add.expires.clone(),
    };
    let secret = keys::add(&RealDisk, &Clock::real(), &add.file.file, &new).map_err(fault)?;
    if add.file.json {
        say(json!({ "name": add.name, "secret": secret.reveal() }));
    } else {
        say(secret.reveal());
        tell("this is the only time the secret is shown; the file keeps its hash");
    }
    Ok(ExitCode::SUCCESS)
}

fn list(file: &File) -> Answer {
    let listed = keys::list(&RealDisk, &Clock::real(), &file.file).map_err(fault)?;
    if file.json {
        let values: Vec<Value> = listed.iter().map(value).collect();
        say(format!("{:#}", Value::Array(values)));
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Vec<String>> = listed.into_iter().map(row).collect();
    say(lay_out(&["NAME", "ID", "PLAN", "STREAMS", "EXPIRES", "CREATED"], &rows));
    Ok(ExitCode::SUCCESS)
}

fn row(key: Listed) -> Vec<String> {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    let expires = match (key.expires, key.is_expired) {
        (Some(at), true) => format!("{at} (over)"),
        (at, _) => or_dash(at),
    };
    let streams = key.streams.map_or_else(|| "all".into(), |streams| streams.join(","));
    vec![key.name, key.id, or_dash(key.plan), streams, expires, or_dash(key.created)]
}

fn value(key: &Listed) -> Value {
    json!({
        "name": key.name,
        "id": key.id,
        "plan": key.plan,
        "streams": key.streams,
        "expires": key.expires,
        "is_expired": key.is_expired,
        "created": key.created,
    })
}

fn take_back(revoke: &Revoke) -> Answer {
    let ids = keys::revoke(&RealDisk, &revoke.file.file, &revoke.who).map_err(fault)?;
    say(if revoke.file.json {
        json!({ "revoked": ids }).to_string()
    } else {
        format!("revoked {}; a running agent notices within a second", ids.join(", "))
    });
    Ok(ExitCode::SUCCESS)
}

fn fault(error: KeysError) -> Report {
    match error {
        KeysError::Wrong(_) => Report::new(Exit::Data, error),
        KeysError::Busy(_) => Report::new(Exit::TryLater, error).hint("try again in a moment"),
        KeysError::Io(error) if error.kind() == io::ErrorKind::NotFound => {
            Report::new(Exit::Data, error)
        }
        KeysError::Io(error) => error.into(),
    }
}
