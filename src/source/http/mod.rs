//! The HTTP front door: listeners, who comes in at all, weir's own API and others.
//!
//! Start reading at `endpoint`.

mod door;
mod path;
mod routes;
mod rules;
mod visitor;

mod aws;
mod endpoint;

mod body;
mod head;
mod trace;
mod unpack;

mod decode;
mod delivery;
mod events;
mod gateway;
mod json;

mod manner;
mod problem;
mod refused;
mod rejected;

mod metrics;

#[cfg(any(test, feature = "testing"))]
pub mod fuzzing;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use self::door::Door;
use crate::admission::Admission;
use crate::base::disk::SharedDisk;
use crate::base::nets::Nets;
use crate::base::serve::{self, Limits, Listener, Peer, Process, Secured, Tls, TlsSettings};
use crate::base::shutdown::Stopping;
use crate::base::units::{ByteRate, CountRate};
use crate::telemetry::Metrics;

pub use crate::base::serve::Address as Listen;
pub use aws::{Shard, Shards, ShardsOf};
pub use door::Hatch;
pub use routes::{ANY, BadRoute, RouteSettings, Thanks, check_routes, is_hidden};
pub use rules::{HeaderRule, Mode, RuleSettings};
pub use visitor::{Forwarded, Proxies};

/// One `[http.NAME]` block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `NAME`.
    pub name: String,
    /// Where to listen.
    pub listen: Vec<Listen>,
    /// TLS on its TCP sockets.
    pub tls: Option<TlsSettings>,
    /// Auth blocks, tried in order; empty for an open door.
    pub auth: Vec<String>,
    /// The plan of all of them together.
    pub plan: Option<String>,
    /// The plan of each source address.
    pub address_plan: Option<String>,
    /// How many wrong keys and tokens one address may show.
    pub guesses: Option<CountRate>,
    /// What is counted or sent away before anybody is asked who it is.
    pub rules: Vec<RuleSettings>,
    /// Who may come in at all; empty for everybody.
    pub allow: Nets,
    /// Who may not, even so.
    pub deny: Nets,
    /// Who speaks for others.
    pub proxies: Proxies,
    /// Whether weir's own API is served.
    pub native: bool,
    /// Whether the API of API Gateway in front of Kinesis is served.
    pub gateway: bool,
    /// Whether the protocols of Kinesis and Firehose are spoken.
    pub aws: bool,
    /// Whether the elements of a JSON array are records, in weir's own API.
    pub split_arrays: bool,
    /// What else is served.
    pub routes: Vec<RouteSettings>,
    /// Most connections at once, over all addresses of this block.
    pub max_connections: usize,
    /// Most connections at once of one sender.
    pub max_per_sender: usize,
    /// Most bytes of a body as it comes in.
    pub max_body_bytes: u64,
    /// Most bytes of a body once unpacked.
    pub max_unpacked_bytes: u64,
    /// Longest time for the head of a request.
    pub head_timeout: Duration,
    /// Longest time for a body.
    pub body_timeout: Duration,
    /// Least rate of a body.
    pub min_body_rate: Option<ByteRate>,
    /// Longest rest between two requests on one connection.
    pub idle_timeout: Duration,
}

impl Settings {
    /// The first of its tables that asks nobody who comes: itself, or one of its routes.
    pub fn open_part(&self) -> Option<String> {
        if self.auth.is_empty() {
            return Some(format!("[http.{}]", self.name));
        }
        let is_open = |route: &&RouteSettings| route.auth.as_ref().is_some_and(Vec::is_empty);
        self.routes.iter().find(is_open).map(|route| format!("[route.{}]", route.name))
    }
}

/// Papers lent to whoever comes in, for trials of a configuration: they stand for a unix socket and
/// for a handshake of TLS.
#[derive(Clone, Debug, Default)]
pub struct LentPapers {
    /// The process at the other end of a unix socket.
    pub process: Option<Process>,
    /// The certificate (DER) of the client, as if it had been verified.
    pub certificate: Option<bytes::Bytes>,
}

impl LentPapers {
    fn shown_by(&self, mut peer: Peer) -> Peer {
        if let Some(process) = self.process {
            (peer.remote, peer.process) = (None, Some(process));
        }
        if let Some(certificate) = &self.certificate {
            let client_chain = vec![certificate.clone()];
            let secured = Secured { version: "1.3", alpn: None, server_name: None, client_chain };
            peer.secured = Some(Arc::new(secured));
        }
        peer
    }
}

/// Says why the agent is not ready; nothing when it is.
pub type Readiness = Arc<dyn Fn() -> Vec<String> + Send + Sync>;

/// Longest time for requests under way once stopping was asked.
const CLOSE_WITHIN: Duration = Duration::from_secs(10);

/// Listeners that are bound and not yet serving.
pub struct Bound {
    settings: Settings,
    listeners: Vec<Listener>,
    tls: Option<Arc<Tls>>,
    readiness: Option<Readiness>,
    shards: Option<ShardsOf>,
    lent: LentPapers,
    hatch: Hatch,
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
pub async fn bind(disk: SharedDisk, settings: Settings) -> io::Result<Bound> {
    let tls = match settings.tls.clone() {
        Some(tls) => Some(Tls::open(disk, &settings.name, tls).map_err(|fault| {
            let words = format!("TLS of [http.{}]: {fault}", settings.name);
            io::Error::new(io::ErrorKind::InvalidInput, words)
        })?),
        None => None,
    };
    let mut listeners = Vec::with_capacity(settings.listen.len());
    for listen in &settings.listen {
        for listener in serve::bind(listen).await? {
            check_open_door(&settings, listen, listener.tcp_address())?;
            listeners.push(listener.with_tls(tls.clone()));
        }
    }
    let (lent, hatch) = (LentPapers::default(), Hatch::default());
    Ok(Bound { settings, listeners, tls, readiness: None, shards: None, lent, hatch })
}

/// What is written in the configuration was checked there; a socket that was handed over shows its
/// address only now.
fn check_open_door(
    settings: &Settings,
    listen: &Listen,
    address: Option<SocketAddr>,
) -> io::Result<()> {
    let address = address.filter(|at| !at.ip().is_loopback());
    let Some((address, part)) = address.zip(settings.open_part()) else { return Ok(()) };
    let words = format!(
        "{part} would be open to the network: `{listen}` is {address}, and there is no `auth`; name who may come in, or let systemd listen on loopback"
    );
    Err(io::Error::new(io::ErrorKind::PermissionDenied, words))
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

    /// Lets callers who speak the protocol of Kinesis see the shards of the upstream.
    #[must_use]
    pub fn with_shards(mut self, shards: ShardsOf) -> Self {
        self.shards = Some(shards);
        self
    }

    /// Takes whoever connects for somebody with these papers.
    #[must_use]
    pub fn with_lent(mut self, papers: LentPapers) -> Self {
        self.lent = papers;
        self
    }

    /// Where what this block does can be exchanged while it serves.
    pub fn hatch(&self) -> Hatch {
        self.hatch.clone()
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
        let Self { settings, listeners, tls, readiness, shards, lent, hatch } = self;
        let limits = Limits {
            max_connections: settings.max_connections,
            max_per_sender: settings.max_per_sender,
            head_timeout: settings.head_timeout,
            idle_timeout: settings.idle_timeout,
            close_within: CLOSE_WITHIN,
        };
        let readiness = readiness.unwrap_or_else(|| {
            let admission = admission.clone();
            Arc::new(move || admission.unready())
        });
        let door =
            Door::new(settings, admission, readiness, &metrics).with_tls(tls).with_lent(lent);
        let door = shards.into_iter().fold(door, Door::with_shards);
        hatch.open(door);
        serve::serve(listeners, limits, Arc::new(hatch), stopping).await
    }
}
