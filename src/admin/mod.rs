//! The operator's door: the dashboard, `/livez`, `/readyz`, `/metrics`, `/status`, `/dead`; loopback by
//! default.
//!
//! Uses: base, admission, telemetry.
//! Always: answers from what it is handed; every answer is a snapshot; off loopback nobody sees more
//! than health without a key.
//! Never: changes anything but through the actions it is handed; obeys somebody else's page.

mod desk;

mod access;
mod local;
mod page;
mod problem;
mod query;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use self::access::Access;
use self::desk::Desk;
use crate::admission::Operators;
use crate::base::clock::Clock;
use crate::base::disk::SharedDisk;
use crate::base::serve::{self, Address, Limits, Listener};
use crate::base::shutdown::Stopping;
use crate::telemetry::Metrics;

/// The `[admin]` block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where to listen; off loopback only with keys.
    pub listen: SocketAddr,
    /// The operators' keys; without, everybody who reaches the listener may order.
    pub key_file: Option<PathBuf>,
}

/// The answer of an action: JSON, or a refusal in words.
pub type Answer = Pin<Box<dyn Future<Output = Result<serde_json::Value, String>> + Send>>;

/// What the agent hands in.
#[derive(Clone)]
pub struct Views {
    /// The whole picture as JSON.
    pub status: Arc<dyn Fn() -> serde_json::Value + Send + Sync>,
    /// Reasons why the agent is not ready; empty when it is.
    pub unready: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
    /// What is held upstream, in words; the agent is ready all the same, as records wait on disk.
    pub held: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
    /// `GET /dead`: the newest dead letters that are meant; their payloads only if so told.
    pub letters: Arc<dyn Fn(serde_json::Value, Content) -> Answer + Send + Sync>,
    /// `POST /dead/replay`: puts dead letters back.
    pub replay: Arc<dyn Fn(serde_json::Value) -> Answer + Send + Sync>,
    /// `POST /dead/purge`: removes dead letters.
    pub purge: Arc<dyn Fn(serde_json::Value) -> Answer + Send + Sync>,
}

/// How much of a dead letter is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Its story, with payload and partition key.
    Shown,
    /// Its story alone.
    Withheld,
}

/// A bound listener that is not yet serving.
#[derive(Debug)]
pub struct Bound {
    listeners: Vec<Listener>,
    address: SocketAddr,
    access: Access,
}

/// Why the listener was not opened.
#[derive(Debug)]
pub enum Unopened {
    /// What the system says, in words: which address and why.
    Listen(io::Error),
    /// What is wrong with the keys, in words.
    Keys(String),
}

/// One operator, a few probes and a collector of metrics need no more. Whoever else comes from this
/// host waits for a place; of another host only so many come in, so that it takes not all of them.
fn limits() -> Limits {
    Limits {
        max_connections: 64,
        max_per_sender: 32,
        head_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(60),
        close_within: Duration::from_secs(5),
    }
}

/// Reads the keys and binds the address.
///
/// # Errors
/// [`Unopened`].
pub async fn bind(settings: Settings, disk: SharedDisk, clock: Clock) -> Result<Bound, Unopened> {
    let open = |file| Operators::open(disk, clock, file);
    let operators = settings.key_file.map(open).transpose().map_err(Unopened::Keys)?;
    let listeners = serve::bind(&Address::Tcp(settings.listen)).await.map_err(Unopened::Listen)?;
    let bound = listeners.first().and_then(Listener::tcp_address);
    let address = bound.unwrap_or(settings.listen);
    let access = Access { operators, is_loopback: address.ip().is_loopback() };
    Ok(Bound { listeners, address, access })
}

impl Bound {
    /// The address as bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until asked to stop.
    ///
    /// # Errors
    /// In words, when it cannot go on.
    pub async fn serve(
        self,
        views: Views,
        metrics: Metrics,
        stopping: Stopping,
    ) -> Result<(), String> {
        let desk = Arc::new(Desk::new(views, metrics, self.access));
        serve::serve(self.listeners, limits(), desk, stopping).await
    }
}
