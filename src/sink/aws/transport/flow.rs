//! What moves over a connection, so that a request that moves is told from one that is stuck.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// So much may lie in the host's own buffer and not be on its way: what is written is then as good
/// as sent. The host's default is some MiB, a minute of a slow link.
const UNSENT_BYTES_MAX: u32 = 64 << 10;

/// One connection's numbers, shared with whoever waits for an answer on it.
#[derive(Clone, Debug)]
pub(super) struct Flow(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    began: Instant,
    sent: AtomicU64,
    /// How many were sent when the request that is under way began.
    sent_before: AtomicU64,
    /// Milliseconds from the beginning to the last byte there, and to the last in either direction.
    last_sent_ms: AtomicU64,
    last_moved_ms: AtomicU64,
}

impl Flow {
    fn new() -> Self {
        Self(Arc::new(Counts {
            began: Instant::now(),
            sent: AtomicU64::new(0),
            sent_before: AtomicU64::new(0),
            last_sent_ms: AtomicU64::new(0),
            last_moved_ms: AtomicU64::new(0),
        }))
    }

    /// What is sent from now on belongs to the next request.
    pub(super) fn begin_request(&self) {
        self.0.sent_before.store(self.0.sent.load(Ordering::Acquire), Ordering::Release);
    }

    /// Bytes of the request that is under way, or was last.
    pub(super) fn sent(&self) -> u64 {
        let before = self.0.sent_before.load(Ordering::Acquire);
        self.0.sent.load(Ordering::Acquire).saturating_sub(before)
    }

    /// When the connection was made.
    pub(super) fn began(&self) -> Instant {
        self.0.began
    }

    /// When a byte was sent last.
    pub(super) fn last_sent(&self) -> Instant {
        self.0.began + Duration::from_millis(self.0.last_sent_ms.load(Ordering::Acquire))
    }

    /// When a byte was sent or came last.
    pub(super) fn last_moved(&self) -> Instant {
        self.0.began + Duration::from_millis(self.0.last_moved_ms.load(Ordering::Acquire))
    }

    fn wrote(&self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = &polled {
            self.went(*bytes);
        }
        polled
    }

    fn went(&self, bytes: usize) {
        self.0.sent.fetch_add(bytes as u64, Ordering::AcqRel);
        let now_ms = self.now_ms();
        self.0.last_sent_ms.store(now_ms, Ordering::Release);
        self.0.last_moved_ms.store(now_ms, Ordering::Release);
    }

    fn came(&self) {
        self.0.last_moved_ms.store(self.now_ms(), Ordering::Release);
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.0.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// A connection that is counted.
pub(super) struct Counted {
    tcp: TcpStream,
    flow: Flow,
}

impl Counted {
    pub(super) fn new(tcp: TcpStream) -> Self {
        // Without it the numbers are a little ahead, and nothing else is wrong.
        drop(SockRef::from(&tcp).set_tcp_notsent_lowat(UNSENT_BYTES_MAX));
        Self { tcp, flow: Flow::new() }
    }

    pub(super) fn flow(&self) -> Flow {
        self.flow.clone()
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.tcp).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.flow.came();
        }
        polled
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.tcp).poll_write(cx, bytes);
        self.flow.wrote(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.tcp).poll_write_vectored(cx, slices);
        self.flow.wrote(polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
