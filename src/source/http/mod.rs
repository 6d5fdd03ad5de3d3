//! The HTTP front door: listeners on TCP and unix sockets, weir's own API.
//!
//! Start reading at `endpoint`.

mod door;
mod routes;

mod endpoint;

mod body;
mod decode;
mod head;
mod unpack;

mod problem;

mod metrics;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use self::door::Door;
use crate::admission::Admission;
use crate::base::serve::{self, Address, Limits, Listener};
use crate::base::shutdown::Stopping;
use crate::telemetry::Metrics;

/// One `[http.NAME]` block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `NAME`.
    pub name: String,
    /// Where to listen.
    pub listen: Vec<Listen>,
    /// Auth blocks, tried in order; empty for an open door.
    pub auth: Vec<String>,
    /// Most connections at once, over all addresses of this block.
    pub max_connections: usize,
    /// Most bytes of a body as it comes in.
    pub max_body_bytes: u64,
    /// Most bytes of a body once unpacked.
    pub max_unpacked_bytes: u64,
    /// Longest time for the head of a request.
    pub head_timeout: Duration,
    /// Longest time for a body.
    pub body_timeout: Duration,
    /// Longest rest between two requests on one connection.
    pub idle_timeout: Duration,
}

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// `127.0.0.1:8080`.
    Tcp(SocketAddr),
    /// `unix:/run/weir/ingest.sock`.
    Unix(PathBuf),
}

/// Says why the agent is not ready; nothing when it is.
pub type Readiness = Arc<dyn Fn() -> Vec<String> + Send + Sync>;

/// Longest time for requests under way once stopping was asked.
const CLOSE_WITHIN: Duration = Duration::from_secs(10);

/// Listeners that are bound and not yet serving.
pub struct Bound {
    settings: Settings,
    listeners: Vec<Listener>,
    readiness: Option<Readiness>,
}

impl std::fmt::Debug for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bound").field("listeners", &self.listeners).finish_non_exhaustive()
    }
}

/// Binds every address of one block, so that a taken port is a fault at start.
///
/// # Errors
/// What the system says, in words: which address and why.
pub async fn bind(settings: Settings) -> io::Result<Bound> {
    let mut listeners = Vec::with_capacity(settings.listen.len());
    for listen in &settings.listen {
        let address = match listen {
            Listen::Tcp(address) => Address::Tcp(*address),
            Listen::Unix(path) => Address::Unix(path.clone()),
        };
        listeners.push(serve::bind(&address).await?);
    }
    Ok(Bound { settings, listeners, readiness: None })
}

impl Bound {
    /// The addresses as bound: port 0 has become a real one.
    pub fn addresses(&self) -> Vec<String> {
        self.listeners.iter().map(|listener| listener.address().to_owned()).collect()
    }

    /// Lets `/readyz` ask this instead of admission alone. Callers are told yes or no, never why.
    #[must_use]
    pub fn with_readiness(mut self, readiness: Readiness) -> Self {
        self.readiness = Some(readiness);
        self
    }

    /// Serves until asked to stop, then finishes the requests under way.
    ///
    /// # Errors
    /// In words, when it cannot go on.
    pub async fn serve(
        self,
        admission: Arc<Admission>,
        metrics: Metrics,
        stopping: Stopping,
    ) -> Result<(), String> {
        let Self { settings, listeners, readiness } = self;
        let limits = Limits {
            max_connections: settings.max_connections,
            head_timeout: settings.head_timeout,
            idle_timeout: settings.idle_timeout,
            close_within: CLOSE_WITHIN,
        };
        let readiness = readiness.unwrap_or_else(|| {
            let admission = admission.clone();
            Arc::new(move || admission.unready())
        });
        let door = Door::new(settings, admission, readiness, &metrics);
        serve::serve(listeners, limits, Arc::new(door), stopping).await
    }
}
