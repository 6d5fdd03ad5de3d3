//! A call in JSON 1.1. Texts are borrowed from the body, and all blobs are unpacked into one buffer.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use base64_simd::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};

use super::ask::{Ask, ENTRIES_MAX, Entry};
use super::fault::CallFault;

/// A text that is borrowed unless something in it was escaped. (Serde borrows a `Cow` only where it
/// stands alone, not within an `Option`.)
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Body<'a> {
    #[serde(borrow)]
    stream_name: Option<Text<'a>>,
    #[serde(borrow, rename = "StreamARN")]
    stream_arn: Option<Text<'a>>,
    #[serde(borrow)]
    delivery_stream_name: Option<Text<'a>>,
    dry_run: Option<bool>,
    #[serde(borrow)]
    records: Option<Records<'a>>,
    #[serde(borrow)]
    record: Option<Packed<'a>>,
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
    #[serde(borrow)]
    exclusive_start_delivery_stream_name: Option<Text<'a>>,
}

/// A record before its blob is unpacked.
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

/// As many as a call may have and one more; the rest is only looked over.
struct Records<'a>(Vec<Packed<'a>>);

pub(super) fn read(body: &Bytes) -> Result<Ask, CallFault> {
    let body: Body<'_> = serde_json::from_slice(body)
        .map_err(|error| CallFault::Malformed(format!("the body is not read: {error}")))?;
    let own = |text: Option<Text<'_>>| text.map(|Text(text)| text.into_owned());
    let many = body.records.map(|Records(all)| unpack(all)).transpose()?;
    let one = match body.record {
        Some(record) => Some(record),
        None => Some(Packed {
            data: body.data,
            partition_key: body.partition_key,
            explicit_hash_key: body.explicit_hash_key,
        }),
    };
    let one = one.map(|one| unpack(vec![one])).transpose()?;
    Ok(Ask {
        stream_name: own(body.stream_name),
        stream_arn: own(body.stream_arn),
        delivery_stream: own(body.delivery_stream_name),
        is_dry_run: body.dry_run.unwrap_or(false),
        entries: many,
        entry: one.and_then(|mut one| one.pop()),
        ordering: own(body.sequence_number_for_ordering),
        limit: body.limit.or(body.max_results),
        start_after: own(body
            .exclusive_start_shard_id
            .or(body.exclusive_start_stream_name)
            .or(body.exclusive_start_delivery_stream_name)),
        next_token: own(body.next_token),
    })
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
        let own = |text: Option<Text<'_>>| text.map(|Text(text)| text.into_owned());
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

impl<'de: 'a, 'a> Deserialize<'de> for Records<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Each<'a>(PhantomData<&'a ()>);

        impl<'de: 'a, 'a> Visitor<'de> for Each<'a> {
            type Value = Records<'a>;

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
    use super::*;

    fn ask(body: &str) -> Result<Ask, CallFault> {
        read(&Bytes::copy_from_slice(body.as_bytes()))
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

        let of_firehose = ask(r#"{"DeliveryStreamName":"d","Record":{"Data":"YQ=="}}"#).unwrap();
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
        assert!(read(&Bytes::from_static(b"{\"StreamName\":\"\xff\"}")).is_err());
    }

    #[test]
    fn of_too_many_records_one_more_than_allowed_is_kept() {
        for (count, kept) in [(499, 499), (500, 500), (501, 501), (10_000, 501)] {
            let body = format!(r#"{{"Records":[{}{{}}]}}"#, "{},".repeat(count - 1));
            assert_eq!(ask(&body).unwrap().entries.unwrap().len(), kept);
        }
    }
}
