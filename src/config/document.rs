//! A table of the file with the places of its keys: settings are taken out by their rows, and what
//! is left over was not known.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::finding::{Fault, Faults, clip};
use super::key::{Key, Kind, Table, list};
use super::suggest::nearest;
use super::value::Reading;
use super::written::Place;

/// A value and where it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) place: Place,
}

/// One line of a table.
#[derive(Clone, Debug)]
pub(super) struct Entry<'d> {
    pub(super) name: &'d str,
    pub(super) place: Place,
    pub(super) value: &'d Spanned<DeValue<'d>>,
}

/// A table whose name the operator chose: `[http.lan]`.
#[derive(Clone, Debug)]
pub(super) struct Named<'d> {
    pub(super) name: At<String>,
    /// The header, brackets included.
    pub(super) header: Place,
    pub(super) table: &'d DeTable<'d>,
}

/// A table that is being read.
#[derive(Debug)]
pub(super) struct Section<'d> {
    /// `[http.lan]`; empty for the top of the file.
    pub(super) title: String,
    pub(super) place: Place,
    what: &'static str,
    known: Vec<&'static Key>,
    /// Tables below this one, which are taken with [`Section::take_named`].
    tables: &'static [&'static str],
    entries: Vec<Entry<'d>>,
}

/// Longest list of allowed keys that is printed.
const LIST_MAX: usize = 20;
/// Longest name: it becomes the name of a folder, of metric labels and of log fields.
const NAME_CHARS_MAX: usize = 64;

impl<'d> Section<'d> {
    pub(super) fn new(
        table: &'static Table,
        title: String,
        place: Place,
        of: &'d DeTable<'d>,
    ) -> Self {
        let known = table.keys().collect();
        Self { title, place, what: table.what, known, tables: &[], entries: entries(of) }
    }

    /// A table that the operator named.
    pub(super) fn of(table: &'static Table, named: &Named<'d>) -> Self {
        let title = format!("[{}.{}]", table.name, clip(&named.name.value));
        Self::new(table, title, named.header.clone(), named.table)
    }

    /// A table that is there once, or not at all: then all its settings are at their defaults.
    pub(super) fn single(&mut self, table: &'static Table, reading: &mut Reading<'_>) -> Self {
        let title = format!("[{}]", table.name);
        let taken = self.take_table(table.name, &title, &mut reading.faults);
        let (place, entries) = taken.unwrap_or_default();
        Self { title, place, what: table.what, known: table.keys().collect(), tables: &[], entries }
    }

    /// The settings below one name: `queue.max_bytes`.
    pub(super) fn nested(&mut self, reading: &mut Reading<'_>, key: &Key) -> Self {
        let rows: &[Key] = match key.kind {
            Kind::Rows(rows) => rows,
            _ => &[],
        };
        let first = rows.first().map(|row| format!("{} = {}", row.name, row.example_toml()));
        let example = format!("{} = {{ {} }}", key.name, first.unwrap_or_default());
        let taken = self.take_table(key.name, &example, &mut reading.faults);
        let within = self.title.trim_end_matches(']');
        let title = match within {
            "" => format!("[{}]", key.name),
            within => format!("{within}.{}]", key.name),
        };
        let (place, entries) = taken.unwrap_or_default();
        Self { title, place, what: key.name, known: rows.iter().collect(), tables: &[], entries }
    }

    /// Where a setting is written, if it is and was not taken out yet.
    pub(super) fn place_of(&self, key: &Key) -> Option<Place> {
        let entry = self.entries.iter().find(|entry| entry.name == key.name)?;
        Some(entry.value.span())
    }

    /// The top of the file, with the tables that may stand in it.
    pub(super) fn root(
        table: &'static Table,
        tables: &'static [&'static str],
        of: &'d DeTable<'d>,
    ) -> Self {
        Self { tables, ..Self::new(table, String::new(), 0..0, of) }
    }

    /// Whether nothing was written, or everything was taken.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether a setting is written and was not taken yet.
    pub(super) fn has(&self, key: &Key) -> bool {
        self.entries.iter().any(|entry| entry.name == key.name)
    }

    /// Takes a setting out.
    pub(super) fn take(&mut self, key: &Key) -> Option<Entry<'d>> {
        debug_assert!(self.known.iter().any(|known| known.name == key.name), "{}", key.name);
        self.take_entry(key.name)
    }

    fn take_table(
        &mut self,
        name: &str,
        example: &str,
        faults: &mut Faults,
    ) -> Option<(Place, Vec<Entry<'d>>)> {
        let entry = self.take_entry(name)?;
        match entry.value.get_ref() {
            DeValue::Table(table) => Some((entry.value.span(), entries(table))),
            other => {
                let name = At { value: name.to_owned(), place: entry.place };
                faults.push(no_table(&name, other, example));
                None
            }
        }
    }

    /// Takes out the tables that the operator named, in the order of the file.
    pub(super) fn take_named(
        &mut self,
        table: &'static Table,
        faults: &mut Faults,
    ) -> Vec<Named<'d>> {
        let Some(entry) = self.take_entry(table.name) else { return Vec::new() };
        let example = format!("[{}.{}]", table.name, table.example.unwrap_or("name"));
        let name = At { value: entry.name.to_owned(), place: entry.place };
        let DeValue::Table(all) = entry.value.get_ref() else {
            faults.push(no_table(&name, entry.value.get_ref(), &example));
            return Vec::new();
        };
        let bare = all.values().any(|value| !value.get_ref().is_table());
        if bare && !all.values().any(|value| value.get_ref().is_table()) {
            let message = format!("the settings of [{}] stand without a name", table.name);
            let fault = Fault::new(entry.value.span(), message).label("no name");
            faults.push(fault.hint(format!("give it one: {example}")));
            return Vec::new();
        }
        let mut named = Vec::new();
        for entry in entries(all) {
            let name = At { value: entry.name.to_owned(), place: entry.place };
            let DeValue::Table(of) = entry.value.get_ref() else {
                faults.push(no_table(&name, entry.value.get_ref(), &example));
                continue;
            };
            check_name(&name, table, faults);
            named.push(Named { name, header: entry.value.span(), table: of });
        }
        named
    }

    /// Everything that was not taken is unknown.
    pub(super) fn finish(self, faults: &mut Faults) {
        for entry in &self.entries {
            faults.push(self.unknown(entry));
        }
    }

    fn take_entry(&mut self, name: &str) -> Option<Entry<'d>> {
        let at = self.entries.iter().position(|entry| entry.name == name)?;
        Some(self.entries.remove(at))
    }

    fn unknown(&self, entry: &Entry<'d>) -> Fault {
        let allowed = self.known.iter().map(|key| key.name).chain(self.tables.iter().copied());
        let near = nearest(entry.name, allowed.clone());
        let name = clip(entry.name);
        let is_top = self.title.is_empty();
        let message = match entry.value.get_ref() {
            DeValue::Table(_) if is_top => format!("unknown table [{name}]"),
            _ if is_top => format!("unknown key `{name}` at the top of the file"),
            _ => format!("unknown key `{name}` in {}", self.title),
        };
        let fault = Fault::new(entry.place.clone(), message);
        let fault = match entry.value.get_ref() {
            DeValue::Table(_) if is_top => fault.label("no table has this name"),
            _ => fault.label(format!("not a setting of {}", self.what)),
        };
        if let Some(near) = near {
            return fault.hint(format!("did you mean `{near}`?"));
        }
        let all: Vec<&str> = allowed.collect();
        if all.len() <= LIST_MAX {
            return fault.hint(format!("what may stand here: {}", list(&all, "and")));
        }
        fault
    }
}

/// The lines of a table in the order of the file.
pub(super) fn entries<'d>(table: &'d DeTable<'d>) -> Vec<Entry<'d>> {
    let mut entries: Vec<Entry<'d>> = table
        .iter()
        .map(|(name, value)| Entry { name: name.get_ref(), place: name.span(), value })
        .collect();
    entries.sort_by_key(|entry| entry.place.start);
    entries
}

/// What a value is, with its article.
pub(super) fn noun(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// A value of the wrong type.
pub(super) fn wrong_type(key: &Key, value: &Spanned<DeValue<'_>>) -> Fault {
    let (is, right) = (noun(value.get_ref()), key.kind.right());
    let message = format!("`{}` is {is}, but it should be {right}", key.name);
    let fault = Fault::new(value.span(), message).label(format!("not {}", key.kind.noun()));
    match (key.kind, value.get_ref()) {
        (Kind::Size, DeValue::Integer(number)) if number.radix() == 10 => {
            fault.hint(format!("with its unit: {} = \"{number} B\"", key.name))
        }
        _ => fault.hint(hint(key)),
    }
}

/// What to write instead.
pub(super) fn hint(key: &Key) -> String {
    match key.default_toml() {
        Some(default) => format!("leave the line out for the default: {} = {default}", key.name),
        None => format!("for example: {} = {}", key.name, key.example_toml()),
    }
}

fn no_table(name: &At<String>, value: &DeValue<'_>, example: &str) -> Fault {
    let message = format!("`{}` is {}, but it should be a table", clip(&name.value), noun(value));
    let fault = Fault::new(name.place.clone(), message).label("not a table");
    fault.hint(format!("for example: {example}"))
}

/// Names become folders, labels and fields, so they are plain.
fn check_name(name: &At<String>, table: &Table, faults: &mut Faults) {
    if is_name(&name.value) {
        return;
    }
    let message = format!("`{}` cannot be NAME in [{}.NAME]", clip(&name.value), table.name);
    let fault = Fault::new(name.place.clone(), message).label("not a name");
    faults.push(fault.hint(format!(
        "1 to {NAME_CHARS_MAX} of A-Z, a-z, 0-9, `_`, `-` and `.`, not beginning with `.`"
    )));
}

/// Whether a text can be the name of a table.
pub(super) fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=NAME_CHARS_MAX).contains(&name.len()) && name.chars().all(plain) && !name.starts_with('.')
}
