//! What systemd is told by a unit of `Type=notify` with `WatchdogSec=`.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::support::PATIENCE;
use crate::support::agent::Agent;
use crate::support::scratch::Scratch;

const CONFIG: &str = r#"
    [http.local]
    listen = "127.0.0.1:0"
    [stream.events]
    destinations = ["folder"]
    [destination.folder]
    type = "directory"
    path = "out"
"#;

/// The end that systemd holds.
struct Supervisor(UnixDatagram);

impl Supervisor {
    #[track_caller]
    fn hears(&self) -> String {
        let mut bytes = [0; 4096];
        let count = self.0.recv(&mut bytes).expect("word from the agent in time");
        String::from_utf8(bytes.get(..count).unwrap().to_vec()).unwrap()
    }

    /// Skips what is not about it.
    #[track_caller]
    fn hears_of(&self, what: &str) -> String {
        loop {
            let word = self.hears();
            if word.lines().any(|line| line == what) {
                return word;
            }
        }
    }
}

#[test]
fn readiness_life_and_the_stop_are_told_in_this_order() {
    let scratch = Scratch::new("supervised");
    let socket = scratch.join("notify");
    let supervisor = Supervisor(UnixDatagram::bind(&socket).unwrap());
    supervisor.0.set_read_timeout(Some(PATIENCE)).unwrap();

    let agent = Agent::start_supervised(&scratch, CONFIG, &socket, Duration::from_millis(400));

    let first = supervisor.hears();
    assert_eq!(first, "READY=1\nSTATUS=ready\n");
    assert_eq!(agent.client("local").post("events", b"hello").unwrap().status, 202);
    let alive = supervisor.hears_of("WATCHDOG=1");
    assert!(alive.contains("to be delivered"), "{alive}");
    supervisor.hears_of("WATCHDOG=1");
    assert_eq!(agent.terminate().code(), Some(0));
    supervisor.hears_of("STOPPING=1");
}
