//! A connection to a service: TCP, a proxy in between where one is set, TLS.

use std::error::Error;
use std::fmt;
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper::header::HeaderValue;
use hyper::http::uri::Scheme;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tower_service::Service;

use super::flow::{Counted, Flow};

/// Longest head of a proxy's answer.
const PROXY_HEAD_BYTES_MAX: usize = 8 << 10;
/// After so long without a word the other end is asked whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error("no connection within {0:?}")]
    Late(Duration),
    #[error("no connection")]
    Tcp(#[source] Box<dyn Error + Send + Sync>),
    #[error("no way through the proxy {proxy}: {why}")]
    Proxy { proxy: String, why: String },
    #[error("the certificate is refused: {0}")]
    Certificate(rustls::CertificateError),
    #[error("no TLS: {0}")]
    Tls(io::Error),
}

/// Which addresses are reached through which proxy.
#[derive(Clone, Default)]
pub(crate) struct Detour(Option<Arc<Matcher>>);

impl Detour {
    /// As `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` say.
    pub(super) fn from_environment() -> Self {
        Self(Some(Arc::new(Matcher::from_env())))
    }

    /// Everything through one proxy.
    pub(super) fn through(url: &str) -> Result<Self, String> {
        let uri: Option<Uri> = url.parse().ok();
        let is_http = |uri: &Uri| matches!(uri.scheme_str(), Some("http" | "https"));
        if !uri.as_ref().is_some_and(|uri| is_http(uri) && uri.host().is_some()) {
            // The value may hold a password, so it is not repeated.
            return Err("`proxy` must be an address like \"http://proxy:3128\"; nothing was \
                        connected"
                .into());
        }
        Ok(Self(Some(Arc::new(Matcher::builder().all(url).build()))))
    }

    /// The proxy on the way there. This host and the services at link-local addresses, which hand
    /// out credentials to this very host, are never reached through one.
    fn to(&self, uri: &Uri) -> Option<Intercept> {
        let host = uri.host()?.trim_matches(['[', ']']);
        let is_near = match host.parse::<IpAddr>() {
            Ok(IpAddr::V4(ip)) => ip.is_loopback() || ip.is_link_local(),
            Ok(IpAddr::V6(ip)) => ip.is_loopback() || ip.is_unique_local(),
            Err(_) => host.eq_ignore_ascii_case("localhost"),
        };
        if is_near { None } else { self.0.as_ref()?.intercept(uri) }
    }

    /// What the proxy on the way there wants to see.
    pub(super) fn word_for(&self, uri: &Uri) -> Option<HeaderValue> {
        self.to(uri)?.basic_auth().cloned()
    }
}

/// Makes connections for the pool.
#[derive(Clone)]
pub(super) struct Dialer {
    tcp: HttpConnector,
    tls: Arc<ClientConfig>,
    /// A proxy is no service: it never sees the device certificate.
    tls_to_proxy: Arc<ClientConfig>,
    detour: Detour,
    limit: Duration,
}

impl Dialer {
    pub(super) fn new(
        tls: Arc<ClientConfig>,
        tls_to_proxy: Arc<ClientConfig>,
        detour: Detour,
        limit: Duration,
    ) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEPALIVE));
        Self { tcp, tls, tls_to_proxy, detour, limit }
    }

    async fn dial(mut self, to: Uri) -> Result<Line, DialError> {
        let is_tls = to.scheme() == Some(&Scheme::HTTPS);
        let Some(proxy) = self.detour.to(&to) else {
            let (io, flow) = self.reach(&to).await?;
            let io = if is_tls { secured(&self.tls, &to, io).await? } else { io };
            return Ok(Line::new(io, flow, false));
        };
        let (mut io, flow) = self.reach(proxy.uri()).await?;
        if proxy.uri().scheme() == Some(&Scheme::HTTPS) {
            io = secured(&self.tls_to_proxy, proxy.uri(), io).await?;
        }
        if is_tls {
            tunnel(&mut io, &to, &proxy).await?;
            io = secured(&self.tls, &to, io).await?;
        }
        Ok(Line::new(io, flow, !is_tls))
    }

    async fn reach(&mut self, to: &Uri) -> Result<(Io, Flow), DialError> {
        let tcp = self.tcp.call(to.clone()).await.map_err(|error| DialError::Tcp(error.into()))?;
        let counted = Counted::new(tcp.into_inner());
        let flow = counted.flow();
        Ok((Box::new(counted), flow))
    }
}

async fn secured(tls: &Arc<ClientConfig>, to: &Uri, io: Io) -> Result<Io, DialError> {
    let host = to.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let name =
        ServerName::try_from(host).map_err(|error| DialError::Tls(io::Error::other(error)))?;
    match TlsConnector::from(Arc::clone(tls)).connect(name, io).await {
        Ok(io) => Ok(Box::new(io)),
        Err(error) => Err(match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(rustls::Error::InvalidCertificate(why)) => DialError::Certificate(why.clone()),
            _ => DialError::Tls(error),
        }),
    }
}

/// Asks the proxy to pass everything that follows on to the service.
async fn tunnel(io: &mut Io, to: &Uri, proxy: &Intercept) -> Result<(), DialError> {
    let place = format!("{}:{}", to.host().unwrap_or_default(), to.port_u16().unwrap_or(443));
    let word = proxy.basic_auth().and_then(|word| word.to_str().ok());
    let word = word.map(|word| format!("Proxy-Authorization: {word}\r\n")).unwrap_or_default();
    let ask = format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n{word}\r\n");
    let answer = match io.write_all(ask.as_bytes()).await {
        Ok(()) => proxy_head(io).await,
        Err(error) => Err(error),
    };
    let why = match answer {
        Ok(head) => match head.split_ascii_whitespace().nth(1) {
            Some(status) if status.starts_with('2') => return Ok(()),
            _ => format!("it answered `{}`", head.lines().next().unwrap_or_default()),
        },
        Err(error) => error.to_string(),
    };
    Err(DialError::Proxy { proxy: proxy.uri().to_string(), why })
}

/// The head of the proxy's answer, and not one byte more: what follows is the service's.
async fn proxy_head(io: &mut Io) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= PROXY_HEAD_BYTES_MAX {
            return Err(io::Error::other("the head of its answer has no end"));
        }
        head.push(io.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

impl Service<Uri> for Dialer {
    type Response = Line;
    type Error = DialError;
    type Future = Pin<Box<dyn Future<Output = Result<Line, DialError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let (dialer, limit) = (self.clone(), self.limit);
        Box::pin(async move {
            timeout(limit, dialer.dial(to)).await.unwrap_or(Err(DialError::Late(limit)))
        })
    }
}

/// Bytes there and back.
type Io = Box<dyn Duplex>;

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A connection as the pool wants it.
pub(super) struct Line {
    io: TokioIo<Io>,
    flow: Flow,
    is_proxied: bool,
}

impl Line {
    fn new(io: Io, flow: Flow, is_proxied: bool) -> Self {
        // What was said until now was about the connection.
        flow.begin_request();
        Self { io: TokioIo::new(io), flow, is_proxied }
    }
}

impl Connection for Line {
    fn connected(&self) -> Connected {
        Connected::new().proxy(self.is_proxied).extra(self.flow.clone())
    }
}

impl Read for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl Write for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    /// Without it a request's body would be copied behind its head, whole.
    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl fmt::Debug for Detour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Detour").finish_non_exhaustive()
    }
}
