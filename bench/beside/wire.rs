//! What PutRecords looks like on the wire, in either protocol of Kinesis.

use std::borrow::Cow;

use base64_simd::STANDARD;
use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use minicbor::Decoder;
use minicbor::data::Type;
use minicbor::decode::Error;
use serde::Deserialize;

/// The protocol of a request, and so of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    Json,
    Cbor,
}

/// One entry of a request.
#[derive(Default)]
pub(crate) struct Entry<'a> {
    pub(crate) data: Cow<'a, [u8]>,
    pub(crate) key: Cow<'a, str>,
    pub(crate) hash: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct InJson<'a> {
    #[serde(rename = "Records", borrow)]
    records: Vec<EntryInJson<'a>>,
}

#[derive(Deserialize)]
struct EntryInJson<'a> {
    #[serde(rename = "Data", borrow)]
    data: &'a str,
    #[serde(rename = "PartitionKey", borrow)]
    key: Cow<'a, str>,
    #[serde(rename = "ExplicitHashKey", borrow)]
    hash: Option<Cow<'a, str>>,
}

const JSON: HeaderValue = HeaderValue::from_static("application/x-amz-json-1.1");
const CBOR: HeaderValue = HeaderValue::from_static("application/x-amz-cbor-1.1");

impl Wire {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        if headers.get(CONTENT_TYPE) == Some(&CBOR) { Self::Cbor } else { Self::Json }
    }

    pub(crate) fn media_type(self) -> HeaderValue {
        match self {
            Self::Json => JSON,
            Self::Cbor => CBOR,
        }
    }

    /// An answer that is written in JSON.
    pub(crate) fn answer(self, json: String) -> Bytes {
        if self == Self::Json {
            return json.into();
        }
        let document: serde_json::Value = serde_json::from_str(&json).expect("our own");
        let mut cbor = Vec::with_capacity(json.len());
        ciborium::into_writer(&document, &mut cbor).expect("memory takes it");
        cbor.into()
    }

    /// What a body of PutRecords carries.
    pub(crate) fn entries(self, body: &[u8]) -> Vec<Entry<'_>> {
        if self == Self::Cbor {
            return in_cbor(body).expect("a body of PutRecords");
        }
        let document: InJson<'_> = serde_json::from_slice(body).expect("a body of PutRecords");
        let entry = |EntryInJson { data, key, hash }| Entry {
            data: STANDARD.decode_to_vec(data).expect("Base64").into(),
            key,
            hash,
        };
        document.records.into_iter().map(entry).collect()
    }
}

fn in_cbor(body: &[u8]) -> Result<Vec<Entry<'_>>, Error> {
    let (mut decoder, mut entries) = (Decoder::new(body), Vec::new());
    members(&mut decoder, |decoder, name| {
        if name != "Records" {
            return decoder.skip();
        }
        let length = decoder.array()?;
        while !is_at_end(decoder, length, entries.len() as u64)? {
            entries.push(entry(decoder)?);
        }
        Ok(())
    })?;
    Ok(entries)
}

fn entry<'a>(decoder: &mut Decoder<'a>) -> Result<Entry<'a>, Error> {
    let mut entry = Entry::default();
    members(decoder, |decoder, name| {
        match name {
            "Data" => entry.data = decoder.bytes()?.into(),
            "PartitionKey" => entry.key = decoder.str()?.into(),
            "ExplicitHashKey" => entry.hash = Some(decoder.str()?.into()),
            _ => decoder.skip()?,
        }
        Ok(())
    })?;
    Ok(entry)
}

fn members<'a>(
    decoder: &mut Decoder<'a>,
    mut member: impl FnMut(&mut Decoder<'a>, &str) -> Result<(), Error>,
) -> Result<(), Error> {
    let (length, mut index) = (decoder.map()?, 0);
    while !is_at_end(decoder, length, index)? {
        let name = decoder.str()?;
        member(decoder, name)?;
        index += 1;
    }
    Ok(())
}

fn is_at_end(decoder: &mut Decoder<'_>, length: Option<u64>, index: u64) -> Result<bool, Error> {
    if let Some(length) = length {
        return Ok(index == length);
    }
    let is_break = decoder.datatype()? == Type::Break;
    if is_break {
        decoder.skip()?;
    }
    Ok(is_break)
}
