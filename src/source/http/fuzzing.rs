//! The ways in for the fuzz targets `aws_json` and `aws_cbor`, and for `body`: any bytes as a body, packed or not, of any shape.

use bytes::Bytes;

pub use super::aws::fuzzing::{aws_cbor, aws_json};

use super::body::Budget;
use super::decode::{RECORDS_MAX, Shape};
use super::unpack::{Packing, unpack};

const UNPACKED_BYTES_MAX: u64 = 1 << 20;

/// The first byte chooses packing and shape.
pub fn body(bytes: &[u8]) {
    let Some((how, rest)) = bytes.split_first() else { return };
    let names = ["identity", "gzip", "zstd", "deflate"];
    let packing = names.get(usize::from(how % 4)).and_then(|name| Packing::named(name));
    let mut share = Budget::for_bodies(UNPACKED_BYTES_MAX, UNPACKED_BYTES_MAX).share();
    let body = match packing {
        None => Bytes::copy_from_slice(rest),
        Some(packing) => match unpack(packing, rest, UNPACKED_BYTES_MAX, &mut share) {
            Ok(body) => body,
            Err(_) => return,
        },
    };
    assert!(packing.is_none() || body.len() as u64 <= UNPACKED_BYTES_MAX);
    let shape = shape(how / 4);
    let most = shape.count_at_most(&body).unwrap_or(RECORDS_MAX);
    if let Ok(split) = shape.split(&body, Some("key")) {
        assert!((1..=most).contains(&split.records.len()), "{shape:?}");
        assert!(split.faults.iter().all(|(at, _)| *at < split.records.len()));
        assert!(split.records.iter().all(|record| record.partition_key.is_some()));
        let bytes: usize = split.records.iter().map(|record| record.payload.len()).sum();
        let most = body.len() as u64 + shape.copied_bytes(&body);
        assert!(bytes as u64 <= most, "no more comes out than is paid for");
    }
}

fn shape(number: u8) -> Shape {
    match number % 8 {
        0 => Shape::Lines,
        1 => Shape::One,
        2 => Shape::Elements,
        3 => Shape::WholeEvent,
        4 => Shape::Events,
        5 => Shape::Delivery { id: "r".into() },
        6 => Shape::GatewayRecord,
        _ => Shape::GatewayRecords,
    }
}
