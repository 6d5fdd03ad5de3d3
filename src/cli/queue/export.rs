//! `weir queue export`: records as lines that `weir send` puts back into any agent.

use std::path::PathBuf;
use std::process::ExitCode;

use bytes::Bytes;
use clap::Args;
use serde_json::json;

use super::output::{Output, Reader};
use super::records::passed_over;
use super::{Lying, Place};
use crate::cli::envelope;
use crate::cli::progress::Progress;
use crate::cli::report::{Answer, Exit, Report, say, tell};
use crate::cli::table::{count, counted};
use crate::queue::inspect::{Depth, Look, Seen, Standing};
use crate::record::{self, Record};

#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Export {
    #[command(flatten)]
    place: Place,
    /// The stream; not needed with `--folder`
    #[arg(value_name = "STREAM")]
    stream: Option<String>,
    /// Only what this destination is not done with; everything still on disk without
    #[arg(long, value_name = "DESTINATION")]
    waiting_for: Option<String>,
    /// Write into this new file instead of standard output
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// Each line a JSON object that keeps any bytes and the partition key, for `weir send
    /// --envelope`; without, each line is a payload
    #[arg(long)]
    envelope: bool,
    /// Print the outcome as JSON: on standard output with `--to`, else on standard error
    #[arg(long)]
    json: bool,
}

/// The longest line that `weir send` takes.
const LINE_BYTES_MAX: usize = 10 << 20;

pub(super) fn export(export: &Export) -> Answer {
    let Lying { stream, look } = export.place.one(export.stream.as_deref())?;
    look.unlocked()?;
    let waiting = export.waiting_for.as_deref();
    let standing = waiting.map(|name| standing(&look, &stream, name)).transpose()?;
    let mut job = Job {
        export,
        standing,
        output: Output::new(export.to.as_deref())?,
        tally: Tally::default(),
    };
    let from = standing.map_or(0, |standing| standing.watermark + 1);
    let (mut progress, whole) = (Progress::beside_output(export.to.is_some()), look.bytes());
    let mut walk = look.walk(from, Depth::Bodies);
    while let Some(seen) = walk.next() {
        progress.show_of(&stream, walk.done_bytes(), whole);
        match seen? {
            Seen::Frame(frame) => {
                if job.payloads(frame.first, &frame.payloads)? == Reader::WentAway {
                    tell(
                        "error: the reader of standard output went away; not everything was written",
                    );
                    return Ok(Exit::Disk.code());
                }
            }
            Seen::Damage(range) if range.lost.end >= from => {
                job.tally.damaged_ranges += 1;
                job.tally.unreadable += range.lost.end.saturating_sub(range.lost.start.max(from));
                tell(passed_over(&range));
            }
            Seen::Damage(_) | Seen::Torn(_) => {}
        }
    }
    drop(progress);
    let Job { output, tally, .. } = job;
    if output.finish()? == Reader::WentAway {
        return Ok(Exit::Disk.code());
    }
    Ok(tally.tell(export))
}

fn standing<'a>(look: &'a Look, stream: &str, name: &str) -> Result<&'a Standing, Report> {
    let found = look.destinations().iter().find(|one| one.name == name);
    let Some(found) = found else {
        let known: Vec<&str> = look.destinations().iter().map(|one| one.name.as_str()).collect();
        let words = format!("the queue of `{stream}` knows no destination `{name}`");
        let known = if known.is_empty() { "none".into() } else { known.join(", ") };
        return Err(Report::new(Exit::Data, words).hint(&format!("it knows these: {known}")));
    };
    found.standing().ok_or_else(|| {
        let words =
            format!("the cursor of `{name}` cannot be read, so what waits for it is not known");
        Report::new(Exit::Data, words)
            .hint("without `--waiting-for` everything on disk is exported")
    })
}

struct Job<'a> {
    export: &'a Export,
    standing: Option<&'a Standing>,
    output: Output,
    tally: Tally,
}

impl Job<'_> {
    fn payloads(&mut self, first: u64, payloads: &[Bytes]) -> Result<Reader, Report> {
        for (position, bytes) in (first..).zip(payloads) {
            if self.standing.is_some_and(|standing| standing.is_settled(position)) {
                continue;
            }
            match record::decode(bytes.clone()) {
                Ok(record) if self.is_elsewhere(&record) => {}
                Ok(record) => {
                    if self.record(position, &record)? == Reader::WentAway {
                        return Ok(Reader::WentAway);
                    }
                }
                Err(why) => {
                    self.tally.unreadable += 1;
                    tell(format!(
                        "warning: position {}: {why}; it was passed over",
                        count(position)
                    ));
                }
            }
        }
        Ok(Reader::Listens)
    }

    /// A replayed letter waits for one destination, whatever the cursors of the others say.
    fn is_elsewhere(&self, record: &Record) -> bool {
        match (&self.export.waiting_for, &record.only_for) {
            (Some(asked), Some(only)) => *asked != **only,
            _ => false,
        }
    }

    fn record(&mut self, position: u64, record: &Record) -> Result<Reader, Report> {
        let reader = if self.export.envelope {
            self.output.line(envelope::line(position, record).as_bytes())?
        } else {
            if !envelope::is_line(&record.payload) || record.payload.len() > LINE_BYTES_MAX {
                self.output.flush()?;
                return Err(self.no_line(position));
            }
            self.tally.keys +=
                u64::from(record.partition_key.is_some() || record.hash_key.is_some());
            self.output.line(&record.payload)?
        };
        self.tally.records += 1;
        self.tally.only_for += u64::from(record.only_for.is_some());
        Ok(reader)
    }

    fn no_line(&self, position: u64) -> Report {
        let written = counted(self.tally.records, "record was", "records were");
        let words = format!(
            "the record at position {} cannot be a line of its own: it is empty, has a line break, or is not UTF-8; {written} exported before it",
            count(position)
        );
        Report::new(Exit::Data, words)
            .hint("begin again with `--envelope`, into another file, and send that with `weir send --envelope`")
    }
}

#[derive(Default)]
struct Tally {
    records: u64,
    /// Records that lost their partition key on the way.
    keys: u64,
    /// Records that were for one destination only.
    only_for: u64,
    damaged_ranges: u64,
    unreadable: u64,
}

impl Tally {
    fn tell(&self, export: &Export) -> ExitCode {
        let is_complete = self.damaged_ranges == 0 && self.unreadable == 0;
        if self.keys > 0 {
            let records =
                counted(self.keys, "record has a partition key", "records have partition keys");
            tell(format!(
                "warning: {records} that bare lines cannot carry; `--envelope` keeps them"
            ));
        }
        if self.only_for > 0 && export.waiting_for.is_none() {
            let records = counted(
                self.only_for,
                "record is a replayed letter",
                "records are replayed letters",
            );
            tell(format!(
                "warning: {records} for one destination only; sent again, they go to all"
            ));
        }
        let outcome = if export.json {
            json!({
                "records": self.records,
                "unreadable": self.unreadable,
                "damaged_ranges": self.damaged_ranges,
                "without_their_key": self.keys,
                "for_one_destination": self.only_for,
            })
            .to_string()
        } else {
            let records = counted(self.records, "record", "records");
            let unreadable = count(self.unreadable);
            if is_complete {
                format!("{records} exported; the queue stays as it is")
            } else {
                format!(
                    "{records} exported, {unreadable} could not be read; the queue stays as it is"
                )
            }
        };
        // Standard output belongs to the records.
        if export.to.is_some() {
            say(outcome)
        } else {
            tell(outcome)
        }
        if is_complete { ExitCode::SUCCESS } else { Exit::Data.code() }
    }
}
