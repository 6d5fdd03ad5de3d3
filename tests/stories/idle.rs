//! Ten thousand connections that do nothing cost little, and others come in all the same.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::support::agent::Agent;
use crate::support::scratch::Scratch;
use crate::support::wait_for;

/// Most memory of one: a debug build has larger tasks than the one that is shipped.
const EACH_BYTES_MAX: u64 = 24 << 10;

#[test]
fn ten_thousand_idle_connections_cost_little() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    let files = limit.maximum.unwrap_or(1 << 20);
    let count = usize::try_from(files.saturating_sub(1_000)).unwrap().min(10_000);
    let scratch = Scratch::new("idle");
    let config = format!(
        r#"
        [http.local]
        listen = "127.0.0.1:0"
        max_connections = 20000
        max_connections_per_address = 20000
        idle_timeout = "10 min"
        head_timeout = "5 min"
        [stream.orders]
        destinations = ["archive"]
        queue = {{ min_free_disk = "0 B" }}
        [destination.archive]
        type = "directory"
        path = "{}"
        "#,
        scratch.folder("archive").display()
    );
    let agent = Agent::start(&scratch, &config);
    assert_eq!(agent.client("local").post("orders", b"x").unwrap().status, 202);
    let before = agent.resident_bytes();

    let mut connections = Vec::with_capacity(count);
    for number in 0..count {
        let mut connection = TcpStream::connect(agent.http("local")).unwrap();
        // Half of them have had an answer.
        if number % 2 == 0 {
            connection.write_all(b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
            let mut answer = [0; 15];
            connection.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"HTTP/1.1 200 OK");
        }
        connections.push(connection);
    }
    let wanted = format!("weir_http_connections{{listener=\"local\"}} {count}");
    wait_for("all of them", || agent.metrics().contains(&wanted).then_some(()));

    let each = agent.resident_bytes().saturating_sub(before) / count as u64;
    println!("{count} idle connections, {each} bytes each");
    assert!(each < EACH_BYTES_MAX, "{each} bytes each");
    assert_eq!(agent.client("local").post("orders", b"y").unwrap().status, 202);
}
