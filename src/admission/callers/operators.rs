//! Operators with a key: the same file of hashes, for the one door that is no source of records.

use std::path::PathBuf;
use std::sync::Arc;

use super::Ground;
use super::watched::Watched;
use crate::admission::keys::Keys;
use crate::base::clock::Clock;
use crate::base::disk::SharedDisk;

/// The keys that open the admin listener.
#[derive(Debug)]
pub struct Operators {
    clock: Clock,
    keys: Watched<Keys>,
}

impl Operators {
    /// Reads the file; one that is missing holds no keys yet.
    ///
    /// # Errors
    /// In words: what is wrong with the file, with the line.
    pub fn open(disk: SharedDisk, clock: Clock, file: PathBuf) -> Result<Self, String> {
        // A key with a plan or streams is a sender's: no plan is known here, so it opens nothing.
        let ground = Ground { disk, clock: clock.clone(), plans: Arc::default() };
        Ok(Self { clock, keys: Watched::open(&ground, "admin", file)? })
    }

    /// The name of the operator with this secret; `None` if there is none, or the key is over.
    pub fn recognise(&self, secret: &str) -> Option<String> {
        let keys = self.keys.content();
        let key = keys.find(secret)?;
        let is_over = key.expires_unix_ms.is_some_and(|end| end <= self.clock.unix_ms());
        let is_senders = key.plan.is_some() || key.streams.is_some();
        (!is_over && !is_senders).then(|| key.name.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::keys::{NewKey, add};
    use crate::base::disk::RealDisk;
    use crate::base::scratch::Scratch;

    #[test]
    fn a_key_opens_unless_it_is_over_or_a_senders() {
        let scratch = Scratch::new();
        let file = scratch.path().join("admin-keys.toml");
        let clock = Clock::real();
        let new = |name: &str, plan: Option<&str>, streams: Option<&str>, expires: Option<&str>| {
            let key = NewKey {
                name: name.into(),
                plan: plan.map(str::to_owned),
                streams: streams.map(|stream| vec![stream.to_owned()]),
                expires: expires.map(str::to_owned),
            };
            add(&RealDisk, &clock, &file, &key).unwrap()
        };
        let mine = new("ada", None, None, Some("2999-01-01T00:00:00Z"));
        let over = new("bob", None, None, Some("2998-01-01T00:00:00Z"));
        let planned = new("device", Some("gateway"), None, None);
        let bound = new("device-2", None, Some("access"), None);
        // Time went by since it was made.
        let kept = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, kept.replace("2998-", "2020-")).unwrap();
        let operators = Operators::open(Arc::new(RealDisk), clock.clone(), file.clone()).unwrap();

        assert_eq!(operators.recognise(mine.reveal()), Some("ada".into()));
        for other in [over.reveal(), planned.reveal(), bound.reveal(), "", "guess"] {
            assert_eq!(operators.recognise(other), None);
        }
    }
}
