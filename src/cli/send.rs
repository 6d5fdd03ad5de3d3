//! `weir send`: each line of standard input or of files becomes one record of an agent.
//! With `--envelope` a line is what `weir queue export --envelope` made of a record.

use std::io::{self, BufRead, BufReader, Read as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use hyper::Method;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::envelope::{self, Content};
use super::reach::Reach;
use super::report::{Answer, Exit, Report, say};
use super::table::{count, counted};
use crate::base::backoff::Backoff;
use crate::base::disk::{RealDisk, foreign};
use crate::base::http_call::{self, Call, CallError, Reply};
use crate::base::secret::{self, Secret};
use crate::base::units::Span;

/// What `weir send` can be told.
#[derive(Clone, Debug, Args)]
pub(super) struct Send {
    /// The stream that gets the records
    #[arg(long, short, value_name = "STREAM")]
    stream: String,
    /// The agent: http://HOST:PORT or unix:/PATH; the running one of this host without
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    #[command(flatten)]
    reach: Reach,
    /// A file that holds the API key; else it is taken from WEIR_API_KEY
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Partition key of all these records; spread evenly without
    #[arg(long, value_name = "KEY")]
    partition_key: Option<String>,
    /// Lines are JSON objects as `weir queue export --envelope` or `weir dead show` print them;
    /// payload and keys of each are sent
    #[arg(long, conflicts_with = "partition_key")]
    envelope: bool,
    /// How long to try again when the agent is away, full or says "later"
    #[arg(long, value_name = "TIME", default_value = "60 s")]
    patience: Span,
    /// Print the outcome as JSON
    #[arg(long)]
    json: bool,
    /// Files to send; standard input without any
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const PARTITION_KEY: HeaderName = HeaderName::from_static("weir-partition-key");
const HASH_KEY: HeaderName = HeaderName::from_static("weir-explicit-hash-key");

/// Lines that travel in one request: few enough that a refused one is found quickly.
const LINES_MAX: usize = 500;
/// Bytes that travel in one request; a single longer line travels alone.
const BATCH_BYTES_MAX: usize = 1 << 20;
/// Longest line: the largest record any stream takes.
const LINE_BYTES_MAX: u64 = 10 << 20;
/// The same in an envelope, where a character may take two.
const ENVELOPE_BYTES_MAX: u64 = 24 << 20;
static LINES: HeaderValue = HeaderValue::from_static("application/x-ndjson");
static BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");
/// A record of nothing. The agent's own API knows none; that of API Gateway does.
const NOTHING: &str = r#"{"Data":""}"#;
static NOTHING_KIND: HeaderValue = HeaderValue::from_static("application/json");

pub(super) fn send(send: &Send) -> Answer {
    let mut sender = Sender::new(send)?;
    if send.files.is_empty() {
        sender.read("standard input", io::stdin().lock())?;
    }
    for path in &send.files {
        let name = path.display().to_string();
        let file = foreign::reader(path).map_err(|error| sender.unreadable(&name, &error))?;
        sender.read(&name, BufReader::new(file))?;
    }
    sender.flush()?;
    let Sender { accepted, requests, .. } = sender;
    say(if send.json {
        json!({ "accepted": accepted, "requests": requests }).to_string()
    } else {
        format!("{} on the agent's disk", counted(accepted, "record is", "records are"))
    });
    Ok(ExitCode::SUCCESS)
}

/// Collects lines and sends them, in order, one request after the other.
struct Sender {
    target: String,
    stream: String,
    headers: HeaderMap,
    patience: Duration,
    batch: Vec<u8>,
    /// Keys of the records in the batch; `None` leaves the partition key to `headers`.
    batch_keys: (Option<String>, Option<u128>),
    is_envelope: bool,
    lines: usize,
    accepted: u64,
    requests: u64,
}

impl Sender {
    fn new(send: &Send) -> Result<Self, Report> {
        let mut headers = HeaderMap::new();
        if let Some(key) = key(send)? {
            headers.insert(API_KEY, header("the API key", key.reveal())?);
        }
        if let Some(key) = &send.partition_key {
            headers.insert(PARTITION_KEY, header("the partition key", key)?);
        }
        Ok(Self {
            target: send.to.clone().map_or_else(|| send.reach.front_door(), Ok)?,
            stream: send.stream.clone(),
            headers,
            patience: send.patience.0,
            batch: Vec::new(),
            batch_keys: (None, None),
            is_envelope: send.envelope,
            lines: 0,
            accepted: 0,
            requests: 0,
        })
    }

    fn read(&mut self, name: &str, mut lines: impl BufRead) -> Result<(), Report> {
        let mut line = Vec::new();
        let bytes_max = if self.is_envelope { ENVELOPE_BYTES_MAX } else { LINE_BYTES_MAX };
        for number in 1_u64.. {
            line.clear();
            let read = lines
                .by_ref()
                .take(bytes_max + 2)
                .read_until(b'\n', &mut line)
                .map_err(|error| self.unreadable(name, &error))?;
            if read == 0 {
                break;
            }
            while line.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
                line.pop();
            }
            if self.is_envelope {
                self.open(name, number, &line)?;
            } else {
                self.check(name, number, &line)?;
                self.push(&line)?;
            }
        }
        Ok(())
    }

    fn check(&self, name: &str, number: u64, line: &[u8]) -> Result<(), Report> {
        let fault = if std::str::from_utf8(line).is_err() {
            "is not UTF-8"
        } else if line.len() as u64 > LINE_BYTES_MAX {
            "is longer than 10 MiB"
        } else {
            return Ok(());
        };
        Err(self.bad_line(name, number, fault))
    }

    fn bad_line(&self, name: &str, number: u64, fault: &str) -> Report {
        let sent = count(self.accepted);
        Report::new(
            Exit::Data,
            format!("line {number} of {name} {fault}; {sent} records before it were sent"),
        )
    }

    /// Takes a record out of its envelope. Records of one key go together; one that is no line
    /// goes alone.
    fn open(&mut self, name: &str, number: u64, line: &[u8]) -> Result<(), Report> {
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        if line.len() as u64 > ENVELOPE_BYTES_MAX {
            return Err(self.bad_line(name, number, "is longer than 24 MiB"));
        }
        let Content { payload, partition_key, hash_key } =
            envelope::read(line).map_err(|fault| self.bad_line(name, number, &fault))?;
        let keys = (partition_key, hash_key);
        if self.batch_keys != keys {
            self.flush()?;
            self.batch_keys = keys;
        }
        if envelope::is_line(&payload) {
            return self.push(&payload);
        }
        self.flush()?;
        if payload.is_empty() {
            return self.post(NOTHING.into(), &NOTHING_KIND);
        }
        self.post(payload, &BYTES)
    }

    fn unreadable(&self, name: &str, error: &io::Error) -> Report {
        let sent = count(self.accepted);
        Report::new(
            Exit::Data,
            format!("{name} cannot be read: {error}; {sent} records before it were sent"),
        )
    }

    fn push(&mut self, line: &[u8]) -> Result<(), Report> {
        if line.is_empty() {
            return Ok(());
        }
        if self.lines == LINES_MAX || self.batch.len() + line.len() > BATCH_BYTES_MAX {
            self.flush()?;
        }
        self.batch.extend_from_slice(line);
        self.batch.push(b'\n');
        self.lines += 1;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Report> {
        if self.lines == 0 {
            return Ok(());
        }
        let body = std::mem::take(&mut self.batch);
        self.lines = 0;
        self.post(body, &LINES)
    }

    fn post(&mut self, body: Vec<u8>, content_type: &HeaderValue) -> Result<(), Report> {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
        let mut left = self.patience;
        loop {
            let (report, asked) = match self.once(body.clone(), content_type) {
                Ok(accepted) => {
                    self.accepted += accepted;
                    self.requests += 1;
                    return Ok(());
                }
                Err(Refused::ForGood(report)) => return Err(report),
                Err(Refused::Later(report, asked)) => (report, asked),
            };
            let wait = asked.unwrap_or_else(|| backoff.next_wait());
            left = left.checked_sub(wait).ok_or(report)?;
            std::thread::sleep(wait);
        }
    }

    fn once(&self, body: Vec<u8>, content_type: &HeaderValue) -> Result<u64, Refused> {
        let (method, path) = if content_type == NOTHING_KIND {
            (Method::PUT, format!("/streams/{}/record", self.stream))
        } else {
            (Method::POST, format!("/v1/streams/{}", self.stream))
        };
        let mut call = Call::new(method, path, body);
        call.headers = self.headers.clone();
        call.headers.insert(CONTENT_TYPE, content_type.clone());
        let (key, hash_key) = &self.batch_keys;
        if let Some(hash_key) = hash_key {
            call.headers.insert(
                HASH_KEY,
                header("a hash key", &hash_key.to_string()).map_err(Refused::ForGood)?,
            );
        }
        if let Some(key) = key {
            let key = header("a partition key", key).map_err(Refused::ForGood)?;
            call.headers.insert(PARTITION_KEY, key);
        }
        let sent = count(self.accepted);
        let answer = call_blocking(&self.target, call).map_err(|error| match error {
            CallError::Malformed(words) => Refused::ForGood(Report::new(Exit::Usage, words)),
            CallError::Away(words) | CallError::Broken(words) => {
                let words = format!("{words}; {sent} records were sent");
                Refused::Later(Report::new(Exit::Unavailable, words), None)
            }
        })?;
        let value: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        if answer.status == 200 && content_type == NOTHING_KIND {
            return Ok(1);
        }
        if answer.status == 202 {
            return Ok(value.get("accepted").and_then(Value::as_u64).unwrap_or(0));
        }
        let detail = value.get("detail").and_then(Value::as_str).unwrap_or("without a word");
        let words = format!(
            "the agent refused ({}): {detail} {sent} records were sent before",
            answer.status
        );
        Err(match answer.status {
            429 | 503 => Refused::Later(Report::new(Exit::TryLater, words), retry_after(&answer)),
            401 | 403 => Refused::ForGood(Report::new(Exit::NoPermission, words)),
            _ => Refused::ForGood(Report::new(Exit::Data, words)),
        })
    }
}

enum Refused {
    ForGood(Report),
    Later(Report, Option<Duration>),
}

fn retry_after(answer: &Reply) -> Option<Duration> {
    answer.header("retry-after")?.parse().ok().map(Duration::from_secs)
}

fn key(send: &Send) -> Result<Option<Secret>, Report> {
    let Some(path) = &send.key_file else {
        return Ok(std::env::var("WEIR_API_KEY").ok().map(Secret::new));
    };
    secret::resolve(&RealDisk, &|_| None, &format!("file:{}", path.display()))
        .map(Some)
        .map_err(|words| Report::new(Exit::Usage, words))
}

fn header(what: &str, value: &str) -> Result<HeaderValue, Report> {
    let mut value = HeaderValue::from_bytes(value.as_bytes())
        .map_err(|_| Report::new(Exit::Usage, format!("{what} has a control character in it")))?;
    value.set_sensitive(true);
    Ok(value)
}

/// One request, from a command that has no runtime of its own.
pub(super) fn call_blocking(target: &str, call: Call) -> Result<Reply, CallError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CallError::Away(error.to_string()))?;
    runtime.block_on(http_call::call(target, call))
}
