//! A record on its way.

use std::time::Duration;

use super::Settings;
use super::apart::{Apart, Span};
use crate::base::clock::Clock;
use crate::dead_letter::{Letter, bare};
use crate::queue::{Position, Stored};
use crate::record::{BadCode, Record, RecordId, RoutingKey, Text, decode};
use crate::sink::{At, Entry, Fate, Fault, HashRange, Piece, Sink, is_aggregate};

/// What a parcel costs in memory beside its payload, in bytes; counted so that many tiny records
/// stay within the same bound as few large ones.
pub(super) const OVERHEAD_BYTES: usize = 256;

/// A record, its place in the queue, and how often it was sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parcel {
    pub(super) position: Position,
    pub(super) record: Record,
    /// What its entry counts against the sink's limits.
    pub(super) weight: usize,
    /// The number its key stands for.
    pub(super) key_hash: u128,
    /// Whether it must travel alone: it is an aggregate already, or one that it was in went astray.
    pub(super) is_sealed: bool,
    /// The hashes of the records in it, where it is an aggregate already.
    pub(super) span: Option<Box<Span>>,
    /// What of them is still to be sent, where they do not belong to one shard.
    pub(super) apart: Option<Box<Apart>>,
    /// How often it was sent.
    pub(super) tries: u32,
}

/// What a stored payload turns out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wrapped {
    /// For this destination.
    Parcel(Parcel),
    /// For another destination only.
    Elsewhere(Position),
    /// Can never be sent.
    Dead(Parcel, Fault),
}

/// Makes parcels of what the queue gives.
#[derive(Debug)]
pub(super) struct Wrapper {
    /// A heavier record can never be sent.
    weight_max: usize,
    last_key: LastKey,
}

/// The key that was seen last, and the number it stands for: records come in runs of one key.
#[derive(Debug)]
struct LastKey {
    /// Without one of its own, the id that stands for it.
    own: Option<Text>,
    id: RecordId,
    hash: u128,
}

impl Wrapper {
    pub(super) fn new<S: Sink>(sink: &S) -> Self {
        let id = RecordId::NONE;
        let last_key = LastKey { own: None, id, hash: RoutingKey::Id(id).hash() };
        Self { weight_max: sink.limits().entry_bytes, last_key }
    }

    /// Takes up what the sink takes now.
    pub(super) fn follow<S: Sink>(&mut self, sink: &S) {
        self.weight_max = sink.limits().entry_bytes;
    }

    /// Reads what the queue gave.
    pub(super) fn wrap<S: Sink>(&mut self, sink: &S, destination: &str, stored: Stored) -> Wrapped {
        let position = stored.position;
        let record = match decode(stored.payload.clone()) {
            Ok(record) => record,
            Err(error) => {
                let record = bare(stored.payload);
                let key_hash = self.last_key.hash_of(&record);
                return Wrapped::Dead(Parcel::new(position, record, key_hash), undecodable(error));
            }
        };
        if record.only_for.as_deref().is_some_and(|only| only != destination) {
            return Wrapped::Elsewhere(position);
        }
        let weight = sink.weigh_record(record.routing_key(), &record.payload);
        let key_hash = self.last_key.hash_of(&record);
        let parcel = Parcel { weight, ..Parcel::new(position, record, key_hash) };
        if weight > self.weight_max {
            return Wrapped::Dead(parcel, too_large(weight, self.weight_max));
        }
        Wrapped::Parcel(parcel)
    }
}

impl LastKey {
    /// The number that the key of a record stands for.
    fn hash_of(&mut self, record: &Record) -> u128 {
        let key = record.routing_key();
        let last = self.own.as_deref().map_or(RoutingKey::Id(self.id), RoutingKey::Own);
        if last != key {
            self.hash = key.hash();
            match key {
                RoutingKey::Own(_) => self.own.clone_from(&record.partition_key),
                RoutingKey::Id(id) => (self.own, self.id) = (None, id),
            }
        }
        self.hash
    }
}

impl Parcel {
    /// One that was never sent and not yet weighed; its key stands for this number.
    pub(super) fn new(position: Position, record: Record, key_hash: u128) -> Self {
        let is_sealed = is_aggregate(&record.payload);
        let span = if is_sealed { Span::of(&record.payload).map(Box::new) } else { None };
        Self { position, record, weight: 0, key_hash, is_sealed, span, apart: None, tries: 0 }
    }

    /// The number that chooses its shard.
    pub(super) fn hash(&self) -> u128 {
        self.apart.as_ref().map_or_else(|| self.own_hash(), |apart| apart.next())
    }

    /// The number that chose its shard at first; never changes.
    fn own_hash(&self) -> u128 {
        self.record.hash_key.unwrap_or(self.key_hash)
    }

    /// Its records belong to one shard of these hashes, or are sent by shards from now on.
    pub(super) fn fit_into(&mut self, range: HashRange) {
        if self.span.as_ref().is_some_and(|span| !span.lies_in(range)) {
            self.go_apart();
        }
    }

    /// From now on its records are sent by shards, whichever there are.
    pub(super) fn go_apart(&mut self) {
        if self.apart.is_none() {
            self.apart = self.span.as_deref().map(|span| Box::new(Apart::new(*span)));
        }
    }

    /// It ended up as one entry in a shard of these hashes (`None`: nobody knows of which), where its
    /// readers keep what belongs there. Whether nothing of it is still to be sent.
    pub(super) fn strayed_into(&mut self, range: Option<HashRange>) -> bool {
        if self.apart.is_none() {
            match range {
                Some(range) => self.fit_into(range),
                None => self.go_apart(),
            }
            if let (Some(apart), Some(range)) = (&mut self.apart, range) {
                apart.arrived(range);
            }
        }
        self.is_all_there()
    }

    /// Whether it is sent in parts, of which some have arrived.
    pub(super) fn has_arrived(&self) -> bool {
        self.apart.as_ref().is_some_and(|apart| apart.has_arrived())
    }

    /// Whether nothing of it is still to be sent.
    pub(super) fn is_all_there(&self) -> bool {
        let payload = &self.record.payload;
        self.apart.as_ref().is_none_or(|apart| apart.is_all_there(payload))
    }

    /// What became of its entries, as one fate.
    pub(super) fn answered(&mut self, mut fates: Vec<Fate>) -> Option<Fate> {
        match &mut self.apart {
            Some(apart) => Some(apart.answered(&self.record.payload, fates)),
            None => fates.pop(),
        }
    }

    /// How many entries it is, and what they count against the sink's limits.
    pub(super) fn load(&self) -> (usize, usize) {
        let apart = self.apart.as_ref().and_then(|apart| apart.load());
        apart.unwrap_or((1, self.weight))
    }

    /// What is left of it as records of their own, for this destination; one for each place of their
    /// hashes.
    pub(super) fn leftovers(
        &self,
        destination: &str,
        place_of: impl Fn(u128) -> usize,
    ) -> Vec<Record> {
        let Some(apart) = &self.apart else { return Vec::new() };
        let left = apart.leftovers(&self.record.payload, place_of).into_iter();
        let record = |entry: Entry| Record {
            partition_key: Some(entry.key.into()),
            hash_key: entry.hash_key,
            payload: entry.data,
            only_for: Some(destination.into()),
            ..self.record.clone()
        };
        left.map(record).collect()
    }

    /// What it brings into an entry it shares.
    pub(super) fn piece(&self) -> Piece<'_> {
        Piece {
            key: self.record.routing_key(),
            key_hash: self.key_hash,
            explicit: self.record.hash_key,
            data: &self.record.payload,
        }
    }

    /// Adds what the sink sends for it; made anew for each try, so that framing takes no memory while
    /// the record waits. Of an aggregate that was taken apart, what goes now.
    pub(super) fn put_entries<S: Sink>(&self, sink: &S, entries: &mut Vec<Entry>) {
        if let Some(apart) = &self.apart {
            apart.put_entries(sink, &self.record.payload, entries);
            return;
        }
        let key = self.record.routing_key().read(str::to_owned);
        let entry = sink.entry(key, self.record.payload.clone());
        entries.push(Entry { hash_key: self.record.hash_key, ..entry });
    }

    /// A number that those records share which must not overtake each other. Who chose no key has
    /// asked for no order, though its record shares a key with others.
    pub(super) fn turn(&self) -> u128 {
        match self.record.partition_key {
            Some(_) => self.key_hash,
            None => self.record.id.into(),
        }
    }

    /// Its turn, and its place in it.
    pub(super) fn place(&self) -> (u128, Position) {
        (self.turn(), self.position)
    }

    /// Where it belongs, and what it counts as.
    pub(super) fn debt(&self) -> (u128, usize) {
        (self.own_hash(), self.cost())
    }

    /// Bytes of memory it counts as.
    pub(super) fn cost(&self) -> usize {
        self.record.payload.len() + OVERHEAD_BYTES
    }

    /// Time since it was accepted.
    pub(super) fn age(&self, now_unix_ms: u64) -> Duration {
        Duration::from_millis(now_unix_ms.saturating_sub(self.record.id.unix_ms()))
    }

    /// The letter that tells why it was given up: what of it has not arrived.
    pub(super) fn into_letter(self, route: Route<'_>, class: &str, fault: Fault) -> Letter {
        let left = self.has_arrived().then(|| self.leftovers(route.destination, |_| 0).pop());
        let record = match left.flatten() {
            Some(left) => Record { only_for: self.record.only_for, ..left },
            None => self.record,
        };
        Letter {
            record,
            stream: route.stream.to_owned(),
            destination: route.destination.to_owned(),
            died_unix_ms: route.now_unix_ms,
            attempts: self.tries,
            class: class.to_owned(),
            code: fault.code,
            message: fault.message,
        }
    }
}

/// From where to where, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route<'a> {
    pub(super) stream: &'a str,
    pub(super) destination: &'a str,
    pub(super) now_unix_ms: u64,
}

impl Settings {
    /// The way of a letter that is written now.
    pub(super) fn route(&self, clock: &Clock) -> Route<'_> {
        let now_unix_ms = clock.unix_ms();
        Route { stream: &self.stream, destination: &self.destination, now_unix_ms }
    }
}

/// The code of a payload that is no record.
pub(super) const UNDECODABLE: &str = "undecodable-record";

fn undecodable(error: BadCode) -> Fault {
    own(UNDECODABLE, format!("{error}; it was not sent"))
}

fn too_large(weight: usize, most: usize) -> Fault {
    let words = format!(
        "the record takes {weight} bytes there, but the destination takes at most {most}; it was \
         not sent"
    );
    own("record-too-large", words)
}

/// A sink that breaks its promise of one fate per entry has said nothing about any of them.
pub(super) fn miscounted() -> Fault {
    Fault { at: At::Transport, ..own("wrong-result-count", String::new()) }
}

/// A fault that weir finds by itself.
pub(super) fn own(code: &str, message: String) -> Fault {
    Fault { at: At::Entry, code: code.to_owned(), message, retry_after: None }
}
