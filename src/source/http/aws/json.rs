//! A call in JSON 1.1. Texts are borrowed from the body, and all blobs are unpacked into one buffer.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use base64_simd::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};

use super::ask::{Ask, ENTRIES_MAX, Entry};
use super::call::Service;
use super::fault::{CallFault, clipped};

/// A text that is borrowed unless something in it was escaped. (Serde borrows a `Cow` only where it
/// stands alone, not within an `Option`.)
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OfKinesis<'a> {
    #[serde(borrow)]
    stream_name: Option<Text<'a>>,
    #[serde(borrow, rename = "StreamARN")]
    stream_arn: Option<Text<'a>>,
    dry_run: Option<bool>,
    #[serde(borrow)]
    records: Option<Records<Packed<'a>>>,
    #[serde(borrow)]
    data: Option<Text<'a>>,
    #[serde(borrow)]
    partition_key: Option<Text<'a>>,
    #[serde(borrow)]
    explicit_hash_key: Option<Text<'a>>,
    #[serde(borrow)]
    sequence_number_for_ordering: Option<Text<'a>>,
    limit: Option<i64>,
    max_results: Option<i64>,
    #[serde(borrow)]
    next_token: Option<Text<'a>>,
    #[serde(borrow)]
    exclusive_start_shard_id: Option<Text<'a>>,
    #[serde(borrow)]
    exclusive_start_stream_name: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OfFirehose<'a> {
    #[serde(borrow)]
    delivery_stream_name: Option<Text<'a>>,
    #[serde(borrow)]
    records: Option<Records<Keyless<'a>>>,
    #[serde(borrow)]
    record: Option<Keyless<'a>>,
    limit: Option<i64>,
    #[serde(borrow)]
    exclusive_start_delivery_stream_name: Option<Text<'a>>,
}

/// A record of Kinesis before its blob is unpacked.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Packed<'a> {
    #[serde(borrow)]
    data: Option<Text<'a>>,
    #[serde(borrow)]
    partition_key: Option<Text<'a>>,
    #[serde(borrow)]
    explicit_hash_key: Option<Text<'a>>,
}

/// The same of Firehose.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Keyless<'a> {
    #[serde(borrow)]
    data: Option<Text<'a>>,
}

/// As many as a call may have and one more; the rest is only looked over.
struct Records<T>(Vec<T>);

impl<'a> From<Keyless<'a>> for Packed<'a> {
    fn from(Keyless { data }: Keyless<'a>) -> Self {
        Self { data, ..Self::default() }
    }
}

pub(super) fn read(service: Service, body: &Bytes) -> Result<Ask, CallFault> {
    match service {
        Service::Kinesis => of_kinesis(parsed(body)?),
        Service::Firehose => of_firehose(parsed(body)?),
    }
}

/// What is wrong repeats what stands there; all of it, if a text stands where none should.
fn parsed<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, CallFault> {
    serde_json::from_slice(body).map_err(|error| {
        CallFault::Malformed(format!("the body is not read: {}", clipped(&error.to_string())))
    })
}

fn of_kinesis(body: OfKinesis<'_>) -> Result<Ask, CallFault> {
    let entries = body.records.map(|Records(all)| unpack(all)).transpose()?;
    let one = Packed {
        data: body.data,
        partition_key: body.partition_key,
        explicit_hash_key: body.explicit_hash_key,
    };
    Ok(Ask {
        stream_name: own(body.stream_name),
        stream_arn: own(body.stream_arn),
        is_dry_run: body.dry_run.unwrap_or(false),
        entries,
        entry: unpack(vec![one])?.pop(),
        ordering: own(body.sequence_number_for_ordering),
        limit: body.limit.or(body.max_results),
        start_after: own(body.exclusive_start_shard_id.or(body.exclusive_start_stream_name)),
        next_token: own(body.next_token),
        ..Ask::default()
    })
}

fn of_firehose(body: OfFirehose<'_>) -> Result<Ask, CallFault> {
    let packed =
        |Records(all): Records<Keyless<'_>>| unpack(all.into_iter().map(Packed::from).collect());
    let one = body.record.map(|one| unpack(vec![one.into()])).transpose()?;
    Ok(Ask {
        delivery_stream: own(body.delivery_stream_name),
        entries: body.records.map(packed).transpose()?,
        entry: one.and_then(|mut one| one.pop()),
        limit: body.limit,
        start_after: own(body.exclusive_start_delivery_stream_name),
        ..Ask::default()
    })
}

fn own(text: Option<Text<'_>>) -> Option<String> {
    text.map(|Text(text)| text.into_owned())
}

/// Unpacks all blobs into one buffer, of which each payload is a part.
fn unpack(all: Vec<Packed<'_>>) -> Result<Vec<Entry>, CallFault> {
    let packed_bytes = |one: &Packed<'_>| one.data.as_ref().map_or(0, |Text(data)| data.len());
    let room = all.iter().map(|one| packed_bytes(one).div_ceil(4) * 3).sum();
    let mut buffer: Vec<u8> = Vec::with_capacity(room);
    let mut ends = Vec::with_capacity(all.len());
    for (index, one) in all.iter().enumerate() {
        if let Some(Text(data)) = &one.data {
            STANDARD.decode_append(data.as_bytes(), &mut buffer).map_err(|_| {
                CallFault::Malformed(format!("`Data` of record {index} is not base64"))
            })?;
        }
        ends.push(buffer.len());
    }
    let mut buffer = Bytes::from(buffer);
    let mut taken = 0;
    let entry = |(one, end): (Packed<'_>, usize)| {
        let data = buffer.split_to(end - taken);
        taken = end;
        Entry {
            data: one.data.map(|_| data),
            key: own(one.partition_key),
            hash_key: own(one.explicit_hash_key),
        }
    };
    Ok(all.into_iter().zip(ends).map(entry).collect())
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Records<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Each<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Each<T> {
            type Value = Records<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of records")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Self::Value, A::Error> {
                let mut records = Vec::new();
                while records.len() <= ENTRIES_MAX {
                    let Some(record) = all.next_element()? else { return Ok(Records(records)) };
                    records.push(record);
                }
                while all.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Records(records))
            }
        }

        from.deserialize_seq(Each(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ask(body: &str) -> Result<Ask, CallFault> {
        read(Service::Kinesis, &Bytes::copy_from_slice(body.as_bytes()))
    }

    fn ask_firehose(body: &str) -> Result<Ask, CallFault> {
        read(Service::Firehose, &Bytes::copy_from_slice(body.as_bytes()))
    }

    fn entry(data: Option<&[u8]>, key: Option<&str>, hash_key: Option<&str>) -> Entry {
        let own = |text: Option<&str>| text.map(str::to_owned);
        Entry { data: data.map(Bytes::copy_from_slice), key: own(key), hash_key: own(hash_key) }
    }

    #[test]
    fn records_are_unpacked_with_their_keys_and_unknown_members_are_ignored() {
        let asked = ask(r#"{"StreamName":"a","x":[{}],"Records":[
            {"Data":"AP8=","PartitionKey":"k\u00e9","ExplicitHashKey":"7","y":null},
            {"Data":"","PartitionKey":null},{"Data":"YWI\u003d"},{}]}"#)
        .unwrap();

        assert_eq!(asked.stream_name.as_deref(), Some("a"));
        let expected = [
            entry(Some(&[0, 255]), Some("ké"), Some("7")),
            entry(Some(b""), None, None),
            entry(Some(b"ab"), None, None),
            entry(None, None, None),
        ];
        assert_eq!(asked.entries.unwrap(), expected);
    }

    #[test]
    fn a_single_record_stands_in_the_call_or_in_a_member() {
        let of_kinesis =
            ask(r#"{"StreamARN":"arn","Data":"YQ==","PartitionKey":"k","DryRun":true}"#).unwrap();
        assert_eq!(of_kinesis.entry, Some(entry(Some(b"a"), Some("k"), None)));
        assert_eq!((of_kinesis.stream_arn.as_deref(), of_kinesis.is_dry_run), (Some("arn"), true));

        let of_firehose =
            ask_firehose(r#"{"DeliveryStreamName":"d","Record":{"Data":"YQ=="}}"#).unwrap();
        assert_eq!(of_firehose.entry, Some(entry(Some(b"a"), None, None)));
        assert_eq!(of_firehose.delivery_stream.as_deref(), Some("d"));
    }

    #[test]
    fn what_is_not_as_the_protocol_says_is_malformed() {
        for body in [
            "",
            "{",
            "[]",
            "7",
            r#"{"StreamName":7}"#,
            r#"{"DryRun":"true"}"#,
            r#"{"Records":{}}"#,
            r#"{"Records":[7]}"#,
            r#"{"Records":[{"Data":7}]}"#,
            r#"{"Records":[]}}"#,
            r#"{"Records":[{"Data":"!"}]}"#,
            r#"{"Data":"YQ"}"#,
            r#"{"Data":"YQ="}"#,
            r#"{"Data":"_w=="}"#,
            r#"{"Data":"Y Q=="}"#,
            r#"{"Data":"YQ==YQ=="}"#,
        ] {
            assert!(matches!(ask(body), Err(CallFault::Malformed(_))), "{body}");
        }
        let not_utf8 = Bytes::from_static(b"{\"StreamName\":\"\xff\"}");
        assert!(read(Service::Kinesis, &not_utf8).is_err());
    }

    #[test]
    fn members_are_those_of_the_service() {
        let asked = ask(r#"{"Data":"YQ==","PartitionKey":"k","Record":7,"DeliveryStreamName":7}"#);
        assert_eq!(asked.unwrap().entry, Some(entry(Some(b"a"), Some("k"), None)));

        let asked = ask_firehose(
            r#"{"Data":7,"DryRun":7,"Record":{"Data":"YQ==","PartitionKey":7},"Records":[{"Data":"","ExplicitHashKey":7}]}"#,
        );
        let asked = asked.unwrap();
        assert_eq!(asked.entry, Some(entry(Some(b"a"), None, None)));
        assert_eq!(asked.entries, Some(vec![entry(Some(b""), None, None)]));
        assert_eq!(ask_firehose(r#"{"Data":"YQ=="}"#).unwrap().entry, None);
    }

    #[test]
    fn what_is_wrong_is_told_without_all_that_stands_there() {
        let long = "\u{1}".repeat(1 << 20);
        for value in [json!({"DryRun": long}), json!({"Records": long}), json!(long)] {
            let Err(CallFault::Malformed(why)) = ask(&value.to_string()) else { panic!() };
            assert!(why.contains("invalid type") && why.chars().count() < 300, "{}", why.len());
        }
    }

    #[test]
    fn of_too_many_records_one_more_than_allowed_is_kept() {
        for (count, kept) in [(499, 499), (500, 500), (501, 501), (10_000, 501)] {
            let body = format!(r#"{{"Records":[{}{{}}]}}"#, "{},".repeat(count - 1));
            assert_eq!(ask(&body).unwrap().entries.unwrap().len(), kept);
        }
    }
}
