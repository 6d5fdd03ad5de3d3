//! What a stream and its policy allow, asked without putting anything.

use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, StreamDescriptionSummary};

use super::Kinesis;
use super::listing::{do_keys_choose, list_shards};
use crate::sink::probe::{self, Probed};
use crate::sink::{At, Fault, aws};

/// A hash key that has the right form and lies behind the last there is: an upstream that knows no
/// dry run refuses it, as it belongs to no shard.
const BEYOND_ALL: &str = "999999999999999999999999999999999999999";
/// What is answered to a dry run that would have worked.
const ALLOWED: &str = "DryRunOperationException";
/// What is answered where the hash key is looked at first: it says nothing of the permission.
const NOT_REFUSED: [&str; 2] = ["InvalidArgumentException", "ValidationException"];

impl Kinesis {
    /// Asks what delivery needs, and what would save something; puts nothing.
    pub async fn probe(&self) -> Vec<Probed> {
        let credentials = probe::credentials(&self.keeper, &self.settings).await;
        if credentials.heard.is_err() {
            return vec![credentials];
        }
        vec![credentials, self.may_put().await, self.summary().await, self.shards_listed().await]
    }

    async fn may_put(&self) -> Probed {
        let heard = self.dry_run().await;
        Probed { what: "kinesis:PutRecords", heard, without: None }
    }

    async fn dry_run(&self) -> Result<String, Fault> {
        let entry = PutRecordsRequestEntry::builder()
            .data(Blob::new("weir doctor"))
            .partition_key("weir doctor")
            .explicit_hash_key(BEYOND_ALL)
            .build()
            .map_err(|error| aws::unbuilt(&error))?;
        let asked = self
            .client
            .put_records()
            .set_stream_name(self.stream.name.clone())
            .set_stream_arn(self.stream.arn.clone())
            .records(entry)
            .dry_run(true)
            .send()
            .await;
        let fault = match asked.map_err(aws::fault_of) {
            Ok(_) => aws::ambiguous("no-dry-run", "the upstream does not know dry runs".into()),
            Err(fault) => fault,
        };
        match fault.code.as_str() {
            ALLOWED => Ok("allowed; nothing was put".into()),
            code if matches!(fault.at, At::Answer(_)) && NOT_REFUSED.contains(&code) => {
                Ok("not refused, but nothing says that it is allowed; nothing was put".into())
            }
            _ => Err(fault),
        }
    }

    async fn summary(&self) -> Probed {
        let asked = self
            .client
            .describe_stream_summary()
            .set_stream_name(self.stream.name.clone())
            .set_stream_arn(self.stream.arn.clone())
            .send()
            .await;
        let heard = asked.map_err(aws::fault_of);
        Probed {
            what: "kinesis:DescribeStreamSummary",
            heard: heard.map(|answer| in_words(answer.stream_description_summary.as_ref())),
            without: Some(
                "the record limit is not learned, and records are not aggregated, which costs more",
            ),
        }
    }

    async fn shards_listed(&self) -> Probed {
        let heard = list_shards(&self.client, &self.stream).await;
        Probed {
            what: "kinesis:ListShards",
            heard: heard.map(|shards| format!("{} open", shards.len())),
            without: Some("records are not aggregated, and a busy shard slows the others down"),
        }
    }
}

fn in_words(summary: Option<&StreamDescriptionSummary>) -> String {
    let Some(summary) = summary else { return "the stream says nothing of itself".into() };
    let mut words = summary.stream_status.as_str().to_lowercase();
    if let Some(mode) = &summary.stream_mode_details {
        words.push_str(&format!(", {}", mode.stream_mode.as_str().to_lowercase()));
    }
    if let Some(kib) = summary.max_record_size_in_kib {
        words.push_str(&format!(", records up to {kib} KiB"));
    }
    if !do_keys_choose(summary) {
        words.push_str("; keys do not choose shards, so records are not aggregated");
    }
    words
}
