//! Finding the configuration, and the running agent it belongs to.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use hyper::Method;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use serde_json::Value;

use super::DEFAULT_CONFIG;
use super::report::{Exit, Report, tell};
use super::send::call_blocking;
use crate::agent::Addresses;
use crate::base::disk::RealDisk;
use crate::base::http_call::Call;
use crate::base::secret::{self, Secret};
use crate::config::{self, Config, Findings, Loaded};

/// Which agent a command is about.
#[derive(Clone, Debug, Args)]
pub(super) struct Reach {
    /// The configuration the agent runs with
    #[arg(long, short, value_name = "FILE", env = "WEIR_CONFIG", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
    /// The agent's admin address, instead of the one in its state directory
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<String>,
    /// The agent's state directory, instead of the one in the configuration
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// A file that holds an operator's key, where the agent asks for one; else it is taken from WEIR_ADMIN_KEY
    #[arg(long, value_name = "FILE")]
    admin_key: Option<PathBuf>,
}

/// Where an agent answers that was started without a configuration.
const ADMIN_KEY: HeaderName = HeaderName::from_static("x-api-key");
const DEFAULT_ADMIN: &str = "127.0.0.1:9808";
const DEFAULT_HTTP: &str = "http://127.0.0.1:8080";
/// A replay of many letters takes its time.
const ASK_TIMEOUT: Duration = Duration::from_secs(600);

/// Loads a configuration; all its faults go to standard error.
pub(super) fn load(path: &Path) -> Result<Config, Report> {
    let loaded = read(path).map_err(|findings| Report::findings(&findings))?;
    loaded.warnings.iter().for_each(|warning| tell(format!("{warning}\n")));
    Ok(loaded.config)
}

/// Reads a configuration, with what is wrong or doubtful about it.
pub(super) fn read(path: &Path) -> Result<Loaded, Findings> {
    config::load(&RealDisk, &environment, path)
}

/// The state directory that a configuration names. What else is wrong with it is told by those who
/// run or check it; and its secrets may be there for the agent alone.
pub(super) fn state_dir_of(path: &Path) -> Result<PathBuf, Report> {
    config::state_dir(&RealDisk, &environment, path).map_err(|findings| {
        let report = Report::findings(&findings);
        if path.exists() {
            return report;
        }
        report.hint("`--state-dir DIR` leads to an agent that runs without one")
    })
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

impl Reach {
    /// The state directory.
    pub(super) fn state_dir(&self) -> Result<PathBuf, Report> {
        match &self.state_dir {
            Some(dir) => Ok(dir.clone()),
            None => state_dir_of(&self.config),
        }
    }

    /// The address of the operator's door.
    fn admin(&self) -> Result<String, Report> {
        match &self.admin {
            Some(admin) => Ok(admin.clone()),
            None => Ok(self.addresses()?.map_or_else(|| DEFAULT_ADMIN.into(), |known| known.admin)),
        }
    }

    /// An address that takes records, as [`http_call`](crate::base::http_call) reads it.
    pub(super) fn front_door(&self) -> Result<String, Report> {
        let Some(known) = self.addresses()? else { return Ok(DEFAULT_HTTP.into()) };
        let first = known.http.into_values().flatten().next();
        let first = first.ok_or_else(|| {
            Report::new(Exit::Usage, "the running agent has no HTTP listener to send to")
        })?;
        Ok(if first.starts_with("unix:") { first } else { format!("http://{first}") })
    }

    /// Where the running agent listens; `None` if nothing says which agent is meant.
    pub(super) fn addresses(&self) -> Result<Option<Addresses>, Report> {
        if self.state_dir.is_none() && !self.config.exists() {
            return Ok(None);
        }
        let state_dir = self.state_dir()?;
        match Addresses::read(&RealDisk, &state_dir) {
            Ok(addresses) => Ok(Some(addresses)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Report::new(
                Exit::Unavailable,
                format!("no agent is running on the state directory {}", state_dir.display()),
            )
            .hint("start it with `systemctl start weir` or `weir run`")),
            Err(error) => Err(error.into()),
        }
    }

    fn admin_key(&self) -> Result<Option<Secret>, Report> {
        let Some(path) = &self.admin_key else {
            return Ok(std::env::var("WEIR_ADMIN_KEY").ok().map(Secret::new));
        };
        secret::resolve(&RealDisk, &|_| None, &format!("file:{}", path.display()))
            .map(Some)
            .map_err(|why| Report::new(Exit::Usage, why))
    }

    /// Asks the running agent; a refusal comes back in its own words.
    pub(super) fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Report> {
        let door = self.admin()?;
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut call = Call::new(method, path, body);
        call.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(key) = self.admin_key()? {
            let mut key = HeaderValue::from_str(key.reveal().trim()).map_err(|_| {
                Report::new(Exit::Usage, "the operator's key is no text of one line")
            })?;
            key.set_sensitive(true);
            call.headers.insert(ADMIN_KEY, key);
        }
        call.timeout = ASK_TIMEOUT;
        let answer = call_blocking(&format!("http://{door}"), call)
            .map_err(|error| Report::new(Exit::Unavailable, error))?;
        let value = serde_json::from_slice(&answer.body).map_err(|error| {
            Report::new(Exit::Unavailable, format!("what answers at {door} is no weir: {error}"))
        })?;
        if answer.status == 200 { Ok(value) } else { Err(refused(&value)) }
    }
}

fn refused(value: &Value) -> Report {
    let words = value.get("detail").and_then(Value::as_str);
    Report::new(Exit::Unavailable, words.unwrap_or("the agent refused, without a word"))
}
