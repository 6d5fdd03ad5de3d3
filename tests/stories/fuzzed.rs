//! The fuzz targets of `fuzz/` on what they start from and on what is near it; libFuzzer goes further.

use std::fs;
use std::path::Path;

use fastrand::Rng;
use weir::{admission, config, dead_letter, queue, source};

use crate::support::{number_from, seed};

#[test]
fn bytes_near_what_weir_knows_never_make_it_panic() {
    let near = number_from("WEIR_TEST_MUTATIONS").unwrap_or(4);
    let mut random = Rng::with_seed(seed());
    for (target, run) in TARGETS {
        let known = corpus(target);
        assert!(known.len() > 1, "{target} starts from something");
        for bytes in &known {
            run(bytes);
            for _ in 0..near {
                let mutated = mutated(bytes, &known, &mut random);
                // Shown if it panics, so that it can be kept.
                let shown = Shown { target, bytes: &mutated };
                run(&mutated);
                drop(shown);
            }
        }
    }
}

type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 13] = [
    ("aws_cbor", source::http::fuzzing::aws_cbor),
    ("aws_json", source::http::fuzzing::aws_json),
    ("body", source::http::fuzzing::body),
    ("config", config::fuzzing::config),
    ("cursor", queue::fuzzing::cursor),
    ("frame", queue::fuzzing::frame),
    ("letters", dead_letter::fuzzing::letters),
    ("lines", source::framing::fuzzing::lines),
    ("recovery", queue::fuzzing::recovery),
    ("segment", queue::fuzzing::segment),
    ("signature", admission::fuzzing::signature),
    ("token", admission::fuzzing::token),
    ("treatment", admission::fuzzing::treatment),
];

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("fuzz/corpus").join(target)];
    if target == "config" {
        folders.push(root.join("config/examples"));
    }
    let files = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    let mut files: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.is_file());
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// A few changes: other bytes, other numbers, pieces of another input.
fn mutated(bytes: &[u8], known: &[Vec<u8>], random: &mut Rng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..random.usize(1..6) {
        let at = random.usize(..=bytes.len());
        let end = (at + random.usize(0..9)).min(bytes.len());
        let other = &known[random.usize(..known.len())];
        let from = random.usize(..=other.len());
        let to = (from + random.usize(0..65)).min(other.len());
        let new = match random.u8(0..4) {
            0 => vec![random.u8(..)],
            1 => vec![[0, 0xff, 0x7f, 0x80][random.usize(0..4)]; end - at],
            2 => Vec::new(),
            _ => other[from..to].to_vec(),
        };
        bytes.splice(at..end, new);
    }
    bytes
}

struct Shown<'a> {
    target: &'a str,
    bytes: &'a [u8],
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{} panicked on {}", self.target, self.bytes.escape_ascii());
        }
    }
}
