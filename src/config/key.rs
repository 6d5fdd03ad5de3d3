//! The row of a setting: its name, unit, default, range and effect. The parser, the commented file,
//! the reference page and the findings all read the same row.

use std::time::Duration;

use crate::base::units::{ByteSize, Span};

pub(super) const KIB: u64 = 1 << 10;
pub(super) const MIB: u64 = 1 << 20;
pub(super) const GIB: u64 = 1 << 30;
pub(super) const TIB: u64 = 1 << 40;
pub(super) const SECOND: u64 = 1_000;
pub(super) const MINUTE: u64 = 60 * SECOND;
pub(super) const HOUR: u64 = 60 * MINUTE;
pub(super) const DAY: u64 = 24 * HOUR;

/// One setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    /// As it stands before the `=`.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) default: Default,
    /// Bounds of a number, in its smallest unit: bytes, milliseconds, pieces.
    pub(super) least: u64,
    pub(super) most: u64,
    /// One sentence.
    pub(super) effect: &'static str,
}

/// What a value is, and its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Bytes.
    Size,
    /// Milliseconds inside.
    Time,
    Count,
    Rate,
    ByteRate,
    Flag,
    Choice(&'static [&'static str]),
    Text,
    Path,
    /// One text, or a list of them.
    Texts,
    /// A text that is never printed.
    Secret,
    /// One such text, or a list of them.
    Secrets,
    /// Such texts under names that the operator chooses: `{ NAME = "…" }`.
    NamedSecrets,
    /// More settings below one name: `queue.max_bytes`.
    Rows(&'static [Key]),
}

/// What holds when a setting is not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Default {
    /// It must be written; the example is TOML.
    Required(&'static str),
    /// Something that is no value of this setting; the example is TOML.
    Otherwise {
        example: &'static str,
        then: &'static str,
    },
    /// In the smallest unit.
    Number(u64),
    Flag(bool),
    Text(&'static str),
    /// The empty list.
    Nothing,
    /// Each row below has its own.
    Rows,
}

/// One table of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Table {
    /// `http`; empty for the top of the file.
    pub(super) name: &'static str,
    /// A name for the example, if the operator names these tables: `local` in `[http.local]`.
    pub(super) example: Option<&'static str>,
    /// What one such table is: `an HTTP listener`.
    pub(super) what: &'static str,
    /// The value of `type`, where it decides which settings there are.
    pub(super) variant: Option<&'static str>,
    /// A sentence or two.
    pub(super) effect: &'static str,
    /// Its settings, in groups that tables may share.
    pub(super) groups: &'static [&'static [Key]],
}

impl Table {
    pub(super) fn keys(&self) -> impl Iterator<Item = &'static Key> + use<> {
        self.groups.iter().copied().flatten()
    }
}

impl Key {
    pub(super) const fn new(name: &'static str, kind: Kind, default: Default) -> Self {
        Self { name, kind, default, least: 0, most: u64::MAX, effect: "" }
    }

    pub(super) const fn size(name: &'static str, default: u64) -> Self {
        Self::new(name, Kind::Size, Default::Number(default))
    }

    pub(super) const fn time(name: &'static str, default_ms: u64) -> Self {
        Self::new(name, Kind::Time, Default::Number(default_ms))
    }

    pub(super) const fn count(name: &'static str, default: u64) -> Self {
        Self::new(name, Kind::Count, Default::Number(default))
    }

    pub(super) const fn text(name: &'static str, default: Default) -> Self {
        Self::new(name, Kind::Text, default)
    }

    pub(super) const fn texts(name: &'static str, default: Default) -> Self {
        Self::new(name, Kind::Texts, default)
    }

    pub(super) const fn within(mut self, least: u64, most: u64) -> Self {
        self.least = least;
        self.most = most;
        self
    }

    pub(super) const fn says(mut self, effect: &'static str) -> Self {
        self.effect = effect;
        self
    }

    /// The default of a number.
    pub(super) fn number(&self) -> u64 {
        match self.default {
            Default::Number(number) => number,
            _ => 0,
        }
    }

    /// The default of a text.
    pub(super) fn words(&self) -> &'static str {
        match self.default {
            Default::Text(text) => text,
            _ => "",
        }
    }

    /// A number of this setting, as people write it, without quotes.
    pub(super) fn show(&self, number: u64) -> String {
        match self.kind {
            Kind::Size => ByteSize(number).to_string(),
            Kind::Time => Span(Duration::from_millis(number)).to_string(),
            _ => number.to_string(),
        }
    }

    /// The default as TOML, if there is one.
    pub(super) fn default_toml(&self) -> Option<String> {
        match self.default {
            Default::Number(number) if self.kind == Kind::Count => Some(number.to_string()),
            Default::Number(number) => Some(format!("\"{}\"", self.show(number))),
            Default::Flag(flag) => Some(flag.to_string()),
            Default::Text(text) => Some(format!("\"{text}\"")),
            Default::Nothing => Some("[]".to_owned()),
            Default::Required(_) | Default::Otherwise { .. } | Default::Rows => None,
        }
    }

    /// A value as TOML: the default, or an example.
    pub(super) fn example_toml(&self) -> String {
        match self.default {
            Default::Required(example) | Default::Otherwise { example, .. } => example.to_owned(),
            _ => self.default_toml().unwrap_or_default(),
        }
    }

    /// Whether it must be written.
    pub(super) fn is_required(&self) -> bool {
        matches!(self.default, Default::Required(_))
    }

    /// The bounds in words; empty where there are none.
    pub(super) fn range(&self) -> String {
        if let Kind::Choice(words) = self.kind {
            return list(words, "or");
        }
        if !matches!(self.kind, Kind::Size | Kind::Time | Kind::Count) {
            return String::new();
        }
        let mut range = self.show(self.least);
        if self.most == u64::MAX {
            range.push_str(" or more");
        } else {
            range.push_str(&format!(" to {}", self.show(self.most)));
        }
        range
    }
}

impl Kind {
    /// What a value should be; stands behind "it should be".
    pub(super) fn right(self) -> &'static str {
        match self {
            Self::Size => "a size with a unit, like \"64 MiB\"",
            Self::Time => "a time with a unit, like \"30 s\"",
            Self::Count => "a whole number",
            Self::Rate => "a rate, like \"500/s\"",
            Self::ByteRate => "a byte rate, like \"2 MiB/s\"",
            Self::Flag => "true or false",
            Self::Choice(_) | Self::Text | Self::Path | Self::Secret => "a text in quotes",
            Self::Texts | Self::Secrets => "a text in quotes, or a list of them",
            Self::NamedSecrets => "a table of texts in quotes, like { NAME = \"${…}\" }",
            Self::Rows(_) => "a table, like { … }",
        }
    }

    /// One or two words: stands behind "not".
    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::Size => "a size",
            Self::Time => "a time",
            Self::Count => "a whole number",
            Self::Rate => "a rate",
            Self::ByteRate => "a byte rate",
            Self::Flag => "true or false",
            Self::Choice(_) => "one of the words",
            Self::Text | Self::Secret => "a text",
            Self::Path => "a path",
            Self::Texts | Self::Secrets => "a list of texts",
            Self::NamedSecrets | Self::Rows(_) => "a table",
        }
    }
}

/// "`a`, `b` or `c`".
pub(super) fn list<T: AsRef<str>>(words: &[T], joint: &str) -> String {
    let mut all = String::new();
    for (at, word) in words.iter().enumerate() {
        if at > 0 && at + 1 == words.len() {
            all.push_str(&format!(" {joint} "));
        } else if at > 0 {
            all.push_str(", ");
        }
        all.push_str(&format!("`{}`", word.as_ref()));
    }
    all
}
