//! Which shards may be read now, so that a key's records come in their order across reshards: a
//! shard begins when those it came of were read to their end. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::Begin;
use crate::sink::HashRange;

/// A shard, and what it came of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offspring {
    /// `shardId-000000000000`.
    pub id: String,
    /// None, the one that was split, or the two that were merged.
    pub parents: Vec<String>,
    /// The hashes that lead to it; `None` where the upstream does not say it in numbers.
    pub range: Option<HashRange>,
    /// Whether it takes records.
    pub is_open: bool,
}

/// How far one is with the shards of a stream.
#[derive(Debug)]
pub struct Lineage {
    begin: Begin,
    /// Only these, and not what came of them.
    only: Option<BTreeSet<String>>,
    /// Those that were given out.
    given: BTreeMap<String, Stage>,
}

/// How far reading a shard is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Under way.
    Read,
    /// Given up before its end: what came of it would be out of order.
    Left,
    /// Nothing more will come there.
    Ended,
}

impl Lineage {
    /// Nothing is read yet. Whoever wants the newest gets no closed shards.
    pub fn new(begin: Begin, only: Option<BTreeSet<String>>) -> Self {
        Self { begin, only, given: BTreeMap::new() }
    }

    /// A shard was closed and is read to its end.
    pub fn ended(&mut self, id: &str) {
        self.given.insert(id.to_owned(), Stage::Ended);
    }

    /// A shard is read no further, though it may go on.
    pub fn left(&mut self, id: &str) {
        self.given.insert(id.to_owned(), Stage::Left);
    }

    /// Those that may be read from now on, and from where; each is told once.
    pub fn next(&mut self, listed: &[Offspring]) -> Vec<(Offspring, Begin)> {
        let is_first = self.given.is_empty();
        let known: BTreeSet<&str> = listed.iter().map(|shard| shard.id.as_str()).collect();
        let mut found = Vec::new();
        for shard in listed {
            let is_wanted = self.only.as_ref().is_none_or(|only| only.contains(&shard.id));
            if !is_wanted || self.given.contains_key(&shard.id) {
                continue;
            }
            let begin = match (&self.begin, is_first) {
                (Begin::Newest, true) if shard.is_open => Begin::Newest,
                (Begin::Newest, true) => continue,
                // What came of shards that were read is read from its first record on; all others
                // were closed before anybody wanted them.
                (Begin::Newest, false) if self.came_of_read(shard) => Begin::Oldest,
                (Begin::Newest, false) => continue,
                (begin, _) => begin.clone(),
            };
            let is_done = |id: &String| {
                // A parent that is not listed has no records any more.
                !known.contains(id.as_str()) || self.given.get(id) == Some(&Stage::Ended)
            };
            let skips_parents = begin == Begin::Newest || self.only.is_some();
            if skips_parents || shard.parents.iter().all(is_done) {
                found.push((shard.clone(), begin));
            }
        }
        for (shard, _) in &found {
            self.given.insert(shard.id.clone(), Stage::Read);
        }
        found
    }

    fn came_of_read(&self, shard: &Offspring) -> bool {
        let is_read = |id: &String| self.given.contains_key(id);
        shard.parents.iter().any(is_read)
    }

    /// Whether nothing is being read.
    pub fn is_over(&self) -> bool {
        self.given.values().all(|stage| *stage != Stage::Read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(id: &str, parents: &[&str], is_open: bool) -> Offspring {
        let parents = parents.iter().map(|id| (*id).to_owned()).collect();
        Offspring { id: id.into(), parents, range: None, is_open }
    }

    /// `a` was split into `b` and `c`, and then `c` and `d` were merged into `e`.
    fn family() -> Vec<Offspring> {
        vec![
            shard("a", &[], false),
            shard("b", &["a"], true),
            shard("c", &["a"], false),
            shard("d", &["gone"], false),
            shard("e", &["c", "d"], true),
        ]
    }

    #[track_caller]
    fn check(lineage: &mut Lineage, listed: &[Offspring], expected: &[(&str, Begin)]) {
        let next = lineage.next(listed);
        let names: Vec<_> = next.iter().map(|(one, at)| (one.id.as_str(), at.clone())).collect();
        assert_eq!(names, expected);
    }

    #[test]
    fn a_shard_begins_when_all_it_came_of_is_read() {
        let mut lineage = Lineage::new(Begin::Oldest, None);
        check(&mut lineage, &family(), &[("a", Begin::Oldest), ("d", Begin::Oldest)]);
        check(&mut lineage, &family(), &[]);
        lineage.ended("a");
        check(&mut lineage, &family(), &[("b", Begin::Oldest), ("c", Begin::Oldest)]);
        lineage.ended("c");
        check(&mut lineage, &family(), &[]);
        lineage.ended("d");
        check(&mut lineage, &family(), &[("e", Begin::Oldest)]);
        assert!(!lineage.is_over());
        lineage.ended("b");
        lineage.ended("e");
        assert!(lineage.is_over());
    }

    #[test]
    fn the_newest_begins_at_open_shards_and_goes_on_with_what_comes_of_them() {
        let mut lineage = Lineage::new(Begin::Newest, None);
        check(&mut lineage, &family(), &[("b", Begin::Newest), ("e", Begin::Newest)]);
        let mut later = family();
        later.extend([shard("f", &["b"], true), shard("g", &["b"], true)]);
        check(&mut lineage, &later, &[]);
        lineage.ended("b");
        check(&mut lineage, &later, &[("f", Begin::Oldest), ("g", Begin::Oldest)]);
    }

    #[test]
    fn what_comes_of_a_shard_that_was_left_is_not_read_out_of_order() {
        let mut lineage = Lineage::new(Begin::Oldest, None);
        check(&mut lineage, &[shard("a", &[], true)], &[("a", Begin::Oldest)]);
        lineage.left("a");
        check(&mut lineage, &family(), &[("d", Begin::Oldest)]);
        assert!(!lineage.is_over());
        lineage.left("d");
        assert!(lineage.is_over());
    }

    #[test]
    fn who_asks_for_a_shard_gets_that_one_alone() {
        let only = BTreeSet::from(["c".to_owned()]);
        let mut lineage = Lineage::new(Begin::At(7), Some(only));
        check(&mut lineage, &family(), &[("c", Begin::At(7))]);
        lineage.ended("c");
        check(&mut lineage, &family(), &[]);
        assert!(lineage.is_over());
    }
}
