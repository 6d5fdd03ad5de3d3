//! A Kinesis of some shards that takes everything at once and counts what it cost to send it.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use md5::{Digest as _, Md5};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

pub(super) const SHARDS: u128 = 4;
/// A stream is billed by the units of each entry: 25 KiB, and what is begun of it.
const UNIT_BYTES: u64 = 25 << 10;

/// It runs in a thread of its own, whose CPU time can be taken off.
pub(super) struct Fake {
    pub(super) address: SocketAddr,
    counts: Arc<Counts>,
}

/// What was seen; [`Seen`] at one moment.
#[derive(Default)]
struct Counts {
    requests: AtomicU64,
    entries: AtomicU64,
    /// As they came from the sockets, heads and all.
    bytes: AtomicU64,
    units: AtomicU64,
    cpu_ns: AtomicU64,
}

/// What was seen so far.
#[derive(Clone, Copy, Default)]
pub(super) struct Seen {
    pub(super) requests: u64,
    pub(super) entries: u64,
    pub(super) bytes: u64,
    pub(super) units: u64,
    pub(super) cpu: Duration,
}

impl Seen {
    /// What was seen after `before`.
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            requests: self.requests - before.requests,
            entries: self.entries - before.entries,
            bytes: self.bytes - before.bytes,
            units: self.units - before.units,
            cpu: self.cpu - before.cpu,
        }
    }
}

impl Fake {
    pub(super) fn start() -> Self {
        let counts: Arc<Counts> = Arc::default();
        let (tell, told) = mpsc::sync_channel(1);
        thread::spawn({
            let counts = Arc::clone(&counts);
            move || {
                let runtime =
                    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
                    tell.send(listener.local_addr().unwrap()).unwrap();
                    serve(listener, counts).await;
                });
            }
        });
        Self { address: told.recv().unwrap(), counts }
    }

    pub(super) fn seen(&self) -> Seen {
        let Counts { requests, entries, bytes, units, cpu_ns } = &*self.counts;
        Seen {
            requests: requests.load(Relaxed),
            entries: entries.load(Relaxed),
            bytes: bytes.load(Relaxed),
            units: units.load(Relaxed),
            cpu: Duration::from_nanos(cpu_ns.load(Relaxed)),
        }
    }
}

async fn serve(listener: TcpListener, counts: Arc<Counts>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let counted = Counted { stream, counts: Arc::clone(&counts) };
        let counts = Arc::clone(&counts);
        connections.spawn(async move {
            let service = service_fn(move |request| answer(request, Arc::clone(&counts)));
            hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(counted), service)
                .await
        });
    }
}

/// A socket whose bytes are counted as they come.
struct Counted {
    stream: TcpStream,
    counts: Arc<Counts>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = room.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, room);
        self.counts.bytes.fetch_add((room.filled().len() - before) as u64, Relaxed);
        polled
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

async fn answer(
    request: hyper::Request<Incoming>,
    counts: Arc<Counts>,
) -> Result<hyper::Response<Full<Bytes>>, Infallible> {
    let target = request.headers()["x-amz-target"].to_str().unwrap().to_owned();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let answer = match target.rsplit('.').next().unwrap() {
        "PutRecords" => put_records(std::str::from_utf8(&body).unwrap(), &counts),
        "ListShards" => list_shards(),
        _ => SUMMARY.to_owned(),
    };
    counts.cpu_ns.store(cpu_ns_of_thread(), Relaxed);
    Ok(hyper::Response::new(Full::new(answer.into())))
}

fn cpu_ns_of_thread() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    stat.split_whitespace().next().unwrap().parse().unwrap()
}

fn put_records(body: &str, counts: &Counts) -> String {
    let mut results = String::from("{\"FailedRecordCount\":0,\"Records\":[");
    let (mut entries, mut units) = (0, 0);
    for entry in body.split("\"Data\":\"").skip(1) {
        let (data, rest) = entry.split_once('"').unwrap();
        let padding = data.bytes().rev().take_while(|byte| *byte == b'=').count();
        let key = field(rest, "\"PartitionKey\":\"").unwrap();
        let hash = match field(rest, "\"ExplicitHashKey\":\"") {
            Some(text) => text.parse().unwrap(),
            None => u128::from_be_bytes(Md5::digest(key).into()),
        };
        let bytes = data.len() / 4 * 3 - padding + key.len();
        units += (bytes as u64).div_ceil(UNIT_BYTES);
        if entries > 0 {
            results.push(',');
        }
        entries += 1;
        write!(
            results,
            "{{\"SequenceNumber\":\"49590338271490256608559692538361571095921575989136588898\",\
             \"ShardId\":\"{}\"}}",
            shard(hash / (u128::MAX / SHARDS + 1))
        )
        .unwrap();
    }
    results.push_str("]}");
    counts.requests.fetch_add(1, Relaxed);
    counts.entries.fetch_add(entries, Relaxed);
    counts.units.fetch_add(units, Relaxed);
    results
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.split_once(name)?.1.split('"').next()
}

fn shard(number: u128) -> String {
    format!("shardId-{number:012}")
}

fn list_shards() -> String {
    let size = u128::MAX / SHARDS + 1;
    let shards: Vec<String> = (0..SHARDS)
        .map(|number| {
            format!(
                "{{\"ShardId\":\"{}\",\"HashKeyRange\":{{\"StartingHashKey\":\"{}\",\
                 \"EndingHashKey\":\"{}\"}},\"SequenceNumberRange\":\
                 {{\"StartingSequenceNumber\":\"1\"}}}}",
                shard(number),
                number * size,
                number * size + (size - 1)
            )
        })
        .collect();
    format!("{{\"Shards\":[{}]}}", shards.join(","))
}

const SUMMARY: &str = "{\"StreamDescriptionSummary\":{\"StreamName\":\"cost\",\
    \"StreamARN\":\"arn:aws:kinesis:eu-west-1:123456789012:stream/cost\",\
    \"StreamStatus\":\"ACTIVE\",\"StreamModeDetails\":{\"StreamMode\":\"PROVISIONED\"},\
    \"RetentionPeriodHours\":24,\"StreamCreationTimestamp\":1.0,\"EnhancedMonitoring\":[],\
    \"OpenShardCount\":4,\"MaxRecordSizeInKiB\":1024}}";
