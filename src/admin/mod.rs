//! The operator's door: `/livez`, `/readyz`, `/metrics`, `/status`; loopback by default.
//!
//! Uses: base, telemetry.
//! Always: answers from what it is handed; every answer is a snapshot.
//! Never: changes anything but through the actions it is handed; obeys a page in a browser.

mod desk;

mod local;
mod problem;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use self::desk::Desk;
use crate::base::nets::Nets;
use crate::base::serve::{self, Address, Limits, Listener};
use crate::base::shutdown::Stopping;
use crate::telemetry::Metrics;

/// The `[admin]` block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where to listen; loopback only, as there is no authentication yet.
    pub listen: SocketAddr,
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
    /// `POST /dead/replay`: puts dead letters back.
    pub replay: Arc<dyn Fn(serde_json::Value) -> Answer + Send + Sync>,
}

/// A bound listener that is not yet serving.
#[derive(Debug)]
pub struct Bound {
    listeners: Vec<Listener>,
    address: SocketAddr,
}

/// One operator, a few probes and a collector of metrics need no more.
const LIMITS: Limits = Limits {
    max_connections: 64,
    max_per_sender: 64,
    many: Nets(Vec::new()),
    head_timeout: Duration::from_secs(10),
    idle_timeout: Duration::from_secs(60),
    close_within: Duration::from_secs(5),
};

/// Binds the address.
///
/// # Errors
/// What the system says, in words: which address and why.
pub async fn bind(settings: Settings) -> io::Result<Bound> {
    let listeners = serve::bind(&Address::Tcp(settings.listen)).await?;
    let bound = listeners.first().and_then(Listener::tcp_address);
    Ok(Bound { listeners, address: bound.unwrap_or(settings.listen) })
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
        let desk = Arc::new(Desk { views, metrics });
        serve::serve(self.listeners, LIMITS, desk, stopping).await
    }
}
