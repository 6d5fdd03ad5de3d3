//! Kinesis Data Streams: PutRecords.

use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, PutRecordsResultEntry};
use bytes::Bytes;

use super::aws::Keeper;
use super::{Entry, Fate, KinesisSettings, Limits, Outcome, ServiceClock, Sink, aws};

/// Most records of one PutRecords call, as the service model says.
const ENTRIES_MAX: usize = 500;

/// Most bytes of one PutRecords call: data before base64, and partition keys.
const REQUEST_BYTES_MAX: usize = 10 << 20;

/// One data stream.
#[derive(Debug)]
pub struct Kinesis {
    client: Client,
    keeper: Keeper,
    name: Option<String>,
    arn: Option<String>,
    record_bytes_max: usize,
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
        let (config, keeper) = aws::config(&settings.aws, clock, credentials).await?;
        let client = Client::new(&config);
        let stream = settings.stream_name.clone();
        let is_arn = stream.starts_with("arn:");
        let (name, arn) = if is_arn { (None, Some(stream)) } else { (Some(stream), None) };
        let record_bytes_max = usize::try_from(settings.max_record_bytes).unwrap_or(usize::MAX);
        Ok(Self {
            client,
            keeper,
            name,
            arn,
            record_bytes_max: record_bytes_max.min(REQUEST_BYTES_MAX),
        })
    }
}

impl Sink for Kinesis {
    fn kind(&self) -> &'static str {
        "kinesis"
    }

    fn limits(&self) -> Limits {
        Limits {
            entries: ENTRIES_MAX,
            request_bytes: REQUEST_BYTES_MAX,
            entry_bytes: self.record_bytes_max,
        }
    }

    fn weigh(&self, entry: &Entry) -> usize {
        entry.key.len() + entry.data.len()
    }

    fn entry(&self, key: String, payload: Bytes) -> Entry {
        Entry { key, data: payload }
    }

    async fn put(&self, entries: Vec<Entry>) -> Outcome {
        let sent = entries.len();
        let records = entries
            .into_iter()
            .map(|entry| {
                let data = Blob::new(Vec::from(entry.data));
                PutRecordsRequestEntry::builder().data(data).partition_key(entry.key).build()
            })
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| aws::unbuilt(&error))?;
        let answer = self
            .client
            .put_records()
            .set_stream_name(self.name.clone())
            .set_stream_arn(self.arn.clone())
            .set_records(Some(records))
            .send()
            .await
            .map_err(aws::fault_of)
            .inspect_err(|fault| self.keeper.heed(fault))?;
        aws::outcome(sent, answer.records.into_iter().map(fate).collect())
    }

    async fn close(&self) {}
}

/// Only a sequence number says that the stream has the record.
fn fate(result: PutRecordsResultEntry) -> Fate {
    let (code, message) = (result.error_code.as_deref(), result.error_message.as_deref());
    aws::fate(result.sequence_number.as_deref(), code, message)
}
