//! Clients over HTTP, each with one request under way: the next follows its answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::latencies::Latencies;
use super::ledger::Ledger;
use super::request::{Door, Request};

/// What works have that say nothing else.
pub(crate) const RECORD_BYTES: usize = 1_000;
/// Room for the answer to 500 records in the protocol of Kinesis.
const ANSWER_BYTES: usize = 256 << 10;

/// What the clients send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) connections: usize,
    /// Records a request.
    pub(crate) records: u64,
    pub(crate) record_bytes: usize,
    /// Requests a second that all of them send together at most; `None`: as many as are answered.
    pub(crate) pace: Option<f64>,
    pub(crate) until: Until,
}

/// When they stop.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    Passed(Duration),
    /// So many records were acknowledged.
    Acknowledged(u64),
}

/// What came of it.
pub(crate) struct Sent {
    pub(crate) records: u64,
    pub(crate) took: Duration,
    pub(crate) latencies: Latencies,
    /// Answers that took nothing.
    pub(crate) refused: u64,
}

impl Load {
    /// Of records as they are in most works, as fast as they are answered.
    pub(crate) fn new(connections: usize, records: u64, until: Until) -> Self {
        Self { connections, records, record_bytes: RECORD_BYTES, pace: None, until }
    }

    /// Bytes of payload of so many of its records.
    pub(crate) fn bytes_of(&self, records: f64) -> f64 {
        self.record_bytes as f64 * records
    }

    /// Most bytes of payload that wait for an answer at one time.
    pub(crate) fn bytes_under_way(&self) -> usize {
        self.record_bytes
            * usize::try_from(self.connections as u64 * self.records).unwrap_or(usize::MAX)
    }

    /// Sends until it is time to stop, each client to one of these doors.
    pub(crate) fn run(self, doors: &[Door], ledger: &Arc<Ledger>) -> Sent {
        let threads = tokio::runtime::Builder::new_current_thread().enable_all().build();
        threads.expect("a runtime for the clients").block_on(self.send(doors, ledger))
    }

    async fn send(self, doors: &[Door], ledger: &Arc<Ledger>) -> Sent {
        let mut ready = Vec::with_capacity(self.connections);
        for door in doors.iter().cycle().take(self.connections) {
            let request = Request::new(door, self.records, self.record_bytes);
            ready.push(Client::connect(door.address, request).await);
        }
        let begun = Instant::now();
        let sent = Arc::new(AtomicU64::new(0));
        let mut clients = JoinSet::new();
        for (place, mut client) in ready.into_iter().enumerate() {
            let (ledger, sent) = (Arc::clone(ledger), Arc::clone(&sent));
            clients.spawn(async move {
                for number in 0.. {
                    if let Some(due) = self.due(place, number) {
                        tokio::time::sleep(due.saturating_sub(begun.elapsed())).await;
                    }
                    if self.is_over(begun, &sent) {
                        break;
                    }
                    client.send_one(&ledger, self.records, &sent).await;
                }
                client
            });
        }
        let (mut latencies, mut refused) = (Latencies::new(), 0);
        while let Some(client) = clients.join_next().await {
            let client = client.expect("a client does its work");
            latencies.join(&client.latencies);
            refused += client.refused;
        }
        Sent { records: sent.load(Relaxed), took: begun.elapsed(), latencies, refused }
    }

    /// When that client sends its request of that number, if there is a pace: they take turns.
    fn due(&self, client: usize, number: u64) -> Option<Duration> {
        let before = number as f64 * self.connections as f64 + client as f64;
        Some(Duration::from_secs_f64(before / self.pace?))
    }

    fn is_over(&self, begun: Instant, sent: &AtomicU64) -> bool {
        match self.until {
            Until::Passed(time) => begun.elapsed() >= time,
            Until::Acknowledged(records) => sent.load(Relaxed) >= records,
        }
    }
}

struct Client {
    address: SocketAddr,
    stream: TcpStream,
    request: Request,
    latencies: Latencies,
    refused: u64,
    answer: Vec<u8>,
}

impl Client {
    async fn connect(address: SocketAddr, request: Request) -> Self {
        let (stream, latencies) = (open(address).await, Latencies::new());
        Self { address, stream, request, latencies, refused: 0, answer: vec![0; ANSWER_BYTES] }
    }

    async fn send_one(&mut self, ledger: &Ledger, records: u64, sent: &AtomicU64) {
        let first = ledger.draw(records);
        self.request.number_from(first);
        let begun = Instant::now();
        match self.ask().await {
            Ok(200..300) => {
                self.latencies.add(begun.elapsed());
                ledger.acknowledge(first, records);
                sent.fetch_add(records, Relaxed);
            }
            Ok(_) => {
                self.refused += 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            // It hung up; whether it took the request nobody knows.
            Err(_) => {
                self.refused += 1;
                self.stream = open(self.address).await;
            }
        }
    }

    /// The status of the answer, read to its end.
    async fn ask(&mut self) -> std::io::Result<u16> {
        self.stream.write_all(self.request.bytes()).await?;
        let mut filled = 0;
        loop {
            let read = self.stream.read(&mut self.answer[filled..]).await?;
            if read == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            filled += read;
            if let Some(status) = whole(&self.answer[..filled]) {
                return Ok(status);
            }
        }
    }
}

async fn open(address: SocketAddr) -> TcpStream {
    let begun = Instant::now();
    loop {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true).expect("it is TCP");
                return stream;
            }
            Err(error) => assert!(begun.elapsed() < Duration::from_secs(30), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The status, once head and body are there.
fn whole(answer: &[u8]) -> Option<u16> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let length = head.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let is_whole = answer.len() >= end + 4 + length.unwrap_or_default();
    is_whole.then(|| head.get(9..12)?.parse().ok())?
}
