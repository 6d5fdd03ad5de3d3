//! Sockets that systemd hands over: they are served, and what is wrong with them is said at the start.

use std::net::TcpListener;

use crate::support::agent::{Agent, configure, weir};
use crate::support::client::Client;
use crate::support::scratch::Scratch;

fn config(listen: &str, more: &str) -> String {
    format!(
        "[http.edge]\nlisten = \"{listen}\"\n{more}\n[stream.orders]\ndestinations = [\"archive\"]\n\
         [destination.archive]\ntype = \"directory\"\npath = \"archive\"\n"
    )
}

#[test]
fn a_socket_of_systemd_is_served_and_keeps_its_port() {
    let scratch = Scratch::new("listeners-systemd");
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();

    let agent = Agent::start_handed(&scratch, &config("systemd:edge", ""), "edge", socket.into());

    assert_eq!(agent.http("edge"), address);
    assert_eq!(agent.client("edge").post("orders", b"one").unwrap().status, 202);
}

#[test]
fn a_socket_that_a_refused_reload_took_is_there_for_the_next_one() {
    let scratch = Scratch::new("listeners-again");
    let (socket, taken) =
        (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let address = socket.local_addr().unwrap().to_string();
    let before = config("127.0.0.1:0", "");
    let agent = Agent::start_handed(&scratch, &before, "spare", socket.into());
    let reload =
        || weir(&scratch, &["reload", "--config", scratch.join("weir.toml").to_str().unwrap()]);

    let more = "[http.spare]\nlisten = \"systemd:spare\"\n";
    let fault = format!("[http.zz]\nlisten = \"{}\"\n", taken.local_addr().unwrap());
    configure(&scratch, &config("127.0.0.1:0", &format!("{more}{fault}")));
    let refused = reload();
    assert_ne!(refused.code, Some(0), "{refused:?}");
    assert!(refused.stderr.contains("is taken by another program"), "{}", refused.stderr);

    configure(&scratch, &config("127.0.0.1:0", more));
    reload().succeeded();
    assert_eq!(Client::new(&address).post("orders", b"one").unwrap().status, 202);
    assert_eq!(agent.client("edge").post("orders", b"two").unwrap().status, 202);
}

#[test]
fn a_socket_that_was_not_handed_over_ends_the_start_with_words() {
    let scratch = Scratch::new("listeners-missing");
    let file = configure(&scratch, &config("systemd:edge", "")).display().to_string();

    let ended = weir(&scratch, &["run", "--config", &file]);

    assert_ne!(ended.code, Some(0), "{ended:?}");
    let words = "`systemd:edge` was not handed over, a socket with FileDescriptorName=edge; \
                 there is none at all; start weir by its .socket unit";
    assert!(ended.stderr.contains(words), "{}", ended.stderr);
}
