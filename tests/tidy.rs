//! House rules that no compiler sees: floors, headers, sizes, words, and documents in step with the
//! code. Findings read `path:line: what; do this instead`.
//!
//! Each rule is a function from the tree to findings, and is itself tested on small bad trees: a
//! rule that cannot fail is none.

#[cfg(test)]
#[path = "tidy/documents.rs"]
pub mod documents;
#[cfg(test)]
#[path = "tidy/floors.rs"]
pub mod floors;
#[cfg(test)]
#[path = "tidy/headers.rs"]
pub mod headers;
#[cfg(test)]
#[path = "tidy/locks.rs"]
pub mod locks;
#[cfg(test)]
#[path = "tidy/tree.rs"]
pub mod tree;
#[cfg(test)]
#[path = "tidy/words.rs"]
pub mod words;

#[cfg(test)]
mod the_house {
    use super::tree::Tree;
    use super::{documents, floors, headers, locks, words};

    #[track_caller]
    fn check(rule: fn(&Tree) -> Vec<String>) {
        let tree = Tree::read(env!("CARGO_MANIFEST_DIR").as_ref());
        let findings = rule(&tree);
        assert!(findings.is_empty(), "\n{}\n{} findings", findings.join("\n"), findings.len());
    }

    #[test]
    fn rooms_use_only_rooms_on_lower_floors() {
        check(floors::imports_go_down);
    }

    #[test]
    fn the_floors_name_every_room_and_nothing_else() {
        check(floors::table_is_whole);
    }

    #[test]
    fn headers_are_short_and_tell_what_a_room_uses() {
        check(headers::headers_tell_the_truth);
    }

    #[test]
    fn files_are_short() {
        check(words::files_are_short);
    }

    #[test]
    fn names_are_words_of_the_subject() {
        check(words::names_are_ours);
    }

    #[test]
    fn nothing_is_half_done_or_switched_off() {
        check(words::nothing_is_half_done);
    }

    #[test]
    fn only_the_ground_floor_touches_the_disk() {
        check(words::disk_is_behind_its_door);
    }

    #[test]
    fn no_file_knows_the_machine_it_was_written_on() {
        check(words::no_machine_is_named);
    }

    #[test]
    fn every_problem_is_explained() {
        check(documents::problems_are_explained);
    }

    #[test]
    fn every_problem_in_the_log_is_explained() {
        check(documents::log_problems_are_explained);
    }

    #[test]
    fn every_metric_is_explained() {
        check(documents::metrics_are_explained);
    }

    #[test]
    fn the_fuzzed_weir_is_the_one_that_is_built() {
        check(locks::fuzzing_builds_the_same);
    }
}
