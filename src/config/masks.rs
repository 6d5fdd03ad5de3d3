//! Which parts of a file are never shown: the values of everything that is named like a secret,
//! also when its name is misspelt or the file is broken around it.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

const SECRETS: [&str; 3] = ["access_key_id", "secret_access_key", "session_token"];
const TELLING: [&str; 5] = ["secret", "token", "password", "credential", "access_key"];

/// Whether a key of this name holds a secret, or was probably meant to.
pub(super) fn is_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    TELLING.iter().any(|word| name.contains(word))
        || super::suggest::nearest(&name, SECRETS).is_some()
}

/// The values of secrets in a file that could be read.
pub(super) fn of_document(table: &DeTable<'_>) -> Vec<Range<usize>> {
    let mut masks = Vec::new();
    let mut open: Vec<&DeTable<'_>> = vec![table];
    while let Some(table) = open.pop() {
        for (name, value) in table {
            if is_secret(name.get_ref()) {
                hide(value, &mut masks);
            } else {
                nested(value, &mut open);
            }
        }
    }
    masks
}

fn nested<'t, 'd>(value: &'t Spanned<DeValue<'d>>, open: &mut Vec<&'t DeTable<'d>>) {
    match value.get_ref() {
        DeValue::Table(table) => open.push(table),
        DeValue::Array(array) => array.iter().for_each(|value| nested(value, open)),
        _ => {}
    }
}

/// A table that is named like a secret has its span at its header, so its values are hidden one by one.
fn hide(value: &Spanned<DeValue<'_>>, masks: &mut Vec<Range<usize>>) {
    match value.get_ref() {
        DeValue::Table(table) => table.values().for_each(|value| hide(value, masks)),
        DeValue::Array(array) => array.iter().for_each(|value| hide(value, masks)),
        DeValue::String(text) if is_reference(text) => {}
        _ => masks.push(value.span()),
    }
}

/// A reference says where a secret is, not what it is.
fn is_reference(text: &str) -> bool {
    (text.starts_with("${") && text.ends_with('}'))
        || text.starts_with("file:")
        || text.starts_with("credential:")
}

/// The probable values of secrets in a file that is not TOML: from a telling name to the end of its
/// line, or to the end of the text block that begins there.
pub(super) fn of_broken(text: &str) -> Vec<Range<usize>> {
    let mut masks = Vec::new();
    let mut start = 0;
    while let Some(rest) = text.get(start..).filter(|rest| !rest.is_empty()) {
        let line = rest.split_inclusive('\n').next().unwrap_or(rest);
        let end = match value_of_secret(line) {
            Some(at) => {
                let from = start + at;
                let to = end_of_value(text, from, start + line.len());
                masks.push(from..to);
                to
            }
            None => start + line.len(),
        };
        start = end.max(start + line.len());
    }
    masks
}

/// Where the value of the first secret in a line begins.
fn value_of_secret(line: &str) -> Option<usize> {
    let mut at = 0;
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
    while let Some(rest) = line.get(at..).filter(|rest| !rest.is_empty()) {
        let from = at + rest.find(is_name)?;
        let word = line.get(from..)?;
        let length = word.find(|c| !is_name(c)).unwrap_or(word.len());
        at = from + length;
        let before = line.get(..from)?.trim_end_matches(['"', '\'']);
        let begins = before.trim().is_empty() || before.trim_end().ends_with(['{', ',', '.']);
        let after = line.get(at..)?.trim_start_matches(['"', '\'']).trim_start();
        if (begins || after.starts_with('=')) && is_secret(word.get(..length)?) {
            let skipped = line.get(at..)?.find(|c: char| !c.is_whitespace() && c != '=');
            return Some(at + skipped.unwrap_or(0));
        }
    }
    None
}

fn end_of_value(text: &str, from: usize, line_end: usize) -> usize {
    let line = text.get(from..line_end).unwrap_or_default();
    for quotes in ["\"\"\"", "'''"] {
        let Some(opened) = line.find(quotes) else { continue };
        let inside = from + opened + quotes.len();
        let closed = text.get(inside..).and_then(|rest| rest.find(quotes));
        return closed.map_or(text.len(), |at| inside + at + quotes.len()).max(line_end);
    }
    line_end
}

#[cfg(test)]
mod tests {
    use super::{is_secret, of_broken, of_document};

    #[test]
    fn names_of_secrets_are_known_even_misspelt() {
        for name in
            ["secret_access_key", "secrt_acess_key", "session_tken", "AWS_SECRET", "password"]
        {
            assert!(is_secret(name), "{name}");
        }
        for name in ["region", "listen", "max_body", "stream_name", "endpoint_url"] {
            assert!(!is_secret(name), "{name}");
        }
    }

    #[test]
    fn values_of_secrets_are_hidden_in_a_sound_file() {
        let text = "[a]\nsecret = \"x1\"\nb = { token = [\"x2\"] }\n[a.password]\nc = \"x3\"\n";
        let table = toml::de::DeTable::parse(text).unwrap();

        let mut hidden: Vec<_> =
            of_document(table.get_ref()).into_iter().map(|mask| &text[mask]).collect();
        hidden.sort_unstable();

        assert_eq!(hidden, ["\"x1\"", "\"x2\"", "\"x3\""]);
    }

    #[test]
    fn values_of_secrets_are_hidden_in_a_broken_file() {
        let text = "secret_access_key = \"x1\nfile = \"/etc/token.toml\"\n\"session_token\" 'x2'\n\
                    a = { password = \"x3\", b = 1 }\ntoken = \"\"\"\nx4\nx5\"\"\"\nc = 1\n";

        let hidden: Vec<_> = of_broken(text).into_iter().map(|mask| &text[mask]).collect();

        assert_eq!(
            hidden,
            ["\"x1\n", "\" 'x2'\n", "\"x3\", b = 1 }\n", "\"\"\"\nx4\nx5\"\"\"\n"].map(|text| text)
        );
    }
}
