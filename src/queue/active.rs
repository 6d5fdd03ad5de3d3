//! The segment that takes frames: one write each, a sync when the level asks for it, and its end.

use std::io;

use tokio::time::Instant;

use super::frame::{self, Builder, FOOTER};
use super::log::{Place, Segment};
use super::seal::Cipher;
use super::store::Store;
use crate::base::disk::DiskFile;

/// The segment that takes frames.
pub(super) struct Active {
    file: Box<dyn DiskFile>,
    segment: Segment,
    /// Seals its frames, if they are sealed.
    cipher: Option<Cipher>,
    /// The next frame goes here.
    offset: u64,
    /// Everything before is on stable storage.
    synced: u64,
}

/// Files are made in whole blocks.
pub(super) const BLOCK_BYTES: u64 = 4096;

impl Active {
    /// The newest segment, found whole at opening.
    pub(super) fn new(file: Box<dyn DiskFile>, segment: Segment, cipher: Option<Cipher>) -> Self {
        Self { file, segment, cipher, offset: segment.used, synced: segment.used }
    }

    pub(super) fn segment(&self) -> &Segment {
        &self.segment
    }

    /// Whether the next segment is worth preparing.
    pub(super) fn is_half_full(&self) -> bool {
        self.offset > self.segment.bytes / 2
    }

    pub(super) fn has_room(&self, bytes: u64) -> bool {
        self.offset + bytes <= self.segment.bytes
    }

    /// One write. After an error nothing behind the last sync may be trusted.
    pub(super) fn append(&mut self, builder: &mut Builder) -> io::Result<Place> {
        let salt = self.segment.salt.unwrap_or_default();
        let frame = builder.sealed_for(salt, self.cipher.as_ref(), self.offset);
        self.file.write_all_at(frame, self.offset)?;
        let (offset, bytes) = (self.offset, builder.header().total_bytes());
        self.offset += bytes;
        Ok(Place { segment: self.segment.first, salt, offset, bytes })
    }

    /// Syncs what was written since the last time. After an error none of it may be trusted.
    pub(super) fn sync(&mut self, store: &Store) -> io::Result<()> {
        if self.is_synced() {
            return Ok(());
        }
        let started = Instant::now();
        self.file.sync()?;
        store.metrics.sync_seconds.observe(started.elapsed().as_secs_f64());
        self.synced = self.offset;
        Ok(())
    }

    pub(super) fn is_synced(&self) -> bool {
        self.synced == self.offset
    }

    /// Cuts off what no frame will take, and says that `next` follows elsewhere, if that is known.
    /// Nobody depends on the footer but those who look at one file, so for it alone nothing is
    /// synced. How long the file is now, if it was cut.
    pub(super) fn finish(&self, next: Option<u64>, unix_ms: u64) -> io::Result<Option<u64>> {
        let cut = self.cut()?;
        if let Some(next) = next {
            self.write_footer(next, unix_ms)?;
        }
        // The room is given to others, so it must not come back with a crash.
        if cut.is_some() || next.is_some() && !self.is_synced() {
            self.file.sync()?;
        }
        Ok(cut)
    }

    fn write_footer(&self, next: u64, unix_ms: u64) -> io::Result<()> {
        let mut footer = Builder::default();
        footer.begin(next, unix_ms, FOOTER);
        footer.finish();
        let bytes = footer.sealed_for(self.segment.salt.unwrap_or_default(), None, self.offset);
        let bytes = bytes.get(..frame::HEADER_BYTES).unwrap_or(bytes);
        self.file.write_all_at(bytes, self.offset)
    }

    /// Only if it is much: a segment that ended early would keep the room of a whole one. In whole
    /// blocks, so that none is written.
    fn cut(&self) -> io::Result<Option<u64>> {
        let needed = (self.offset + frame::HEADER_BYTES as u64).next_multiple_of(BLOCK_BYTES);
        let unused = self.segment.bytes.saturating_sub(needed);
        // Up to here it is the room that the last frame would not fit into, and as an ordinary
        // file it can be written over.
        if unused <= self.segment.bytes / 4 {
            return Ok(None);
        }
        self.file.set_bytes(needed).map(|()| Some(needed))
    }
}
