//! A file of keys, read anew when it changed.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Ground;
use crate::admission::keys::hash_of_bytes;
use crate::base::disk::{SharedDisk, read_named_file};

/// A changed file is in force after this time at the latest.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What a file of keys says, in a form ready for use.
pub(super) trait Content: Default + Send + Sync + 'static {
    /// Most bytes of such a file.
    const BYTES_MAX: u64;
    /// Whether it holds secrets that open something as they stand.
    const IS_SECRET: bool;

    /// What else is to be said where there is no file.
    const WHEN_MISSING: &str = "";

    /// # Errors
    /// In words, with the line.
    fn parse(bytes: &[u8]) -> Result<Self, String>;

    /// The caller of each key, and the plan it names.
    fn callers(&self) -> impl Iterator<Item = (&str, Option<&str>)>;
}

/// The file.
pub(super) struct Watched<C> {
    block: String,
    disk: SharedDisk,
    file: PathBuf,
    plans: Arc<BTreeSet<String>>,
    state: Mutex<State<C>>,
}

#[derive(Default)]
struct State<C> {
    content: Arc<C>,
    seen: Seen,
    looked_at: Option<Instant>,
}

/// What the last look found, so that each finding is told once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Seen {
    #[default]
    Nothing,
    Missing,
    OpenToAll,
    Unreadable(io::ErrorKind),
    Content([u8; 32]),
}

impl<C> fmt::Debug for Watched<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").field("file", &self.file).finish_non_exhaustive()
    }
}

impl<C: Content> Watched<C> {
    /// Reads the file; one that is missing holds no keys yet.
    ///
    /// # Errors
    /// In words: which file of which block, and what is wrong with it.
    pub(super) fn open(ground: &Ground, block: &str, file: PathBuf) -> Result<Self, String> {
        let (disk, plans) = (ground.disk.clone(), ground.plans.clone());
        let watched = Self { block: block.to_owned(), disk, file, plans, state: Mutex::default() };
        let mut state = watched.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.looked_at = Some(Instant::now());
        let looked = watched.look(&mut state);
        drop(state);
        looked.map_err(|why| {
            format!("the keys file `{}` of auth `{block}`: {why}", watched.file.display())
        })?;
        Ok(watched)
    }

    /// What is in force. Looks at the file first if the last look is a second ago; everybody else
    /// waits for that look, so that nobody gets in by a key that was revoked before.
    pub(super) fn content(&self) -> Arc<C> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if state.looked_at.is_none_or(|at| now.duration_since(at) >= LOOK_EVERY) {
            state.looked_at = Some(now);
            if let Err(why) = self.look(&mut state) {
                let (auth, file) = (&self.block, self.file.display());
                tracing::warn!(auth, %file, why, "the older keys stay in force");
            }
        }
        state.content.clone()
    }

    /// Reads the file. It is small and in the page cache, which is cheaper than it would be to
    /// trust its time and size, and can't be fooled by a clock.
    ///
    /// # Errors
    /// In words and once, why what is in force is older than the file.
    fn look(&self, state: &mut State<C>) -> Result<(), String> {
        let is_open = C::IS_SECRET && self.disk.is_open_to_all(&self.file).unwrap_or(false);
        let read = read_named_file(self.disk.as_ref(), &self.file, C::BYTES_MAX);
        let seen = match &read {
            Ok(_) if is_open => Seen::OpenToAll,
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
            Ok(_) if is_open => {
                Err(format!("everybody on this host may read it; chmod 600 {file}"))
            }
            Ok(bytes) => {
                let content = C::parse(&bytes)?;
                tracing::info!(auth, %file, keys = content.callers().count(), "read the keys file");
                self.warn_of_plans(&content);
                state.content = Arc::new(content);
                Ok(())
            }
            Err(_) if seen == Seen::Missing => {
                let hint = C::WHEN_MISSING;
                tracing::warn!(auth, %file, "there is no keys file, so nobody is let in by it{hint}");
                state.content = Arc::default();
                Ok(())
            }
            Err(error) => Err(format!("it cannot be read: {error}")),
        }
    }
    /// A key whose plan is not in the configuration must not become one without any limit.
    pub(super) fn lacks_plan(&self, plan: Option<&str>) -> bool {
        plan.is_some_and(|plan| !self.plans.contains(plan))
    }

    fn warn_of_plans(&self, content: &C) {
        let auth = &self.block;
        for (caller, plan) in content.callers().filter(|(_, plan)| self.lacks_plan(*plan)) {
            let plan = plan.unwrap_or_default();
            tracing::warn!(
                auth,
                caller,
                plan,
                "a key names a plan that is not in the configuration; it opens nothing"
            );
        }
    }
}
