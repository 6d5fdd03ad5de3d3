//! Follows files by glob and hands their lines over; the position is committed with the lines.
//!
//! Start reading at `follower`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::admission::Admission;
use crate::base::clock::Clock;
use crate::base::shutdown::Stopping;
use crate::dead_letter;
use crate::telemetry::Metrics;

/// One `[tail.NAME]` block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `NAME`.
    pub name: String,
    /// Globs of files to follow.
    pub include: Vec<String>,
    /// Globs of files to leave out.
    pub exclude: Vec<String>,
    /// The stream that gets the lines.
    pub stream: String,
    /// Where a file begins that was never seen before and was there at the first start.
    pub start_at: StartAt,
    /// Longest line in bytes; a longer one is cut into pieces of this size.
    pub max_line_bytes: usize,
    /// How often folders are looked through in case an event was missed.
    pub rescan_every: Duration,
    /// Where lines go that admission rejects.
    pub dead_letters: dead_letter::Settings,
}

/// Where a file begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartAt {
    /// Behind what is already there.
    #[default]
    End,
    /// At its first byte.
    Beginning,
}

/// One followed file, for `weir status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileStatus {
    /// Where it was last seen.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// How far its lines are durable in the queue.
    pub queued: u64,
}

/// Follows the files of one block.
#[derive(Debug)]
pub struct Tail {}

impl Tail {
    /// Prepares to follow; the marks of the queue say where.
    pub fn new(
        settings: Settings,
        clock: Clock,
        admission: Arc<Admission>,
        metrics: &Metrics,
    ) -> Self {
        let _ = (settings, clock, admission, metrics);
        todo!()
    }

    /// The files it follows now; cheap to call from anywhere.
    pub fn watch(&self) -> Arc<dyn Fn() -> Vec<FileStatus> + Send + Sync> {
        todo!()
    }

    /// Follows until asked to stop.
    ///
    /// # Errors
    /// In words, when it cannot go on.
    pub async fn run(self, stopping: Stopping) -> Result<(), String> {
        let _ = stopping;
        todo!()
    }
}
