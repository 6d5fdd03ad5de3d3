//! No bytes bring the parser down.

use proptest::prelude::*;

use super::support::{Files, PATH, environment, read};
use crate::config::load;

const VALID: &str = include_str!("../../../config/examples/many-sources.toml");

/// Pieces that mean something to TOML, or to us.
const PIECES: [&str; 24] = [
    "\"",
    "'''",
    "\"\"\"",
    "[",
    "]",
    "[[",
    "{",
    "}",
    "=",
    ".",
    ",",
    "\n",
    "\r",
    "\t",
    "#",
    "\\",
    "\0",
    "ü",
    "\u{1F980}",
    "${",
    "0x",
    "-1",
    "99999999999999999999999",
    "unix:",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_mutated_file_is_sound_or_told_about(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..PIECES.len(), 0..40_usize), 1..6),
    ) {
        let mut text: Vec<char> = VALID.chars().collect();
        for (at, piece, cut) in edits {
            let at = at.index(text.len());
            let end = (at + cut).min(text.len());
            text.splice(at..end, PIECES[piece].chars());
        }
        let text: String = text.into_iter().collect();
        match read(&text) {
            Ok(loaded) => prop_assert!(!loaded.config.summary().is_empty()),
            Err(findings) => prop_assert!(findings.to_string().contains("nothing was started")),
        }
    }

    #[test]
    fn any_bytes_are_sound_or_told_about(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let files = Files::new().with(PATH, &bytes);
        if let Err(findings) = load(&files, &environment, std::path::Path::new(PATH)) {
            prop_assert!(findings.to_string().contains("nothing was started"));
        }
    }

    #[test]
    fn any_text_of_meaning_is_sound_or_told_about(
        pieces in prop::collection::vec(
            prop_oneof![
                prop::sample::select(&PIECES[..]),
                prop::sample::select(VALID.lines().collect::<Vec<_>>()),
            ],
            0..20,
        ),
    ) {
        if let Err(findings) = read(&pieces.concat()) {
            prop_assert!(findings.to_string().contains("nothing was started"));
        }
    }
}
