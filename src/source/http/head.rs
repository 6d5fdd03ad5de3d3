//! What the head of a request says about its sender and its body.

use std::sync::Arc;

use hyper::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName,
    HeaderValue,
};
use hyper::http::request::Parts;
use hyper::{Request, Version};

use super::decode::Shape;
use super::delivery;
use super::events::Attributes;
use super::manner::Manner;
use super::problem::Fault;
use super::routes::Arrival;
use super::unpack::Packing;
use crate::admission::{check_idempotency_key, check_partition_key};
use crate::base::serve::{Misframed, misframed};
use crate::record::{Origin, parse_hash_key};

/// Most bytes of all header names and values together.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Most bytes of path and query.
const URI_BYTES_MAX: usize = 4 << 10;

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const PARTITION_KEY: HeaderName = HeaderName::from_static("weir-partition-key");
const HASH_KEY: HeaderName = HeaderName::from_static("weir-explicit-hash-key");

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Most headers.
const HEADERS_MAX: usize = 100;

/// How to read the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) shape: Shape,
    pub(super) packed: Option<Packing>,
    pub(super) partition_key: Option<String>,
    pub(super) hash_key: Option<u128>,
    /// A repetition with the same key is not stored.
    pub(super) once: Option<String>,
    /// Of one that can be repeated: method, path and route, which decide what becomes of the body as
    /// well.
    pub(super) asked: String,
    /// What keys are made from; nothing unless the stream asks for it.
    pub(super) origin: Option<Arc<Origin>>,
}

/// Refuses heads beyond the bounds. HTTP/2 bounds its heads by itself.
pub(super) fn check_head<B>(request: &Request<B>) -> Result<(), Fault> {
    let uri = request.uri().path_and_query().map_or(0, |uri| uri.as_str().len());
    if uri > URI_BYTES_MAX {
        return Err(Fault::UriTooLong { limit: URI_BYTES_MAX });
    }
    let header = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len();
    let bytes: usize = request.headers().iter().map(header).sum();
    match misframed(request) {
        Some(Misframed::Twice) => return Err(Fault::BadFraming),
        Some(Misframed::UnknownCoding) => return Err(Fault::UnknownCoding),
        None => {}
    }
    // Which of two counts would depend on who reads them.
    let twice = |name| request.headers().get_all(name).iter().nth(1).is_some();
    if twice(AUTHORIZATION) || twice(API_KEY) || twice(delivery::ACCESS_KEY) {
        return Err(Fault::TwoCredentials);
    }
    // RFC 9112: two readers must not take one request for those of two hosts.
    let hosts = request.headers().get_all(HOST).iter().count();
    if request.version() == Version::HTTP_11 && hosts != 1 {
        return Err(Fault::BadHost);
    }
    let is_bounded = request.version() >= Version::HTTP_2;
    if request.headers().len() > HEADERS_MAX || !is_bounded && bytes > HEAD_BYTES_MAX {
        return Err(Fault::HeadTooLarge { limit: HEAD_BYTES_MAX, count: HEADERS_MAX });
    }
    Ok(())
}

impl Head {
    pub(super) fn of(parts: &Parts, arrival: &Arrival) -> Result<Self, Fault> {
        let headers = &parts.headers;
        let (method, path) = (&parts.method, parts.uri.path());
        let once = idempotency_key(headers)?;
        let asked = once.as_ref().map(|_| format!("{method} {path} {}", arrival.route));
        Ok(Self {
            shape: match &arrival.shape {
                Some(shape) => shape.clone(),
                None => shape(headers, arrival)?,
            },
            packed: packing(headers)?,
            partition_key: partition_key(headers)?,
            hash_key: hash_key(headers)?,
            once,
            asked: asked.unwrap_or_default(),
            origin: None,
        })
    }

    /// `x-api-key`, the key of a delivery by Firehose, or the Bearer token.
    pub(super) fn api_key(headers: &HeaderMap) -> Option<&str> {
        if let Some(key) = headers.get(API_KEY).or_else(|| headers.get(delivery::ACCESS_KEY)) {
            return key.to_str().ok();
        }
        let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    }

    /// The size that was announced; hyper has checked that it is a number and said once.
    pub(super) fn declared_bytes(headers: &HeaderMap) -> Option<u64> {
        headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
    }
}

/// What keys are made from: the headers of these names, of several with one name the first, and the
/// parameters of the path.
pub(super) fn origin<'a>(
    headers: &HeaderMap,
    names: impl Iterator<Item = &'a str>,
    params: &[(String, String)],
) -> Option<Arc<Origin>> {
    let value = |name: &str| headers.get(name)?.to_str().ok().map(str::to_owned);
    let kept: Vec<_> = names.filter_map(|name| Some((name.to_owned(), value(name)?))).collect();
    let is_needed = !kept.is_empty() || !params.is_empty();
    is_needed
        .then(|| Arc::new(Origin { headers: kept, route: params.to_vec(), ..Origin::default() }))
}

fn shape(headers: &HeaderMap, arrival: &Arrival) -> Result<Shape, Fault> {
    if let Manner::Delivery(id) = &arrival.manner {
        return Ok(Shape::Delivery { id: id.clone() });
    }
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    Ok(match essence.as_str() {
        "application/cloudevents+json" => Shape::WholeEvent,
        "application/cloudevents-batch+json" => Shape::Events,
        other if other.starts_with("application/cloudevents") => return Err(Fault::UnknownType),
        other if Attributes::are_in(headers) => {
            let of_data = if other.is_empty() { "" } else { value };
            Shape::Event(Attributes::of(headers, of_data)?)
        }
        "application/x-ndjson" | "application/jsonl" | "application/jsonlines" => Shape::Lines,
        "application/json" if arrival.split_arrays => Shape::Elements,
        _ => Shape::One,
    })
}

/// How a body is packed.
pub(super) fn packing(headers: &HeaderMap) -> Result<Option<Packing>, Fault> {
    let mut packed = None;
    for value in headers.get_all(CONTENT_ENCODING) {
        let value = value.to_str().map_err(|_| Fault::UnknownEncoding)?;
        for name in value.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            if name.eq_ignore_ascii_case("identity") {
                continue;
            }
            // Packed twice is nothing a sender gains from, and a way to hide a bomb.
            if packed.is_some() {
                return Err(Fault::UnknownEncoding);
            }
            packed = Some(Packing::named(name).ok_or(Fault::UnknownEncoding)?);
        }
    }
    Ok(packed)
}

fn partition_key(headers: &HeaderMap) -> Result<Option<String>, Fault> {
    let Some(value) = only(headers, &PARTITION_KEY).map_err(Fault::BadPartitionKey)? else {
        return Ok(None);
    };
    let key = std::str::from_utf8(value.as_bytes())
        .map_err(|_| Fault::BadPartitionKey("the partition key is not UTF-8".into()))?;
    check_partition_key(key).map_err(Fault::BadPartitionKey)?;
    Ok(Some(key.to_owned()))
}

fn hash_key(headers: &HeaderMap) -> Result<Option<u128>, Fault> {
    let Some(value) = only(headers, &HASH_KEY).map_err(Fault::BadHashKey)? else {
        return Ok(None);
    };
    let key = String::from_utf8_lossy(value.as_bytes());
    parse_hash_key(&key).map(Some).map_err(Fault::BadHashKey)
}

/// The value of a header that may stand there once: which of two counts would depend on who reads
/// them.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a HeaderValue>, String> {
    let mut values = headers.get_all(name).into_iter();
    let value = values.next();
    match values.next() {
        Some(_) => Err("there are several keys; it should be one".into()),
        None => Ok(value),
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Fault> {
    let Some(value) = only(headers, &IDEMPOTENCY_KEY).map_err(Fault::BadIdempotencyKey)? else {
        return Ok(None);
    };
    let key = check_idempotency_key(value.as_bytes()).map_err(Fault::BadIdempotencyKey)?;
    Ok(Some(key.to_owned()))
}
