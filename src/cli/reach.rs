//! Finding the configuration, and the running agent it belongs to.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use hyper::Method;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use serde_json::Value;

use super::DEFAULT_CONFIG;
use super::report::{Exit, Report, tell};
use super::send::call_blocking;
use crate::agent::Addresses;
use crate::base::disk::RealDisk;
use crate::base::http_call::Call;
use crate::config::{self, Config};

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
}

/// Where an agent answers that was started without a configuration.
const DEFAULT_ADMIN: &str = "127.0.0.1:9808";
/// A replay of many letters takes its time.
const ASK_TIMEOUT: Duration = Duration::from_secs(600);

/// Loads a configuration; all its faults go to standard error.
pub(super) fn load(path: &Path) -> Result<Config, Report> {
    let environment = |name: &str| std::env::var(name).ok();
    let loaded = config::load(&RealDisk, &environment, path)
        .map_err(|findings| Report::findings(&findings))?;
    loaded.warnings.iter().for_each(|warning| tell(format!("{warning}\n")));
    Ok(loaded.config)
}

impl Reach {
    /// The state directory.
    pub(super) fn state_dir(&self) -> Result<PathBuf, Report> {
        match &self.state_dir {
            Some(dir) => Ok(dir.clone()),
            None => Ok(load(&self.config)?.state_dir),
        }
    }

    /// The address of the operator's door.
    fn door(&self) -> Result<String, Report> {
        if let Some(admin) = &self.admin {
            return Ok(admin.clone());
        }
        if self.state_dir.is_none() && !self.config.exists() {
            return Ok(DEFAULT_ADMIN.into());
        }
        let state_dir = self.state_dir()?;
        match Addresses::read(&RealDisk, &state_dir) {
            Ok(addresses) => Ok(addresses.admin),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Report::new(
                Exit::Unavailable,
                format!("no agent is running on the state directory {}", state_dir.display()),
            )
            .hint("start it with `systemctl start weir` or `weir run`")),
            Err(error) => Err(error.into()),
        }
    }

    /// Asks the running agent; a refusal comes back in its own words.
    pub(super) fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Report> {
        let door = self.door()?;
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut call = Call::new(method, path, body);
        call.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
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
