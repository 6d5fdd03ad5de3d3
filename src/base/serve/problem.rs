//! A refusal as RFC 9457 writes it.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value};

use super::Answer;

/// What an `application/problem+json` answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Stable word for programs; becomes `type` as `urn:weir:problem:<slug>`.
    pub slug: &'static str,
    /// The status of the answer.
    pub status: StatusCode,
    /// The same for every problem of this slug.
    pub title: &'static str,
    /// Full sentences: what was wrong, what did not happen, what to do.
    pub detail: String,
    /// Further members, and further headers.
    pub members: Map<String, Value>,
    /// Further headers.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// The members in the order in which people read them.
#[derive(Serialize)]
struct Words<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    instance: String,
    #[serde(flatten)]
    members: &'a Map<String, Value>,
}

/// The id that stands in the answer and in the log.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

impl Problem {
    /// A problem without further members and headers.
    pub fn new(
        status: StatusCode,
        slug: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        let detail = detail.into();
        Self { slug, status, title, detail, members: Map::new(), headers: Vec::new() }
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Adds a member.
    #[must_use]
    pub fn with_member(mut self, name: &str, value: Value) -> Self {
        self.members.insert(name.to_owned(), value);
        self
    }

    /// The answer to the request with this id.
    pub fn answer(self, request_id: &str) -> Answer {
        let words = Words {
            kind: format!("urn:weir:problem:{}", self.slug),
            title: self.title,
            status: self.status.as_u16(),
            detail: &self.detail,
            instance: format!("urn:request:{request_id}"),
            members: &self.members,
        };
        let text = serde_json::to_vec(&words).expect("texts and numbers can be written as JSON");
        let mut answer = Response::new(Full::new(Bytes::from(text)));
        *answer.status_mut() = self.status;
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Ok(id) = HeaderValue::from_str(request_id) {
            headers.insert(REQUEST_ID, id);
        }
        headers.extend(self.headers);
        answer
    }
}
