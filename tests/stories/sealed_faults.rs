//! KMS at the start: asked again while it is away, throttles or finds the time wrong; a refusal, another
//! key or a damaged file end the start in words, and nothing is changed.

use std::fs;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::support::agent::{Agent, Ended, configure, weir};
use crate::support::scratch::Scratch;

/// What the stand-in for KMS does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    /// Makes the key of these bytes, or unwraps to it.
    Gives(u8),
    Refuses(u16, &'static str),
    /// As KMS does with a signature of another year.
    FindsTheTimeWrong,
}

/// One request to KMS after the other, each answered as scripted; the last mood stays.
struct FakeKms {
    url: String,
    moods: Arc<Mutex<Vec<Mood>>>,
}

/// In this year the stand-in lives.
const YEAR: &str = "2031";

impl FakeKms {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let moods = Arc::new(Mutex::new(Vec::new()));
        let script = Arc::clone(&moods);
        thread::spawn(move || {
            for stream in listener.incoming() {
                // A client that hangs up is its own affair.
                answer(stream.unwrap(), &script).ok();
            }
        });
        Self { url, moods }
    }

    fn script(&self, moods: &[Mood]) {
        *self.moods.lock().unwrap() = moods.iter().rev().copied().collect();
    }

    /// How many moods are left.
    fn left(&self) -> usize {
        self.moods.lock().unwrap().len()
    }

    fn config(&self) -> String {
        format!(
            r#"
            grace = "1 s"
            [http.local]
            listen = "127.0.0.1:0"
            [stream.orders]
            destinations = ["archive"]
            queue.encryption = "at-rest"
            [destination.archive]
            type = "directory"
            path = "archive"
            [encryption.at-rest]
            type = "kms"
            kms_key = "alias/queue"
            region = "eu-west-1"
            endpoint_url = "{}"
            access_key_id = "AKID"
            secret_access_key = "hush"
            "#,
            self.url
        )
    }
}

fn answer(stream: TcpStream, script: &Mutex<Vec<Mood>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let (mut length, mut signed_in) = (0, String::new());
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            if line.trim_end().is_empty() {
                break;
            }
            continue;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap(),
            "x-amz-date" => signed_in = value.chars().take(4).collect(),
            _ => {}
        }
    }
    reader.read_exact(&mut vec![0; length])?;
    let mood = {
        let mut script = script.lock().unwrap();
        if script.len() > 1 { script.pop().unwrap() } else { script[0] }
    };
    let (status, body) = match mood {
        Mood::FindsTheTimeWrong if signed_in != YEAR => refusal(400, "InvalidSignatureException"),
        Mood::FindsTheTimeWrong => gives(7),
        Mood::Gives(byte) => gives(byte),
        Mood::Refuses(status, code) => refusal(status, code),
    };
    write!(
        reader.get_mut(),
        "HTTP/1.1 {status} Answered\r\ncontent-type: application/x-amz-json-1.1\r\n\
         date: Wed, 01 Jan {YEAR} 00:00:10 GMT\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn gives(byte: u8) -> (u16, String) {
    let key = BASE64.encode([byte; 32]);
    (200, format!(r#"{{"KeyId":"k","Plaintext":"{key}","CiphertextBlob":"{key}"}}"#))
}

fn refusal(status: u16, code: &str) -> (u16, String) {
    (status, format!(r#"{{"__type":"{code}","message":"as scripted"}}"#))
}

fn run(scratch: &Scratch, config: &str) -> Ended {
    let file = configure(scratch, config);
    weir(scratch, &["run", "--config", file.to_str().unwrap()])
}

fn starts(scratch: &Scratch, kms: &FakeKms) -> String {
    let agent = Agent::start(scratch, &kms.config());
    assert_eq!(agent.client("local").post("orders", b"one").unwrap().status, 202);
    let log = agent.log();
    assert_eq!(agent.terminate().code(), Some(0));
    log
}

#[test]
fn kms_is_asked_again_while_it_throttles_or_fails() {
    let scratch = Scratch::new("kms-again");
    let kms = FakeKms::start();
    kms.script(&[
        Mood::Refuses(400, "ThrottlingException"),
        Mood::Refuses(500, "KMSInternalException"),
        Mood::Gives(7),
    ]);

    let log = starts(&scratch, &kms);

    assert_eq!(kms.left(), 1);
    assert_eq!(log.matches("kms-away").count(), 2, "{log}");
}

#[test]
fn a_host_whose_clock_is_wrong_learns_the_time_from_kms() {
    let scratch = Scratch::new("kms-clock");
    let kms = FakeKms::start();
    kms.script(&[Mood::FindsTheTimeWrong]);

    let log = starts(&scratch, &kms);

    assert_eq!(log.matches("kms-away").count(), 1, "{log}");
}

#[test]
fn what_kms_refuses_for_good_ends_the_start_at_once() {
    let scratch = Scratch::new("kms-refused");
    let kms = FakeKms::start();
    for (code, exit) in
        [("AccessDeniedException", 77), ("NotFoundException", 78), ("DisabledException", 78)]
    {
        // A second request would be given a key.
        kms.script(&[Mood::Refuses(400, code), Mood::Gives(7)]);
        let refused = run(&scratch, &kms.config());
        assert_eq!(refused.code, Some(exit), "{refused:?}");
        let words = format!("KMS gives no key for the queue of stream `orders`: {code}");
        assert!(refused.stderr.contains(&words), "{refused:?}");
        assert!(refused.stderr.contains("nothing was started"), "{refused:?}");
    }
}

#[test]
fn another_key_and_a_damaged_file_are_told_from_a_refusal() {
    let scratch = Scratch::new("kms-damaged");
    let kms = FakeKms::start();
    kms.script(&[Mood::Gives(7)]);
    starts(&scratch, &kms);
    let folder = scratch.join("state/queue/orders/keys");
    let file = fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    let whole = fs::read_to_string(&file).unwrap();
    #[track_caller]
    fn check(refused: &Ended, words: &str) {
        assert_eq!(refused.code, Some(65), "{refused:?}");
        assert!(refused.stderr.contains(words), "{refused:?}");
    }

    kms.script(&[Mood::Gives(8)]);
    check(&run(&scratch, &kms.config()), "KMS unwraps it to another one");
    kms.script(&[Mood::Gives(7)]);
    for (damaged, words) in [
        (String::new(), "cannot be used"),
        (whole.chars().take(whole.len() / 2).collect(), "cannot be used"),
        (whole.replace("\"version\": 1", "\"version\": 2"), "its format is version 2"),
        (whole.replace("\"wrapped\": \"", "\"wrapped\": \"*"), "it is not in base64"),
    ] {
        assert_ne!(damaged, whole);
        fs::write(&file, damaged).unwrap();
        check(&run(&scratch, &kms.config()), words);
    }

    fs::write(&file, whole).unwrap();
    starts(&scratch, &kms);
}
