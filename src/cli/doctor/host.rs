//! The host: where records will lie, how fast that is, and what the system allows.

use std::io::{self, Read as _};
use std::path::Path;

use rustix::process::{Resource, getrlimit};
use tokio::time::Instant;

use super::super::report::Exit;
use super::{Found, Health};
use crate::base::disk::{Disk, Open, RealDisk, foreign};
use crate::base::random;
use crate::base::units::ByteSize;
use crate::config::Config;

/// Syncs that are timed; the middle one counts.
const SYNCS: usize = 9;
const SYNCED_BYTES: usize = 4 << 10;
/// A group of records waits for one sync: slower than this is felt by every sender.
const SYNC_SLOW_MS: u128 = 50;
/// Files beside one for each connection: segments, tailed files, the upstream.
const FILES_SPARE: u64 = 1_024;
/// Fewer watches are soon used up by tailed folders and other programs.
const WATCHES_MIN: u64 = 8_192;

/// Looks at everything.
pub(super) fn look(config: &Config) -> Vec<Found> {
    let mut all = vec![state_dir(config)];
    if all.iter().all(|found| found.health != Health::Fault(Exit::Disk)) {
        all.push(room(config));
        all.push(syncs(&config.state_dir));
    }
    all.push(files(config));
    all.extend((!config.tail.is_empty()).then(watches));
    all
}

fn found(what: &'static str, health: Health, words: String) -> Found {
    Found { about: "host".into(), what, health, words }
}

fn state_dir(config: &Config) -> Found {
    let (path, what) = (&config.state_dir, "state_dir");
    match RealDisk.is_in_memory(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let words =
                format!("{} is not there; make it, or start the agent once", path.display());
            found(what, Health::Fault(Exit::Disk), words)
        }
        Err(error) => {
            let words = format!("{} cannot be looked at: {error}", path.display());
            found(what, Health::Fault(Exit::Disk), words)
        }
        Ok(true) => {
            let words = format!(
                "{} lies in memory: what waits is gone at the next start of the machine",
                path.display()
            );
            found(what, Health::Note, words)
        }
        Ok(false) => found(what, Health::Well, format!("{} lies on a disk", path.display())),
    }
}

/// Free space, and what lies there already, against what the quotas allow.
fn room(config: &Config) -> Found {
    let queues = config.streams.values().map(|stream| stream.queue.max_bytes);
    let letters = config.streams.values().map(|stream| stream.delivery.len() as u64).sum::<u64>();
    let wanted = queues.sum::<u64>() + letters * config.dead_letters.max_bytes;
    let free = match RealDisk.free_bytes(&config.state_dir) {
        Ok(free) => free,
        Err(error) => return found("space", Health::Fault(Exit::Disk), error.to_string()),
    };
    let (free_shown, wanted_shown) = (ByteSize(free).rounded(), ByteSize(wanted).rounded());
    if wanted <= free {
        let words = format!("{free_shown} free; queues and dead letters may take {wanted_shown}");
        return found("space", Health::Well, words);
    }
    let words = format!(
        "{free_shown} free, but queues and dead letters may take {wanted_shown}: the disk is full before they are, unless much of it lies there already"
    );
    found("space", Health::Note, words)
}

fn syncs(folder: &Path) -> Found {
    let what = "sync";
    match timed(folder) {
        Ok(middle_us) => {
            let ms = middle_us / 1_000;
            let health = if ms > SYNC_SLOW_MS { Health::Note } else { Health::Well };
            let words =
                format!("{ms}.{:03} ms for 4 KiB, the middle of {SYNCS}", middle_us % 1_000);
            found(what, health, words)
        }
        Err(error) => {
            let exit = match error.kind() {
                io::ErrorKind::PermissionDenied => Exit::NoPermission,
                _ => Exit::Disk,
            };
            let words = format!("{} cannot be written: {error}", folder.display());
            found(what, Health::Fault(exit), words)
        }
    }
}

/// How long a sync takes, in microseconds. The file is removed whatever happens.
fn timed(folder: &Path) -> io::Result<u128> {
    let path = folder.join(format!("doctor-{:016x}", random::bits() & u128::from(u64::MAX)));
    let file = RealDisk.open(&path, Open::CreateNew)?;
    let measured = (0..SYNCS).map(|place| {
        let begun = Instant::now();
        file.write_all_at(&[0; SYNCED_BYTES], (place * SYNCED_BYTES) as u64)?;
        file.sync()?;
        Ok(begun.elapsed().as_micros())
    });
    let measured: io::Result<Vec<u128>> = measured.collect();
    RealDisk.remove(&path)?;
    let mut measured = measured?;
    measured.sort_unstable();
    Ok(measured.get(SYNCS / 2).copied().unwrap_or_default())
}

fn files(config: &Config) -> Found {
    let connections: usize = config.http.iter().map(|listener| listener.max_connections).sum();
    let wanted = connections as u64 + FILES_SPARE;
    let allowed = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    if allowed >= wanted {
        return found("nofile", Health::Well, format!("{allowed} open files are allowed"));
    }
    let words = format!(
        "{allowed} open files are allowed, but {connections} connections and the queues may need {wanted}; raise LimitNOFILE"
    );
    found("nofile", Health::Note, words)
}

fn watches() -> Found {
    let mut text = String::new();
    let path = Path::new("/proc/sys/fs/inotify/max_user_watches");
    let read = foreign::reader(path).and_then(|file| file.take(32).read_to_string(&mut text));
    let watches = read.ok().and_then(|_| text.trim().parse::<u64>().ok());
    match watches {
        Some(watches) if watches >= WATCHES_MIN => {
            found("inotify", Health::Well, format!("{watches} watches are allowed"))
        }
        Some(watches) => {
            let words = format!("{watches} watches are allowed; raise fs.inotify.max_user_watches");
            found("inotify", Health::Note, words)
        }
        None => {
            found("inotify", Health::Note, "no limit is told; files are looked for slowly".into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::scratch::Scratch;

    #[test]
    fn a_folder_that_is_not_there_is_a_fault_and_a_timed_one_is_left_as_it_was() {
        let scratch = Scratch::new();
        assert!(timed(scratch.path()).is_ok());
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);

        let none = syncs(&scratch.path().join("none"));
        assert_eq!((none.what, none.health), ("sync", Health::Fault(Exit::Disk)));
    }
}
