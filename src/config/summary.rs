//! What would run, in words, for `weir check`.

use std::path::Path;

use crate::base::units::{ByteSize, Span};
use crate::queue::SyncLevel;
use crate::sink::{AwsSettings, Compression};
use crate::source::tail::StartAt;

use super::{Config, Destination, Stream};

/// Longest lists that are written out.
const LIST_MAX: usize = 8;

impl Config {
    /// What would run, one line for each part, in the order a record meets them. No secrets.
    pub fn summary(&self) -> String {
        let mut rows: Vec<(String, String)> =
            vec![("state".to_owned(), self.state_dir.display().to_string())];
        for http in &self.http {
            let at: Vec<String> = http.listen.iter().map(ToString::to_string).collect();
            let who = match http.auth.as_slice() {
                [] => "open to everybody there".to_owned(),
                auth => format!("for callers of {}", several(auth)),
            };
            let body = ByteSize(http.max_body_bytes);
            let tls = if http.tls.is_some() { ", TLS" } else { "" };
            let what = format!("{}{tls}, {who}, bodies up to {body}", several(&at));
            rows.push((format!("http {}", http.name), what));
        }
        for tail in &self.tail {
            let from = match tail.start_at {
                StartAt::End => "from the end",
                StartAt::Beginning => "from the beginning",
            };
            let what = format!("{} into stream {}, {from}", several(&tail.include), tail.stream);
            rows.push((format!("tail {}", tail.name), what));
        }
        for (name, stream) in &self.streams {
            rows.push((format!("stream {name}"), self.stream(name, stream)));
            for feed in &stream.delivery {
                let upstream = self.destinations.get(&feed.destination).map(upstream);
                let upstream = upstream.unwrap_or_default();
                rows.push((format!("  to {}", feed.destination), upstream));
            }
        }
        let letters = &self.dead_letters;
        let (bytes, age) = (ByteSize(letters.max_bytes), Span(letters.max_age));
        let kept = format!("up to {bytes} and {age} in {}", letters.folder.display());
        rows.push(("dead letters".to_owned(), kept));
        rows.push(("admin".to_owned(), self.admin.listen.to_string()));
        aligned(&rows)
    }

    fn stream(&self, name: &str, stream: &Stream) -> String {
        let record = self.admission.streams.get(name).map_or(0, |stream| stream.max_record_bytes);
        let (record, queue) = (ByteSize(record), ByteSize(stream.queue.max_bytes));
        let packed = if stream.queue.compresses { ", packed by zstd" } else { "" };
        let sealed = match (stream.queue.keys.current(), &stream.kms) {
            (Some(key), _) => format!(", sealed with the key {}", key.id()),
            (None, Some(kms)) => format!(", sealed with keys of KMS ({})", kms.key),
            (None, None) => String::new(),
        };
        let level = match stream.queue.sync {
            SyncLevel::Always => String::new(),
            weaker => format!(", sync = {weaker}"),
        };
        format!("keeps up to {queue}, records up to {record}{packed}{sealed}{level}")
    }
}

fn aligned(rows: &[(String, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, what) in rows {
        text.push_str(&format!("{name:width$}  {what}\n"));
    }
    text
}

fn several(words: &[String]) -> String {
    let mut all = words.iter().take(LIST_MAX).cloned().collect::<Vec<_>>().join(", ");
    if words.len() > LIST_MAX {
        all.push_str(&format!(" and {} more", words.len() - LIST_MAX));
    }
    all
}

fn upstream(destination: &Destination) -> String {
    match destination {
        Destination::Kinesis(settings) => {
            format!("Kinesis stream {}{}", settings.stream_name, reached(&settings.aws))
        }
        Destination::Firehose(settings) => {
            format!(
                "Firehose delivery stream {}{}",
                settings.delivery_stream,
                reached(&settings.aws)
            )
        }
        Destination::Directory(settings) => {
            let packed = match settings.compression {
                Compression::None => "",
                Compression::Gzip => ", gzip",
                Compression::Zstd => ", zstd",
            };
            let (bytes, age) = (ByteSize(settings.object_bytes), Span(settings.object_age));
            let path: &Path = &settings.path;
            format!("folder {}, objects of {bytes} or {age}{packed}", path.display())
        }
    }
}

fn reached(aws: &AwsSettings) -> String {
    let mut reached = String::new();
    if let Some(region) = &aws.region {
        reached.push_str(&format!(" in {region}"));
    }
    if let Some(url) = &aws.endpoint_url {
        reached.push_str(&format!(" at {url}"));
    }
    match (&aws.credentials, &aws.profile) {
        (Some(_), _) => reached.push_str(", with credentials of its own"),
        (None, Some(profile)) => {
            reached.push_str(&format!(", as profile {profile}"));
        }
        (None, None) => {}
    }
    reached
}
