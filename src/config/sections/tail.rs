//! `[tail.NAME]`: files to follow.

use std::path::Path;

use crate::dead_letter;
use crate::source;
use crate::source::tail::{DoneSettings, Route, StartAt, WhenDone};

use super::super::document::{At, Named, Section};
use super::super::finding::{Fault, clip};
use super::super::key::{DAY, Default, GIB, HOUR, Key, Kind, MINUTE, SECOND, TIB, Table};
use super::super::setting::Setting;
use super::super::value::Reading;
use super::framing::{self, ENVELOPE, FRAMING};

pub(in crate::config) const TABLE: Table = Table {
    name: "tail",
    example: Some("nginx"),
    what: "a tail",
    variant: None,
    effect: "Files to follow; each line becomes a record, or several that belong together.",
    groups: &[
        &[
            INCLUDE,
            EXCLUDE,
            STREAM,
            STREAMS,
            START_AT,
            IGNORE_OLDER,
            RESCAN,
            MAX_PINNED,
            WHEN_DONE,
            DONE_AFTER,
            DONE_FOLDER,
        ],
        FRAMING,
        ENVELOPE,
    ],
};

const INCLUDE: Key = Key::texts("include", Default::Required("[\"/var/log/nginx/*.log\"]"))
    .says("Globs of files to follow: `*`, `?`, `[a-z]`, and `**` for any number of folders.");
const EXCLUDE: Key = Key::texts("exclude", Default::Nothing).says(
    "Globs of files to leave out again; one without a slash is about the name alone: `*.gz`.",
);
const STREAM: Key = Key::text("stream", Default::Required("\"access\"")).says(
    "The `[stream.NAME]` that gets the lines; or a template of `streams`: `{k8s.namespace}`, \
         `{k8s.pod}` and `{k8s.container}` are from the path, `|` stands before what to take if \
         there is no such stream. A file that it leads nowhere is not followed.",
);
const STREAMS: Key = Key::texts("streams", Default::Nothing).says(
    "The streams that a template in `stream` may lead to; each has a follower of its own, \
     `NAME@STREAM`.",
);
const START_AT: Key =
    Key::new("start_at", Kind::Choice(&["end", "beginning"]), Default::Text("end")).says(
        "Where to begin with files that are there when weir follows this glob for the first time; \
         later ones are read from their beginning.",
    );
const IGNORE_OLDER: Key = Key::time("ignore_older", 0).within(0, 3650 * DAY).says(
    "Of a file that was not changed for so long when weir first sees it, only what is added later is \
     read; `0 s`: age does not matter. What is followed already stays so.",
);
const MAX_PINNED: Key = Key::size("max_pinned", GIB).within(0, TIB).says(
    "Most bytes of deleted files that are kept open because they are not read yet; beyond, the one \
     that was deleted first is let go.",
);
const WHEN_DONE: Key =
    Key::new("when_done", Kind::Choice(&["keep", "delete", "move"]), Default::Text("keep")).says(
        "What becomes of a file of which every destination has every byte. Meant for files that \
         nobody writes any more: what is added after that is lost.",
    );
const DONE_AFTER: Key = Key::time("done_after", 5 * MINUTE)
    .within(0, 3650 * DAY)
    .says("`when_done` waits until the file has not changed for so long.");
const DONE_FOLDER: Key = Key::new(
    "done_folder",
    Kind::Path,
    Default::Otherwise { example: "\"/var/log/delivered\"", then: "none" },
)
.says("Where `when_done = \"move\"` puts files; it is on the same file system, and not followed.");
const RESCAN: Key = Key::time("rescan", 10 * SECOND)
    .within(100, HOUR)
    .says("How often folders are looked through in case an event was missed.");

#[derive(Debug)]
pub(in crate::config) struct Tailed {
    pub(in crate::config) settings: source::tail::Settings,
    pub(in crate::config) stream: Option<At<String>>,
    /// Those that a template may lead to.
    pub(in crate::config) streams: Vec<At<String>>,
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
    let (streams, _) = section.texts(reading, &STREAMS);
    let (stream, route) = route(stream, &streams, reading);
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
        route,
        start_at,
        ignore_older: Some(section.time(reading, &IGNORE_OLDER)).filter(|age| !age.is_zero()),
        pinned_bytes_max: section.number(reading, &MAX_PINNED).value,
        done: done(&mut section, reading),
        framing: framed.settings,
        envelope: framing::envelope(&mut section, reading),
        is_once: false,
        rescan_every: section.time(reading, &RESCAN),
        dead_letters: dead_letters.clone(),
    };
    section.finish(&mut reading.faults);
    Tailed { settings, stream, streams, max_line: framed.max_line, include }
}

/// A stream, or a template and the streams it may lead to.
fn route(
    stream: Option<At<String>>,
    streams: &[At<String>],
    reading: &mut Reading<'_>,
) -> (Option<At<String>>, Option<Route>) {
    let Some(template) = stream.clone().filter(|text| Route::is_template(&text.value)) else {
        if let Some(first) = streams.first() {
            let fault =
                Fault::new(first.place.clone(), "`streams` belong to a template in `stream`");
            let fault = fault.label("no template");
            reading.faults.push(fault.hint("for example: stream = \"{k8s.namespace}\""));
        }
        return (stream, None);
    };
    let names: Vec<String> = streams.iter().map(|name| name.value.clone()).collect();
    let route = match Route::parse(&template.value, names.clone()) {
        Ok(route) => route,
        Err(why) => {
            let message = format!("`{}` is no template: {why}", clip(&template.value));
            let fault = Fault::new(template.place, message).label("not a template");
            reading.faults.push(fault.hint(
                "it may name {k8s.namespace}, {k8s.pod} and {k8s.container}, and has `|` between \
                 alternatives",
            ));
            return (None, None);
        }
    };
    let unknown = route.literals().find(|literal| !names.iter().any(|name| name == literal));
    let message = match unknown {
        Some(literal) => format!("`stream` names `{}`, which is not in `streams`", clip(literal)),
        None if names.is_empty() => "`stream` is a template, but `streams` is empty".to_owned(),
        None => return (None, Some(route)),
    };
    let fault = Fault::new(template.place, message).label("leads nowhere");
    reading.faults.push(fault.hint("name in `streams` every stream that it may lead to"));
    (None, None)
}

fn done(section: &mut Section<'_>, reading: &mut Reading<'_>) -> DoneSettings {
    let what = section.choice(reading, &WHEN_DONE);
    let after = section.time(reading, &DONE_AFTER);
    let folder = section.path(reading, &DONE_FOLDER);
    let folder = folder.written().map(|(folder, _)| folder.clone());
    let what = match (what.value.as_str(), folder) {
        ("delete", _) => WhenDone::Delete,
        ("move", Some(folder)) => WhenDone::Move(folder),
        ("move", None) => {
            if let Some((_, place)) = what.written() {
                let fault =
                    Fault::new(place.clone(), "`when_done` is `move`, but nobody says where to");
                let fault = fault.label("no `done_folder`");
                reading
                    .faults
                    .push(fault.hint("for example: done_folder = \"/var/log/delivered\""));
            }
            WhenDone::Keep
        }
        _ => WhenDone::Keep,
    };
    DoneSettings { what, after }
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
