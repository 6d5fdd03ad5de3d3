//! What a destination of the type `directory` wrote.

use std::fs;
use std::io;
use std::path::Path;

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
