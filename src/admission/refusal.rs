//! A no to a whole hand-in, and a no to one record of it.

use std::time::Duration;

use crate::record::RawRecord;

/// Why nothing of a hand-in was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No auth block of this door knows the caller.
    UnknownCaller,
    /// It is signed, but not as it should be.
    BadSignature(SignatureFault),
    /// The caller shows a token of an issuer we know, which is worth nothing.
    BadToken {
        /// In words, for its sender.
        why: &'static str,
    },
    /// Whoever knows callers cannot be asked now.
    Unchecked,
    /// The caller is known, but not for this stream, or its key expired.
    NotAllowed,
    /// There is no such stream.
    UnknownStream,
    /// The caller's plan says: later.
    TooFast {
        /// How long to wait.
        retry_after: Duration,
    },
    /// What the caller's plan grants in this day, week or month is used up.
    OverQuota {
        /// How long it lasts.
        retry_after: Duration,
    },
    /// Its address showed too many keys and tokens that are none.
    TooManyGuesses {
        /// How long nothing that it shows is looked at.
        retry_after: Duration,
    },
    /// More records or bytes at once than the caller's plan ever lets through.
    OverBurst {
        /// What would be right.
        limit: u64,
        /// `records` or `bytes`.
        unit: &'static str,
    },
    /// The queue is full.
    Full {
        /// How long to wait.
        retry_after: Duration,
    },
    /// The disk fails.
    Broken {
        /// How long to wait.
        retry_after: Duration,
    },
    /// More bytes than the queue can ever hold at once.
    TooLarge {
        /// What would be right.
        limit: u64,
    },
    /// The idempotency key was used for something else.
    KeyReused,
    /// The agent is stopping.
    Stopping,
}

/// What is wrong with a signature; in the words that clients of AWS know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignatureFault {
    /// Something that it must have is missing or cannot be read.
    Incomplete(String),
    /// It is not that of this request, by this key, now.
    Invalid(String),
    /// Its key opens nothing here.
    UnknownKey,
}

impl From<SignatureFault> for Refusal {
    fn from(fault: SignatureFault) -> Self {
        Self::BadSignature(fault)
    }
}

impl Refusal {
    /// One stable word, for metric labels and logs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::UnknownCaller => "unknown-caller",
            Self::BadSignature(_) => "bad-signature",
            Self::BadToken { .. } => "bad-token",
            Self::Unchecked => "caller-unchecked",
            Self::NotAllowed => "not-allowed",
            Self::UnknownStream => "unknown-stream",
            Self::TooFast { .. } => "too-fast",
            Self::OverQuota { .. } => "over-quota",
            Self::TooManyGuesses { .. } => "too-many-guesses",
            Self::OverBurst { .. } => "over-burst",
            Self::Full { .. } => "queue-full",
            Self::Broken { .. } => "storage-failing",
            Self::TooLarge { .. } => "batch-too-large",
            Self::KeyReused => "idempotency-key-reused",
            Self::Stopping => "stopping",
        }
    }
}

/// One record that is not as it should be, with its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Its place in the hand-in, from 0.
    pub index: usize,
    /// What is wrong with it; one thing at least, and a bounded number.
    pub flaws: Vec<Flaw>,
    /// `true` if it is too large, which has its own answer.
    pub too_large: bool,
    /// The record, given back.
    pub raw: RawRecord,
}

/// One thing that is wrong with a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// JSON pointer to it, where there is one.
    pub pointer: Option<String>,
    /// In words.
    pub reason: String,
}

/// Most characters of a reason, and of a pointer: both may repeat what a sender wrote.
const WORDS_CHARS_MAX: usize = 200;

impl Flaw {
    /// Of the record as a whole.
    pub fn whole(reason: impl Into<String>) -> Self {
        Self { pointer: None, reason: shortened(reason.into()) }
    }

    /// Of the value that a JSON pointer leads to.
    pub fn at(pointer: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { pointer: Some(shortened(pointer.into())), reason: shortened(reason.into()) }
    }
}

impl Rejection {
    /// For one reason that is about the record as a whole.
    pub fn whole(index: usize, reason: impl Into<String>, raw: RawRecord) -> Self {
        Self { index, flaws: vec![Flaw::whole(reason)], too_large: false, raw }
    }

    /// A record that is too large, however it is.
    pub fn too_large(index: usize, reason: impl Into<String>, raw: RawRecord) -> Self {
        Self { too_large: true, ..Self::whole(index, reason, raw) }
    }

    /// All that is wrong with it, in one line.
    pub fn in_words(&self) -> String {
        let word = |flaw: &Flaw| match &flaw.pointer {
            Some(pointer) if !pointer.is_empty() => format!("{pointer}: {}", flaw.reason),
            _ => flaw.reason.clone(),
        };
        self.flaws.iter().map(word).collect::<Vec<_>>().join("; ")
    }
}

fn shortened(mut words: String) -> String {
    if let Some((at, _)) = words.char_indices().nth(WORDS_CHARS_MAX) {
        let (cut, _) = words.char_indices().nth(WORDS_CHARS_MAX - 1).unwrap_or((at, ' '));
        words.truncate(cut);
        words.push('…');
    }
    words
}
