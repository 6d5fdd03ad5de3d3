//! One HTTP request to an agent on this host, for the command line.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{CONNECTION, HOST, HeaderValue};
use hyper::{HeaderMap, Method, Request};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// A request and the bounds on its answer.
#[derive(Clone, Debug)]
pub struct Call {
    /// `GET`, `POST`.
    pub method: Method,
    /// Path and query: `/v1/streams/access`.
    pub path: String,
    /// Further headers; host and length are set by themselves.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// Longest time for the whole exchange.
    pub timeout: Duration,
    /// Most bytes of the answer's body.
    pub answer_bytes_max: usize,
}

impl Call {
    /// A call without further headers: 30 s, 16 MiB of answer.
    pub fn new(method: Method, path: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self {
            method,
            path: path.into(),
            headers: HeaderMap::new(),
            body: body.into(),
            timeout: Duration::from_secs(30),
            answer_bytes_max: 16 << 20,
        }
    }
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Reply {
    /// `202`.
    pub status: u16,
    /// All headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Reply {
    /// A header's value, if it is there and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Why there is no reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    /// The target or the request is not well formed; nothing was sent.
    Malformed(String),
    /// Nobody answers there; nothing was sent.
    Away(String),
    /// The exchange broke off; the request may have been carried out.
    Broken(String),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(words) | Self::Away(words) | Self::Broken(words) => f.write_str(words),
        }
    }
}

impl std::error::Error for CallError {}

/// Sends one request to `http://host:port` or `unix:/path` and waits for the whole reply.
///
/// # Errors
/// [`CallError`], in words.
pub async fn call(target: &str, call: Call) -> Result<Reply, CallError> {
    let limit = call.timeout;
    let exchange = async {
        if let Some(path) = target.strip_prefix("unix:") {
            let stream = UnixStream::connect(path).await.map_err(|error| away(target, &error))?;
            return exchange(stream, "localhost", target, call).await;
        }
        let authority = authority(target)?;
        let stream = TcpStream::connect(authority).await.map_err(|error| away(target, &error))?;
        exchange(stream, authority, target, call).await
    };
    tokio::time::timeout(limit, exchange).await.unwrap_or_else(|_| {
        Err(CallError::Broken(format!("`{target}` did not answer within {} s", limit.as_secs())))
    })
}

fn authority(target: &str) -> Result<&str, CallError> {
    target
        .strip_prefix("http://")
        .map(|rest| rest.trim_end_matches('/'))
        .filter(|rest| !rest.contains('/') && rest.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()))
        .ok_or_else(|| {
            CallError::Malformed(format!(
                "`{target}` is no address to call; it should look like `http://127.0.0.1:9808` or `unix:/run/weir/ingest.sock`"
            ))
        })
}

fn away(target: &str, error: &std::io::Error) -> CallError {
    CallError::Away(format!("nobody answers at `{target}`: {error}; is the agent running there?"))
}

async fn exchange<Io>(io: Io, host: &str, target: &str, call: Call) -> Result<Reply, CallError>
where
    Io: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let broken =
        |error: &dyn fmt::Display| CallError::Broken(format!("`{target}` broke off: {error}"));
    let request = request(host, target, &call)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(io))
        .await
        .map_err(|error| broken(&error))?;
    let reply = async move {
        let answer = sender.send_request(request).await.map_err(|error| broken(&error))?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, call.answer_bytes_max).collect().await;
        let body = body.map_err(|error| broken(&error))?.to_bytes();
        Ok(Reply { status: head.status.as_u16(), headers: head.headers, body })
    };
    // The connection's own fault is told by the reply, which then fails too.
    let (reply, _) = tokio::join!(reply, connection);
    reply
}

fn request(host: &str, target: &str, call: &Call) -> Result<Request<Full<Bytes>>, CallError> {
    let malformed = |why: &dyn fmt::Display| {
        CallError::Malformed(format!("`{}` cannot be asked of `{target}`: {why}", call.path))
    };
    let host = HeaderValue::from_str(host).map_err(|error| malformed(&error))?;
    let mut request = Request::builder()
        .method(call.method.clone())
        .uri(call.path.as_str())
        .body(Full::new(call.body.clone()))
        .map_err(|error| malformed(&error))?;
    request.headers_mut().extend(call.headers.clone());
    request.headers_mut().insert(HOST, host);
    request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    Ok(request)
}
