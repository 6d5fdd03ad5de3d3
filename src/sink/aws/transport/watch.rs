//! How long an exchange is waited for: as long as something moves. On a slow link a large request
//! takes minutes, and whoever gives it up half way sends the same bytes again, and again.

use std::error::Error;
use std::pin::pin;
use std::time::Duration;

use aws_smithy_runtime_api::client::result::ConnectorError;
use hyper::http::Extensions;
use hyper_util::client::legacy::connect::CaptureConnection;
use tokio::time::{Instant, sleep_until};

use super::flow::Flow;
use super::meter::Meter;

/// How long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Longest time to get a connection, above the next.
    pub(super) dial: Duration,
    /// Longest time without a byte there or back.
    pub(super) still: Duration,
    /// Longest time in all.
    pub(super) whole: Duration,
}

/// The request went out only in part, so it was not executed.
#[derive(Debug, thiserror::Error)]
#[error("only {sent} of {of} bytes of the request were sent, in {took:.1?}")]
pub(crate) struct CutOff {
    pub(crate) sent: u64,
    of: u64,
    took: Duration,
    #[source]
    why: ConnectorError,
}

/// Nothing moved for too long, or it took too long in all.
#[derive(Debug, thiserror::Error)]
enum Late {
    #[error("no answer within {0:?}")]
    Whole(Duration),
    #[error("nothing moved for {0:?}")]
    Still(Duration),
}

impl Patience {
    /// Waits for the answer to a request of so many bytes, and measures how it is sent; the answer,
    /// and how long after the last byte of the request it came.
    pub(super) async fn wait<T>(
        self,
        answer: impl Future<Output = Result<T, ConnectorError>>,
        way: CaptureConnection,
        (bytes, meter): (u64, &Meter),
    ) -> Result<(T, Duration), ConnectorError> {
        let begun = Instant::now();
        let mut answer = pin!(answer);
        let answered = loop {
            let until = self.until(begun, &way);
            tokio::select! {
                biased;
                answered = &mut answer => break answered,
                () = sleep_until(until) => {}
            }
            // Something may have moved meanwhile.
            if Instant::now() >= self.until(begun, &way) {
                let is_old = begun.elapsed() >= self.whole;
                let late = if is_old { Late::Whole(self.whole) } else { Late::Still(self.still) };
                break Err(ConnectorError::timeout(late.into()));
            }
        };
        let Some(flow) = flow_of(&way) else {
            return answered.map(|answer| (answer, begun.elapsed()));
        };
        // What it took to get a connection is no matter of its speed.
        let first = flow.began().max(begun);
        let (sent, took) = (flow.sent(), flow.last_sent().saturating_duration_since(first));
        match answered {
            Ok(answer) => {
                meter.note(sent, took);
                flow.begin_request();
                Ok((answer, flow.last_sent().max(begun).elapsed()))
            }
            Err(why) if (1..bytes).contains(&sent) => {
                let took = first.elapsed();
                meter.note(sent, took);
                Err(cut_off(CutOff { sent, of: bytes, took, why }))
            }
            Err(why) => Err(why),
        }
    }
}

impl Patience {
    /// When it is over, if nothing moves from now on.
    fn until(self, begun: Instant, way: &CaptureConnection) -> Instant {
        let still = match flow_of(way) {
            Some(flow) => flow.last_moved().max(begun) + self.still,
            None => begun + self.dial + self.still,
        };
        still.min(begun + self.whole)
    }
}

fn cut_off(cut_off: CutOff) -> ConnectorError {
    let is_late = cut_off.why.is_timeout();
    let error: Box<dyn Error + Send + Sync> = cut_off.into();
    if is_late { ConnectorError::timeout(error) } else { ConnectorError::io(error) }
}

/// The connection that the request got, once it has one.
fn flow_of(way: &CaptureConnection) -> Option<Flow> {
    let mut extras = Extensions::new();
    way.connection_metadata().as_ref()?.get_extras(&mut extras);
    extras.remove::<Flow>()
}
