//! What holds the entries on disk, behind six calls.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use bytes::Bytes;

/// One key that got another value, or none any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) key: String,
    pub(super) value: Option<Bytes>,
}

/// An open store. Every call blocks, and any of them may panic: call them through [`fenced`].
pub(super) trait Engine: Send {
    /// Every entry there is, in any order.
    ///
    /// # Errors
    /// `InvalidData` if what is there is damaged or not ours, and what the system says.
    fn entries(&self) -> io::Result<Vec<(String, Bytes)>>;

    /// Takes changes in, all or, after a crash, none of them.
    ///
    /// # Errors
    /// `StorageFull`, and what the system says. The store must be opened again then.
    fn apply(&mut self, changes: &[Change]) -> io::Result<()>;

    /// Writes what was taken in to its file.
    ///
    /// # Errors
    /// As [`Self::apply`].
    fn flush(&mut self) -> io::Result<()>;

    /// Makes what was written durable.
    ///
    /// # Errors
    /// What the system says. Nothing in the store may be trusted then.
    fn sync(&mut self) -> io::Result<()>;

    /// What its files take.
    ///
    /// # Errors
    /// What the system says.
    fn disk_bytes(&self) -> io::Result<u64>;

    /// Lets go of its files.
    fn close(self: Box<Self>);
}

/// Opens the store in a folder that is there, or makes a new one in it.
pub(super) type Opener = Box<dyn FnMut(&Path) -> io::Result<Box<dyn Engine>> + Send>;

/// Runs calls of an engine; a panic is damage, in the words of the panic.
pub(super) fn fenced<T>(calls: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    // What the engine leaves behind in its memory is never looked at again: it is closed, and its
    // files are opened anew.
    catch_unwind(AssertUnwindSafe(calls)).unwrap_or_else(|panic| {
        let words = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no words");
        Err(io::Error::new(io::ErrorKind::InvalidData, format!("it panicked: {words}")))
    })
}
