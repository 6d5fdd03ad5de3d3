//! `weir queue dump`: records, and the marks committed with them, as they lie on disk.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use clap::Args;
use serde_json::json;

use super::output::{Output, Reader};
use super::{Lying, Place, ending};
use crate::base::clock::rfc3339;
use crate::base::units::ByteSize;
use crate::cli::envelope;
use crate::cli::report::{Answer, Report, tell};
use crate::cli::table::{count, counted};
use crate::queue::Mark;
use crate::queue::inspect::{DamagedRange, Depth, Look, Seen, SeenFrame};
use crate::record::{self, BadCode, Record};

#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Dump {
    #[command(flatten)]
    place: Place,
    /// The stream; not needed with `--folder`
    #[arg(value_name = "STREAM")]
    stream: Option<String>,
    /// The first position to print
    #[arg(long, value_name = "POSITION", default_value_t = 0)]
    from: u64,
    /// Most lines to print
    #[arg(long, value_name = "COUNT", default_value_t = u64::MAX, hide_default_value = true)]
    limit: u64,
    /// Print marks too: positions of sources, committed together with the records before them
    #[arg(long)]
    marks: bool,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

pub(super) fn dump(dump: &Dump) -> Answer {
    let Lying { look, .. } = dump.place.one(dump.stream.as_deref())?;
    look.unlocked()?;
    let mut printer = Printer { dump, output: Output::new(None)?, left: dump.limit };
    let is_sound = printer.print(&look)?;
    printer.output.finish()?;
    Ok(ending(is_sound))
}

struct Printer<'a> {
    dump: &'a Dump,
    output: Output,
    /// Lines that may still be printed.
    left: u64,
}

impl Printer<'_> {
    /// Whether everything that was asked for could be read.
    fn print(&mut self, look: &Look) -> Result<bool, Report> {
        let mut is_sound = true;
        for seen in look.walk(self.dump.from, Depth::Bodies) {
            if self.left == 0 {
                break;
            }
            match seen? {
                Seen::Frame(frame) => {
                    if self.frame(&frame)? == Reader::WentAway {
                        break;
                    }
                }
                Seen::Damage(range) if range.lost.end >= self.dump.from => {
                    is_sound = false;
                    tell(passed_over(&range));
                }
                Seen::Damage(_) | Seen::Torn(_) => {}
            }
        }
        Ok(is_sound)
    }

    fn frame(&mut self, frame: &SeenFrame) -> Result<Reader, Report> {
        for (position, bytes) in (frame.first..).zip(&frame.payloads) {
            if position < self.dump.from {
                continue;
            }
            let line = match (record::decode(bytes.clone()), self.dump.json) {
                (Ok(record), true) => envelope::line(position, &record),
                (Ok(record), false) => text(position, &record),
                (Err(why), true) => unreadable_value(position, why, bytes),
                (Err(why), false) => format!("{position}  {why}; it has {} bytes", bytes.len()),
            };
            if self.line(&line)? == Reader::WentAway {
                return Ok(Reader::WentAway);
            }
        }
        let marks = frame.marks.iter().filter(|_| self.dump.marks && frame.end >= self.dump.from);
        for mark in marks {
            if self.line(&self.mark(frame, mark))? == Reader::WentAway {
                return Ok(Reader::WentAway);
            }
        }
        Ok(Reader::Listens)
    }

    fn line(&mut self, line: &str) -> Result<Reader, Report> {
        if self.left == 0 {
            return Ok(Reader::WentAway);
        }
        self.left -= 1;
        self.output.line(line.as_bytes())
    }

    fn mark(&self, frame: &SeenFrame, mark: &Mark) -> String {
        let value = mark.value.as_deref();
        if self.dump.json {
            let text = value.and_then(envelope::plain_text);
            let code = value.filter(|_| text.is_none()).map(|bytes| BASE64.encode(bytes));
            return json!({
                "mark": mark.name,
                "before": frame.end,
                "committed_at": rfc3339(frame.unix_ms),
                "snapshot": frame.is_snapshot,
                "value": text,
                "value_base64": code,
            })
            .to_string();
        }
        let kind = if frame.is_snapshot { "mark (of the table)" } else { "mark" };
        let value = value
            .map_or_else(|| "forgotten".into(), |value| format!("= {}", shown(value, SHOWN_BYTES)));
        format!(
            "{kind}  {}  {}  {value}",
            rfc3339(frame.unix_ms),
            shown(mark.name.as_bytes(), SHOWN_BYTES)
        )
    }
}

/// A range that a command could not read, as it says it on the way.
pub(super) fn passed_over(range: &DamagedRange) -> String {
    let lost = range.lost.end.saturating_sub(range.lost.start);
    let lost = counted(lost, "record is", "records are");
    format!(
        "warning: {}, byte {}: {}; {lost} passed over from position {} on",
        range.file,
        count(range.offset),
        range.why,
        count(range.lost.start)
    )
}

fn unreadable_value(position: u64, why: BadCode, bytes: &Bytes) -> String {
    json!({
        "position": position,
        "unreadable": why.to_string(),
        "bytes_base64": BASE64.encode(bytes),
    })
    .to_string()
}

fn text(position: u64, record: &Record) -> String {
    let mut line = format!("{position}  {}  {}", rfc3339(record.id.unix_ms()), record.id);
    let hash_key = record.hash_key.map(|key| key.to_string());
    let fields = [
        ("key", record.partition_key.as_deref().unwrap_or_default()),
        ("hash-key", hash_key.as_deref().unwrap_or_default()),
        ("source", record.source.as_str()),
        ("caller", record.caller.as_str()),
        ("only-for", record.only_for.as_deref().unwrap_or_default()),
    ];
    for (name, value) in fields.into_iter().filter(|(_, value)| !value.is_empty()) {
        // Writing to a String cannot fail.
        _ = write!(line, "  {name}={}", shown(value.as_bytes(), SHOWN_BYTES));
    }
    line.push_str("  ");
    line.push_str(&shown(&record.payload, SHOWN_BYTES));
    line
}

/// Bytes of a payload that stand on a terminal; `--json` has all of them.
const SHOWN_BYTES: usize = 200;

/// Bytes as text that cannot steer a terminal, so many of them at most.
pub(in crate::cli) fn shown(bytes: &[u8], bytes_max: usize) -> String {
    let start = bytes.get(..bytes_max).unwrap_or(bytes);
    let mut text = String::with_capacity(start.len());
    for chunk in start.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() { text.extend(c.escape_default()) } else { text.push(c) }
        }
        let is_cut = start.len() < bytes.len() && start.ends_with(chunk.invalid());
        for byte in chunk.invalid().iter().filter(|_| !is_cut) {
            _ = write!(text, "\\x{byte:02x}");
        }
    }
    if start.len() < bytes.len() {
        _ = write!(text, "… ({})", ByteSize(bytes.len() as u64).rounded());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_cannot_steer_the_terminal_and_fits_a_line() {
        assert_eq!(shown(b"a\x1b[2Jb\n\xffc", SHOWN_BYTES), "a\\u{1b}[2Jb\\n\\xffc");
        let long = shown(&"é".repeat(150).into_bytes(), SHOWN_BYTES);
        assert!(long.ends_with("é… (300 B)"), "{long}");
        let cut = shown(&[b"a".repeat(199), "é".repeat(9).into_bytes()].concat(), SHOWN_BYTES);
        assert!(cut.ends_with("aa… (217 B)"), "{cut}");
    }
}
