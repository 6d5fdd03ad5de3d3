//! One connection: hyper on top, our deadlines around it, lingering close below it.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep_until};

use super::arriving::Arriving;
use super::pulse::{Pulse, Stage};
use super::{Answer, Answers, LeftUnread, Limits, Peer};
use crate::base::shutdown::Stopping;

/// Most bytes of heads that hyper keeps for one connection; a complete head is judged by the
/// caller, this only bounds what never becomes one.
const HEAD_BUFFER_MAX: usize = 64 << 10;
/// The same on HTTP/2, where hyper itself refuses what is more.
const HTTP2_HEAD_MAX: u32 = 16 << 10;
/// Most requests at once on one HTTP/2 connection.
const HTTP2_STREAMS_MAX: u32 = 64;
/// Most requests on one HTTP/2 connection that were taken back (`RST_STREAM`) before anybody looked
/// at them, and that we had to take back ourselves, before the connection ends: a flood of them
/// costs its sender nothing.
const HTTP2_RESETS_MAX: usize = 20;
const HTTP2_OUR_RESETS_MAX: usize = 256;
/// What a sender may send ahead, in one request and in all of a connection.
const HTTP2_STREAM_WINDOW: u32 = 256 << 10;
const HTTP2_CONNECTION_WINDOW: u32 = 1 << 20;
/// Largest frame, the least that the protocol allows.
const HTTP2_FRAME_MAX: u32 = 16 << 10;
/// Most bytes of answers that wait for a receiver, in one request.
const HTTP2_ANSWER_MAX: usize = 64 << 10;
/// Most bytes thrown away from a sender that was already answered.
const LINGER_BYTES_MAX: usize = 4 << 20;

/// Serves one connection to its end, or until it breaks a bound. Ends early, after the requests
/// under way, when stopping is asked.
pub async fn serve_one<Io, A>(
    io: Io,
    peer: Peer,
    limits: &Limits,
    answers: Arc<A>,
    mut stopping: Stopping,
) where
    Io: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    A: Answers,
{
    let pulse = Shared(Arc::new(Mutex::new(Pulse::new(limits, Instant::now()))));
    let watched = Watched { inner: io, pulse: pulse.clone(), closing: Closing::default() };
    let service = {
        let pulse = pulse.clone();
        service_fn(move |request: Request<Incoming>| {
            let under_way = UnderWay::new(pulse.clone());
            let version = request.version();
            let request = request.map(|body| Arriving::new(body, version));
            // hyper makes room for one with each connection; boxed, only those that answer have it,
            // and what is around it holds no room for it a second time.
            let answer = Box::pin(answers.clone().answer(request, peer.clone()));
            async move { Ok::<_, Infallible>(under_way.finish(answer.await, version)) }
        })
    };
    let builder = builder();
    let mut connection = pin!(builder.serve_connection(TokioIo::new(watched), service));
    let mut asked = pin!(async move { stopping.asked().await });
    let mut was_asked = false;
    let mut alarm = pin!(sleep_until(Instant::now() + limits.head_timeout));

    poll_fn(|cx| {
        if !was_asked && asked.as_mut().poll(cx).is_ready() {
            was_asked = true;
            connection.as_mut().graceful_shutdown();
        }
        loop {
            if let Poll::Ready(end) = connection.as_mut().poll(cx) {
                if let Err(error) = end {
                    tracing::debug!(%error, "a connection ended early");
                }
                return Poll::Ready(());
            }
            let deadline = pulse.lock().deadline();
            if let Some(earlier) = deadline.filter(|at| *at < alarm.deadline()) {
                alarm.as_mut().reset(earlier);
            }
            ready!(alarm.as_mut().poll(cx));
            // The alarm is set late, never early; perhaps nothing is due yet.
            let now = Instant::now();
            match deadline {
                Some(at) if at <= now && pulse.lock().stage() == Stage::Idle => {
                    // HTTP/2 gets a goodbye; whoever ignores it is cut off like the others.
                    pulse.lock().close(now);
                    connection.as_mut().graceful_shutdown();
                }
                Some(at) if at <= now => return Poll::Ready(()),
                _ => alarm.as_mut().reset(deadline.unwrap_or(now + limits.idle_timeout)),
            }
        }
    })
    .await;
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // Half-closed senders (`nc -N`) still get their answer.
    builder.http1().half_close(true).max_buf_size(HEAD_BUFFER_MAX);
    builder
        .http2()
        .max_concurrent_streams(HTTP2_STREAMS_MAX)
        .max_header_list_size(HTTP2_HEAD_MAX)
        .max_pending_accept_reset_streams(HTTP2_RESETS_MAX)
        .max_local_error_reset_streams(HTTP2_OUR_RESETS_MAX)
        .initial_stream_window_size(HTTP2_STREAM_WINDOW)
        .initial_connection_window_size(HTTP2_CONNECTION_WINDOW)
        .max_frame_size(HTTP2_FRAME_MAX)
        .max_send_buf_size(HTTP2_ANSWER_MAX);
    builder
}

#[derive(Clone)]
struct Shared(Arc<Mutex<Pulse>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Pulse> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request under way; also ends when hyper drops it because its sender is gone.
struct UnderWay(Shared);

impl UnderWay {
    fn new(pulse: Shared) -> Self {
        pulse.lock().request_began();
        Self(pulse)
    }

    fn finish(self, mut answer: Answer, version: Version) -> Answer {
        if answer.extensions().get::<LeftUnread>().is_some() && version < Version::HTTP_2 {
            self.0.lock().leave_unread();
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.lock().request_ended(Instant::now());
    }
}

/// The socket, with its pulse taken.
struct Watched<Io> {
    inner: Io,
    pulse: Shared,
    closing: Closing,
}

#[derive(Default)]
enum Closing {
    #[default]
    No,
    Lingering {
        thrown_away: usize,
    },
}

impl<Io: AsyncRead + Unpin> AsyncRead for Watched<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buffer))?;
        let came = buffer.filled().get(before..).unwrap_or_default();
        if !came.is_empty() {
            self.pulse.lock().bytes_in(came, Instant::now());
        }
        Poll::Ready(Ok(()))
    }
}

impl<Io: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<Io> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    /// Closes our side; then, if the other end may still be sending, reads that away, because
    /// closing with unread bytes makes the system answer with a reset that overtakes the answer.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if matches!(this.closing, Closing::No) {
            ready!(Pin::new(&mut this.inner).poll_shutdown(cx))?;
            if !this.pulse.lock().close(Instant::now()) {
                return Poll::Ready(Ok(()));
            }
            this.closing = Closing::Lingering { thrown_away: 0 };
        }
        let mut scratch = [0; 8 << 10];
        while let Closing::Lingering { thrown_away } = &mut this.closing
            && *thrown_away < LINGER_BYTES_MAX
        {
            let mut buffer = ReadBuf::new(&mut scratch);
            let read = ready!(Pin::new(&mut this.inner).poll_read(cx, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                break;
            }
            *thrown_away += buffer.filled().len();
        }
        Poll::Ready(Ok(()))
    }
}
