//! How bytes become records, for all sources of lines: shared by `[tail.NAME]` and `[stdin]`.

use std::collections::BTreeMap;

use regex::bytes::Regex;

use crate::source::framing::{
    Builtin, Encoding, Ending, Format, Invalid, Long, Multiline, Rule, Settings,
};
use crate::source::tail::EnvelopeSettings;

use super::super::document::{At, Section};
use super::super::finding::{Fault, clip};
use super::super::key::{Default, HOUR, KIB, Key, Kind, MIB, SECOND, Table};
use super::super::setting::Setting;
use super::super::value::Reading;

pub(in crate::config) const FRAMING: &[Key] =
    &[MAX_LINE, LONG_LINES, LINE_ENDING, ENCODING, INVALID, FORMAT, MULTILINE, PARTIAL_AFTER];
/// `[stdin]` says how, `--stdin STREAM` says that.
pub(in crate::config) const STDIN: Table = Table {
    name: "stdin",
    example: None,
    what: "standard input",
    variant: None,
    effect: "How standard input is framed by `weir run --stdin STREAM`.",
    groups: &[FRAMING],
};
pub(in crate::config) const ENVELOPE: &[Key] = &[WRAP, HOST, LABELS];

pub(in crate::config) const MAX_LINE: Key =
    Key::size("max_line", 256 * KIB).within(64, 10 * MIB).says(
        "Longest record, of one line or of several. At most, and by default not more than, the \
         `max_record` of the stream.",
    );
const LONG_LINES: Key = Key::new(
    "long_lines",
    Kind::Choice(&["split", "cut", "dead_letter"]),
    Default::Text("split"),
)
.says(
    "What becomes of a longer one: pieces of `max_line`; its beginning with ` [cut by weir]` \
         behind it; or a dead letter with its beginning.",
);
const LINE_ENDING: Key = Key::new("line_ending", Kind::Choice(&["lf", "nul"]), Default::Text("lf"))
    .says("What ends a line: a line feed, with or without a carriage return, or a zero byte.");
const ENCODING: Key =
    Key::new("encoding", Kind::Choice(&["utf-8", "utf-16le", "utf-16be"]), Default::Text("utf-8"))
        .says("What the bytes mean; records are UTF-8. A byte order mark is passed over.");
const INVALID: Key = Key::new(
    "invalid",
    Kind::Choice(&["keep", "replace", "base64", "dead_letter"]),
    Default::Text("keep"),
)
.says(
    "What becomes of a line that is no text in that encoding: it stays as it is, what means \
     nothing becomes U+FFFD, all of it is written in base64, or it becomes a dead letter.",
);
const FORMAT: Key =
    Key::new("format", Kind::Choice(&["plain", "docker", "cri", "journal"]), Default::Text("plain")).says(
        "What a container runtime wrote around each line; it is taken off, and lines that the \
         runtime cut are joined: docker's JSON, or CRI as in `/var/log/pods`. `journal`: entries as \
         `journalctl -o export` writes them; each becomes a JSON object.",
    );
const PARTIAL_AFTER: Key = Key::time("partial_after", 0).within(0, HOUR).says(
    "After so long without more, a last line without its end is sent as it is, and what follows \
     becomes another record; `0 s`: it waits for its end.",
);
const MULTILINE: Key = Key::new("multiline", Kind::Rows(MULTILINE_KEYS), Default::Rows)
    .says("Lines that belong together become one record, such as a stack trace.");
const MULTILINE_KEYS: &[Key] = &[PRESET, START, NEXT, END, TIMEOUT, LINES];
const PRESET: Key =
    Key::new("preset", Kind::Choice(&["none", "java", "python", "go"]), Default::Text("none"))
        .says("Stack traces weir knows, with the line they belong to.");
const NO_PATTERN: &str = "no such pattern";
const START: Key =
    Key::text("start", Default::Otherwise { example: r#""^\\d{4}-\\d\\d""#, then: NO_PATTERN })
        .says("A regular expression that the first line of a record matches.");
const NEXT: Key = Key::text("next", Default::Otherwise { example: r#""^\\s""#, then: NO_PATTERN })
    .says("One that every further line matches; any other line begins a record.");
const END: Key = Key::text("end", Default::Otherwise { example: r#"";$""#, then: NO_PATTERN })
    .says("One that the last line of a record matches.");
const TIMEOUT: Key = Key::time("timeout", SECOND)
    .within(10, HOUR)
    .says("A record is complete when nothing was added to it for so long.");
const LINES: Key = Key::count("lines", 1000)
    .within(1, 100_000)
    .says("Most lines of a record; the next line begins another.");

const WRAP: Key = Key::new("envelope", Kind::Choice(&["none", "json"]), Default::Text("none"))
    .says(
        "`json`: each record is an object with the line as `message` (`message_base64` if it is \
         not UTF-8), and `host`, `file`, `offset`, `labels`; of containers also `time`, `stream` \
         and `kubernetes` (`namespace`, `pod`, `container`, from the path).",
    );
const HOST: Key = Key::text(
    "host",
    Default::Otherwise { example: "\"gateway-7\"", then: "the name of the host" },
)
.says("The `host` of the envelope.");
const LABELS: Key = Key::texts("labels", Default::Nothing)
    .says("The `labels` of the envelope, each `name=value`; `${NAME}` is from the environment.");

/// What was read of the framing.
#[derive(Debug)]
pub(in crate::config) struct Framed {
    pub(in crate::config) settings: Settings,
    pub(in crate::config) max_line: Setting<u64>,
}

pub(super) fn read_stdin(root: &mut Section<'_>, reading: &mut Reading<'_>) -> Settings {
    let mut section = root.single(&STDIN, reading);
    let framed = read(&mut section, reading);
    section.finish(&mut reading.faults);
    framed.settings
}

pub(super) fn read(section: &mut Section<'_>, reading: &mut Reading<'_>) -> Framed {
    let max_line = section.number(reading, &MAX_LINE);
    let mut word = |key: &Key| section.choice(reading, key).value;
    let long = match word(&LONG_LINES).as_str() {
        "cut" => Long::Cut,
        "dead_letter" => Long::DeadLetter,
        _ => Long::Split,
    };
    let ending = if word(&LINE_ENDING) == "nul" { Ending::Nul } else { Ending::Lf };
    let encoding = match word(&ENCODING).as_str() {
        "utf-16le" => Encoding::Utf16Le,
        "utf-16be" => Encoding::Utf16Be,
        _ => Encoding::Utf8,
    };
    let invalid = match word(&INVALID).as_str() {
        "replace" => Invalid::Replace,
        "base64" => Invalid::Base64,
        "dead_letter" => Invalid::DeadLetter,
        _ => Invalid::Keep,
    };
    let format = match word(&FORMAT).as_str() {
        "docker" => Format::Docker,
        "cri" => Format::Cri,
        "journal" => Format::Journal,
        _ => Format::Plain,
    };
    let multiline = multiline(section, reading);
    let partial_after = Some(section.time(reading, &PARTIAL_AFTER)).filter(|wait| !wait.is_zero());
    let record_bytes_max = usize::try_from(max_line.value).unwrap_or(usize::MAX);
    let settings = Settings {
        ending,
        encoding,
        invalid,
        format,
        multiline,
        record_bytes_max,
        long,
        partial_after,
    };
    Framed { settings, max_line }
}

fn multiline(section: &mut Section<'_>, reading: &mut Reading<'_>) -> Option<Multiline> {
    let mut rows = section.nested(reading, &MULTILINE);
    let preset = rows.choice(reading, &PRESET);
    let builtin = match preset.value.as_str() {
        "java" => Some(Builtin::Java),
        "python" => Some(Builtin::Python),
        "go" => Some(Builtin::Go),
        _ => None,
    };
    let patterns = [&START, &NEXT, &END].map(|key| rows.optional_text(reading, key));
    if let (Some((word, place)), Some(_)) =
        (preset.written().filter(|_| builtin.is_some()), patterns.iter().flatten().next())
    {
        let message = format!("`preset` is `{word}`, and there are patterns too");
        let fault = Fault::new(place.clone(), message).label("one or the other");
        reading.faults.push(fault.hint("leave out `preset`, or `start`, `next` and `end`"));
    }
    let [start, next, end] = patterns.map(|text| text.and_then(|text| pattern(text, reading)));
    let timeout = rows.time(reading, &TIMEOUT);
    let lines_max = rows.small(reading, &LINES);
    rows.finish(&mut reading.faults);
    let rule = match builtin {
        Some(builtin) => Rule::Builtin(builtin),
        None if start.is_none() && next.is_none() && end.is_none() => return None,
        None => Rule::Patterns { start, next, end },
    };
    Some(Multiline { rule, timeout, lines_max })
}

fn pattern(text: At<String>, reading: &mut Reading<'_>) -> Option<Regex> {
    match Regex::new(&text.value) {
        Ok(regex) => Some(regex),
        Err(error) => {
            // The last line of the words says what is wrong, those before draw it.
            let words = error.to_string();
            let why = words.lines().last().unwrap_or_default().trim_start_matches("error: ");
            let message = format!("`{}` is no regular expression: {why}", clip(&text.value));
            let fault = Fault::new(text.place, message).label("not a regular expression");
            reading.faults.push(fault.hint("for example: start = \"^\\\\d{4}-\""));
            None
        }
    }
}

/// The envelope, if there is to be one.
pub(super) fn envelope(
    section: &mut Section<'_>,
    reading: &mut Reading<'_>,
) -> Option<EnvelopeSettings> {
    let is_wanted = section.choice(reading, &WRAP).value == "json";
    let host = section.optional_text(reading, &HOST);
    let (texts, _) = section.texts(reading, &LABELS);
    let mut labels = BTreeMap::new();
    for text in texts {
        match text.value.split_once('=').filter(|(name, _)| !name.trim().is_empty()) {
            Some((name, value)) => {
                labels.insert(name.trim().to_owned(), value.trim().to_owned());
            }
            None => {
                let message = format!("`{}` is no label", clip(&text.value));
                let fault = Fault::new(text.place, message).label("no name and value");
                reading.faults.push(fault.hint("for example: \"site=north\""));
            }
        }
    }
    let host = host.map_or_else(host_name, |host| host.value);
    is_wanted.then_some(EnvelopeSettings { host, labels })
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
