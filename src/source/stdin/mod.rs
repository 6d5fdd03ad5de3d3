//! Standard input as a source: `producer | weir run --stdin STREAM`.
//!
//! A pipe cannot be read twice: what was read and not stored when the process is killed is lost
//! with the producer's own buffer. So little is read ahead, and nothing while the queue takes
//! nothing; the pipe fills up and the producer waits.

mod pump;

use std::sync::Arc;

use tokio::io::AsyncRead;

use super::door::FrontDoor;
use super::framing::{self, Framing};
use crate::admission::Admission;
use crate::base::clock::Clock;
use crate::base::disk::SharedDisk;
use crate::base::shutdown::Stopping;
use crate::dead_letter;
use crate::telemetry::Metrics;
use pump::{Numbers, Pump};

/// How standard input is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The stream that gets the records.
    pub stream: String,
    /// How bytes become records.
    pub framing: framing::Settings,
    /// Where letters about records at fault lie, under `<stream>/stdin`.
    pub dead_letters: dead_letter::Settings,
}

/// Reads standard input.
#[derive(Debug)]
pub struct Stdin {
    pump: Pump<FrontDoor>,
}

impl Stdin {
    /// Prepares to read. The disk is for dead letters.
    pub fn new(
        settings: &Settings,
        disk: SharedDisk,
        clock: Clock,
        admission: Arc<Admission>,
        metrics: &Metrics,
    ) -> Self {
        let door = FrontDoor {
            admission,
            disk,
            dead_letters: settings.dead_letters.clone(),
            stream: settings.stream.clone(),
            source: SOURCE.to_owned(),
            shelf: Arc::default(),
        };
        let (framing, numbers) =
            (Framing::new(&settings.framing), metrics.shared(Numbers::register));
        Self { pump: Pump::new(door, clock, settings.stream.clone(), framing, numbers) }
    }

    /// Reads until the input ends, or until asked to stop; everything that was read is stored then.
    ///
    /// # Errors
    /// In words: the input cannot be read, the stream does not take its records.
    pub async fn run(
        mut self,
        input: impl AsyncRead + Send + Unpin + 'static,
        stopping: Stopping,
    ) -> Result<(), String> {
        self.pump.run(input, stopping).await
    }
}

/// What stands on the records, in metrics and before dead letters.
pub(super) const SOURCE: &str = "stdin";
