//! From bytes to a configuration: read, parse, check, assemble.

use std::io;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use crate::base::disk::{Disk, RealDisk, read_named_file};
use crate::base::secret::Environment;

use super::finding::{Fault, Faults, Finding, Findings, clip};
use super::value::{Purpose, Reading};
use super::written::Written;
use super::{Config, assemble, doubts, masks, rules, sections};

/// Largest configuration file, in bytes: thousands of streams fit, mistakes don't.
const FILE_BYTES_MAX: u64 = 1 << 20;

const DEMO: &str = include_str!("demo.toml");

/// A sound configuration, and what is doubtful about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Ready for use.
    pub config: Config,
    /// To be shown; nothing is wrong.
    pub warnings: Vec<Finding>,
}

/// Reads and checks a file. Relative paths in it begin at its folder.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load(
    disk: &dyn Disk,
    environment: Environment<'_>,
    path: &Path,
) -> Result<Loaded, Findings> {
    load_for(Purpose::Run, disk, environment, path)
}

/// The same for a trial, where listeners go in clear: their certificates need not be there.
///
/// # Errors
/// Everything else that is wrong with it.
pub fn load_for_trial(
    disk: &dyn Disk,
    environment: Environment<'_>,
    path: &Path,
) -> Result<Loaded, Findings> {
    load_for(Purpose::Trial, disk, environment, path)
}

fn load_for(
    purpose: Purpose,
    disk: &dyn Disk,
    environment: Environment<'_>,
    path: &Path,
) -> Result<Loaded, Findings> {
    parse_for(purpose, &text_of(disk, path)?, path, environment, disk)
}

fn text_of(disk: &dyn Disk, path: &Path) -> Result<String, Findings> {
    let name = path.display().to_string();
    let bytes = read_named_file(disk, path, FILE_BYTES_MAX)
        .map_err(|error| Findings::about(&name, unreadable(&error)))?;
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        not_text(error.as_bytes(), valid, &name)
    })
}

/// The folder of the state that a file names, whatever else is wrong with it: who asks a running
/// agent need not be able to read the secrets that it reads.
///
/// # Errors
/// What is wrong with the file as a whole, or with this setting.
pub fn state_dir(
    disk: &dyn Disk,
    environment: Environment<'_>,
    path: &Path,
) -> Result<PathBuf, Findings> {
    let (name, text) = (path.display().to_string(), text_of(disk, path)?);
    let (document, errors) = DeTable::parse_recoverable(&text);
    if !errors.is_empty() {
        return Err(broken(&text, &errors, &name));
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    let (faults, hidden) = (Faults::default(), masks::of_document(document.get_ref(), &text));
    let (purpose, references, text) = (Purpose::Run, Vec::new(), text.as_str());
    let mut reading =
        Reading { purpose, text, environment, disk, folder, faults, hidden, references };
    let state_dir = sections::state_dir(document.get_ref(), &mut reading);

    let Reading { mut faults, hidden, references, .. } = reading;
    if !faults.has_errors() {
        return Ok(state_dir);
    }
    faults.conceal(&references);
    Err(faults.into_findings(&name, Some(&Written::new(text, hidden))))
}

/// Checks the text of a file that is, or could be, at `path`.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse(
    text: &str,
    path: &Path,
    environment: Environment<'_>,
    disk: &dyn Disk,
) -> Result<Loaded, Findings> {
    parse_for(Purpose::Run, text, path, environment, disk)
}

fn parse_for(
    purpose: Purpose,
    text: &str,
    path: &Path,
    environment: Environment<'_>,
    disk: &dyn Disk,
) -> Result<Loaded, Findings> {
    let name = path.display().to_string();
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(Findings::about(&name, too_large()));
    }
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Err(broken(text, &errors, &name));
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    let (faults, hidden) = (Faults::default(), masks::of_document(document.get_ref(), text));
    let references = Vec::new();
    let mut reading =
        Reading { purpose, text, environment, disk, folder, faults, hidden, references };
    let sections = sections::read(document.get_ref(), &mut reading);

    let Reading { mut faults, hidden, references, .. } = reading;
    rules::check(&sections, &mut faults);
    let written = Written::new(text, hidden);
    if faults.has_errors() {
        faults.conceal(&references);
        return Err(faults.into_findings(&name, Some(&written)));
    }
    doubts::check(&sections, disk, &mut faults);
    faults.conceal(&references);
    let warnings = faults.into_warnings(&name, &written);
    Ok(Loaded { config: assemble::assemble(sections), warnings })
}

/// The configuration of `weir demo`: an open listener on 127.0.0.1:8080, the stream `demo`, and a
/// directory `out` below `state_dir`.
pub fn demo(state_dir: &Path) -> Config {
    let file = state_dir.join("demo.toml");
    match parse(DEMO, &file, &|_| None, &RealDisk) {
        Ok(loaded) => loaded.config,
        Err(findings) => unreachable!("a test checks the demo's file: {findings}"),
    }
}

fn unreadable(error: &io::Error) -> Fault {
    let about = |words: &str| Fault::new(0..0, format!("the configuration {words}"));
    match error.kind() {
        io::ErrorKind::NotFound => about("cannot be read: there is no such file")
            .hint("name another one with --config FILE; `weir demo` runs without any"),
        io::ErrorKind::PermissionDenied => {
            about("cannot be read: permission denied").hint("let the user that runs weir read it")
        }
        io::ErrorKind::FileTooLarge => too_large(),
        _ => about(&format!("cannot be read: {error}")),
    }
}

fn too_large() -> Fault {
    Fault::new(0..0, "the configuration has more than 1 MiB")
        .hint("check that --config names the right file")
}

/// The place counts in the text as it can be shown; in front of it both are the same.
fn not_text(bytes: &[u8], valid: usize, name: &str) -> Findings {
    let byte = bytes.get(valid).copied().unwrap_or_default();
    let text = String::from_utf8_lossy(bytes);
    let written = Written::new(&text, masks::of_broken(&text));
    let mut faults = Faults::default();
    let place = valid..valid + char::REPLACEMENT_CHARACTER.len_utf8();
    let message = format!("the configuration is not UTF-8 text: it has a byte 0x{byte:02x}");
    let fault = Fault::new(place, message).label("not UTF-8");
    faults.push(fault.hint("save the file as UTF-8"));
    faults.into_findings(name, Some(&written))
}

/// Most faults of syntax that are looked at.
const SYNTAX_MAX: usize = 100;

/// Only the faults of syntax: everything else would be their echo. One for each line.
fn broken(text: &str, errors: &[toml::de::Error], name: &str) -> Findings {
    let mut faults = Faults::default();
    let mut last_line = None;
    let line_of = |at: usize| text.get(..at).map_or(0, |before| before.matches('\n').count());
    let mut errors: Vec<_> =
        errors.iter().map(|error| (error.span().unwrap_or_default(), error.message())).collect();
    errors.sort_by_key(|(place, _)| place.start);
    // Counting lines again for each error is cheap for as many as are shown.
    for (place, message) in errors.into_iter().take(SYNTAX_MAX) {
        let line = line_of(place.start);
        if last_line.replace(line) == Some(line) {
            continue;
        }
        let here = clip(text.get(place.clone()).unwrap_or_default());
        faults.push(match message {
            "duplicate key" => Fault::new(place, format!("`{here}` stands here a second time"))
                .label("already given")
                .hint("a key or table may stand once; take one of them out"),
            _ if here.trim().is_empty() && message.starts_with("string values must be quoted") => {
                Fault::new(place, "this is not TOML: there is no value").label("a value is missing")
            }
            _ => Fault::new(place, format!("this is not TOML: {message}")).label("here"),
        });
    }
    let written = Written::new(text, masks::of_broken(text));
    faults.into_findings(name, Some(&written))
}
