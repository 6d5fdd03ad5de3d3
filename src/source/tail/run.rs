//! The loop: news, scan, step, rest.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::follower::{End, Follower, Pace};
use super::news::News;
use super::thrift::Thrift;
use super::unsettled::Unsettled;
use super::watch::Watch;
use crate::base::shutdown::Stopping;
use crate::base::tasks::blocking;
use crate::source::door::Door;

/// After news one waits this long for more of it: a busy file then costs a hundred rounds a second
/// and not one per written line.
const GATHER: Duration = Duration::from_millis(10);
/// How often everything is looked at where events do not come.
const BLIND_SCAN_EVERY: Duration = Duration::from_secs(1);

/// Follows until asked to stop; what is being handed over then is finished.
pub(super) async fn run<D: Door>(
    mut follower: Follower<D>,
    mut watch: Watch,
    rescan_every: Duration,
    mut stopping: Stopping,
) -> Result<(), String> {
    let mut scan_at = Instant::now();
    let mut thrift = Thrift::new(scan_at);
    let mut unsettled = Unsettled::everywhere();
    let mut is_taking_up = true;
    while !stopping.is_asked() {
        let News { written, appeared, led, folders, names, .. } = watch.take();
        unsettled.add(names);
        follower.note_links(led);
        let new;
        (watch, new) = look_into(watch, &follower, (folders, appeared), &mut unsettled).await;
        if !new.is_empty() {
            unsettled.add(follower.meet(new).await);
        }
        follower.wake(&written);
        if !unsettled.is_empty() {
            scan_at = scan_at.min(thrift.not_before());
        }
        if Instant::now() >= scan_at {
            let begun = Instant::now();
            let globs = follower.globs();
            let found;
            (watch, found) = blocking(move || {
                let found = watch.look_through(&globs);
                (watch, found)
            })
            .await;
            follower.scan(found).await;
            unsettled = Unsettled::default();
            if !std::mem::take(&mut is_taking_up) {
                // The first scan takes in all files, and nothing is to be learned from that.
                thrift.spend(begun, begun.elapsed());
            }
            let every =
                if watch.is_blind() { rescan_every.min(BLIND_SCAN_EVERY) } else { rescan_every };
            scan_at = thrift.not_before().max(Instant::now() + every);
        }
        let pace = follower.step().await;
        if follower.wants_scan() {
            scan_at = scan_at.min(thrift.not_before());
        }
        let rest_until = match pace {
            Ok(Pace::Now) => continue,
            Ok(_) if follower.has_read_all() => return Ok(()),
            Ok(Pace::AtNews) => scan_at,
            Ok(Pace::At(moment)) => moment.min(scan_at),
            Err(End::Failed(why)) => return Err(why),
            Err(End::Stopping) => {
                stopping.asked().await;
                break;
            }
        };
        tokio::select! {
            () = stopping.asked() => {}
            () = sleep_until(rest_until) => {}
            () = watch.rung() => sleep(GATHER).await,
        }
    }
    Ok(())
}

/// Gives back the new files, those in new folders among them, of which it can be told at once who they
/// are: the names beside them and above are settled. The others are left to the next scan.
async fn look_into<D: Door>(
    mut watch: Watch,
    follower: &Follower<D>,
    (mut folders, mut files): (BTreeSet<PathBuf>, BTreeSet<PathBuf>),
    unsettled: &mut Unsettled,
) -> (Watch, BTreeSet<PathBuf>) {
    let is_blind = watch.is_blind();
    hold_back(&mut folders, is_blind, unsettled);
    if !folders.is_empty() {
        let globs = follower.globs();
        let more;
        (watch, files, more) = blocking(move || {
            let more = watch.look_into(folders, &globs, &mut files);
            (watch, files, more)
        })
        .await;
        unsettled.add(more);
    }
    hold_back(&mut files, is_blind, unsettled);
    (watch, files)
}

/// Leaves to the next scan who a new one is, where names changed beside it or above.
fn hold_back(new: &mut BTreeSet<PathBuf>, is_blind: bool, unsettled: &mut Unsettled) {
    let must_wait = |path: &PathBuf| is_blind || unsettled.touches(path);
    let waiting: Vec<_> = new.extract_if(.., must_wait).collect();
    waiting.into_iter().for_each(|path| _ = unsettled.note(path));
}
