//! What waits to be sent, without a worker: what a shard is charged with, and what comes back.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::time::Instant;

use super::{Settings, parcel_of, settings};
use crate::delivery::order::Ordering;
use crate::delivery::outbox::{Outbox, Wanted};
use crate::delivery::owed::Owed;
use crate::delivery::parcel::Parcel;
use crate::sink::{Entry, HashRange, Limits, Load, Outcome, Shard, ShardMap, Sink};

/// An upstream of shards that is never sent to.
struct Still(Mutex<Option<Arc<ShardMap>>>);

impl Still {
    fn with(count: u128) -> Self {
        let size = u128::MAX / count + 1;
        let shard = |place: u128| {
            let range = HashRange { first: place * size, last: place * size + (size - 1) };
            Shard { id: format!("shard-{place}").into(), range, since: 0 }
        };
        let map = ShardMap::new((0..count).map(shard).collect()).unwrap();
        Self(Mutex::new(Some(Arc::new(map))))
    }
}

impl Sink for Still {
    fn kind(&self) -> &'static str {
        "still"
    }

    fn limits(&self) -> Limits {
        Limits { entries: 500, request_bytes: 10 << 20, entry_bytes: 1 << 20 }
    }

    fn weigh(&self, entry: &Entry) -> usize {
        entry.data.len()
    }

    fn wire_bytes(&self, load: Load) -> u64 {
        load.weight as u64
    }

    fn entry(&self, key: String, payload: Bytes) -> Entry {
        Entry::plain(key, payload)
    }

    fn has_shards(&self) -> bool {
        true
    }

    fn shards(&self) -> Option<Arc<ShardMap>> {
        self.0.lock().unwrap().clone()
    }

    async fn put(&self, _: Vec<Entry>) -> Outcome {
        unreachable!("nothing is sent here")
    }

    async fn close(&self) {}
}

#[test]
fn what_is_kept_back_for_an_older_record_of_its_key_takes_nothing_of_what_its_shard_takes() {
    let (sink, now) = (Still(Mutex::new(None)), Instant::now());
    *sink.0.lock().unwrap() = Still::with(2).shards();
    let mut outbox = Outbox::new(&sink, &Settings { ordering: Ordering::Key, ..settings() });
    outbox.turn(&sink, now);
    let busy = parcel_of(0, "a").hash();
    let other = (0..).map(|number| format!("b{number}"));
    let is_beside = |key: &String| (parcel_of(0, key).hash() ^ busy) >> 127 == 0;
    let other = other.into_iter().find(is_beside).unwrap();
    // More than the shard takes in a second.
    (1..=2_000).for_each(|position| drop(outbox.push(parcel_of(position, "a"), None, now)));
    drop(outbox.push(parcel_of(2_001, &other), None, now));

    let mut gone = Vec::new();
    while let Some(request) = outbox.next(&sink, now, Wanted { hurry: true, ..Wanted::default() }) {
        let parcels = request.iter().flat_map(|bundle| &bundle.parcels);
        gone.extend(parcels.map(|parcel| parcel.position.0));
    }

    assert_eq!(gone, [1, 2_001], "the oldest of each key");
}

#[test]
fn when_the_shards_are_not_known_any_more_what_was_parked_comes_back_within_memory() {
    let (sink, now) = (Still::with(4), Instant::now());
    let bytes_max = 1 << 20;
    let mut outbox = Outbox::new(&sink, &Settings { in_flight_bytes: bytes_max, ..settings() });
    outbox.turn(&sink, now);
    let mut owed = Owed::default();
    let of_first = (1..).map(|position| parcel_of(position, &format!("key {position}")));
    let of_first = of_first.filter(|parcel| parcel.hash() < 1 << 126);
    for parcel in of_first.take(20_000) {
        owed.more(parcel.debt());
        let parked = outbox.push(parcel, Some(&owed), now);
        owed.less(parked.iter().map(Parcel::debt));
    }
    assert!(outbox.parked() > 15_000, "{}", outbox.parked());
    let [room, least] = [true, false].map(|takes_any| outbox.room(takes_any));
    assert!(owed.bytes < room && room < bytes_max);
    assert_eq!(least, 0, "while nothing is taken, none is let go that may stay in the queue");

    *sink.0.lock().unwrap() = None;
    outbox.turn(&sink, now);
    while let Some(request) = outbox.next(&sink, now, Wanted { hurry: true, ..Wanted::default() }) {
        owed.less(request.iter().flat_map(|bundle| &bundle.parcels).map(Parcel::debt));
    }
    let parked = outbox.parked();
    assert_eq!(owed.bytes, 0);
    for _ in 0..1_000 {
        let Some((places, bytes)) = outbox.ask(&owed) else { break };
        let mut left = bytes;
        let mut came: Vec<Parcel> = Vec::new();
        for place in places {
            if left == 0 {
                break;
            }
            let parcel = parcel_of(place.0, &format!("key {}", place.0));
            left = left.saturating_sub(parcel.cost());
            came.push(parcel);
        }
        outbox.came(came.iter().map(|parcel| parcel.position));
        for parcel in came {
            owed.more(parcel.debt());
            assert!(outbox.push(parcel, None, now).is_none());
        }
    }

    assert!(owed.bytes > 0 && owed.bytes <= bytes_max, "{} of {bytes_max}", owed.bytes);
    assert!(outbox.parked() > 0 && outbox.parked() < parked, "some came, and the rest waits");
}
