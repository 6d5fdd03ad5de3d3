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

const RECORD_BYTES: usize = 1_000;
const BEFORE_NUMBER: &str = "{\"id\":\"";
const DIGITS: usize = 10;

/// What the clients send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) connections: usize,
    /// Records a request.
    pub(crate) records: u64,
    pub(crate) until: Until,
}

/// When they stop.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    Passed(Duration),
    /// So many records were acknowledged.
    Acknowledged(u64),
}

/// Where and how a system takes records.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    pub(crate) address: SocketAddr,
    pub(crate) path: &'static str,
    /// Of a batch: one record a line, or an array of JSON.
    pub(crate) takes_lines: bool,
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
    /// Sends until it is time to stop.
    pub(crate) fn run(self, door: &Door, ledger: &Arc<Ledger>) -> Sent {
        let threads = tokio::runtime::Builder::new_current_thread().enable_all().build();
        threads.expect("a runtime for the clients").block_on(self.send(door, ledger))
    }

    async fn send(self, door: &Door, ledger: &Arc<Ledger>) -> Sent {
        let begun = Instant::now();
        let sent = Arc::new(AtomicU64::new(0));
        let mut clients = JoinSet::new();
        for _ in 0..self.connections {
            let request = Request::new(door, self.records);
            let (ledger, sent) = (Arc::clone(ledger), Arc::clone(&sent));
            let address = door.address;
            clients.spawn(async move {
                let mut client = Client::connect(address, request).await;
                while !self.is_over(begun, &sent) {
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
        Self { address, stream, request, latencies, refused: 0, answer: vec![0; 64 << 10] }
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
        self.stream.write_all(&self.request.bytes).await?;
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

/// The bytes of a request, in which only the numbers change.
struct Request {
    bytes: Vec<u8>,
    /// Where the numbers stand.
    numbers: Vec<usize>,
}

impl Request {
    fn new(door: &Door, records: u64) -> Self {
        let mut body = Vec::new();
        let mut numbers = Vec::new();
        let is_array = records > 1 && !door.takes_lines;
        for place in 0..records {
            if place > 0 || is_array {
                let before: &[u8] = match (is_array, place) {
                    (true, 0) => b"[",
                    (true, _) => b",",
                    (false, _) => b"\n",
                };
                body.extend_from_slice(before);
            }
            numbers.push(body.len() + BEFORE_NUMBER.len());
            body.extend_from_slice(record().as_bytes());
        }
        if is_array {
            body.push(b']');
        }
        let kind = if records > 1 && door.takes_lines {
            "application/x-ndjson"
        } else {
            "application/json"
        };
        let head = format!(
            "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
            door.path,
            door.address,
            body.len()
        );
        let numbers = numbers.into_iter().map(|place| place + head.len()).collect();
        Self { bytes: [head.as_bytes(), &body].concat(), numbers }
    }

    fn number_from(&mut self, first: u64) {
        for (&place, number) in self.numbers.iter().zip(first..) {
            let digits = format!("{number:0DIGITS$}");
            self.bytes[place..place + DIGITS].copy_from_slice(digits.as_bytes());
        }
    }
}

/// A log record of 1,000 bytes whose number is to be filled in.
fn record() -> String {
    let head = format!(
        "{BEFORE_NUMBER}{:0DIGITS$}\",\"user\":\"ann\",\"at\":\"2026-11-22T06:05:19Z\",\"level\":\"info\",\
         \"message\":\"",
        0
    );
    let words = "the quick brown fox pays with 1234-5678 and jumps over the lazy dog ";
    let message: String = words.chars().cycle().take(RECORD_BYTES - head.len() - 2).collect();
    format!("{head}{message}\"}}")
}
