//! `[tail.NAME]`: files to follow.

use std::path::Path;

use crate::dead_letter;
use crate::source;
use crate::source::tail::StartAt;

use super::super::document::{At, Named, Section};
use super::super::finding::{Fault, clip};
use super::super::key::{Default, HOUR, Key, Kind, SECOND, Table};
use super::super::setting::Setting;
use super::super::value::Reading;
use super::framing::{self, ENVELOPE, FRAMING};

pub(in crate::config) const TABLE: Table = Table {
    name: "tail",
    example: Some("nginx"),
    what: "a tail",
    variant: None,
    effect: "Files to follow; each line becomes a record, or several that belong together.",
    groups: &[&[INCLUDE, EXCLUDE, STREAM, START_AT, RESCAN], FRAMING, ENVELOPE],
};

const INCLUDE: Key = Key::texts("include", Default::Required("[\"/var/log/nginx/*.log\"]"))
    .says("Globs of files to follow: `*`, `?`, `[a-z]`, and `**` for any number of folders.");
const EXCLUDE: Key = Key::texts("exclude", Default::Nothing).says(
    "Globs of files to leave out again; one without a slash is about the name alone: `*.gz`.",
);
const STREAM: Key = Key::text("stream", Default::Required("\"access\""))
    .says("The `[stream.NAME]` that gets the lines.");
const START_AT: Key =
    Key::new("start_at", Kind::Choice(&["end", "beginning"]), Default::Text("end")).says(
        "Where to begin with files that are there when weir follows this glob for the first time; \
         later ones are read from their beginning.",
    );
const RESCAN: Key = Key::time("rescan", 10 * SECOND)
    .within(100, HOUR)
    .says("How often folders are looked through in case an event was missed.");

#[derive(Debug)]
pub(in crate::config) struct Tailed {
    pub(in crate::config) settings: source::tail::Settings,
    pub(in crate::config) stream: Option<At<String>>,
    pub(in crate::config) max_line: Setting<u64>,
    /// The globs with their places.
    pub(in crate::config) include: Vec<At<String>>,
}

pub(super) fn read(
    table: &Named<'_>,
    dead_letters: &dead_letter::Settings,
    reading: &mut Reading<'_>,
) -> Tailed {
    let mut section = Section::of(&TABLE, table);
    let include = globs(&mut section, &INCLUDE, reading);
    let exclude = globs(&mut section, &EXCLUDE, reading);
    let stream = section.optional_text(reading, &STREAM);
    let start_at = match section.choice(reading, &START_AT).value.as_str() {
        "beginning" => StartAt::Beginning,
        _ => StartAt::End,
    };
    let framed = framing::read(&mut section, reading);
    let settings = source::tail::Settings {
        name: table.name.value.clone(),
        include: include.iter().map(|glob| glob.value.clone()).collect(),
        exclude: exclude.into_iter().map(|glob| glob.value).collect(),
        stream: stream.as_ref().map(|at| at.value.clone()).unwrap_or_default(),
        start_at,
        framing: framed.settings,
        envelope: framing::envelope(&mut section, reading),
        is_once: false,
        rescan_every: section.time(reading, &RESCAN),
        dead_letters: dead_letters.clone(),
    };
    section.finish(&mut reading.faults);
    Tailed { settings, stream, max_line: framed.max_line, include }
}

/// Globs that can be used, with their places; relative ones begin at the folder of the file, but
/// for names to leave out.
fn globs(section: &mut Section<'_>, key: &Key, reading: &mut Reading<'_>) -> Vec<At<String>> {
    let (texts, _) = section.texts(reading, key);
    let mut globs = Vec::new();
    for text in texts {
        if let Err(error) = glob::Pattern::new(&text.value) {
            let message = format!("`{}` is no glob: {}", clip(&text.value), error.msg);
            let fault = Fault::new(text.place, message).label("not a glob");
            reading.faults.push(fault.hint("for example: \"/var/log/nginx/*.log\""));
            continue;
        }
        let is_name = key.name == EXCLUDE.name && !text.value.contains('/');
        let is_placed =
            Path::new(&text.value).is_absolute() || reading.folder.as_os_str().is_empty();
        let value = if is_name || is_placed {
            text.value
        } else {
            let folder = glob::Pattern::escape(&reading.folder.to_string_lossy());
            format!("{}/{}", folder.trim_end_matches('/'), text.value)
        };
        globs.push(At { value, place: text.place });
    }
    globs
}
