//! What programs may call: functions of VRL that look at nothing but their arguments (and the
//! clock). None reads the environment, the disk or the network, and none needs a C library.

use vrl::compiler::Function;
use vrl::stdlib as std;

use super::digest::{Hmac, Sha2};
use super::weighed::Weighed;

/// All of them, weighed; the linker leaves out what is not named here.
pub(super) fn all() -> Vec<Box<dyn Function>> {
    let all = [shape(), text(), kinds(), formats()].into_iter().flatten();
    all.map(|one| Box::new(Weighed(one)) as Box<dyn Function>).collect()
}

/// Objects and arrays.
fn shape() -> Vec<Box<dyn Function>> {
    vec![
        Box::new(std::Append),
        Box::new(std::Chunks),
        Box::new(std::Compact),
        Box::new(std::Del),
        Box::new(std::Exists),
        Box::new(std::Filter),
        Box::new(std::Flatten),
        Box::new(std::ForEach),
        Box::new(std::FromEntries),
        Box::new(std::Get),
        Box::new(std::Includes),
        Box::new(std::IsEmpty),
        Box::new(std::Keys),
        Box::new(std::Length),
        Box::new(std::MapKeys),
        Box::new(std::MapValues),
        Box::new(std::MatchArray),
        Box::new(std::Merge),
        Box::new(std::ObjectFromArray),
        Box::new(std::Pop),
        Box::new(std::Push),
        Box::new(std::Remove),
        Box::new(std::Set),
        Box::new(std::Tally),
        Box::new(std::ToEntries),
        Box::new(std::Unflatten),
        Box::new(std::Unique),
        Box::new(std::Unnest),
        Box::new(std::Values),
        Box::new(std::Zip),
    ]
}

/// Texts, and what hides parts of them.
fn text() -> Vec<Box<dyn Function>> {
    vec![
        Box::new(std::BaseName),
        Box::new(std::Camelcase),
        Box::new(std::Contains),
        Box::new(std::ContainsAll),
        Box::new(std::DirName),
        Box::new(std::Downcase),
        Box::new(std::EndsWith),
        Box::new(std::Find),
        Box::new(Hmac),
        Box::new(std::Join),
        Box::new(std::Kebabcase),
        Box::new(std::Match),
        Box::new(std::MatchAny),
        Box::new(std::ParseRegex),
        Box::new(std::ParseRegexAll),
        Box::new(std::Pascalcase),
        Box::new(std::Redact),
        Box::new(std::Replace),
        Box::new(std::ReplaceWith),
        Box::new(std::ScreamingSnakecase),
        Box::new(Sha2),
        Box::new(std::Sieve),
        Box::new(std::Slice),
        Box::new(std::Snakecase),
        Box::new(std::Split),
        Box::new(std::StartsWith),
        Box::new(std::StripAnsiEscapeCodes),
        Box::new(std::StripWhitespace),
        Box::new(std::Strlen),
        Box::new(std::Truncate),
        Box::new(std::Upcase),
    ]
}

/// Kinds of values, numbers and times.
fn kinds() -> Vec<Box<dyn Function>> {
    vec![
        Box::new(std::Abs),
        Box::new(std::Array),
        Box::new(std::Assert),
        Box::new(std::AssertEq),
        Box::new(std::Boolean),
        Box::new(std::Ceil),
        Box::new(std::Float),
        Box::new(std::Floor),
        Box::new(std::FormatInt),
        Box::new(std::FormatNumber),
        Box::new(std::FormatTimestamp),
        Box::new(std::FromUnixTimestamp),
        Box::new(std::Integer),
        Box::new(std::IsArray),
        Box::new(std::IsBoolean),
        Box::new(std::IsFloat),
        Box::new(std::IsInteger),
        Box::new(std::IsJson),
        Box::new(std::IsNull),
        Box::new(std::IsNullish),
        Box::new(std::IsObject),
        Box::new(std::IsString),
        Box::new(std::IsTimestamp),
        Box::new(std::Mod),
        Box::new(std::Now),
        Box::new(std::Object),
        Box::new(std::Round),
        Box::new(std::String),
        Box::new(std::Timestamp),
        Box::new(std::ToBool),
        Box::new(std::ToFloat),
        Box::new(std::ToInt),
        Box::new(std::ToString),
        Box::new(std::ToUnixTimestamp),
    ]
}

/// Forms that values are written in.
fn formats() -> Vec<Box<dyn Function>> {
    vec![
        Box::new(std::DecodeBase16),
        Box::new(std::DecodeBase64),
        Box::new(std::DecodePercent),
        Box::new(std::EncodeBase16),
        Box::new(std::EncodeBase64),
        Box::new(std::EncodeJson),
        Box::new(std::EncodeKeyValue),
        Box::new(std::EncodeLogfmt),
        Box::new(std::EncodePercent),
        Box::new(std::IpAton),
        Box::new(std::IpCidrContains),
        Box::new(std::IpNtoa),
        Box::new(std::IpSubnet),
        Box::new(std::IsIpv4),
        Box::new(std::IsIpv6),
        Box::new(std::ParseBytes),
        Box::new(std::ParseCommonLog),
        Box::new(std::ParseCsv),
        Box::new(std::ParseDuration),
        Box::new(std::ParseFloat),
        Box::new(std::ParseInt),
        Box::new(std::ParseJson),
        Box::new(std::ParseKeyValue),
        Box::new(std::ParseKlog),
        Box::new(std::ParseLogFmt),
        Box::new(std::ParseNginxLog),
        Box::new(std::ParseApacheLog),
        Box::new(std::ParseQueryString),
        Box::new(std::ParseSyslog),
        Box::new(std::ParseTimestamp),
        Box::new(std::ParseTokens),
        Box::new(std::ParseUrl),
        Box::new(std::ToSyslogFacility),
        Box::new(std::ToSyslogLevel),
        Box::new(std::ToSyslogSeverity),
        Box::new(std::UuidV4),
        Box::new(std::UuidV7),
    ]
}
