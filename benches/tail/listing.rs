//! What a stream of 32 even shards says of itself.

use serde_json::{Value, json};

const SHARDS: u128 = 32;
/// How many hashes each of them has.
pub(crate) const SHARD_HASHES: u128 = u128::MAX / SHARDS + 1;

/// For `ListShards`.
pub(crate) fn shards() -> Value {
    let size = SHARD_HASHES;
    let shard = |place: u128| {
        let first = place * size;
        let last = if place + 1 == SHARDS { u128::MAX } else { first + size - 1 };
        json!({
            "ShardId": format!("shardId-{place:012}"),
            "HashKeyRange": {
                "StartingHashKey": first.to_string(), "EndingHashKey": last.to_string(),
            },
            "SequenceNumberRange": { "StartingSequenceNumber": "1" },
        })
    };
    json!({ "Shards": (0..SHARDS).map(shard).collect::<Vec<_>>() })
}

/// For `DescribeStreamSummary`.
pub(crate) fn summary(stream: &str) -> Value {
    json!({ "StreamDescriptionSummary": {
        "StreamName": stream, "StreamStatus": "ACTIVE", "RetentionPeriodHours": 24,
        "StreamARN": format!("arn:aws:kinesis:eu-west-1:123456789012:stream/{stream}"),
        "StreamModeDetails": { "StreamMode": "PROVISIONED" }, "EnhancedMonitoring": [],
        "StreamCreationTimestamp": 1.0, "OpenShardCount": 32, "MaxRecordSizeInKiB": 1024,
        "RecordDistributionStrategy": "USER_PARTITION_KEY",
    } })
}
