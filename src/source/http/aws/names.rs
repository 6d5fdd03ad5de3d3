//! What the services call things that weir has no names for: accounts, ARNs, shards, sequence
//! numbers.

/// The account of whoever is asked here.
pub(super) const ACCOUNT: &str = "000000000000";
/// The only shard, where those of the upstream are not known.
pub(in crate::source::http) const SHARD: &str = "shardId-000000000000";

const STREAM_NAME_CHARS_MAX: usize = 128;
const DELIVERY_STREAM_NAME_CHARS_MAX: usize = 64;
const ARN_CHARS_MAX: usize = 2048;

/// A number of a record by the place in the queue where its hand-in ends, the turn of the hand-in if
/// nothing of it stayed in that queue, and its own place in the hand-in: those of one stream only
/// grow, whatever transforms drop or lead elsewhere, and no two records have one number. As long as
/// those of the service, and begins as they do.
pub(in crate::source::http) fn sequence_number(place: u64, turn: u64, index: u64) -> String {
    format!("49{place:020}{turn:020}{index:014}")
}

/// The ARN of a stream, in the region its caller signed for.
pub(super) fn stream_arn(region: &str, name: &str) -> String {
    format!("arn:aws:kinesis:{region}:{ACCOUNT}:stream/{name}")
}

/// The ARN of a delivery stream.
pub(super) fn delivery_stream_arn(region: &str, name: &str) -> String {
    format!("arn:aws:firehose:{region}:{ACCOUNT}:deliverystream/{name}")
}

/// Whether a stream of Kinesis may have this name.
pub(super) fn is_stream_name(name: &str) -> bool {
    is_name(name, STREAM_NAME_CHARS_MAX)
}

/// Whether a delivery stream may have this name.
pub(super) fn is_delivery_stream_name(name: &str) -> bool {
    is_name(name, DELIVERY_STREAM_NAME_CHARS_MAX)
}

fn is_name(name: &str, chars_max: usize) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    (1..=chars_max).contains(&name.len()) && name.bytes().all(plain)
}

/// The name in `arn:aws…:kinesis:REGION:ACCOUNT:stream/NAME`, whoever's account it is.
pub(super) fn name_in_arn(arn: &str) -> Option<&str> {
    if arn.len() > ARN_CHARS_MAX {
        return None;
    }
    let mut parts = arn.splitn(6, ':');
    let mut next = || parts.next();
    let is_arn = next()? == "arn" && next()?.starts_with("aws") && next()? == "kinesis";
    let (_region, account) = (next()?, next()?);
    let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    let name = next()?.strip_prefix("stream/")?;
    (is_arn && is_account && is_stream_name(name)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_grow_with_places_and_are_as_long_as_those_of_the_service() {
        let most = u64::MAX;
        let numbers = [
            (0, 0, 0),
            (0, 1, 0),
            (1, 0, 0),
            (1, 0, 499),
            (1, 1 << 57, 0),
            (1, (1 << 57) + 1, 0),
            (1, most, 499),
            (2, 0, 0),
            (10, 0, 7),
            (most, 0, 0),
        ];
        let numbers = numbers.map(|(place, turn, index)| sequence_number(place, turn, index));
        assert!(numbers.is_sorted_by(|a, b| a < b));
        assert!(numbers.iter().all(|number| number.len() == 56));
    }

    #[test]
    fn a_name_is_found_in_its_arn() {
        let name = |arn| name_in_arn(arn);
        assert_eq!(name("arn:aws:kinesis:eu-west-1:123456789012:stream/a.b_c-1"), Some("a.b_c-1"));
        assert_eq!(name("arn:aws-cn:kinesis::123456789012:stream/a"), Some("a"));
        for wrong in [
            "",
            "a",
            "arn:aws:firehose:eu-west-1:123456789012:stream/a",
            "arn:aws:kinesis:eu-west-1:12345678901:stream/a",
            "arn:aws:kinesis:eu-west-1:123456789012:stream/",
            "arn:aws:kinesis:eu-west-1:123456789012:stream/a/consumer/b:1",
            "arn:aws:kinesis:eu-west-1:123456789012:a",
        ] {
            assert_eq!(name(wrong), None, "{wrong}");
        }
        assert_eq!(name(&stream_arn("us-east-1", "a")), Some("a"));
    }

    #[test]
    fn names_have_their_bounds() {
        for (length, kinesis, firehose) in
            [(0, false, false), (1, true, true), (64, true, true), (65, true, false)]
        {
            let name = "n".repeat(length);
            assert_eq!(is_stream_name(&name), kinesis, "{length}");
            assert_eq!(is_delivery_stream_name(&name), firehose, "{length}");
        }
        let long = "n".repeat(128);
        assert!(is_stream_name(&long) && !is_stream_name(&format!("{long}n")));
        assert!(!is_stream_name("a b") && !is_stream_name("é"));
    }
}
