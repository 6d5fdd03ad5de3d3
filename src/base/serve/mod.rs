//! Serving HTTP/1.1 and HTTP/2 (by prior knowledge, and by ALPN on TLS) on TCP sockets, unix sockets
//! and those of a service manager, within bounds.
//!
//! A caller binds [`Listener`]s, then gives [`serve`] a function from request to answer. Bounded
//! are: connections, also of one sender, the time for a handshake and for a head, the rest between
//! requests, and the time to close.
//! What the answers say is the caller's; [`Problem`] only writes RFC 9457 down.
//! Start reading at `accept`.

mod accept;
mod arriving;
mod connection;
mod crowd;
mod framing;
mod pulse;

mod activated;
mod listener;
mod unix;

mod material;
mod tls;

mod problem;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response};

pub use accept::serve;
pub use arriving::Arriving;
pub use connection::serve_one;
pub use framing::{Misframed, misframed};
pub use listener::{Address, Listener, bind};
pub use problem::{Problem, REQUEST_ID};
pub use tls::{Tls, TlsFault, TlsPart, TlsSettings, inspect};
pub use unix::{Access, MODE, group_id, user_id};

/// The bounds on connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most connections at once, over all listeners together. Beyond, new ones wait until one
    /// ends: one per listener accepted and not yet read, the others in the system's backlog.
    pub max_connections: usize,
    /// Most connections at once of one sender; one more is closed at once.
    pub max_per_sender: usize,
    /// Longest time for a TLS handshake, and from the first byte of a request's head to its last.
    pub head_timeout: Duration,
    /// Longest rest between two requests.
    pub idle_timeout: Duration,
    /// Longest time for requests under way once stopping was asked.
    pub close_within: Duration,
}

/// Who is at the other end, and over what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The address that was connected to, as [`Listener::address`] prints it.
    pub local: Arc<str>,
    /// The other end's address; `None` on a unix socket.
    pub remote: Option<SocketAddr>,
    /// The process at the other end of a unix socket, as it was when it connected.
    pub process: Option<Process>,
    /// What was agreed on with TLS; `None` in clear text.
    pub secured: Option<Arc<Secured>>,
}

/// The other end of a unix socket; the kernel vouches for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Itself, where the kernel tells.
    pub pid: Option<i32>,
}

/// A TLS session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secured {
    /// `1.2` or `1.3`.
    pub version: &'static str,
    /// The protocol that was chosen: `h2`.
    pub alpn: Option<String>,
    /// The name that the client asked for.
    pub server_name: Option<String>,
    /// The client's certificate and chain (DER), verified; empty if it showed none.
    pub client_chain: Vec<Bytes>,
}

impl Peer {
    /// Somebody who connected to this address.
    pub fn of(local: impl Into<Arc<str>>) -> Self {
        Self { local: local.into(), remote: None, process: None, secured: None }
    }
}

/// A whole answer.
pub type Answer = Response<Full<Bytes>>;

/// Put into an answer's extensions when the body of the request was not read to its end: the
/// connection closes then, and waits a little for a sender that is still sending, so that the
/// answer isn't lost in a reset.
#[derive(Clone, Copy, Debug)]
pub struct LeftUnread;

/// A function from request to answer; it never fails, a fault is an answer too.
pub trait Answers: Send + Sync + 'static {
    /// Answers one request.
    fn answer(
        self: Arc<Self>,
        request: Request<Arriving>,
        peer: Peer,
    ) -> impl Future<Output = Answer> + Send + 'static;

    /// Whether a sender may have any number of connections: a proxy, which speaks for many.
    fn speaks_for_many(&self, sender: IpAddr) -> bool {
        let _ = sender;
        false
    }

    /// Called with 1 when a connection was opened, with -1 when it ended.
    fn count_connection(&self, change: i64) {
        let _ = change;
    }

    /// Called when a connection was closed before its first request.
    fn count_turned_away(&self, why: TurnedAway) {
        let _ = why;
    }
}

/// Why a connection was closed before its first request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnedAway {
    /// Its sender has [`Limits::max_per_sender`] already.
    TooMany,
    /// No TLS, none that we speak, or no certificate that we trust.
    Handshake,
}
