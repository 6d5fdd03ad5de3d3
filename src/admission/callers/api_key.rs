//! Callers with a key: its hash stands in a file, which is read anew when it changed.

use std::path::PathBuf;

use super::watched::{Content, Watched};
use super::{Caller, Ground};
use crate::admission::keys::{self, Keys};
use crate::admission::{Knock, Refusal};
use crate::base::clock::Clock;

/// The keys of one file.
#[derive(Debug)]
pub(super) struct KeyRing {
    clock: Clock,
    keys: Watched<Keys>,
}

impl Content for Keys {
    const BYTES_MAX: u64 = keys::FILE_BYTES_MAX;
    /// Hashes open nothing.
    const IS_SECRET: bool = false;
    const WHEN_MISSING: &str = "; `weir keys add` makes one";

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        Self::parse(bytes)
    }

    fn callers(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.all.iter().map(|key| (key.name.as_str(), key.plan.as_deref()))
    }
}

impl KeyRing {
    /// Reads the file; one that is missing holds no keys yet.
    pub(super) fn open(ground: &Ground, block: &str, file: PathBuf) -> Result<Self, String> {
        Ok(Self { clock: ground.clock.clone(), keys: Watched::open(ground, block, file)? })
    }

    /// `None` if nobody with this key is known here.
    pub(super) fn recognise(&self, knock: &Knock<'_>) -> Option<Result<Caller, Refusal>> {
        let secret = knock.shown.api_key?;
        let keys = self.keys.content();
        let key = keys.find(secret)?;
        let is_over = key.expires_unix_ms.is_some_and(|end| end <= self.clock.unix_ms());
        if is_over || self.keys.lacks_plan(key.plan.as_deref()) {
            return Some(Err(Refusal::NotAllowed));
        }
        let (plan, streams) = (key.plan.clone(), key.streams.clone());
        Some(Ok(Caller { plan, streams, ..Caller::named(&key.name) }))
    }
}
