//! What a signed request claims: which key signed it, when, for what, and which of its parts.

use std::collections::HashMap;

use hyper::header::{AUTHORIZATION, HeaderMap};
use hyper::http::request::Parts;
use percent_encoding::percent_decode_str;

use super::SignatureFault;

/// The only algorithm: HMAC with SHA-256.
const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const TERMINATION: &str = "aws4_request";
/// Longest time for which a presigned request may ask, in seconds: a week.
const EXPIRES_MAX: u64 = 604_800;
/// Most names of signed headers; a request has at most as many headers.
const NAMES_MAX: usize = 100;

/// A claim, whole in itself; nothing of it is believed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) access_key: String,
    pub(super) scope: Scope,
    /// In the order in which they were signed, in small letters.
    pub(super) names: Vec<String>,
    pub(super) signature: String,
    /// `20261124T150000Z`.
    pub(super) stamp: String,
    pub(super) unix_ms: u64,
    pub(super) token: Option<String>,
    /// What it says of its body, instead of the hash.
    pub(super) content: Option<String>,
    /// Only of a presigned request: for how many seconds it is valid.
    pub(super) expires: Option<u64>,
}

/// What a key was made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scope {
    /// `20261124`.
    pub(super) date: String,
    pub(super) region: String,
    pub(super) service: String,
}

impl Scope {
    /// As it stands in what is signed.
    pub(super) fn text(&self) -> String {
        format!("{}/{}/{}/{TERMINATION}", self.date, self.region, self.service)
    }
}

impl Claim {
    /// What the head of a request claims, in `Authorization` or in its query; `None` if it is not
    /// signed in this way at all.
    pub(super) fn of(head: &Parts) -> Option<Result<Self, SignatureFault>> {
        let header = head.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let header = header.filter(|value| value.starts_with("AWS4-"));
        let query = head.uri.query().filter(|query| query.contains("X-Amz-Algorithm="));
        match (header, query) {
            (None, None) => None,
            (Some(_), Some(_)) => Some(Err(SignatureFault::Invalid(
                "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header.".into(),
            ))),
            (Some(header), None) => Some(of_header(header, &head.headers)),
            (None, Some(query)) => Some(of_query(query)),
        }
    }
}

fn of_header(authorization: &str, headers: &HeaderMap) -> Result<Claim, SignatureFault> {
    let (algorithm, rest) = authorization.split_once(' ').unwrap_or((authorization, ""));
    check_algorithm(algorithm)?;
    let parts: HashMap<&str, &str> =
        rest.split(',').filter_map(|part| part.trim().split_once('=')).collect();
    let part = |name: &str| {
        parts.get(name).copied().ok_or_else(|| {
            SignatureFault::Incomplete(format!("Authorization header requires '{name}' parameter."))
        })
    };
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let stamp = header("x-amz-date").ok_or_else(|| {
        SignatureFault::Incomplete(
            "Authorization header requires existence of 'X-Amz-Date'.".into(),
        )
    })?;
    let (access_key, scope) = credential(part("Credential")?)?;
    Ok(Claim {
        access_key,
        scope,
        names: names(part("SignedHeaders")?)?,
        signature: part("Signature")?.to_owned(),
        unix_ms: unix_ms(stamp)?,
        stamp: stamp.to_owned(),
        token: header("x-amz-security-token").map(str::to_owned),
        content: header("x-amz-content-sha256").map(str::to_owned),
        expires: None,
    })
}

fn of_query(query: &str) -> Result<Claim, SignatureFault> {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let params: HashMap<&str, String> = pairs.map(|(name, value)| (name, decoded(value))).collect();
    let param = |name: &str| {
        params.get(name).filter(|value| !value.is_empty()).map(String::as_str).ok_or_else(|| {
            SignatureFault::Incomplete(format!(
                "AWS query-string parameters must include '{name}'."
            ))
        })
    };
    check_algorithm(param("X-Amz-Algorithm")?)?;
    let (access_key, scope) = credential(param("X-Amz-Credential")?)?;
    let stamp = param("X-Amz-Date")?;
    let expires = param("X-Amz-Expires")?.parse().ok();
    let expires =
        expires.filter(|seconds| (1..=EXPIRES_MAX).contains(seconds)).ok_or_else(|| {
            SignatureFault::Incomplete(format!(
                "X-Amz-Expires must be from 1 to {EXPIRES_MAX} seconds."
            ))
        })?;
    Ok(Claim {
        access_key,
        scope,
        names: names(param("X-Amz-SignedHeaders")?)?,
        signature: param("X-Amz-Signature")?.to_owned(),
        unix_ms: unix_ms(stamp)?,
        stamp: stamp.to_owned(),
        token: params.get("X-Amz-Security-Token").cloned(),
        content: params.get("X-Amz-Content-Sha256").cloned(),
        expires: Some(expires),
    })
}

fn check_algorithm(algorithm: &str) -> Result<(), SignatureFault> {
    if algorithm == ALGORITHM {
        return Ok(());
    }
    Err(SignatureFault::Incomplete(format!("The algorithm must be {ALGORITHM}.")))
}

/// `AKID/20261124/eu-west-1/kinesis/aws4_request`
fn credential(text: &str) -> Result<(String, Scope), SignatureFault> {
    let parts: Vec<&str> = text.split('/').collect();
    let [access_key, date, region, service, TERMINATION] = parts.as_slice() else {
        return Err(SignatureFault::Incomplete(
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/aws4_request.".into(),
        ));
    };
    if [access_key, date, region, service].iter().any(|part| part.is_empty()) {
        return Err(SignatureFault::Incomplete("Credential has an empty element.".into()));
    }
    let [date, region, service] = [date, region, service].map(|part| (*part).to_owned());
    Ok(((*access_key).to_owned(), Scope { date, region, service }))
}

fn names(text: &str) -> Result<Vec<String>, SignatureFault> {
    let names: Vec<String> = text.split(';').map(str::to_ascii_lowercase).collect();
    if names.len() > NAMES_MAX || names.iter().any(String::is_empty) {
        return Err(SignatureFault::Incomplete("SignedHeaders must name headers.".into()));
    }
    Ok(names)
}

/// `20261124T150000Z`
fn unix_ms(stamp: &str) -> Result<u64, SignatureFault> {
    let format = time::macros::format_description!("[year][month][day]T[hour][minute][second]Z");
    let at = time::PrimitiveDateTime::parse(stamp, &format).ok();
    let seconds = at.and_then(|at| u64::try_from(at.assume_utc().unix_timestamp()).ok());
    seconds.and_then(|seconds| seconds.checked_mul(1000)).ok_or_else(|| {
        SignatureFault::Incomplete(
            "Date must be in ISO-8601 'basic format', e.g. 20261124T150000Z.".into(),
        )
    })
}
