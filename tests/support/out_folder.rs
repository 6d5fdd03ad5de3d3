//! What a destination of the type `directory` wrote.

use std::fs;
use std::io;
use std::path::Path;

use super::scratch::Scratch;
use super::wait_for;

/// Everything that arrived, in order.
pub fn arrived(folder: &Path) -> Vec<u8> {
    loop {
        // An object gets its name when it is finished, perhaps just now.
        match read_all(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            read => return read.unwrap(),
        }
    }
}

/// Waits until as many lines have come into the folder `out` as are expected: they are these, each once.
#[track_caller]
pub fn wait_for_lines(scratch: &Scratch, expected: &[&str]) {
    let came = || String::from_utf8_lossy(&arrived(&scratch.join("out"))).into_owned();
    wait_for("the lines", || (came().lines().count() >= expected.len()).then_some(()));
    let came = came();
    let mut lines: Vec<_> = came.lines().collect();
    lines.sort_unstable();
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    assert_eq!(lines, expected);
}

fn read_all(folder: &Path) -> io::Result<Vec<u8>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry?.path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files.iter().map(fs::read).collect::<io::Result<Vec<_>>>().map(|all| all.concat())
}
