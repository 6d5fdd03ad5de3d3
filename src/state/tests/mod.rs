//! The store as its users see it, on an engine that can be told to fail, and on the real one.

mod bounds;
mod damage;
mod faults;
mod power;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;

use super::State;
use super::engine::{Change, Engine, Opener};
use super::store::Ground;
use crate::base::clock::Clock;
use crate::base::disk::{RealDisk, SharedDisk};
use crate::base::scratch::Scratch;
use crate::telemetry::Metrics;

/// The real engine on a disk of choice.
fn on_sled(disk: SharedDisk, scratch: &Scratch) -> State {
    let shelf = disk.clone();
    open(Box::new(move |folder| super::on_sled::open(&shelf, folder)), disk, scratch)
}

/// Commits follow at once, so that a test waits for nothing.
fn open(opener: Opener, disk: SharedDisk, scratch: &Scratch) -> State {
    let ground = Ground { disk, clock: Clock::real(), commit_after: Duration::ZERO };
    State::open_with(opener, ground, scratch.path(), &Metrics::default())
}

fn real() -> SharedDisk {
    Arc::new(RealDisk)
}

/// Every entry, by area and key.
fn all(state: &State) -> BTreeMap<String, Bytes> {
    let areas = [("tail/", state.tail()), ("quota/", state.quota()), ("cloud/", state.cloud())];
    areas
        .iter()
        .flat_map(|(name, area)| {
            area.scan("").into_iter().map(move |(key, value)| (format!("{name}{key}"), value))
        })
        .collect()
}

/// The names in the state directory that begin so.
fn standing(scratch: &Scratch, start: &str) -> Vec<String> {
    use crate::base::disk::Disk as _;
    let listed = RealDisk.list(scratch.path()).unwrap();
    listed.into_iter().map(|entry| entry.name).filter(|name| name.starts_with(start)).collect()
}

/// An engine whose medium outlives it, and which fails as told.
#[derive(Clone, Default)]
struct Moody(Arc<Mutex<Mood>>);

#[derive(Default)]
struct Mood {
    medium: BTreeMap<String, Bytes>,
    /// Answers of the next openings and of the next calls; when they are used up, all goes well.
    openings: Vec<Fault>,
    applies: Vec<Fault>,
    syncs: Vec<Fault>,
    opened: usize,
    batches: Vec<usize>,
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    None,
    Error(io::ErrorKind),
    Panic,
}

impl Moody {
    fn mood(&self) -> std::sync::MutexGuard<'_, Mood> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn opener(&self) -> Opener {
        let moody = self.clone();
        Box::new(move |_: &Path| {
            let fault = {
                let mut mood = moody.mood();
                mood.opened += 1;
                next(&mut mood.openings)
            };
            fault.strike().map(|()| Box::new(moody.clone()) as Box<dyn Engine>)
        })
    }
}

fn next(faults: &mut Vec<Fault>) -> Fault {
    if faults.is_empty() { Fault::None } else { faults.remove(0) }
}

impl Fault {
    fn strike(self) -> io::Result<()> {
        match self {
            Self::None => Ok(()),
            Self::Error(kind) => Err(kind.into()),
            Self::Panic => panic!("serialized Uninitialized"),
        }
    }
}

impl Engine for Moody {
    fn entries(&self) -> io::Result<Vec<(String, Bytes)>> {
        Ok(self.mood().medium.clone().into_iter().collect())
    }

    fn apply(&mut self, changes: &[Change]) -> io::Result<()> {
        let fault = next(&mut self.mood().applies);
        fault.strike()?;
        let mut mood = self.mood();
        mood.batches.push(changes.len());
        for Change { key, value } in changes {
            match value {
                Some(value) => drop(mood.medium.insert(key.clone(), value.clone())),
                None => drop(mood.medium.remove(key)),
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let fault = next(&mut self.mood().syncs);
        fault.strike()
    }

    fn disk_bytes(&self) -> io::Result<u64> {
        Ok(self.mood().medium.len() as u64)
    }

    fn close(self: Box<Self>) {}
}
