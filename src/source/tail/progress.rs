//! How far a file was read, and what its bytes looked like there; pure.
//!
//! Device and inode alone do not tell a file: copytruncate keeps them for other content, and the
//! system gives them to a new file. So the head of what was read is remembered as a checksum, and
//! the bytes just before the position as a marker. In between a trail is kept, thinner and thinner, by
//! which a copy is known that ends before the position.

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
    pub(super) trail: Trail,
    /// The position stands within an over-long line, whose rest is to be passed over.
    pub(super) is_skipping: bool,
    /// Nothing more is wanted of it, however long it is.
    pub(super) is_done: bool,
    /// It was begun behind content that nobody wanted.
    pub(super) is_passed_over: bool,
    /// When the file had last changed as it was read, in nanoseconds since 1970; before anything is
    /// read, what changed no later is no part of what it follows.
    pub(super) changed_unix_ns: i128,
    /// The marker's bytes, once the file was compared with them.
    pub(super) recent: Option<Vec<u8>>,
}

/// CRC-32C of the last [`MARKER_BYTES`] bytes before each power of two, from 1 on, as far as was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Trail(pub(super) Vec<u32>);

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
    /// All of it, as far as head, trail and marker tell.
    Same,
    /// It ends before the position.
    Shorter {
        /// So many bytes are the same, as far as that can be told.
        agreed: u64,
    },
    /// Something else.
    Other,
}

impl Digest {
    /// Of these bytes; they are never more than [`HEAD_BYTES`].
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self { bytes: u16::try_from(bytes.len()).unwrap_or(u16::MAX), crc: crc32c(bytes) }
    }
}

/// A file that is the same for so long and then ends is a copy; a shorter one may be a new file with
/// the header that all have.
pub(super) const COPY_BYTES_MIN: usize = 64;

impl Likeness {
    /// Whether it is enough to call the other file a copy.
    pub(super) fn is_copy(self) -> bool {
        match self {
            Self::Same => true,
            Self::Shorter { agreed } => agreed >= COPY_BYTES_MIN as u64,
            Self::Other => false,
        }
    }
}

impl Progress {
    /// At the first byte of a file.
    pub(super) fn start() -> Self {
        Self { recent: Some(Vec::new()), ..Self::default() }
    }

    /// At `position` of a file.
    pub(super) fn at(
        position: u64,
        mut read_at: impl FnMut(u64, usize) -> io::Result<Vec<u8>>,
    ) -> io::Result<Self> {
        let before = |bytes: usize| usize::try_from(position).map_or(bytes, |all| all.min(bytes));
        let head = Digest::of(&read_at(0, before(HEAD_BYTES))?);
        let mut trail = Trail::default();
        while let Some((from, bytes)) = trail.next(position) {
            trail.0.push(crc32c(&read_at(from, bytes)?));
        }
        let recent = before(MARKER_BYTES);
        let recent = read_at(position - recent as u64, recent)?;
        let marker = Digest::of(&recent);
        Ok(Self { position, head, marker, trail, recent: Some(recent), ..Self::default() })
    }

    /// What the first `depth` bytes of other content have of what was read.
    pub(super) fn likeness(
        &self,
        depth: u64,
        mut read_at: impl FnMut(u64, usize) -> io::Result<Vec<u8>>,
    ) -> io::Result<Likeness> {
        if !self.is_recognisable() {
            return Ok(Likeness::Other);
        }
        // From front to back, because a compressed file is read in that direction.
        let mut places: Vec<(u64, Digest)> = self.trail.places().collect();
        places.push((u64::from(self.head.bytes), self.head));
        places.push((self.position, self.marker));
        places.sort_by_key(|(end, _)| *end);
        let mut agreed = 0;
        for (end, expected) in places.into_iter().filter(|(end, _)| *end <= depth) {
            let bytes = usize::from(expected.bytes);
            let found = read_at(end - bytes as u64, bytes)?;
            if found.len() < bytes {
                return Ok(Likeness::Shorter { agreed });
            }
            if Digest::of(&found) != expected {
                return Ok(Likeness::Other);
            }
            agreed = end;
        }
        Ok(Likeness::Same)
    }

    /// Whether other content that begins so may have anything of what was read: cheaper than to
    /// compare it, where there are many to compare it with.
    pub(super) fn may_begin_with(&self, beginning: &[u8]) -> bool {
        let place = COPY_BYTES_MIN.trailing_zeros();
        let known = usize::try_from(place).ok().and_then(|place| self.trail.0.get(place));
        let begins = beginning.get(..COPY_BYTES_MIN).map(crc32c);
        known.zip(begins).is_none_or(|(known, begins)| *known == begins)
    }

    /// Tells it from the progress in other content that ends at the same position, or in the same
    /// content written once more.
    pub(super) fn print(&self) -> u32 {
        let digests = [self.head, self.marker].map(|digest| digest.crc.to_le_bytes()).concat();
        crc32c_append(crc32c(&digests), &self.changed_unix_ns.to_le_bytes())
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
        let trail = self.trail.advanced(self.position, &recent, used);
        recent
            .extend_from_slice(used.get(used.len().saturating_sub(MARKER_BYTES)..).unwrap_or(used));
        recent.drain(..recent.len().saturating_sub(MARKER_BYTES));
        let position = self.position + used.len() as u64;
        let marker = Digest::of(&recent);
        Self { position, head, marker, trail, recent: Some(recent), ..*self }
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

impl Trail {
    /// Where the bytes stand for the next place, if that is not behind `position`, and how many they are.
    fn next(&self, position: u64) -> Option<(u64, usize)> {
        let end = 1u64.checked_shl(u32::try_from(self.0.len()).ok()?)?;
        let bytes = usize::try_from(end).unwrap_or(usize::MAX).min(MARKER_BYTES);
        (end <= position).then(|| (end - bytes as u64, bytes))
    }

    /// Where each place ends, and what stands before it.
    fn places(&self) -> impl Iterator<Item = (u64, Digest)> {
        self.0.iter().zip(0u32..64).map(|(crc, power)| {
            let end = 1u64 << power;
            let bytes = u16::try_from(end.min(MARKER_BYTES as u64)).unwrap_or(u16::MAX);
            (end, Digest { bytes, crc: *crc })
        })
    }

    /// Behind the bytes `used`, which follow `position`; `recent` are those before it.
    fn advanced(&self, position: u64, recent: &[u8], used: &[u8]) -> Self {
        let mut trail = self.clone();
        let start = position - recent.len() as u64;
        while let Some((from, bytes)) = trail.next(position + used.len() as u64) {
            // Of a position nobody saw the bytes before, there is no trail.
            let Some(from) = from.checked_sub(start) else { break };
            let from = usize::try_from(from).unwrap_or(usize::MAX);
            let (before, behind) = (recent.get(from..), from.saturating_sub(recent.len()));
            let before = before.unwrap_or_default();
            let before = before.get(..bytes).unwrap_or(before);
            let behind = used.get(behind..behind + bytes - before.len()).unwrap_or_default();
            trail.0.push(crc32c_append(crc32c(before), behind));
        }
        trail
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(seed: u64, bytes: usize) -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(seed);
        (0..bytes).map(|_| random.u8(..)).collect()
    }

    fn reader(file: &[u8]) -> impl Fn(u64, usize) -> io::Result<Vec<u8>> {
        move |offset, bytes| {
            let rest = file.get(usize::try_from(offset).unwrap()..).unwrap_or_default();
            Ok(rest.get(..bytes).unwrap_or(rest).to_vec())
        }
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
            assert_eq!(progress, Progress::at(3000, reader(&file)).unwrap(), "step {step}");
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
    fn a_copy_is_known_by_its_beginning_however_short_it_is() {
        let file = content(6, 3000);
        let progress = Progress::start().advanced(&file);
        let check = |other: &[u8], expected| {
            assert_eq!(progress.likeness(u64::MAX, reader(other)).unwrap(), expected);
        };
        check(&file, Likeness::Same);
        check(&[file.as_slice(), b"more"].concat(), Likeness::Same);
        for (bytes, agreed) in
            [(2999, 2048), (2048, 2048), (2047, 1024), (1000, 512), (3, 2), (0, 0)]
        {
            check(&file[..bytes], Likeness::Shorter { agreed });
        }
        for other in [0, 2, 100, 1023, 1500, 2900] {
            let mut changed = file.clone();
            changed[other..(other + 600).min(3000)].reverse();
            check(&changed, Likeness::Other);
        }
        check(&[], Likeness::Shorter { agreed: 0 });
        let depth = |depth| progress.likeness(depth, reader(&file[..1500])).unwrap();
        assert_eq!([1024, 2048].map(depth), [Likeness::Same, Likeness::Shorter { agreed: 1024 }]);
    }

    #[test]
    fn a_position_without_content_is_believed_while_the_file_is_long_enough() {
        let blind = Progress { position: 10, ..Progress::default() };
        let file = content(5, 10);
        assert_eq!(blind.resume(&seen(&blind, &file)), Resume::Here);
        assert_ne!(blind.resume(&seen(&blind, &file[..9])), Resume::Here);
        assert!(!blind.is_recognisable());
        let more = blind.advanced(&content(5, 100));
        assert_eq!((more.head, more.trail), (Digest::default(), Trail::default()));
    }
}
