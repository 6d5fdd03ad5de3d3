//! The loop: news, scan, step, rest.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::follower::{End, Follower, Pace};
use super::watch::Watch;
use crate::base::shutdown::Stopping;
use crate::base::tasks::blocking;
use crate::source::door::Door;

/// After news one waits this long for more of it: a busy file then costs a hundred rounds a second
/// and not one per written line.
const GATHER: Duration = Duration::from_millis(10);
/// How often everything is looked at where events do not come.
const BLIND_SCAN_EVERY: Duration = Duration::from_secs(1);
/// Scans for changed names take at most one part in so many of the time.
const SCAN_TIME_PART: u32 = 10;

/// Follows until asked to stop; what is being handed over then is finished.
pub(super) async fn run<D: Door>(
    mut follower: Follower<D>,
    mut watch: Watch,
    rescan_every: Duration,
    mut stopping: Stopping,
) -> Result<(), String> {
    let mut scan_at = Instant::now();
    let mut scan_not_before = scan_at;
    // Names may have changed since the last scan: who a new file is, only the next one can tell.
    let mut is_unsettled = true;
    while !stopping.is_asked() {
        let news = watch.take();
        is_unsettled |= news.names_changed;
        follower.note_links(news.led);
        if !news.appeared.is_empty() {
            let may_meet = !is_unsettled && !watch.is_blind();
            is_unsettled = !(may_meet && follower.meet(news.appeared).await);
        }
        follower.wake(&news.written);
        if is_unsettled {
            scan_at = scan_at.min(scan_not_before);
        }
        if Instant::now() >= scan_at {
            let begun = Instant::now();
            let globs = follower.globs();
            let (found, is_wider);
            // Watched at once: to take in what was found may take long.
            (watch, found, is_wider) = blocking(move || {
                let found = globs.find();
                let is_wider = watch.cover(&found.folders);
                (watch, found, is_wider)
            })
            .await;
            follower.scan(found).await;
            is_unsettled = is_wider;
            scan_not_before = Instant::now() + begun.elapsed() * SCAN_TIME_PART;
            scan_at = match (is_wider, watch.is_blind()) {
                (true, _) => scan_not_before,
                (false, true) => Instant::now() + rescan_every.min(BLIND_SCAN_EVERY),
                (false, false) => Instant::now() + rescan_every,
            };
            scan_at = scan_at.max(scan_not_before);
        }
        let pace = follower.step().await;
        if follower.wants_scan() {
            scan_at = scan_at.min(scan_not_before);
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
