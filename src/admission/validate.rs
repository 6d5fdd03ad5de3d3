//! Raw records become records, or come back with a reason: size and key, then what the route and
//! the stream make of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::store::Stream;
use super::treatment::{Circumstances, Patient, Treated, Treating, Treatment};
use super::{Admitted, Flaw, Pass, Rejection};
use crate::record::{
    KeySource, PARTITION_KEY_CHARS_MAX, RawRecord, Record, RecordId, Text, encode,
};

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
    raw: Vec<RawRecord>,
    unix_ms: u64,
) -> (Admitted, Vec<Rejection>) {
    let mut admitted = Admitted::new(pass);
    let mut rejections = Vec::new();
    let mut gate = Gate::new(pass, streams);
    let first = RecordId::new(unix_ms);
    for (index, raw) in raw.into_iter().enumerate() {
        let id = first.plus(u32::try_from(index).unwrap_or(u32::MAX));
        match gate.pass(&raw) {
            Passed::Fit { stream, payload, partition_key, hash_key } => {
                let payload_bytes = payload.len();
                let record = Record {
                    id,
                    partition_key: partition_key.map(Text::from),
                    hash_key,
                    source: pass.source.clone(),
                    caller: pass.caller.clone(),
                    only_for: None,
                    payload,
                };
                admitted.push(&stream, id, encode(&record), payload_bytes);
            }
            Passed::Dropped => admitted.drop(id),
            Passed::Wrong { flaws, too_large } => {
                rejections.push(Rejection { index, flaws, too_large, raw });
            }
        }
    }
    (admitted, rejections)
}

/// So often a record is led from one stream to another: by its route, then by the stream of the
/// route. The configuration lets the others lead nowhere.
const LEADS_MAX: usize = 2;

/// What became of a record at the gate.
enum Passed {
    Fit {
        stream: Arc<Stream>,
        payload: Bytes,
        partition_key: Option<String>,
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
}

impl<'a> Gate<'a> {
    fn new(pass: &'a Pass, streams: &'a BTreeMap<String, Arc<Stream>>) -> Self {
        let circumstances = Circumstances { source: &pass.source, caller: &pass.caller };
        Self { pass, streams, treating: Treating::new(circumstances) }
    }

    fn pass(&mut self, raw: &RawRecord) -> Passed {
        let own = &self.pass.stream;
        if let Err(wrong) = check_size(raw.payload.len(), own) {
            return wrong;
        }
        if let Some(Err(reason)) = raw.partition_key.as_deref().map(check_partition_key) {
            return Passed::Wrong { flaws: vec![Flaw::whole(reason)], too_large: false };
        }
        if self.pass.route.is_none() && own.treatment == Treatment::default() {
            let (stream, payload) = (own.clone(), raw.payload.clone());
            let partition_key = raw.partition_key.clone().or_else(|| self.key(own, raw, &payload));
            return Passed::Fit { stream, payload, partition_key, hash_key: raw.hash_key };
        }
        self.treat(raw)
    }

    /// First what the route makes of a record, then what its stream does. A program may lead it to
    /// another stream, which has its own ways; there it stays.
    fn treat(&mut self, raw: &RawRecord) -> Passed {
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
    fn arrive(&self, stream: Arc<Stream>, raw: &RawRecord, patient: Patient<'_>) -> Passed {
        let Patient { payload, partition_key, .. } = patient;
        if let Err(wrong) = check_size(payload.len(), &stream) {
            return wrong;
        }
        // It stood in the place of a key that a program has replaced.
        let hash_key = raw.hash_key.filter(|_| partition_key == raw.partition_key);
        let partition_key = partition_key.or_else(|| self.key(&stream, raw, &payload));
        Passed::Fit { stream, payload, partition_key, hash_key }
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

impl From<Treated> for Passed {
    fn from(treated: Treated) -> Self {
        match treated {
            Treated::Wrong(flaws) => Self::Wrong { flaws, too_large: false },
            Treated::Fit | Treated::Dropped => Self::Dropped,
        }
    }
}

fn check_size(bytes: usize, stream: &Stream) -> Result<(), Passed> {
    let most = stream.max_record_bytes;
    if bytes as u64 <= most {
        return Ok(());
    }
    let reason = format!("the record has {bytes} bytes; this stream takes at most {most}");
    Err(Passed::Wrong { flaws: vec![Flaw::whole(reason)], too_large: true })
}
