//! Serving HTTP/1.1 and HTTP/2 (prior knowledge) on TCP and unix sockets, within bounds.
//!
//! A caller binds [`Listener`]s, then gives [`serve`] a function from request to answer. Bounded
//! are: connections, the time for a head, the rest between requests, and the time to close.
//! What the answers say is the caller's; [`Problem`] only writes RFC 9457 down.
//! Start reading at `accept`.

mod accept;
mod connection;
mod listener;
mod problem;
mod pulse;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Request, Response};

pub use accept::serve;
pub use connection::serve_one;
pub use listener::{Address, Listener, bind};
pub use problem::{Problem, REQUEST_ID};

/// The bounds on connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most connections at once, over all listeners together. Beyond, new ones wait until one
    /// ends: one per listener accepted and not yet read, the others in the system's backlog.
    pub max_connections: usize,
    /// Longest time from the first byte of a request's head to its last.
    pub head_timeout: Duration,
    /// Longest rest between two requests.
    pub idle_timeout: Duration,
    /// Longest time for requests under way once stopping was asked.
    pub close_within: Duration,
}

/// Who is at the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The address that was connected to, as [`Listener::address`] prints it.
    pub local: Arc<str>,
    /// The other end's address; `None` on a unix socket.
    pub remote: Option<std::net::SocketAddr>,
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
        request: Request<Incoming>,
        peer: Peer,
    ) -> impl Future<Output = Answer> + Send + 'static;

    /// Called with 1 when a connection was opened, with -1 when it ended.
    fn count_connection(&self, change: i64) {
        let _ = change;
    }
}
