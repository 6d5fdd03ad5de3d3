//! `weir reload`: has the running agent read its configuration again, and tells what came of it.

use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use clap::Args;
use hyper::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::reach::Reach;
use super::report::{Answer, Exit, Report, say};

/// What `weir reload` can be told.
#[derive(Clone, Debug, Args)]
pub(super) struct Reload {
    #[command(flatten)]
    reach: Reach,
}

/// A minute for the agent: parts that are exchanged finish what they are doing.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const LOOKS_MAX: usize = 1_200;

pub(super) fn reload(reload: &Reload) -> Answer {
    // Nobody but the agent judges the whole file: its secrets may be there for it alone, even where
    // systemd runs this command as `ExecReload=`.
    reload.reach.state_dir().map_err(|report| {
        report.hint("the agent goes on with the configuration it has; it was not asked")
    })?;
    // Where a key is needed to look, the agent can be asked all the same.
    let before = outcome(&reload.reach);
    let pid = reload.reach.pid()?;
    kill_process(pid, Signal::HUP).map_err(|error| {
        let words =
            format!("the agent (process {}) cannot be asked: {error}", pid.as_raw_nonzero());
        Report::new(Exit::NoPermission, words).hint("run this as root, or as the user of the agent")
    })?;
    let Ok(before) = before else {
        say("asked; the agent's log tells what came of it");
        return Ok(ExitCode::SUCCESS);
    };
    for _ in 0..LOOKS_MAX {
        sleep(LOOK_EVERY);
        let now = outcome(&reload.reach)?;
        if number(&now, "reloads") > number(&before, "reloads") {
            return told(&now);
        }
    }
    let words = "the agent was asked and has not read its configuration again yet";
    Err(Report::new(Exit::TryLater, words).hint("its log says what it is doing"))
}

fn outcome(reach: &Reach) -> Result<Value, Report> {
    let mut status = reach.ask(Method::GET, "/status", None)?;
    Ok(status.get_mut("config").map(Value::take).unwrap_or_default())
}

fn told(outcome: &Value) -> Answer {
    if let Some(why) = outcome.get("refused").and_then(Value::as_str) {
        let words = "the new configuration was refused; the agent goes on with the one before";
        return Err(Report::new(Exit::Config, format!("{words}\n\n{why}")));
    }
    let (changed, restart) = (names(outcome, "changed"), names(outcome, "needs_restart"));
    say(match changed.as_str() {
        "" => "nothing changed".to_owned(),
        changed => format!("taken over: {changed}"),
    });
    if !restart.is_empty() {
        say(format!("not in force before a restart: {restart}"));
    }
    Ok(ExitCode::SUCCESS)
}

fn names(outcome: &Value, member: &str) -> String {
    let all = outcome.get(member).and_then(Value::as_array);
    let all: Vec<&str> = all.into_iter().flatten().filter_map(Value::as_str).collect();
    all.join(", ")
}

fn number(outcome: &Value, member: &str) -> u64 {
    outcome.get(member).and_then(Value::as_u64).unwrap_or_default()
}

impl Reach {
    /// The process of the running agent.
    fn pid(&self) -> Result<Pid, Report> {
        let known = self.addresses()?;
        let pid = known.and_then(|known| Pid::from_raw(known.pid.try_into().ok()?));
        pid.ok_or_else(|| {
            Report::new(Exit::Usage, "which agent is meant?")
                .hint("give its configuration with --config, or its folder with --state-dir")
        })
    }
}
