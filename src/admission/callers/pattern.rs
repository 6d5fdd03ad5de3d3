//! Names with `*` in them.

use std::fmt;

/// `device-*`: each `*` stands for any characters but the separator, perhaps none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    /// What no `*` passes over: the dot of host names, the slash of paths.
    separator: Option<char>,
}

impl Pattern {
    /// A pattern as it is written.
    pub fn new(text: impl Into<String>, separator: Option<char>) -> Self {
        Self { text: text.into(), separator }
    }

    /// Whether the whole name is meant.
    pub fn fits(&self, name: &str) -> bool {
        let Some(separator) = self.separator else { return fits(&self.text, name) };
        let (mut wanted, mut found) = (self.text.split(separator), name.split(separator));
        loop {
            match (wanted.next(), found.next()) {
                (Some(wanted), Some(found)) if fits(wanted, found) => {}
                (None, None) => return true,
                _ => return false,
            }
        }
    }
}

/// What stands between two stars is taken where it is found first, which leaves most for the rest.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(start) else { return false };
    let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in middle.split('*').filter(|part| !part.is_empty()) {
        let Some((_, behind)) = name.split_once(part) else { return false };
        name = behind;
    }
    name.ends_with(end)
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_anything_but_the_separator() {
        for (pattern, name, fits) in [
            ("device-1", "device-1", true),
            ("device-1", "device-10", false),
            ("device-1", "device-", false),
            ("device-*", "device-", true),
            ("device-*", "device-10", true),
            ("device-*", "xdevice-10", false),
            ("*", "", true),
            ("*", "a", true),
            ("*", "a.b", false),
            ("*.b", "a.b", true),
            ("*.*", "a.b", true),
            ("a*c*e", "abcde", true),
            ("a*c*e", "ace", true),
            ("a*c*e", "acd", false),
            ("**", "ab", true),
            ("a*a", "a", false),
            ("*ab*ab", "abab", true),
            ("*ab*ab", "ab", false),
            ("", "", true),
            ("", "a", false),
            ("é*", "éü", true),
        ] {
            assert_eq!(Pattern::new(pattern, Some('.')).fits(name), fits, "{pattern} {name}");
        }
        assert!(Pattern::new("*", None).fits("a.b"));
    }
}
