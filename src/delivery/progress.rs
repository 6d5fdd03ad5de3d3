//! How far a file of letters was put back: the value of its mark in the queue.
//!
//! JSON: `[{"end":9120,"filter":{…}},…]`. Each stretch says which letters were meant when the file
//! was worked off from the end of the one before it to its own, so that a replay that was cut off
//! can be followed by one that means other letters.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::dead_letter::{Filter, Letter};

/// Longest value: that of a mark.
const BYTES_MAX: usize = 4_096;

/// Stretches in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Progress(Vec<Stretch>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stretch {
    end: u64,
    filter: Filter,
}

/// What is to be done with a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It is in the queue already.
    Done,
    /// It goes back now.
    Now,
    /// It stays where it is.
    Stays,
    /// It is meant, but lies before the place where another replay was cut off: it stays until
    /// this file is worked off, and goes back with the next round.
    Later,
}

impl Progress {
    pub(super) fn read(value: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(value).map_err(|error| {
            format!("its mark in the queue is unreadable: {error}; nothing was put back")
        })
    }

    /// The value of the mark once this file is worked off to `end`.
    pub(super) fn value(&mut self, end: u64, filter: &Filter) -> Result<Bytes, String> {
        match self.0.last_mut().filter(|last| last.filter == *filter) {
            Some(last) => last.end = end,
            None => self.0.push(Stretch { end, filter: filter.clone() }),
        }
        let value = serde_json::to_vec(&self.0).map_err(|error| error.to_string())?;
        if value.len() > BYTES_MAX {
            return Err("it was cut off under too many filters; replay once without any".into());
        }
        Ok(value.into())
    }

    pub(super) fn turn(&self, at: u64, letter: &Letter, now: &Filter) -> Turn {
        let before = self.0.iter().find(|stretch| at < stretch.end);
        match (before, now.fits(letter)) {
            (Some(stretch), _) if stretch.filter.fits(letter) => Turn::Done,
            (Some(_), true) => Turn::Later,
            (None, true) => Turn::Now,
            (_, false) => Turn::Stays,
        }
    }
}
