//! `[destination.NAME]` of type `directory`: a local folder of objects.

use std::time::Duration;

use crate::sink::{Compression, DirectorySettings};

use super::super::document::{Section, is_name};
use super::super::finding::{Fault, clip};
use super::super::key::{DAY, Default, GIB, KIB, Key, Kind, MIB, MINUTE};
use super::super::value::Reading;

pub(super) const KEYS: &[Key] = &[PATH, NAME, OBJECT_BYTES, OBJECT_AGE, COMPRESSION];

const PATH: Key = Key::new("path", Kind::Path, Default::Required("\"/var/lib/weir/out\""))
    .says("The folder; objects lie in it as `YYYY/MM/DD/HH/…`, by UTC.");
const NAME: Key = Key::text(
    "name",
    Default::Otherwise { example: "\"access\"", then: "the name of the destination" },
)
.says("First part of the names of objects.");
const OBJECT_BYTES: Key = Key::size("object_bytes", 64 * MIB)
    .within(KIB, 5 * GIB)
    .says("An object is finished when it has this many bytes.");
const OBJECT_AGE: Key = Key::time("object_age", MINUTE)
    .within(100, DAY)
    .says("An object is finished when it is this old.");
const COMPRESSION: Key =
    Key::new("compression", Kind::Choice(&["none", "gzip", "zstd"]), Default::Text("none"))
        .says("How objects are packed.");

pub(super) fn read(
    section: &mut Section<'_>,
    reading: &mut Reading<'_>,
    destination: &str,
) -> DirectorySettings {
    let path = section.path(reading, &PATH).value;
    let name = section.optional_text(reading, &NAME);
    if let Some(name) = name.as_ref().filter(|name| !is_name(&name.value)) {
        let message = format!("`{}` cannot begin the name of a file", clip(&name.value));
        let fault = Fault::new(name.place.clone(), message).label("not a name");
        reading
            .faults
            .push(fault.hint("1 to 64 of A-Z, a-z, 0-9, `_`, `-` and `.`, not beginning with `.`"));
    }
    let object_bytes = section.number(reading, &OBJECT_BYTES).value;
    let object_age: Duration = section.time(reading, &OBJECT_AGE);
    let compression = match section.choice(reading, &COMPRESSION).value.as_str() {
        "gzip" => Compression::Gzip,
        "zstd" => Compression::Zstd,
        _ => Compression::None,
    };
    let name = name.map_or_else(|| destination.to_owned(), |name| name.value);
    DirectorySettings { path, name, object_bytes, object_age, compression }
}
