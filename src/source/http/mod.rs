//! The HTTP front door: listeners on TCP and unix sockets, weir's own API.
//!
//! Start reading at `endpoint`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::admission::Admission;
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

/// Listeners that are bound and not yet serving.
#[derive(Debug)]
pub struct Bound {}

/// Binds every address of one block, so that a taken port is a fault at start.
///
/// # Errors
/// In words, which address and why.
pub async fn bind(settings: Settings) -> Result<Bound, String> {
    let _ = settings;
    todo!()
}

impl Bound {
    /// The addresses as bound: port 0 has become a real one.
    pub fn addresses(&self) -> Vec<String> {
        todo!()
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
        let _ = (admission, metrics, stopping);
        todo!()
    }
}
