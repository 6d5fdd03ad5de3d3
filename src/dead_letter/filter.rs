//! Which letters an operator means; pure.

use serde::{Deserialize, Serialize};

use super::Letter;

/// Letters for which everything holds that is given; all of them without.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// Of this stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// Of this destination.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// Of this class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// With this code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Given up at this time or later, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_unix_ms: Option<u64>,
    /// Given up before this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until_unix_ms: Option<u64>,
    /// With this partition key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Of the record with this id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

impl Filter {
    /// Whether letters of this shelf may be meant.
    pub fn fits_shelf(&self, stream: &str, destination: &str) -> bool {
        fits(self.stream.as_ref(), stream) && fits(self.destination.as_ref(), destination)
    }

    /// Whether this letter is meant.
    pub fn fits(&self, letter: &Letter) -> bool {
        let died = letter.died_unix_ms;
        let key = letter.record.partition_key.as_deref();
        let id = || letter.record.id.to_string();
        self.fits_shelf(&letter.stream, &letter.destination)
            && fits(self.class.as_ref(), &letter.class)
            && fits(self.code.as_ref(), &letter.code)
            && self.since_unix_ms.is_none_or(|since| died >= since)
            && self.until_unix_ms.is_none_or(|until| died < until)
            && self.key.as_ref().is_none_or(|wanted| key == Some(wanted))
            && self.id.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(&id()))
    }

    /// Whether it means every letter of a shelf, whatever stands in it.
    pub fn is_by_shelf(&self) -> bool {
        let shelf = Self { stream: None, destination: None, ..self.clone() };
        shelf == Self::default()
    }
}

fn fits(wanted: Option<&String>, is: &str) -> bool {
    wanted.is_none_or(|wanted| wanted == is)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::record::{Record, RecordId};

    #[test]
    fn a_letter_is_meant_when_everything_that_is_asked_for_holds() {
        let id = RecordId::new(1_000);
        let letter = Letter {
            record: Record {
                id,
                partition_key: Some("user-1".into()),
                hash_key: None,
                source: "http.local".into(),
                caller: "".into(),
                only_for: None,
                payload: Bytes::new(),
            },
            stream: "access".into(),
            destination: "archive".into(),
            died_unix_ms: 5_000,
            attempts: 1,
            class: "poison".into(),
            code: "ValidationException".into(),
            message: String::new(),
        };
        let text = |text: &str| Some(text.to_owned());
        let none = Filter::default();
        for (filter, is_meant) in [
            (none.clone(), true),
            (Filter { stream: text("access"), ..none.clone() }, true),
            (Filter { stream: text("acces"), ..none.clone() }, false),
            (Filter { destination: text("lake"), ..none.clone() }, false),
            (
                Filter { class: text("poison"), code: text("ValidationException"), ..none.clone() },
                true,
            ),
            (Filter { class: text("poison"), code: text("Validation"), ..none.clone() }, false),
            (
                Filter { since_unix_ms: Some(5_000), until_unix_ms: Some(5_001), ..none.clone() },
                true,
            ),
            (Filter { since_unix_ms: Some(5_001), ..none.clone() }, false),
            (Filter { until_unix_ms: Some(5_000), ..none.clone() }, false),
            (Filter { key: text("user-1"), ..none.clone() }, true),
            (Filter { key: text("user-2"), ..none.clone() }, false),
            (Filter { id: Some(id.to_string().to_lowercase()), ..none.clone() }, true),
            (Filter { id: text("x"), ..none.clone() }, false),
        ] {
            assert_eq!(filter.fits(&letter), is_meant, "{filter:?}");
        }
        assert!(Filter { stream: text("a"), destination: text("b"), ..none.clone() }.is_by_shelf());
        assert!(!Filter { key: text("a"), ..none }.is_by_shelf());
    }
}
