//! The front door over real sockets: what comes in, what is refused and how, and what is stored.

mod addresses;
mod answers;
mod attacks;
mod callers;
mod calls;
mod forms;
mod limits;
mod once;
mod packed;
mod paths;
mod rules;
mod tokens;
mod treated;
mod wire;

use std::collections::BTreeMap;
use std::path::PathBuf;

use hyper::Method;
use hyper::header::HeaderName;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::admission::{
    self, AuthKind, AuthSettings, PlanSettings, StreamSettings, Treatment, keys,
};
use crate::base::clock::Clock;
use crate::base::disk::{RealDisk, SharedDisk};
use crate::base::http_call::{Call, Reply, call};
use crate::base::scratch::Scratch;
use crate::base::serve::Access;
use crate::base::shutdown::{self, Stop};
use crate::base::units::CountRate;
use crate::queue;
use crate::record::KeyTemplate;

/// 2026-11-22T06:05:19.123Z.
const NOW: u64 = 1_795_327_519_123;

/// What one test asks of its door.
struct Wanted {
    /// The keys of the door; an open one if there are none.
    keys: Vec<keys::NewKey>,
    /// Further auth blocks, asked after the keys.
    auth: Vec<(&'static str, AuthKind)>,
    plan: PlanSettings,
    address_plan: Option<&'static str>,
    guesses: Option<CountRate>,
    rules: Vec<RuleSettings>,
    max_body_bytes: u64,
    max_unpacked_bytes: u64,
    max_record_bytes: u64,
    partition_key: Option<KeyTemplate>,
    treatment: Treatment,
    tls: Option<TlsSettings>,
    allow: Nets,
    deny: Nets,
    proxies: Proxies,
    native: bool,
    aws: bool,
    split_arrays: bool,
    routes: Vec<RouteSettings>,
    max_per_sender: usize,
    min_body_rate: Option<ByteRate>,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            auth: Vec::new(),
            plan: PlanSettings::default(),
            address_plan: None,
            guesses: None,
            rules: Vec::new(),
            max_body_bytes: 64 << 10,
            max_unpacked_bytes: 256 << 10,
            max_record_bytes: 32 << 10,
            partition_key: None,
            treatment: Treatment::default(),
            tls: None,
            allow: Nets::default(),
            deny: Nets::default(),
            proxies: Proxies::default(),
            native: true,
            aws: true,
            split_arrays: false,
            routes: Vec::new(),
            max_per_sender: 64,
            min_body_rate: None,
        }
    }
}

/// A door that is open for business.
struct Open {
    addresses: Vec<String>,
    /// Of the keys that were wanted.
    secrets: Vec<String>,
    keys_file: PathBuf,
    disk: SharedDisk,
    admission: Arc<Admission>,
    queue: queue::Writer,
    reader: queue::Reader,
    metrics: Metrics,
    stop: Stop,
    served: tokio::task::JoinHandle<Result<(), String>>,
    _scratch: Scratch,
}

impl Wanted {
    async fn open(self) -> Open {
        let scratch = Scratch::new();
        let (disk, metrics): (SharedDisk, _) = (Arc::new(RealDisk), Metrics::default());
        let clock = Clock::starting_at(NOW);
        let (queue, reader) = open_queue(&scratch, &disk, &metrics);
        let keys_file = scratch.join("keys.toml");
        let add = |new| keys::add(disk.as_ref(), &clock, &keys_file, new).unwrap();
        let secrets = self.keys.iter().map(|new| add(new).reveal().to_owned()).collect();
        let kind = AuthKind::ApiKey { file: keys_file.clone() };
        let block = |kind| AuthSettings { kind, plan: Some("p".into()), streams: None };
        let others = self.auth.iter().map(|(name, kind)| ((*name).into(), block(kind.clone())));
        let auth = others.chain([("keys".into(), block(kind))]).collect();
        let stream = StreamSettings {
            max_record_bytes: self.max_record_bytes,
            partition_key: self.partition_key.clone(),
            aliases: vec!["access-in-the-cloud".into()],
            plan: None,
            treatment: self.treatment.clone(),
        };
        let settings = admission::Settings {
            streams: BTreeMap::from([("access".into(), stream)]),
            auth,
            plans: BTreeMap::from([("p".into(), self.plan.clone())]),
        };
        let queues = BTreeMap::from([("access".to_owned(), queue.clone())]);
        let below = admission::Below {
            disk: disk.clone(),
            clock,
            queues,
            lambdas: BTreeMap::new(),
            quotas: None,
        };
        let admission = Admission::open(below, settings, &metrics).unwrap();
        let bound = bind(disk.clone(), self.settings(&scratch)).await.unwrap();
        let addresses = bound.addresses();
        let (stop, stopping) = shutdown::channel();
        #[expect(clippy::disallowed_methods, reason = "it ends with the test")]
        let served = tokio::spawn(bound.serve(admission.clone(), metrics.clone(), stopping));
        Open {
            addresses,
            secrets,
            keys_file,
            disk,
            admission,
            queue,
            reader,
            metrics,
            stop,
            served,
            _scratch: scratch,
        }
    }

    fn auth_names(&self) -> Vec<String> {
        let keys = (!self.keys.is_empty()).then(|| "keys".to_owned());
        keys.into_iter().chain(self.auth.iter().map(|(name, _)| (*name).to_owned())).collect()
    }

    fn settings(&self, scratch: &Scratch) -> Settings {
        let tcp = Listen::Tcp("127.0.0.1:0".parse().unwrap());
        Settings {
            name: "lan".into(),
            listen: vec![tcp, Listen::Unix(scratch.join("in.sock"), Access::default())],
            tls: self.tls.clone(),
            auth: self.auth_names(),
            plan: None,
            address_plan: self.address_plan.map(str::to_owned),
            guesses: self.guesses,
            rules: self.rules.clone(),
            allow: self.allow.clone(),
            deny: self.deny.clone(),
            proxies: self.proxies.clone(),
            native: self.native,
            gateway: true,
            aws: self.aws,
            split_arrays: self.split_arrays,
            routes: self.routes.clone(),
            max_connections: 64,
            max_per_sender: self.max_per_sender,
            max_body_bytes: self.max_body_bytes,
            max_unpacked_bytes: self.max_unpacked_bytes,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            min_body_rate: self.min_body_rate,
            idle_timeout: Duration::from_secs(60),
        }
    }
}

fn open_queue(
    scratch: &Scratch,
    disk: &SharedDisk,
    metrics: &Metrics,
) -> (queue::Writer, queue::Reader) {
    let settings = queue::Settings {
        folder: scratch.join("queue"),
        stream: "access".into(),
        max_bytes: 4 << 20,
        min_free_disk: 0,
        cursor_save_after: Duration::from_secs(1),
        policy: queue::Policy { keys_kept: Duration::from_mins(10), ..queue::Policy::default() },
        compresses: false,
        keys: queue::Keys::default(),
        sync: queue::SyncLevel::Always,
    };
    let mut opened = queue::open(disk.clone(), settings, &["sink".into()], metrics).unwrap();
    (opened.writer, opened.readers.remove(0))
}

fn key(name: &str) -> keys::NewKey {
    keys::NewKey { name: name.into(), ..keys::NewKey::default() }
}

const PATH: &str = "/v1/streams/access";
const LINES: (&str, &str) = ("content-type", "application/x-ndjson");

impl Open {
    fn target(&self) -> String {
        format!("http://{}", self.addresses[0])
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<bytes::Bytes>,
    ) -> Reply {
        let mut asked = Call::new(method, path, body);
        for (name, value) in headers {
            let value = hyper::header::HeaderValue::from_bytes(value.as_bytes()).unwrap();
            asked.headers.append(name.parse::<HeaderName>().unwrap(), value);
        }
        call(&self.target(), asked).await.unwrap()
    }

    async fn post(&self, headers: &[(&str, &str)], body: impl Into<bytes::Bytes>) -> Reply {
        self.ask(Method::POST, PATH, headers, body).await
    }

    /// Sends bytes as they are and reads until the door closes.
    async fn raw(&self, said: &[u8]) -> String {
        let mut stream = TcpStream::connect(&self.addresses[0]).await.unwrap();
        stream.write_all(said).await.unwrap();
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await.unwrap();
        String::from_utf8(heard).unwrap()
    }

    /// How many records were ever stored.
    fn stored(&self) -> u64 {
        self.queue.overview().committed
    }
}

fn json(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).unwrap()
}

/// The answer is this problem, well formed, with one id in header and body.
#[track_caller]
fn check_problem(reply: &Reply, status: u16, slug: &str) {
    let body = json(reply);
    assert_eq!(
        (reply.status, body["type"].as_str().unwrap()),
        (status, format!("urn:weir:problem:{slug}").as_str()),
        "{body}"
    );
    assert_eq!(reply.header("content-type"), Some("application/problem+json"));
    assert_eq!(body["status"], status);
    let id = reply.header("x-request-id").unwrap();
    assert_eq!(body["instance"], format!("urn:request:{id}"));
    assert!(!body["title"].as_str().unwrap().is_empty());
    let waits = [429, 503].contains(&status);
    assert_eq!(reply.header("retry-after").is_some(), waits);
}

#[track_caller]
fn check_accepted(reply: &Reply, count: u64) {
    let body = json(reply);
    assert_eq!((reply.status, &body["accepted"]), (202, &Value::from(count)), "{body}");
    assert_eq!(reply.header("content-type"), Some("application/json"));
}
