//! The way into admission, narrow enough for a test to stand in.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::admission::{Admission, Admitted, Receipt, Refusal, Rejection};
use crate::base::disk::SharedDisk;
use crate::base::tasks::blocking;
use crate::dead_letter::{self, Letter, Shelf};
use crate::record::RawRecord;

/// What the follower asks of the rooms below.
pub(super) trait Door: Send + Sync + 'static {
    /// The marks whose names begin with `prefix`.
    fn marks(&self, prefix: &str) -> Vec<(String, Bytes)>;

    /// Every destination is done with all records of the stream up to this place in its queue.
    fn settled(&self) -> u64;

    /// Records that may be stored.
    type Admitted: Send;

    /// Checks records; those that are not as they should be come back.
    fn admit(
        &self,
        raw: Arc<Vec<RawRecord>>,
    ) -> impl Future<Output = Result<(Self::Admitted, Vec<Rejection>), Refusal>> + Send;

    /// Makes records and marks durable together.
    fn store(
        &self,
        admitted: Self::Admitted,
        marks: BTreeMap<String, Option<Bytes>>,
    ) -> impl Future<Output = Result<Receipt, Refusal>> + Send;

    /// Puts letters on the shelf of this source.
    fn shelve(&self, letters: Vec<Letter>) -> impl Future<Output = io::Result<()>> + Send;
}

/// The real one.
pub(super) struct FrontDoor {
    pub(super) admission: Arc<Admission>,
    pub(super) disk: SharedDisk,
    pub(super) dead_letters: dead_letter::Settings,
    pub(super) stream: String,
    /// `tail.NAME`, `stdin`.
    pub(super) source: String,
    /// Opened with the first letter.
    pub(super) shelf: Arc<Mutex<Option<Shelf>>>,
}

impl fmt::Debug for FrontDoor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrontDoor").field("source", &self.source).finish_non_exhaustive()
    }
}

impl Door for FrontDoor {
    fn marks(&self, prefix: &str) -> Vec<(String, Bytes)> {
        self.admission.marks(&self.stream, prefix)
    }

    fn settled(&self) -> u64 {
        self.admission.settled_place(&self.stream)
    }

    type Admitted = Admitted;

    async fn admit(&self, raw: Arc<Vec<RawRecord>>) -> Result<(Admitted, Vec<Rejection>), Refusal> {
        let pass = self.admission.enter_openly(&self.source, &self.stream)?;
        if !pass.is_treated() {
            return self.admission.admit(&pass, raw.as_slice());
        }
        // A round of lines is large, and others wait for this thread.
        let largest = raw.iter().map(|raw| raw.payload.len() as u64).max().unwrap_or_default();
        let room = self.admission.room(largest.min(pass.max_record_bytes())).await;
        let admission = Arc::clone(&self.admission);
        blocking(move || {
            let admitted = admission.admit(&pass, raw.as_slice());
            drop(room);
            admitted
        })
        .await
    }

    async fn store(
        &self,
        admitted: Admitted,
        marks: BTreeMap<String, Option<Bytes>>,
    ) -> Result<Receipt, Refusal> {
        let admitted = marks
            .into_iter()
            .fold(admitted, |admitted, (name, value)| admitted.with_mark(name, value));
        self.admission.store(admitted).await
    }

    async fn shelve(&self, letters: Vec<Letter>) -> io::Result<()> {
        let (shelf, disk) = (Arc::clone(&self.shelf), Arc::clone(&self.disk));
        let (settings, stream) = (self.dead_letters.clone(), self.stream.clone());
        let source = self.source.clone();
        blocking(move || {
            let mut shelf = shelf.lock().unwrap_or_else(PoisonError::into_inner);
            let open = match shelf.take() {
                Some(open) => open,
                None => Shelf::open(disk, &settings, &stream, &source)?,
            };
            shelf.insert(open).put(&letters)
        })
        .await
    }
}
