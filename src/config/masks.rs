//! Which parts of a file are never shown: the values of everything that is named like a secret,
//! also when its name is misspelt or the file is broken around it.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

const SECRETS: [&str; 6] =
    ["access_key_id", "secret_access_key", "session_token", "old_keys", "external_id", "headers"];
const TELLING: [&str; 8] = [
    "secret",
    "token",
    "password",
    "credential",
    "access_key",
    "authorization",
    "api-key",
    "api_key",
];
/// Near to a secret's name, and something else: `header = "user-agent"` of a rule.
const HARMLESS: [&str; 1] = ["header"];

/// Whether a key of this name holds a secret, or was probably meant to.
pub(super) fn is_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    matches!(name.as_str(), "key" | "keys")
        || TELLING.iter().any(|word| name.contains(word))
        || (!HARMLESS.contains(&name.as_str()) && super::suggest::nearest(&name, SECRETS).is_some())
}

/// The values of secrets in a file that could be read, also of those that are commented out.
pub(super) fn of_document(table: &DeTable<'_>, text: &str) -> Vec<Range<usize>> {
    let mut masks = Vec::new();
    for (name, value) in table {
        match is_secret(name.get_ref()) {
            true => hide(value, &mut masks),
            false => look_into(value, Some(name.get_ref()), &mut masks),
        }
    }
    let mut values = Vec::new();
    table.values().for_each(|value| scalars(value, &mut values));
    values.sort_by_key(|value| value.start);
    in_comments(text, &values, &mut masks);
    masks
}

fn scalars(value: &Spanned<DeValue<'_>>, values: &mut Vec<Range<usize>>) {
    match value.get_ref() {
        DeValue::Table(table) => table.values().for_each(|value| scalars(value, values)),
        DeValue::Array(array) => array.iter().for_each(|value| scalars(value, values)),
        _ => values.push(value.span()),
    }
}

/// A `#` outside of every value begins a comment.
fn in_comments(text: &str, values: &[Range<usize>], masks: &mut Vec<Range<usize>>) {
    let mut values = values.iter().peekable();
    let mut behind = 0;
    for (at, _) in text.match_indices('#') {
        while values.next_if(|value| value.end <= at).is_some() {}
        let is_inside = values.peek().is_some_and(|value| value.contains(&at));
        if at < behind || is_inside {
            continue;
        }
        let comment = text.get(at + 1..).unwrap_or_default();
        let comment = comment.split('\n').next().unwrap_or_default();
        behind = at + 1 + comment.len();
        if let Some(from) = value_of_secret(comment) {
            masks.push(at + 1 + from..behind);
        }
    }
}

/// Tables below these have names that the operator chose: `[stream.tokens]` is no secret.
const NAMED: [&str; 9] =
    ["http", "route", "rule", "auth", "plan", "tail", "stream", "destination", "encryption"];

const TRACES: &str = "traces";

/// `within` is the table that this one is, if it stands at the top of the file.
fn look_through(table: &DeTable<'_>, within: Option<&str>, masks: &mut Vec<Range<usize>>) {
    for (name, value) in table {
        let is_name = within.is_some_and(|of| NAMED.contains(&of)) && value.get_ref().is_table();
        // What stands below a name that is no setting of `traces` was probably meant for its headers.
        let is_header = within == Some(TRACES) && value.get_ref().is_table();
        if is_header || (is_secret(name.get_ref()) && !is_name) {
            hide(value, masks);
        } else {
            look_into(value, None, masks);
        }
    }
}

fn look_into(value: &Spanned<DeValue<'_>>, within: Option<&str>, masks: &mut Vec<Range<usize>>) {
    match value.get_ref() {
        DeValue::Table(table) => look_through(table, within, masks),
        DeValue::Array(array) => array.iter().for_each(|value| look_into(value, within, masks)),
        _ => {}
    }
}

/// The value of a secret, and whatever stands in its place.
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
        let begins = before.trim().is_empty() || before.trim_end().ends_with(['{', ',', '.', ']']);
        let after = line.get(at..)?.trim_start_matches(['"', '\'']).trim_start();
        if (begins || after.starts_with('=')) && is_secret(word.get(..length)?) {
            let behind = line.get(at..)?;
            // Of `headers.authorization` the other half is a name too.
            let half = behind.find(|c| !is_name(c) && c != '.').unwrap_or(behind.len());
            at += if behind.starts_with('.') { half } else { 0 };
            let skipped =
                line.get(at..)?.find(|c: char| c == '\n' || (!c.is_whitespace() && c != '='));
            return Some(at + skipped.unwrap_or(0));
        }
    }
    None
}

/// Behind the closing quotes of a text block, or of a text that was broken in two; else the end of
/// the line.
fn end_of_value(text: &str, from: usize, line_end: usize) -> usize {
    let line = text.get(from..line_end).unwrap_or_default();
    for quotes in ["\"\"\"", "'''"] {
        let Some(opened) = line.find(quotes) else { continue };
        let inside = from + opened + quotes.len();
        let closed = text.get(inside..).and_then(|rest| rest.find(quotes));
        return closed.map_or(text.len(), |at| inside + at + quotes.len()).max(line_end);
    }
    let is_open = |quote: char| line.matches(quote).count() % 2 == 1;
    let mut end = line_end;
    if line.trim().is_empty() || is_open('"') || is_open('\'') {
        let rest = text.get(line_end..).unwrap_or_default();
        end += rest
            .split_inclusive('\n')
            .take_while(|line| !begins_anew(line))
            .map(str::len)
            .sum::<usize>();
    }
    end
}

/// Whether a line is the beginning of something else: empty, a comment, a table, a setting.
fn begins_anew(line: &str) -> bool {
    let line = line.trim_start();
    let behind = line.trim_start_matches(|c: char| c.is_ascii_lowercase() || c == '_');
    line.is_empty()
        || line.starts_with(['#', '['])
        || (behind.len() < line.len() && behind.trim_start().starts_with('='))
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
        let text = "[a]\nsecret = \"x1\"\nb = { token = [\"x2\"] }\nc.password.d = \"x3\"\n\
                    [stream.tokens]\ne = \"#secret = 1\" # secret = x5\ntoken = \"file:f\"\n[secret]\nf.g = \"x4\"\n\
                    [g.role]\nexternal_id = \"x6\"\n[traces]\nheaders.team = \"x7\"\n";
        let table = toml::de::DeTable::parse(text).unwrap();

        let mut hidden: Vec<_> = of_document(table.get_ref(), text)
            .into_iter()
            .map(|mask| text.get(mask).unwrap())
            .collect();
        hidden.sort_unstable();

        assert_eq!(hidden, ["\"x1\"", "\"x2\"", "\"x3\"", "\"x4\"", "\"x6\"", "\"x7\"", "x5"]);
    }

    #[test]
    fn values_of_secrets_are_hidden_in_a_broken_file() {
        let text = "secret_access_key = \"x1\nfile = \"/etc/token.toml\"\n\"session_token\" 'x2'\n\
                    a = { password = \"x3\", b = 1 }\ntoken = \"\"\"\nx4\nx5\"\"\"\nc = 1\n\
                    secret =\n\"x6\nX7=\"\n[d]\nheaders.team\n\"x8\"\n[e]\n";

        let hidden: Vec<_> =
            of_broken(text).into_iter().map(|mask| text.get(mask).unwrap()).collect();

        let right = [
            "\"x1\n",
            "\" 'x2'\n",
            "\"x3\", b = 1 }\n",
            "\"\"\"\nx4\nx5\"\"\"",
            "\n\"x6\nX7=\"\n",
            "\n\"x8\"\n",
        ];
        assert_eq!(hidden, right);
    }
}
