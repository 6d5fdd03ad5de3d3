//! Addresses, and binding them with words for what can go wrong.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use super::activated::{self, Handed, Lease};
use super::tls::Tls;
use super::unix::{self, Access, SocketFile};
use super::{Peer, Process};

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `127.0.0.1:8080`; port 0 takes any free one.
    Tcp(SocketAddr),
    /// `unix:/run/weir/ingest.sock`, and who may connect.
    Unix(PathBuf, Access),
    /// `systemd:https`: the sockets that the service manager opened under this name.
    Systemd(String),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path, _) => write!(f, "unix:{}", path.display()),
            Self::Systemd(name) => write!(f, "systemd:{name}"),
        }
    }
}

/// A bound socket. Dropping it closes it and removes the file of a unix socket.
#[derive(Debug)]
pub struct Listener {
    address: Arc<str>,
    socket: Socket,
    tls: Option<Arc<Tls>>,
    #[expect(dead_code, reason = "it ends when dropped")]
    lease: Option<Lease>,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener, SocketAddr),
    /// The file of a socket that was handed over belongs to who opened it.
    Unix(
        UnixListener,
        #[expect(dead_code, reason = "it is removed when dropped")] Option<SocketFile>,
    ),
}

pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Binds an address; only a name of the service manager may stand for more than one socket.
///
/// # Errors
/// What the system says, in words: which address, why, and what to do.
pub async fn bind(address: &Address) -> io::Result<Vec<Listener>> {
    match address {
        Address::Tcp(wanted) => {
            let listener = TcpListener::bind(wanted).await.map_err(|e| tcp_words(*wanted, &e))?;
            Ok(vec![Listener::tcp(listener)?])
        }
        Address::Unix(path, access) => {
            let (listener, file) = unix::bind(path, access).await?;
            let address = address.to_string().into();
            let socket = Socket::Unix(listener, Some(file));
            Ok(vec![Listener { address, socket, tls: None, lease: None }])
        }
        Address::Systemd(name) => {
            let (sockets, lease) = activated::take(name)?;
            sockets.into_iter().map(|socket| Listener::handed(socket, &lease)).collect()
        }
    }
}

impl Listener {
    fn tcp(listener: TcpListener) -> io::Result<Self> {
        let bound = listener.local_addr()?;
        let address = bound.to_string().into();
        Ok(Self { address, socket: Socket::Tcp(listener, bound), tls: None, lease: None })
    }

    fn handed(socket: Handed, lease: &Lease) -> io::Result<Self> {
        let lease = Some(Arc::clone(lease));
        match socket {
            Handed::Tcp(socket) => {
                socket.set_nonblocking(true)?;
                Ok(Self { lease, ..Self::tcp(TcpListener::from_std(socket)?)? })
            }
            Handed::Unix(socket) => {
                socket.set_nonblocking(true)?;
                let path = socket.local_addr()?;
                let path = path.as_pathname().map(|path| path.display().to_string());
                let address = format!("unix:{}", path.unwrap_or_default()).into();
                let socket = Socket::Unix(UnixListener::from_std(socket)?, None);
                Ok(Self { address, socket, tls: None, lease })
            }
            Handed::Foreign => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// Speaks TLS on it.
    #[must_use]
    pub fn with_tls(mut self, tls: Option<Arc<Tls>>) -> Self {
        self.tls = tls;
        self
    }

    /// The address as bound: port 0 has become a real one. Unix sockets begin with `unix:`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The TCP address; `None` for a unix socket.
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        match &self.socket {
            Socket::Tcp(_, address) => Some(*address),
            Socket::Unix(..) => None,
        }
    }

    pub(super) fn tls(&self) -> Option<Arc<Tls>> {
        self.tls.clone()
    }

    pub(super) async fn accept(&self) -> io::Result<(Stream, Peer)> {
        let local = Peer::of(self.address.clone());
        match &self.socket {
            Socket::Tcp(listener, _) => {
                let (stream, remote) = listener.accept().await?;
                // Answers are small and must not wait for a full packet; a peer that is already
                // gone may refuse, which its first read tells as well.
                stream.set_nodelay(true).ok();
                Ok((Stream::Tcp(stream), Peer { remote: Some(remote), ..local }))
            }
            Socket::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                let process = stream.peer_cred().ok().map(|who| Process {
                    uid: who.uid(),
                    gid: who.gid(),
                    pid: who.pid(),
                });
                Ok((Stream::Unix(stream), Peer { process, ..local }))
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
