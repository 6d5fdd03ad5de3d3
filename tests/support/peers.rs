//! Upstreams that others wrote: ferrokinesis for Kinesis, moto for Firehose and S3.
//!
//! Both take any credentials. Neither is asked about limits or partial failures here: that is what
//! our own scriptable upstream is for.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ferrokinesis::store::StoreOptions;
use serde_json::{Value, json};
use tokio::net::TcpSocket;
use tokio::runtime::Runtime;

use super::scratch::Scratch;
use super::wait_for;

pub const REGION: &str = "us-east-1";

/// What happens to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// It is answered.
    Well,
    /// It is not executed and answered with this status.
    Refuse(u16),
    /// It is not executed and refused with this code.
    Fault(&'static str),
    /// It is executed, but the answer says 500.
    LoseAnswer,
    /// It is answered after this time.
    Slow(Duration),
}

type Moods = Arc<dyn Fn(&str) -> Mood + Send + Sync>;

/// A Kinesis of one's own, in this process. It can vanish and come back at the same address, with
/// everything it was given.
pub struct Kinesis {
    address: SocketAddr,
    app: axum::Router,
    presence: Presence,
}

enum Presence {
    /// The address is kept, connections are refused.
    Away(TcpSocket),
    /// The runtime of the listener and all its connections.
    Here(Runtime),
}

/// A record as Kinesis gives it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    pub data: Vec<u8>,
    pub partition_key: String,
    /// As an aggregate tells it; Kinesis gives none back for an entry.
    pub hash_key: Option<u128>,
    pub shard: String,
    /// The hashes of the shard.
    pub range: (String, String),
    /// Whether it came as part of an aggregate.
    pub aggregated: bool,
}

impl Kinesis {
    /// Starts one that is always well.
    pub fn start() -> Self {
        Self::start_moody(|_| Mood::Well)
    }

    /// Starts one whose mood depends on the number of the PutRecords request.
    pub fn start_moody(moods: impl Fn(u64) -> Mood + Send + Sync + 'static) -> Self {
        let asked = AtomicU64::new(0);
        Self::start_of_moods(move |action| match action {
            "PutRecords" => moods(asked.fetch_add(1, Ordering::Relaxed)),
            _ => Mood::Well,
        })
    }

    /// Starts one whose mood depends on what is asked for; told of every request.
    pub fn start_of_moods(moods: impl Fn(&str) -> Mood + Send + Sync + 'static) -> Self {
        let options = StoreOptions { create_stream_ms: 0, shard_limit: 50, ..Default::default() };
        let (app, _) = ferrokinesis::create_app(options);
        let moods: Moods = Arc::new(moods);
        let app = app
            .layer(middleware::from_fn(move |request: Request, next: Next| {
                answer(moods.clone(), request, next)
            }))
            .layer(DefaultBodyLimit::max(32 << 20));
        let socket = socket_at(SocketAddr::from(([127, 0, 0, 1], 0)));
        let address = socket.local_addr().unwrap();
        let mut started = Self { address, app, presence: Presence::Away(socket) };
        started.appear();
        started
    }

    /// For `endpoint_url`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The table of a destination that leads to a stream of this Kinesis.
    pub fn destination(&self, name: &str, stream: &str) -> String {
        format!(
            "[destination.{name}]\ntype = \"kinesis\"\nstream_name = \"{stream}\"\n\
             region = \"{REGION}\"\nendpoint_url = \"{}\"\nretry_max = \"1 s\"\n",
            self.url()
        )
    }

    /// From now on connections are refused, and those that stand are cut.
    pub fn vanish(&mut self) {
        let socket = TcpSocket::new_v4().unwrap();
        if let Presence::Here(runtime) =
            std::mem::replace(&mut self.presence, Presence::Away(socket))
        {
            runtime.shutdown_timeout(Duration::from_secs(5));
            self.presence = Presence::Away(socket_at(self.address));
        }
    }

    /// Listens (again).
    pub fn appear(&mut self) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        if let Presence::Away(socket) =
            std::mem::replace(&mut self.presence, Presence::Here(runtime))
            && let Presence::Here(runtime) = &self.presence
        {
            let app = self.app.clone();
            let _entered = runtime.enter();
            let listener = socket.listen(1024).unwrap();
            runtime.spawn(async move { axum::serve(listener, app).await });
        }
    }

    /// Makes a stream and waits until it takes records.
    #[track_caller]
    pub fn create_stream(&self, name: &str, shards: u32) {
        self.call("CreateStream", &json!({"StreamName": name, "ShardCount": shards}));
        self.wait_until_active(name);
    }

    #[track_caller]
    fn wait_until_active(&self, name: &str) {
        wait_for("the stream to be active", || {
            let summary = self.call("DescribeStreamSummary", &json!({"StreamName": name}));
            let status = &summary["StreamDescriptionSummary"]["StreamStatus"];
            (status == "ACTIVE").then_some(())
        });
    }

    /// Every record of every shard, each shard in its order. Aggregates are taken apart by an
    /// implementation that is not ours; as the official consumer does, it drops what does not
    /// belong to the shard.
    #[track_caller]
    pub fn records(&self, stream: &str) -> Vec<Arrival> {
        let shards = self.shards(stream);
        let entries = shards.iter().flat_map(|shard| self.shard(stream, shard)).collect();
        taken_apart(entries)
    }

    /// The same, aggregates as they lie there.
    #[track_caller]
    pub fn entries(&self, stream: &str) -> Vec<Arrival> {
        self.shards(stream).iter().flat_map(|shard| self.shard(stream, shard)).collect()
    }

    /// Splits a shard in the middle of its hashes; returns when the stream is active again.
    #[track_caller]
    pub fn split(&self, stream: &str, shard: &str) {
        let all = self.shards(stream);
        let range = &all.iter().find(|one| text(&one["ShardId"]) == shard).unwrap()["HashKeyRange"];
        let bound = |name: &str| text(&range[name]).parse::<u128>().unwrap();
        let (first, last) = (bound("StartingHashKey"), bound("EndingHashKey"));
        let middle = first + (last - first) / 2;
        let wanted = json!({
            "StreamName": stream, "ShardToSplit": shard, "NewStartingHashKey": middle.to_string(),
        });
        self.call("SplitShard", &wanted);
        self.wait_until_active(stream);
    }

    /// Makes one shard of two neighbours; returns when the stream is active again.
    #[track_caller]
    pub fn merge(&self, stream: &str, shard: &str, neighbour: &str) {
        let wanted = json!({
            "StreamName": stream, "ShardToMerge": shard, "AdjacentShardToMerge": neighbour,
        });
        self.call("MergeShards", &wanted);
        self.wait_until_active(stream);
    }

    fn shards(&self, stream: &str) -> Vec<Value> {
        let mut listed = self.call("ListShards", &json!({"StreamName": stream}));
        serde_json::from_value(listed["Shards"].take()).unwrap()
    }

    /// The bytes of every record.
    #[track_caller]
    pub fn payloads(&self, stream: &str) -> Vec<Vec<u8>> {
        self.records(stream).into_iter().map(|record| record.data).collect()
    }

    fn shard(&self, stream: &str, shard: &Value) -> Vec<Arrival> {
        let range = &shard["HashKeyRange"];
        let bound = |name: &str| text(&range[name]).to_owned();
        let range = (bound("StartingHashKey"), bound("EndingHashKey"));
        let shard = text(&shard["ShardId"]);
        let from_start = json!({
            "StreamName": stream, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON",
        });
        let mut iterator = self.call("GetShardIterator", &from_start)["ShardIterator"].take();
        let mut records = Vec::new();
        loop {
            let mut page = self.call("GetRecords", &json!({"ShardIterator": iterator}));
            let found = page["Records"].as_array().unwrap();
            if found.is_empty() && page["MillisBehindLatest"] == 0 {
                return records;
            }
            records.extend(found.iter().map(|record| Arrival {
                data: BASE64_STANDARD.decode(text(&record["Data"])).unwrap(),
                partition_key: text(&record["PartitionKey"]).to_owned(),
                hash_key: None,
                shard: shard.to_owned(),
                range: range.clone(),
                aggregated: false,
            }));
            iterator = page["NextShardIterator"].take();
            if iterator.is_null() {
                // A closed shard was read to its end.
                return records;
            }
        }
    }

    /// Puts one record, as it is.
    #[track_caller]
    pub fn put(&self, stream: &str, key: &str, data: &[u8]) {
        let data = BASE64_STANDARD.encode(data);
        self.call("PutRecord", &json!({"StreamName": stream, "PartitionKey": key, "Data": data}));
    }

    #[track_caller]
    fn call(&self, action: &str, body: &Value) -> Value {
        aws_call(&self.url(), "kinesis", &format!("Kinesis_20131202.{action}"), body)
    }
}

/// A socket with this address at which nobody listens yet.
pub fn socket_at(address: SocketAddr) -> TcpSocket {
    wait_for("the address to be free", || {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(address).ok().map(|()| socket)
    })
}

async fn answer(moods: Moods, request: Request, next: Next) -> Response {
    let target = request.headers().get("x-amz-target").and_then(|value| value.to_str().ok());
    let action = target.and_then(|target| target.split_once('.')).map_or("", |(_, action)| action);
    match moods(action) {
        Mood::Well => next.run(request).await,
        Mood::Refuse(status) => fault(StatusCode::from_u16(status).unwrap(), "InternalFailure"),
        Mood::Fault(code) => fault(StatusCode::BAD_REQUEST, code),
        Mood::LoseAnswer => {
            next.run(request).await;
            fault(StatusCode::INTERNAL_SERVER_ERROR, "InternalFailure")
        }
        Mood::Slow(wait) => {
            tokio::time::sleep(wait).await;
            next.run(request).await
        }
    }
}

fn fault(status: StatusCode, code: &str) -> Response {
    let body = format!(r#"{{"__type":"{code}","message":"a fault was asked for"}}"#);
    (status, [("content-type", "application/x-amz-json-1.1")], body).into_response()
}

/// A moto server: Firehose delivery streams that put every batch into S3 at once, as one object,
/// the records joined without any separator.
#[derive(Debug)]
pub struct Moto {
    child: Child,
    url: String,
}

impl Moto {
    /// Starts one; its log goes into the scratch folder.
    #[track_caller]
    pub fn start(scratch: &Scratch) -> Self {
        Self::start_open(scratch, None)
    }

    /// The same, but after so many calls it checks signatures, with botocore, and policies.
    #[track_caller]
    pub fn start_strict(scratch: &Scratch, open_calls: usize) -> Self {
        Self::start_open(scratch, Some(open_calls))
    }

    fn start_open(scratch: &Scratch, open_calls: Option<usize>) -> Self {
        let log = scratch.join("moto.log");
        let to_log = File::create(&log).unwrap();
        let strict = open_calls.map(|calls| ("INITIAL_NO_AUTH_ACTION_COUNT", calls.to_string()));
        let child = Command::new(python())
            .envs(strict)
            .args(["-m", "moto.server", "-H", "127.0.0.1", "-p", "0"])
            .stdin(Stdio::null())
            .stdout(to_log.try_clone().unwrap())
            .stderr(to_log)
            .spawn()
            .unwrap();
        let mut moto = Self { child, url: String::new() };
        moto.url = wait_for("moto to listen", || {
            if let Some(status) = moto.child.try_wait().unwrap() {
                panic!("moto ended with {status}; its log is {}", log.display());
            }
            let said = fs::read_to_string(&log).unwrap();
            let at = said.split_once("Running on ")?.1;
            at.split_once('\n').map(|(url, _)| url.trim_end().to_owned())
        });
        moto
    }

    /// For `endpoint_url`.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// The table of a destination that leads to a delivery stream of this Firehose.
    pub fn destination(&self, name: &str, delivery_stream: &str) -> String {
        format!(
            "[destination.{name}]\ntype = \"firehose\"\ndelivery_stream = \"{delivery_stream}\"\n\
             region = \"{REGION}\"\nendpoint_url = \"{}\"\nretry_max = \"1 s\"\n",
            self.url()
        )
    }

    /// Makes a bucket and a delivery stream into it, both of this name.
    #[track_caller]
    pub fn create_delivery_stream(&self, name: &str) {
        let (status, body) = self.s3("PUT", name);
        assert_eq!(status, 200, "creating the bucket {name}: {body}");
        let wanted = json!({
            "DeliveryStreamName": name,
            "ExtendedS3DestinationConfiguration": {
                "RoleARN": "arn:aws:iam::123456789012:role/firehose",
                "BucketARN": format!("arn:aws:s3:::{name}"),
            },
        });
        aws_call(&self.url, "firehose", "Firehose_20150804.CreateDeliveryStream", &wanted);
    }

    /// Makes a Kinesis stream of one shard.
    #[track_caller]
    pub fn create_stream(&self, name: &str) {
        let wanted = json!({ "StreamName": name, "ShardCount": 1 });
        aws_call(&self.url, "kinesis", "Kinesis_20131202.CreateStream", &wanted);
    }

    /// One call of IAM; the XML of its answer.
    #[track_caller]
    pub fn iam(&self, form: &[(&str, &str)]) -> String {
        let request = http()
            .post(&self.url)
            .header("x-amz-date", "20260101T000000Z")
            .header("authorization", authorization("iam"));
        let version = ("Version", "2010-05-08");
        let mut response = request.send_form(form.iter().copied().chain([version])).unwrap();
        let answer = body(&mut response);
        assert_eq!(response.status(), 200, "{form:?}: {answer}");
        answer
    }

    /// Makes a user pool with a client and the user `device-1`; the pool, the client, and an access
    /// and an id token of the user.
    #[track_caller]
    pub fn cognito_tokens(&self) -> (String, String, String, String) {
        let call = |action: &str, wanted: Value| {
            let target = format!("AWSCognitoIdentityProviderService.{action}");
            aws_call(&self.url, "cognito-idp", &target, &wanted)
        };
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let pool = text(&call("CreateUserPool", json!({"PoolName": "devices"}))["UserPool"]["Id"]);
        let flows = json!(["ALLOW_ADMIN_USER_PASSWORD_AUTH"]);
        let wanted = json!({"UserPoolId": pool, "ClientName": "weir", "ExplicitAuthFlows": flows});
        let client = text(&call("CreateUserPoolClient", wanted)["UserPoolClient"]["ClientId"]);
        call("AdminCreateUser", json!({"UserPoolId": pool, "Username": "device-1"}));
        let password = "Passw0rd!";
        call(
            "AdminSetUserPassword",
            json!({"UserPoolId": pool, "Username": "device-1", "Password": password, "Permanent": true}),
        );
        let answer = call(
            "AdminInitiateAuth",
            json!({
                "UserPoolId": pool, "ClientId": client, "AuthFlow": "ADMIN_USER_PASSWORD_AUTH",
                "AuthParameters": {"USERNAME": "device-1", "PASSWORD": password},
            }),
        );
        let tokens = &answer["AuthenticationResult"];
        (pool, client, text(&tokens["AccessToken"]), text(&tokens["IdToken"]))
    }

    /// The public keys of a pool. moto finds it by the host that AWS has for it.
    #[track_caller]
    pub fn cognito_keys(&self, pool: &str) -> String {
        let request = http()
            .get(format!("{}/{pool}/.well-known/jwks.json", self.url))
            .header("host", format!("cognito-idp.{REGION}.amazonaws.com"));
        body(&mut request.call().unwrap())
    }

    /// Makes a KMS key; its id.
    #[track_caller]
    pub fn create_key(&self) -> String {
        let made = aws_call(&self.url, "kms", "TrentService.CreateKey", &json!({}));
        text(&made["KeyMetadata"]["KeyId"]).to_owned()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.url.trim_start_matches("http://").parse().unwrap()
    }

    /// Every line of every object of the bucket.
    #[track_caller]
    pub fn lines(&self, bucket: &str) -> Vec<Vec<u8>> {
        self.objects(bucket).into_iter().flat_map(|(_, lines)| lines).collect()
    }

    /// Key and lines of every object of the bucket, in the order of the keys.
    #[track_caller]
    pub fn objects(&self, bucket: &str) -> Vec<(String, Vec<Vec<u8>>)> {
        let lines = |object: &str| object.lines().map(|line| line.as_bytes().to_vec()).collect();
        let read = |key: String| {
            let object = self.s3("GET", &format!("{bucket}/{key}")).1;
            (key, lines(&object))
        };
        self.keys(bucket).into_iter().map(read).collect()
    }

    /// The keys of every object of the bucket, in order.
    #[track_caller]
    pub fn keys(&self, bucket: &str) -> Vec<String> {
        let mut keys: Vec<String> = Vec::new();
        loop {
            let after = keys.last().map(|key| format!("&start-after={key}")).unwrap_or_default();
            let (status, page) = self.s3("GET", &format!("{bucket}?list-type=2{after}"));
            assert_eq!(status, 200, "listing {bucket}: {page}");
            let found = page.split("<Key>").skip(1).filter_map(|rest| rest.split_once("</Key>"));
            keys.extend(found.map(|(key, _)| key.to_owned()));
            if !page.contains("<IsTruncated>true") {
                return keys;
            }
        }
    }

    fn s3(&self, method: &str, path: &str) -> (u16, String) {
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}/{path}", self.url))
            .header("authorization", authorization("s3"))
            .body(())
            .unwrap();
        let mut response = http().run(request).unwrap();
        (response.status().as_u16(), body(&mut response))
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // Both fail only if it ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Takes aggregates apart with `aws_kinesis_agg`.
#[track_caller]
fn taken_apart(entries: Vec<Arrival>) -> Vec<Arrival> {
    if !entries.iter().any(|entry| entry.data.starts_with(&[0xf3, 0x89, 0x9a, 0xc2])) {
        return entries;
    }
    let asked: Vec<Value> = entries
        .iter()
        .map(|entry| json!([BASE64_STANDARD.encode(&entry.data), entry.partition_key, entry.range]))
        .collect();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/deaggregate.py");
    let mut child = Command::new(python())
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        stdin.write_all(Value::from(asked).to_string().as_bytes()).unwrap();
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "{output:?}");
    let told: Vec<Told> = serde_json::from_slice(&output.stdout).unwrap();
    let arrival = |(from, data, partition_key, hash_key, aggregated): Told| Arrival {
        data: BASE64_STANDARD.decode(data).unwrap(),
        partition_key,
        hash_key: hash_key.map(|key| key.parse().unwrap()),
        shard: entries[from].shard.clone(),
        range: entries[from].range.clone(),
        aggregated,
    };
    told.into_iter().map(arrival).collect()
}

/// Entry, data, partition key, explicit hash key, whether it came in an aggregate.
type Told = (usize, String, String, Option<String>, bool);

/// The interpreter that has moto and `aws_kinesis_agg`.
fn python() -> PathBuf {
    venv_program("python")
}

/// A program that `./tests/run` installs.
pub fn venv_program(name: &str) -> PathBuf {
    let venv = std::env::var_os("WEIR_TEST_VENV")
        .map_or_else(|| PathBuf::from("target/venv"), PathBuf::from);
    let program = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(venv).join("bin").join(name);
    assert!(program.exists(), "`{name}` is missing: run ./tests/run once, it installs it");
    program
}

/// Every line of every finished object below a folder that a directory destination writes.
pub fn object_lines(folder: &Path) -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() && !name.to_string_lossy().starts_with('.') {
            lines.extend(object_lines(&path));
        } else if name.to_string_lossy().ends_with(".ndjson") {
            let bytes = fs::read(&path).unwrap();
            let whole = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
            lines.extend(whole.split(|byte| *byte == b'\n').map(<[u8]>::to_vec));
        }
    }
    lines
}

#[track_caller]
fn aws_call(url: &str, service: &str, target: &str, wanted: &Value) -> Value {
    let request = http()
        .post(url)
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", target)
        .header("x-amz-date", "20260101T000000Z")
        .header("authorization", authorization(service));
    let mut response = request.send(wanted.to_string()).unwrap();
    let answer = body(&mut response);
    assert_eq!(response.status(), 200, "{target}: {answer}");
    serde_json::from_str(&answer).unwrap_or(Value::Null)
}

/// Both look at the service in it and at nothing else.
fn authorization(service: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential=AKID/20260101/{REGION}/{service}/aws4_request, \
         SignedHeaders=host;x-amz-date;x-amz-target, Signature=00"
    )
}

fn http() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(60)))
        .build()
        .into()
}

fn body(response: &mut ureq::http::Response<ureq::Body>) -> String {
    response.body_mut().with_config().limit(1 << 30).read_to_string().unwrap()
}

#[track_caller]
fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("text was expected, this came: {value}"))
}
