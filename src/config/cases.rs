//! Files of cases for `weir test`: what is asked, and what is expected.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use crate::base::disk::{Disk, read_named_file};

use super::finding::{Fault, Faults, Findings};
use super::written::Written;

/// One file of cases.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cases {
    /// The configuration that is tested, beginning at the folder of this file.
    pub config: Option<PathBuf>,
    /// Variables of the environment for references in the configuration, before those of the
    /// process; a `CREDENTIALS_DIRECTORY` begins at the folder of this file.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// API keys that exist in these tests, by caller; `{key:CALLER}` in a header stands for one.
    #[serde(default)]
    pub keys: BTreeMap<String, TestKey>,
    /// In the order of the file.
    #[serde(default, rename = "case")]
    pub cases: Vec<Spanned<Case>>,
    /// Line of each case, from 1.
    #[serde(skip)]
    pub lines: Vec<usize>,
}

/// A key of these tests.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestKey {
    /// Its plan; that of the auth block if it has none.
    pub plan: Option<String>,
    /// The only streams it is for.
    pub streams: Option<Vec<String>>,
}

/// Something that comes in, and what should become of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// A sentence.
    pub name: String,
    /// The listener that is asked; the only one without.
    pub http: Option<String>,
    /// What is asked over HTTP.
    pub request: Option<Asked>,
    /// A line of a tailed file instead.
    pub line: Option<Line>,
    /// The status of the answer.
    pub status: Option<u16>,
    /// The slug of the refusal, or `dead` for a line that becomes a dead letter.
    pub refused: Option<String>,
    /// What is wrong with records, as the answer lists it.
    pub rejected: Option<Vec<Rejected>>,
    /// How many records transforms drop.
    pub dropped: Option<u32>,
    /// Who handed the records in, as they are stored.
    pub caller: Option<String>,
    /// Every record that is stored: by the name of its stream, then in the order of its queue.
    pub stored: Option<Vec<Stored>>,
}

/// A request.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// POST without one.
    pub method: Option<String>,
    /// Path and query.
    pub path: String,
    /// By name.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The body.
    #[serde(default)]
    pub body: String,
    /// The address it comes from; this host without one.
    pub from: Option<std::net::IpAddr>,
    /// The certificate that the client shows: a file in PEM, beginning at the folder of the cases.
    /// It is taken for one that TLS has verified.
    pub certificate: Option<PathBuf>,
    /// The process at the other end of a unix socket.
    pub process: Option<TestProcess>,
}

/// Whom the kernel would vouch for.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestProcess {
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

/// A line.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// The tail block.
    pub tail: String,
    /// Without its end.
    pub text: String,
    /// The file it stands in.
    pub file: Option<String>,
}

/// One fault of a record.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Rejected {
    /// Of the record.
    pub index: u64,
    /// Where there is one.
    pub pointer: Option<String>,
    /// In words.
    pub reason: String,
}

/// One record in a queue; what is left out may be anything.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stored {
    /// Its stream.
    pub stream: String,
    /// Its partition key; the empty text for none.
    pub key: Option<String>,
    /// Its bytes.
    pub record: Option<String>,
    /// Its value, however it is written.
    pub json: Option<serde_json::Value>,
}

/// Largest file, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Reads a file of cases.
///
/// # Errors
/// What is wrong with it, with its place.
pub fn read_cases(disk: &dyn Disk, path: &Path) -> Result<Cases, Findings> {
    let name = path.display().to_string();
    let about = |words: String| Findings::about(&name, Fault::new(0..0, words));
    let bytes = read_named_file(disk, path, FILE_BYTES_MAX)
        .map_err(|error| about(format!("the cases cannot be read: {error}")))?;
    let text = String::from_utf8(bytes).map_err(|_| about("the cases are not UTF-8".into()))?;
    let written = Written::new(&text, Vec::new());
    let one = |fault| {
        let mut faults = Faults::default();
        faults.push(fault);
        faults.into_findings(&name, Some(&written))
    };
    let mut cases: Cases = toml::from_str(&text).map_err(|error| {
        one(Fault::new(error.span().unwrap_or_default(), error.message()).label("here"))
    })?;
    if cases.cases.is_empty() {
        return Err(about("there is no [[case]], so nothing would be tested".into()));
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    for case in &mut cases.cases {
        let place = case.span();
        let asked = case.get_mut().request.as_mut();
        if let Some(certificate) = asked.and_then(|asked| asked.certificate.as_mut()) {
            *certificate = folder.join(&certificate);
        }
        if let Some(words) = lack(case.get_ref()) {
            return Err(one(Fault::new(place, words).label("this case")));
        }
        cases.lines.push(written.excerpt(&place).line);
    }
    Ok(cases)
}

/// A case that could not fail is none.
fn lack(case: &Case) -> Option<&'static str> {
    if case.request.is_some() == case.line.is_some() {
        return Some("a case has either a `request` or a `line`");
    }
    let expects = case.status.is_some() || case.refused.is_some() || case.stored.is_some();
    (!expects).then_some("a case expects a `status`, something `stored` or `refused`")
}
