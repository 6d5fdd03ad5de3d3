//! From a written value to a checked one: units, bounds, references to the environment, secrets.

use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use crate::base::disk::Disk;
use crate::base::secret::{self, Environment, Secret};
use crate::base::units::{BadUnit, ByteRate, ByteSize, CountRate, Span};

use super::document::{At, Entry, Section, hint, wrong_type};
use super::finding::{Fault, Faults, clip};
use super::key::{Key, Kind, list};
use super::suggest::nearest;
use super::written::Place;

/// What the reading of one file needs, and what it found so far.
pub(super) struct Reading<'a> {
    pub(super) text: &'a str,
    pub(super) environment: Environment<'a>,
    pub(super) disk: &'a dyn Disk,
    /// Relative paths begin here: the folder of the file.
    pub(super) folder: &'a Path,
    pub(super) faults: Faults,
    /// Parts that must not be shown, beyond what is named like a secret.
    pub(super) hidden: Vec<Place>,
}

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
}

impl Reading<'_> {
    /// A path as it is used: relative ones begin at the folder of the file.
    pub(super) fn absolute(&self, path: &Path) -> PathBuf {
        if path == Path::new(".") { self.folder.to_path_buf() } else { self.folder.join(path) }
    }

    /// A value that is not what the row says; `right` stands behind "it should be".
    pub(super) fn wrong(&self, key: &Key, value: &Spanned<DeValue<'_>>, right: &str) -> Fault {
        let written = clip(self.text.get(value.span()).unwrap_or_default());
        let message = format!("`{}` is {written}, but it should be {right}", key.name);
        let fault = Fault::new(value.span(), message);
        fault.label(format!("not {}", key.kind.noun())).hint(hint(key))
    }

    /// The text of a value, with a reference to the environment followed.
    pub(super) fn text(
        &mut self,
        key: &Key,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<String, Fault> {
        let Some(text) = value.get_ref().as_str() else { return Err(wrong_type(key, value)) };
        let text = self.dereference(key, text, value.span())?;
        if text.is_empty() {
            let message = format!("`{}` is empty", key.name);
            let fault = Fault::new(value.span(), message);
            return Err(fault.label("nothing in it").hint(hint(key)));
        }
        if text.chars().any(char::is_control) {
            let message = format!("`{}` holds a control character", key.name);
            return Err(Fault::new(value.span(), message).label("not plain text"));
        }
        Ok(text)
    }

    fn dereference(&self, key: &Key, text: &str, place: Place) -> Result<String, Fault> {
        let Some(opened) = text.find("${") else { return Ok(text.to_owned()) };
        let name = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
        let name = name.filter(|name| opened == 0 && is_variable(name));
        let Some(name) = name else {
            let message = format!("`{}` has `${{` in it, but is no reference as a whole", key.name);
            let fault = Fault::new(place, message).label("not just ${NAME}");
            return Err(fault.hint("put the whole value into the variable, and write \"${NAME}\""));
        };
        (self.environment)(name).ok_or_else(|| {
            let message = format!("the environment has no variable `{}`", clip(name));
            let fault = Fault::new(place, message).label("not set");
            fault.hint(format!("set {} for the process, or write the value here", clip(name)))
        })
    }

    fn number(&mut self, key: &Key, value: &Spanned<DeValue<'_>>) -> Result<u64, Fault> {
        let number = match (key.kind, value.get_ref()) {
            (Kind::Count, DeValue::Integer(number)) => {
                self.count(key, value, number.as_str(), number.radix())?
            }
            (Kind::Count, DeValue::String(text)) if is_reference(text) => {
                let text = self.text(key, value)?;
                self.count(key, value, text.trim(), 10)?
            }
            (Kind::Size, DeValue::String(_)) => self.unit(key, value, |size: ByteSize| size.0)?,
            (Kind::Time, DeValue::String(_)) => self.unit(key, value, |span: Span| {
                u64::try_from(span.0.as_millis()).unwrap_or(u64::MAX)
            })?,
            _ => return Err(wrong_type(key, value)),
        };
        self.within(key, value, number)
    }

    /// Whole numbers beyond 64 bits become the nearest one, which is out of every range.
    fn count(
        &self,
        key: &Key,
        value: &Spanned<DeValue<'_>>,
        digits: &str,
        radix: u32,
    ) -> Result<u64, Fault> {
        match i128::from_str_radix(digits, radix) {
            Ok(number) if number < 0 => Err(self.beyond(key, value, false)),
            Ok(number) => Ok(u64::try_from(number).unwrap_or(u64::MAX)),
            Err(_) => Err(self.wrong(key, value, key.kind.right())),
        }
    }

    /// A text with a unit.
    pub(super) fn unit<U, T>(
        &mut self,
        key: &Key,
        value: &Spanned<DeValue<'_>>,
        take: impl FnOnce(U) -> T,
    ) -> Result<T, Fault>
    where
        U: std::str::FromStr<Err = BadUnit>,
    {
        let text = self.text(key, value)?;
        text.parse().map(take).map_err(|bad: BadUnit| {
            let written = clip(self.text.get(value.span()).unwrap_or_default());
            let message = format!("`{}` is {written}, but {bad}", key.name);
            let fault = Fault::new(value.span(), message);
            fault.label(format!("not {}", key.kind.noun())).hint(hint(key))
        })
    }

    fn within(&self, key: &Key, value: &Spanned<DeValue<'_>>, number: u64) -> Result<u64, Fault> {
        if number > key.most {
            return Err(self.beyond(key, value, true));
        }
        if number < key.least {
            return Err(self.beyond(key, value, false));
        }
        Ok(number)
    }

    /// Out of range, above or below.
    pub(super) fn beyond(&self, key: &Key, value: &Spanned<DeValue<'_>>, above: bool) -> Fault {
        let written = clip(self.text.get(value.span()).unwrap_or_default());
        let written = written.trim_matches(['"', '\'']);
        let bound = key.show(if above { key.most } else { key.least });
        let (must, label, or) = if above {
            ("may be at most", "more than", "less")
        } else {
            ("must be at least", "less than", "more")
        };
        let message = format!("`{}` is {written}, but it {must} {bound}", key.name);
        let fault = Fault::new(value.span(), message).label(format!("{label} {bound}"));
        fault.hint(match key.default_toml() {
            Some(_) => {
                let default = key.show(key.number());
                format!(
                    "set it to {bound} or {or}, or leave the line out: {default} is the default"
                )
            }
            None => format!("set it to {bound} or {or}"),
        })
    }

    /// How many of something in which time.
    pub(super) fn rate(&mut self, key: &Key, entry: &Entry<'_>) -> Result<CountRate, Fault> {
        let rate: CountRate = self.unit(key, entry.value, |rate| rate)?;
        self.within(key, entry.value, rate.count).map(|_| rate)
    }

    /// How many bytes in which time.
    pub(super) fn byte_rate(&mut self, key: &Key, entry: &Entry<'_>) -> Result<ByteRate, Fault> {
        let rate: ByteRate = self.unit(key, entry.value, |rate| rate)?;
        self.within(key, entry.value, rate.bytes.0).map(|_| rate)
    }

    /// `None` for each element that was at fault, which is noted.
    fn texts(&mut self, key: &Key, entry: &Entry<'_>) -> Result<Vec<Option<At<String>>>, Fault> {
        let single = std::slice::from_ref(entry.value);
        let values: Vec<&Spanned<DeValue<'_>>> = match entry.value.get_ref() {
            DeValue::String(_) => single.iter().collect(),
            DeValue::Array(array) => array.iter().collect(),
            _ => return Err(wrong_type(key, entry.value)),
        };
        if values.is_empty() && key.is_required() {
            let message = format!("`{}` is empty", key.name);
            let fault = Fault::new(entry.value.span(), message).label("at least one");
            return Err(fault.hint(hint(key)));
        }
        let mut texts = Vec::new();
        for value in values {
            texts.push(match self.text(key, value) {
                Ok(text) => Some(At { value: text, place: value.span() }),
                Err(fault) => {
                    self.faults.push(fault);
                    None
                }
            });
        }
        Ok(texts)
    }

    /// Follows a reference to a secret. A secret in the file itself is taken, with a warning.
    fn secret(&mut self, key: &Key, text: &str, place: Place) -> Result<Secret, Fault> {
        let of_file = text.strip_prefix("file:").map(|path| self.absolute(Path::new(path)));
        let is_literal =
            of_file.is_none() && !is_reference(text) && !text.starts_with("credential:");
        let reference = match of_file {
            Some(path) => format!("file:{}", path.display()),
            None => text.to_owned(),
        };
        let resolved = secret::resolve(self.disk, self.environment, &reference);
        let secret = resolved.map_err(|why| {
            let message = format!("`{}` cannot be had: {why}", key.name);
            let fault = Fault::new(place.clone(), message).label("leads nowhere");
            fault.hint("a secret is \"${NAME}\", \"file:PATH\" or \"credential:NAME\"")
        })?;
        if secret.reveal().is_empty() {
            let message = format!("`{}` is empty", key.name);
            return Err(Fault::new(place, message).label("nothing in it").hint(hint(key)));
        }
        if is_literal {
            let message =
                format!("`{}` stands in the file itself, for all who can read it", key.name);
            let fault = Fault::warning(place, message).label("a secret in clear");
            self.faults
                .push(fault.hint("refer to it: \"${NAME}\", \"file:PATH\" or \"credential:NAME\""));
        }
        Ok(secret)
    }
}

/// Whether a text is `${…}`.
fn is_reference(text: &str) -> bool {
    text.starts_with("${") && text.ends_with('}')
}

fn is_variable(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !name.is_empty() && name.chars().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit())
}
