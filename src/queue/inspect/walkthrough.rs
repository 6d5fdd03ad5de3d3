//! Looking through the segments of a queue, one after the other.

use std::io;

use super::scan::{Depth, Scan, Seen};
use super::{Look, LookError, summary};
use crate::queue::segment;

/// Everything in a queue, in order, one frame in memory at a time. Ends behind the first error.
pub struct Walkthrough<'a> {
    look: &'a Look,
    at: usize,
    scan: Option<Scan>,
    depth: Depth,
    /// Bytes of the segments that were looked through.
    done: u64,
    has_failed: bool,
}

impl<'a> Walkthrough<'a> {
    pub(super) fn new(look: &'a Look, at: usize, depth: Depth) -> Self {
        Self { look, at, scan: None, depth, done: 0, has_failed: false }
    }

    /// Bytes looked through so far.
    pub fn done_bytes(&self) -> u64 {
        self.done + self.scan.as_ref().map_or(0, Scan::offset)
    }

    fn step(&mut self) -> Result<Option<Seen>, LookError> {
        while let Some(segment) = self.look.segments.get(self.at) {
            let path = self.look.folder.join(segment::name(segment.first));
            let scan = match &mut self.scan {
                Some(scan) => scan,
                None => match summary::scan(self.look, self.at, self.depth) {
                    Ok(scan) => self.scan.insert(scan),
                    // Everybody was done with it, and the agent removed it since the look.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        self.at += 1;
                        continue;
                    }
                    Err(error) => return Err(LookError::io(&path)(error)),
                },
            };
            match scan.next() {
                Ok(Some(seen)) => return Ok(Some(seen)),
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(LookError::io(&path)(error)),
            }
            self.scan = None;
            self.at += 1;
            self.done += segment.bytes;
        }
        Ok(None)
    }
}

impl Iterator for Walkthrough<'_> {
    type Item = Result<Seen, LookError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_failed {
            return None;
        }
        let seen = self.step();
        self.has_failed = seen.is_err();
        seen.transpose()
    }
}
