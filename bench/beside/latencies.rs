//! How long answers took, in buckets a sixteenth of an octave wide.

use std::time::Duration;

const PER_OCTAVE: u32 = 16;
const BUCKETS: usize = 64 * PER_OCTAVE as usize;

/// Counts of answers by their time.
#[derive(Clone)]
pub(crate) struct Latencies {
    buckets: Vec<u64>,
}

impl Latencies {
    pub(crate) fn new() -> Self {
        Self { buckets: vec![0; BUCKETS] }
    }

    pub(crate) fn add(&mut self, took: Duration) {
        self.buckets[bucket(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX))] += 1;
    }

    pub(crate) fn join(&mut self, other: &Self) {
        for (own, other) in self.buckets.iter_mut().zip(&other.buckets) {
            *own += other;
        }
    }

    /// The time within which this share of the answers came, in milliseconds; `NAN` without any.
    pub(crate) fn quantile_ms(&self, share: f64) -> f64 {
        let all: u64 = self.buckets.iter().sum();
        if all == 0 {
            return f64::NAN;
        }
        let wanted = (all as f64 * share).ceil() as u64;
        let mut counted = 0;
        for (place, count) in self.buckets.iter().enumerate() {
            counted += count;
            if counted >= wanted.max(1) {
                return upper_ns(place) / 1e6;
            }
        }
        f64::NAN
    }
}

fn bucket(ns: u64) -> usize {
    let ns = ns.max(u64::from(PER_OCTAVE));
    let octave = ns.ilog2();
    let within = (ns >> (octave - PER_OCTAVE.ilog2())) - u64::from(PER_OCTAVE);
    (octave * PER_OCTAVE) as usize + within as usize
}

fn upper_ns(place: usize) -> f64 {
    let (octave, within) = (place / PER_OCTAVE as usize, place % PER_OCTAVE as usize);
    2f64.powi(octave as i32) * (1.0 + (within + 1) as f64 / f64::from(PER_OCTAVE))
}
