//! What a connection may do and for how long, over real sockets and over pipes with paused time.

mod bounds;
mod listeners;
mod tls;

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::BodyExt as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::base::shutdown::{self, Stop};

/// Answers `/refuse` without reading, `/slow` after a minute, anything else with the size of its body.
#[derive(Default)]
struct Echo {
    open: AtomicI64,
    /// Of the last request.
    secured: Mutex<Option<Arc<Secured>>>,
    process: Mutex<Option<Process>>,
    turned_away: Mutex<Vec<TurnedAway>>,
    /// Whether senders are proxies.
    are_proxies: AtomicBool,
}

impl Answers for Echo {
    async fn answer(self: Arc<Self>, request: Request<Arriving>, peer: Peer) -> Answer {
        *self.secured.lock().unwrap() = peer.secured;
        *self.process.lock().unwrap() = peer.process;
        if request.uri().path() == "/refuse" {
            let mut answer = Response::new(Full::new(Bytes::from_static(b"refused")));
            answer.extensions_mut().insert(LeftUnread);
            return answer;
        }
        if request.uri().path() == "/slow" {
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        let body = request.into_body().collect().await;
        let words = body.map_or("cut".into(), |body| body.to_bytes().len().to_string());
        Response::new(Full::new(words.into()))
    }

    fn speaks_for_many(&self, sender: IpAddr) -> bool {
        sender.is_loopback() && self.are_proxies.load(Ordering::Relaxed)
    }

    fn count_connection(&self, change: i64) {
        self.open.fetch_add(change, Ordering::Relaxed);
    }

    fn count_turned_away(&self, why: TurnedAway) {
        self.turned_away.lock().unwrap().push(why);
    }
}

fn limits() -> Limits {
    Limits {
        max_connections: 8,
        max_per_sender: 8,
        head_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(120),
        close_within: Duration::from_secs(90),
    }
}

/// Everything the other end says until it closes.
async fn read_all(mut stream: impl AsyncRead + Unpin) -> String {
    let mut text = Vec::new();
    // A reset at the end is an end too; what came before counts.
    stream.read_to_end(&mut text).await.ok();
    String::from_utf8(text).unwrap()
}

/// A server on these listeners, running until the returned side asks it to stop.
fn start(
    listeners: Vec<Listener>,
    limits: Limits,
) -> (Stop, Arc<Echo>, tokio::task::JoinHandle<Result<(), String>>) {
    let (stop, stopping) = shutdown::channel();
    let echo = Arc::new(Echo::default());
    #[expect(clippy::disallowed_methods, reason = "the test awaits it")]
    let served = tokio::spawn(serve(listeners, limits, echo.clone(), stopping));
    (stop, echo, served)
}

async fn tcp() -> Listener {
    bound(&Address::Tcp("127.0.0.1:0".parse().unwrap())).await
}

async fn bound(address: &Address) -> Listener {
    bind(address).await.unwrap().remove(0)
}
