//! The one law: a room uses only rooms on lower floors, in tests too. What only goes down has no
//! circles. The floors are those drawn in `src/lib.rs`.

use std::collections::{BTreeMap, BTreeSet};

use super::tree::{File, Tree};

/// Floor by room, from the table in the crate's documentation.
pub fn floors(tree: &Tree) -> BTreeMap<String, u32> {
    let lib = tree.file("src/lib.rs").map_or("", |file| &file.text);
    let mut floors = BTreeMap::new();
    for row in lib.lines().filter_map(|line| line.strip_prefix("//! |")) {
        let mut cells = row.split('|').map(str::trim);
        if let (Some(Ok(floor)), Some(rooms)) = (cells.next().map(str::parse), cells.next()) {
            floors.extend(rooms.split('`').skip(1).step_by(2).map(|room| (room.into(), floor)));
        }
    }
    floors
}

pub fn imports_go_down(tree: &Tree) -> Vec<String> {
    let floors = floors(tree);
    let mut findings = Vec::new();
    for (file, room) in tree.rooms() {
        let own = floors.get(room);
        for (offset, used) in used_rooms(&file.code) {
            let at = file.at(offset);
            match (floors.get(&used), own) {
                _ if used == room => {}
                (None, _) => findings.push(format!(
                    "{at}: `crate::{used}` is no room; name the room and what you need of it"
                )),
                (Some(floor), Some(own)) if floor < own => {}
                _ => findings.push(format!(
                    "{at}: `{room}` uses `{used}`, which is not on a lower floor; move what both \
                     need down, or hand it in from above"
                )),
            }
        }
        findings.extend(climbs_out(file));
    }
    if let Some(main) = tree.file("src/main.rs") {
        let others = used_rooms(&main.code).into_iter().filter(|(_, used)| used != "cli");
        findings.extend(others.map(|(offset, used)| {
            format!("{}: main uses `{used}`; it only hands over to `cli`", main.at(offset))
        }));
    }
    findings
}

/// Each room is drawn on a floor, and each drawn room stands.
pub fn table_is_whole(tree: &Tree) -> Vec<String> {
    let floors = floors(tree);
    let stand: BTreeSet<&str> = tree.rooms().map(|(_, room)| room).collect();
    let homeless = stand.iter().filter(|room| !floors.contains_key(**room)).map(|room| {
        format!("src/lib.rs:1: `{room}` stands on no floor; add it to the table of rooms")
    });
    let gone = floors.keys().filter(|room| !stand.contains(room.as_str())).map(|room| {
        format!("src/lib.rs:1: there is no room `{room}`; take it out of the table of rooms")
    });
    homeless.chain(gone).collect()
}

/// The rooms that code names, by whatever path.
pub fn used_rooms(code: &str) -> Vec<(usize, String)> {
    ["crate::", "weir::", "::weir::"]
        .iter()
        .flat_map(|root| File::first_names(code, root))
        .collect()
}

/// `super::super::` that leaves the room would hide an import from the rule above.
fn climbs_out(file: &File) -> Vec<String> {
    let inside = file.path.trim_start_matches("src/").trim_end_matches(".rs");
    let depth = inside.trim_end_matches("/mod").matches('/').count() + 1;
    let mut findings = Vec::new();
    let mut next = 0;
    for (start, _) in file.code.match_indices("super::") {
        if start < next {
            continue;
        }
        let chain = file.code.get(start..).unwrap_or_default();
        let steps = (0..).take_while(|n| chain.starts_with(&"super::".repeat(n + 1))).count();
        next = start + steps * "super::".len();
        // One more is allowed inside a module written in the file, such as its tests.
        let indented = file.code.get(..start).is_some_and(|before| {
            before.rsplit('\n').next().is_some_and(|line| line.starts_with(' '))
        });
        if steps >= depth + usize::from(indented) {
            findings.push(format!(
                "{}: `{}` climbs out of the room; write `crate::` and the room",
                file.at(start),
                "super::".repeat(steps)
            ));
        }
    }
    findings
}

#[cfg(test)]
mod on_small_trees {
    use super::super::tree::small_tree;
    use super::*;

    const LIB: &str = "//! | floor | rooms |\n//! |---|---|\n//! | 2 | [`queue`], [`sink`] |\n\
                       //! | 1 | [`record`] |\n//! | 0 | [`base`] |\n";

    #[track_caller]
    fn check(path: &str, text: &str, expected: &[&str]) {
        let tree = small_tree(&[("src/lib.rs", LIB), (path, text)]);
        let findings = imports_go_down(&tree);
        assert_eq!(findings.len(), expected.len(), "{findings:#?}");
        for (finding, begin) in findings.iter().zip(expected) {
            assert!(finding.starts_with(begin), "{finding}");
        }
    }

    #[test]
    fn down_is_right_and_up_and_sideways_are_wrong() {
        check("src/queue/frame.rs", "use crate::base::x;\nuse crate::record::{y, z};", &[]);
        check("src/queue/frame.rs", "use crate::queue::x;", &[]);
        check(
            "src/queue/frame.rs",
            "\nuse crate::sink::x;",
            &["src/queue/frame.rs:2: `queue` uses `sink`"],
        );
        check(
            "src/record/id.rs",
            "fn x() { crate::queue::open() }",
            &["src/record/id.rs:1: `record` uses `queue`"],
        );
        check(
            "src/base/mod.rs",
            "use crate::{record, queue::Writer};",
            &["src/base/mod.rs:1: `base` uses `record`", "src/base/mod.rs:1: `base` uses `queue`"],
        );
    }

    #[test]
    fn tests_obey_and_comments_are_free() {
        check(
            "src/base/mod.rs",
            "#[cfg(test)]\nmod tests { use crate::record::x; }",
            &["src/base/mod.rs:2: `base` uses `record`"],
        );
        check(
            "src/base/tests/model.rs",
            "use weir::queue::Queue;",
            &["src/base/tests/model.rs:1: `base` uses `queue`"],
        );
        check(
            "src/base/mod.rs",
            "//! crate::queue\n// crate::sink\nconst A: &str = \"crate::sink\";",
            &[],
        );
    }

    #[test]
    fn there_is_no_way_around() {
        check("src/base/mod.rs", "use crate::*;", &["src/base/mod.rs:1: `crate::` is no room"]);
        check("src/queue/mod.rs", "use super::sink::x;", &["src/queue/mod.rs:1: `super::` climbs"]);
        check(
            "src/queue/frame.rs",
            "use super::super::sink::x;",
            &["src/queue/frame.rs:1: `super::super::` climbs"],
        );
        check("src/queue/frame.rs", "use super::Frame;", &[]);
        check("src/queue/frame.rs", "mod tests {\n    use super::super::Frame;\n}", &[]);
        check(
            "src/main.rs",
            "fn main() { weir::cli::main(); weir::queue::open() }",
            &["src/main.rs:1: main uses `queue`"],
        );
    }

    #[test]
    fn the_table_and_the_folders_agree() {
        let tree = small_tree(&[
            ("src/lib.rs", LIB),
            ("src/base/mod.rs", ""),
            ("src/record/mod.rs", ""),
            ("src/queue/mod.rs", ""),
            ("src/attic/mod.rs", ""),
        ]);

        let findings = table_is_whole(&tree);

        assert_eq!(
            findings,
            [
                "src/lib.rs:1: `attic` stands on no floor; add it to the table of rooms",
                "src/lib.rs:1: there is no room `sink`; take it out of the table of rooms",
            ]
        );
    }
}
