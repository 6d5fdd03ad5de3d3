//! How a stream is asked for its shards, and what its own words about itself mean.

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::{
    RecordDistributionStrategy, ShardFilter, ShardFilterType, StreamDescriptionSummary, StreamMode,
};

use super::StreamName;
use super::shards::{HashRange, Listed, Shard};
use crate::sink::{Fault, aws};

/// Most pages of shards: a stream has 20 000 at most, and a page up to 1000.
pub(super) const PAGES_MAX: usize = 100;

/// Digits that a sequence number of the service has at least: they hold when and in which shard it
/// was given.
const SEQUENCE_DIGITS_MIN: usize = 40;

/// Its open shards.
pub(super) async fn list_shards(
    client: &Client,
    stream: &StreamName,
) -> Result<Vec<Listed>, Fault> {
    let open = ShardFilter::builder()
        .r#type(ShardFilterType::AtLatest)
        .build()
        .map_err(|error| aws::unbuilt(&error))?;
    let mut shards = Vec::new();
    let mut next = None;
    for _ in 0..PAGES_MAX {
        let ask = client.list_shards();
        // A token stands for the stream and the filter, which then must not be named.
        let ask = match next.take() {
            Some(token) => ask.next_token(token),
            None => ask
                .set_stream_name(stream.name.clone())
                .set_stream_arn(stream.arn.clone())
                .shard_filter(open.clone()),
        };
        let page = ask.send().await.map_err(aws::fault_of)?;
        shards.extend(page.shards.unwrap_or_default().iter().filter_map(open_shard));
        next = page.next_token;
        if next.is_none() {
            break;
        }
    }
    Ok(shards)
}

/// Only streams on demand can spread records by themselves, and those say so; one that does not
/// say what it does is not believed to go by keys.
pub(super) fn do_keys_choose(summary: &StreamDescriptionSummary) -> bool {
    let mode = summary.stream_mode_details.as_ref().map(|details| details.stream_mode());
    match &summary.record_distribution_strategy {
        Some(strategy) => *strategy == RecordDistributionStrategy::UserPartitionKey,
        None => mode == Some(&StreamMode::Provisioned),
    }
}

/// Whether it says itself that it spreads records as it likes.
pub(super) fn does_spread(summary: &StreamDescriptionSummary) -> bool {
    let strategy = summary.record_distribution_strategy.as_ref();
    strategy.is_some_and(|strategy| *strategy != RecordDistributionStrategy::UserPartitionKey)
}

fn open_shard(shard: &aws_sdk_kinesis::types::Shard) -> Option<Listed> {
    let sequence = shard.sequence_number_range.as_ref();
    let is_closed = sequence.is_some_and(|range| range.ending_sequence_number.is_some());
    let range = shard.hash_key_range.as_ref().filter(|_| !is_closed)?;
    let first = range.starting_hash_key.parse().ok()?;
    let last = range.ending_hash_key.parse().ok()?;
    let begins = sequence.map_or("", |range| range.starting_sequence_number.as_str());
    // Emulators number from nought, and say of a shard that it begins at the oldest record it has.
    let is_lasting = begins.len() >= SEQUENCE_DIGITS_MIN;
    Some(Listed {
        shard: Shard {
            id: shard.shard_id.as_str().into(),
            range: HashRange { first, last },
            since: if is_lasting { crc32c::crc32c(begins.as_bytes()) } else { 0 },
        },
        has_parent: shard.parent_shard_id.is_some(),
    })
}
