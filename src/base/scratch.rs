//! A folder of its own for one test.

use std::path::{Path, PathBuf};

use super::random;

/// An empty folder, removed at the end unless the test failed; then its path is printed.
#[derive(Debug)]
pub struct Scratch(PathBuf);

#[expect(clippy::new_without_default, reason = "it makes a folder, which a default should not")]
impl Scratch {
    /// Makes the folder.
    pub fn new() -> Self {
        let path = std::env::temp_dir().join(format!("weir-{:016x}", random::bits() >> 64));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A path in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("kept for a look: {}", self.0.display());
        } else {
            std::fs::remove_dir_all(&self.0).ok();
        }
    }
}
