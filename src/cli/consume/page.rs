//! What arrived, as lines: one for each record, members of aggregates each by itself.

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;

use crate::base::clock::rfc3339;
use crate::cli::envelope::{is_line, plain_text};
use crate::cli::progress::Progress;
use crate::cli::queue::output::{Output, Reader};
use crate::cli::queue::shown;
use crate::cli::report::{Answer, Report, tell};
use crate::cli::table::{age, count, counted};
use crate::sink::{Content, Member, Offspring, Taken};

/// Whether more is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Printed {
    /// Everything there was; more is welcome.
    All,
    /// As many as were asked for.
    Enough,
    /// Nobody reads any more.
    ReaderWentAway,
}

/// Prints, and counts.
pub(super) struct Printer {
    output: Output,
    progress: Progress,
    json: bool,
    /// Bytes that could steer it are shown as text.
    is_terminal: bool,
    /// Records that may still be printed.
    left: u64,
    tally: Tally,
}

#[derive(Default)]
struct Tally {
    records: u64,
    entries: u64,
    aggregates: u64,
    /// Members of aggregates that ended up in another shard than their hash leads to.
    strayed: u64,
    /// Records that are no line of text.
    no_lines: u64,
    unsound: u64,
}

/// A record as `--json` prints it; what there is none of is left out.
#[derive(Serialize)]
struct Line<'a> {
    shard: &'a str,
    sequence_number: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_sequence_number: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arrived_at: Option<String>,
    partition_key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    explicit_hash_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_base64: Option<String>,
}

/// One record, and where it lay.
struct Found<'a> {
    shard: &'a Offspring,
    entry: &'a Taken,
    /// Its place in the aggregate.
    member: Option<(usize, &'a Member)>,
}

impl Printer {
    pub(super) fn new(json: bool, max: u64) -> Result<Self, Report> {
        let is_terminal = io::stdout().is_terminal();
        let progress = Progress::beside_output(false);
        let output = Output::new(None)?;
        Ok(Self { output, progress, json, is_terminal, left: max, tally: Tally::default() })
    }

    /// Prints what one call brought; whoever reads has it then.
    pub(super) fn page(
        &mut self,
        shard: &Offspring,
        taken: &[Taken],
        behind_ms: u64,
    ) -> Result<Printed, Report> {
        for entry in taken {
            let printed = self.entry(shard, entry)?;
            if printed != Printed::All {
                return Ok(printed);
            }
        }
        let (records, behind) = (self.tally.records, behind_ms / 1_000);
        self.progress.show(|| {
            let records = counted(records, "record", "records");
            format!("{records}; {} is {} behind", shard.id, age(behind))
        });
        Ok(heard(self.output.flush()?))
    }

    fn entry(&mut self, shard: &Offspring, entry: &Taken) -> Result<Printed, Report> {
        self.tally.entries += 1;
        let whole = Found { shard, entry, member: None };
        let why = match entry.content() {
            Content::Plain(_) => return self.record(&whole),
            Content::Members(members) => {
                self.tally.aggregates += 1;
                return self.members(shard, entry, &members);
            }
            Content::Unsound(_) => "begins like an aggregate, but its checksum is another",
            Content::Unreadable(_) => "has the checksum of an aggregate, but is none within",
        };
        self.tally.unsound += 1;
        let (id, number) = (&shard.id, &entry.sequence);
        tell(format!("warning: {id}, {number}: {why}; it is printed as it lies there"));
        self.record(&whole)
    }

    fn members(
        &mut self,
        shard: &Offspring,
        entry: &Taken,
        members: &[Member],
    ) -> Result<Printed, Report> {
        for member in members.iter().enumerate() {
            // Consumers drop it, and whoever sent it sends it again.
            if shard.range.is_some_and(|range| !range.holds(member.1.hash())) {
                self.tally.strayed += 1;
                continue;
            }
            let printed = self.record(&Found { shard, entry, member: Some(member) })?;
            if printed != Printed::All {
                return Ok(printed);
            }
        }
        Ok(Printed::All)
    }

    fn record(&mut self, found: &Found<'_>) -> Result<Printed, Report> {
        if self.left == 0 {
            return Ok(Printed::Enough);
        }
        let payload = found.payload();
        let reader = if self.json {
            self.output.line(found.json().as_bytes())?
        } else {
            self.tally.no_lines += u64::from(!is_line(payload));
            if self.is_terminal {
                self.output.line(shown(payload, usize::MAX).as_bytes())?
            } else {
                self.output.line(payload)?
            }
        };
        self.tally.records += 1;
        self.left -= 1;
        Ok(match heard(reader) {
            Printed::All if self.left == 0 => Printed::Enough,
            printed => printed,
        })
    }

    /// The rest of it, and what came of it all.
    pub(super) fn finish(self) -> Answer {
        let Self { output, progress, tally, json, .. } = self;
        drop(progress);
        if output.finish()? == Reader::WentAway {
            return Ok(ExitCode::SUCCESS);
        }
        tally.tell(json);
        Ok(ExitCode::SUCCESS)
    }
}

fn heard(reader: Reader) -> Printed {
    match reader {
        Reader::Listens => Printed::All,
        Reader::WentAway => Printed::ReaderWentAway,
    }
}

impl Found<'_> {
    fn payload(&self) -> &[u8] {
        self.member.map_or(&self.entry.data, |(_, member)| member.data())
    }

    fn json(&self) -> String {
        let payload = self.payload();
        let text = plain_text(payload);
        let (place, member) = self.member.unzip();
        let line = Line {
            shard: &self.shard.id,
            sequence_number: &self.entry.sequence,
            sub_sequence_number: place,
            arrived_at: self.entry.arrived_unix_ms.map(rfc3339),
            partition_key: member.map_or(&self.entry.key, |member| member.key()),
            explicit_hash_key: member.and_then(Member::explicit).map(|hash| hash.to_string()),
            payload: text,
            payload_base64: text.is_none().then(|| BASE64.encode(payload)),
        };
        serde_json::to_string(&line).expect("texts and numbers have a JSON form")
    }
}

impl Tally {
    fn tell(&self, json: bool) {
        let Self { records, entries, aggregates, strayed, no_lines, unsound } = self;
        let (strayed, no_lines) = (*strayed, *no_lines);
        if no_lines > 0 && !json {
            let records = counted(no_lines, "record is", "records are");
            tell(format!("warning: {records} no line of text; `--json` keeps any bytes"));
        }
        if strayed > 0 {
            let records = counted(strayed, "record", "records");
            tell(format!(
                "note: {records} in aggregates left out that belong to other shards: consumers drop them, and their sender sends them again"
            ));
        }
        let records = counted(*records, "record", "records");
        let of = counted(*entries, "record of Kinesis", "records of Kinesis");
        let unsound = match unsound {
            0 => String::new(),
            some => format!(", {} of them damaged", count(*some)),
        };
        tell(format!("{records} read, from {of} ({} aggregated{unsound})", count(*aggregates)));
    }
}
