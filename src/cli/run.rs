//! `weir run` and `weir demo`: load, build, run.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::ConfigFile;
use super::reach::load;
use super::report::{Answer, Exit, Report, say};
use crate::agent::{self, Addresses, Ending};
use crate::base::disk::RealDisk;
use crate::config::{self, Config};
use crate::source::http::Listen;
use crate::telemetry;

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

pub(super) fn run(file: &ConfigFile) -> Answer {
    let config = load(&file.config)?;
    live(config, |_| ())
}

pub(super) fn demo(demo: &Demo) -> Answer {
    let dir = std::path::absolute(&demo.dir)?;
    let mut config = config::demo(&dir);
    for http in &mut config.http {
        http.listen = vec![Listen::Tcp(demo.listen)];
    }
    config.admin.listen = demo.admin;
    let shown = demo.dir.clone();
    live(config, move |addresses| say(welcome(addresses, &shown)))
}

fn live(config: Config, announce: impl FnOnce(&Addresses)) -> Answer {
    telemetry::start(config.log_format, config.log_level);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .build()?;
    let ending = runtime.block_on(agent::run(config, Arc::new(RealDisk), announce));
    runtime.shutdown_timeout(RUNTIME_GRACE);
    match ending? {
        Ending::Asked { .. } => Ok(ExitCode::SUCCESS),
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
         The ledger: curl http://{admin}/status, or `weir status --admin {admin}`.\n\
         Ctrl-C stops it; what was accepted stays in {dir} and is delivered after the next start."
    )
}
