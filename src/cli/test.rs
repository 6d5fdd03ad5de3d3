//! `weir test`: cases against the configuration, for those who keep both in a repository.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};

use super::DEFAULT_CONFIG;
use super::report::{Answer, Exit, Report, say, tell};
use crate::agent::{Incoming, Seen, try_out};
use crate::base::disk::{Disk as _, Kind, RealDisk};
use crate::config::cases::{Case, Cases, Rejected, Stored, read_cases};
use crate::config::{self, Config};

/// What `weir test` can be told.
#[derive(Clone, Debug, Args)]
pub(super) struct Test {
    /// Files of cases; without any, every *.test.toml in the folder of the configuration
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The configuration that is tested, where the cases name none
    #[arg(long, short, value_name = "FILE", env = "WEIR_CONFIG", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
    /// Print what was found as JSON
    #[arg(long)]
    json: bool,
}

/// The end of the name of a file of cases.
const CASES: &str = ".test.toml";

/// One case and what is not as expected: nothing if all is.
struct Outcome {
    file: String,
    line: usize,
    name: String,
    differences: Vec<Difference>,
}

struct Difference {
    what: String,
    expected: Value,
    seen: Value,
}

pub(super) fn test(test: &Test) -> Answer {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut outcomes = Vec::new();
    for file in files(test)? {
        let cases = read_cases(&RealDisk, &file).map_err(|findings| Report::findings(&findings))?;
        let config = configuration(&cases, &file, &test.config)?;
        for (case, line) in cases.cases.iter().zip(&cases.lines) {
            let tried = runtime.block_on(tried(&config, &cases, case.get_ref()));
            let (file, name) = (file.display().to_string(), case.get_ref().name.clone());
            let outcome = Outcome { file, line: *line, name, differences: tried? };
            if !test.json {
                outcome.tell();
            }
            outcomes.push(outcome);
        }
    }
    let failed = outcomes.iter().filter(|outcome| !outcome.differences.is_empty()).count();
    let passed = outcomes.len() - failed;
    if test.json {
        let cases: Vec<Value> = outcomes.iter().map(Outcome::json).collect();
        say(format!("{:#}", json!({ "passed": passed, "failed": failed, "cases": cases })));
    } else {
        say(format!("{passed} passed, {failed} failed"));
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { Exit::Differs.code() })
}

fn files(test: &Test) -> Result<Vec<PathBuf>, Report> {
    if !test.files.is_empty() {
        return Ok(test.files.clone());
    }
    let folder = test.config.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let listed = RealDisk.list(folder).map_err(|error| {
        Report::disk(&error, format!("{} cannot be listed: {error}", folder.display()))
    })?;
    let mut files: Vec<PathBuf> = listed
        .into_iter()
        .filter(|one| one.kind == Kind::File && one.name.ends_with(CASES))
        .map(|one| folder.join(one.name))
        .collect();
    files.sort();
    if files.is_empty() {
        let folder = folder.display();
        let words = format!("there are no cases: nothing in {folder} has a name like *{CASES}");
        return Err(Report::new(Exit::Usage, words).hint("name the files of cases: weir test FILE"));
    }
    Ok(files)
}

/// The configuration of these cases, read in the environment that they set.
fn configuration(cases: &Cases, file: &Path, default: &Path) -> Result<Config, Report> {
    let folder = file.parent().unwrap_or(Path::new(""));
    let path = cases.config.as_ref().map_or(default.to_path_buf(), |path| folder.join(path));
    let environment = |name: &str| match cases.env.get(name) {
        // A path in it begins where the cases lie.
        Some(value) if name == "CREDENTIALS_DIRECTORY" => {
            Some(folder.join(value).display().to_string())
        }
        Some(value) => Some(value.clone()),
        None => std::env::var(name).ok(),
    };
    let loaded = config::load_for_trial(&RealDisk, &environment, &path);
    Ok(loaded.map_err(|findings| Report::findings(&findings))?.config)
}

async fn tried(config: &Config, cases: &Cases, case: &Case) -> Result<Vec<Difference>, Report> {
    let incoming = match (&case.request, &case.line) {
        (Some(asked), _) => Incoming::Request(case.http.as_deref(), asked),
        (None, Some(line)) => Incoming::Line(line),
        (None, None) => return Ok(Vec::new()),
    };
    let seen = try_out(config, &cases.keys, incoming, Arc::new(RealDisk)).await;
    let seen = seen.map_err(|error| {
        Report::new(Exit::Config, format!("the case \"{}\" cannot be tried: {error}", case.name))
    })?;
    Ok(compare(case, &seen))
}

/// What is expected and not so; what is not expected may be anything, but a refusal and records
/// always belong to what is told.
fn compare(case: &Case, seen: &Seen) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut check = |what: &str, expected: Value, seen: Value| {
        if expected != seen {
            differences.push(Difference { what: what.to_owned(), expected, seen });
        }
    };
    if let Some(status) = case.status {
        check("status", status.into(), seen.status.into());
    }
    if case.refused.is_some() || case.stored.is_some() {
        check("refused", case.refused.clone().into(), seen.refused.clone().into());
    }
    if let Some(rejected) = &case.rejected {
        check("rejected", rejected.iter().map(fault).collect(), seen.rejected.clone().into());
    }
    if let Some(dropped) = case.dropped {
        check("dropped", dropped.into(), seen.dropped.into());
    }
    if let Some(caller) = &case.caller {
        let callers: Vec<&str> = seen.stored.iter().map(|(_, one)| one.caller.as_str()).collect();
        let other = callers.iter().find(|one| *one != caller).copied();
        check("caller", caller.as_str().into(), other.unwrap_or(caller).into());
        check("caller of something", true.into(), (!callers.is_empty()).into());
    }
    if let Some(expected) = &case.stored {
        check("stored.length", expected.len().into(), seen.stored.len().into());
        for (index, (stream, record)) in seen.stored.iter().enumerate() {
            let Some(expected) = expected.get(index) else { break };
            let Stored { stream: to, key, record: bytes, json } = expected;
            let at = |part: &str| format!("stored[{index}].{part}");
            check(&at("stream"), to.as_str().into(), stream.as_str().into());
            let text = String::from_utf8_lossy(&record.payload);
            if let Some(key) = key {
                let own = record.partition_key.as_deref().unwrap_or_default();
                check(&at("key"), key.as_str().into(), own.into());
            }
            if let Some(bytes) = bytes {
                check(&at("record"), bytes.as_str().into(), text.as_ref().into());
            }
            if let Some(json) = json {
                let own = serde_json::from_slice(&record.payload);
                check(&at("json"), json.clone(), own.unwrap_or_else(|_| text.as_ref().into()));
            }
        }
        for (index, (stream, record)) in seen.stored.iter().enumerate().skip(expected.len()) {
            let text = format!("{stream}: {}", String::from_utf8_lossy(&record.payload));
            check(&format!("stored[{index}]"), Value::Null, text.into());
        }
    } else if case.refused.is_some() {
        check("stored.length", 0.into(), seen.stored.len().into());
    }
    differences
}

fn fault(rejected: &Rejected) -> Value {
    let Rejected { index, pointer, reason } = rejected;
    match pointer {
        Some(pointer) => json!({ "index": index, "pointer": pointer, "reason": reason }),
        None => json!({ "index": index, "reason": reason }),
    }
}

impl Outcome {
    fn tell(&self) {
        let Self { file, line, name, differences } = self;
        if differences.is_empty() {
            say(format!("ok      {name}"));
            return;
        }
        say(format!("FAILED  {name}"));
        let mut words = format!("error: {file}:{line}: {name}");
        for Difference { what, expected, seen } in differences {
            words.push_str(&format!("\n  {what}\n    expected  {}", shown(expected)));
            words.push_str(&format!("\n    seen      {}", shown(seen)));
        }
        tell(words);
    }

    fn json(&self) -> Value {
        let Self { file, line, name, differences } = self;
        let differences: Vec<Value> = differences
            .iter()
            .map(|one| json!({ "what": one.what, "expected": one.expected, "seen": one.seen }))
            .collect();
        json!({ "file": file, "line": line, "name": name, "passed": differences.is_empty(),
            "differences": differences })
    }
}

/// A text as it is, so that it can be copied into the case; nothing at all as `-`.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}
