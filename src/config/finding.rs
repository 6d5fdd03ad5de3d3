//! What is wrong with a file, and how it is told: all at once, sorted by place, with a caret.

use std::fmt;
use std::path::Path;

use super::value::Reference;
use super::written::{Excerpt, Place, Written};

/// Most findings that are shown, and that are kept while the file is read.
const SHOWN_MAX: usize = 100;
const KEPT_MAX: usize = 1_000;
/// Longest value or name that is repeated in a message, in characters.
const CLIP_MAX: usize = 60;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Nothing can be started.
    Error,
    /// It works, but probably not as meant.
    Warning,
}

/// One thing that is wrong at one place; prints itself as the operator should see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    severity: Severity,
    message: String,
    file: String,
    excerpt: Option<Excerpt>,
    label: String,
    hint: Option<String>,
}

/// Everything that is wrong with a file. Nothing was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Findings {
    file: String,
    shown: Vec<Finding>,
    count: usize,
}

impl Finding {
    /// How bad it is.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// The first line, without place and picture.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Line and column, both from 1; `None` if it is about the file as a whole.
    pub fn place(&self) -> Option<(usize, usize)> {
        self.excerpt.as_ref().map(|excerpt| (excerpt.line, excerpt.column))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{kind}: {}", self.message)?;
        match &self.excerpt {
            Some(excerpt) => {
                let Excerpt { line, column, shown, indent, width } = excerpt;
                let gutter = line.to_string().len();
                let (file, label, none) = (&self.file, &self.label, "");
                write!(f, "\n{none:gutter$}--> {file}:{line}:{column}")?;
                write!(f, "\n{none:gutter$} |\n{}", format!("{line} | {shown}").trim_end())?;
                let carets = "^".repeat(*width);
                let picture = format!("{none:indent$}{carets} {label}");
                write!(f, "\n{none:gutter$} | {}", picture.trim_end())?;
            }
            None => write!(f, "\n --> {}", self.file)?,
        }
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl Findings {
    /// The findings that are shown, by place.
    pub fn shown(&self) -> &[Finding] {
        &self.shown
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// One finding about a file that could not be looked into.
    pub(super) fn about(file: &str, fault: Fault) -> Self {
        let mut faults = Faults::default();
        faults.push(fault);
        faults.into_findings(file, None)
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.shown {
            write!(f, "{finding}\n\n")?;
        }
        let problems = if self.count == 1 { "problem" } else { "problems" };
        write!(f, "{} {problems} in {}", self.count, self.file)?;
        if self.count > self.shown.len() {
            write!(f, " ({} are shown)", self.shown.len())?;
        }
        f.write_str("; nothing was started")
    }
}

impl std::error::Error for Findings {}

/// What is wrong, before it is drawn.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    severity: Severity,
    message: String,
    place: Place,
    /// The file it is really in, which the configuration names at its place.
    elsewhere: Option<Box<(String, Excerpt)>>,
    label: String,
    hint: Option<String>,
}

impl Fault {
    /// Nothing can be started.
    pub(super) fn new(place: Place, message: impl Into<String>) -> Self {
        let (message, label) = (message.into(), String::new());
        let (severity, elsewhere) = (Severity::Error, None);
        Self { severity, message, place, elsewhere, label, hint: None }
    }

    /// It works, but probably not as meant.
    pub(super) fn warning(place: Place, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::new(place, message) }
    }

    /// It is in another file, which is drawn instead.
    pub(super) fn within(mut self, file: &Path, text: &str, place: Place) -> Self {
        let excerpt = Written::new(text, Vec::new()).excerpt(&place);
        self.elsewhere = Some(Box::new((file.display().to_string(), excerpt)));
        self
    }

    /// A few words behind the caret.
    pub(super) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// What to do.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn draw(self, file: &str, written: Option<&Written<'_>>) -> Finding {
        let (file, excerpt) = match self.elsewhere.map(|boxed| *boxed) {
            Some((file, excerpt)) => (file, Some(excerpt)),
            None => (file.to_owned(), written.map(|written| written.excerpt(&self.place))),
        };
        Finding {
            severity: self.severity,
            message: self.message,
            file,
            excerpt,
            label: self.label,
            hint: self.hint,
        }
    }
}

/// Collects while the file is read.
#[derive(Debug, Default)]
pub(super) struct Faults {
    errors: Vec<Fault>,
    warnings: Vec<Fault>,
    count: usize,
}

impl Faults {
    pub(super) fn push(&mut self, fault: Fault) {
        match fault.severity {
            Severity::Error => {
                self.count += 1;
                if self.errors.len() < KEPT_MAX {
                    self.errors.push(fault);
                }
            }
            Severity::Warning if self.warnings.len() < SHOWN_MAX => self.warnings.push(fault),
            Severity::Warning => {}
        }
    }

    /// Puts the reference back where a finding repeats what was found behind it.
    pub(super) fn conceal(&mut self, references: &[Reference]) {
        for fault in self.errors.iter_mut().chain(&mut self.warnings) {
            let known = references.iter().filter(|reference| reference.place == fault.place);
            for Reference { value, written, .. } in known {
                let texts = [&mut fault.message, &mut fault.label].into_iter();
                for text in texts.chain(fault.hint.as_mut()) {
                    *text = concealed(text, &clip(value), written);
                }
            }
        }
    }

    pub(super) fn has_errors(&self) -> bool {
        self.count > 0
    }

    /// The errors as findings.
    pub(super) fn into_findings(self, file: &str, written: Option<&Written<'_>>) -> Findings {
        let shown = draw(self.errors, file, written);
        Findings { file: file.to_owned(), shown, count: self.count }
    }

    /// The warnings as findings.
    pub(super) fn into_warnings(self, file: &str, written: &Written<'_>) -> Vec<Finding> {
        draw(self.warnings, file, Some(written))
    }
}

fn draw(mut faults: Vec<Fault>, file: &str, written: Option<&Written<'_>>) -> Vec<Finding> {
    faults.sort_by_key(|fault| (fault.place.start, fault.place.end));
    faults.into_iter().take(SHOWN_MAX).map(|fault| fault.draw(file, written)).collect()
}

/// A value is repeated in quotes, in backticks, or as the name of a table.
fn concealed(text: &str, value: &str, written: &str) -> String {
    [("`", "`"), ("\"", "\""), (".", "]")].iter().fold(text.to_owned(), |text, (open, close)| {
        text.replace(&format!("{open}{value}{close}"), &format!("{open}{written}{close}"))
    })
}

/// A value or name short enough, and clean enough, to be repeated in a message.
pub(super) fn clip(text: &str) -> String {
    let mut clipped: String =
        text.chars().take(CLIP_MAX).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(CLIP_MAX).is_some() {
        clipped.push('…');
    }
    clipped
}
