//! What this machine can do at best, measured in the same run.

use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::latencies::Latencies;
use super::ledger::Ledger;
use super::load::Load;
use super::request::{Door, Form};

/// Where they are measured.
pub(crate) struct Limits {
    folder: PathBuf,
}

impl Limits {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Records a second that a server takes which reads them and forgets them.
    pub(crate) fn bare_hyper(&self, load: Load) -> Option<f64> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .ok()?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).ok()?;
        let address: SocketAddr = listener.local_addr().ok()?;
        runtime.spawn(serve(listener));
        let path = "/v1/streams/bench".to_owned();
        let door = Door { address, path, form: Form::Lines, keys: Arc::default() };
        let sent = load.run(&[door], &Arc::new(Ledger::new()));
        Some(sent.records as f64 / sent.took.as_secs_f64())
    }

    /// MB a second of `write` and `fdatasync`, in pieces of 64 records and of a batch of 500, over
    /// blocks that were written before.
    pub(crate) fn raw_disk(&self, time: Duration) -> [f64; 2] {
        [64, 500].map(|records| self.write(records * 1_000, time).0)
    }

    /// The same for pieces of so many bytes, and how long each took.
    pub(crate) fn write(&self, piece: usize, time: Duration) -> (f64, Latencies) {
        const FILE_BYTES: usize = 64 << 20;
        let path = self.folder.join("raw");
        std::fs::write(&path, vec![b'x'; FILE_BYTES]).expect("room for 64 MiB");
        let mut file = File::options().write(true).open(&path).expect("a scratch file");
        file.sync_all().expect("it is written");
        let bytes = vec![b'y'; piece];
        let mut latencies = Latencies::new();
        let (begun, mut written, mut place) = (Instant::now(), 0, 0);
        while begun.elapsed() < time {
            if place + piece > FILE_BYTES {
                use std::io::{Seek as _, SeekFrom};
                file.seek(SeekFrom::Start(0)).expect("a file");
                place = 0;
            }
            let asked = Instant::now();
            file.write_all(&bytes).expect("room");
            file.sync_data().expect("a disk that syncs");
            latencies.add(asked.elapsed());
            written += piece;
            place += piece;
        }
        let rate = written as f64 / 1e6 / begun.elapsed().as_secs_f64();
        std::fs::remove_file(&path).unwrap_or_default();
        (rate, latencies)
    }
}

async fn serve(listener: TcpListener) {
    while let Ok((tcp, _)) = listener.accept().await {
        tcp.set_nodelay(true).expect("it is TCP");
        tokio::spawn(
            hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(tcp), service_fn(answer)),
        );
    }
}

async fn answer(request: Request<Incoming>) -> hyper::Result<Response<Full<Bytes>>> {
    request.into_body().collect().await?;
    let mut answer = Response::new(Full::new(Bytes::new()));
    *answer.status_mut() = StatusCode::ACCEPTED;
    Ok(answer)
}
