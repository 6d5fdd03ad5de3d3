//! Peers behind TLS and proxies: certificates made for the test, a TLS front before any address, a
//! proxy that passes everything on to one address, and an IoT credential provider.

#![allow(dead_code, reason = "each test binary uses its own part of this file")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// Years from when to when a certificate is valid, from New Year to New Year.
pub(crate) type Years = (i32, i32);
/// Valid at any time a test may run.
pub(crate) const ALWAYS: Years = (2020, 2120);

/// Signs certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate, for those who are to trust it.
    pub(crate) pem: String,
}

/// A certificate and its key, in PEM.
pub(crate) struct Issued {
    pub(crate) cert: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = params(&[name], ALWAYS);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// For servers and devices of this name.
    pub(crate) fn issue(&self, name: &str, years: Years) -> Issued {
        let key = KeyPair::generate().unwrap();
        let mut params = params(&[name], years);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let cert = params.signed_by(&key, &self.issuer).unwrap().pem();
        Issued { cert, key: key.serialize_pem() }
    }
}

fn params(names: &[&str], years: Years) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names.clone()).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, names[0].clone());
    params.not_before = date_time_ymd(years.0, 1, 1);
    params.not_after = date_time_ymd(years.1, 1, 1);
    params
}

/// What a server does about the certificates of its clients.
pub(crate) enum Clients<'a> {
    /// It does not ask.
    Anybody,
    /// They must show one signed by this.
    SignedBy(&'a Authority),
}

fn acceptor(own: &Issued, clients: &Clients<'_>) -> TlsAcceptor {
    let crypto = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&crypto))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        Clients::Anybody => builder.with_no_client_auth(),
        Clients::SignedBy(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap()).unwrap();
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), crypto).build();
            builder.with_client_cert_verifier(verifier.unwrap())
        }
    };
    let chain = vec![CertificateDer::from_pem_slice(own.cert.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
    TlsAcceptor::from(Arc::new(builder.with_single_cert(chain, key).unwrap()))
}

/// TLS on the outside, the bytes within to another address; ends when dropped.
pub(crate) struct TlsFront {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    _connections: JoinSet<()>,
}

impl TlsFront {
    /// With this certificate, before this address.
    pub(crate) async fn start(own: &Issued, before: SocketAddr) -> Self {
        let acceptor = acceptor(own, &Clients::Anybody);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut connections = JoinSet::new();
        connections.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((tcp, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                connections.spawn(async move {
                    if let Ok(mut tls) = acceptor.accept(tcp).await {
                        pass_on(&mut tls, before).await;
                    }
                });
            }
        });
        Self { address, _connections: connections }
    }
}

/// Either side may end it as it likes.
async fn pass_on(from: &mut (impl AsyncRead + AsyncWrite + Unpin), to: SocketAddr) {
    if let Ok(mut to) = TcpStream::connect(to).await {
        copy_bidirectional(from, &mut to).await.ok();
    }
}

/// A proxy that leads every name to one address, and keeps the heads of what it was asked.
pub(crate) struct ProxyStub {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    _connections: JoinSet<()>,
}

impl ProxyStub {
    /// Answers `refusal` instead, if there is one.
    pub(crate) async fn start(to: SocketAddr, refusal: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = Arc::clone(&heads);
        let mut connections = JoinSet::new();
        connections.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((tcp, _)) = listener.accept().await {
                connections.spawn(proxied(tcp, to, Arc::clone(&kept), refusal));
            }
        });
        Self { address, heads, _connections: connections }
    }

    /// The head of each connection's first request.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn proxied(
    mut tcp: TcpStream,
    to: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    refusal: Option<&'static str>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = tcp.read_u8().await else { return };
        head.push(byte);
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let is_tunnel = text.starts_with("CONNECT ");
    heads.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    if let Some(refusal) = refusal {
        tcp.write_all(refusal.as_bytes()).await.ok();
        return;
    }
    let Ok(mut onward) = TcpStream::connect(to).await else { return };
    let sent = if is_tunnel {
        tcp.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await
    } else {
        onward.write_all(&head).await
    };
    if sent.is_ok() {
        copy_bidirectional(&mut tcp, &mut onward).await.ok();
    }
}

/// Passes connections on to one address and keeps what their clients said.
pub(crate) struct Tap {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    heard: Arc<Mutex<Vec<u8>>>,
    _connections: JoinSet<()>,
}

impl Tap {
    pub(crate) async fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard: Arc<Mutex<Vec<u8>>> = Arc::default();
        let kept = Arc::clone(&heard);
        let mut connections = JoinSet::new();
        connections.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((tcp, _)) = listener.accept().await {
                connections.spawn(tapped(tcp, to, Arc::clone(&kept)));
            }
        });
        Self { address, heard, _connections: connections }
    }

    /// All that clients said, one connection after the other as it came.
    pub(crate) fn heard(&self) -> String {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&heard).into_owned()
    }
}

async fn tapped(tcp: TcpStream, to: SocketAddr, heard: Arc<Mutex<Vec<u8>>>) {
    let Ok(onward) = TcpStream::connect(to).await else { return };
    let (mut from_client, mut to_client) = tcp.into_split();
    let (mut from_server, mut to_server) = onward.into_split();
    let there = async {
        let mut some = [0; 4096];
        while let Ok(count @ 1..) = from_client.read(&mut some).await {
            let said = &some[..count];
            heard.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(said);
            if to_server.write_all(said).await.is_err() {
                return;
            }
        }
        to_server.shutdown().await.ok();
    };
    let back = async {
        tokio::io::copy(&mut from_server, &mut to_client).await.ok();
    };
    tokio::join!(there, back);
}

/// What the IoT credential provider answers.
#[derive(Clone, Debug)]
pub(crate) enum IotAnswer {
    /// As it stands.
    Raw(u16, String),
    /// Credentials that end then, in milliseconds since 1970.
    Credentials { access_key_id: String, ends: String },
    /// Nothing, for ever.
    Stall,
}

/// A credential provider behind mutual TLS, answering by a script.
pub(crate) struct IotStub {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    _connections: JoinSet<()>,
}

type IotScript = Arc<Mutex<dyn FnMut(usize) -> IotAnswer + Send>>;

impl IotStub {
    /// With this certificate, for devices of this authority; `script` is told how often it was
    /// asked before.
    pub(crate) async fn start(
        own: &Issued,
        devices: &Authority,
        script: impl FnMut(usize) -> IotAnswer + Send + 'static,
    ) -> Self {
        let acceptor = acceptor(own, &Clients::SignedBy(devices));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (kept, script): (_, IotScript) = (Arc::clone(&asked), Arc::new(Mutex::new(script)));
        let mut connections = JoinSet::new();
        connections.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((tcp, _)) = listener.accept().await {
                let (acceptor, kept, script) =
                    (acceptor.clone(), Arc::clone(&kept), Arc::clone(&script));
                connections.spawn(async move {
                    if let Ok(tls) = acceptor.accept(tcp).await {
                        serve_iot(tls, kept, script).await;
                    }
                });
            }
        });
        Self { address, asked, _connections: connections }
    }

    /// The heads of the requests so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn serve_iot(
    mut tls: impl AsyncRead + AsyncWrite + Unpin,
    asked: Arc<Mutex<Vec<String>>>,
    script: IotScript,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = tls.read_u8().await else { return };
        head.push(byte);
    }
    let before = {
        let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.push(String::from_utf8_lossy(&head).into_owned());
        asked.len() - 1
    };
    let answer = (script.lock().unwrap_or_else(PoisonError::into_inner))(before);
    let (status, body) = match answer {
        IotAnswer::Raw(status, body) => (status, body),
        IotAnswer::Credentials { access_key_id, ends } => {
            let credentials = serde_json::json!({ "credentials": {
                "accessKeyId": access_key_id, "secretAccessKey": "an-example-and-no-secret",
                "sessionToken": "an-example-token", "expiration": ends,
            }});
            (200, credentials.to_string())
        }
        IotAnswer::Stall => std::future::pending().await,
    };
    let length = body.len();
    let text = format!(
        "HTTP/1.1 {status} Whatever\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    tls.write_all(text.as_bytes()).await.ok();
    tls.shutdown().await.ok();
}
