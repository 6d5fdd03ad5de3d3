//! What a delivery stream tells of itself.

use super::Firehose;
use crate::sink::aws;
use crate::sink::probe::{self, Probed};

impl Firehose {
    /// Asks whether it can be reached and what it is; puts nothing. Firehose knows no dry run, so
    /// whether records may be put shows with the first ones.
    pub async fn probe(&self) -> Vec<Probed> {
        let credentials = probe::credentials(&self.keeper, &self.settings).await;
        if credentials.heard.is_err() {
            return vec![credentials];
        }
        let asked =
            self.client.describe_delivery_stream().delivery_stream_name(&self.name).send().await;
        let heard = asked.map_err(aws::fault_of).map(|answer| {
            let told = answer.delivery_stream_description;
            told.map_or_else(String::new, |told| {
                told.delivery_stream_status.as_str().to_lowercase()
            })
        });
        let described = Probed {
            what: "firehose:DescribeDeliveryStream",
            heard,
            without: Some(
                "nothing but this answer: whether records may be put shows with the first ones",
            ),
        };
        vec![credentials, described]
    }
}
