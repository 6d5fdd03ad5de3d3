//! Why a queue refuses groups at present: said when it begins and when it ends, not in between.

use tokio::time::Instant;
use tracing::{info, warn};

use super::error::AppendError;
use super::store::{Store, lock};

/// Why groups are refused at present.
#[derive(Debug)]
pub(super) struct Trouble {
    error: AppendError,
    since: Instant,
}

impl Store {
    pub(super) fn room_was_made(&self) {
        let mut trouble = lock(&self.trouble);
        if trouble.as_ref().is_some_and(|one| matches!(one.error, AppendError::Full { .. })) {
            self.end_trouble(&mut trouble);
        }
    }

    /// Groups are refused: said when it begins, not again while it lasts.
    pub(super) fn refused(&self, error: &AppendError, groups: u64) {
        self.metrics.refused(reason(error), groups);
        let mut trouble = lock(&self.trouble);
        let since = trouble.as_ref().map(|one| one.since);
        if since.is_none() {
            warn!(problem = problem(error), stream = %self.settings.stream, why = %error,
                "the queue refuses what comes in; nothing accepted is lost");
        }
        let since = since.unwrap_or_else(Instant::now);
        *trouble = Some(Trouble { error: error.clone(), since });
    }

    /// A group was stored.
    pub(super) fn stored(&self) {
        let mut trouble = lock(&self.trouble);
        if trouble.is_some() {
            self.end_trouble(&mut trouble);
        }
    }

    fn end_trouble(&self, trouble: &mut Option<Trouble>) {
        if let Some(Trouble { error, since }) = trouble.take() {
            let lasted = since.elapsed();
            info!(problem = problem(&error), stream = %self.settings.stream, ?lasted,
                "the queue takes groups again");
        }
    }

    pub(super) fn trouble(&self) -> Option<AppendError> {
        lock(&self.trouble).as_ref().map(|one| one.error.clone())
    }
}

fn problem(error: &AppendError) -> &'static str {
    match error {
        AppendError::Full { .. } => "queue-full",
        AppendError::DiskFull { .. } => "disk-full",
        AppendError::MarksFull { .. } => "marks-full",
        AppendError::TooLarge { .. } => "group-too-large",
        AppendError::Disk(_) => "disk-failed",
        AppendError::Closed => "queue-closed",
    }
}

fn reason(error: &AppendError) -> &'static str {
    match error {
        AppendError::Full { .. } => "full",
        AppendError::DiskFull { .. } => "disk_full",
        AppendError::MarksFull { .. } => "marks_full",
        AppendError::TooLarge { .. } => "too_large",
        AppendError::Disk(_) => "disk",
        AppendError::Closed => "closed",
    }
}
