//! The table of marks: what every name says as of the last commit.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::frame;
use super::group::Mark;
use super::once::KeyTable;

/// Longest name of a mark, in bytes: its length is one byte on disk.
pub(super) const NAME_BYTES_MAX: usize = 255;
/// Longest value of a mark, in bytes.
pub(super) const VALUE_BYTES_MAX: usize = 4096;

/// The table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct MarkTable {
    values: BTreeMap<String, Bytes>,
    bytes: usize,
    /// Beside the marks, as both are copied into each new segment.
    pub(super) keys: KeyTable,
}

/// By how much groups that are not committed yet may grow the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Growth {
    count: usize,
    bytes: usize,
}

impl MarkTable {
    /// Takes changes over, in order.
    pub(super) fn apply(&mut self, marks: Vec<Mark>) {
        for Mark { name, value } in marks {
            let old = self.values.get(&name);
            self.bytes -= old.map_or(0, |old| frame::mark_bytes(&name, Some(old)));
            match value {
                Some(value) => {
                    self.bytes += frame::mark_bytes(&name, Some(&value));
                    self.values.insert(name, value);
                }
                None => drop(self.values.remove(&name)),
            }
        }
    }

    /// The same for marks that come from disk: new ones only while the table is not larger.
    pub(super) fn apply_within(&mut self, marks: Vec<Mark>, bytes_max: usize) {
        for mark in marks {
            if self.bytes <= bytes_max || self.values.contains_key(&mark.name) {
                self.apply(vec![mark]);
            }
        }
    }

    /// `growth` with these marks added to it. Never too low; names that are forgotten give their
    /// room back with the next frame.
    pub(super) fn grown(&self, mut growth: Growth, marks: &[Mark]) -> Growth {
        for mark in marks.iter().filter(|mark| mark.value.is_some()) {
            let new = frame::mark_bytes(&mark.name, mark.value.as_ref());
            match self.values.get(&mark.name) {
                Some(old) => {
                    let old = frame::mark_bytes(&mark.name, Some(old));
                    growth.bytes += new.saturating_sub(old);
                }
                None => {
                    growth.count += 1;
                    growth.bytes += new;
                }
            }
        }
        growth
    }

    /// How many names and bytes the table would have after growing so.
    pub(super) fn size_with(&self, growth: Growth) -> (usize, usize) {
        (self.values.len() + growth.count, self.bytes + growth.bytes)
    }

    pub(super) fn with_prefix(&self, prefix: &str) -> Vec<(String, Bytes)> {
        let from = self.values.range(prefix.to_owned()..);
        from.take_while(|(name, _)| name.starts_with(prefix))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &Bytes)> {
        self.values.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_grows_by_new_names_and_by_what_known_ones_say_more() {
        let mark =
            |name: &str, bytes| Mark { name: name.into(), value: Some(vec![0; bytes].into()) };
        let mut table = MarkTable::default();
        table.apply(vec![mark("known", 10)]);

        let grown = table.grown(Growth::default(), &[mark("known", 30), mark("new", 5)]);
        let expected = table.size_with(grown);
        table.apply(vec![mark("known", 30), mark("new", 5)]);

        assert_eq!(table.size_with(Growth::default()), expected);
    }
}
