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
pub mod numbered;
pub mod peers;
pub mod scratch;
pub mod slow_link;
pub mod tls_peer;

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
