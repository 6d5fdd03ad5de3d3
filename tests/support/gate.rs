//! An address that leads to a peer, or where nobody listens: for peers that cannot vanish by themselves.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::peers::socket_at;

/// Shut when made: the address is kept, connections are refused.
pub struct Gate {
    address: SocketAddr,
    socket: Option<TcpSocket>,
    /// Of the connections, once it is open.
    runtime: Option<Runtime>,
}

impl Gate {
    pub fn shut() -> Self {
        let socket = socket_at(SocketAddr::from(([127, 0, 0, 1], 0)));
        let address = socket.local_addr().unwrap();
        Self { address, socket: Some(socket), runtime: None }
    }

    /// For `endpoint_url`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Leads to this address from now on.
    #[track_caller]
    pub fn open(&mut self, to: SocketAddr) {
        let socket = self.socket.take().expect("a gate opens once");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let entered = runtime.enter();
        let listener = socket.listen(128).unwrap();
        runtime.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut from, _)) = listener.accept().await {
                connections.spawn(async move {
                    if let Ok(mut to) = TcpStream::connect(to).await {
                        // Either side may end it as it likes.
                        copy_bidirectional(&mut from, &mut to).await.ok();
                    }
                });
            }
        });
        drop(entered);
        self.runtime = Some(runtime);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
