//! Addresses, and binding them with words for what can go wrong.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FileType, Mode, Stat};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixSocket, UnixStream};

use super::Peer;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `127.0.0.1:8080`; port 0 takes any free one.
    Tcp(SocketAddr),
    /// `unix:/run/weir/ingest.sock`.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A bound socket. Dropping it closes it and removes the file of a unix socket.
#[derive(Debug)]
pub struct Listener {
    address: Arc<str>,
    socket: Socket,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener, SocketAddr),
    Unix { listener: UnixListener, _file: SocketFile },
}

pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// How many connections the system keeps waiting for us.
const BACKLOG: u32 = 1024;

/// Binds an address. A socket file that nobody answers on is a leftover and is replaced.
///
/// # Errors
/// What the system says, in words: which address, why, and what to do.
pub async fn bind(address: &Address) -> io::Result<Listener> {
    match address {
        Address::Tcp(wanted) => {
            let listener = TcpListener::bind(wanted).await.map_err(|e| tcp_words(*wanted, &e))?;
            let bound = listener.local_addr().map_err(|e| tcp_words(*wanted, &e))?;
            Ok(Listener { address: bound.to_string().into(), socket: Socket::Tcp(listener, bound) })
        }
        Address::Unix(path) => {
            let (listener, file) = bind_unix(path).await?;
            Ok(Listener {
                address: address.to_string().into(),
                socket: Socket::Unix { listener, _file: file },
            })
        }
    }
}

impl Listener {
    /// The address as bound: port 0 has become a real one. Unix sockets begin with `unix:`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The TCP address; `None` for a unix socket.
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        match &self.socket {
            Socket::Tcp(_, address) => Some(*address),
            Socket::Unix { .. } => None,
        }
    }

    pub(super) async fn accept(&self) -> io::Result<(Stream, Peer)> {
        let local = self.address.clone();
        match &self.socket {
            Socket::Tcp(listener, _) => {
                let (stream, remote) = listener.accept().await?;
                // Answers are small and must not wait for a full packet; a peer that is already
                // gone may refuse, which its first read tells as well.
                stream.set_nodelay(true).ok();
                Ok((Stream::Tcp(stream), Peer { local, remote: Some(remote) }))
            }
            Socket::Unix { listener, .. } => {
                let (stream, _) = listener.accept().await?;
                Ok((Stream::Unix(stream), Peer { local, remote: None }))
            }
        }
    }
}

fn tcp_words(address: SocketAddr, error: &io::Error) -> io::Error {
    let port = address.port();
    let words = match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "`{address}` is taken by another program; choose another port, or see who holds it with `ss -ltnp 'sport = :{port}'`"
        ),
        io::ErrorKind::AddrNotAvailable => format!(
            "`{address}` is no address of this host; use one of its own, or `0.0.0.0:{port}` for all of them"
        ),
        io::ErrorKind::PermissionDenied => format!(
            "`{address}` needs more rights than this process has; choose a port above 1023, or give it CAP_NET_BIND_SERVICE"
        ),
        _ => format!("`{address}` cannot be listened on: {error}"),
    };
    io::Error::new(error.kind(), words)
}

/// The file of a unix socket, removed at the end unless another one stands there by then.
#[derive(Debug)]
struct SocketFile {
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

/// Owner and group may connect.
const SOCKET_MODE: Mode = Mode::from_raw_mode(0o660);

async fn bind_unix(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    let words = |error: io::Error| unix_words(path, &error);
    clear_leftover(path).await?;
    let socket = UnixSocket::new_stream().map_err(words)?;
    socket.bind(path).map_err(words)?;
    // Between bind and listen nobody can connect, so the mode is right before it matters.
    rustix::fs::chmod(path, SOCKET_MODE).map_err(|e| words(e.into()))?;
    let stat = rustix::fs::lstat(path).map_err(|e| words(e.into()))?;
    let file = SocketFile { path: path.to_owned(), identity: identity(&stat) };
    Ok((socket.listen(BACKLOG).map_err(words)?, file))
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
