//! A VRL program, ready to change records: `.` is the record, `%` what is known about it.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;
use vrl::compiler::runtime::{Runtime, Terminate};
use vrl::compiler::state::ExternalEnv;
use vrl::compiler::{
    CompilationResult, CompileConfig, Function, Program, TargetValueRef, TimeZone,
    compile_with_external,
};
use vrl::diagnostic::{Diagnostic, DiagnosticList, Note};
use vrl::path::{OwnedTargetPath, OwnedValuePath, PathPrefix};
use vrl::value::kind::Collection;
use vrl::value::{Kind, ObjectMap, Secrets, Value};

use super::factors::{self, Form};
use super::program::{BadProgram, Outlets, WhenWrong};
use super::weight::{Bounded, MADE_BYTES_MAX, TOO_MUCH};
use super::{Circumstances, Pace, Patient, Treated, functions};
use crate::admission::Flaw;
use crate::admission::validate::check_partition_key;

/// A program that compiles.
#[derive(Clone)]
pub struct Transform {
    program: Arc<Program>,
    text: Arc<str>,
    outlets: Outlets,
    /// Whether it asks or changes what is known about a record.
    uses_metadata: bool,
    pace: Pace,
}

impl Transform {
    /// Whether this weir runs programs.
    pub const IS_BUILT_IN: bool = true;

    /// Compiles a program; what is doubtful about it comes with it.
    ///
    /// # Errors
    /// Every fault of it.
    pub fn compile(
        text: &str,
        outlets: Outlets,
    ) -> Result<(Self, Vec<BadProgram>), Vec<BadProgram>> {
        let compiled = compiled(text, Vec::new()).map_err(|faults| all_bad(text, faults))?;
        let info = compiled.program.info();
        let mut paths = info.target_queries.iter().chain(&info.target_assignments);
        let uses_metadata = paths.any(|path| path.prefix == PathPrefix::Metadata);
        let program = with_bounded_products(text, compiled.program).map_err(|bad| vec![bad])?;
        let program = Arc::new(program);
        let warnings = all_bad(text, compiled.warnings);
        let (text, pace) = (text.into(), Pace::default());
        let transform = Self { program, text, outlets, uses_metadata, pace };
        Ok((transform, warnings))
    }

    pub(super) fn outlets(&self) -> &Outlets {
        &self.outlets
    }

    pub(super) fn pace(&self) -> &Pace {
        &self.pace
    }

    /// Whether it says where records go.
    pub fn sets_stream(&self) -> bool {
        let stream = OwnedTargetPath::metadata(OwnedValuePath::single_field("stream"));
        self.program.info().target_assignments.contains(&stream)
    }
}

impl PartialEq for Transform {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.outlets == other.outlets
    }
}

impl Eq for Transform {}

impl fmt::Debug for Transform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transform").field("outlets", &self.outlets).finish_non_exhaustive()
    }
}

fn compiled(
    text: &str,
    further: Vec<Box<dyn Function>>,
) -> Result<CompilationResult, DiagnosticList> {
    let mut config = CompileConfig::default();
    for name in ["source", "caller", "file", "route"] {
        let path = OwnedTargetPath::metadata(OwnedValuePath::single_field(name));
        config.set_read_only_path(path, true);
    }
    // A record may be a text or an array as well as an object.
    let known = Kind::object(Collection::any());
    let env = ExternalEnv::new_with_kind(Kind::any(), known);
    let functions: Vec<_> = functions::all().into_iter().chain(further).collect();
    compile_with_external(text, &functions, &env, config)
}

/// The program as it runs: the same, but what is multiplied is a number.
fn with_bounded_products(text: &str, program: Program) -> Result<Program, BadProgram> {
    let sides = factors::sides(text);
    let mut program = program;
    let mut forms: Vec<Form> = Vec::new();
    for side in &sides {
        // Whether a side can fail is for the compiler to say.
        let fits = [Form::Plain, Form::Fallible].into_iter().find_map(|form| {
            let forms = forms.iter().copied().chain([form]);
            let edited = factors::with_numbers(text, sides.iter().zip(forms));
            let compiled = compiled(&edited, factors::functions().into()).ok()?;
            Some((form, compiled.program))
        });
        let Some((form, edited)) = fits else { return Err(repeats(side)) };
        forms.push(form);
        program = edited;
    }
    Ok(program)
}

fn repeats(side: &Range<usize>) -> BadProgram {
    BadProgram {
        at: side.clone(),
        words: "a text would be repeated here as often as a record says".to_owned(),
        label: "may be a text".to_owned(),
        hint: Some(
            "turn it into a number with `to_int!` or `to_float!`, or write how often as a number"
                .to_owned(),
        ),
    }
}

fn all_bad(text: &str, all: impl IntoIterator<Item = Diagnostic>) -> Vec<BadProgram> {
    all.into_iter().map(|one| bad(text, &one)).collect()
}

fn bad(text: &str, diagnostic: &Diagnostic) -> BadProgram {
    let primary = diagnostic.labels.iter().find(|label| label.primary);
    let label = primary.or(diagnostic.labels.first());
    let (at, label) = match label {
        Some(label) => (label.span.range(), label.message.clone()),
        None => (text.len()..text.len(), String::new()),
    };
    let label = label.trim_start_matches("help: ").to_owned();
    let hint = hint(&diagnostic.notes).or_else(|| {
        let is_fallible = diagnostic.message.contains("fallible");
        is_fallible.then(|| FALLIBLE.to_owned())
    });
    BadProgram { at, words: diagnostic.message.clone(), label, hint }
}

/// What to do about a call that may fail, which VRL itself tells on pages elsewhere.
const FALLIBLE: &str =
    "`!` behind the function lets the record fail; `?? value` takes another value then";

/// The first piece of advice; what leads to pages elsewhere is left out.
fn hint(notes: &[Note]) -> Option<String> {
    let lines = notes.iter().map(|note| note.to_string().trim().to_owned());
    let elsewhere = ["see ", "learn more", "try your code"];
    let mut lines =
        lines.filter(|line| !line.is_empty() && !elsewhere.iter().any(|way| line.starts_with(way)));
    let mut hint = lines.next()?;
    for line in lines.take_while(|line| !line.starts_with("try: ")) {
        hint.push(' ');
        hint.push_str(&line);
    }
    Some(hint.trim_start_matches("hint: ").to_owned())
}

/// Programs at work on the records of one hand-in.
pub(super) struct Work<'a> {
    runtime: Runtime,
    circumstances: Circumstances<'a>,
    secrets: Secrets,
    utc: TimeZone,
}

impl<'a> Work<'a> {
    pub(super) fn new(circumstances: Circumstances<'a>) -> Self {
        // Programs mean the same on every host: the host's own time zone is not asked.
        let utc = TimeZone::parse("UTC").unwrap_or_default();
        Self { runtime: Runtime::default(), circumstances, secrets: Secrets::default(), utc }
    }

    /// Runs a program on one record, until that time at most.
    pub(super) fn run(
        &mut self,
        transform: &Transform,
        parsed: Option<serde_json::Value>,
        patient: &mut Patient<'_>,
        until: Instant,
    ) -> Treated {
        let Some(mut value) = record(parsed, &patient.payload) else {
            return wrong(transform, "it begins as JSON and is none".to_owned());
        };
        let mut metadata = Value::Null;
        if transform.uses_metadata {
            metadata = self.metadata(patient);
        }
        let (secrets, program) = (&mut self.secrets, &transform.program);
        let all = TargetValueRef { value: &mut value, metadata: &mut metadata, secrets };
        let is_over = Cell::new(false);
        let mut target = Bounded::new(all, &is_over);
        // At every step: one of them alone may take long.
        let mut control = || match is_over.get() || Instant::now() >= until {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        let ran = self.runtime.resolve_with_control(&mut target, program, &self.utc, &mut control);
        self.runtime.clear();
        let settled = match ran {
            _ if is_over.get() => Err(TOO_MUCH.to_owned()),
            Ok(_) if transform.uses_metadata => redirect(transform, &metadata, patient),
            Ok(_) => Ok(()),
            Err(Terminate::Abort(_)) => return Treated::Dropped,
            Err(Terminate::Interrupted) => Err("the transform takes too long".to_owned()),
            Err(Terminate::Error(error)) => Err(format!("the transform fails: {error}")),
        };
        match settled.and_then(|()| written(&value)) {
            Ok(payload) => {
                patient.payload = payload;
                Treated::Fit
            }
            Err(why) => wrong(transform, why),
        }
    }

    fn metadata(&self, patient: &Patient<'_>) -> Value {
        let text = |text: &str| Value::from(text);
        let mut known = ObjectMap::new();
        known.insert("stream".into(), text(&patient.stream));
        known.insert("source".into(), text(self.circumstances.source));
        known.insert("caller".into(), text(self.circumstances.caller));
        if let Some(key) = &patient.partition_key {
            known.insert("partition_key".into(), text(key));
        }
        if let Some(file) = patient.origin.and_then(|origin| origin.file.as_deref()) {
            known.insert("file".into(), text(file));
        }
        let route = patient.origin.map(|origin| origin.route.as_slice()).unwrap_or_default();
        let route: ObjectMap =
            route.iter().map(|(name, value)| (name.as_str().into(), text(value))).collect();
        known.insert("route".into(), Value::Object(route));
        Value::Object(known)
    }
}

fn wrong(transform: &Transform, why: String) -> Treated {
    match transform.outlets.when_wrong {
        WhenWrong::Drop => Treated::Dropped,
        WhenWrong::Reject => Treated::Wrong(vec![Flaw::whole(why)]),
    }
}

/// Objects and arrays are values; anything else is a text, which stays as it is unless the program
/// changes it. `None` for what was meant to be a value and cannot be read: as a text it would pass
/// a program that takes secrets out of values.
fn record(parsed: Option<serde_json::Value>, payload: &Bytes) -> Option<Value> {
    if !is_meant_as_json(payload) {
        return Some(Value::Bytes(payload.clone()));
    }
    let parsed = parsed.or_else(|| serde_json::from_slice(payload).ok());
    parsed.map(Value::from)
}

/// An object, or an array of what only JSON has there: lines of logs begin with brackets, too.
fn is_meant_as_json(payload: &[u8]) -> bool {
    const MARK: &[u8] = "\u{feff}".as_bytes();
    let text = payload.strip_prefix(MARK).unwrap_or(payload).trim_ascii_start();
    match text.split_first() {
        Some((b'{', _)) => true,
        Some((b'[', rest)) => {
            matches!(rest.trim_ascii_start().first(), Some(b'{' | b'[' | b'"' | b']'))
                || serde_json::from_slice::<serde::de::IgnoredAny>(payload).is_ok()
        }
        _ => false,
    }
}

/// The bytes of a record: a text as it is, anything else as JSON.
fn written(value: &Value) -> Result<Bytes, String> {
    match value {
        Value::Bytes(text) => Ok(text.clone()),
        Value::String(text) => Ok(Bytes::copy_from_slice(text.as_bytes())),
        other => {
            let mut page = Page(Vec::with_capacity(LINE_BYTES));
            let written = serde_json::to_writer(&mut page, other);
            written.map_err(|error| match error.is_io() {
                true => TOO_MUCH.to_owned(),
                false => format!("what the transform made is no JSON: {error}"),
            })?;
            Ok(Bytes::from(page.0))
        }
    }
}

/// Where a record is written. Written down, characters may be six times as long.
struct Page(Vec<u8>);

/// What most records have room in.
const LINE_BYTES: usize = 512;

impl io::Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MADE_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the program decided about the way of the record.
fn redirect(
    transform: &Transform,
    metadata: &Value,
    patient: &mut Patient<'_>,
) -> Result<(), String> {
    let text = |name: &str| metadata.as_object()?.get(name).filter(|value| !value.is_null());
    patient.partition_key = match text("partition_key") {
        None => None,
        Some(value) => {
            let key = value.to_str_lossy().ok_or("`%partition_key` is no text")?;
            check_partition_key(&key)?;
            Some(key.into_owned())
        }
    };
    let stream = text("stream").and_then(Value::to_str_lossy);
    let stream = stream.ok_or("`%stream` is no text")?;
    if *stream != patient.stream && !transform.outlets.to.contains(stream.as_ref()) {
        let words = "the transform leads to stream";
        return Err(format!("{words} `{stream}`, which is not one of its `transform_to`"));
    }
    patient.stream = stream.into_owned();
    Ok(())
}
