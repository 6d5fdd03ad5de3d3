//! Sockets that the service manager opened for us (`systemd.socket`).

use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use listenfd::ListenFd;
use rustix::net::sockopt::socket_acceptconn;

/// What was handed over. The process keeps it for good: the numbers of the sockets are fixed, and a
/// listener that a reload opened in vain must find them again. What is given out are copies.
static HANDED_OVER: Mutex<Option<Vec<Named>>> = Mutex::new(None);

/// The sockets of one `FileDescriptorName=`.
struct Named {
    name: String,
    sockets: Vec<Handed>,
    /// Alive while somebody has them.
    taken: Weak<()>,
}

#[derive(Debug)]
pub(super) enum Handed {
    Tcp(TcpListener),
    Unix(UnixListener),
    /// Nothing that can be listened on.
    Foreign,
}

/// That the sockets of a name are taken; they are free again when the last of its copies is dropped.
pub(super) type Lease = Arc<()>;

/// Takes all sockets of this name.
///
/// # Errors
/// In words: there is none of this name, it is taken, or it is none that can be listened on.
pub(super) fn take(name: &str) -> io::Result<(Vec<Handed>, Lease)> {
    let mut handed_over = HANDED_OVER.lock().unwrap_or_else(PoisonError::into_inner);
    let all = handed_over.get_or_insert_with(from_environment);
    take_from(all, name)
}

fn take_from(all: &mut [Named], name: &str) -> io::Result<(Vec<Handed>, Lease)> {
    let Some(known) = all.iter_mut().find(|known| known.name == name) else {
        return Err(io::Error::new(io::ErrorKind::NotFound, missing(name, all)));
    };
    if known.taken.strong_count() > 0 {
        let words = format!("`systemd:{name}` is taken by another listener");
        return Err(io::Error::new(io::ErrorKind::AddrInUse, words));
    }
    if known.sockets.iter().any(|socket| !socket.is_listening()) {
        let words = format!(
            "`systemd:{name}` was handed over, but nobody can connect to it; its .socket unit should have ListenStream= and Accept=no"
        );
        return Err(io::Error::new(io::ErrorKind::InvalidInput, words));
    }
    let sockets = known.sockets.iter().map(Handed::copy).collect::<io::Result<_>>()?;
    let lease = Lease::default();
    known.taken = Arc::downgrade(&lease);
    Ok((sockets, lease))
}

fn missing(name: &str, others: &[Named]) -> String {
    let others: Vec<String> = others.iter().map(|other| format!("`{}`", other.name)).collect();
    let there = match others.as_slice() {
        [] => "there is none at all; start weir by its .socket unit".to_owned(),
        others => format!("there are {}", others.join(", ")),
    };
    format!(
        "`systemd:{name}` was not handed over, a socket with FileDescriptorName={name}; {there}"
    )
}

fn from_environment() -> Vec<Named> {
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut sockets = ListenFd::from_env();
    let mut names = names.split(':');
    let mut all = Vec::new();
    for place in 0..sockets.len() {
        // systemd gives every socket a name; other managers need not.
        let name = names.next().filter(|name| !name.is_empty()).unwrap_or("unknown");
        let tcp = sockets.take_tcp_listener(place).ok().flatten().map(Handed::Tcp);
        let or_unix = || sockets.take_unix_listener(place).ok().flatten().map(Handed::Unix);
        keep(&mut all, name, tcp.or_else(or_unix).unwrap_or(Handed::Foreign));
    }
    all
}

fn keep(all: &mut Vec<Named>, name: &str, socket: Handed) {
    match all.iter_mut().find(|known| known.name == name) {
        Some(known) => known.sockets.push(socket),
        None => {
            let (name, sockets) = (name.to_owned(), vec![socket]);
            all.push(Named { name, sockets, taken: Weak::new() });
        }
    }
}

impl Handed {
    fn is_listening(&self) -> bool {
        match self {
            Self::Tcp(socket) => socket_acceptconn(socket).unwrap_or(false),
            Self::Unix(socket) => socket_acceptconn(socket).unwrap_or(false),
            Self::Foreign => false,
        }
    }

    /// Another descriptor of the same socket.
    fn copy(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(socket) => socket.try_clone().map(Self::Tcp),
            Self::Unix(socket) => socket.try_clone().map(Self::Unix),
            Self::Foreign => Ok(Self::Foreign),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(all: &mut Vec<Named>, name: &str) {
        keep(all, name, Handed::Tcp(TcpListener::bind("127.0.0.1:0").unwrap()));
    }

    #[test]
    fn all_sockets_of_a_name_are_taken_by_one_until_they_are_let_go() {
        let mut all = Vec::new();
        for name in ["https", "http", "https"] {
            tcp(&mut all, name);
        }

        let (sockets, lease) = take_from(&mut all, "https").unwrap();
        assert_eq!(sockets.len(), 2);
        let words = take_from(&mut all, "https").unwrap_err().to_string();
        assert_eq!(words, "`systemd:https` is taken by another listener");

        drop((sockets, lease));
        assert_eq!(take_from(&mut all, "https").unwrap().0.len(), 2);
    }

    #[test]
    fn a_name_that_was_not_handed_over_is_told_with_those_that_were() {
        let mut all = Vec::new();
        tcp(&mut all, "http");

        let words = take_from(&mut all, "https").unwrap_err().to_string();

        assert_eq!(
            words,
            "`systemd:https` was not handed over, a socket with FileDescriptorName=https; there are `http`"
        );
    }

    #[test]
    fn a_process_that_was_handed_nothing_is_told_how_to_start() {
        let words = take_from(&mut [], "https").unwrap_err().to_string();

        assert!(words.ends_with("there is none at all; start weir by its .socket unit"), "{words}");
    }

    #[test]
    fn a_foreign_socket_is_refused() {
        let mut all = Vec::new();
        keep(&mut all, "http", Handed::Foreign);

        let words = take_from(&mut all, "http").unwrap_err().to_string();

        assert!(words.contains("nobody can connect to it"), "{words}");
    }
}
