//! Sockets that the service manager opened for us (`systemd.socket`).

use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::sync::{Mutex, PoisonError};

use listenfd::ListenFd;
use rustix::net::sockopt::socket_acceptconn;

/// What was handed over, until somebody takes it. It is the process's, not a part's: the numbers of
/// the sockets are fixed, and one that is owned twice would be closed under somebody's hands.
static HANDED_OVER: Mutex<Option<Vec<Named>>> = Mutex::new(None);

/// A socket, and its `FileDescriptorName=`.
type Named = (String, Handed);

#[derive(Debug)]
pub(super) enum Handed {
    Tcp(TcpListener),
    Unix(UnixListener),
    /// Nothing that can be listened on.
    Foreign,
}

/// Takes all sockets of this name.
///
/// # Errors
/// In words: there is none of this name, or it is none that can be listened on.
pub(super) fn take(name: &str) -> io::Result<Vec<Handed>> {
    let mut handed_over = HANDED_OVER.lock().unwrap_or_else(PoisonError::into_inner);
    let all = handed_over.get_or_insert_with(from_environment);
    take_from(all, name)
}

fn take_from(all: &mut Vec<Named>, name: &str) -> io::Result<Vec<Handed>> {
    let (ours, others): (Vec<Named>, Vec<Named>) =
        std::mem::take(all).into_iter().partition(|(known, _)| known == name);
    *all = others;
    if ours.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, missing(name, all)));
    }
    if ours.iter().any(|(_, socket)| !socket.is_listening()) {
        let words = format!(
            "`systemd:{name}` was handed over, but nobody can connect to it; its .socket unit should have ListenStream= and Accept=no"
        );
        return Err(io::Error::new(io::ErrorKind::InvalidInput, words));
    }
    Ok(ours.into_iter().map(|(_, socket)| socket).collect())
}

fn missing(name: &str, others: &[Named]) -> String {
    let others: Vec<String> = others.iter().map(|(name, _)| format!("`{name}`")).collect();
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
    let mut all = Vec::with_capacity(sockets.len());
    for place in 0..sockets.len() {
        // systemd gives every socket a name; other managers need not.
        let name = names.next().filter(|name| !name.is_empty()).unwrap_or("unknown");
        let tcp = sockets.take_tcp_listener(place).ok().flatten().map(Handed::Tcp);
        let or_unix = || sockets.take_unix_listener(place).ok().flatten().map(Handed::Unix);
        all.push((name.to_owned(), tcp.or_else(or_unix).unwrap_or(Handed::Foreign)));
    }
    all
}

impl Handed {
    fn is_listening(&self) -> bool {
        match self {
            Self::Tcp(socket) => socket_acceptconn(socket).unwrap_or(false),
            Self::Unix(socket) => socket_acceptconn(socket).unwrap_or(false),
            Self::Foreign => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(name: &str) -> Named {
        (name.to_owned(), Handed::Tcp(TcpListener::bind("127.0.0.1:0").unwrap()))
    }

    #[test]
    fn all_sockets_of_a_name_are_taken_and_only_once() {
        let mut all = vec![tcp("https"), tcp("http"), tcp("https")];

        assert_eq!(take_from(&mut all, "https").unwrap().len(), 2);
        let words = take_from(&mut all, "https").unwrap_err().to_string();

        assert_eq!(
            words,
            "`systemd:https` was not handed over, a socket with FileDescriptorName=https; there are `http`"
        );
    }

    #[test]
    fn a_process_that_was_handed_nothing_is_told_how_to_start() {
        let words = take_from(&mut Vec::new(), "https").unwrap_err().to_string();

        assert!(words.ends_with("there is none at all; start weir by its .socket unit"), "{words}");
    }

    #[test]
    fn a_foreign_socket_is_refused() {
        let mut all = vec![("http".to_owned(), Handed::Foreign)];

        let words = take_from(&mut all, "http").unwrap_err().to_string();

        assert!(words.contains("nobody can connect to it"), "{words}");
    }
}
