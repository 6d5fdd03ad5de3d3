//! The SDK that weir itself speaks with, as an application would use it.

use aws_credential_types::Credentials;
use aws_sdk_firehose::types::Record;
use aws_sdk_kinesis::config::SharedHttpClient;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::config::{BehaviorVersion, Region};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};

use super::{ALIAS, Done, Given, KEY, Put};

/// For each record in turn the number it got, or nothing if it was held back.
type Told = Vec<Option<String>>;

enum Client {
    Kinesis(aws_sdk_kinesis::Client),
    Firehose(aws_sdk_firehose::Client),
}

pub(super) fn put(what: &Put<'_>) -> Done {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let client = Client::new(what);
    runtime.block_on(async {
        if what.form == "one" {
            client.one_by_one(what.records).await
        } else {
            client.many(what.records).await
        }
    })
}

fn http(what: &Put<'_>) -> SharedHttpClient {
    let Some(ca) = what.ca else { return Builder::new().build_http() };
    let trusted = TrustStore::empty().with_pem_certificate(std::fs::read(ca).unwrap());
    let context = TlsContext::builder().with_trust_store(trusted).build().unwrap();
    let provider = Provider::Rustls(CryptoMode::Ring);
    Builder::new().tls_provider(provider).tls_context(context).build_https()
}

impl Client {
    fn new(what: &Put<'_>) -> Self {
        let credentials = Credentials::new(KEY.0, KEY.1, None, None, "test");
        let retries = RetryConfig::standard().with_max_attempts(what.attempts);
        let region = Region::new("eu-west-1");
        let version = BehaviorVersion::latest();
        if what.service == "kinesis" {
            let settings = aws_sdk_kinesis::config::Builder::new()
                .behavior_version(version)
                .http_client(http(what))
                .endpoint_url(what.endpoint)
                .region(region)
                .credentials_provider(credentials)
                .retry_config(retries);
            return Self::Kinesis(aws_sdk_kinesis::Client::from_conf(settings.build()));
        }
        let settings = aws_sdk_firehose::config::Builder::new()
            .behavior_version(version)
            .http_client(http(what))
            .endpoint_url(what.endpoint)
            .region(region)
            .credentials_provider(credentials)
            .retry_config(retries);
        Self::Firehose(aws_sdk_firehose::Client::from_conf(settings.build()))
    }

    async fn one_by_one(&self, records: &[Given]) -> Done {
        let mut done = Done::default();
        for one in records {
            let number = match self {
                Self::Kinesis(client) => {
                    let put = client.put_record().stream_name(ALIAS);
                    let put = put.data(Blob::new(one.data.clone()));
                    let answer = put.set_partition_key(one.key.clone()).send().await.unwrap();
                    answer.sequence_number
                }
                Self::Firehose(client) => {
                    let put = client.put_record().delivery_stream_name(ALIAS);
                    put.record(record(one)).send().await.unwrap().record_id
                }
            };
            done.told.push(number);
        }
        done
    }

    async fn many(&self, records: &[Given]) -> Done {
        let mut left = records.to_vec();
        let mut done = Done::default();
        while !left.is_empty() {
            let batch: Vec<_> = left.drain(..left.len().min(500)).collect();
            let told = self.put_many(&batch).await;
            assert_eq!(told.len(), batch.len());
            let taken = told.iter().take_while(|number| number.is_some()).count();
            let held_back = batch[taken..].to_vec();
            done.told.extend(told.into_iter().flatten());
            assert_eq!(done.told.len() + held_back.len() + left.len(), records.len(), "in order");
            done.calls.push((taken as u64, held_back.len() as u64));
            left.splice(..0, held_back);
        }
        done
    }

    async fn put_many(&self, batch: &[Given]) -> Told {
        match self {
            Self::Kinesis(client) => {
                let entries = batch.iter().map(entry).collect();
                let put = client.put_records().stream_name(ALIAS).set_records(Some(entries));
                let answer = put.send().await.unwrap();
                answer.records.into_iter().map(|one| one.sequence_number).collect()
            }
            Self::Firehose(client) => {
                let records = batch.iter().map(record).collect();
                let put = client.put_record_batch().delivery_stream_name(ALIAS);
                let answer = put.set_records(Some(records)).send().await.unwrap();
                answer.request_responses.into_iter().map(|one| one.record_id).collect()
            }
        }
    }
}

fn entry(one: &Given) -> PutRecordsRequestEntry {
    PutRecordsRequestEntry::builder()
        .data(Blob::new(one.data.clone()))
        .set_partition_key(one.key.clone())
        .build()
        .unwrap()
}

fn record(one: &Given) -> Record {
    Record::builder().data(Blob::new(one.data.clone())).build().unwrap()
}
