//! Callers with a key: its hash stands in a file, which is read anew when it changed.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{Caller, Ground};
use crate::admission::keys::{self, Key, Keys, hash_of_bytes};
use crate::admission::{Knock, Refusal};
use crate::base::clock::Clock;
use crate::base::disk::{SharedDisk, read_named_file};

/// A changed keys file is in force after this time at the latest.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The keys of one file.
pub(super) struct KeyRing {
    block: String,
    disk: SharedDisk,
    clock: Clock,
    file: PathBuf,
    plans: Arc<BTreeSet<String>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    keys: Arc<Keys>,
    seen: Seen,
    looked_at: Option<Instant>,
}

/// What the last look found, so that each finding is told once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Seen {
    #[default]
    Nothing,
    Missing,
    Unreadable(io::ErrorKind),
    Content([u8; 32]),
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyRing").field("file", &self.file).finish_non_exhaustive()
    }
}

impl KeyRing {
    /// Reads the file; one that is missing holds no keys yet.
    pub(super) fn open(ground: &Ground, block: &str, file: PathBuf) -> Result<Self, String> {
        let ring = Self {
            block: block.to_owned(),
            disk: ground.disk.clone(),
            clock: ground.clock.clone(),
            file,
            plans: ground.plans.clone(),
            state: Mutex::default(),
        };
        ring.first_look()?;
        Ok(ring)
    }

    /// `None` if nobody with this key is known here.
    pub(super) fn recognise(&self, knock: &Knock<'_>) -> Option<Result<Caller, Refusal>> {
        let secret = knock.shown.api_key?;
        let keys = self.keys();
        let key = keys.find(secret)?;
        let expired = key.expires_unix_ms.is_some_and(|end| end <= self.clock.unix_ms());
        if expired || self.lacks_plan(key) {
            return Some(Err(Refusal::NotAllowed));
        }
        let (plan, streams) = (key.plan.clone(), key.streams.clone());
        Some(Ok(Caller { plan, streams, ..Caller::named(&key.name) }))
    }

    /// A key whose plan is not in the configuration must not become one without any limit.
    fn lacks_plan(&self, key: &Key) -> bool {
        key.plan.as_ref().is_some_and(|plan| !self.plans.contains(plan))
    }

    /// The keys in force. Looks at the file first if the last look is a second ago; everybody
    /// else waits for that look, so that nobody gets in by a key that was revoked before.
    fn keys(&self) -> Arc<Keys> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if state.looked_at.is_none_or(|at| now.duration_since(at) >= LOOK_EVERY) {
            state.looked_at = Some(now);
            if let Err(why) = self.look(&mut state) {
                let (auth, file) = (&self.block, self.file.display());
                tracing::warn!(auth, %file, why, "the older keys stay in force");
            }
        }
        state.keys.clone()
    }

    fn first_look(&self) -> Result<(), String> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.looked_at = Some(Instant::now());
        self.look(&mut state).map_err(|why| {
            format!("the keys file `{}` of auth `{}`: {why}", self.file.display(), self.block)
        })
    }

    fn warn_of_plans(&self, keys: &Keys) {
        for key in keys.0.iter().filter(|key| self.lacks_plan(key)) {
            let (auth, caller) = (&self.block, &key.name);
            let plan = key.plan.as_deref().unwrap_or_default();
            tracing::warn!(
                auth,
                caller,
                plan,
                "a key names a plan that is not in the configuration; it opens nothing"
            );
        }
    }

    /// Reads the file. It is small and in the page cache, which is cheaper than it would be to
    /// trust its time and size, and can't be fooled by a clock.
    ///
    /// # Errors
    /// In words and once, why the keys in force are older than the file.
    fn look(&self, state: &mut State) -> Result<(), String> {
        let read = read_named_file(self.disk.as_ref(), &self.file, keys::FILE_BYTES_MAX);
        let seen = match &read {
            Ok(bytes) => Seen::Content(hash_of_bytes(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Seen::Missing,
            Err(error) => Seen::Unreadable(error.kind()),
        };
        if seen == state.seen {
            return Ok(());
        }
        state.seen = seen;
        let (auth, file) = (&self.block, self.file.display());
        match read {
            Ok(bytes) => {
                let keys = Keys::parse(&bytes)?;
                tracing::info!(auth, %file, keys = keys.0.len(), "read the keys file");
                self.warn_of_plans(&keys);
                state.keys = Arc::new(keys);
                Ok(())
            }
            Err(_) if seen == Seen::Missing => {
                tracing::warn!(auth, %file, "there is no keys file, so nobody is let in by key; `weir keys add` makes one");
                state.keys = Arc::default();
                Ok(())
            }
            Err(error) => Err(format!("it cannot be read: {error}")),
        }
    }
}
