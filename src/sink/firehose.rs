//! Data Firehose: PutRecordBatch.

mod pack;
mod probe;

use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_firehose::Client;
use aws_sdk_firehose::primitives::Blob;
use aws_sdk_firehose::types::{PutRecordBatchResponseEntry, Record};
use bytes::{BufMut as _, Bytes, BytesMut};

use self::pack::{Fill, pack};
use super::aws::{Keeper, Meter};
use super::{
    AwsSettings, Entry, Fate, FirehoseSettings, Limits, Load, Outcome, ServiceClock, Sink, aws,
};

/// Most records of one PutRecordBatch call, as the service model says.
const ENTRIES_MAX: usize = 500;

/// Most bytes of one record before base64, its newline included.
const RECORD_BYTES_MAX: usize = 1_024_000;

/// Most bytes of one call. The service does not say whether it counts before or after base64, so
/// the encoded body is held below it, less what surrounds the records (128 bytes at most).
const REQUEST_BYTES_MAX: usize = (4 << 20) - 128;

/// What JSON adds to the base64 of one record: `{"Data":""},`.
const WRAPPING_BYTES: usize = 12;

/// Most lines of one call when they are packed. Filled one after the other, records of at least
/// [`FirehoseSettings::PACK_BYTES_MIN`] number at most 2 × 3 MiB / 16 KiB + 1 = 385 for their bytes,
/// and one in 500 lines more where the lines of a record are counted: never more than 500.
const PACKED_LINES_MAX: usize = 50_000;

/// Most lines in one record that Firehose takes apart again; more break it silently.
const DEAGGREGATED_LINES_MAX: usize = 500;

/// What wraps 500 records, and what base64 adds at the end of each.
const PACKED_WRAPPING_BYTES: usize = ENTRIES_MAX * (WRAPPING_BYTES + 4);

/// One delivery stream.
#[derive(Debug)]
pub struct Firehose {
    client: Client,
    keeper: Keeper,
    meter: Meter,
    settings: AwsSettings,
    name: String,
    newline: bool,
    /// How records are filled; `None` sends each line as a record of its own.
    fill: Option<Fill>,
}

impl Firehose {
    /// Makes a client for the stream; the network is not touched before the first request.
    ///
    /// # Errors
    /// In words, when the settings name no region or no usable endpoint.
    pub async fn connect(
        settings: &FirehoseSettings,
        clock: &ServiceClock,
    ) -> Result<Self, String> {
        Self::connect_with(settings, clock, None).await
    }

    /// The same with credentials of the caller's choosing.
    pub(crate) async fn connect_with(
        settings: &FirehoseSettings,
        clock: &ServiceClock,
        credentials: Option<SharedCredentialsProvider>,
    ) -> Result<Self, String> {
        let (config, keeper, meter) = aws::config(&settings.aws, clock, credentials).await?;
        Ok(Self {
            client: Client::new(&config),
            keeper,
            meter,
            settings: settings.aws.clone(),
            name: settings.delivery_stream.clone(),
            newline: settings.newline,
            fill: fill(settings),
        })
    }
}

impl Firehose {
    /// When the credentials at hand end, in milliseconds since 1970; `None` while there are none, or
    /// where they have no end.
    pub fn credentials_end_unix_ms(&self) -> Option<u64> {
        self.keeper.end_unix_ms()
    }
}

impl Sink for Firehose {
    fn kind(&self) -> &'static str {
        "firehose"
    }

    fn limits(&self) -> Limits {
        let (entries, request_bytes) = match self.fill {
            Some(_) => (PACKED_LINES_MAX, REQUEST_BYTES_MAX - PACKED_WRAPPING_BYTES),
            None => (ENTRIES_MAX, REQUEST_BYTES_MAX),
        };
        Limits { entries, request_bytes, entry_bytes: self.weight(RECORD_BYTES_MAX) }
    }

    fn weigh(&self, entry: &Entry) -> usize {
        // Base64 rounds up to three bytes, so a record just over the limit would weigh the same.
        let over = usize::from(entry.data.len() > RECORD_BYTES_MAX);
        self.weight(entry.data.len()) + over
    }

    fn wire_bytes(&self, load: Load) -> u64 {
        load.weight as u64
    }

    fn entry(&self, key: String, payload: Bytes) -> Entry {
        let data = if self.newline { with_newline(payload) } else { payload };
        Entry::plain(key, data)
    }

    fn told_unix_ms(&self) -> Option<u64> {
        self.keeper.told_unix_ms()
    }

    fn upload_rate(&self) -> Option<u64> {
        self.meter.take()
    }

    async fn put(&self, entries: Vec<Entry>) -> Outcome {
        let mut packed = pack(entries, self.fill.unwrap_or(ALONE));
        let records = packed
            .take_records()
            .into_iter()
            .map(|data| Record::builder().data(Blob::new(Vec::from(data))).build())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| aws::unbuilt(&error))?;
        let answer = self
            .client
            .put_record_batch()
            .delivery_stream_name(&self.name)
            .set_records(Some(records))
            .send()
            .await
            .map_err(aws::fault_of)
            .inspect_err(|fault| self.keeper.heed(fault))?;
        let fates = answer.request_responses.into_iter().map(fate).collect();
        packed.unpack(fates).map_err(|answered| aws::miscounted(packed.count(), answered))
    }

    async fn close(&self) {}
}

impl Firehose {
    /// What so many bytes add to the body of a call. Packed, they share a record with others, whose
    /// wrapping is counted once for the whole call.
    fn weight(&self, bytes: usize) -> usize {
        match self.fill {
            Some(_) => (bytes * 4).div_ceil(3),
            None => encoded(bytes),
        }
    }
}

/// Each line its own record.
const ALONE: Fill = Fill { bytes: 0, lines: 1 };

/// Without newlines nobody could tell the lines of a record apart.
fn fill(settings: &FirehoseSettings) -> Option<Fill> {
    let lines = if settings.deaggregation { DEAGGREGATED_LINES_MAX } else { PACKED_LINES_MAX };
    let bytes = usize::try_from(settings.pack_bytes).unwrap_or(usize::MAX).min(RECORD_BYTES_MAX);
    (settings.pack && settings.newline).then_some(Fill { bytes, lines })
}

/// Only a record id says that the delivery stream has the record.
fn fate(result: PutRecordBatchResponseEntry) -> Fate {
    let (code, message) = (result.error_code.as_deref(), result.error_message.as_deref());
    aws::fate(result.record_id.as_deref(), code, message)
}

/// The bytes one record takes in the body of a call.
const fn encoded(data_bytes: usize) -> usize {
    data_bytes.div_ceil(3) * 4 + WRAPPING_BYTES
}

/// The payload with one newline at its end; one that has it is left as it is.
pub(super) fn with_newline(payload: Bytes) -> Bytes {
    if payload.ends_with(b"\n") {
        return payload;
    }
    let mut framed = BytesMut::with_capacity(payload.len() + 1);
    framed.put_slice(&payload);
    framed.put_u8(b'\n');
    framed.freeze()
}
