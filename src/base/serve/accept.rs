//! Accepting connections while there is room, and closing them in order.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::connection::serve_one;
use super::crowd::{Crowd, Place};
use super::listener::{Listener, Stream};
use super::tls::Tls;
use super::{Answers, Limits, Peer, TurnedAway};
use crate::base::seldom::Seldom;
use crate::base::shutdown::Stopping;
use crate::base::tasks::Tasks;

/// Rest after the system could not give a connection (no file descriptors, no memory).
const REST_AFTER_FAULT: Duration = Duration::from_millis(100);
/// How often a lasting condition is written to the log.
const SAY_EVERY: Duration = Duration::from_secs(30);

/// Serves on all listeners until asked to stop; then closes them, lets the requests under way
/// finish within [`Limits::close_within`], and cuts off the rest.
///
/// # Errors
/// In words, when a listener cannot go on.
pub async fn serve<A: Answers>(
    listeners: Vec<Listener>,
    limits: Limits,
    answers: Arc<A>,
    stopping: Stopping,
) -> Result<(), String> {
    let seats = Arc::new(Semaphore::new(limits.max_connections.min(Semaphore::MAX_PERMITS)));
    let crowd = Crowd::new(limits.max_per_sender);
    let mut doors = Tasks::new();
    for listener in listeners {
        let door = Door {
            listener,
            limits: limits.clone(),
            seats: seats.clone(),
            crowd: crowd.clone(),
            answers: answers.clone(),
            crowded: Seldom::new(SAY_EVERY),
            faults: Seldom::new(SAY_EVERY),
        };
        let name = format!("listen on {}", door.listener.address());
        doors.spawn(name, door.keep(stopping.clone()));
    }
    doors.finish().await.map_err(|failed| failed.to_string())
}

struct Door<A> {
    listener: Listener,
    limits: Limits,
    seats: Arc<Semaphore>,
    crowd: Arc<Crowd>,
    answers: Arc<A>,
    crowded: Seldom,
    faults: Seldom,
}

impl<A: Answers> Door<A> {
    async fn keep(self, stopping: Stopping) -> Result<(), String> {
        let mut connections = Tasks::new();
        let mut leaving = stopping.clone();
        'open: loop {
            // Pinned across the turns of the inner loop: whoever was accepted is not forgotten.
            let mut next = pin!(self.next());
            let came = loop {
                tokio::select! {
                    biased;
                    () = leaving.asked() => break 'open,
                    Some(ended) = connections.next_end() => report(ended),
                    came = &mut next => break came,
                }
            };
            if let Some((seat, stream, peer)) = came {
                let connection = Connection {
                    seat,
                    tls: self.listener.tls(),
                    answers: self.answers.clone(),
                    limits: self.limits.clone(),
                    stopping: stopping.clone(),
                };
                connections.spawn("connection", connection.run(stream, peer));
            }
        }
        let Self { listener, limits, .. } = self;
        // Nobody is accepted any more; a unix socket's file goes with it.
        drop(listener);
        let drained = async {
            while let Some(ended) = connections.next_end().await {
                report(ended);
            }
        };
        if tokio::time::timeout(limits.close_within, drained).await.is_err() {
            tracing::warn!("connections were cut off that did not end in time");
        }
        Ok(())
    }

    /// Waits for a connection, then for room for it; `None` after a fault. In this order, because
    /// a listener that held a seat while nobody comes would keep it from the other listeners.
    async fn next(&self) -> Option<(Seat, Stream, Peer)> {
        let (stream, peer) = match self.listener.accept().await {
            Ok(came) => came,
            Err(error) => {
                if let Some(unsaid) = self.faults.turn() {
                    let local = self.listener.address();
                    tracing::warn!(local, %error, unsaid, "a connection could not be accepted");
                }
                tokio::time::sleep(REST_AFTER_FAULT).await;
                return None;
            }
        };
        let Some(place) = self.place(&peer) else {
            self.answers.count_turned_away(TurnedAway::TooMany);
            return None;
        };
        if self.seats.available_permits() == 0
            && let Some(unsaid) = self.crowded.turn()
        {
            let (local, max) = (self.listener.address(), self.limits.max_connections);
            tracing::warn!(local, max, unsaid, "all connections are taken; new ones have to wait");
        }
        let permit = self.seats.clone().acquire_owned().await.ok()?;
        Some((Seat { _permit: permit, _place: place }, stream, peer))
    }

    /// A place among the connections of this sender; `None` if it has too many.
    fn place(&self, peer: &Peer) -> Option<Place> {
        match peer.remote {
            Some(remote) if !self.answers.speaks_for_many(remote.ip()) => {
                self.crowd.enter(remote.ip())
            }
            _ => Some(Place::default()),
        }
    }
}

/// What a connection holds while it is open.
struct Seat {
    _permit: OwnedSemaphorePermit,
    _place: Place,
}

/// A failure here is a panic: our fault, but no reason to end the others.
fn report(ended: Result<String, crate::base::tasks::Failed>) {
    if let Err(failed) = ended {
        tracing::error!(why = failed.why, "a connection broke down");
    }
}

struct Connection<A: Answers> {
    seat: Seat,
    tls: Option<Arc<Tls>>,
    answers: Arc<A>,
    limits: Limits,
    stopping: Stopping,
}

impl<A: Answers> Connection<A> {
    async fn run(self, stream: Stream, mut peer: Peer) -> Result<(), String> {
        let Self { seat, tls, answers, limits, stopping } = self;
        let _counted = Counted::new(answers.clone());
        // Boxed, because each future around another one holds its room a second time, and thousands
        // of these do nothing but wait.
        match (stream, tls) {
            (Stream::Tcp(stream), Some(tls)) => {
                let accepted = Box::pin(tls.accept(stream));
                let shaken = tokio::time::timeout(limits.head_timeout, accepted).await;
                let Ok(Ok((stream, secured))) = shaken else {
                    answers.count_turned_away(TurnedAway::Handshake);
                    let (remote, why) = (peer.remote, shaken.map(|end| end.err()));
                    tracing::debug!(?remote, ?why, "a TLS handshake did not succeed");
                    return Ok(());
                };
                peer.secured = Some(Arc::new(secured));
                Box::pin(serve_one(stream, peer, &limits, answers, stopping)).await;
            }
            (Stream::Tcp(stream), None) => {
                Box::pin(serve_one(stream, peer, &limits, answers, stopping)).await;
            }
            (Stream::Unix(stream), _) => {
                Box::pin(serve_one(stream, peer, &limits, answers, stopping)).await;
            }
        }
        drop(seat);
        Ok(())
    }
}

struct Counted<A: Answers>(Arc<A>);

impl<A: Answers> Counted<A> {
    fn new(answers: Arc<A>) -> Self {
        answers.count_connection(1);
        Self(answers)
    }
}

impl<A: Answers> Drop for Counted<A> {
    fn drop(&mut self) {
        self.0.count_connection(-1);
    }
}
