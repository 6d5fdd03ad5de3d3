//! Takes the settings of a section by their rows: as written, or the default.

use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeValue;

use crate::base::secret::Secret;

use super::document::{At, Entry, Section, entries, hint, wrong_type};
use super::finding::{Fault, clip};
use super::key::{Key, Kind, list};
use super::suggest::nearest;
use super::value::{Reading, is_reference};
use super::written::Place;

/// A setting as it holds: written, or its default.
#[derive(Clone, Debug, Default)]
pub(super) struct Setting<T> {
    pub(super) value: T,
    /// Where it is written, if it is.
    pub(super) place: Option<Place>,
    /// `false` if it was at fault, so that no rule should look at it.
    pub(super) is_sound: bool,
}

impl<T> Setting<T> {
    /// The value with its place, if it was written and is sound.
    pub(super) fn written(&self) -> Option<(&T, &Place)> {
        self.place.as_ref().filter(|_| self.is_sound).map(|place| (&self.value, place))
    }
}

impl Section<'_> {
    /// Reads one setting; a fault is noted and `absent` stands in.
    pub(super) fn read<T>(
        &mut self,
        reading: &mut Reading<'_>,
        key: &Key,
        absent: T,
        parse: impl FnOnce(&mut Reading<'_>, &Entry<'_>) -> Result<T, Fault>,
    ) -> Setting<T> {
        let Some(entry) = self.take(key) else {
            if key.is_required() {
                reading.faults.push(self.missing(key));
            }
            return Setting { value: absent, place: None, is_sound: !key.is_required() };
        };
        let place = Some(entry.value.span());
        match parse(reading, &entry) {
            Ok(value) => Setting { value, place, is_sound: true },
            Err(fault) => {
                reading.faults.push(fault);
                Setting { value: absent, place, is_sound: false }
            }
        }
    }

    fn missing(&self, key: &Key) -> Fault {
        let message = format!("{} has no `{}`", self.title, key.name);
        let fault = Fault::new(self.place.clone(), message);
        fault.label(format!("`{}` is missing", key.name)).hint(hint(key))
    }

    /// A size in bytes, a count, or a time in milliseconds.
    pub(super) fn number(&mut self, reading: &mut Reading<'_>, key: &Key) -> Setting<u64> {
        self.read(reading, key, key.number(), |reading, entry| reading.number(key, entry.value))
    }

    pub(super) fn time(&mut self, reading: &mut Reading<'_>, key: &Key) -> Duration {
        Duration::from_millis(self.number(reading, key).value)
    }

    /// A count or a size that fits into memory.
    pub(super) fn small(&mut self, reading: &mut Reading<'_>, key: &Key) -> usize {
        usize::try_from(self.number(reading, key).value).unwrap_or(usize::MAX)
    }

    pub(super) fn text(&mut self, reading: &mut Reading<'_>, key: &Key) -> Setting<String> {
        let absent = key.words().to_owned();
        self.read(reading, key, absent, |reading, entry| reading.text(key, entry.value))
    }

    pub(super) fn optional_text(
        &mut self,
        reading: &mut Reading<'_>,
        key: &Key,
    ) -> Option<At<String>> {
        let Setting { value, place, is_sound } = self.text(reading, key);
        place.filter(|_| is_sound).map(|place| At { value, place })
    }

    pub(super) fn path(&mut self, reading: &mut Reading<'_>, key: &Key) -> Setting<PathBuf> {
        let absent = reading.absolute(Path::new(key.words()));
        self.read(reading, key, absent, |reading, entry| {
            let text = reading.text(key, entry.value)?;
            Ok(reading.absolute(Path::new(&text)))
        })
    }

    pub(super) fn flag(&mut self, reading: &mut Reading<'_>, key: &Key) -> bool {
        let absent = matches!(key.default, super::key::Default::Flag(true));
        let parse = |reading: &mut Reading<'_>, entry: &Entry<'_>| match entry.value.get_ref() {
            DeValue::Boolean(flag) => Ok(*flag),
            DeValue::String(text) if is_reference(text) => {
                let text = reading.text(key, entry.value)?;
                text.parse().map_err(|_| reading.wrong(key, entry.value, key.kind.right()))
            }
            _ => Err(wrong_type(key, entry.value)),
        };
        self.read(reading, key, absent, parse).value
    }

    /// One of the words of a [`Kind::Choice`].
    pub(super) fn choice(&mut self, reading: &mut Reading<'_>, key: &Key) -> Setting<String> {
        let absent = key.words().to_owned();
        self.read(reading, key, absent, |reading, entry| {
            let Kind::Choice(words) = key.kind else { return Ok(String::new()) };
            let text = reading.text(key, entry.value)?;
            if words.contains(&text.as_str()) {
                return Ok(text);
            }
            let fault = reading.wrong(key, entry.value, &list(words, "or"));
            Err(match nearest(&text, words.iter().copied()) {
                Some(near) => fault.hint(format!("did you mean \"{near}\"?")),
                None => fault,
            })
        })
    }

    /// A list of texts without doubles; also `false` if one of them was at fault.
    pub(super) fn texts(
        &mut self,
        reading: &mut Reading<'_>,
        key: &Key,
    ) -> (Vec<At<String>>, bool) {
        let all = self.read(reading, key, Vec::new(), |reading, entry| reading.texts(key, entry));
        let mut is_sound = all.is_sound;
        let mut texts: Vec<At<String>> = Vec::new();
        for text in all.value {
            let Some(text) = text else {
                is_sound = false;
                continue;
            };
            if texts.iter().any(|known| known.value == text.value) {
                let message = format!("`{}` stands twice in `{}`", clip(&text.value), key.name);
                let fault = Fault::new(text.place, message).label("a second time");
                reading.faults.push(fault.hint("take one of them out"));
                continue;
            }
            texts.push(text);
        }
        (texts, is_sound)
    }

    /// A secret, preferably by reference.
    pub(super) fn secret(
        &mut self,
        reading: &mut Reading<'_>,
        key: &Key,
    ) -> Setting<Option<Secret>> {
        self.read(reading, key, None, |reading, entry| {
            let Some(text) = entry.value.get_ref().as_str() else {
                return Err(wrong_type(key, entry.value));
            };
            reading.secret(key, text, entry.value.span()).map(Some)
        })
    }

    /// Secrets under names of the operator's choice, in the order of the file; `None` for each that was at
    /// fault, which is noted.
    pub(super) fn named_secrets(
        &mut self,
        reading: &mut Reading<'_>,
        key: &Key,
    ) -> Vec<(At<String>, Option<At<Secret>>)> {
        let all = self.read(reading, key, Vec::new(), |reading, entry| {
            let DeValue::Table(table) = entry.value.get_ref() else {
                return Err(wrong_type(key, entry.value));
            };
            Ok(entries(table).into_iter().map(|entry| reading.named_secret(key, &entry)).collect())
        });
        all.value
    }
}
