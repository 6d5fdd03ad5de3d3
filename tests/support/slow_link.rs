//! A link between an agent and its upstream that is slow, or carries only so much at a stretch.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

/// What one turn of the link carries.
const TURN_BYTES: usize = 16 << 10;

/// One link for all connections; it is gone when dropped.
#[derive(Debug)]
pub(crate) struct SlowLink {
    address: SocketAddr,
    link: Arc<Link>,
    /// Ends with it.
    _accepting: JoinSet<()>,
}

#[derive(Debug)]
struct Link {
    to: SocketAddr,
    /// How long a turn takes; one connection at a time has it.
    turn: Duration,
    turns: Mutex<()>,
    /// So much is carried of each connection, and nothing behind it.
    stretch: AtomicU64,
    carried: AtomicU64,
}

impl SlowLink {
    /// A link to this address, that carries 16 KiB in each turn.
    pub(crate) async fn start(to: SocketAddr, turn: Duration) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        // Else megabytes lie in the host's buffers, and nobody sees that the link is slow.
        socket.set_recv_buffer_size(16 << 10).unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = socket.local_addr().unwrap();
        let listener = socket.listen(64).unwrap();
        let (turns, carried) = (Mutex::default(), AtomicU64::new(0));
        let link = Arc::new(Link { to, turn, turns, stretch: u64::MAX.into(), carried });
        let of_all = Arc::clone(&link);
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((from, _)) = listener.accept().await {
                connections.spawn(of_all.clone().carry(from));
            }
        });
        Self { address, link, _accepting: accepting }
    }

    /// For `endpoint_url`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on it carries so many bytes of each connection there, and then no more.
    pub(crate) fn carry_at_a_stretch(&self, bytes: u64) {
        self.link.stretch.store(bytes, Ordering::SeqCst);
    }

    /// What it carried there in all.
    pub(crate) fn carried(&self) -> u64 {
        self.link.carried.load(Ordering::SeqCst)
    }
}

impl Link {
    async fn carry(self: Arc<Self>, from: TcpStream) {
        let Ok(to) = TcpStream::connect(self.to).await else { return };
        let (mut from_there, mut to_there) = to.into_split();
        let (mut from_here, mut to_here) = from.into_split();
        let mut back = JoinSet::new();
        back.spawn(async move {
            tokio::io::copy(&mut from_there, &mut to_here).await.ok();
        });
        let mut buffer = vec![0; TURN_BYTES];
        let mut carried = 0;
        while carried < self.stretch.load(Ordering::SeqCst) {
            let Ok(bytes @ 1..) = from_here.read(&mut buffer).await else { break };
            {
                let _turn = self.turns.lock().await;
                tokio::time::sleep(self.turn).await;
            }
            carried += bytes as u64;
            self.carried.fetch_add(bytes as u64, Ordering::SeqCst);
            if to_there.write_all(&buffer[..bytes]).await.is_err() {
                break;
            }
        }
        if carried >= self.stretch.load(Ordering::SeqCst) {
            // Stuck, and silent about it.
            std::future::pending::<()>().await;
        }
    }
}
