//! Adding, listing and revoking keys, for the command line. Secrets are made here and never kept.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::file::{
    FILE_BYTES_MAX, Key, Keys, Written, check_name, hash_of, parse_expiry, print_hash,
};
use crate::base::clock::{Clock, rfc3339};
use crate::base::disk::{Disk, Open, beside, read_named_file, replace_durably};
use crate::base::random;
use crate::base::secret::Secret;

/// Two, so that a new key can be brought out before the old one is revoked.
const KEYS_PER_CALLER_MAX: usize = 2;
/// Begins every secret, so that scanners for leaked secrets can know it.
const SECRET_PREFIX: &str = "weir_";
/// Letters behind the prefix: 43 of 62 hold 256 bits.
const SECRET_LETTERS: usize = 43;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Hex digits of a hash that stand for it in lists.
const ID_DIGITS: usize = 12;
const FIRST_LINES: &str =
    "# API keys of weir, hashed. Written by `weir keys add` and `weir keys revoke`.\n";

/// Why keys were not listed or changed.
#[derive(Debug, Error)]
pub enum KeysError {
    /// What was asked for, or what stands in the file.
    #[error("{0}")]
    Wrong(String),
    /// Somebody else is about to change the file.
    #[error("`{}` is being changed by another command; it was not changed", .0.display())]
    Busy(PathBuf),
    /// The file, or its folder.
    #[error(transparent)]
    Io(io::Error),
}

/// What a new key should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewKey {
    /// The caller.
    pub name: String,
    /// Its plan; that of the auth block if it has none.
    pub plan: Option<String>,
    /// The only streams it is for; all if `None`.
    pub streams: Option<Vec<String>>,
    /// When it ends, as RFC 3339 writes it.
    pub expires: Option<String>,
}

/// One key of a list; the secret is not known any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The caller.
    pub name: String,
    /// `sha256:` and the first digits of the hash; [`revoke`] takes it.
    pub id: String,
    /// Its plan.
    pub plan: Option<String>,
    /// The only streams it is for.
    pub streams: Option<Vec<String>>,
    /// When it ends, as written.
    pub expires: Option<String>,
    /// When it was made, as written.
    pub created: Option<String>,
    /// Whether its end is in the past.
    pub is_expired: bool,
}

/// Makes a key, adds its hash to the file (which is made if it is missing), and gives out the
/// secret, which stands nowhere else. Blocks.
///
/// # Errors
/// [`KeysError`]; the file was not changed then.
pub fn add(disk: &dyn Disk, clock: &Clock, path: &Path, new: &NewKey) -> Result<Secret, KeysError> {
    check(new, clock)?;
    let file = KeysFile::open(disk, path)?;
    let same_name = file.keys.all.iter().filter(|key| key.name == new.name).count();
    if same_name >= KEYS_PER_CALLER_MAX {
        return Err(KeysError::Wrong(format!(
            "`{0}` has {same_name} keys already, and a caller may have {KEYS_PER_CALLER_MAX}; revoke one first: `weir keys revoke`",
            new.name
        )));
    }
    let secret = make_secret().map_err(|error| {
        KeysError::Io(with_words(&error, format!("no secret could be made: {error}")))
    })?;
    let written = Written {
        name: new.name.clone(),
        hash: print_hash(&hash_of(secret.reveal())),
        plan: new.plan.clone(),
        streams: new.streams.clone(),
        expires: new.expires.clone(),
        created: Some(rfc3339(clock.unix_ms())),
    };
    let mut wanted: Vec<Written> = file.keys.all.iter().map(|key| key.written.clone()).collect();
    wanted.push(written.clone());
    let edited = appended(&file.text, &written);
    file.replace(edited, &wanted)?;
    Ok(secret)
}

/// The keys of a file, in its order. Blocks.
///
/// # Errors
/// [`KeysError`]: the file is missing, unreadable or malformed.
pub fn list(disk: &dyn Disk, clock: &Clock, path: &Path) -> Result<Vec<Listed>, KeysError> {
    let bytes = read(disk, path)?;
    let keys = parse(path, &bytes)?;
    let now = clock.unix_ms();
    let listed = keys.all.into_iter().map(|key| Listed {
        id: id_of(&key),
        is_expired: key.expires_unix_ms.is_some_and(|end| end <= now),
        name: key.name,
        plan: key.plan,
        streams: key.streams,
        expires: key.written.expires,
        created: key.written.created,
    });
    Ok(listed.collect())
}

/// Takes keys out of the file: all of a caller's, or the one with an id from [`list`]. Gives back
/// their ids. A running agent notices within a second of its next use. Blocks.
///
/// # Errors
/// [`KeysError`]: there is no such key, or the file cannot be changed; it was not changed then.
pub fn revoke(disk: &dyn Disk, path: &Path, name_or_id: &str) -> Result<Vec<String>, KeysError> {
    read(disk, path)?;
    let file = KeysFile::open(disk, path)?;
    let goes = |key: &Key| key.name == name_or_id || id_of(key) == name_or_id;
    let (gone, kept): (Vec<&Key>, Vec<&Key>) = file.keys.all.iter().partition(|key| goes(key));
    if gone.is_empty() {
        return Err(KeysError::Wrong(format!(
            "no key in `{}` has the name or id `{name_or_id}`; `weir keys ls` shows them",
            path.display()
        )));
    }
    let ids = gone.into_iter().map(id_of).collect();
    let wanted: Vec<Written> = kept.into_iter().map(|key| key.written.clone()).collect();
    let places = (0..).zip(&file.keys.all).filter(|(_, key)| goes(key)).map(|(place, _)| place);
    let edited = without(&file.text, &places.collect::<Vec<_>>());
    file.replace(edited, &wanted)?;
    Ok(ids)
}

fn id_of(key: &Key) -> String {
    let mut text = print_hash(&key.hash);
    text.truncate("sha256:".len() + ID_DIGITS);
    text
}

fn make_secret() -> io::Result<Secret> {
    let mut text = SECRET_PREFIX.to_owned();
    let mut bytes = [0; 32];
    while text.len() < SECRET_PREFIX.len() + SECRET_LETTERS {
        random::secret_bytes(&mut bytes)?;
        let missing = SECRET_PREFIX.len() + SECRET_LETTERS - text.len();
        // 248 is the largest multiple of 62 in a byte; what is above would favour some letters.
        let fair = bytes.iter().filter(|byte| **byte < 248);
        let letters = fair.filter_map(|byte| ALPHABET.get(usize::from(byte % 62)));
        text.extend(letters.take(missing).copied().map(char::from));
    }
    Ok(Secret::new(text))
}

/// A keys file under change; others who want to change it are told to wait.
struct KeysFile<'a> {
    disk: &'a dyn Disk,
    path: PathBuf,
    text: String,
    keys: Keys,
    _lock: Box<dyn crate::base::disk::DiskFile>,
}

impl<'a> KeysFile<'a> {
    fn open(disk: &'a dyn Disk, named: &Path) -> Result<Self, KeysError> {
        let path = disk.resolve(named).unwrap_or_else(|_| named.to_owned());
        // The lock lies beside the file, which is replaced by another with every change.
        let in_words = |error| words(&path, &error);
        let lock = disk.open(&beside(&path, ".lock"), Open::Create).map_err(in_words)?;
        if !lock.try_lock().map_err(in_words)? {
            return Err(KeysError::Busy(path));
        }
        let bytes = match read(disk, &path) {
            Err(KeysError::Io(error)) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            read => read?,
        };
        let keys = parse(&path, &bytes)?;
        let text = String::from_utf8(bytes).map_err(|_| KeysError::Wrong("not UTF-8".into()))?;
        Ok(Self { disk, path, text, keys, _lock: lock })
    }

    /// Puts the edited text in place if it says what is wanted; else (somebody wrote the file in a
    /// shape that edits don't fit) a fresh text that does.
    fn replace(&self, edited: String, wanted: &[Written]) -> Result<(), KeysError> {
        let says = |text: &str| -> Option<Vec<Written>> {
            let keys = Keys::parse(text.as_bytes()).ok()?;
            Some(keys.all.into_iter().map(|key| key.written).collect())
        };
        let fits = says(&edited).is_some_and(|written| written == wanted);
        let text = if fits { edited } else { wanted.iter().fold(String::new(), appended_to) };
        if says(&text).is_none_or(|written| written != wanted) {
            let why = "the new keys do not read back; the file was not changed";
            return Err(KeysError::Wrong(why.into()));
        }
        replace_durably(self.disk, &self.path, text.as_bytes())
            .map_err(|error| words(&self.path, &error))
    }
}

fn appended_to(text: String, key: &Written) -> String {
    appended(&text, key)
}

fn appended(text: &str, key: &Written) -> String {
    let mut out = if text.trim().is_empty() { FIRST_LINES.to_owned() } else { text.to_owned() };
    if !out.ends_with('\n') {
        out.push('\n');
    }
    // What JSON escapes in a string, and how, TOML understands too.
    let quoted = |text: &String| serde_json::Value::from(text.as_str()).to_string();
    let mut line = |name: &str, value: String| out.extend(["", name, " = ", &value, "\n"]);
    line("\n[[key]]\nname", quoted(&key.name));
    line("hash", quoted(&key.hash));
    if let Some(plan) = &key.plan {
        line("plan", quoted(plan));
    }
    if let Some(streams) = &key.streams {
        let streams: Vec<String> = streams.iter().map(quoted).collect();
        line("streams", format!("[{}]", streams.join(", ")));
    }
    if let Some(expires) = &key.expires {
        line("expires", quoted(expires));
    }
    if let Some(created) = &key.created {
        line("created", quoted(created));
    }
    out
}

/// The text without the `[[key]]` blocks at these places. Comments and blank lines behind a block
/// belong to what follows and stay.
fn without(text: &str, places: &[usize]) -> String {
    let mut out = String::new();
    let mut held = String::new();
    let mut place = None;
    for line in text.split_inclusive('\n') {
        let bare = line.trim();
        if bare.starts_with("[[key]]") {
            place = Some(place.map_or(0, |place: usize| place + 1));
        }
        if bare.is_empty() || bare.starts_with('#') {
            held.push_str(line);
        } else if place.is_some_and(|place| places.contains(&place)) {
            // Blank lines between a block's own lines go with it, its first line's stay.
            if bare.starts_with("[[key]]") {
                out.push_str(&held);
            }
            held.clear();
        } else {
            out.push_str(&held);
            held.clear();
            out.push_str(line);
        }
    }
    out + &held
}

fn check(new: &NewKey, clock: &Clock) -> Result<(), KeysError> {
    check_name(&new.name).map_err(KeysError::Wrong)?;
    if let Some(text) = &new.expires
        && parse_expiry(text).map_err(KeysError::Wrong)? <= clock.unix_ms()
    {
        let why = format!("`{text}` is in the past; choose a later time to expire");
        return Err(KeysError::Wrong(why));
    }
    if new.streams.as_ref().is_some_and(Vec::is_empty) {
        let why = "a key for no stream at all opens nothing; name one, or none for all";
        return Err(KeysError::Wrong(why.into()));
    }
    Ok(())
}

fn read(disk: &dyn Disk, path: &Path) -> Result<Vec<u8>, KeysError> {
    read_named_file(disk, path, FILE_BYTES_MAX).map_err(|error| words(path, &error))
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Keys, KeysError> {
    let malformed = |why| KeysError::Wrong(format!("`{}` is malformed: {why}", path.display()));
    Keys::parse(bytes).map_err(malformed)
}

fn words(path: &Path, error: &io::Error) -> KeysError {
    let path = path.display();
    KeysError::Io(with_words(
        error,
        match error.kind() {
            io::ErrorKind::NotFound => format!("there is no file `{path}`"),
            _ => format!("`{path}` cannot be used: {error}"),
        },
    ))
}

fn with_words(error: &io::Error, words: String) -> io::Error {
    io::Error::new(error.kind(), words)
}
