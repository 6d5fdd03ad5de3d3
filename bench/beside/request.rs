//! The bytes of a request, in which only numbers and keys change.

use std::net::SocketAddr;
use std::sync::Arc;

use base64_simd::STANDARD;

const BEFORE_NUMBER: &str = "{\"id\":\"";
const DIGITS: usize = 10;
/// In Base64 three bytes are four letters: those from here on are the quote before a number, the number, and
/// the quote behind it, twelve bytes in all.
const ENCODED_FROM: usize = (BEFORE_NUMBER.len() - 1) / 3 * 4;

/// Where and how a system takes records.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    pub(crate) address: SocketAddr,
    pub(crate) path: String,
    pub(crate) form: Form,
    /// Shown in turn, one with each request; all of one length.
    pub(crate) keys: Arc<[String]>,
}

/// How many records travel in one request; a single one stands for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// One record a line.
    Lines,
    /// An array of JSON.
    Array,
    /// The protocol of Kinesis, in JSON.
    PutRecords,
}

pub(crate) struct Request {
    bytes: Vec<u8>,
    /// Where the numbers stand.
    numbers: Vec<usize>,
    form: Form,
    keys: Arc<[String]>,
    /// Where the key stands.
    key: usize,
}

impl Request {
    /// So many records of so many bytes.
    pub(crate) fn new(door: &Door, records: u64, record_bytes: usize) -> Self {
        let record = record(record_bytes);
        let (before, between, behind) = match door.form {
            Form::PutRecords => (
                "{\"StreamName\":\"bench\",\"Records\":[".to_owned(),
                ",".to_owned(),
                "]}".to_owned(),
            ),
            Form::Array if records > 1 => ("[".to_owned(), ",".to_owned(), "]".to_owned()),
            Form::Array | Form::Lines => (String::new(), "\n".to_owned(), String::new()),
        };
        let (mut body, mut numbers) = (before, Vec::new());
        for place in 0..records {
            if place > 0 {
                body += &between;
            }
            if door.form == Form::PutRecords {
                body += "{\"Data\":\"";
                numbers.push(body.len() + ENCODED_FROM);
                body += &STANDARD.encode_to_string(&record);
                body += &format!("\",\"PartitionKey\":\"key-{place}\"}}");
            } else {
                numbers.push(body.len() + BEFORE_NUMBER.len());
                body += &record;
            }
        }
        body += &behind;
        let head = head(door, records, body.len());
        let key = head.find("x-api-key: ").map_or(0, |place| place + "x-api-key: ".len());
        let numbers = numbers.into_iter().map(|place| place + head.len()).collect();
        let keys = Arc::clone(&door.keys);
        Self { bytes: (head + &body).into_bytes(), numbers, form: door.form, keys, key }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Gives its records these numbers, from the first on.
    pub(crate) fn number_from(&mut self, first: u64) {
        for (&place, number) in self.numbers.iter().zip(first..) {
            let text = match self.form {
                Form::PutRecords => STANDARD.encode_to_string(format!("\"{number:0DIGITS$}\"")),
                Form::Lines | Form::Array => format!("{number:0DIGITS$}"),
            };
            put(&mut self.bytes, place, &text);
        }
        if !self.keys.is_empty() {
            put(&mut self.bytes, self.key, &self.keys[first as usize % self.keys.len()]);
        }
    }
}

fn put(bytes: &mut [u8], place: usize, text: &str) {
    bytes[place..place + text.len()].copy_from_slice(text.as_bytes());
}

fn head(door: &Door, records: u64, body_bytes: usize) -> String {
    let kind = match door.form {
        Form::PutRecords => {
            "application/x-amz-json-1.1\r\nx-amz-target: Kinesis_20131202.PutRecords"
        }
        Form::Lines if records > 1 => "application/x-ndjson",
        Form::Lines | Form::Array => "application/json",
    };
    let key = door.keys.first().map_or_else(String::new, |key| format!("x-api-key: {key}\r\n"));
    format!(
        "POST {} HTTP/1.1\r\nhost: {}\r\n{key}content-type: {kind}\r\ncontent-length: {body_bytes}\r\n\r\n",
        door.path, door.address,
    )
}

/// A log record of so many bytes, at least 100, whose number is to be filled in.
fn record(bytes: usize) -> String {
    let head = format!(
        "{BEFORE_NUMBER}{:0DIGITS$}\",\"user\":\"ann\",\"at\":\"2026-11-22T06:05:19Z\",\"level\":\"info\",\
         \"message\":\"",
        0
    );
    let words = "the quick brown fox pays with 1234-5678 and jumps over the lazy dog ";
    let message: String = words.chars().cycle().take(bytes - head.len() - 2).collect();
    format!("{head}{message}\"}}")
}
