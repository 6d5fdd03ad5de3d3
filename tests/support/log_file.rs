//! A program that logs: writes numbered lines to a file and renames it away now and then.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::agent::Agent;
use super::wait_for;

/// The file being written, and the ones renamed away beside it: `app.log.1`, `app.log.2`, …,
/// the highest number being the youngest.
#[derive(Debug)]
pub struct LogFile {
    folder: PathBuf,
    file: File,
    rotations: u32,
    written: u32,
}

const NAME: &str = "app.log";

impl LogFile {
    pub fn create(folder: &Path) -> Self {
        let file = File::create(folder.join(NAME)).unwrap();
        Self { folder: folder.to_owned(), file, rotations: 0, written: 0 }
    }

    /// The glob that finds the file under all its names.
    pub fn glob(folder: &Path) -> String {
        folder.join(format!("{NAME}*")).display().to_string()
    }

    /// Writes so many lines, each with one call, as loggers do.
    pub fn write(&mut self, lines: u32) {
        for _ in 0..lines {
            self.written += 1;
            let line = format!("line {:06} of {NAME} says nothing new\n", self.written);
            self.file.write_all(line.as_bytes()).unwrap();
        }
    }

    /// How many lines it has written, under all names.
    pub fn written(&self) -> u32 {
        self.written
    }

    /// Removes what was renamed away, but for the youngest, as logrotate does.
    pub fn keep(&self, youngest: u32) {
        if let Some(old) = self.rotations.checked_sub(youngest) {
            fs::remove_file(self.folder.join(format!("{NAME}.{old}"))).ok();
        }
    }

    /// Renames the file away and starts a new one, as logrotate's `create` does.
    pub fn rotate(&mut self) {
        self.rotations += 1;
        let old = self.folder.join(format!("{NAME}.{}", self.rotations));
        fs::rename(self.folder.join(NAME), old).unwrap();
        self.file = File::create(self.folder.join(NAME)).unwrap();
    }

    /// Waits until the agent has made every byte of the files durable, as long as it goes on.
    #[track_caller]
    pub fn wait_until_read(agent: &Agent, tail: &str, folder: &Path) {
        let files = fs::read_dir(folder).unwrap();
        let bytes: u64 = files.map(|file| file.unwrap().metadata().unwrap().len()).sum();
        let mut before = 0;
        while before < bytes {
            before = wait_for(&format!("more than {before} of {bytes} bytes to be read"), || {
                let status = agent.status();
                let files = status["tails"][tail].as_array().unwrap();
                let here = files.iter().filter(|file| file["gone_unix_ms"].is_null());
                let queued = here.filter_map(|file| file["queued"].as_u64()).sum();
                (queued > before).then_some(queued)
            });
        }
    }

    /// Every line that stands in the files: what is in them counts, not what was meant to be.
    pub fn lines(folder: &Path) -> BTreeSet<String> {
        let mut lines = BTreeSet::new();
        for entry in fs::read_dir(folder).unwrap() {
            let text = fs::read_to_string(entry.unwrap().path()).unwrap();
            lines.extend(text.lines().map(str::to_owned));
        }
        lines
    }
}

/// Adds text to a file, which is made with its folder if need be.
pub fn append(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = File::options().append(true).create(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}
