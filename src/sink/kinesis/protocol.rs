//! In which protocol requests are written: JSON, or CBOR, which needs no base64 and so a quarter less.
//!
//! The service takes both; so does what the SDK for Java speaks to, as CBOR is its default. What stands
//! in between may not, or not any more: a refusal in another language is no word of the service.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_sdk_kinesis::error::SdkError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use tokio::time::Instant;

use crate::sink::{Protocol, aws};

/// Statuses that say that the form of a request is not liked.
const OF_THE_FORM: [u16; 8] = [400, 404, 405, 406, 413, 415, 422, 501];
/// A hiccup is answered in another language too: so many in a row are none.
const STRANGE_MAX: u32 = 3;
/// After this time CBOR is tried again.
const JSON_LASTS: Duration = Duration::from_secs(3_600);

/// How a request is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    Json,
    Cbor,
}

/// How requests are written, and what was learned of who reads them.
#[derive(Debug)]
pub(super) enum Spoken {
    /// As it was set.
    Fixed(Wire),
    /// As the other side lets it.
    Learned(Mutex<Learned>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Learned {
    /// CBOR is to be tried; answers in another language were so many in a row.
    Nothing { strange: u32 },
    /// CBOR is understood.
    Cbor,
    /// JSON is, and CBOR was not.
    Json { since: Instant },
}

impl Spoken {
    pub(super) fn new(protocol: Protocol, endpoint_url: Option<&str>) -> Self {
        match protocol {
            Protocol::Cbor => Self::Fixed(Wire::Cbor),
            Protocol::Auto if endpoint_url.is_none_or(is_of_aws) => {
                Self::Learned(Mutex::new(Learned::Nothing { strange: 0 }))
            }
            Protocol::Json | Protocol::Auto => Self::Fixed(Wire::Json),
        }
    }

    /// How to write; `None` while CBOR is to be tried.
    pub(super) fn known(&self, now: Instant) -> Option<Wire> {
        let mut learned = match self {
            Self::Fixed(wire) => return Some(*wire),
            Self::Learned(learned) => locked(learned),
        };
        if matches!(*learned, Learned::Json { since } if now - since > JSON_LASTS) {
            *learned = Learned::Nothing { strange: 0 };
        }
        match *learned {
            Learned::Nothing { .. } => None,
            Learned::Cbor => Some(Wire::Cbor),
            Learned::Json { .. } => Some(Wire::Json),
        }
    }

    /// A request in CBOR was answered so. Whether it is to go in JSON now.
    pub(super) fn heard(&self, told: Told) -> bool {
        let Self::Learned(learned) = self else { return false };
        let mut learned = locked(learned);
        let strange = match *learned {
            Learned::Nothing { strange } => strange + 1,
            Learned::Cbor => 1,
            // Of several that were under way.
            Learned::Json { .. } => return told == Told::Refused,
        };
        match told {
            Told::Nothing => return false,
            Told::Cbor => *learned = Learned::Cbor,
            // If JSON does not do either, CBOR has its turns again before it is asked once more.
            Told::Refused | Told::Strange | Told::Unreadable => {
                *learned = Learned::Nothing { strange: strange % STRANGE_MAX };
            }
        }
        let is_asked_for_json = told == Told::Refused || strange >= STRANGE_MAX;
        told != Told::Cbor && is_asked_for_json
    }

    /// What was refused in CBOR was taken in JSON.
    pub(super) fn took_json(&self, stream: &str, now: Instant) {
        let Self::Learned(learned) = self else { return };
        let mut learned = locked(learned);
        if !matches!(*learned, Learned::Json { .. }) {
            tracing::info!(stream, "what answers for the service does not take CBOR; it gets JSON");
        }
        *learned = Learned::Json { since: now };
    }
}

fn locked(learned: &Mutex<Learned>) -> MutexGuard<'_, Learned> {
    learned.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An address of AWS itself, an interface endpoint of a VPC among them.
fn is_of_aws(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = rest.split(['/', ':', '?']).next().unwrap_or_default();
    [".amazonaws.com", ".amazonaws.com.cn", ".api.aws"].iter().any(|of| host.ends_with(of))
}

/// What an answer to a request in CBOR tells of whoever gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// It speaks CBOR.
    Cbor,
    /// It refused the form, in another language.
    Refused,
    /// It refused for something else, in another language.
    Strange,
    /// It took the request, or may have, and answered what nobody can read.
    Unreadable,
    /// There was no answer.
    Nothing,
}

pub(super) fn told_by<T, E>(answer: &Result<T, SdkError<E, HttpResponse>>) -> Told {
    let Err(error) = answer else { return Told::Cbor };
    let Some(raw) = error.raw_response() else { return Told::Nothing };
    let kind = raw.headers().get("content-type").unwrap_or_default();
    match raw.status() {
        status if status.is_success() => Told::Unreadable,
        _ if aws::is_cbor(kind.as_bytes()) => Told::Cbor,
        status if OF_THE_FORM.contains(&status.as_u16()) => Told::Refused,
        _ => Told::Strange,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cbor_is_tried_where_aws_itself_answers_and_nowhere_else() {
        let known = |protocol, url| Spoken::new(protocol, url).known(Instant::now());
        for url in [
            None,
            Some("https://kinesis.eu-west-1.amazonaws.com"),
            Some("https://vpce-1.kinesis.cn-north-1.vpce.amazonaws.com.cn:443/"),
        ] {
            assert_eq!(known(Protocol::Auto, url), None, "{url:?}");
        }
        for url in ["http://127.0.0.1:4566", "https://amazonaws.com.example/.amazonaws.com"] {
            assert_eq!(known(Protocol::Auto, Some(url)), Some(Wire::Json), "{url}");
            assert_eq!(known(Protocol::Cbor, Some(url)), Some(Wire::Cbor), "{url}");
        }
        assert_eq!(known(Protocol::Json, None), Some(Wire::Json));
    }

    #[test]
    fn a_hiccup_teaches_nothing_and_three_in_a_row_ask_for_json() {
        let now = Instant::now();
        for learned in [false, true] {
            let spoken = Spoken::new(Protocol::Auto, None);
            if learned {
                assert!(!spoken.heard(Told::Cbor));
                assert_eq!(spoken.known(now), Some(Wire::Cbor));
            }
            for told in [Told::Strange, Told::Unreadable] {
                assert!(!spoken.heard(told) && !spoken.heard(told));
                assert!(!spoken.heard(Told::Nothing));
                assert_eq!(spoken.known(now), None, "in doubt");
                assert!(spoken.heard(told), "the third");
                assert!(!spoken.heard(told), "and JSON was not taken either");
                assert!(!spoken.heard(Told::Cbor), "and it was none");
            }
            assert!(spoken.heard(Told::Refused), "at once");
            assert_eq!(spoken.known(now), None, "not before JSON was taken");
        }
    }

    #[test]
    fn json_lasts_for_an_hour_and_one_late_answer_does_not_end_it() {
        let (spoken, now) = (Spoken::new(Protocol::Auto, None), Instant::now());
        spoken.took_json("readings", now);
        assert!(spoken.heard(Told::Refused) && !spoken.heard(Told::Cbor));
        assert_eq!(spoken.known(now + JSON_LASTS), Some(Wire::Json));
        assert_eq!(spoken.known(now + JSON_LASTS + Duration::from_secs(1)), None);
    }

    #[test]
    fn what_was_set_is_not_unlearned() {
        let spoken = Spoken::new(Protocol::Cbor, None);
        assert!(!spoken.heard(Told::Refused));
        spoken.took_json("readings", Instant::now());
        assert_eq!(spoken.known(Instant::now()), Some(Wire::Cbor));
    }
}
