//! A Kinesis and Firehose that does what a test tells it, over real HTTP on the loopback.
//!
//! It refuses what the real services refuse (counts, sizes, keys), keeps what it took, and answers
//! each request by a script: `fake.script(|request| Answer::Take)`.

#![allow(dead_code, reason = "each test binary uses its own part of this file")]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{AGE, AUTHORIZATION, CONTENT_TYPE, DATE, RETRY_AFTER};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use md5::{Digest as _, Md5};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// The running fake; it ends when it is dropped.
pub(crate) struct FakeUpstream {
    state: Arc<Mutex<State>>,
    address: SocketAddr,
    connections: JoinSet<()>,
}

/// Which service was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// PutRecords.
    Kinesis,
    /// PutRecordBatch.
    Firehose,
}

/// A request as the script sees it.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Counted from 0 over all requests.
    pub(crate) number: usize,
    /// Which service was called.
    pub(crate) service: Service,
    /// Name or ARN of the stream.
    pub(crate) stream: String,
    /// What it carries, in order.
    pub(crate) records: Vec<Sent>,
    /// Bytes of the body.
    pub(crate) body_bytes: usize,
    /// Whether it came in CBOR.
    pub(crate) is_cbor: bool,
    /// Day, region and service that the signature is for.
    pub(crate) scope: String,
    /// The time it was signed for.
    pub(crate) signed_at: String,
}

/// One record of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    /// The partition key; empty for Firehose.
    pub(crate) key: String,
    /// The explicit hash key, if it has one.
    pub(crate) hash_key: Option<u128>,
    /// The data, decoded.
    pub(crate) data: Vec<u8>,
}

impl Sent {
    /// The number that chooses its shard.
    pub(crate) fn hash(&self) -> u128 {
        self.hash_key.unwrap_or_else(|| u128::from_be_bytes(Md5::digest(&self.key).into()))
    }
}

/// One record that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Number of the request that brought it.
    pub(crate) request: usize,
    /// Name or ARN of the stream.
    pub(crate) stream: String,
    /// The partition key; empty for Firehose.
    pub(crate) key: String,
    /// The explicit hash key, if it had one.
    pub(crate) hash_key: Option<u128>,
    /// The first and the last hash of the shard that it is in, if there are shards.
    pub(crate) shard: Option<(u128, u128)>,
    /// The data, decoded.
    pub(crate) data: Vec<u8>,
}

/// What becomes of a request.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// All records are taken.
    Take,
    /// Records with `Some` fail with that code and message, the others are taken. Records behind
    /// the end of the list are taken.
    Entries(Vec<Option<(String, String)>>),
    /// The whole request is refused in the service's own JSON shape.
    Refuse {
        /// HTTP status.
        status: u16,
        /// `__type`.
        code: String,
        /// `message`.
        message: String,
        /// `x-amz-retry-after`, in milliseconds.
        retry_after_ms: Option<u64>,
    },
    /// Nothing is taken, and this is answered as it stands.
    Raw {
        /// HTTP status.
        status: u16,
        /// Content type.
        content_type: &'static str,
        /// Body.
        body: String,
        /// `Retry-After`, in seconds.
        retry_after_s: Option<u64>,
    },
    /// Nothing is taken; the connection closes without an answer.
    Reset,
    /// All records are taken; the connection closes without an answer.
    TakeAndReset,
    /// Nothing is taken; no answer ever comes.
    Stall,
    /// All records are taken; no answer ever comes.
    TakeAndStall,
    /// The other answer, after this time.
    After(Duration, Box<Answer>),
    /// All records are taken; the answer says that it comes from a cache.
    Aged,
    /// All records are taken, but this many results are answered.
    TakeAndMiscount(usize),
    /// All records are taken, and each result has both a receipt and a fault.
    TakeAndContradict,
    /// Nothing is taken, and each result has neither.
    SayNothing,
}

impl Answer {
    /// A refusal of the whole request.
    pub(crate) fn refuse(status: u16, code: &str, message: &str) -> Self {
        let (code, message) = (code.to_owned(), message.to_owned());
        Self::Refuse { status, code, message, retry_after_ms: None }
    }

    /// Records for which `fails` holds fail with this code, the others are taken.
    pub(crate) fn fail_entries(
        request: &Request,
        code: &str,
        fails: impl Fn(usize, &Sent) -> bool,
    ) -> Self {
        let failed = Some((code.to_owned(), format!("{code} for this record")));
        let of = |(place, sent)| if fails(place, sent) { failed.clone() } else { None };
        Self::Entries(request.records.iter().enumerate().map(of).collect())
    }
}

type Script = Box<dyn FnMut(&Request) -> Answer + Send>;

struct State {
    script: Script,
    requests: Vec<Request>,
    taken: Vec<Taken>,
    limits_are_kept: bool,
    /// With which status it refuses CBOR.
    refuses_cbor: Option<u16>,
    time_is_kept: bool,
    /// How far its clock is ahead.
    ahead: time::Duration,
    shards: Option<Shards>,
    /// What it lists in place of its shards.
    listed: Option<Shards>,
    /// How often it was deleted and made anew.
    lives: u32,
    /// Why it tells nobody of its shards.
    keeps_to_itself: Option<&'static str>,
    lists_half: bool,
    looks: usize,
    listings: usize,
}

/// What the policy does not permit.
const DENIED: &str = "AccessDeniedException";

/// What the stream says of itself.
#[derive(Clone, Copy, Debug)]
struct Shards {
    /// The hashes are divided evenly among so many.
    count: u128,
    /// The number of the first; a reshard gives new ones.
    first: u128,
    /// `USER_PARTITION_KEY`, `AUTO`; `None`: the stream does not say.
    strategy: Option<&'static str>,
    /// Which stream of this name it is.
    life: u32,
}

impl Shards {
    fn of(self, hash: u128) -> String {
        format!("shardId-{:012}", self.first + hash / self.size())
    }

    fn size(self) -> u128 {
        (u128::MAX / self.count).saturating_add(1)
    }

    /// As long as the service's own.
    fn begins(self) -> String {
        format!("4959{:052}", self.life)
    }

    fn range_of(self, hash: u128) -> (u128, u128) {
        let first = hash / self.size() * self.size();
        (first, first + (self.size() - 1))
    }

    fn list(self) -> Value {
        let shard = |place: u128| {
            let first = place * self.size();
            let last = if place + 1 == self.count { u128::MAX } else { first + self.size() - 1 };
            let mut shard = json!({
                "ShardId": self.of(first),
                "HashKeyRange": {
                    "StartingHashKey": first.to_string(), "EndingHashKey": last.to_string(),
                },
                "SequenceNumberRange": { "StartingSequenceNumber": self.begins() },
            });
            if self.first > 0 {
                shard["ParentShardId"] = "shardId-000000000000".into();
            }
            shard
        };
        json!({ "Shards": (0..self.count).map(shard).collect::<Vec<_>>() })
    }

    fn summary(self) -> Value {
        let mut summary = json!({
            "StreamName": "access", "StreamStatus": "ACTIVE", "RetentionPeriodHours": 24,
            "StreamARN": "arn:aws:kinesis:eu-west-1:123456789012:stream/access",
            "StreamModeDetails": { "StreamMode": "ON_DEMAND" }, "EnhancedMonitoring": [],
            "StreamCreationTimestamp": f64::from(self.life), "OpenShardCount": 4, "MaxRecordSizeInKiB": 2048,
        });
        if let Some(strategy) = self.strategy {
            summary["RecordDistributionStrategy"] = strategy.into();
        }
        json!({ "StreamDescriptionSummary": summary })
    }
}

impl FakeUpstream {
    /// Starts one that takes everything within the services' limits.
    pub(crate) async fn start() -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// Starts one at an address, for a test that knew it before.
    pub(crate) async fn start_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.expect("the loopback has a port left");
        let address = listener.local_addr().expect("a bound listener has an address");
        let state = Arc::new(Mutex::new(State {
            script: Box::new(|_| Answer::Take),
            requests: Vec::new(),
            taken: Vec::new(),
            limits_are_kept: true,
            refuses_cbor: None,
            time_is_kept: false,
            ahead: time::Duration::ZERO,
            shards: None,
            listed: None,
            lives: 1,
            keeps_to_itself: None,
            lists_half: false,
            looks: 0,
            listings: 0,
        }));
        let mut connections = JoinSet::new();
        connections.spawn(accept(listener, Arc::clone(&state)));
        Self { state, address, connections }
    }

    /// Ends it: returns once nobody listens any more and its connections are gone.
    pub(crate) async fn stop(mut self) {
        self.connections.shutdown().await;
    }

    /// For `endpoint_url`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Decides about every request from now on.
    pub(crate) fn script(&self, script: impl FnMut(&Request) -> Answer + Send + 'static) {
        self.locked().script = Box::new(script);
    }

    /// Answers the next `count` requests with this, and takes all later ones.
    pub(crate) fn next(&self, count: usize, answer: Answer) {
        let mut left = count;
        self.script(move |_| {
            let now = left > 0;
            left = left.saturating_sub(1);
            if now { answer.clone() } else { Answer::Take }
        });
    }

    /// Refuses every request that carries a record for which `is_poison` holds.
    pub(crate) fn poisoned_by(&self, is_poison: impl Fn(&Sent) -> bool + Send + 'static) {
        self.script(move |request| {
            if request.records.iter().any(&is_poison) {
                Answer::refuse(400, "ValidationException", "a record is not valid")
            } else {
                Answer::Take
            }
        });
    }

    /// From now on refuses signatures that are more than five minutes off, as the services do.
    pub(crate) fn keep_time(&self) {
        self.locked().time_is_kept = true;
    }

    /// From now on what comes in CBOR gets a page of HTML, with this status.
    pub(crate) fn refuse_cbor(&self, status: u16) {
        self.locked().refuses_cbor = Some(status);
    }

    /// Its clock is so far ahead of everybody else's from now on.
    pub(crate) fn be_ahead(&self, by: time::Duration) {
        self.locked().ahead = by;
    }

    /// It has its shards, but lets nobody ask for them.
    pub(crate) fn keep_to_itself(&self) {
        self.locked().keeps_to_itself = Some(DENIED);
    }

    /// It has its shards, but is asked for them too often.
    pub(crate) fn put_off(&self) {
        self.locked().keeps_to_itself = Some("LimitExceededException");
    }

    /// It leaves out some of its shards, as in the middle of a reshard.
    pub(crate) fn list_half(&self) {
        self.locked().lists_half = true;
    }

    /// And from now on it tells all.
    pub(crate) fn tell(&self) {
        let mut state = self.locked();
        (state.keeps_to_itself, state.lists_half) = (None, false);
    }

    /// How often it was asked what it is.
    pub(crate) fn looks(&self) -> usize {
        self.locked().looks
    }

    /// How often its shards were asked for.
    pub(crate) fn listings(&self) -> usize {
        self.locked().listings
    }

    /// From now on it has so many shards, numbered from `first`, and tells of them and of how keys
    /// choose them. A power of two.
    pub(crate) fn shards(&self, count: u128, first: u128, strategy: Option<&'static str>) {
        let mut state = self.locked();
        state.shards = Some(Shards { count, first, strategy, life: state.lives });
        state.listed = None;
    }

    /// It was deleted and made anew, with so many shards; of their names some were there before.
    pub(crate) fn begin_anew(&self, count: u128, strategy: Option<&'static str>) {
        self.locked().lives += 1;
        self.shards(count, 0, strategy);
    }

    /// The same as [`Self::shards`], but it goes on listing those that it had.
    pub(crate) fn shards_unlisted(&self, count: u128, first: u128) {
        let mut state = self.locked();
        state.listed = state.listed.or(state.shards);
        let (life, strategy) = (state.lives, Some("USER_PARTITION_KEY"));
        state.shards = Some(Shards { count, first, strategy, life });
    }

    /// What was taken so far, in the order of taking.
    pub(crate) fn taken(&self) -> Vec<Taken> {
        self.locked().taken.clone()
    }

    /// Hands over what was taken since the last time, and forgets it and every request: for a test
    /// so long that it could not keep them all. Requests are counted from 0 again.
    pub(crate) fn carry_off(&self) -> Vec<Taken> {
        let mut state = self.locked();
        state.requests.clear();
        std::mem::take(&mut state.taken)
    }

    /// How many records were taken so far.
    pub(crate) fn taken_count(&self) -> usize {
        self.locked().taken.len()
    }

    /// Every request that arrived whole, whatever became of it.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.locked().requests.clone()
    }

    /// How many requests arrived whole.
    pub(crate) fn request_count(&self) -> usize {
        self.locked().requests.len()
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn accept(listener: TcpListener, state: Arc<Mutex<State>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        connections.spawn(async move {
            let service = service_fn(move |request| answer(request, Arc::clone(&state)));
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
            // A connection that the script closed ends with an error, as it should.
            drop(connection);
        });
    }
}

type Reply = hyper::Response<Full<Bytes>>;

async fn answer(
    request: hyper::Request<Incoming>,
    state: Arc<Mutex<State>>,
) -> Result<Reply, &'static str> {
    let kind = request.headers().get(CONTENT_TYPE).map(|kind| kind.as_bytes().to_vec());
    let is_cbor = kind.is_some_and(|kind| kind == CBOR.as_bytes());
    let mut reply = answer_of_now(request, is_cbor, Arc::clone(&state)).await?;
    if is_cbor {
        reply = in_cbor(reply).await;
    }
    let ahead = state.lock().unwrap_or_else(PoisonError::into_inner).ahead;
    if ahead != time::Duration::ZERO {
        let date = http_date(time::OffsetDateTime::now_utc() + ahead);
        reply.headers_mut().insert(DATE, date.parse().expect("a date is plain text"));
    }
    Ok(reply)
}

fn http_date(time: time::OffsetDateTime) -> String {
    let format = time::macros::format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    time.format(&format).expect("every time has a date")
}

const JSON: &str = "application/x-amz-json-1.1";
const CBOR: &str = "application/x-amz-cbor-1.1";

/// What was asked in CBOR is answered in it.
async fn in_cbor(reply: Reply) -> Reply {
    if reply.headers().get(CONTENT_TYPE).is_none_or(|kind| kind != JSON) {
        return reply;
    }
    let (mut head, body) = reply.into_parts();
    let body = body.collect().await.expect("it is whole").to_bytes();
    let document: Value = serde_json::from_slice(&body).expect("our own");
    let mut cbor = Vec::new();
    ciborium::into_writer(&document, &mut cbor).expect("memory takes it");
    head.headers.insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(CBOR));
    hyper::Response::from_parts(head, Full::new(cbor.into()))
}

/// The same in JSON, with blobs in base64.
fn in_json(document: ciborium::Value) -> Option<Value> {
    Some(match document {
        ciborium::Value::Map(members) => {
            let member = |(name, value): (ciborium::Value, _)| {
                Some((name.into_text().ok()?, in_json(value)?))
            };
            Value::Object(members.into_iter().map(member).collect::<Option<_>>()?)
        }
        ciborium::Value::Array(all) => {
            Value::Array(all.into_iter().map(in_json).collect::<Option<_>>()?)
        }
        ciborium::Value::Text(text) => text.into(),
        ciborium::Value::Bytes(bytes) => BASE64.encode(bytes).into(),
        _ => return None,
    })
}

async fn answer_of_now(
    request: hyper::Request<Incoming>,
    is_cbor: bool,
    state: Arc<Mutex<State>>,
) -> Result<Reply, &'static str> {
    let target = request.headers().get("x-amz-target").and_then(|value| value.to_str().ok());
    let service = match target.unwrap_or_default().rsplit('.').next() {
        Some("PutRecords") => Service::Kinesis,
        Some("PutRecordBatch") => Service::Firehose,
        Some(asked @ ("ListShards" | "DescribeStreamSummary")) => {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            state.looks += 1;
            state.listings += usize::from(asked == "ListShards");
            let refused = state.keeps_to_itself.or(state.shards.is_none().then_some(DENIED));
            return Ok(match (refused, state.shards) {
                (None, Some(shards)) if asked == "ListShards" => {
                    let mut list = state.listed.unwrap_or(shards).list();
                    if let Some(all) = list["Shards"].as_array_mut().filter(|_| state.lists_half) {
                        all.pop();
                    }
                    told(&list)
                }
                (None, Some(shards)) => told(&shards.summary()),
                (code, _) => refusal(400, code.unwrap_or(DENIED), "not for you", None),
            });
        }
        Some("DescribeDeliveryStream") => return Ok(told(&delivery_stream())),
        _ => return Ok(refusal(400, "UnknownOperationException", "", None)),
    };
    let header = |name: &str| {
        let value = request.headers().get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let signed_at = header("x-amz-date");
    let authorization = header(AUTHORIZATION.as_str());
    let scope = authorization.split("Credential=").nth(1).and_then(|rest| rest.split(',').next());
    let scope = scope.unwrap_or_default().to_owned();
    let body = request.into_body().collect().await.map_err(|_| "the body broke off")?.to_bytes();
    let refuses_cbor = state.lock().unwrap_or_else(PoisonError::into_inner).refuses_cbor;
    if let Some(status) = refuses_cbor.filter(|_| is_cbor) {
        return Ok(reply(status, "text/html", "<h1>what is this?</h1>".into()));
    }
    let Some(mut request) = read(service, is_cbor, &body) else {
        return Ok(refusal(400, "SerializationException", "the body is not understood", None));
    };

    (request.scope, request.signed_at) = (scope, signed_at);

    let mut decided = {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        request.number = state.requests.len();
        state.requests.push(request.clone());
        let late = late(&request.signed_at, state.ahead).filter(|_| state.time_is_kept);
        match beyond_limits(&request).filter(|_| state.limits_are_kept) {
            _ if late.is_some() => {
                let words = late.unwrap_or_default();
                Answer::refuse(400, "InvalidSignatureException", &words)
            }
            Some(words) => Answer::refuse(400, "InvalidArgumentException", words),
            None => (state.script)(&request),
        }
    };
    while let Answer::After(wait, then) = decided {
        tokio::time::sleep(wait).await;
        decided = *then;
    }
    carry_out(decided, &request, &state).await
}

async fn carry_out(
    decided: Answer,
    request: &Request,
    state: &Mutex<State>,
) -> Result<Reply, &'static str> {
    match decided {
        Answer::Take | Answer::After(..) => Ok(take(request, &[], state)),
        Answer::Entries(failed) => Ok(take(request, &failed, state)),
        Answer::Refuse { status, code, message, retry_after_ms } => {
            Ok(refusal(status, &code, &message, retry_after_ms))
        }
        Answer::Raw { status, content_type, body, retry_after_s } => {
            let mut reply = reply(status, content_type, body);
            if let Some(seconds) = retry_after_s {
                reply.headers_mut().insert(RETRY_AFTER, seconds.into());
            }
            Ok(reply)
        }
        Answer::Aged => {
            let mut reply = take(request, &[], state);
            reply.headers_mut().insert(AGE, 7.into());
            Ok(reply)
        }
        Answer::Reset => Err("closed by the script"),
        Answer::TakeAndReset => {
            drop(take(request, &[], state));
            Err("closed by the script")
        }
        Answer::Stall => never().await,
        Answer::TakeAndStall => {
            drop(take(request, &[], state));
            never().await
        }
        Answer::TakeAndContradict => {
            drop(take(request, &[], state));
            let mut results: Vec<_> = (0..request.records.len())
                .map(|place| success(request.service, request.number, place))
                .collect();
            for result in results.iter_mut().filter_map(Value::as_object_mut) {
                result.insert("ErrorCode".into(), "InternalFailure".into());
            }
            Ok(results_reply(request.service, results, 0))
        }
        Answer::SayNothing => {
            let results = vec![json!({ "ErrorCode": "", "RecordId": "" }); request.records.len()];
            Ok(results_reply(request.service, results, 0))
        }
        Answer::TakeAndMiscount(count) => {
            drop(take(request, &[], state));
            let results = vec![success(request.service, request.number, 0); count];
            Ok(results_reply(request.service, results, 0))
        }
    }
}

async fn never() -> Result<Reply, &'static str> {
    let never: Result<Infallible, &'static str> = std::future::pending().await;
    match never {
        Err(words) => Err(words),
    }
}

fn take(request: &Request, failed: &[Option<(String, String)>], state: &Mutex<State>) -> Reply {
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    let mut results = Vec::with_capacity(request.records.len());
    let mut failed_count = 0;
    for (place, sent) in request.records.iter().enumerate() {
        if let Some(Some((code, message))) = failed.get(place) {
            failed_count += 1;
            results.push(json!({ "ErrorCode": code, "ErrorMessage": message }));
            continue;
        }
        let mut result = success(request.service, request.number, place);
        if let (Some(shards), Service::Kinesis) = (state.shards, request.service) {
            result["ShardId"] = shards.of(sent.hash()).into();
        }
        results.push(result);
        let shard = state.shards.map(|shards| shards.range_of(sent.hash()));
        state.taken.push(Taken {
            shard,
            request: request.number,
            stream: request.stream.clone(),
            key: sent.key.clone(),
            hash_key: sent.hash_key,
            data: sent.data.clone(),
        });
    }
    results_reply(request.service, results, failed_count)
}

fn success(service: Service, request: usize, place: usize) -> Value {
    match service {
        Service::Kinesis => json!({
            "SequenceNumber": format!("4959{request:020}{place:06}"),
            "ShardId": "shardId-000000000000",
        }),
        Service::Firehose => json!({ "RecordId": format!("record-{request}-{place}") }),
    }
}

fn delivery_stream() -> Value {
    json!({ "DeliveryStreamDescription": {
        "DeliveryStreamName": "orders", "DeliveryStreamStatus": "ACTIVE",
        "DeliveryStreamARN": "arn:aws:firehose:us-east-1:123456789012:deliverystream/orders",
        "DeliveryStreamType": "DirectPut", "VersionId": "1", "Destinations": [],
        "HasMoreDestinations": false,
    }})
}

fn told(document: &Value) -> Reply {
    reply(200, JSON, document.to_string())
}

fn results_reply(service: Service, results: Vec<Value>, failed_count: usize) -> Reply {
    let body = match service {
        Service::Kinesis => json!({ "FailedRecordCount": failed_count, "Records": results }),
        Service::Firehose => json!({ "FailedPutCount": failed_count, "RequestResponses": results }),
    };
    reply(200, JSON, body.to_string())
}

fn refusal(status: u16, code: &str, message: &str, retry_after_ms: Option<u64>) -> Reply {
    let body = json!({ "__type": code, "message": message }).to_string();
    let mut reply = reply(status, JSON, body);
    if let Some(ms) = retry_after_ms {
        reply.headers_mut().insert("x-amz-retry-after", ms.into());
    }
    reply
}

fn reply(status: u16, content_type: &'static str, body: String) -> Reply {
    let mut reply = hyper::Response::new(Full::new(Bytes::from(body)));
    *reply.status_mut() = hyper::StatusCode::from_u16(status).expect("tests name real statuses");
    reply.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(content_type));
    reply
}

fn read(service: Service, is_cbor: bool, body: &[u8]) -> Option<Request> {
    let document: Value = match is_cbor {
        true => in_json(ciborium::from_reader(body).ok()?)?,
        false => serde_json::from_slice(body).ok()?,
    };
    let text = |name: &str| document.get(name).and_then(Value::as_str).map(str::to_owned);
    let stream = match service {
        Service::Kinesis => text("StreamName").or_else(|| text("StreamARN"))?,
        Service::Firehose => text("DeliveryStreamName")?,
    };
    let records = document.get("Records")?.as_array()?.iter().map(record).collect::<Option<_>>()?;
    let (scope, signed_at) = (String::new(), String::new());
    let (number, body_bytes) = (0, body.len());
    Some(Request { number, service, stream, records, body_bytes, is_cbor, scope, signed_at })
}

fn record(document: &Value) -> Option<Sent> {
    let key = document.get("PartitionKey").and_then(Value::as_str).unwrap_or_default();
    let data = BASE64.decode(document.get("Data")?.as_str()?).ok()?;
    let hash_key = document.get("ExplicitHashKey").and_then(Value::as_str);
    let hash_key = hash_key.map(|text| text.parse().ok()).unwrap_or_default();
    Some(Sent { key: key.to_owned(), hash_key, data })
}

/// Why a signature of that time (`20261124T150000Z`) is refused now.
fn late(signed_at: &str, ahead: time::Duration) -> Option<String> {
    let format = time::macros::format_description!("[year][month][day]T[hour][minute][second]Z");
    let now = time::OffsetDateTime::now_utc() + ahead;
    let Ok(signed) = time::PrimitiveDateTime::parse(signed_at, &format) else {
        return Some("no time of the signature".to_owned());
    };
    let apart = now - signed.assume_utc();
    let what = if apart > time::Duration::minutes(5) {
        "Signature expired"
    } else if apart < time::Duration::minutes(-5) {
        "Signature not yet current"
    } else {
        return None;
    };
    Some(format!("{what}: {signed_at} is not within 5 min. of {now}"))
}

/// What the real services refuse, whatever the script says.
fn beyond_limits(request: &Request) -> Option<&'static str> {
    let bytes = |sent: &Sent| sent.key.len() + sent.data.len();
    let (record_max, request_max, total) = match request.service {
        Service::Kinesis => (10 << 20, 10 << 20, request.records.iter().map(bytes).sum()),
        Service::Firehose => (1_024_000, 4 << 20, request.body_bytes),
    };
    let is_kinesis = request.service == Service::Kinesis;
    let key_is_wrong = |sent: &Sent| !(1..=256).contains(&sent.key.chars().count());
    if request.records.is_empty() || request.records.len() > 500 {
        Some("a request has 1 to 500 records")
    } else if total > request_max {
        Some("the request is too large")
    } else if request.records.iter().any(|sent| bytes(sent) > record_max) {
        Some("a record is too large")
    } else if is_kinesis && request.records.iter().any(key_is_wrong) {
        Some("a partition key has 1 to 256 characters")
    } else {
        None
    }
}
