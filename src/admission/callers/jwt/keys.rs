//! The keys of an issuer: fetched when they are needed or old, kept on disk for a restart without
//! network. One fetch at a time; who needs no new key never waits for it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use super::jwks::KeySet;
use crate::admission::callers::Ground;
use crate::admission::settings::{JwtSettings, KeysFrom};
use crate::base::clock::{Clock, parse_rfc3339, rfc3339};
use crate::base::disk::{SharedDisk, parent, read_named_file, replace_durably};
use crate::base::tasks::blocking;
use crate::sink::Web;

/// Most bytes of a set of keys, and of a discovery document.
const DOCUMENT_BYTES_MAX: usize = 150_000;
/// Between two fetches for the sake of a key that is not known: whoever makes up key ids shall not
/// make us knock at the issuer's door each time.
const FETCH_AGAIN: Duration = Duration::from_secs(10);
/// Between two fetches for the sake of newer keys, while the old ones do.
const REFRESH_AGAIN: Duration = Duration::from_secs(60);
/// A changed keys file is in force after this time at the latest.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The keys in force.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) keys: Arc<KeySet>,
    /// Grows when they change.
    pub(super) generation: u64,
}

/// The keys, and the way to newer ones.
pub(super) struct KeyShelf {
    block: String,
    issuer: String,
    from: KeysFrom,
    web: Web,
    disk: SharedDisk,
    clock: Clock,
    cache: std::path::PathBuf,
    timeout: Duration,
    refresh_ms: u64,
    offline_ms: u64,
    state: Mutex<State>,
    /// Held by the one that fetches.
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    known: Option<Known>,
    /// When the issuer said so, in milliseconds since 1970.
    fetched_unix_ms: u64,
    tried: Option<Instant>,
    /// What the issuer said, to tell whether it is something new.
    document: Vec<u8>,
}

#[derive(Deserialize)]
struct Discovered {
    issuer: String,
    jwks_uri: String,
}

impl std::fmt::Debug for KeyShelf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyShelf").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl KeyShelf {
    pub(super) fn open(
        ground: &Ground,
        block: &str,
        settings: &JwtSettings,
    ) -> Result<Self, String> {
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let shelf = Self {
            block: block.to_owned(),
            issuer: settings.issuer.clone(),
            from: settings.keys.clone(),
            web: Web::new(&settings.web).map_err(|why| format!("auth `{block}`: {why}"))?,
            disk: ground.disk.clone(),
            clock: ground.clock.clone(),
            cache: settings.cache.clone(),
            timeout: settings.web.timeout,
            refresh_ms: millis(settings.refresh),
            offline_ms: millis(settings.offline),
            state: Mutex::default(),
            fetching: tokio::sync::Mutex::new(()),
        };
        if let KeysFrom::File(file) = &settings.keys {
            let file = file.display().to_string();
            shelf
                .look()
                .map_err(|why| format!("the keys file `{file}` of auth `{block}`: {why}"))?;
        } else {
            shelf.recall();
        }
        Ok(shelf)
    }

    /// The keys to judge a token by; `None` while there are none that can be trusted.
    pub(super) async fn known(&self, id: Option<&str>) -> Option<Known> {
        if matches!(self.from, KeysFrom::File(_)) {
            return self.of_file();
        }
        let now = self.clock.unix_ms();
        let (known, age_ms) = self.in_force(now);
        let has_it = known.as_ref().is_some_and(|known| known.keys.has(id));
        if has_it && age_ms < self.refresh_ms {
            return known;
        }
        // Whoever has a key to judge by does not queue up behind the fetch of others.
        let turn = match self.fetching.try_lock() {
            Ok(turn) => turn,
            Err(_) if has_it => return known,
            Err(_) => self.fetching.lock().await,
        };
        if self.may_try(has_it) {
            // Boxed: every request would have room for it otherwise, and nearly none fetches.
            Box::pin(self.fetch()).await;
        }
        drop(turn);
        self.in_force(now).0
    }

    /// What may still be used, and how old it is.
    fn in_force(&self, now: u64) -> (Option<Known>, u64) {
        let state = self.state();
        let age_ms = now.saturating_sub(state.fetched_unix_ms);
        (state.known.clone().filter(|_| age_ms <= self.offline_ms), age_ms)
    }

    fn may_try(&self, has_it: bool) -> bool {
        let now = Instant::now();
        let rest = if has_it { REFRESH_AGAIN } else { FETCH_AGAIN };
        let mut state = self.state();
        let rests = state.tried.is_some_and(|at| now.duration_since(at) < rest);
        if !rests {
            state.tried = Some(now);
        }
        !rests
    }

    async fn fetch(&self) {
        let (auth, issuer) = (&self.block, &self.issuer);
        let asked = tokio::time::timeout(self.timeout, self.ask()).await;
        match asked.unwrap_or_else(|_| Err("no answer in time".to_owned())) {
            Ok((document, keys)) => {
                let count = keys.count();
                if self.take(document.clone(), keys, self.clock.unix_ms()) {
                    tracing::info!(auth, issuer, keys = count, "fetched the keys of the issuer");
                }
                self.keep(document).await;
            }
            Err(why) => {
                let held = self.state().known.is_some();
                tracing::warn!(auth, issuer, why, held, "the keys of the issuer cannot be fetched");
            }
        }
    }

    async fn ask(&self) -> Result<(Vec<u8>, KeySet), String> {
        let url = match &self.from {
            KeysFrom::Url(url) => url.clone(),
            _ => self.discover().await?,
        };
        let document = self.web.fetch(&url, DOCUMENT_BYTES_MAX).await?;
        let keys = KeySet::parse(&document)?;
        Ok((document.to_vec(), keys))
    }

    async fn discover(&self) -> Result<String, String> {
        let base = self.issuer.trim_end_matches('/');
        let url = format!("{base}/.well-known/openid-configuration");
        let document = self.web.fetch(&url, DOCUMENT_BYTES_MAX).await?;
        let found: Discovered = serde_json::from_slice(&document)
            .map_err(|error| format!("its discovery document is none: {error}"))?;
        if found.issuer != self.issuer {
            return Err(format!("its discovery document is that of `{}`", found.issuer));
        }
        // Keys that came in clear text from elsewhere would be anybody's.
        let is_secure = |url: &str| url.starts_with("https://");
        if is_secure(&self.issuer) && !is_secure(&found.jwks_uri) {
            return Err("its discovery document leads to keys in clear text".to_owned());
        }
        Ok(found.jwks_uri)
    }

    /// Puts keys in force; `true` if they are others than before.
    fn take(&self, document: Vec<u8>, keys: KeySet, fetched_unix_ms: u64) -> bool {
        let mut state = self.state();
        state.fetched_unix_ms = fetched_unix_ms;
        if state.document == document {
            return false;
        }
        let generation = state.known.as_ref().map_or(1, |known| known.generation + 1);
        state.known = Some(Known { keys: Arc::new(keys), generation });
        state.document = document;
        true
    }

    /// A cache that cannot be written costs a fetch at the next start, nothing else.
    async fn keep(&self, document: Vec<u8>) {
        let (disk, cache) = (self.disk.clone(), self.cache.clone());
        let line = format!("{} {}\n", rfc3339(self.clock.unix_ms()), self.issuer);
        let kept = blocking(move || {
            disk.create_folders(parent(&cache))?;
            replace_durably(disk.as_ref(), &cache, &[line.as_bytes(), &document].concat())
        });
        if let Err(error) = kept.await {
            tracing::warn!(auth = self.block, %error, "the keys of the issuer cannot be kept");
        }
    }

    /// Takes up what the keys were when they last came: a line with the time and the issuer (one of
    /// this name may have been another one), then the keys.
    fn recall(&self) {
        let most = 2 * DOCUMENT_BYTES_MAX as u64;
        let Ok(bytes) = read_named_file(self.disk.as_ref(), &self.cache, most) else { return };
        let Some((time, document)) = self.split(&bytes) else { return };
        if let Ok(keys) = KeySet::parse(document) {
            self.take(document.to_vec(), keys, time);
        }
    }

    fn split<'b>(&self, kept: &'b [u8]) -> Option<(u64, &'b [u8])> {
        let mut parts = kept.splitn(2, |byte| *byte == b'\n');
        let (time, issuer) = std::str::from_utf8(parts.next()?).ok()?.split_once(' ')?;
        let time = parse_rfc3339(time).filter(|_| issuer == self.issuer)?;
        Some((time, parts.next()?))
    }

    fn of_file(&self) -> Option<Known> {
        let now = Instant::now();
        let is_due = self.state().tried.is_none_or(|at| now.duration_since(at) >= LOOK_EVERY);
        if is_due && let Err(why) = self.look() {
            tracing::warn!(auth = self.block, why, "the older keys stay in force");
        }
        self.state().known.clone()
    }

    /// Reads the file; it is small and in the page cache.
    fn look(&self) -> Result<(), String> {
        let KeysFrom::File(file) = &self.from else { return Ok(()) };
        self.state().tried = Some(Instant::now());
        let document = read_named_file(self.disk.as_ref(), file, DOCUMENT_BYTES_MAX as u64)
            .map_err(|error| format!("it cannot be read: {error}"))?;
        if self.state().document == document {
            return Ok(());
        }
        let keys = KeySet::parse(&document)?;
        self.take(document, keys, self.clock.unix_ms());
        Ok(())
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
