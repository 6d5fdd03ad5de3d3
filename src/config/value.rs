//! From a written value to a checked one: units, bounds, references to the environment, secrets.

use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::DeValue;

use crate::base::disk::Disk;
use crate::base::secret::{self, Environment, Secret};
use crate::base::units::{BadUnit, ByteRate, ByteSize, CountRate, Span};

use super::document::{At, Entry, hint, noun, wrong_type};
use super::finding::{Fault, Faults, clip};
use super::key::{Key, Kind};
use super::written::Place;

/// What a configuration is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The agent: everything it needs is there.
    Run,
    /// Requests tried out on this host, where listeners go in clear.
    Trial,
}

/// What the reading of one file needs, and what it found so far.
pub(super) struct Reading<'a> {
    pub(super) purpose: Purpose,
    pub(super) text: &'a str,
    pub(super) environment: Environment<'a>,
    pub(super) disk: &'a dyn Disk,
    /// Relative paths begin here: the folder of the file.
    pub(super) folder: &'a Path,
    pub(super) faults: Faults,
    /// Parts that must not be shown, beyond what is named like a secret.
    pub(super) hidden: Vec<Place>,
    /// What stands in the environment for a text of the file.
    pub(super) references: Vec<Reference>,
}

/// A text that came from the environment. Nobody knows what it is when it is not what it should be,
/// so findings show the reference.
#[derive(Debug)]
pub(super) struct Reference {
    pub(super) place: Place,
    pub(super) written: String,
    pub(super) value: String,
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

    fn dereference(&mut self, key: &Key, text: &str, place: Place) -> Result<String, Fault> {
        let Some(opened) = text.find("${") else { return Ok(text.to_owned()) };
        let name = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
        let name = name.filter(|name| opened == 0 && is_variable(name));
        let Some(name) = name else {
            let message = format!("`{}` has `${{` in it, but is no reference as a whole", key.name);
            let fault = Fault::new(place, message).label("not just ${NAME}");
            return Err(fault.hint("put the whole value into the variable, and write \"${NAME}\""));
        };
        let Some(value) = (self.environment)(name) else {
            let message = format!("the environment has no variable `{}`", clip(name));
            let fault = Fault::new(place, message).label("not set");
            let hint = format!("set {} for the process, or write the value here", clip(name));
            return Err(fault.hint(hint));
        };
        let written = clip(text);
        self.references.push(Reference { place, written, value: value.clone() });
        Ok(value)
    }

    pub(super) fn number(&mut self, key: &Key, value: &Spanned<DeValue<'_>>) -> Result<u64, Fault> {
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
    pub(super) fn texts(
        &mut self,
        key: &Key,
        entry: &Entry<'_>,
    ) -> Result<Vec<Option<At<String>>>, Fault> {
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

    /// A secret below a name that the operator chose; `None` if it was at fault, which is noted.
    pub(super) fn named_secret(
        &mut self,
        key: &Key,
        entry: &Entry<'_>,
    ) -> (At<String>, Option<At<Secret>>) {
        let name = At { value: entry.name.to_owned(), place: entry.place.clone() };
        let (shown, place) = (clip(entry.name), entry.value.span());
        let secret = match entry.value.get_ref().as_str() {
            Some(text) => self.secret_called((&shown, &hint(key)), text, place.clone()),
            None => {
                let is = noun(entry.value.get_ref());
                let message = format!("`{shown}` is {is}, but it should be a text in quotes");
                Err(Fault::new(place.clone(), message).label("not a text").hint(hint(key)))
            }
        };
        match secret {
            Ok(value) => (name, Some(At { value, place })),
            Err(fault) => {
                self.faults.push(fault);
                (name, None)
            }
        }
    }

    /// Follows a reference to a secret. A secret in the file itself is taken, with a warning.
    pub(super) fn secret(&mut self, key: &Key, text: &str, place: Place) -> Result<Secret, Fault> {
        self.secret_called((key.name, &hint(key)), text, place)
    }

    /// The same, for one of this name, with this example.
    fn secret_called(
        &mut self,
        (name, example): (&str, &str),
        text: &str,
        place: Place,
    ) -> Result<Secret, Fault> {
        let of_file = text.strip_prefix("file:").map(|path| self.absolute(Path::new(path)));
        let is_literal =
            of_file.is_none() && !is_reference(text) && !text.starts_with("credential:");
        let reference = match of_file {
            Some(path) => format!("file:{}", path.display()),
            None => text.to_owned(),
        };
        let resolved = secret::resolve(self.disk, self.environment, &reference);
        let secret = resolved.map_err(|why| {
            let message = format!("`{name}` cannot be had: {why}");
            let fault = Fault::new(place.clone(), message).label("leads nowhere");
            fault.hint("a secret is \"${NAME}\", \"file:PATH\" or \"credential:NAME\"")
        })?;
        if secret.reveal().is_empty() {
            let message = format!("`{name}` is empty");
            return Err(Fault::new(place, message).label("nothing in it").hint(example));
        }
        if is_literal {
            let message = format!("`{name}` stands in the file itself, for all who can read it");
            let fault = Fault::warning(place, message).label("a secret in clear");
            self.faults
                .push(fault.hint("refer to it: \"${NAME}\", \"file:PATH\" or \"credential:NAME\""));
        }
        Ok(secret)
    }
}

/// Whether a text is `${…}`.
pub(super) fn is_reference(text: &str) -> bool {
    text.starts_with("${") && text.ends_with('}')
}

fn is_variable(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !name.is_empty() && name.chars().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit())
}
