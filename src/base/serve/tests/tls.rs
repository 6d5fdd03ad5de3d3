//! TLS: who can shake hands, what is agreed on, and what happens when the files change.

use std::path::PathBuf;

use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::*;
use crate::base::disk::RealDisk;
use crate::base::papers::Papers;
use crate::base::scratch::Scratch;

/// The papers of a server as files.
struct Filed {
    scratch: Scratch,
    settings: TlsSettings,
}

impl Filed {
    fn new(papers: &Papers) -> Self {
        let scratch = Scratch::new();
        let settings = TlsSettings {
            cert: scratch.join("cert"),
            key: scratch.join("key"),
            client_ca: None,
            client_cert_optional: false,
            tls12: true,
        };
        let filed = Self { scratch, settings };
        filed.put(&papers.cert, &papers.key);
        filed
    }

    fn put(&self, cert: &str, key: &str) {
        std::fs::write(&self.settings.cert, cert).unwrap();
        std::fs::write(&self.settings.key, key).unwrap();
    }

    fn asking_clients(mut self, papers: &Papers, optional: bool) -> Self {
        let path: PathBuf = self.scratch.join("ca");
        std::fs::write(&path, &papers.ca).unwrap();
        self.settings.client_ca = Some(path);
        self.settings.client_cert_optional = optional;
        self
    }

    fn open(&self) -> Arc<Tls> {
        Tls::open(Arc::new(RealDisk), "lan", self.settings.clone()).unwrap()
    }

    async fn listen(&self) -> Listener {
        tcp().await.with_tls(Some(self.open()))
    }
}

/// Somebody who trusts the authority of these papers.
struct Client<'a> {
    papers: &'a Papers,
    shows_paper: bool,
    versions: Vec<&'static rustls::SupportedProtocolVersion>,
    alpn: Vec<&'static str>,
}

impl<'a> Client<'a> {
    fn trusting(papers: &'a Papers) -> Self {
        Self { papers, shows_paper: false, versions: vec![&TLS13, &TLS12], alpn: vec![] }
    }

    async fn connect(&self, to: &Listener) -> std::io::Result<TlsStream<TcpStream>> {
        self.reach(to.tcp_address().unwrap()).await
    }

    async fn reach(&self, to: SocketAddr) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        let pem = |text: &str| CertificateDer::from_pem_slice(text.as_bytes()).unwrap();
        roots.add(pem(&self.papers.ca)).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&self.versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = if self.shows_paper {
            let key = PrivateKeyDer::from_pem_slice(self.papers.client_key.as_bytes()).unwrap();
            builder.with_client_auth_cert(vec![pem(&self.papers.client_cert)], key).unwrap()
        } else {
            builder.with_no_client_auth()
        };
        config.alpn_protocols = self.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(to).await?;
        let name = "localhost".try_into().unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }
}

const ASK: &str = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\nconnection: close\r\n\r\nabc";

/// What is heard after a question; nothing if the other end closed.
async fn asked(mut stream: TlsStream<TcpStream>) -> String {
    if stream.write_all(ASK.as_bytes()).await.is_err() {
        return String::new();
    }
    read_all(&mut stream).await
}

#[tokio::test]
async fn both_versions_are_spoken_with_keys_of_every_kind() {
    let rsa = include_str!("rsa.pem");
    let all = [
        Papers::fresh(),
        Papers::of(&rcgen::PKCS_ECDSA_P384_SHA384),
        Papers::of(&rcgen::PKCS_ED25519),
        Papers::with_key(rsa),
    ];
    for papers in &all {
        let listener = Filed::new(papers).listen().await;
        let to = listener.tcp_address().unwrap();
        let (_stop, _, _served) = start(vec![listener], limits());
        for version in [&TLS12, &TLS13] {
            let client = Client { versions: vec![version], ..Client::trusting(papers) };

            let heard = asked(client.reach(to).await.unwrap()).await;

            assert!(heard.starts_with("HTTP/1.1 200 ") && heard.ends_with("\r\n\r\n3"), "{heard}");
        }
    }
}

#[tokio::test]
async fn the_older_version_can_be_refused() {
    let papers = Papers::fresh();
    let mut filed = Filed::new(&papers);
    filed.settings.tls12 = false;
    let listener = filed.listen().await;
    let to = listener.tcp_address().unwrap();
    let (_stop, echo, _served) = start(vec![listener], limits());

    let old = Client { versions: vec![&TLS12], ..Client::trusting(&papers) };
    assert!(old.reach(to).await.is_err());
    assert!(Client::trusting(&papers).reach(to).await.is_ok());
    assert_eq!(echo.turned_away.lock().unwrap().as_slice(), [TurnedAway::Handshake]);
}

#[tokio::test]
async fn http2_and_http1_are_agreed_on_and_spoken() {
    let papers = Papers::fresh();
    let listener = Filed::new(&papers).listen().await;
    let to = listener.tcp_address().unwrap();
    let (_stop, _, _served) = start(vec![listener], limits());
    let body = || Full::new(Bytes::from_static(b"abcd"));

    let client = Client { alpn: vec!["h2", "http/1.1"], ..Client::trusting(&papers) };
    let stream = client.reach(to).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let exchange = async move {
        let request = Request::post("https://localhost/").body(body()).unwrap();
        sender.send_request(request).await.unwrap().into_body().collect().await.unwrap().to_bytes()
    };
    assert_eq!(tokio::join!(exchange, connection).0, "4");

    let client = Client { alpn: vec!["http/1.1"], ..Client::trusting(&papers) };
    let stream = client.reach(to).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"http/1.1".as_slice()));
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    let exchange = async move {
        let request = Request::post("/").header("host", "localhost").body(body()).unwrap();
        sender.send_request(request).await.unwrap().into_body().collect().await.unwrap().to_bytes()
    };
    assert_eq!(tokio::join!(exchange, connection).0, "4");
}

#[tokio::test]
async fn clear_text_on_a_tls_socket_gets_nothing_and_harms_nobody() {
    let papers = Papers::fresh();
    let listener = Filed::new(&papers).listen().await;
    let to = listener.tcp_address().unwrap();
    let (_stop, echo, _served) = start(vec![listener], limits());

    let mut clear = TcpStream::connect(to).await.unwrap();
    clear.write_all(ASK.as_bytes()).await.unwrap();
    let mut heard = Vec::new();
    clear.read_to_end(&mut heard).await.ok();

    assert!(!heard.starts_with(b"HTTP"), "{heard:?}");
    assert_eq!(echo.turned_away.lock().unwrap().as_slice(), [TurnedAway::Handshake]);
    assert!(asked(Client::trusting(&papers).reach(to).await.unwrap()).await.ends_with("3"));
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_does_not_end_is_cut_off() {
    let papers = Papers::fresh();
    let listener = Filed::new(&papers).listen().await;
    let to = listener.tcp_address().unwrap();
    let (_stop, _, _served) = start(vec![listener], limits());
    let began = tokio::time::Instant::now();

    let mut silent = TcpStream::connect(to).await.unwrap();
    let mut heard = Vec::new();
    silent.read_to_end(&mut heard).await.unwrap();

    assert_eq!(began.elapsed().as_secs(), 10);
}

#[tokio::test]
async fn clients_show_a_certificate_where_one_is_asked_for() {
    let (papers, strangers) = (Papers::fresh(), Papers::fresh());
    for (optional, without) in [(false, ""), (true, "HTTP/1.1 200 ")] {
        let listener = Filed::new(&papers).asking_clients(&papers, optional).listen().await;
        let to = listener.tcp_address().unwrap();
        let (_stop, echo, _served) = start(vec![listener], limits());

        let known = Client { shows_paper: true, ..Client::trusting(&papers) };
        assert!(asked(known.reach(to).await.unwrap()).await.starts_with("HTTP/1.1 200 "));
        let seen = echo.secured.lock().unwrap().clone().unwrap();
        let client = CertificateDer::from_pem_slice(papers.client_cert.as_bytes()).unwrap();
        assert_eq!(seen.client_chain, [Bytes::copy_from_slice(&client)]);
        assert_eq!((seen.version, seen.server_name.as_deref()), ("1.3", Some("localhost")));

        // On TLS 1.3 a client learns with its first read that it was refused.
        let heard = asked(Client::trusting(&papers).reach(to).await.unwrap()).await;
        assert!(heard.starts_with(without) && heard.is_empty() == without.is_empty(), "{heard}");

        let mixed = Papers {
            ca: papers.ca.clone(),
            cert: String::new(),
            key: String::new(),
            client_cert: strangers.client_cert.clone(),
            client_key: strangers.client_key.clone(),
        };
        let stranger = Client { shows_paper: true, ..Client::trusting(&mixed) };
        assert_eq!(asked(stranger.reach(to).await.unwrap()).await, "");
    }
}

#[tokio::test]
async fn a_new_certificate_is_shown_and_no_connection_is_dropped() {
    let (old, new) = (Papers::fresh(), Papers::fresh());
    let filed = Filed::new(&old);
    let listener = filed.listen().await;
    let to = listener.tcp_address().unwrap();
    let (_stop, _, _served) = start(vec![listener], limits());
    let before = Client::trusting(&old).reach(to).await.unwrap();

    filed.put(&new.cert, &new.key);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(1)).await;
    tokio::time::resume();

    assert!(asked(Client::trusting(&new).reach(to).await.unwrap()).await.ends_with("3"));
    assert!(Client::trusting(&old).reach(to).await.is_err());
    assert!(asked(before).await.ends_with("3"));
}

#[tokio::test]
async fn files_at_fault_leave_the_older_certificate_in_force() {
    let (old, new) = (Papers::fresh(), Papers::fresh());
    let filed = Filed::new(&old);
    let tls = filed.open();
    let listener = tcp().await.with_tls(Some(tls.clone()));
    let to = listener.tcp_address().unwrap();
    let (_stop, _, _served) = start(vec![listener], limits());
    let until = tls.valid_until();

    for (cert, key) in [("", old.key.as_str()), (&new.cert, &old.key), ("x", "y"), (&new.cert, "")]
    {
        filed.put(cert, key);
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(1)).await;
        tokio::time::resume();

        assert!(Client::trusting(&old).reach(to).await.is_ok(), "{cert:.30} {key:.30}");
    }
    std::fs::remove_file(&filed.settings.key).unwrap();
    assert!(Client::trusting(&old).reach(to).await.is_ok());
    assert_eq!(tls.valid_until(), until);
}

#[test]
fn what_is_wrong_with_the_files_is_told_apart() {
    let (papers, other) = (Papers::fresh(), Papers::fresh());
    let check = |cert: &str, key: &str, part: TlsPart, why: &str| {
        let filed = Filed::new(&papers);
        filed.put(cert, key);
        let fault = inspect(&RealDisk, &filed.settings).unwrap_err();
        assert_eq!((fault.part, fault.why.as_str()), (part, why));
    };
    check(&papers.cert, &other.key, TlsPart::Key, "is not the key of the certificate");
    check("", &papers.key, TlsPart::Cert, "holds no certificate in PEM");
    check(&papers.cert, &papers.cert, TlsPart::Key, "holds no private key in PEM");
    check(&papers.cert, "", TlsPart::Key, "holds no private key in PEM");

    let mut filed = Filed::new(&papers);
    filed.settings.client_ca = Some(filed.scratch.join("none"));
    let fault = inspect(&RealDisk, &filed.settings).unwrap_err();
    assert_eq!((fault.part, fault.why.as_str()), (TlsPart::ClientCa, "does not exist"));
}

#[tokio::test]
async fn the_connection_is_known_to_whoever_answers() {
    let papers = Papers::fresh();
    let listener = Filed::new(&papers).listen().await;
    let client = Client { alpn: vec!["http/1.1"], ..Client::trusting(&papers) };
    let stream = client.connect(&listener);
    let accepting = async {
        let (stream, peer) = listener.accept().await.unwrap();
        let listener::Stream::Tcp(stream) = stream else { panic!("it is TCP") };
        (listener.tls().unwrap().accept(stream).await.unwrap().1, peer)
    };
    let (ours, (secured, peer)) = tokio::join!(stream, accepting);

    assert_eq!(peer.remote, Some(ours.unwrap().get_ref().0.local_addr().unwrap()));
    assert_eq!(secured.alpn.as_deref(), Some("http/1.1"));
    assert!(secured.client_chain.is_empty());
}
