//! Which letters a command is about, and how they are gone through.

use std::io;
use std::path::Path;

use clap::Args;

use crate::base::disk::RealDisk;
use crate::cli::reach::Reach;
use crate::cli::report::{Report, tell};
use crate::cli::when::{When, when};
use crate::dead_letter::{self, BadLine, Filter, Letter, Lying};

/// Which letters; all of them without.
#[derive(Clone, Debug, Args)]
pub(super) struct Which {
    /// Only of this stream
    #[arg(long, short, value_name = "STREAM")]
    stream: Option<String>,
    /// Only of this destination
    #[arg(long, short, value_name = "DESTINATION")]
    destination: Option<String>,
    /// Only of this class: poison, undecodable
    #[arg(long, value_name = "CLASS")]
    class: Option<String>,
    /// Only with this code
    #[arg(long, value_name = "CODE")]
    code: Option<String>,
    /// Only given up at this time or later: 2026-11-22T06:00:00Z, 2026-11-22, or "2 h" ago
    #[arg(long, value_name = "TIME", value_parser = when)]
    since: Option<When>,
    /// Only given up before this time
    #[arg(long, value_name = "TIME", value_parser = when)]
    until: Option<When>,
    /// Only with this partition key
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Only of the record with this id
    #[arg(long, value_name = "ID")]
    id: Option<String>,
}

impl Which {
    pub(super) fn filter(&self, now_unix_ms: u64) -> Filter {
        let Self { stream, destination, class, code, since, until, key, id } = self.clone();
        Filter {
            stream,
            destination,
            class,
            code,
            since_unix_ms: since.map(|when| when.unix_ms(now_unix_ms)),
            until_unix_ms: until.map(|when| when.unix_ms(now_unix_ms)),
            key,
            id,
        }
    }
}

/// The shelves that may hold what is meant.
pub(super) fn shelves(folder: &Path, filter: &Filter) -> Result<Vec<Lying>, Report> {
    let mut found = dead_letter::shelves(&RealDisk, folder)?;
    found.retain(|lying| filter.fits_shelf(&lying.stream, &lying.destination));
    Ok(found)
}

/// Goes through the letters that are meant; how many lines were none, which is told.
pub(super) fn each(
    reach: &Reach,
    filter: &Filter,
    mut then: impl FnMut(&Letter) -> Result<(), Report>,
) -> Result<u64, Report> {
    let mut bad = 0;
    for lying in shelves(&reach.state_dir()?.join("dead"), filter)? {
        for file in &lying.files {
            for letter in of(&file.path, dead_letter::letters(&RealDisk, &file.path))? {
                match of(&file.path, letter)? {
                    Ok(letter) if filter.fits(&letter) => then(&letter)?,
                    Ok(_) => {}
                    Err(line) => {
                        bad += 1;
                        tell(unreadable(&file.path, &line));
                    }
                }
            }
        }
    }
    Ok(bad)
}

/// What was read of a file, or why it was not.
pub(super) fn of<T>(path: &Path, read: io::Result<T>) -> Result<T, Report> {
    read.map_err(|error| {
        let words = format!("{} cannot be read: {error}", path.display());
        Report::disk(&error, words)
    })
}

fn unreadable(path: &Path, line: &BadLine) -> String {
    format!("warning: {}, byte {}: {}; it was passed over", path.display(), line.at, line.why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_points_days_or_spans_that_went_by() {
        assert_eq!(when("1970-01-01T00:00:01Z"), Ok(When::At(1_000)));
        assert_eq!(when("1970-01-02"), Ok(When::At(86_400_000)));
        assert_eq!(when("2 h").map(|when| when.unix_ms(8_000_000)), Ok(800_000));
        assert_eq!(when("30 d").map(|when| when.unix_ms(1_000)), Ok(0));
        for wrong in ["", "yesterday", "1970-13-01", "12", "-2 h"] {
            assert!(when(wrong).is_err(), "{wrong}");
        }
    }
}
