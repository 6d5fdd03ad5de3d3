//! The real engine on files that somebody or something spoilt: the store opens, whole or anew.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use super::{all, on_sled, real, standing};
use crate::base::scratch::Scratch;
use crate::state::{Health, State};

type Spoil = fn(PathBuf);

/// Of each file; each kind of damage once.
const ROUNDS: usize = 4;

/// A store with a few hundred entries, closed in order.
fn filled(scratch: &Scratch) {
    let state = on_sled(real(), scratch);
    fill(&state, 0);
    state.close();
}

fn fill(state: &State, from: usize) {
    for at in from..from + 400 {
        state.tail().put(&format!("nginx/{at}"), vec![7; 100 + at % 100]).unwrap();
        if at % 100 == 0 {
            assert!(state.settle());
        }
    }
}

/// Opens what was spoilt: it must come up on disk, take entries, and keep them.
#[track_caller]
fn check(what: &str, scratch: &Scratch) -> (usize, bool) {
    let state = on_sled(real(), scratch);
    assert_eq!(state.overview().health, Health::OnDisk, "{what}");
    let found = all(&state).len();
    state.cloud().put("after", "1").unwrap();
    state.close();

    let again = on_sled(real(), scratch);
    assert_eq!(again.cloud().value("after").unwrap(), "1", "{what}");
    again.close();
    (found, !standing(scratch, "state.damaged-").is_empty())
}

#[test]
fn what_was_kept_is_found_again_and_nothing_is_set_aside() {
    let scratch = Scratch::new();
    filled(&scratch);
    assert_eq!(check("untouched", &scratch), (400, false));
    assert_eq!(std::fs::read_dir(scratch.join("state/blobs")).unwrap().count(), 0);
}

#[test]
fn the_largest_values_stay_out_of_files_of_their_own_and_are_found_again() {
    let scratch = Scratch::new();
    let state = on_sled(real(), &scratch);
    let key = |at: usize| format!("{at:0>200}");
    for at in 0..200 {
        state.cloud().put(&key(at), vec![7; 4096]).unwrap();
    }
    for at in (0..200).step_by(2) {
        state.cloud().put(&key(at), vec![8; 4096]).unwrap();
    }
    state.close();

    assert_eq!(std::fs::read_dir(scratch.join("state/blobs")).unwrap().count(), 0);
    assert_eq!(check("large values", &scratch), (200, false));
}

#[test]
fn files_of_any_other_kind_are_set_aside() {
    let scratch = Scratch::new();
    let spoilt: [(&str, Spoil); 7] = [
        ("a file instead of the folder", |state| std::fs::write(state, b"x").unwrap()),
        ("a link instead of the folder", |state| symlink("/nowhere", state).unwrap()),
        ("a folder instead of the file", |state| {
            std::fs::create_dir_all(state.join("db")).unwrap();
        }),
        ("a foreign file", |state| {
            std::fs::create_dir(&state).unwrap();
            std::fs::write(state.join("db"), vec![b'x'; 2 << 20]).unwrap();
        }),
        ("a foreign description", |state| {
            std::fs::create_dir(&state).unwrap();
            std::fs::write(state.join("conf"), b"segment_size: many\nversion: 9.9\n1234").unwrap();
        }),
        ("a link instead of the file", |state| {
            std::fs::create_dir(&state).unwrap();
            symlink("/etc/hostname", state.join("db")).unwrap();
        }),
        ("half a summary", |state| {
            std::fs::create_dir(&state).unwrap();
            std::fs::write(state.join("snap.00FF.generating"), b"half").unwrap();
        }),
    ];
    for (what, spoil) in spoilt {
        std::fs::remove_dir_all(scratch.join("state")).ok();
        spoil(scratch.join("state"));
        check(what, &scratch);
    }
    let hostname = std::fs::symlink_metadata("/etc/hostname");
    assert!(hostname.is_ok(), "what a link leads to is not touched");
}

#[test]
fn a_store_that_somebody_else_has_open_is_left_alone_and_taken_once_they_let_go() {
    let scratch = Scratch::new();
    filled(&scratch);
    let path = scratch.join("state/db");
    let held = std::fs::File::open(&path).unwrap();
    held.lock().unwrap();

    let state = on_sled(real(), &scratch);
    let Health::InMemory { why, .. } = state.overview().health else { panic!("not held") };
    assert_eq!(why, "another process has it open");
    state.cloud().put("after", "1").unwrap();
    drop(held);
    state.close();

    assert_eq!(standing(&scratch, "state.damaged-"), [""; 0]);
    assert_eq!(check("was held", &scratch), (401, false));
}

#[test]
fn cut_and_zeroed_and_flipped_files_never_stop_it() {
    let seed = fastrand::u64(..);
    let mut chance = fastrand::Rng::with_seed(seed);
    let whole = Scratch::new();
    filled(&whole);
    for name in ["db", "conf"] {
        let bytes = std::fs::read(whole.join("state").join(name)).unwrap();
        for round in 0..ROUNDS {
            let scratch = Scratch::new();
            let folder = scratch.join("state");
            std::fs::create_dir(&folder).unwrap();
            for entry in std::fs::read_dir(whole.join("state")).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_file() {
                    std::fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
                }
            }
            let mut spoilt = bytes.clone();
            let used = spoilt.iter().rposition(|byte| *byte != 0).unwrap_or(0);
            let at = chance.usize(0..=used);
            match round % 4 {
                0 => spoilt.truncate(at),
                1 => spoilt[at] ^= 1 << chance.u8(0..8),
                2 => {
                    let end = (at + 4096).min(spoilt.len());
                    spoilt[at..end].fill(0);
                }
                _ => spoilt[at..].iter_mut().for_each(|byte| *byte = chance.u8(..)),
            }
            std::fs::write(folder.join(name), spoilt).unwrap();
            check(&format!("seed {seed}: {name}, round {round}, byte {at}"), &scratch);
        }
    }
}
