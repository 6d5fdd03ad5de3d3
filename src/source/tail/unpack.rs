//! How many compressed files are read at once: each takes memory as long as it is not at its end.

use super::file::Followed;
use super::files::Files;
use crate::base::disk::foreign::ForeignId;

/// Most files that are being decompressed at once; each takes up to 8 MiB for what zstd looks back on,
/// and a round for what was read last.
const UNPACKING_MAX: usize = 8;

impl Files {
    /// Whether a file has to wait until others are at their end. One that only was compared gives way.
    pub(super) fn must_wait_to_unpack(&mut self, id: ForeignId) -> bool {
        let begins = |file: &Followed| file.is_packed && !file.is_unpacking();
        if !self.all.get(&id).is_some_and(begins) {
            return false;
        }
        let unpacking = self.unpacking();
        if unpacking.len() < UNPACKING_MAX {
            return false;
        }
        let is_idle = |other: &ForeignId| {
            let is_read = |file: &Followed| file.pending.is_some();
            !self.turn.is_waiting(*other) && !self.all.get(other).is_some_and(is_read)
        };
        let idle = unpacking.iter().copied().find(is_idle);
        if let Some(file) = idle.and_then(|other| self.all.get_mut(&other)) {
            file.rest();
        }
        idle.is_none()
    }

    /// The files that are being decompressed.
    pub(super) fn unpacking(&self) -> Vec<ForeignId> {
        let open = self.opened.by_age().filter_map(|id| self.all.get(&id));
        open.filter(|file| file.is_unpacking()).map(|file| file.id).collect()
    }
}
