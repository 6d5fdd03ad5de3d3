//! The body of a request as it arrives.
//!
//! On HTTP/2 a body that is dropped before its end makes hyper take the request back behind the answer
//! (`RST_STREAM` with `NO_ERROR`, RFC 9113 section 8.1). Clients that are still sending, Node's and
//! curl's among them, then drop the answer too, and wait for ever. So it is read away, within bounds.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http_body_util::BodyExt as _;
use hyper::Version;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::timeout;

use crate::base::tasks;

/// More than any request we take: one that is longer is taken back after all.
const READ_AWAY_BYTES_MAX: usize = 32 << 20;
const READ_AWAY_WITHIN: Duration = Duration::from_secs(10);

/// A body.
#[derive(Debug)]
pub struct Arriving {
    /// `None` when it is dropped.
    body: Option<Incoming>,
    version: Version,
}

impl Arriving {
    /// The body of a request of this version.
    pub(super) fn new(body: Incoming, version: Version) -> Self {
        Self { body: Some(body), version }
    }
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, Incoming::size_hint)
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        if self.version < Version::HTTP_2 || self.is_end_stream() {
            return;
        }
        if let Some(body) = self.body.take() {
            tasks::detached(async move {
                // What is not over by then is taken back.
                drop(timeout(READ_AWAY_WITHIN, read_away(body)).await);
            });
        }
    }
}

async fn read_away(mut body: Incoming) {
    let mut bytes = 0;
    while bytes < READ_AWAY_BYTES_MAX
        && let Some(Ok(frame)) = body.frame().await
    {
        bytes += frame.data_ref().map_or(0, |data| data.remaining());
    }
}
