//! The keys of a queue that KMS keeps wrapped: beside the queue, in `keys/<id>.wrapped`.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;
use tracing::{debug, info, warn};

use super::StartError;
use crate::base::backoff::Backoff;
use crate::base::clock::Clock;
use crate::base::disk::{Disk, Kind, SharedDisk, read_file, replace_durably};
use crate::base::tasks::blocking;
use crate::config::Stream;
use crate::queue::{self, Key, KeyId, Keys};
use crate::sink::{Fault, Kms, KmsSettings, Wrapped};

/// A wrapped key as it lies on disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Written {
    version: u32,
    created_unix_ms: u64,
    /// What wrapped it, as the settings had it then.
    kms_key: String,
    /// Bound to the key as its encryption context `weir-stream`.
    stream: String,
    wrapped: String,
}

/// One file.
struct Kept {
    id: KeyId,
    path: PathBuf,
    written: Written,
}

/// What lies in a queue's folder.
struct Found {
    /// Oldest first.
    kept: Vec<Kept>,
    /// What segments are sealed with.
    used: BTreeSet<KeyId>,
}

const VERSION: u32 = 1;
const FOLDER: &str = "keys";
const ENDING: &str = ".wrapped";
/// KMS wraps a key of 32 bytes into less than 400.
const FILE_BYTES_MAX: u64 = 16 << 10;
/// An agent starts with its machine, and the network often a little later. KMS is asked again so
/// often, after these waits: about eight seconds, of the ninety that systemd gives a start.
const ASKED_AGAIN: u32 = 4;
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(4);

/// The keys of a stream, ready for what is written from now on: the newest data key, or a new one
/// if it is too old; and all that segments still need. Others are forgotten.
///
/// # Errors
/// [`StartError`].
pub(super) async fn ready(
    stream: &Stream,
    disk: &SharedDisk,
    clock: &Clock,
) -> Result<Keys, StartError> {
    let Some(settings) = &stream.kms else { return Ok(stream.queue.keys.clone()) };
    let Found { mut kept, used } = find(stream, disk).await?;
    let name = &stream.queue.stream;
    let kms = Kms::connect(settings).await.map_err(StartError::Setting)?;
    let newest = kept.pop_if(|newest| newest.is_young(clock, settings.rotate_after));
    let mut old = Vec::new();
    for one in kept {
        if used.contains(&one.id) {
            old.push(one.unwrap(&kms).await?);
        } else if let Err(why) = disk.remove(&one.path) {
            debug!(%why, file = %one.path.display(), "a key that nothing needs is still there");
        }
    }
    let current = match newest {
        Some(newest) => newest.unwrap(&kms).await?,
        None => make(&kms, settings, (name, &stream.queue.folder), (disk, clock)).await?,
    };
    old.extend(stream.queue.keys.old().iter().cloned());
    Ok(Keys::new(Some(current), old))
}

/// The keys that lie there, for looking only.
///
/// # Errors
/// [`StartError`].
pub async fn known(stream: &Stream, disk: &SharedDisk) -> Result<Keys, StartError> {
    let Some(settings) = &stream.kms else { return Ok(stream.queue.keys.clone()) };
    let Found { kept, used } = find(stream, disk).await?;
    let mut keys = stream.queue.keys.old().to_vec();
    if kept.iter().any(|one| used.contains(&one.id)) {
        let kms = Kms::connect(settings).await.map_err(StartError::Setting)?;
        for one in kept.iter().filter(|one| used.contains(&one.id)) {
            keys.push(one.unwrap(&kms).await?);
        }
    }
    Ok(Keys::new(None, keys))
}

async fn find(stream: &Stream, disk: &SharedDisk) -> Result<Found, StartError> {
    let (disk, folder) = (disk.clone(), stream.queue.folder.clone());
    blocking(move || {
        let kept = list(disk.as_ref(), &folder.join(FOLDER))?;
        Ok(Found { kept, used: queue::used_keys(disk.as_ref(), &folder)? })
    })
    .await
    .map_err(|error: io::Error| in_words(&stream.queue.folder.join(FOLDER), &error))
}

fn list(disk: &dyn Disk, folder: &Path) -> io::Result<Vec<Kept>> {
    let listed = match disk.list(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        answer => answer?,
    };
    let mut all = Vec::new();
    for one in listed.into_iter().filter(|one| one.kind == Kind::File) {
        let Some(id) = one.name.strip_suffix(ENDING).and_then(KeyId::parse) else { continue };
        let path = folder.join(&one.name);
        let bytes = read_file(disk, &path, FILE_BYTES_MAX)?;
        let bad = |why: String| damaged(format!("{}: {why}", path.display()));
        let written: Written =
            serde_json::from_slice(&bytes).map_err(|error| bad(error.to_string()))?;
        if written.version != VERSION {
            return Err(bad(format!("its format is version {}", written.version)));
        }
        all.push(Kept { id, path, written });
    }
    all.sort_by_key(|one| one.written.created_unix_ms);
    Ok(all)
}

async fn make(
    kms: &Kms,
    settings: &KmsSettings,
    (stream, folder): (&str, &Path),
    (disk, clock): (&SharedDisk, &Clock),
) -> Result<Key, StartError> {
    let (secret, wrapped) = patiently(stream, || kms.make(stream)).await?;
    let key = Key::parse(secret.reveal()).map_err(StartError::Setting)?;
    let written = Written {
        version: VERSION,
        created_unix_ms: clock.unix_ms(),
        kms_key: settings.key.clone(),
        stream: stream.to_owned(),
        wrapped: BASE64.encode(wrapped.0),
    };
    let (disk, folder) = (disk.clone(), folder.join(FOLDER));
    let path = folder.join(format!("{}{ENDING}", key.id()));
    let text = serde_json::to_vec_pretty(&written).map_err(io::Error::from);
    // Before the first use: what is sealed with a key that is lost is lost.
    let kept = blocking(move || {
        disk.create_folders(&folder)?;
        replace_durably(disk.as_ref(), &path, &text?)
    });
    kept.await.map_err(|error| in_words(Path::new(stream), &error))?;
    info!(stream, key = %key.id(), "KMS made a new data key for the queue");
    Ok(key)
}

impl Kept {
    /// A clock that was set back makes a key young, not old.
    fn is_young(&self, clock: &Clock, rotate_after: Duration) -> bool {
        let age = clock.unix_ms().saturating_sub(self.written.created_unix_ms);
        Duration::from_millis(age) < rotate_after
    }

    async fn unwrap(&self, kms: &Kms) -> Result<Key, StartError> {
        let wrong = |why: &str| {
            let words = format!("{} holds no key of this queue: {why}", self.path.display());
            StartError::Disk(damaged(words))
        };
        let bytes = BASE64.decode(&self.written.wrapped);
        let wrapped = Wrapped(bytes.map_err(|_| wrong("it is not in base64"))?);
        let stream = &self.written.stream;
        let secret = patiently(stream, || kms.unwrap(stream, &wrapped)).await?;
        let key = Key::parse(secret.reveal()).map_err(|why| wrong(&why))?;
        if key.id() != self.id {
            return Err(wrong("KMS unwraps it to another one"));
        }
        Ok(key)
    }
}

/// Asks KMS until it answers, for a while.
async fn patiently<T>(
    stream: &str,
    ask: impl AsyncFn() -> Result<T, Fault>,
) -> Result<T, StartError> {
    let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(fault) if fault.may_pass() && backoff.attempts() < ASKED_AGAIN => {
                let again_in = backoff.next_wait();
                warn!(
                    problem = "kms-away",
                    stream,
                    code = fault.code,
                    why = fault.message,
                    ?again_in,
                    "KMS gives no key yet; it is asked again"
                );
                sleep(again_in).await;
            }
            Err(fault) => return Err(refused(stream, &fault)),
        }
    }
}

fn damaged(words: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, words)
}

fn refused(stream: &str, fault: &Fault) -> StartError {
    let Fault { code, message, .. } = fault;
    let words = format!("KMS gives no key for the queue of stream `{stream}`: {code}: {message}");
    if fault.is_away() {
        StartError::Away(words)
    } else if code.starts_with("AccessDenied") {
        StartError::Denied(words)
    } else {
        StartError::Setting(words)
    }
}

fn in_words(place: &Path, error: &io::Error) -> StartError {
    let words = format!("the keys in {} cannot be used: {error}", place.display());
    StartError::Disk(io::Error::new(error.kind(), words))
}
