//! Who tries keys and tokens that are none: bounded per source address, whatever it guesses.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Refusal;
use crate::base::bucket::{Bucket, Crowd, Shape, Short};
use crate::base::nets::sender_of;
use crate::base::units::CountRate;

/// Most addresses that are remembered; addresses are cheap in IPv6, even whole networks.
const ADDRESSES_MAX: usize = 20_000;

/// The wrong guesses of all addresses.
#[derive(Debug)]
pub(super) struct Guesses {
    crowd: Crowd<Guesser>,
}

#[derive(Debug)]
struct Guesser {
    bucket: Bucket,
    /// Until then nothing that it shows is looked at.
    locked_until: Mutex<Option<Instant>>,
}

impl Default for Guesses {
    fn default() -> Self {
        Self { crowd: Crowd::new(ADDRESSES_MAX, REMEMBERED) }
    }
}

/// Longer than any rate needs to forget: rates are per minute or so.
const REMEMBERED: Duration = Duration::from_hours(1);

impl Guesses {
    /// Whether what this address shows may be looked at.
    ///
    /// # Errors
    /// [`Refusal::TooManyGuesses`].
    pub(super) fn check(&self, listener: &str, address: IpAddr) -> Result<(), Refusal> {
        if self.crowd.count() == 0 {
            return Ok(());
        }
        let Some(guesser) = self.crowd.known(&name(listener, address)) else { return Ok(()) };
        let until = *guesser.locked_until.lock().unwrap_or_else(PoisonError::into_inner);
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        match left {
            Some(retry_after) if !retry_after.is_zero() => {
                Err(Refusal::TooManyGuesses { retry_after })
            }
            _ => Ok(()),
        }
    }

    /// Notes that it was wrong.
    pub(super) fn wrong(&self, listener: &str, address: IpAddr, rate: CountRate) {
        let Some(shape) = Shape::new(rate.count, rate.per, Some(rate.count)) else { return };
        let new = || Guesser { bucket: Bucket::new(shape), locked_until: Mutex::default() };
        let guesser = self.crowd.of(&name(listener, address), new);
        if let Err(Short::Later(wait)) = guesser.bucket.take(1) {
            let until = Instant::now() + wait;
            *guesser.locked_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
        }
    }
}

fn name(listener: &str, address: IpAddr) -> String {
    format!("{listener}\0{}", sender_of(address))
}
