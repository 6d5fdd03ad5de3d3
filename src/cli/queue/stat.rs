//! `weir queue stat`: what one queue consists of.

use std::collections::BTreeSet;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::{Lying, Place, state_word};
use crate::base::clock::rfc3339;
use crate::base::units::ByteSize;
use crate::cli::report::{Answer, say};
use crate::cli::table::{count, counted, lay_out};
use crate::queue::inspect::{Destination, SegmentSummary};

#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Stat {
    #[command(flatten)]
    place: Place,
    /// The stream; not needed with `--folder`
    #[arg(value_name = "STREAM")]
    stream: Option<String>,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn stat(stat: &Stat) -> Answer {
    let Lying { stream, look } = stat.place.one(stat.stream.as_deref())?;
    let (segments, end) = (look.summaries()?, look.end()?);
    let quarantine = look.quarantine()?;
    let marks = segments.last().and_then(|newest| newest.marks);
    if stat.json {
        let aside = quarantine.iter().map(|(name, bytes)| json!({ "name": name, "bytes": bytes }));
        let value = json!({
            "stream": stream,
            "folder": look.folder().display().to_string(),
            "bytes": look.bytes(),
            "first": look.first(),
            "last": end,
            "marks": marks,
            "segments": segments.iter().map(segment_value).collect::<Vec<_>>(),
            "destinations":
                look.destinations().iter().map(|one| cursor_value(one, end)).collect::<Vec<_>>(),
            "quarantine": aside.collect::<Vec<_>>(),
        });
        say(format!("{value:#}"));
        return Ok(ExitCode::SUCCESS);
    }
    let bytes = ByteSize(look.bytes()).rounded();
    let marks =
        marks.map_or_else(String::new, |marks| format!(", {}", counted(marks, "mark", "marks")));
    let written = written(&segments);
    let last = count(end);
    let mut parts =
        vec![format!("{stream}: {bytes} on disk, last position {last}{marks}{written}")];
    const SEGMENTS: [&str; 8] =
        ["SEGMENT", "USED", "SIZE", "FIRST", "LAST", "FRAMES", "FROM", "TO"];
    let rows: Vec<_> = segments.iter().map(segment_row).collect();
    parts.extend((!rows.is_empty()).then(|| lay_out(&SEGMENTS, &rows)));
    parts.extend(notes(&segments));
    const CURSORS: [&str; 9] = [
        "DESTINATION",
        "ACCEPTED",
        "DELIVERED",
        "DEAD",
        "DROPPED",
        "DAMAGED",
        "WAITING",
        "WATERMARK",
        "AHEAD",
    ];
    let rows: Vec<_> = look.destinations().iter().map(|one| cursor_row(one, end)).collect();
    parts.extend((!rows.is_empty()).then(|| lay_out(&CURSORS, &rows)));
    let rows: Vec<_> =
        quarantine.into_iter().map(|(name, bytes)| vec![name, ByteSize(bytes).rounded()]).collect();
    parts.extend((!rows.is_empty()).then(|| lay_out(&["QUARANTINE", "SIZE"], &rows)));
    say(parts.join("\n\n"));
    Ok(ExitCode::SUCCESS)
}

/// How bodies are kept: how much smaller, and with which keys.
fn written(segments: &[SegmentSummary]) -> String {
    let mut words = String::new();
    let bytes = |side: fn(&SegmentSummary) -> u64| segments.iter().map(side).sum::<u64>();
    let (stored, plain) = (bytes(|one| one.body_bytes.0), bytes(|one| one.body_bytes.1));
    if segments.iter().any(|one| one.packed > 0) {
        let (stored, plain) = (ByteSize(stored).rounded(), ByteSize(plain).rounded());
        words.push_str(&format!(", {plain} packed into {stored}"));
    }
    let keys: BTreeSet<_> = segments.iter().filter_map(|one| one.key).collect();
    if !keys.is_empty() {
        let keys: Vec<_> = keys.iter().map(ToString::to_string).collect();
        words.push_str(&format!(", sealed with {}", keys.join(" and ")));
    }
    words
}

fn segment_row(segment: &SegmentSummary) -> Vec<String> {
    let (from, to) = segment
        .unix_ms
        .map_or_else(|| ("-".into(), "-".into()), |(from, to)| (rfc3339(from), rfc3339(to)));
    let is_empty = segment.end <= segment.first;
    vec![
        segment.file.clone(),
        ByteSize(segment.used).rounded(),
        ByteSize(segment.bytes).rounded(),
        count(segment.first),
        if is_empty { "-".into() } else { count(segment.end - 1) },
        count(segment.frames),
        from,
        to,
    ]
}

/// What a row has no room for.
fn notes(segments: &[SegmentSummary]) -> Option<String> {
    let mut notes = Vec::new();
    for segment in segments {
        if segment.damaged > 0 {
            let ranges = counted(segment.damaged, "damaged range", "damaged ranges");
            notes.push(format!("{}: {ranges}; `weir queue verify` tells more", segment.file));
        }
        if segment.is_torn {
            notes.push(format!("{}: the frame at its end is not yet complete", segment.file));
        }
    }
    (!notes.is_empty()).then(|| notes.join("\n"))
}

fn segment_value(segment: &SegmentSummary) -> Value {
    json!({
        "name": segment.file,
        "bytes": segment.bytes,
        "used": segment.used,
        "first": segment.first,
        "last": segment.end.saturating_sub(1),
        "frames": segment.frames,
        "from_unix_ms": segment.unix_ms.map(|(from, _)| from),
        "to_unix_ms": segment.unix_ms.map(|(_, to)| to),
        "damaged_ranges": segment.damaged,
        "torn": segment.is_torn,
        "key": segment.key.map(|key| key.to_string()),
        "packed_frames": segment.packed,
        "body_bytes": segment.body_bytes.0,
        "plain_bytes": segment.body_bytes.1,
    })
}

fn cursor_row(destination: &Destination, end: u64) -> Vec<String> {
    let name = destination.name.clone();
    let Some(standing) = destination.standing() else {
        let word = format!("{name} (cursor {})", state_word(&destination.cursor));
        return [word].into_iter().chain(std::iter::repeat_n("-".into(), 8)).collect();
    };
    let numbers = [
        standing.accepted(end),
        standing.delivered,
        standing.dead,
        standing.dropped,
        standing.damaged,
        standing.waiting(end),
        standing.watermark,
        standing.ahead,
    ];
    [name].into_iter().chain(numbers.map(count)).collect()
}

fn cursor_value(destination: &Destination, end: u64) -> Value {
    let Some(standing) = destination.standing() else {
        let cursor = state_word(&destination.cursor);
        return json!({ "destination": destination.name, "cursor": cursor });
    };
    json!({
        "destination": destination.name,
        "cursor": "good",
        "accepted": standing.accepted(end),
        "delivered": standing.delivered,
        "dead": standing.dead,
        "dropped": standing.dropped,
        "damaged": standing.damaged,
        "waiting": standing.waiting(end),
        "elsewhere": standing.elsewhere,
        "birth": standing.birth,
        "watermark": standing.watermark,
        "ahead": standing.ahead,
    })
}
