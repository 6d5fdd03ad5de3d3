//! Where many lines go: standard output, or a new file. Unlike a report, a line that could not be
//! written is a fault.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::base::disk::{Disk as _, DiskFile, Open, RealDisk};
use crate::cli::report::{Exit, Report};

/// Lines on their way out.
pub(in crate::cli) struct Output {
    buffer: Vec<u8>,
    to: To,
}

enum To {
    Standard,
    File { path: PathBuf, file: Box<dyn DiskFile>, bytes: u64 },
}

/// How a line went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Reader {
    Listens,
    /// As `head` does once it has enough.
    WentAway,
}

const BUFFER_BYTES: usize = 64 << 10;

impl Output {
    pub(in crate::cli) fn new(to: Option<&Path>) -> Result<Self, Report> {
        let to = match to {
            None => To::Standard,
            Some(path) => {
                let file = RealDisk.open(path, Open::CreateNew).map_err(|error| {
                    let words = format!("{} cannot be made: {error}", path.display());
                    if error.kind() == io::ErrorKind::AlreadyExists {
                        return Report::new(Exit::Usage, words)
                            .hint("name a file that is not there yet; nothing is overwritten");
                    }
                    Report::disk(&error, words)
                })?;
                To::File { path: path.to_owned(), file, bytes: 0 }
            }
        };
        Ok(Self { buffer: Vec::with_capacity(BUFFER_BYTES), to })
    }

    pub(in crate::cli) fn line(&mut self, line: &[u8]) -> Result<Reader, Report> {
        self.buffer.extend_from_slice(line);
        self.buffer.push(b'\n');
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(Reader::Listens) }
    }

    /// Writes what is held; a file is then on disk.
    pub(in crate::cli) fn finish(mut self) -> Result<Reader, Report> {
        let reader = self.flush()?;
        if let To::File { path, file, .. } = &self.to {
            file.sync().map_err(|error| failed(path, &error))?;
        }
        Ok(reader)
    }

    /// Hands over what is held.
    pub(in crate::cli) fn flush(&mut self) -> Result<Reader, Report> {
        match &mut self.to {
            To::Standard => {
                let mut out = io::stdout().lock();
                match out.write_all(&self.buffer).and_then(|()| out.flush()) {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                        return Ok(Reader::WentAway);
                    }
                    Err(error) => return Err(failed(Path::new("standard output"), &error)),
                }
            }
            To::File { path, file, bytes } => {
                file.write_all_at(&self.buffer, *bytes).map_err(|error| failed(path, &error))?;
                *bytes += self.buffer.len() as u64;
            }
        }
        self.buffer.clear();
        Ok(Reader::Listens)
    }
}

fn failed(path: &Path, error: &io::Error) -> Report {
    let words = format!("{} cannot be written: {error}; it is not complete", path.display());
    Report::disk(error, words)
}
