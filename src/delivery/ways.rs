//! Where letters go that are put back: whoever could not take them, all destinations of their
//! stream, or one that the operator names. A record for a destination that is gone would be
//! delivered by nobody and kept by nobody, so such letters are never put back.

use std::path::Path;

use crate::base::disk::{Disk, SharedDisk};
use crate::base::tasks::blocking;
use crate::dead_letter::{Filter, Lying, letters};

/// A letter of a line that never got into the stream: it is put back for all destinations.
const NEVER_ADMITTED: &str = "tail.";

/// For whom the letters of one shelf are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Every destination of the stream.
    All,
    /// This one.
    Only(String),
    /// Nobody: their destination is gone.
    Nobody,
}

impl Way {
    pub(super) fn of(shelf: &Lying, to: Option<&str>, destinations: &[String]) -> Self {
        let is_there = |wanted: &str| destinations.iter().any(|one| one == wanted);
        match to.unwrap_or(&shelf.destination) {
            // What the operator names decides, where the stream has it.
            name if is_there(name) => Self::Only(name.to_owned()),
            name if to.is_none() && name.starts_with(NEVER_ADMITTED) => Self::All,
            _ => Self::Nobody,
        }
    }
}

/// Whether there is somebody for every letter that is meant.
///
/// # Errors
/// In words, what is wrong with the order; nothing may be put back then.
pub(super) async fn check(
    disk: &SharedDisk,
    lying: &[(Lying, Vec<String>)],
    (filter, to): (&Filter, Option<&str>),
) -> Result<(), String> {
    for (shelf, destinations) in lying {
        if Way::of(shelf, to, destinations) != Way::Nobody {
            continue;
        }
        let (disk, filter, files) = (disk.clone(), filter.clone(), shelf.files.clone());
        let paths: Vec<_> = files.into_iter().map(|file| file.path).collect();
        let is_meant =
            blocking(move || paths.iter().any(|path| holds(&*disk, path, &filter))).await;
        if is_meant {
            return Err(refusal(shelf, to, destinations));
        }
    }
    Ok(())
}

/// Whether a file holds a letter that is meant; what cannot be read is told by those who must read
/// it.
fn holds(disk: &dyn Disk, path: &Path, filter: &Filter) -> bool {
    let Ok(letters) = letters(disk, path) else { return false };
    let mut letters = letters.map_while(Result::ok);
    letters.any(|letter| letter.is_ok_and(|letter| filter.fits(&letter)))
}

fn refusal(shelf: &Lying, to: Option<&str>, destinations: &[String]) -> String {
    let Lying { stream, destination, .. } = shelf;
    let quoted: Vec<_> = destinations.iter().map(|name| format!("`{name}`")).collect();
    let has = match quoted.is_empty() {
        true => "it has none".to_owned(),
        false => format!("it has {}", quoted.join(", ")),
    };
    match to {
        Some(to) => {
            format!("stream `{stream}` has no destination `{to}`; {has}. Nothing was put back.")
        }
        None => format!(
            "stream `{stream}` has no destination `{destination}` any more, so nobody would deliver \
             its letters; {has}. Nothing was put back; for another destination: `weir dead replay \
             --stream {stream} --destination {destination} --to {}`.",
            destinations.first().map_or("DESTINATION", String::as_str)
        ),
    }
}
