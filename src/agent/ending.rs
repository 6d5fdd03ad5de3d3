//! Why the agent stops, how long delivery may go on then, and what is told of it.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::{error, info};

use super::status::Picture;
use crate::base::tasks::Failed;

/// How often the books are looked at while draining.
const DRAIN_LOOK: Duration = Duration::from_millis(20);

/// How a run ended that had started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// As asked.
    Asked {
        /// Records that still wait on disk.
        waiting: u64,
    },
    /// Everything there was to read was read.
    Read {
        /// Records that still wait on disk, because nothing was delivered for as long as the grace.
        waiting: u64,
    },
    /// A part failed that must not.
    Failed(Failed),
}

/// Why the agent stops.
pub(super) enum End {
    /// Since then.
    Asked(Instant),
    /// Without waiting for anything.
    AskedTwice(&'static str),
    Read,
    Failed(Failed),
}

impl End {
    pub(super) fn asked(signal: &str) -> Self {
        info!(signal, "stopping");
        Self::Asked(Instant::now())
    }

    /// How long delivery may go on.
    pub(super) fn patience(&self, grace: Duration) -> Patience {
        match self {
            Self::Asked(since) => Patience::Until(*since + grace),
            Self::AskedTwice(_) => Patience::Until(Instant::now()),
            Self::Read => Patience::WhileItMoves(grace),
            Self::Failed(_) => Patience::Until(Instant::now() + grace),
        }
    }

    /// What is told of it, when so many records still wait.
    pub(super) fn told(self, waiting: u64) -> Ending {
        match self {
            Self::Asked(_) | Self::AskedTwice(_) => Ending::Asked { waiting },
            Self::Read => Ending::Read { waiting },
            Self::Failed(failed) => Ending::Failed(failed),
        }
    }

    pub(super) fn failed(failed: Failed) -> Self {
        error!(task = failed.task, why = failed.why, "stopping, as a part of the agent failed");
        Self::Failed(failed)
    }
}

/// How long delivery may go on.
#[derive(Clone, Copy)]
pub(super) enum Patience {
    Until(Instant),
    /// Until nothing was delivered for so long.
    WhileItMoves(Duration),
}

/// Returns when nothing waits any more, or patience has ended.
pub(super) async fn drained(picture: &Picture, patience: Patience) {
    let (mut waiting, mut moved) = (picture.waiting().0, Instant::now());
    while waiting > 0 {
        let end = match patience {
            Patience::Until(end) => end,
            Patience::WhileItMoves(grace) => moved + grace,
        };
        if Instant::now() >= end {
            return;
        }
        sleep(DRAIN_LOOK).await;
        let now = picture.waiting().0;
        if now < waiting {
            moved = Instant::now();
        }
        waiting = now;
    }
}
