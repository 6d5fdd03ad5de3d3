//! A plain HTTP client: what a device or a script would send.

use std::io::Write as _;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use ureq::http::HeaderValue;

const TIMEOUT: Duration = Duration::from_secs(60);

pub const NDJSON: &str = "application/x-ndjson";

/// Somebody who hands in records over TCP.
#[derive(Clone, Debug)]
pub struct Client {
    http: ureq::Agent,
    address: String,
    key: Option<String>,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case, in the order they came.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Client {
    /// For a listener at `127.0.0.1:PORT`.
    pub fn new(address: &str) -> Self {
        let http = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(TIMEOUT))
            .build()
            .into();
        Self { http, address: address.to_owned(), key: None }
    }

    /// Shows this API key from now on.
    #[must_use]
    pub fn with_key(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }

    pub fn get(&self, path: &str) -> Result<Answer, ureq::Error> {
        read(self.http.get(format!("http://{}{path}", self.address)).call()?)
    }

    /// One record of any bytes.
    pub fn post(&self, stream: &str, body: &[u8]) -> Result<Answer, ureq::Error> {
        self.post_with(stream, body, &[("content-type", "application/octet-stream")])
    }

    /// One record per line.
    pub fn post_lines(&self, stream: &str, lines: &[String]) -> Result<Answer, ureq::Error> {
        self.post_with(stream, ndjson(lines).as_bytes(), &[("content-type", NDJSON)])
    }

    /// One record per line, packed.
    pub fn post_gzip(&self, stream: &str, lines: &[String]) -> Result<Answer, ureq::Error> {
        let headers = [("content-type", NDJSON), ("content-encoding", "gzip")];
        self.post_with(stream, &gzip(ndjson(lines).as_bytes()), &headers)
    }

    /// What an AWS SDK sends for `PutRecords`, the records' places as their partition keys.
    pub fn put_records(&self, stream: &str, records: &[String]) -> Result<Answer, ureq::Error> {
        let entry = |(place, record): (usize, &String)| json!({"Data": BASE64.encode(record), "PartitionKey": place.to_string()});
        let entries: Vec<Value> = records.iter().enumerate().map(entry).collect();
        let body = json!({"StreamName": stream, "Records": entries}).to_string();
        let request = self
            .http
            .post(format!("http://{}/", self.address))
            .header("x-amz-target", "Kinesis_20131202.PutRecords")
            .header("content-type", "application/x-amz-json-1.1");
        read(request.send(body.as_bytes())?)
    }

    /// A body with exactly these headers, beside the key.
    pub fn post_with(
        &self,
        stream: &str,
        body: &[u8],
        headers: &[(&str, &str)],
    ) -> Result<Answer, ureq::Error> {
        let mut request = self.http.post(format!("http://{}/v1/streams/{stream}", self.address));
        if let Some(key) = &self.key {
            request = request.header("x-api-key", key);
        }
        for (name, value) in headers {
            // A value may hold any text, which the shorter way refuses.
            request = request.header(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        read(request.send(body)?)
    }

    /// Declares a body of this size and sends none of it: the answer must come all the same.
    pub fn declare(&self, stream: &str, bytes: u64) -> Answer {
        let mut connection = TcpStream::connect(&self.address).unwrap();
        connection.set_read_timeout(Some(TIMEOUT)).unwrap();
        let head = format!(
            "POST /v1/streams/{stream} HTTP/1.1\r\nhost: {}\r\ncontent-length: {bytes}\r\n\
             content-type: application/octet-stream\r\nconnection: close\r\n\r\n",
            self.address
        );
        connection.write_all(head.as_bytes()).unwrap();
        parse(&read_answer(&mut connection))
    }
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|fault| panic!("{fault} in the body of {self:?}"))
    }

    /// The slug at the end of a problem's `type`: `queue-full`.
    pub fn problem(&self) -> Option<String> {
        let body: Value = serde_json::from_str(&self.body).ok()?;
        body["type"].as_str()?.rsplit(['/', ':']).next().map(str::to_owned)
    }
}

/// One record over a unix socket.
pub fn post_unix(socket: &Path, stream: &str, body: &[u8]) -> std::io::Result<Answer> {
    let mut connection = UnixStream::connect(socket)?;
    connection.set_read_timeout(Some(TIMEOUT))?;
    let head = format!(
        "POST /v1/streams/{stream} HTTP/1.1\r\nhost: weir\r\ncontent-length: {}\r\n\
         content-type: application/json\r\nconnection: close\r\n\r\n",
        body.len()
    );
    connection.write_all(head.as_bytes())?;
    connection.write_all(body)?;
    Ok(parse(&read_answer(&mut connection)))
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

pub fn ndjson(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn read(mut response: ureq::http::Response<ureq::Body>) -> Result<Answer, ureq::Error> {
    let headers = response.headers().iter();
    let headers = headers
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()))
        .collect();
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(64 << 20).read_to_string()?;
    Ok(Answer { status, headers, body })
}

/// Everything until the peer closes. A reset behind the answer is no fault here: a server that
/// refuses early may close with unread bytes.
fn read_answer(connection: &mut impl std::io::Read) -> Vec<u8> {
    let mut answer = Vec::new();
    let mut part = [0; 4096];
    while let Ok(count @ 1..) = connection.read(&mut part) {
        answer.extend_from_slice(&part[..count]);
    }
    answer
}

fn parse(answer: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("an HTTP answer was expected, this came: {text:?}"));
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
    let headers = lines.filter_map(|line| line.split_once(": "));
    Answer {
        status: status.parse().unwrap_or_else(|_| panic!("no status in {head:?}")),
        headers: headers
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect(),
        body: body.to_owned(),
    }
}
