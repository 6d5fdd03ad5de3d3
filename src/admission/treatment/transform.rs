//! A VRL program, ready to change records: `.` is the record, `%` what is known about it.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;
use vrl::compiler::runtime::{Runtime, Terminate};
use vrl::compiler::state::ExternalEnv;
use vrl::compiler::{CompileConfig, Program, TargetValueRef, TimeZone, compile_with_external};
use vrl::diagnostic::{Diagnostic, Note};
use vrl::path::{OwnedTargetPath, OwnedValuePath, PathPrefix};
use vrl::value::kind::Collection;
use vrl::value::{Kind, ObjectMap, Secrets, Value};

use super::program::{BadProgram, Outlets, WhenWrong};
use super::{Circumstances, Patient, Treated, functions};
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
}

impl Transform {
    /// Compiles a program; what is doubtful about it comes with it.
    ///
    /// # Errors
    /// Every fault of it.
    pub fn compile(
        text: &str,
        outlets: Outlets,
    ) -> Result<(Self, Vec<BadProgram>), Vec<BadProgram>> {
        let mut config = CompileConfig::default();
        for name in ["source", "caller", "file", "route"] {
            let path = OwnedTargetPath::metadata(OwnedValuePath::single_field(name));
            config.set_read_only_path(path, true);
        }
        // A record may be a text or an array as well as an object.
        let known = Kind::object(Collection::any());
        let env = ExternalEnv::new_with_kind(Kind::any(), known);
        let compiled = compile_with_external(text, &functions::all(), &env, config)
            .map_err(|faults| all_bad(text, faults))?;
        let info = compiled.program.info();
        let mut paths = info.target_queries.iter().chain(&info.target_assignments);
        let uses_metadata = paths.any(|path| path.prefix == PathPrefix::Metadata);
        let program = Arc::new(compiled.program);
        let transform = Self { program, text: text.into(), outlets, uses_metadata };
        Ok((transform, all_bad(text, compiled.warnings)))
    }

    pub(super) fn outlets(&self) -> &Outlets {
        &self.outlets
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
        let mut target = TargetValueRef { value: &mut value, metadata: &mut metadata, secrets };
        // At every step: one of them alone may take long.
        let mut control = || {
            if Instant::now() >= until { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let ran = self.runtime.resolve_with_control(&mut target, program, &self.utc, &mut control);
        self.runtime.clear();
        let settled = match ran {
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
        other => serde_json::to_vec(other)
            .map(Bytes::from)
            .map_err(|error| format!("what the transform made is no JSON: {error}")),
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
