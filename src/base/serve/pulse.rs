//! What a connection is doing, and until when it may; pure, the connection asks and acts.

use std::time::Duration;

use tokio::time::Instant;

use super::Limits;
use super::framing::Framing;

/// How long a closing connection waits for a sender that has not noticed yet.
const LINGER: Duration = Duration::from_secs(2);

/// The first bytes of HTTP/2's preface; no method of HTTP/1 is called so.
const HTTP2_START: &[u8; 3] = b"PRI";

#[derive(Debug)]
pub(super) struct Pulse {
    head_timeout: Duration,
    idle_timeout: Duration,
    stage: Stage,
    since: Instant,
    requests: usize,
    start: Vec<u8>,
    left_unread: bool,
    framing: Framing,
    /// Requests that ever began.
    began: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing is asked, nothing is owed.
    Idle,
    /// A head has begun, or the first one is waited for.
    Head,
    /// The last answer is out; the rest is read and thrown away.
    Closing,
}

impl Pulse {
    /// A connection accepted `now`. It owes its first head at once.
    pub(super) fn new(limits: &Limits, now: Instant) -> Self {
        Self {
            head_timeout: limits.head_timeout,
            idle_timeout: limits.idle_timeout,
            stage: Stage::Head,
            since: now,
            requests: 0,
            start: Vec::with_capacity(HTTP2_START.len()),
            left_unread: false,
            framing: Framing::default(),
            began: 0,
        }
    }

    /// Bytes came in.
    pub(super) fn bytes_in(&mut self, bytes: &[u8], now: Instant) {
        self.framing.bytes_in(bytes);
        let missing = HTTP2_START.len().saturating_sub(self.start.len());
        self.start.extend(bytes.iter().take(missing));
        if self.stage == Stage::Closing || self.requests > 0 {
            return;
        }
        if self.start == HTTP2_START {
            // Frames that carry no request (settings, pings) come at any time on HTTP/2, so a byte
            // is no sign of a head there: only the time without requests counts.
            if self.stage == Stage::Head {
                self.enter(Stage::Idle, now);
            }
        } else if self.stage == Stage::Idle {
            self.enter(Stage::Head, now);
        }
    }

    /// A request's head is complete; whether it said the length of its body in two ways.
    pub(super) fn request_began(&mut self) -> bool {
        self.requests += 1;
        self.began = self.began.saturating_add(1);
        self.framing.is_doubtful(self.began)
    }

    /// A request was answered or given up.
    pub(super) fn request_ended(&mut self, now: Instant) {
        self.requests = self.requests.saturating_sub(1);
        if self.requests == 0 && self.stage != Stage::Closing {
            self.enter(Stage::Idle, now);
        }
    }

    /// An answer went out before its request was read.
    pub(super) fn leave_unread(&mut self) {
        self.left_unread = true;
    }

    /// Our side was closed; whether to read on for a while, because the other end may still send.
    pub(super) fn close(&mut self, now: Instant) -> bool {
        let lingers = self.left_unread || self.stage == Stage::Head;
        self.enter(Stage::Closing, now);
        lingers
    }

    pub(super) fn stage(&self) -> Stage {
        self.stage
    }

    /// When its time is over; `None` while a request is under way, which has its own bounds.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.stage {
            Stage::Closing => Some(self.since + LINGER),
            _ if self.requests > 0 => None,
            Stage::Head => Some(self.since + self.head_timeout),
            Stage::Idle => Some(self.since + self.idle_timeout),
        }
    }

    fn enter(&mut self, stage: Stage, now: Instant) {
        if self.stage != stage {
            self.stage = stage;
            self.since = now;
        } else if stage == Stage::Idle {
            self.since = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: Duration = Duration::from_secs(10);
    const IDLE: Duration = Duration::from_secs(60);

    fn pulse(now: Instant) -> Pulse {
        let limits = Limits {
            max_connections: 1,
            max_per_sender: 1,
            head_timeout: HEAD,
            idle_timeout: IDLE,
            close_within: HEAD,
        };
        Pulse::new(&limits, now)
    }

    #[test]
    fn a_head_has_its_own_time_and_so_has_the_rest_between_requests() {
        let t = |seconds| Instant::now() + Duration::from_secs(seconds);
        let (start, later, end, next) = (t(0), t(5), t(7), t(30));
        let mut pulse = pulse(start);

        assert_eq!(pulse.deadline(), Some(start + HEAD));
        pulse.bytes_in(b"PO", later);
        assert_eq!(pulse.deadline(), Some(start + HEAD), "a byte now and then wins no time");
        pulse.request_began();
        assert_eq!(pulse.deadline(), None);
        pulse.request_ended(end);
        assert_eq!(pulse.deadline(), Some(end + IDLE));
        pulse.bytes_in(b"P", next);
        assert_eq!(pulse.deadline(), Some(next + HEAD));
    }

    #[test]
    fn pings_on_http2_are_no_heads_and_win_no_time() {
        let start = Instant::now();
        let ping = start + Duration::from_secs(50);
        let mut pulse = pulse(start);

        pulse.bytes_in(b"P", start);
        pulse.bytes_in(b"RI * HTTP/2.0", start);
        assert_eq!(pulse.deadline(), Some(start + IDLE));
        pulse.bytes_in(b"\0\0\x08\x06", ping);
        assert_eq!(pulse.deadline(), Some(start + IDLE));
    }

    #[test]
    fn only_a_connection_with_bytes_on_the_way_lingers_when_it_closes() {
        let now = Instant::now();
        let mut idle = pulse(now);
        idle.request_began();
        idle.request_ended(now);
        let mut refused = pulse(now);
        refused.request_began();
        refused.leave_unread();
        refused.request_ended(now);
        let mut malformed = pulse(now);
        malformed.bytes_in(b"\0\0\0", now);

        assert!(!idle.close(now));
        assert!(refused.close(now) && malformed.close(now));
        assert_eq!(refused.deadline(), Some(now + LINGER));
    }
}
