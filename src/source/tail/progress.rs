//! How far a file was read, and what its bytes looked like there; pure.
//!
//! Device and inode alone do not tell a file: copytruncate keeps them for other content, and the
//! system gives them to a new file. So the head of what was read is remembered as a checksum, and
//! the bytes just before the position as a marker.

use std::io;

use crc32c::{crc32c, crc32c_append};

/// Longest head that is remembered.
pub(super) const HEAD_BYTES: usize = 1024;
/// Longest marker.
pub(super) const MARKER_BYTES: usize = 256;

/// A number of bytes and their CRC-32C.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Digest {
    pub(super) bytes: u16,
    pub(super) crc: u32,
}

/// Everything before `position` is done with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// End of the last line handed over.
    pub(super) position: u64,
    /// Of the first bytes, as far as they were read; grows to [`HEAD_BYTES`].
    pub(super) head: Digest,
    /// Of the last bytes before the position.
    pub(super) marker: Digest,
    /// The position stands within an over-long line, whose rest is to be passed over.
    pub(super) is_skipping: bool,
    /// When the file had last changed as it was read, in nanoseconds since 1970.
    pub(super) changed_unix_ns: i128,
    /// The marker's bytes, once the file was compared with them.
    pub(super) recent: Option<Vec<u8>>,
}

/// What the same places of a file hold now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// Its length.
    pub(super) bytes: u64,
    /// Of as many first bytes as the remembered head has, or fewer if it is shorter.
    pub(super) head: Digest,
    /// Of as many bytes before the position as the remembered marker has.
    pub(super) marker: Digest,
}

/// Where reading goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resume {
    /// At the position: it is the same content.
    Here,
    /// At the first byte: it is other content, and why that is known.
    FromStart(&'static str),
}

/// Whether a file holds what was read of another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Likeness {
    /// All of it, as far as head and marker tell.
    Same,
    /// It begins the same, or is too short to tell, and does not reach the position.
    Shorter,
    /// Something else.
    Other,
}

/// The position in a file of which nothing is wanted.
const DONE: u64 = u64::MAX;

impl Digest {
    /// Of these bytes; they are never more than [`HEAD_BYTES`].
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self { bytes: u16::try_from(bytes.len()).unwrap_or(u16::MAX), crc: crc32c(bytes) }
    }
}

impl Progress {
    /// At the first byte of a file.
    pub(super) fn start() -> Self {
        Self { recent: Some(Vec::new()), ..Self::default() }
    }

    /// At `position`, known from the head of the file and the bytes before the position.
    pub(super) fn at(position: u64, head: &[u8], before: &[u8]) -> Self {
        let (head, marker) = (Digest::of(head), Digest::of(before));
        Self { position, head, marker, recent: Some(before.to_vec()), ..Self::default() }
    }

    /// Of a file of which nothing is wanted, however long it is.
    pub(super) fn done() -> Self {
        Self { position: DONE, ..Self::default() }
    }

    pub(super) fn is_done(&self) -> bool {
        self.position == DONE
    }

    /// Whether other content begins with the same head and, unless that is to be enough, has the
    /// same marker before the position.
    pub(super) fn likeness(
        &self,
        by_head: bool,
        mut read_at: impl FnMut(u64, usize) -> io::Result<Vec<u8>>,
    ) -> io::Result<Likeness> {
        if !self.is_recognisable() {
            return Ok(Likeness::Other);
        }
        let before = self.position - u64::from(self.marker.bytes);
        for (offset, expected) in [(0, self.head), (before, self.marker)] {
            if by_head && offset > 0 {
                break;
            }
            let bytes = read_at(offset, usize::from(expected.bytes))?;
            if bytes.len() < usize::from(expected.bytes) {
                return Ok(Likeness::Shorter);
            }
            if Digest::of(&bytes) != expected {
                return Ok(Likeness::Other);
            }
        }
        Ok(Likeness::Same)
    }

    /// Whether other content would be noticed.
    pub(super) fn is_recognisable(&self) -> bool {
        self.head.bytes > 0
    }

    /// Behind these bytes, which follow the position.
    #[must_use]
    pub(super) fn advanced(&self, used: &[u8]) -> Self {
        let mut head = self.head;
        if u64::from(head.bytes) == self.position {
            let more = HEAD_BYTES.saturating_sub(usize::from(head.bytes)).min(used.len());
            let more = used.get(..more).unwrap_or_default();
            head.crc = crc32c_append(head.crc, more);
            head.bytes += u16::try_from(more.len()).unwrap_or(0);
        }
        let mut recent = self.recent.clone().unwrap_or_default();
        recent
            .extend_from_slice(used.get(used.len().saturating_sub(MARKER_BYTES)..).unwrap_or(used));
        recent.drain(..recent.len().saturating_sub(MARKER_BYTES));
        let position = self.position + used.len() as u64;
        let (marker, is_skipping) = (Digest::of(&recent), self.is_skipping);
        let changed_unix_ns = self.changed_unix_ns;
        Self { position, head, marker, is_skipping, changed_unix_ns, recent: Some(recent) }
    }

    /// Decides where to go on in a file that claims to be the one this was about.
    pub(super) fn resume(&self, seen: &Seen) -> Resume {
        if seen.bytes < self.position {
            Resume::FromStart("it is shorter than what was read of it")
        } else if seen.head != self.head {
            Resume::FromStart("its head is another one")
        } else if seen.marker != self.marker {
            Resume::FromStart("other bytes stand where it was read last")
        } else {
            Resume::Here
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(seed: u64, bytes: usize) -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(seed);
        (0..bytes).map(|_| random.u8(..)).collect()
    }

    fn seen(progress: &Progress, file: &[u8]) -> Seen {
        let head = file.len().min(usize::from(progress.head.bytes));
        let position = usize::try_from(progress.position).unwrap();
        let from = position - usize::from(progress.marker.bytes);
        let marker = file.get(from..position.min(file.len())).unwrap_or_default();
        Seen {
            bytes: file.len() as u64,
            head: Digest::of(&file[..head]),
            marker: Digest::of(marker),
        }
    }

    #[test]
    fn progress_is_the_same_in_small_steps_and_in_one() {
        let file = content(1, 3000);
        for step in [1, 7, 255, 256, 257, 1023, 1024, 1025, 3000] {
            let mut progress = Progress::start();
            for used in file.chunks(step) {
                progress = progress.advanced(used);
            }
            assert_eq!(progress, Progress::at(3000, &file[..1024], &file[2744..]), "step {step}");
        }
    }

    #[test]
    fn a_file_that_grew_is_the_same_from_its_first_byte_on() {
        let file = content(2, 3000);
        for position in [0, 1, 255, 256, 257, 1023, 1024, 1025, 2999, 3000] {
            let progress = Progress::start().advanced(&file[..position]);
            for now in [position, (position + 1).min(3000), 3000] {
                let seen = seen(&progress, &file[..now]);
                assert_eq!(progress.resume(&seen), Resume::Here, "{position} of {now}");
            }
        }
    }

    #[test]
    fn a_shorter_file_another_head_and_another_marker_are_other_content() {
        let file = content(3, 3000);
        for position in [1, 256, 1024, 1025, 2000, 3000] {
            let progress = Progress::start().advanced(&file[..position]);
            let not_here = |now: &[u8]| progress.resume(&seen(&progress, now)) != Resume::Here;

            assert!(not_here(&file[..position - 1]), "shorter, {position}");
            assert!(not_here(&content(4, 3000)), "inode used again, {position}");
            let mut same_head = file.clone();
            same_head[position - 1] ^= 1;
            assert!(not_here(&same_head), "rewritten behind the same head, {position}");
        }
    }

    #[test]
    fn a_position_without_content_is_believed_while_the_file_is_long_enough() {
        let blind = Progress { position: 10, ..Progress::default() };
        let file = content(5, 10);
        assert_eq!(blind.resume(&seen(&blind, &file)), Resume::Here);
        assert_ne!(blind.resume(&seen(&blind, &file[..9])), Resume::Here);
        assert!(!blind.is_recognisable());
        assert_eq!(blind.advanced(b"abc").head, Digest::default());
    }
}
