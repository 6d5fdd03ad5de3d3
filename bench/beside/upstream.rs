//! A Kinesis over TLS that takes all it gets as fast as it can, takes aggregates apart, and books each
//! record that arrives. It can be away, late, or refuse what it gets.

use std::convert::Infallible;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use md5::{Digest as _, Md5};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

use super::aggregate::{self, number_in};
use super::ledger::Ledger;
use super::listing;
use super::tls_peer::{ALWAYS, Authority};
use super::wire::{Entry, Wire};

/// A stream is billed by the units of each entry: 25 KiB, and what is begun of it.
const UNIT_BYTES: u64 = 25 << 10;

/// The running upstream; its threads end when it is dropped.
pub(crate) struct Upstream {
    address: SocketAddr,
    counts: Arc<Counts>,
    _runtime: Runtime,
}

/// How it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Well,
    /// It hangs up on everybody.
    Away,
    /// It answers after this time.
    Late(Duration),
    /// It refuses every entry as too fast.
    Throttling,
}

struct Counts {
    ledger: Arc<Ledger>,
    mood: Mutex<Mood>,
    requests: AtomicU64,
    units: AtomicU64,
    bytes: AtomicU64,
}

/// What came so far.
#[derive(Clone, Copy, Default)]
pub(crate) struct Seen {
    pub(crate) requests: u64,
    /// PUT payload units.
    pub(crate) units: u64,
    /// Of bodies, before TLS.
    pub(crate) bytes: u64,
}

impl Upstream {
    /// Starts it; its authority's certificate is written to `ca`.
    pub(crate) fn start(ca: &Path, ledger: Arc<Ledger>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("threads for the upstream");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let counts = Arc::new(Counts {
            ledger,
            mood: Mutex::new(Mood::Well),
            requests: AtomicU64::new(0),
            units: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        });
        runtime.spawn(accept(listener, acceptor(ca), Arc::clone(&counts)));
        Self { address, counts, _runtime: runtime }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn be(&self, mood: Mood) {
        *self.counts.mood.lock().unwrap_or_else(PoisonError::into_inner) = mood;
    }

    pub(crate) fn seen(&self) -> Seen {
        let Counts { requests, units, bytes, .. } = &*self.counts;
        let [requests, units, bytes] = [requests, units, bytes].map(|number| number.load(Relaxed));
        Seen { requests, units, bytes }
    }
}

impl Counts {
    fn mood(&self) -> Mood {
        *self.mood.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn acceptor(ca: &Path) -> TlsAcceptor {
    let authority = Authority::new("bench");
    fs::write(ca, &authority.pem).expect("a scratch file");
    let own = authority.issue("localhost", ALWAYS);
    let chain = vec![CertificateDer::from_pem_slice(own.cert.as_bytes()).expect("our own")];
    let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).expect("our own");
    let crypto = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(crypto)
        .with_safe_default_protocol_versions()
        .expect("ring has them")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("our own");
    TlsAcceptor::from(Arc::new(config))
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, counts: Arc<Counts>) {
    while let Ok((tcp, _)) = listener.accept().await {
        if counts.mood() == Mood::Away {
            continue;
        }
        tokio::spawn(serve(tcp, acceptor.clone(), Arc::clone(&counts)));
    }
}

async fn serve(tcp: TcpStream, acceptor: TlsAcceptor, counts: Arc<Counts>) {
    tcp.set_nodelay(true).expect("it is TCP");
    let Ok(tls) = acceptor.accept(tcp).await else { return };
    let service = service_fn(move |request| answer(request, Arc::clone(&counts)));
    // A connection that its client closes is at its end.
    drop(
        hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(tls), service)
            .await,
    );
}

async fn answer(
    request: Request<Incoming>,
    counts: Arc<Counts>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let target = request.headers().get("x-amz-target").and_then(|value| value.to_str().ok());
    let action = target.and_then(|target| target.rsplit('.').next()).unwrap_or("").to_owned();
    let wire = Wire::of(request.headers());
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let mood = counts.mood();
    if let Mood::Late(time) = mood {
        tokio::time::sleep(time).await;
    }
    let (status, text) = match (mood, action.as_str()) {
        (Mood::Away, _) => {
            (StatusCode::SERVICE_UNAVAILABLE, "{\"__type\":\"ServiceUnavailable\"}".to_owned())
        }
        (Mood::Throttling, "PutRecords") => (StatusCode::OK, refuse(&wire.entries(&body))),
        (_, "PutRecords") => (StatusCode::OK, put(&wire.entries(&body), body.len(), &counts)),
        (_, "ListShards") => (StatusCode::OK, listing::shards().to_string()),
        (_, "DescribeStreamSummary") => (StatusCode::OK, listing::summary("bench").to_string()),
        _ => (StatusCode::BAD_REQUEST, "{\"__type\":\"AccessDeniedException\"}".to_owned()),
    };
    let mut answer = Response::new(Full::new(wire.answer(text)));
    *answer.status_mut() = status;
    answer.headers_mut().insert("content-type", wire.media_type());
    Ok(answer)
}

fn refuse(entries: &[Entry<'_>]) -> String {
    let count = entries.len();
    let entry = "{\"ErrorCode\":\"ProvisionedThroughputExceededException\",\"ErrorMessage\":\"Rate \
                 exceeded for shard shardId-000000000000 in stream bench under account 123456789012.\"}";
    format!("{{\"FailedRecordCount\":{count},\"Records\":[{}]}}", vec![entry; count].join(","))
}

fn put(entries: &[Entry<'_>], body_bytes: usize, counts: &Counts) -> String {
    let mut answers = String::with_capacity(entries.len() * 64);
    for entry in entries {
        match aggregate::members(&entry.data) {
            Some(members) => members.for_each(|member| counts.ledger.arrive(number_in(member))),
            None => counts.ledger.arrive(number_in(&entry.data)),
        }
        let bytes = (entry.data.len() + entry.key.len()) as u64;
        counts.units.fetch_add(bytes.div_ceil(UNIT_BYTES), Relaxed);
        let shard = shard_of(entry);
        let comma = if answers.is_empty() { "" } else { "," };
        answers += comma;
        answers += &format!("{{\"SequenceNumber\":\"1\",\"ShardId\":\"shardId-{shard:012}\"}}");
    }
    counts.bytes.fetch_add(body_bytes as u64, Relaxed);
    counts.requests.fetch_add(1, Relaxed);
    format!("{{\"FailedRecordCount\":0,\"Records\":[{answers}]}}")
}

fn shard_of(entry: &Entry<'_>) -> u128 {
    let hash = match &entry.hash {
        Some(hash) => hash.parse().expect("a number of 128 bits"),
        None => u128::from_be_bytes(Md5::digest(entry.key.as_bytes()).into()),
    };
    hash / listing::SHARD_HASHES
}
