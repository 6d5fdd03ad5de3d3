//! `schema` and `transform` of a stream or a route: the files are read and understood here, so that
//! what is wrong in them is told like what is wrong in the configuration.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::admission::{BadProgram, Outlets, Schema, Transform, Treatment, WhenWrong};
use crate::base::disk::read_named_file;

use super::super::document::{At, Section};
use super::super::finding::Fault;
use super::super::key::{Default, Key, Kind, MINUTE, SECOND};
use super::super::value::Reading;

pub(super) const ROWS: &[Key] =
    &[SCHEMA, SCHEMA_FORMATS, TRANSFORM, TRANSFORM_TO, TRANSFORM_ERRORS, TRANSFORM_TIME];

const SCHEMA: Key = Key::new(
    "schema",
    Kind::Path,
    Default::Otherwise {
        example: "\"/etc/weir/access.schema.json\"",
        then: "records may be anything",
    },
)
.says(
    "A file with a JSON Schema (draft 4 to 2020-12) that records must meet before they are \
     transformed. Records that do not are refused with 422, each fault with its JSON pointer; lines of \
     files become dead letters. So are those that a schema which leads back to itself in several ways \
     would have to look at without end.",
);
const SCHEMA_FORMATS: Key = Key::new("schema_formats", Kind::Flag, Default::Flag(true))
    .says("Whether `format` in the schema is checked, or a note that nobody checks.");
const TRANSFORM: Key = Key::new(
    "transform",
    Kind::Path,
    Default::Otherwise { example: "\"/etc/weir/access.vrl\"", then: "records stay as they came" },
)
.says(
    "A file with a program in VRL, Vector's remap language: `.` is the record (an object or array in \
     JSON, otherwise its text), `abort` drops it, `%stream` and `%partition_key` may be set; \
     `%source`, `%caller`, `%file` and `%route.NAME` may be asked.",
);
const TRANSFORM_TO: Key = Key::texts("transform_to", Default::Nothing)
    .says("Names of the streams that the program may lead records to, by `%stream = \"NAME\"`.");
const TRANSFORM_ERRORS: Key =
    Key::new("transform_errors", Kind::Choice(&["reject", "drop"]), Default::Text("reject")).says(
        "What becomes of a record that the program fails on, or that begins as JSON and is none: \
         refused with 422, or a dead letter if it is a line of a file; or dropped and counted.",
    );
const TRANSFORM_TIME: Key = Key::time("transform_time", SECOND).within(10, MINUTE).says(
    "Longest time that the program may take for one record, asked before each of its steps; a \
     request, or a round of lines, may take 60 times as long.",
);

/// Largest file of either kind, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What a table says about the treatment of records.
#[derive(Debug, std::default::Default)]
pub(in crate::config) struct Treated {
    pub(in crate::config) treatment: Treatment,
    pub(in crate::config) leads_to: Vec<At<String>>,
}

pub(super) fn read(section: &mut Section<'_>, reading: &mut Reading<'_>) -> Treated {
    let schema = section.optional_text(reading, &SCHEMA);
    let formats = section.flag(reading, &SCHEMA_FORMATS);
    let schema = schema.and_then(|at| read_schema(&at, formats, reading));

    let at = section.optional_text(reading, &TRANSFORM);
    let (leads_to, _) = section.texts(reading, &TRANSFORM_TO);
    let errors = section.choice(reading, &TRANSFORM_ERRORS);
    let time = section.number(reading, &TRANSFORM_TIME);
    if let (None, Some(name)) = (&at, leads_to.first()) {
        let message = format!("{} has `transform_to`, but no `transform`", section.title);
        let fault = Fault::new(name.place.clone(), message).label("nothing leads there");
        reading.faults.push(fault.hint("name the file of a program, or take the line out"));
    }
    let outlets = Outlets {
        to: leads_to.iter().map(|name| name.value.clone()).collect::<BTreeSet<_>>(),
        when_wrong: if errors.value == "drop" { WhenWrong::Drop } else { WhenWrong::Reject },
        time: Duration::from_millis(time.value),
    };
    let transform = at.and_then(|at| read_transform(&at, outlets, reading));
    Treated { treatment: Treatment { schema, transform }, leads_to }
}

fn read_schema(at: &At<String>, formats: bool, reading: &mut Reading<'_>) -> Option<Schema> {
    let (path, text) = read_file(at, "schema", reading)?;
    match Schema::parse(&text, formats) {
        Ok(schema) => Some(schema),
        Err(bad) => {
            let message = format!("`schema` is no JSON Schema: {}", bad.words);
            let fault = Fault::new(at.place.clone(), message).within(&path, &text, bad.at);
            reading.faults.push(fault.label("here"));
            None
        }
    }
}

fn read_transform(
    at: &At<String>,
    outlets: Outlets,
    reading: &mut Reading<'_>,
) -> Option<Transform> {
    if !Transform::IS_BUILT_IN {
        reading.faults.push(not_built_in(at));
        return None;
    }
    let (path, text) = read_file(at, "transform", reading)?;
    let leads_nowhere = outlets.to.is_empty();
    let drawn = |fault: Fault, bad: BadProgram| {
        let fault = fault.within(&path, &text, bad.at).label(bad.label);
        bad.hint.into_iter().fold(fault, Fault::hint)
    };
    let (transform, doubts) = match Transform::compile(&text, outlets) {
        Ok(compiled) => compiled,
        Err(all) => {
            for bad in all {
                let message = format!("the transform does not compile: {}", bad.words);
                reading.faults.push(drawn(Fault::new(at.place.clone(), message), bad));
            }
            return None;
        }
    };
    for bad in doubts {
        let message = format!("the transform is doubtful: {}", bad.words);
        reading.faults.push(drawn(Fault::warning(at.place.clone(), message), bad));
    }
    if leads_nowhere && transform.sets_stream() {
        let message = "the transform sets `%stream`, but may lead nowhere";
        let fault = Fault::new(at.place.clone(), message).label("no `transform_to`");
        reading.faults.push(fault.hint("name the streams: transform_to = [\"…\"]"));
    }
    Some(transform)
}

/// Nobody has to look into the program for that.
fn not_built_in(at: &At<String>) -> Fault {
    let message = "`transform` names a program, but this weir was built without them";
    let fault = Fault::new(at.place.clone(), message).label("the feature `transform` is missing");
    fault.hint(
        "build it with its default features (no `--no-default-features`, or with \
         `--features transform`), or take the line out",
    )
}

/// The text of a file that the configuration names.
fn read_file(at: &At<String>, what: &str, reading: &mut Reading<'_>) -> Option<(PathBuf, String)> {
    let path = reading.absolute(at.value.as_ref());
    let why = match read_named_file(reading.disk, &path, FILE_BYTES_MAX) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => return Some((path, text)),
            Err(_) => "it is not UTF-8 text".to_owned(),
        },
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound => "there is no such file".to_owned(),
            io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
            io::ErrorKind::FileTooLarge => "it has more than 1 MiB".to_owned(),
            _ => error.to_string(),
        },
    };
    let message = format!("`{what}` cannot be read: {why}");
    let fault = Fault::new(at.place.clone(), message).label(path.display().to_string());
    reading.faults.push(fault.hint("relative paths begin at the folder of the configuration"));
    None
}
