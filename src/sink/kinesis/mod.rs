//! Kinesis Data Streams: PutRecords, and what is worth knowing of the stream.

pub(super) mod aggregate;
mod belief;
mod body;
mod cbor;
mod digest;
mod facts;
mod fleet;
mod known;
mod listing;
mod members;
mod probe;
mod protocol;
mod reading;
mod refusals;
mod scout;
mod shards;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::error::SdkError;
use aws_sdk_kinesis::operation::put_records::{PutRecordsError, PutRecordsOutput};
use aws_sdk_kinesis::types::PutRecordsResultEntry;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use bytes::Bytes;
use tokio::time::Instant;

use super::aws::{Keeper, Meter};
use super::{
    AwsSettings, Entry, Fate, Fault, Form, KinesisSettings, Limits, Load, Outcome, Prospect,
    ServiceClock, Sink, aws,
};
use crate::record::RoutingKey;
use belief::Doubt;
use protocol::{Spoken, Told, Wire, told_by};
use scout::Scout;

pub(crate) use aggregate::is_aggregate;
pub use facts::{StreamFacts, StreamNews};
pub use members::Member;
pub(crate) use members::members;
pub use reading::{Begin, Content, Lineage, Offspring, Page, Reading, Taken};
pub use shards::{HashRange, Shard, ShardMap};

/// Most records of one PutRecords call, as the service model says.
const ENTRIES_MAX: usize = 500;

/// Most bytes of one PutRecords call: data before base64, and partition keys.
const REQUEST_BYTES_MAX: usize = 10 << 20;

/// Codes of a stream that is not there, or is just being made or deleted.
const GONE: [&str; 2] = ["ResourceNotFound", "ResourceInUse"];

/// One data stream.
#[derive(Debug)]
pub struct Kinesis {
    client: Client,
    keeper: Keeper,
    meter: Meter,
    settings: AwsSettings,
    stream: StreamName,
    record_bytes_max: usize,
    /// The largest record that the stream took.
    taken_bytes: AtomicUsize,
    aggregate_bytes: Option<usize>,
    spoken: Spoken,
    scout: Scout,
}

/// The stream as requests name it: by one of these.
#[derive(Clone, Debug)]
struct StreamName {
    name: Option<String>,
    arn: Option<String>,
}

impl StreamName {
    fn text(&self) -> &str {
        self.name.as_deref().or(self.arn.as_deref()).unwrap_or_default()
    }

    fn bytes(&self) -> usize {
        [&self.name, &self.arn].into_iter().flatten().map(String::len).sum()
    }
}

impl Kinesis {
    /// Makes a client for the stream; the network is not touched before the first request.
    ///
    /// # Errors
    /// In words, when the settings name no region or no usable endpoint.
    pub async fn connect(settings: &KinesisSettings, clock: &ServiceClock) -> Result<Self, String> {
        Self::connect_with(settings, clock, None).await
    }

    /// The same with credentials of the caller's choosing.
    pub(crate) async fn connect_with(
        settings: &KinesisSettings,
        clock: &ServiceClock,
        credentials: Option<SharedCredentialsProvider>,
    ) -> Result<Self, String> {
        let (config, keeper, meter) = aws::config(&settings.aws, clock, credentials).await?;
        let client = Client::new(&config);
        let stream = settings.stream_name.clone();
        let is_arn = stream.starts_with("arn:");
        let (name, arn) = if is_arn { (None, Some(stream)) } else { (Some(stream), None) };
        let stream = StreamName { name, arn };
        let size = |bytes| usize::try_from(bytes).unwrap_or(usize::MAX).min(REQUEST_BYTES_MAX);
        Ok(Self {
            scout: Scout::new(client.clone(), stream.clone()),
            client,
            keeper,
            meter,
            settings: settings.aws.clone(),
            stream,
            record_bytes_max: size(settings.max_record_bytes),
            taken_bytes: AtomicUsize::new(0),
            aggregate_bytes: settings.aggregate_bytes.map(size),
            spoken: Spoken::new(
                settings.protocol,
                aws::endpoint_of(&settings.aws, &config, "KINESIS").as_deref(),
            ),
        })
    }

    /// Permissions that the policy lacks, of those that would save something.
    pub fn missing_permissions(&self) -> Vec<&'static str> {
        self.scout.missing()
    }

    /// When the credentials at hand end, in milliseconds since 1970; `None` while there are none, or
    /// where they have no end.
    pub fn credentials_end_unix_ms(&self) -> Option<u64> {
        self.keeper.end_unix_ms()
    }

    /// Takes up what an earlier run learned of the stream so long ago; before it is tended.
    pub fn recall(&self, facts: StreamFacts, age: Duration) {
        self.scout.recall(facts, age);
    }

    /// What is learned of the stream from now on.
    pub fn news(&self) -> StreamNews {
        self.scout.news()
    }

    /// Takes to heart what a fault of a request says of more than the request.
    fn heed(&self, fault: &Fault) {
        self.keeper.heed(fault);
        if GONE.iter().any(|code| fault.code.starts_with(code)) {
            self.scout.lost();
        }
    }

    /// Whether answers contradict what the stream says of its shards, or it says nothing whole.
    pub fn is_in_doubt(&self) -> bool {
        self.scout.known().is_in_doubt()
    }

    /// What became of each entry, and whether it went where it was meant to.
    async fn fates(
        &self,
        meant: Vec<Option<Shard>>,
        results: Vec<PutRecordsResultEntry>,
    ) -> Vec<Fate> {
        self.scout.answered();
        let mut fates: Vec<_> = results.iter().map(fate).collect();
        // Of those that were taken, where they were to go and where they are.
        let mut taken: Vec<(&mut Fate, &Shard, &str)> = Vec::new();
        for ((fate, meant), result) in fates.iter_mut().zip(&meant).zip(&results) {
            if let (Fate::Taken, Some(meant), Some(is_in)) = (&fate, meant, &result.shard_id) {
                taken.push((fate, meant, is_in));
            }
        }
        let map = self.scout.known().map().cloned();
        if let Some(map) = map {
            let doubts = taken.iter().filter_map(|(_, meant, is_in)| Doubt::of(&map, meant, is_in));
            if let Some(doubt) = doubts.max() {
                self.scout.doubt(&map, doubt).await;
            }
        }
        let known = self.scout.known();
        for (fate, meant, is_in) in taken {
            *fate = known.judge(meant, is_in);
        }
        drop(known);
        fates
    }
}

/// The code of a request that was refused for its form only.
const FORM_REFUSED: &str = "cbor-refused";

type Answer = Result<PutRecordsOutput, SdkError<PutRecordsError, HttpResponse>>;

impl Kinesis {
    async fn send(&self, wire: Wire, entries: Vec<Entry>) -> Answer {
        let body = body::write(wire, &self.stream, entries);
        self.client
            .put_records()
            .set_stream_name(self.stream.name.clone())
            .set_stream_arn(self.stream.arn.clone())
            .customize()
            .mutate_request(move |request| body::put_into(request, wire, &body))
            .send()
            .await
    }

    /// Sends it as it is understood.
    async fn ask(&self, entries: Vec<Entry>) -> Result<PutRecordsOutput, Fault> {
        match self.spoken.known(Instant::now()) {
            None => self.try_cbor(entries).await,
            Some(Wire::Json) => self.send(Wire::Json, entries).await.map_err(aws::fault_of),
            Some(Wire::Cbor) => {
                let answer = self.send(Wire::Cbor, entries).await;
                let told = told_by(&answer);
                let is_doubted = self.spoken.heard(told) && told == Told::Refused;
                // The entries are gone: it goes again, and the other way is tried then. Until that is
                // refused too, nothing is known against the records.
                answer.map_err(aws::fault_of).map_err(|fault| match is_doubted {
                    true => aws::ambiguous(FORM_REFUSED, fault.message),
                    false => fault,
                })
            }
        }
    }

    /// Nobody knows whether CBOR is understood: where it is not, the same goes in JSON, and if that is
    /// taken, JSON it is.
    async fn try_cbor(&self, entries: Vec<Entry>) -> Result<PutRecordsOutput, Fault> {
        let answer = self.send(Wire::Cbor, entries.clone()).await;
        let told = told_by(&answer);
        if !self.spoken.heard(told) {
            return answer.map_err(aws::fault_of);
        }
        // What may have been taken does not go at once: who waits a little brings fewer duplicates.
        if told == Told::Unreadable {
            self.spoken.took_json(self.stream.text(), Instant::now());
            return answer.map_err(aws::fault_of);
        }
        let answer = self.send(Wire::Json, entries).await;
        if answer.is_ok() {
            self.spoken.took_json(self.stream.text(), Instant::now());
        }
        answer.map_err(aws::fault_of)
    }
}

impl Sink for Kinesis {
    fn kind(&self) -> &'static str {
        "kinesis"
    }

    fn limits(&self) -> Limits {
        // No record is given up for what is only assumed, or was heard long ago.
        let is_told = self.scout.known().is_record_bytes_max_told();
        let entry_bytes = if is_told { self.sure_bytes() } else { REQUEST_BYTES_MAX };
        Limits { entries: ENTRIES_MAX, request_bytes: REQUEST_BYTES_MAX, entry_bytes }
    }

    fn sure_bytes(&self) -> usize {
        let learned = self.scout.known().facts.record_bytes_max.unwrap_or_default();
        let taken = self.taken_bytes.load(Ordering::Relaxed);
        self.record_bytes_max.max(learned).max(taken).min(REQUEST_BYTES_MAX)
    }

    fn weigh(&self, entry: &Entry) -> usize {
        entry.key.len() + entry.data.len()
    }

    fn weigh_record(&self, key: RoutingKey<'_>, payload: &Bytes) -> usize {
        key.bytes() + payload.len()
    }

    fn wire_bytes(&self, load: Load) -> u64 {
        // What is written around it is the same for every entry. In JSON, data goes in base64.
        const AROUND_ENTRY: usize = r#"{"Data":"","PartitionKey":""},"#.len();
        // Seven in ten numbers of 128 bits have 39 digits, and nearly all others 38.
        const HASH_KEY: usize = r#","ExplicitHashKey":"""#.len() + 39;
        let Load { entries, weight, hash_keys } = load;
        if self.spoken.known(Instant::now()) == Some(Wire::Cbor) {
            return (weight + entries * cbor::AROUND_ENTRY + hash_keys * cbor::HASH_KEY) as u64;
        }
        (weight.div_ceil(3) * 4 + entries * AROUND_ENTRY + hash_keys * HASH_KEY) as u64
    }

    fn entry(&self, key: String, payload: Bytes) -> Entry {
        Entry::plain(key, payload)
    }

    fn form(&self) -> Option<Form> {
        let wanted = self.aggregate_bytes?;
        // Its readers drop what an aggregate carries of other shards than the one it ended up in.
        let may_pack = self.scout.known().may_pack();
        may_pack.then(|| Form::Aggregate { weight_max: wanted.min(self.sure_bytes()) })
    }

    fn shards(&self) -> Option<Arc<ShardMap>> {
        self.scout.known().map_of_keys().cloned()
    }

    fn has_shards(&self) -> bool {
        true
    }

    fn is_in_doubt(&self) -> bool {
        Self::is_in_doubt(self)
    }

    fn prospect(&self) -> Prospect {
        self.aggregate_bytes.map_or(Prospect::None, |_| self.scout.wish())
    }

    async fn tend(&self) {
        self.scout.tend().await;
    }

    async fn tended(&self) {
        self.scout.has_looked().await;
    }

    fn told_unix_ms(&self) -> Option<u64> {
        self.keeper.told_unix_ms()
    }

    fn upload_rate(&self) -> Option<u64> {
        self.meter.take()
    }

    async fn put(&self, entries: Vec<Entry>) -> Outcome {
        let sent = entries.len();
        let heaviest = entries.iter().map(|entry| self.weigh(entry)).max().unwrap_or_default();
        let meant = entries.iter().map(|entry| entry.shard.clone()).collect();
        let answer = self.ask(entries).await.inspect_err(|fault| self.heed(fault))?;
        if answer.records.len() != sent {
            return Err(aws::miscounted(sent, answer.records.len()));
        }
        let fates = self.fates(meant, answer.records).await;
        if !fates.iter().any(|fate| matches!(fate, Fate::Failed(_))) {
            self.taken_bytes.fetch_max(heaviest, Ordering::Relaxed);
        }
        Ok(fates)
    }

    async fn close(&self) {}
}

/// Only a sequence number says that the stream has the record.
fn fate(result: &PutRecordsResultEntry) -> Fate {
    let (code, message) = (result.error_code.as_deref(), result.error_message.as_deref());
    aws::fate(result.sequence_number.as_deref(), code, message)
}
