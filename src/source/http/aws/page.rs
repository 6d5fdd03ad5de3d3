//! Pages of shards: how many were asked for, and behind which.

use base64_simd::URL_SAFE_NO_PAD;

use super::answer;
use super::ask::Ask;
use super::call::{Call, Service};
use super::check;
use super::fault::CallFault;
use super::names::is_stream_name;
use super::shards::Shards;
use crate::base::serve::Answer;

/// Most shards of a page, and as many as it has unless it is said.
const PAGE_MAX: i64 = 1000;

/// A page that was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) stream: String,
    behind: Option<String>,
    is_continued: bool,
    count: usize,
}

impl Asked {
    /// A token stands for the stream and the place, which then must not be named.
    pub(super) fn of(ask: &Ask) -> Result<Self, CallFault> {
        let most = ask.limit.unwrap_or(PAGE_MAX);
        if most < 1 {
            return Err(CallFault::Invalid(format!(
                "1 validation error detected: Value '{most}' at 'maxResults' failed to satisfy constraint: Member must have value greater than or equal to 1"
            )));
        }
        let count = usize::try_from(most.min(PAGE_MAX)).unwrap_or(1);
        let Some(token) = &ask.next_token else {
            let stream = check::stream(ask, Service::Kinesis)?;
            return Ok(Self {
                stream,
                behind: ask.start_after.clone(),
                is_continued: false,
                count,
            });
        };
        if ask.stream_name.is_some() || ask.stream_arn.is_some() {
            return Err(CallFault::BadArgument(
                "NextToken and StreamName cannot be provided together.".into(),
            ));
        }
        let text =
            URL_SAFE_NO_PAD.decode_to_vec(token).ok().and_then(|raw| String::from_utf8(raw).ok());
        let parts = text.as_deref().and_then(|text| text.split_once('\n'));
        // Whoever writes a token of their own is not told it again.
        let named = parts.filter(|(stream, _)| is_stream_name(stream));
        let (stream, behind) = named.ok_or(CallFault::BadToken)?;
        let (stream, behind) = (stream.to_owned(), Some(behind.to_owned()));
        Ok(Self { stream, behind, is_continued: true, count })
    }

    pub(super) fn answer(&self, call: Call, shards: &Shards) -> Result<Answer, CallFault> {
        // Whoever packs records by a map that is not that of the upstream loses them there.
        if *shards == Shards::Unknown {
            return Err(CallFault::ShardsUnknown);
        }
        let first = match &self.behind {
            None => 0,
            Some(id) => match shards.behind(id) {
                Some(place) => place,
                None if self.is_continued => return Err(CallFault::BadToken),
                // Ids sort by age; what stands behind one that is gone is not known.
                None => 0,
            },
        };
        let end = first.saturating_add(self.count).min(shards.count());
        let next = (end < shards.count()).then(|| {
            let last = shards.id_at(end.checked_sub(1));
            URL_SAFE_NO_PAD.encode_to_string(format!("{}\n{last}", self.stream))
        });
        Ok(answer::shards(call, shards, first..end, next.as_deref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_a_stream_as_one_may_be_named() {
        let asked = |stream: &str| {
            let token = URL_SAFE_NO_PAD.encode_to_string(format!("{stream}\nshardId-1"));
            Asked::of(&Ask { next_token: Some(token), ..Ask::default() })
        };
        assert_eq!(asked(&"n".repeat(128)).unwrap().behind.as_deref(), Some("shardId-1"));
        for wrong in [&*"n".repeat(129), &"n".repeat(1 << 20), "", "a b", "é"] {
            assert_eq!(asked(wrong), Err(CallFault::BadToken));
        }
    }
}
