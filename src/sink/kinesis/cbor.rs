//! The body of a PutRecords request in CBOR 1.1, with ends left open as the SDK for Java leaves them.

use std::convert::Infallible;

use minicbor::Encoder;
use minicbor::encode::Error;

use super::StreamName;
use crate::sink::Entry;

/// What stands around an entry: its ends (2), `Data` (5) and the head of its bytes (5), `PartitionKey` (13)
/// and the head of its text (3).
pub(super) const AROUND_ENTRY: usize = 28;
/// `ExplicitHashKey` (16) and up to 39 digits (2 in front of them).
pub(super) const HASH_KEY: usize = 57;
/// `Records`, the stream and its names, and the ends.
const AROUND: usize = 64;

/// Writes the body; the entries are let go one by one.
pub(super) fn write(stream: &StreamName, entries: Vec<Entry>) -> Vec<u8> {
    let room = |entry: &Entry| entry.data.len() + entry.key.len() + AROUND_ENTRY + HASH_KEY;
    let room = AROUND + stream.bytes() + entries.iter().map(room).sum::<usize>();
    let mut out = Encoder::new(Vec::with_capacity(room));
    put(&mut out, stream, entries).expect("memory takes it");
    out.into_writer()
}

fn put(
    out: &mut Encoder<Vec<u8>>,
    stream: &StreamName,
    entries: Vec<Entry>,
) -> Result<(), Error<Infallible>> {
    out.begin_map()?.str("Records")?.begin_array()?;
    for entry in entries {
        out.begin_map()?.str("Data")?.bytes(&entry.data)?;
        if let Some(hash) = entry.hash_key {
            out.str("ExplicitHashKey")?.str(&hash.to_string())?;
        }
        out.str("PartitionKey")?.str(&entry.key)?.end()?;
    }
    out.end()?;
    for (field, value) in [("StreamName", &stream.name), ("StreamARN", &stream.arn)] {
        if let Some(value) = value {
            out.str(field)?.str(value)?;
        }
    }
    out.end()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use ciborium::{Value, cbor};

    use super::*;

    fn stream() -> StreamName {
        StreamName { name: Some("readings".into()), arn: None }
    }

    #[test]
    fn entries_are_written_as_the_service_reads_them() {
        let keyed = Entry { hash_key: Some(7), ..Entry::plain("é".into(), "two".into()) };
        let written = write(&stream(), vec![keyed, Entry::plain("b".into(), vec![0, 255].into())]);

        let expected = cbor!({
            "Records" => [
                {
                    "Data" => Value::Bytes(b"two".to_vec()),
                    "ExplicitHashKey" => "7",
                    "PartitionKey" => "é",
                },
                { "Data" => Value::Bytes(vec![0, 255]), "PartitionKey" => "b" },
            ],
            "StreamName" => "readings",
        });
        assert_eq!(ciborium::from_reader::<Value, _>(&written[..]).unwrap(), expected.unwrap());
    }

    #[test]
    fn its_memory_is_that_of_its_size_and_what_is_foretold_of_the_wire_holds() {
        for bytes in [0, 1, 23, 24, 255, 256, 51_200, 70_000] {
            for hash_key in [None, Some(u128::MAX)] {
                let entry =
                    Entry { hash_key, ..Entry::plain("k".repeat(256), vec![7; bytes].into()) };
                let written = write(&stream(), vec![entry; 20]);
                let each = bytes + 256 + AROUND_ENTRY + hash_key.map_or(0, |_| HASH_KEY);
                assert!(written.len() <= 20 * each + AROUND, "{} of {each}", written.len());
                assert!(20 * (each - 10) <= written.len());
                assert!(written.capacity() - written.len() < 20 * (HASH_KEY + 10) + AROUND);
            }
        }
    }
}
