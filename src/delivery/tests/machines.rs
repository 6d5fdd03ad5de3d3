//! The pure parts, driven by loops.

mod cutting;
mod pausing;
mod settling;

use super::a_record;
use crate::delivery::bundle::Bundle;
use crate::delivery::parcel::Parcel;
use crate::queue::Position;
use crate::sink::{At, Fault};

fn parcel(number: u64, weight: usize) -> Parcel {
    let record = a_record("x");
    let key_hash = record.routing_key().hash();
    let parcel = Parcel::new(Position(number), record, key_hash);
    Parcel { weight, tries: 1, ..parcel }
}

fn parcels(count: u64) -> Vec<Bundle> {
    (0..count).map(|number| Bundle::lone(parcel(number, 1))).collect()
}

/// What a parcel, or a bundle of one, is known by.
trait Numbered {
    fn number(&self) -> u64;
}

impl Numbered for Parcel {
    fn number(&self) -> u64 {
        self.position.0
    }
}

impl Numbered for Bundle {
    fn number(&self) -> u64 {
        assert!(self.is_lone());
        self.parcels[0].number()
    }
}

fn numbers<N: Numbered>(all: &[N]) -> Vec<u64> {
    all.iter().map(N::number).collect()
}

fn fault(at: At, code: &str) -> Fault {
    Fault { at, code: code.into(), message: "words".into(), retry_after: None }
}
