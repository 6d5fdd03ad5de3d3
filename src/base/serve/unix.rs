//! Unix sockets: their file, who may connect, and what an earlier process left behind.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Gid, Mode, Stat, Uid};
use tokio::net::{UnixListener, UnixSocket, UnixStream};

use crate::base::disk::{RealDisk, read_named_file};

/// Who may connect to a unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// Permission bits of its file: whoever may write may connect.
    pub mode: u32,
    /// A name of `/etc/passwd`, or a number; the user of this process without it.
    pub owner: Option<String>,
    /// A name of `/etc/group`, or a number; the group of this process without it.
    pub group: Option<String>,
}

/// Owner and group may connect.
pub const MODE: u32 = 0o660;

impl Default for Access {
    fn default() -> Self {
        Self { mode: MODE, owner: None, group: None }
    }
}

/// How many connections the system keeps waiting for us.
const BACKLOG: u32 = 1024;
/// Most bytes of `/etc/passwd` and `/etc/group`.
const NAMES_BYTES_MAX: u64 = 16 << 20;

/// The file of a unix socket, removed at the end unless another one stands there by then.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let still_ours =
            rustix::fs::lstat(&self.path).is_ok_and(|stat| identity(&stat) == self.identity);
        if still_ours {
            // A folder that became read-only keeps the leftover; the next start replaces it.
            rustix::fs::unlink(&self.path).ok();
        }
    }
}

fn identity(stat: &Stat) -> (u64, u64) {
    #[expect(clippy::useless_conversion, reason = "the types differ between architectures")]
    (u64::try_from(stat.st_dev).unwrap_or_default(), u64::from(stat.st_ino))
}

/// Binds a socket. A file that nobody answers on is a leftover and is replaced.
pub(super) async fn bind(path: &Path, access: &Access) -> io::Result<(UnixListener, SocketFile)> {
    let words = |error: io::Error| unix_words(path, &error);
    let owner = number(path, access.owner.as_deref(), "owner", "/etc/passwd")?;
    let group = number(path, access.group.as_deref(), "group", "/etc/group")?;
    clear_leftover(path).await?;
    let socket = UnixSocket::new_stream().map_err(words)?;
    socket.bind(path).map_err(words)?;
    let stat = rustix::fs::lstat(path).map_err(|e| words(e.into()))?;
    let file = SocketFile { path: path.to_owned(), identity: identity(&stat) };
    // Between bind and listen nobody can connect, so owner and mode are right before they matter.
    if owner.is_some() || group.is_some() {
        let (owner, group) = (owner.map(Uid::from_raw), group.map(Gid::from_raw));
        rustix::fs::chown(path, owner, group).map_err(|e| not_given(path, access, e.into()))?;
    }
    let mode = Mode::from_raw_mode(access.mode);
    rustix::fs::chmod(path, mode).map_err(|e| words(e.into()))?;
    Ok((socket.listen(BACKLOG).map_err(words)?, file))
}

fn not_given(path: &Path, access: &Access, error: io::Error) -> io::Error {
    let shown = path.display();
    let of = |name: &Option<String>| name.clone().unwrap_or_else(|| "-".into());
    let (owner, group) = (of(&access.owner), of(&access.group));
    let words = if error.kind() == io::ErrorKind::PermissionDenied {
        format!(
            "`unix:{shown}` cannot be given to owner {owner} and group {group}: only root may give files away, and others only to groups they are in"
        )
    } else {
        format!("`unix:{shown}` cannot be given to owner {owner} and group {group}: {error}")
    };
    io::Error::new(error.kind(), words)
}

/// The number of a user, by its name in `/etc/passwd` or as it is; `None` if there is none.
///
/// # Errors
/// The file cannot be read.
pub fn user_id(name: &str) -> io::Result<Option<u32>> {
    id(name, "/etc/passwd")
}

/// The number of a group, by its name in `/etc/group` or as it is; `None` if there is none.
///
/// # Errors
/// The file cannot be read.
pub fn group_id(name: &str) -> io::Result<Option<u32>> {
    id(name, "/etc/group")
}

/// The number of a user or group. The two files are asked and nothing else, because a static binary
/// has no name service switch.
fn number(path: &Path, name: Option<&str>, what: &str, file: &str) -> io::Result<Option<u32>> {
    let Some(name) = name else { return Ok(None) };
    let found = id(name, file)?;
    let words = || {
        let shown = path.display();
        format!("`unix:{shown}` should belong to {what} `{name}`, which {file} does not have")
    };
    found.map(Some).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, words()))
}

fn id(name: &str, file: &str) -> io::Result<Option<u32>> {
    if let Ok(number) = name.parse() {
        return Ok(Some(number));
    }
    let text = read_named_file(&RealDisk, Path::new(file), NAMES_BYTES_MAX)?;
    Ok(number_in(&String::from_utf8_lossy(&text), name))
}

/// Lines of both files are `name:password:number:…`.
fn number_in(text: &str, name: &str) -> Option<u32> {
    let mut rows = text.lines().map(|line| line.split(':'));
    rows.find_map(|mut row| if row.next()? == name { row.nth(1)?.parse().ok() } else { None })
}

async fn clear_leftover(path: &Path) -> io::Result<()> {
    let taken = |words: &str| {
        let words = format!("`unix:{}` is taken by {words}", path.display());
        Err(io::Error::new(io::ErrorKind::AddrInUse, words))
    };
    let stat = match rustix::fs::lstat(path) {
        Ok(stat) => stat,
        Err(rustix::io::Errno::NOENT) => return Ok(()),
        Err(error) => return Err(unix_words(path, &error.into())),
    };
    if FileType::from_raw_mode(stat.st_mode) != FileType::Socket {
        return taken("a file that is no socket; it was left alone; choose another path");
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            rustix::fs::unlink(path).map_err(|e| unix_words(path, &e.into()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(unix_words(path, &error)),
        Ok(_) => taken("another program that answers on it; stop that one, or choose another path"),
    }
}

fn unix_words(path: &Path, error: &io::Error) -> io::Error {
    let shown = path.display();
    let words = match error.kind() {
        io::ErrorKind::NotFound => {
            format!("`unix:{shown}` cannot be made: its folder does not exist; create it first")
        }
        io::ErrorKind::PermissionDenied => {
            format!("`unix:{shown}` cannot be made: this process may not write in its folder")
        }
        io::ErrorKind::InvalidInput => {
            format!("`unix:{shown}` is too long: the system takes at most 107 bytes of path")
        }
        _ => format!("`unix:{shown}` cannot be listened on: {error}"),
    };
    io::Error::new(error.kind(), words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_looked_up_as_a_whole() {
        let text = "root:x:0:0:root:/:/bin/sh\nweir-x:x:7:7\n# a comment\nweir:x:998:\nbad:x:\n";

        assert_eq!(number_in(text, "weir"), Some(998));
        assert_eq!(number_in(text, "root"), Some(0));
        for absent in ["wei", "bad", "", "# a comment"] {
            assert_eq!(number_in(text, absent), None, "{absent}");
        }
    }
}
