//! `weir queue verify`: is everything on disk as it was written?

use std::fmt::Write as _;

use clap::Args;
use serde_json::{Value, json};

use super::{Place, ending};
use crate::base::units::ByteSize;
use crate::cli::progress::Progress;
use crate::cli::report::{Answer, say, tell};
use crate::cli::table::{count, counted};
use crate::queue::inspect::{self, DamagedRange, Verdict};

#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Verify {
    #[command(flatten)]
    place: Place,
    /// The stream; all of them without
    #[arg(value_name = "STREAM")]
    stream: Option<String>,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn verify(verify: &Verify) -> Answer {
    let found = verify.place.all(verify.stream.as_deref())?;
    let mut is_sound = found.is_complete;
    let mut values = Vec::new();
    for lying in found.queues {
        let (mut progress, whole) = (Progress::new(), lying.look.bytes());
        let mut show = |done| progress.show_of(&lying.stream, done, whole);
        let verdict = inspect::verify(&lying.look, &mut show)?;
        drop(progress);
        is_sound &= verdict.is_sound();
        if verify.json {
            values.push(value(&lying.stream, &verdict));
        } else if verdict.is_sound() {
            say(sound(&lying.stream, &verdict));
        } else {
            let aside = lying.look.quarantine()?;
            tell(damaged(&lying.stream, &verdict, &aside));
        }
    }
    if verify.json {
        say(format!("{:#}", Value::Array(values)));
    }
    Ok(ending(is_sound))
}

fn sound(stream: &str, verdict: &Verdict) -> String {
    let frames = counted(verdict.frames, "frame", "frames");
    let records = counted(verdict.records, "record", "records");
    let bytes = ByteSize(verdict.bytes).rounded();
    let torn = verdict.torn.as_ref().map_or_else(String::new, |torn| {
        let offset = count(torn.offset);
        format!(
            "\n  the frame at {}, byte {offset} is not yet complete, which is no damage",
            torn.file
        )
    });
    let locked = locked(verdict).map_or_else(String::new, |words| format!("\n  {words}"));
    format!("{stream}: sound; {frames}, {records}, {bytes}{torn}{locked}")
}

/// What a check cannot see without the key.
fn locked(verdict: &Verdict) -> Option<String> {
    (verdict.locked > 0).then(|| {
        let frames = counted(verdict.locked, "frame is", "frames are");
        format!(
            "{frames} sealed with a key that is not known here: the checksums fit, the seals were \
             not opened"
        )
    })
}

/// Places that are told one by one; `--json` has more.
const PLACES_MAX: usize = 20;

fn damaged(stream: &str, verdict: &Verdict, aside: &[(String, u64)]) -> String {
    let mut text = headline(stream, verdict);
    let mut because = |words: String| {
        // Writing to a String cannot fail.
        _ = write!(text, "\n  because: {words}");
    };
    for range in verdict.damaged.iter().take(PLACES_MAX) {
        because(place(range));
    }
    let more = verdict.damaged_count.saturating_sub(PLACES_MAX as u64);
    if more > 0 {
        because(counted(more, "more place is damaged", "more places are damaged"));
    }
    if verdict.damaged_count > 0 {
        let frames = counted(verdict.frames, "intact frame stands", "intact frames stand");
        because(format!("{frames} around, so this is no torn write"));
    }
    if let Some(lost) = &verdict.lost_end {
        let known = count(lost.end.saturating_sub(1));
        let end = count(lost.start.saturating_sub(1));
        because(format!("a cursor knows position {known}, but the log ends at {end}"));
    }
    for one in &verdict.bad_cursors {
        because(format!(
            "the cursor of `{one}` cannot be read; everything on disk is delivered to it again"
        ));
    }
    if let Some(words) = locked(verdict) {
        because(words);
    }
    for gone in &verdict.gone {
        let records = span(&gone.positions);
        because(format!(
            "`{}` still waits for {records}, whose segments are gone",
            gone.destination
        ));
    }
    let copies: Vec<&str> = aside
        .iter()
        .map(|(name, _)| name.as_str())
        .filter(|name| verdict.damaged.iter().any(|range| *name == copy_name(range)))
        .take(PLACES_MAX)
        .collect();
    text.push_str("\nhint: ");
    if copies.is_empty() {
        text.push_str(
            "the agent passes over it, copies it to `quarantine/` and counts its records as damaged; look at the disk",
        );
    } else {
        _ = write!(text, "what stood there is in quarantine/{}", copies.join(", quarantine/"));
    }
    _ = write!(text, "; `weir queue export {stream}` takes out what can be read");
    text
}

fn headline(stream: &str, verdict: &Verdict) -> String {
    if verdict.damaged_count == 0 {
        return format!(
            "warning: the books of the queue of stream `{stream}` do not fit its records"
        );
    }
    let all = count(verdict.frames + verdict.damaged_count);
    let lost = counted(verdict.lost, "record", "records");
    let number = count(verdict.damaged_count);
    let is = if verdict.damaged_count == 1 { "is damaged" } else { "are damaged" };
    format!(
        "warning: {number} of {all} frames in the queue of stream `{stream}` {is}; {lost} cannot be read, the rest can"
    )
}

fn place(range: &DamagedRange) -> String {
    let at = format!("{}, byte {}: {}", range.file, count(range.offset), range.why);
    if range.lost.is_empty() {
        return format!("{at}; no record is lost");
    }
    format!("{at}; {} lost", span(&range.lost))
}

fn span(positions: &std::ops::Range<u64>) -> String {
    let number = positions.end.saturating_sub(positions.start);
    let records = counted(number, "record", "records");
    let last = count(positions.end.saturating_sub(1));
    format!("{records} (positions {} to {last})", count(positions.start))
}

/// What the agent calls the copy of a damaged range.
fn copy_name(range: &DamagedRange) -> String {
    format!("{}-{}.bad", range.file.trim_end_matches(".seg"), range.offset)
}

fn value(stream: &str, verdict: &Verdict) -> Value {
    let ranges = verdict.damaged.iter().map(|range| {
        json!({
            "segment": range.file,
            "offset": range.offset,
            "bytes": range.bytes,
            "lost": range.lost.end.saturating_sub(range.lost.start),
            "first": range.lost.start,
            "why": range.why,
        })
    });
    let gone = verdict.gone.iter().map(|gone| {
        json!({
            "destination": gone.destination,
            "first": gone.positions.start,
            "last": gone.positions.end.saturating_sub(1),
        })
    });
    json!({
        "stream": stream,
        "sound": verdict.is_sound(),
        "frames": verdict.frames,
        "locked_frames": verdict.locked,
        "records": verdict.records,
        "bytes": verdict.bytes,
        "damaged_ranges": verdict.damaged_count,
        "lost_records": verdict.lost,
        "damaged": ranges.collect::<Vec<_>>(),
        "lost_end": verdict.lost_end.as_ref().map(|lost| [lost.start, lost.end.saturating_sub(1)]),
        "bad_cursors": verdict.bad_cursors,
        "gone": gone.collect::<Vec<_>>(),
        "torn": verdict.torn.as_ref().map(|torn| json!({ "segment": torn.file, "offset": torn.offset })),
    })
}
