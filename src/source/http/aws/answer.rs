//! What a call is answered when all went well.

use bytes::Bytes;
use hyper::StatusCode;

use super::call::{Call, Operation, Service};
use super::fault;
use super::names::{delivery_stream_arn, sequence_number, stream_arn};
use super::pen::Pen;
use super::shards::Shards;
use crate::admission::Receipt;
use crate::base::serve::Answer;
use crate::source::http::manner::plain;

/// Bytes of what is said of one record.
const RECORD_BYTES: usize = 128;
/// Hours for which the services keep records unless they are told otherwise.
const RETENTION_HOURS: u64 = 24;
/// Shards that an account may have.
const SHARD_LIMIT: u64 = 500;

/// Records of a call that were stored, and those that its caller's plan held back.
pub(super) struct Stored<'a> {
    pub(super) receipt: &'a Receipt,
    /// The name that the caller used.
    pub(super) stream: &'a str,
    /// Where each record would go, as far as that is known.
    pub(super) shards: &'a Shards,
    pub(super) places: &'a [usize],
    /// How many came behind them and were not stored.
    pub(super) held_back: usize,
}

impl Call {
    /// With the form of the request.
    pub(super) fn ok(self, body: Bytes) -> Answer {
        plain(StatusCode::OK, body, Some(self.form.name()))
    }

    fn write(self, bytes: usize, members: impl FnOnce(&mut Pen)) -> Answer {
        self.ok(Pen::write(self.form, bytes, members))
    }

    /// A success needs the receipt.
    pub(super) fn stored(self, stored: &Stored<'_>) -> Answer {
        let count = stored.receipt.accepted as usize;
        let room = RECORD_BYTES * (1 + count + stored.held_back);
        match (self.service, self.operation) {
            (Service::Kinesis, Operation::PutRecord) => self.write(room, |pen| {
                stored.of_kinesis(pen, 0);
                pen.text("EncryptionType", "NONE");
            }),
            (Service::Kinesis, _) => self.write(room, |pen| {
                pen.number("FailedRecordCount", stored.held_back as u64);
                pen.maps("Records", 0..count + stored.held_back, |pen, index| {
                    if index < count {
                        stored.of_kinesis(pen, index);
                    } else {
                        stored.held_back(pen, Service::Kinesis);
                    }
                });
                pen.text("EncryptionType", "NONE");
            }),
            (Service::Firehose, Operation::PutRecord) => self.write(room, |pen| {
                stored.of_firehose(pen, 0);
                pen.flag("Encrypted", false);
            }),
            (Service::Firehose, _) => self.write(room, |pen| {
                pen.number("FailedPutCount", stored.held_back as u64);
                pen.flag("Encrypted", false);
                pen.maps("RequestResponses", 0..count + stored.held_back, |pen, index| {
                    if index < count {
                        stored.of_firehose(pen, index);
                    } else {
                        stored.held_back(pen, Service::Firehose);
                    }
                });
            }),
        }
    }
}

impl Stored<'_> {
    fn of_kinesis(&self, pen: &mut Pen, index: usize) {
        pen.text(
            "SequenceNumber",
            &sequence_number(self.receipt.place, self.receipt.turn, index as u64),
        );
        pen.text("ShardId", self.shards.id_at(self.places.get(index).copied()));
    }

    fn of_firehose(&self, pen: &mut Pen, index: usize) {
        let first = self.receipt.first.unwrap_or(crate::record::RecordId::NONE);
        let id = first.plus(u32::try_from(index).unwrap_or(u32::MAX));
        pen.text("RecordId", &id.text());
    }

    fn held_back(&self, pen: &mut Pen, service: Service) {
        let (code, message) = fault::of_entry(service, self.stream);
        pen.text("ErrorCode", code);
        pen.text("ErrorMessage", &message);
    }
}

/// A stream as its callers may describe it.
pub(super) struct Described<'a> {
    pub(super) max_record_bytes: u64,
    /// The name that the caller used.
    pub(super) name: &'a str,
    pub(super) region: &'a str,
    pub(super) since_unix_ms: u64,
    pub(super) shards: &'a Shards,
}

impl Described<'_> {
    pub(super) fn answer(&self, call: Call) -> Answer {
        match (call.service, call.operation) {
            (Service::Firehose, _) => call.write(512, |pen| {
                pen.map("DeliveryStreamDescription", |pen| self.of_firehose(pen));
            }),
            (Service::Kinesis, Operation::DescribeStream) => call.write(1024, |pen| {
                pen.map("StreamDescription", |pen| {
                    self.of_kinesis(pen);
                    self.shards.write(pen, 0..self.shards.count());
                    pen.flag("HasMoreShards", false);
                });
            }),
            (Service::Kinesis, _) => call.write(1024, |pen| {
                pen.map("StreamDescriptionSummary", |pen| {
                    self.of_kinesis(pen);
                    // There is one at least, also where it is not known how many.
                    pen.number("OpenShardCount", self.shards.count().max(1) as u64);
                    pen.number("ConsumerCount", 0);
                    let kib = (self.max_record_bytes >> 10).max(1);
                    pen.number("MaxRecordSizeInKiB", kib);
                });
            }),
        }
    }

    fn of_kinesis(&self, pen: &mut Pen) {
        pen.text("StreamName", self.name);
        pen.text("StreamARN", &stream_arn(self.region, self.name));
        pen.text("StreamStatus", "ACTIVE");
        // Keys choose shards, which is what makes aggregates possible.
        pen.map("StreamModeDetails", |pen| pen.text("StreamMode", "PROVISIONED"));
        pen.number("RetentionPeriodHours", RETENTION_HOURS);
        pen.time("StreamCreationTimestamp", self.since_unix_ms);
        pen.maps("EnhancedMonitoring", [()], |pen, ()| pen.texts("ShardLevelMetrics", []));
        pen.text("EncryptionType", "NONE");
    }

    fn of_firehose(&self, pen: &mut Pen) {
        pen.text("DeliveryStreamName", self.name);
        pen.text("DeliveryStreamARN", &delivery_stream_arn(self.region, self.name));
        pen.text("DeliveryStreamStatus", "ACTIVE");
        pen.text("DeliveryStreamType", "DirectPut");
        pen.text("VersionId", "1");
        pen.time("CreateTimestamp", self.since_unix_ms);
        pen.maps("Destinations", [()], |pen, ()| {
            pen.text("DestinationId", "destinationId-000000000001");
        });
        pen.flag("HasMoreDestinations", false);
    }
}

/// A page of the streams that a caller may use.
pub(super) struct Listed<'a> {
    pub(super) names: &'a [String],
    pub(super) has_more: bool,
    pub(super) region: &'a str,
    pub(super) since_unix_ms: u64,
}

impl Listed<'_> {
    pub(super) fn answer(&self, call: Call) -> Answer {
        let room = RECORD_BYTES * 2 * (1 + self.names.len());
        let names = || self.names.iter().map(String::as_str);
        match call.service {
            Service::Firehose => call.write(room, |pen| {
                pen.texts("DeliveryStreamNames", names());
                pen.flag("HasMoreDeliveryStreams", self.has_more);
            }),
            Service::Kinesis => call.write(room, |pen| {
                pen.texts("StreamNames", names());
                pen.flag("HasMoreStreams", self.has_more);
                if let Some(last) = self.names.last().filter(|_| self.has_more) {
                    pen.text("NextToken", last);
                }
                pen.maps("StreamSummaries", names(), |pen, name| {
                    pen.text("StreamName", name);
                    pen.text("StreamARN", &stream_arn(self.region, name));
                    pen.text("StreamStatus", "ACTIVE");
                    pen.map("StreamModeDetails", |pen| pen.text("StreamMode", "PROVISIONED"));
                    pen.time("StreamCreationTimestamp", self.since_unix_ms);
                });
            }),
        }
    }
}

/// What DescribeLimits is told.
pub(super) fn limits(call: Call, streams: usize) -> Answer {
    call.write(RECORD_BYTES, |pen| {
        pen.number("ShardLimit", SHARD_LIMIT);
        pen.number("OpenShardCount", streams as u64);
        pen.number("OnDemandStreamCount", 0);
        pen.number("OnDemandStreamCountLimit", 0);
    })
}

/// One page of shards.
pub(super) fn shards(
    call: Call,
    shards: &Shards,
    page: std::ops::Range<usize>,
    next: Option<&str>,
) -> Answer {
    call.write(RECORD_BYTES * 2 * (1 + page.len()), |pen| {
        shards.write(pen, page);
        if let Some(next) = next {
            pen.text("NextToken", next);
        }
    })
}
