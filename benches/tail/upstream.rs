//! A Kinesis that takes everything as fast as it can, over TLS or without, and counts.

use std::convert::Infallible;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

use super::listing;
use super::tls_peer::{ALWAYS, Authority};

/// The running upstream; its threads end when it is dropped.
pub(crate) struct Upstream {
    address: SocketAddr,
    is_secure: bool,
    seen: Arc<Seen>,
    _runtime: Runtime,
}

#[derive(Default)]
struct Seen {
    entries: AtomicU64,
    bytes: AtomicU64,
    requests: AtomicU64,
    knows_shards: bool,
}

#[derive(Deserialize)]
struct PutRecords<'a> {
    #[serde(rename = "Records", borrow)]
    records: Vec<Entry<'a>>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(rename = "ExplicitHashKey", borrow)]
    hash: Option<&'a str>,
}

impl Upstream {
    /// Starts it; `ca` is written where its authority's certificate is to be found. One that does
    /// not tell of its shards gets no aggregates.
    pub(crate) fn start(ca: Option<&Path>, knows_shards: bool) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("threads for the upstream");
        let seen = Arc::new(Seen { knows_shards, ..Seen::default() });
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let acceptor = ca.map(acceptor);
        runtime.spawn(accept(listener, acceptor, Arc::clone(&seen)));
        Self { address, is_secure: ca.is_some(), seen, _runtime: runtime }
    }

    /// For `endpoint_url`.
    pub(crate) fn url(&self) -> String {
        let port = self.address.port();
        if self.is_secure {
            format!("https://localhost:{port}")
        } else {
            format!("http://127.0.0.1:{port}")
        }
    }

    /// Entries, bytes of bodies, requests.
    pub(crate) fn seen(&self) -> [u64; 3] {
        [&self.seen.entries, &self.seen.bytes, &self.seen.requests]
            .map(|number| number.load(Ordering::Relaxed))
    }
}

fn acceptor(ca: &Path) -> TlsAcceptor {
    let authority = Authority::new("bench");
    fs::write(ca, &authority.pem).expect("a scratch file");
    let own = authority.issue("localhost", ALWAYS);
    let crypto = Arc::new(rustls::crypto::ring::default_provider());
    let chain = vec![CertificateDer::from_pem_slice(own.cert.as_bytes()).expect("our own")];
    let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).expect("our own");
    let config = ServerConfig::builder_with_provider(crypto)
        .with_safe_default_protocol_versions()
        .expect("ring has them")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("our own");
    TlsAcceptor::from(Arc::new(config))
}

async fn accept(listener: TcpListener, acceptor: Option<TlsAcceptor>, seen: Arc<Seen>) {
    while let Ok((tcp, _)) = listener.accept().await {
        let (acceptor, seen) = (acceptor.clone(), Arc::clone(&seen));
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, Arc::clone(&seen)));
            let http = hyper::server::conn::http1::Builder::new();
            // A connection that weir closes is at its end.
            match acceptor {
                None => drop(http.serve_connection(TokioIo::new(tcp), service).await),
                Some(acceptor) => {
                    if let Ok(tls) = acceptor.accept(tcp).await {
                        drop(http.serve_connection(TokioIo::new(tls), service).await);
                    }
                }
            }
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    seen: Arc<Seen>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let target = request.headers().get("x-amz-target").and_then(|value| value.to_str().ok());
    let action = target.and_then(|target| target.rsplit('.').next()).unwrap_or("").to_owned();
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let (status, body) = match action.as_str() {
        "PutRecords" => (200, put(&body, &seen)),
        "ListShards" if seen.knows_shards => (200, listing::shards().to_string()),
        "DescribeStreamSummary" if seen.knows_shards => {
            (200, listing::summary("access").to_string())
        }
        _ => (400, json!({"__type": "AccessDeniedException", "message": "no"}).to_string()),
    };
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
    answer.headers_mut().insert(
        "content-type",
        hyper::header::HeaderValue::from_static("application/x-amz-json-1.1"),
    );
    Ok(answer)
}

fn put(body: &[u8], seen: &Seen) -> String {
    let entries = serde_json::from_slice::<PutRecords<'_>>(body).map(|put| put.records);
    let entries = entries.unwrap_or_default();
    seen.entries.fetch_add(entries.len() as u64, Ordering::Relaxed);
    seen.bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
    seen.requests.fetch_add(1, Ordering::Relaxed);
    let one = |entry: &Entry<'_>| {
        let hash: u128 = entry.hash.and_then(|hash| hash.parse().ok()).unwrap_or_default();
        let shard = hash / listing::SHARD_HASHES;
        format!("{{\"SequenceNumber\":\"1\",\"ShardId\":\"shardId-{shard:012}\"}}")
    };
    let all = entries.iter().map(one).collect::<Vec<_>>().join(",");
    format!("{{\"FailedRecordCount\":0,\"Records\":[{all}]}}")
}
