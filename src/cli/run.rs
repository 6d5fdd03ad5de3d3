//! `weir run` and `weir demo`: load, build, run.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::ConfigFile;
use super::reach::{load, read};
use super::report::{Answer, Exit, Report, say};
use crate::agent::{self, Addresses, Ending, Reread};
use crate::base::disk::RealDisk;
use crate::config::{self, Config, Loaded};
use crate::source::http::Listen;
use crate::source::stdin;
use crate::telemetry;

/// What `weir run` can be told.
#[derive(Clone, Debug, Args)]
pub(super) struct Run {
    #[command(flatten)]
    file: ConfigFile,
    /// Take records from standard input too; stop when it ends and everything is delivered
    #[arg(long, value_name = "STREAM")]
    stdin: Option<String>,
    /// Read the tailed files to their end, deliver, and stop
    #[arg(long)]
    once: bool,
}

/// What `weir demo` can be told.
#[derive(Clone, Debug, Args)]
pub(super) struct Demo {
    /// Where its queue and what it delivers are kept
    #[arg(long, value_name = "DIR", default_value = "weir-demo")]
    dir: PathBuf,
    /// Where to take records
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where to answer `weir status` and Prometheus
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9808")]
    admin: SocketAddr,
}

/// Blocking threads are for disk and compression; more would only queue up at the disk.
const BLOCKING_THREADS_MAX: usize = 64;
/// What still blocks when everything has stopped is a hanging disk; the process does not wait for it.
const RUNTIME_GRACE: Duration = Duration::from_secs(2);

pub(super) fn run(run: &Run) -> Answer {
    let config = as_told(run, load(&run.file.config)?)?;
    let (file, told) = (run.file.config.clone(), run.clone());
    let load = move || {
        let loaded = read(&told.file.config).map_err(|findings| findings.to_string())?;
        let config = as_told(&told, loaded.config).map_err(Report::words)?;
        Ok(Loaded { config, ..loaded })
    };
    live(config, Some(Reread { file, load: Arc::new(load) }), |_| ())
}

/// What the command line adds to the file.
fn as_told(run: &Run, mut config: Config) -> Result<Config, Report> {
    config.is_once = run.once;
    if let Some(stream) = &run.stdin {
        config.stdin = Some(stdin(&config, stream)?);
    }
    Ok(config)
}

/// Standard input as a source of this stream.
fn stdin(config: &Config, stream: &str) -> Result<stdin::Settings, Report> {
    let Some(known) = config.admission.streams.get(stream) else {
        let known: Vec<_> = config.streams.keys().map(|name| format!("`{name}`")).collect();
        return Err(Report::new(Exit::Usage, format!("there is no stream `{stream}`"))
            .hint(&format!("streams in the configuration: {}", known.join(", "))));
    };
    let mut framing = config.stdin_framing.clone();
    let record_bytes = usize::try_from(known.max_record_bytes).unwrap_or(usize::MAX);
    framing.record_bytes_max = framing.record_bytes_max.min(record_bytes);
    let dead_letters = config.dead_letters.clone();
    Ok(stdin::Settings { stream: stream.to_owned(), framing, dead_letters })
}

pub(super) fn demo(demo: &Demo) -> Answer {
    let dir = std::path::absolute(&demo.dir)?;
    let mut config = config::demo(&dir);
    for http in &mut config.http {
        http.listen = vec![Listen::Tcp(demo.listen)];
    }
    config.admin.listen = demo.admin;
    let shown = demo.dir.clone();
    live(config, None, move |addresses| say(welcome(addresses, &shown)))
}

fn live(config: Config, reread: Option<Reread>, announce: impl FnOnce(&Addresses)) -> Answer {
    telemetry::start(config.log_format, config.log_level);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .build()?;
    let ending = runtime.block_on(agent::run(config, Arc::new(RealDisk), reread, announce));
    runtime.shutdown_timeout(RUNTIME_GRACE);
    match ending? {
        Ending::Asked { .. } | Ending::Read { waiting: 0 } => Ok(ExitCode::SUCCESS),
        Ending::Read { waiting } => {
            let words = format!("everything was read, but {waiting} records are not delivered yet");
            Err(Report::new(Exit::Unavailable, words)
                .hint("they wait on disk; they go on with the next start"))
        }
        Ending::Failed(failed) => Err(Report::new(Exit::Software, failed)
            .hint("what was accepted is on disk and is delivered after the next start")),
    }
}

fn welcome(addresses: &Addresses, dir: &std::path::Path) -> String {
    let door = addresses.http.values().flatten().next().map_or("", String::as_str);
    let admin = &addresses.admin;
    let dir = dir.display();
    format!(
        "weir is running. Send it a record from another terminal:\n\n  \
         curl -d 'hello weir' http://{door}/v1/streams/demo\n\n\
         The answer comes when the record is on disk. Within 5 s it arrives below {dir}/out:\n\n  \
         find {dir}/out -name '*.ndjson' | xargs cat\n\n\
         Watch it: http://{admin}/ in a browser, or `weir status --watch --admin {admin}`.\n\
         Ctrl-C stops it; what was accepted stays in {dir} and is delivered after the next start."
    )
}
