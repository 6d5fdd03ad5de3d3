//! Each room's `mod.rs` says in a few lines what it is, what it uses, what always holds and what it
//! never does; what it uses is compared with what it imports.

use std::collections::{BTreeMap, BTreeSet};

use super::floors::{floors, used_rooms};
use super::tree::{File, Tree};

const LINES_MAX: usize = 12;

pub fn headers_tell_the_truth(tree: &Tree) -> Vec<String> {
    let floors = floors(tree);
    let mut imports: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (file, room) in tree.rooms() {
        let used = used_rooms(&file.production()).into_iter().map(|(_, used)| used);
        imports.entry(room).or_default().extend(used.filter(|used| used != room));
    }
    let mut findings = Vec::new();
    for (room, used) in imports {
        let path = format!("src/{room}/mod.rs");
        let Some(face) = tree.file(&path) else {
            findings.push(format!("{path}:1: the room has no face; write its mod.rs"));
            continue;
        };
        let header = Header::of(face);
        findings.extend(header.shape(&path));
        if let Some(said) = header.uses(&floors)
            && said != used
        {
            findings.push(format!(
                "{path}:1: `Uses:` says {said:?}, the production code imports {used:?}; make them \
                 the same"
            ));
        }
    }
    findings
}

struct Header<'a> {
    lines: Vec<&'a str>,
}

impl<'a> Header<'a> {
    fn of(face: &'a File) -> Self {
        let lines = face.text.lines().map_while(|line| line.strip_prefix("//!"));
        Self { lines: lines.map(str::trim).collect() }
    }

    fn shape(&self, path: &str) -> Vec<String> {
        let mut findings = Vec::new();
        let count = self.lines.len();
        if count > LINES_MAX {
            findings.push(format!(
                "{path}:{count}: the header has {count} lines; say it in {LINES_MAX}"
            ));
        }
        for head in ["Uses:", "Always:", "Never:"] {
            if !self.lines.iter().any(|line| line.starts_with(head)) {
                findings.push(format!("{path}:1: the header has no line `{head}`; write it"));
            }
        }
        findings
    }

    /// The rooms that the sentence behind `Uses:` names; `None` if it says "everything below".
    fn uses(&self, floors: &BTreeMap<String, u32>) -> Option<BTreeSet<String>> {
        let text = self.lines.join(" ");
        let sentence = text.split_once("Uses:").map_or("", |(_, rest)| rest);
        let sentence = sentence.split('.').next().unwrap_or_default();
        if sentence.contains("everything below") {
            return None;
        }
        let words = sentence.split(|c: char| !c.is_alphanumeric() && c != '_');
        Some(words.filter(|word| floors.contains_key(*word)).map(str::to_owned).collect())
    }
}

#[cfg(test)]
mod on_small_trees {
    use super::super::tree::small_tree;
    use super::*;

    const LIB: &str = "//! | 1 | [`queue`] |\n//! | 0 | [`base`], [`telemetry`] |\n";
    const BASE: &str = "//! Uses: nothing.\n//! Always: a.\n//! Never: b.\n";

    #[track_caller]
    fn check(face: &str, expected: &[&str]) {
        let findings = headers_tell_the_truth(&small_tree(&[
            ("src/lib.rs", LIB),
            ("src/base/mod.rs", BASE),
            ("src/queue/mod.rs", face),
            ("src/queue/frame.rs", "use crate::base::x;\n#[cfg(test)]\nuse crate::telemetry::y;"),
        ]));
        assert_eq!(findings, expected);
    }

    #[test]
    fn a_header_that_says_what_is_so_is_right() {
        check("//! A log.\n//!\n//! Uses: base.\n//! Always: a.\n//! Never: b.\n", &[]);
        check("//! Uses: everything below.\n//! Always: a.\n//! Never: b.\n", &[]);
    }

    #[test]
    fn a_header_that_says_otherwise_is_wrong() {
        check(
            "//! Uses: base, telemetry.\n//! Always: a.\n//! Never: b.\n",
            &["src/queue/mod.rs:1: `Uses:` says {\"base\", \"telemetry\"}, the production code \
             imports {\"base\"}; make them the same"],
        );
        check(
            "//! Uses: nothing.\n//! Always: base.\n//! Never: b.\n",
            &["src/queue/mod.rs:1: `Uses:` says {}, the production code imports {\"base\"}; make \
             them the same"],
        );
    }

    #[test]
    fn a_header_that_is_long_or_lacks_a_line_is_wrong() {
        let long =
            format!("//! Uses: base.\n//! Always: a.\n//! Never: b.\n{}", "//!\n".repeat(10));
        check(&long, &["src/queue/mod.rs:13: the header has 13 lines; say it in 12"]);
        check(
            "//! Uses: base.\n//! Always: a.\n",
            &["src/queue/mod.rs:1: the header has no line `Never:`; write it"],
        );
    }
}
