//! Raw records become records, or come back with a reason: size and key, then what the route and
//! the stream make of them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::store::Stream;
use super::treatment::{Circumstances, Patient, Treated, Treating, Treatment};
use super::{Admitted, Flaw, Pass, Rejection};
use crate::base::tasks;
use crate::record::{Encoder, KeySource, PARTITION_KEY_CHARS_MAX, RawRecord, RecordId};

/// Checks a partition key that a sender chose.
///
/// # Errors
/// In words, what would be right.
pub fn check_partition_key(key: &str) -> Result<(), String> {
    let chars = key.chars().count();
    if (1..=PARTITION_KEY_CHARS_MAX).contains(&chars) {
        return Ok(());
    }
    Err(format!(
        "the partition key has {chars} characters; it should have 1 to {PARTITION_KEY_CHARS_MAX}"
    ))
}

/// Takes what is right, each with the id of its place in the hand-in, and gives back the rest.
pub(super) fn admit(
    pass: &Pass,
    streams: &BTreeMap<String, Arc<Stream>>,
    raw: &[RawRecord],
    unix_ms: u64,
) -> (Admitted, Vec<Rejection>) {
    let mut admitted = Admitted::new(pass, raw.len());
    let mut rejections = Vec::new();
    let mut gate = Gate::new(pass, streams);
    let first = RecordId::new(unix_ms);
    let lengths = raw.iter().map(|raw| raw.payload.len());
    let mut encoder = Encoder::new(&pass.source, &pass.caller, lengths);
    for (index, raw) in raw.iter().enumerate() {
        let id = first.plus(u32::try_from(index).unwrap_or(u32::MAX));
        match gate.pass(raw) {
            Passed::Fit { stream, payload, partition_key, hash_key } => {
                let key = partition_key.as_deref().unwrap_or_default();
                let encoded = encoder.encode(id, key, hash_key, &payload);
                admitted.push(&stream, id, encoded, payload.len());
            }
            Passed::Dropped => admitted.drop(id),
            Passed::Wrong { flaws, too_large } => {
                rejections.push(Rejection { index, flaws, too_large, raw: raw.clone() });
            }
        }
    }
    (admitted, rejections)
}

/// So often a record is led from one stream to another: by its route, then by the stream of the
/// route. The configuration lets the others lead nowhere.
const LEADS_MAX: usize = 2;

/// What became of a record at the gate; what is as it was is not cloned.
enum Passed<'r> {
    Fit {
        stream: Cow<'r, Arc<Stream>>,
        payload: Cow<'r, Bytes>,
        partition_key: Option<Cow<'r, str>>,
        hash_key: Option<u128>,
    },
    Dropped,
    Wrong {
        flaws: Vec<Flaw>,
        too_large: bool,
    },
}

/// The gate that all records of one hand-in pass.
struct Gate<'a> {
    pass: &'a Pass,
    streams: &'a BTreeMap<String, Arc<Stream>>,
    treating: Treating<'a>,
    /// Records stay as they are: neither a route nor the stream treats them.
    is_plain: bool,
}

impl<'a> Gate<'a> {
    fn new(pass: &'a Pass, streams: &'a BTreeMap<String, Arc<Stream>>) -> Self {
        let circumstances = Circumstances { source: &pass.source, caller: &pass.caller };
        let is_plain = pass.route.is_none() && pass.stream.treatment == Treatment::default();
        Self { pass, streams, treating: Treating::new(circumstances), is_plain }
    }

    fn pass<'r>(&mut self, raw: &'r RawRecord) -> Passed<'r>
    where
        'a: 'r,
    {
        let own: &'a Arc<Stream> = &self.pass.stream;
        if let Err(wrong) = check_size(raw.payload.len(), own) {
            return wrong;
        }
        if let Some(Err(reason)) = raw.partition_key.as_deref().map(check_partition_key) {
            return Passed::Wrong { flaws: vec![Flaw::whole(reason)], too_large: false };
        }
        if self.is_plain {
            let (stream, payload) = (Cow::Borrowed(own), Cow::Borrowed(&raw.payload));
            let asked = raw.partition_key.as_deref().map(Cow::Borrowed);
            let partition_key = asked.or_else(|| self.key(own, raw, &payload).map(Cow::Owned));
            return Passed::Fit { stream, payload, partition_key, hash_key: raw.hash_key };
        }
        // The first that is slow may be met on an async thread.
        if self.pass.is_slow() { tasks::aside(|| self.treat(raw)) } else { self.treat(raw) }
    }

    /// First what the route makes of a record, then what its stream does. A program may lead it to
    /// another stream, which has its own ways; there it stays.
    fn treat<'r>(&mut self, raw: &'r RawRecord) -> Passed<'r> {
        let mut patient = Patient {
            payload: raw.payload.clone(),
            partition_key: raw.partition_key.clone(),
            origin: raw.origin.as_deref(),
            stream: self.pass.stream.name.clone(),
        };
        if let Some(route) = &self.pass.route {
            match self.treating.treat(route, &mut patient) {
                Treated::Fit => {}
                other => return other.into(),
            }
        }
        let mut stream = self.pass.stream.clone();
        for _ in 0..=LEADS_MAX {
            if stream.name != patient.stream {
                let Some(led) = self.streams.get(&patient.stream) else { break };
                stream = led.clone();
            }
            match self.treating.treat(&stream.treatment, &mut patient) {
                Treated::Fit if stream.name == patient.stream => {
                    return self.arrive(stream, raw, patient);
                }
                Treated::Fit => {}
                other => return other.into(),
            }
        }
        let reason = format!("transforms lead to `{}`, where nothing can stay", patient.stream);
        Passed::Wrong { flaws: vec![Flaw::whole(reason)], too_large: false }
    }

    /// It stays in this stream.
    fn arrive<'r>(&self, stream: Arc<Stream>, raw: &RawRecord, patient: Patient<'_>) -> Passed<'r> {
        let Patient { payload, partition_key, .. } = patient;
        if let Err(wrong) = check_size(payload.len(), &stream) {
            return wrong;
        }
        // It stood in the place of a key that a program has replaced.
        let hash_key = raw.hash_key.filter(|_| partition_key == raw.partition_key);
        let partition_key = partition_key.or_else(|| self.key(&stream, raw, &payload));
        let (stream, payload) = (Cow::Owned(stream), Cow::Owned(payload));
        Passed::Fit { stream, payload, partition_key: partition_key.map(Cow::Owned), hash_key }
    }

    /// The key that the template of a stream makes.
    fn key(&self, stream: &Stream, raw: &RawRecord, payload: &[u8]) -> Option<String> {
        stream.partition_key.as_ref()?.key(&KeySource {
            payload,
            origin: raw.origin.as_deref(),
            caller: &self.pass.caller,
            source: &self.pass.source,
        })
    }
}

impl From<Treated> for Passed<'_> {
    fn from(treated: Treated) -> Self {
        match treated {
            Treated::Wrong(flaws) => Self::Wrong { flaws, too_large: false },
            Treated::Fit | Treated::Dropped => Self::Dropped,
        }
    }
}

fn check_size<'r>(bytes: usize, stream: &Stream) -> Result<(), Passed<'r>> {
    let most = stream.max_record_bytes;
    if bytes as u64 <= most {
        return Ok(());
    }
    let reason = format!("the record has {bytes} bytes; this stream takes at most {most}");
    Err(Passed::Wrong { flaws: vec![Flaw::whole(reason)], too_large: true })
}
