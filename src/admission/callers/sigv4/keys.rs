//! The file of access keys: as AWS names them, with the secret itself, without which no signature
//! can be checked.

use serde::Deserialize;
use toml::Spanned;

use crate::admission::keys::{check_name, line_at, parse_expiry};
use crate::base::secret::Secret;

/// Most bytes of the file: some ten thousand keys.
pub(super) const FILE_BYTES_MAX: u64 = 4 << 20;
/// As long as access key ids may be at AWS.
const ID_CHARS: std::ops::RangeInclusive<usize> = 4..=128;

/// One key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AccessKey {
    pub(super) id: String,
    pub(super) secret: Secret,
    pub(super) token: Option<Secret>,
    pub(super) name: String,
    pub(super) plan: Option<String>,
    pub(super) streams: Option<Vec<String>>,
    pub(super) expires_unix_ms: Option<u64>,
}

/// All keys of one file, in the order of their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct AccessKeys(Vec<AccessKey>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    key: Vec<Spanned<Written>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
    name: Option<String>,
    plan: Option<String>,
    streams: Option<Vec<String>>,
    expires: Option<String>,
}

impl AccessKeys {
    /// Reads a whole file.
    ///
    /// # Errors
    /// In words, with the line and never with a secret.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|error| {
            format!("line {}: this is not UTF-8 text", line_at(bytes, error.valid_up_to()))
        })?;
        let document: Document = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            format!("line {}: {}", line_at(bytes, at), error.message())
        })?;
        let mut keys = Vec::with_capacity(document.key.len());
        for written in document.key {
            let at = written.span().start;
            let key = checked(written.into_inner())
                .map_err(|why| format!("line {}: {why}", line_at(bytes, at)))?;
            keys.push(key);
        }
        keys.sort_by(|a: &AccessKey, b: &AccessKey| a.id.cmp(&b.id));
        let twice = keys.windows(2).find_map(|pair| match pair {
            [one, other] if one.id == other.id => Some(one.id.clone()),
            _ => None,
        });
        match twice {
            Some(id) => Err(format!("`{id}` stands there twice; remove one")),
            None => Ok(Self(keys)),
        }
    }

    /// The key with this id, which is no secret.
    pub(super) fn find(&self, id: &str) -> Option<&AccessKey> {
        let at = self.0.binary_search_by(|key| key.id.as_str().cmp(id)).ok()?;
        self.0.get(at)
    }

    pub(super) fn all(&self) -> &[AccessKey] {
        &self.0
    }
}

fn checked(written: Written) -> Result<AccessKey, String> {
    let id = written.access_key_id;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    if !ID_CHARS.contains(&id.len()) || !id.bytes().all(plain) {
        return Err("`access_key_id` should have 4 to 128 letters, digits, `_`, `-` or `.`".into());
    }
    if written.secret_access_key.is_empty() {
        return Err("`secret_access_key` is empty, which anybody could sign with".into());
    }
    let name = written.name.unwrap_or_else(|| id.chars().take(64).collect());
    check_name(&name)?;
    Ok(AccessKey {
        id,
        secret: Secret::new(written.secret_access_key),
        token: written.session_token.map(Secret::new),
        name,
        plan: written.plan,
        streams: written.streams,
        expires_unix_ms: written.expires.as_deref().map(parse_expiry).transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "[[key]]\naccess_key_id = \"AKIA1\"\nsecret_access_key = \"hush\"\n";

    #[test]
    fn a_key_is_found_by_its_id_and_is_its_own_name_unless_it_has_one() {
        let more =
            "[[key]]\naccess_key_id = \"AKIA0\"\nsecret_access_key = \"s\"\nname = \"till\"\n";
        let keys = AccessKeys::parse(format!("{ONE}{more}").as_bytes()).unwrap();

        let name = |id| keys.find(id).map(|key| key.name.as_str());
        assert_eq!(
            (name("AKIA1"), name("AKIA0"), name("AKIA2")),
            (Some("AKIA1"), Some("till"), None)
        );
        assert!(!format!("{keys:?}").contains("hush"));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line_and_without_the_secret() {
        for (text, says) in [
            (format!("{ONE}{ONE}"), "`AKIA1` stands there twice"),
            (format!("{ONE}plam = \"a\"\n"), "line 4: unknown field `plam`"),
            (ONE.replace("hush", ""), "line 1: `secret_access_key` is empty"),
            (ONE.replace("AKIA1", "A/B/"), "line 1: `access_key_id` should have"),
            ("[[key]]\naccess_key_id = \"AKIA\"\n".into(), "line 1: missing field"),
            (format!("{ONE}expires = \"soon\"\n"), "line 1: `soon` is no time"),
        ] {
            let said = AccessKeys::parse(text.as_bytes()).unwrap_err();
            assert!(said.starts_with(says) && !said.contains("hush"), "{said}");
        }
    }
}
