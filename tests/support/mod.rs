//! What tests from outside share: the real binary, real peers, a client, the books, a folder.
//!
//! Nothing here asserts anything about the product but [`books`], which every story ends with.
//! Waiting is by polling with a deadline, never by a bare sleep; addresses are always the system's
//! choice; whatever was started is ended when its value is dropped.

pub mod agent;
pub mod books;
pub mod client;
pub mod fake_upstream;
pub mod gate;
pub mod log_file;
pub mod machine;
pub mod numbered;
pub mod out_folder;
pub mod packages;
pub mod peers;
pub mod scratch;
pub mod slow_link;
pub mod tally;
pub mod tls_peer;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::time::Instant;

/// How long anything may take on a slow, shared machine before it counts as stuck.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Asks again and again until there is an answer; panics with `what` after [`PATIENCE`].
#[track_caller]
pub fn wait_for<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    wait_at_most(PATIENCE, ask).unwrap_or_else(|| panic!("waited {PATIENCE:?} for {what}"))
}

/// Asks again and again until there is an answer or the time is over.
pub fn wait_at_most<T>(longest: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if started.elapsed() > longest {
            return None;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether this process may do what only root may; says what is left out otherwise.
pub fn is_root(what: &str) -> bool {
    let is_root = rustix::process::getuid().is_root();
    if !is_root {
        eprintln!("skipped, as it needs root: {what}");
    }
    is_root
}

/// What `./tests/run` installs: a folder named by this variable, or that one below `target`.
#[track_caller]
pub fn installed(variable: &str, name: &str) -> PathBuf {
    let folder =
        std::env::var_os(variable).map_or_else(|| Path::new("target").join(name), PathBuf::from);
    assert!(folder.exists(), "{} is missing; ./tests/run installs it", folder.display());
    fs::canonicalize(folder).unwrap()
}

/// Runs a program to its end; panics with all it said unless it went well.
#[track_caller]
pub fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| {
        panic!("{command:?}: {error}; ./tests/run installs what is needed")
    });
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{said}\n{complained}", output.status);
    said
}

/// The seed of this run: `SEED=` from the environment, or one that is printed.
pub fn seed() -> u64 {
    let seed = number_from("SEED").unwrap_or_else(|| fastrand::u64(..1_000_000));
    println!("SEED={seed}");
    seed
}

/// A number from the environment, such as `WEIR_TEST_KILLS`.
pub fn number_from(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}
