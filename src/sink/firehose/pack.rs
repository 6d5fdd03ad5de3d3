//! Many lines in one Firehose record, and the fate of each back from the fate of the record.
//!
//! Firehose bills each record rounded up to 5 KB, and joins records without anything between them:
//! lines that travel together arrive as lines that travelled alone.

use bytes::{Bytes, BytesMut};

use crate::sink::{Entry, Fate};

/// How far a record is filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fill {
    /// Most bytes; a longer line travels alone.
    pub(super) bytes: usize,
    /// Most lines.
    pub(super) lines: usize,
}

/// The records of one request, and how many lines each carries.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Packed {
    pub(super) records: Vec<Bytes>,
    lines: Vec<usize>,
}

/// Fills one record after the other, in order, so that two neighbours are always together longer
/// than one record may be: at most twice as many as the best packing would need.
pub(super) fn pack(entries: Vec<Entry>, fill: Fill) -> Packed {
    let mut packed = Packed::default();
    let mut open: Vec<Bytes> = Vec::new();
    let mut open_bytes = 0;
    for entry in entries {
        let is_full = open.len() >= fill.lines || open_bytes + entry.data.len() > fill.bytes;
        if is_full && !open.is_empty() {
            packed.seal(&mut open, open_bytes);
            open_bytes = 0;
        }
        open_bytes += entry.data.len();
        open.push(entry.data);
    }
    packed.seal(&mut open, open_bytes);
    packed
}

impl Packed {
    fn seal(&mut self, open: &mut Vec<Bytes>, bytes: usize) {
        let lines = std::mem::take(open);
        let record = match lines.as_slice() {
            [] => return,
            // Nothing is copied for a line that travels alone.
            [alone] => alone.clone(),
            lines => {
                let mut joined = BytesMut::with_capacity(bytes);
                lines.iter().for_each(|line| joined.extend_from_slice(line));
                joined.freeze()
            }
        };
        self.lines.push(lines.len());
        self.records.push(record);
    }

    /// Takes the records out; how many lines each has stays.
    pub(super) fn take_records(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.records)
    }

    /// One fate per line from one fate per record; as they are, if they are not as many as the
    /// records: then nobody knows which is whose.
    pub(super) fn unpack(&self, fates: Vec<Fate>) -> Result<Vec<Fate>, usize> {
        if fates.len() != self.lines.len() {
            return Err(fates.len());
        }
        let all = fates.into_iter().zip(&self.lines);
        Ok(all.flat_map(|(fate, lines)| std::iter::repeat_n(fate, *lines)).collect())
    }

    /// How many records the request has.
    pub(super) fn count(&self) -> usize {
        self.lines.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sink::aws::entry_fault;

    fn entries(sizes: &[usize]) -> Vec<Entry> {
        let line = |size: &usize| Entry::plain(String::new(), vec![b'x'; *size].into());
        sizes.iter().map(line).collect()
    }

    #[track_caller]
    fn check(sizes: &[usize], bytes: usize, lines: usize, expected: &[usize]) {
        let packed = pack(entries(sizes), Fill { bytes, lines });
        let found: Vec<usize> = packed.records.iter().map(Bytes::len).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_record_is_filled_to_its_last_byte_and_not_beyond() {
        check(&[5, 4], 10, 500, &[9]);
        check(&[5, 5], 10, 500, &[10]);
        check(&[5, 6], 10, 500, &[5, 6]);
        check(&[], 10, 500, &[]);
    }

    #[test]
    fn a_line_longer_than_a_record_is_filled_travels_alone() {
        check(&[3, 40, 3, 3], 10, 500, &[3, 40, 6]);
    }

    #[test]
    fn no_record_has_more_lines_than_are_allowed() {
        check(&[1; 7], 10, 3, &[3, 3, 1]);
        check(&[1; 3], 10, 1, &[1, 1, 1]);
    }

    #[test]
    fn each_line_has_the_fate_of_its_record() {
        let packed = pack(entries(&[4, 4, 9, 2]), Fill { bytes: 10, lines: 500 });
        let failed = Fate::Failed(entry_fault(Some("InternalFailure"), None));

        let fates = packed.unpack(vec![Fate::Taken, failed.clone(), Fate::Taken]);

        assert_eq!(fates, Ok(vec![Fate::Taken, Fate::Taken, failed, Fate::Taken]));
        assert_eq!(packed.unpack(vec![Fate::Taken; 2]), Err(2));
    }

    proptest! {
        #[test]
        fn nothing_is_lost_added_or_reordered_and_neighbours_fill_a_record(
            sizes in prop::collection::vec(0usize..40, 0..60),
            bytes in 1usize..64,
            lines in 1usize..10,
        ) {
            let numbered: Vec<Entry> = sizes.iter().enumerate().map(|(at, size)| {
                let byte = u8::try_from(at).unwrap();
                Entry::plain(String::new(), vec![byte; *size].into())
            }).collect();
            let joined: Vec<u8> = numbered.iter().flat_map(|entry| entry.data.to_vec()).collect();

            let packed = pack(numbered, Fill { bytes, lines });

            prop_assert_eq!(packed.records.concat(), joined);
            prop_assert_eq!(packed.lines.iter().sum::<usize>(), sizes.len());
            prop_assert!(packed.lines.iter().all(|count| (1..=lines).contains(count)));
            let mut next = 0;
            for (record, count) in packed.records.iter().zip(&packed.lines) {
                next += count;
                prop_assert!(record.len() <= bytes || *count == 1);
                // A record ends only where the next line has no room.
                if let Some(following) = sizes.get(next) {
                    prop_assert!(*count == lines || record.len() + following > bytes);
                }
            }
        }
    }
}
