//! Another configuration while the agent runs: read and checked as a whole, prepared, then swapped in.
//!
//! Queues stay open, connections stay up, records are taken all the time. What cannot be prepared
//! leaves everything as it was. What only a restart can change is named.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{debug, error, info, warn};

use super::assemble::{below, bind, open_queue, tail};
use super::changes::Changes;
use super::feeders::Connected;
use super::lifecycle::Running;
use super::reloads::{Done, Outcome};
use super::{StartError, supervisor};
use crate::admission::Renewal;
use crate::base::disk::{RealDisk, read_named_file};
use crate::base::tasks::{Failed, blocking};
use crate::config::{Config, Loaded};
use crate::queue::Writer;
use crate::source::http;
use crate::telemetry;

/// Where the configuration comes from once more.
#[derive(Clone)]
pub struct Reread {
    /// The file, to see when it changes.
    pub file: PathBuf,
    /// Reads and checks it; says in words what is wrong.
    pub load: Arc<dyn Fn() -> Result<Loaded, String> + Send + Sync>,
}

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// No configuration is larger; only told apart from another here.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Longest time for what is exchanged to finish what it is doing: a little more than listeners give
/// their requests.
const EXCHANGE_GRACE: Duration = Duration::from_secs(11);

/// Sees when the content of the configuration's file changes, by whatever way: written over, put in its
/// place, a link turned elsewhere.
pub(super) struct Watcher {
    file: Option<PathBuf>,
    /// What was read last, for whatever reason.
    seen: Option<Vec<u8>>,
    /// Whether that was read for another reason before it was seen here.
    is_ahead: bool,
}

impl Watcher {
    pub(super) fn new(reread: Option<&Reread>, is_wanted: bool) -> Self {
        let file = reread.filter(|_| is_wanted).map(|reread| reread.file.clone());
        let seen = file.as_ref().and_then(|file| content(file));
        Self { file, seen, is_ahead: false }
    }

    /// What is there now is about to be read all the same: it is no change any more.
    pub(super) async fn pass_over(&mut self) {
        let Some(file) = self.file.clone() else { return };
        let now = blocking(move || content(&file)).await;
        self.is_ahead |= now != self.seen;
        self.seen = now;
    }

    /// Returns when it changed and then stayed the same for a look; never, if nobody wants to know.
    pub(super) async fn changed(&mut self) {
        let Some(file) = self.file.clone() else { return std::future::pending().await };
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = None;
        loop {
            looks.tick().await;
            let path = file.clone();
            let now = blocking(move || content(&path)).await;
            // Somebody is about to write it: what is there has to be there twice.
            let is_settled = now.is_some() && now == last;
            if is_settled && now != self.seen {
                self.seen = now;
                return;
            }
            if is_settled && std::mem::take(&mut self.is_ahead) {
                debug!("the file changed, and was read already; it is not read a second time");
            }
            last = now;
        }
    }
}

/// `None` while there is nothing to read.
fn content(file: &std::path::Path) -> Option<Vec<u8>> {
    read_named_file(&RealDisk, file, FILE_BYTES_MAX).ok()
}

fn tell(outcome: &Outcome) {
    match outcome {
        Ok(Done { changed, needs_restart }) => {
            let what = changed.join(", ");
            info!(what, "the configuration was taken over");
            let parts = needs_restart.join(", ");
            if !parts.is_empty() {
                warn!(parts, "not all of the new configuration is in force: that needs a restart");
            }
        }
        Err(why) => error!(why, "the new configuration was refused; the one before is in force"),
    }
}

/// Another configuration, with everything it takes made ready.
pub(super) struct Next {
    changes: Changes,
    prepared: Prepared,
}

/// All that can fail, made before anything is changed.
struct Prepared {
    /// Queues of new streams.
    opened: BTreeMap<String, Writer>,
    connected: Vec<Connected>,
    renewal: Renewal,
    bound: Vec<(String, http::Bound)>,
}

impl Running {
    /// Reads the configuration again and makes everything ready; `None` if it is at fault. Nothing is
    /// changed yet: whoever drops this leaves everything as it was.
    pub(super) async fn prepare_reload(
        &self,
        reread: Option<&Reread>,
        why: &'static str,
    ) -> Option<Next> {
        info!(why, "reading the configuration again");
        supervisor::reloading();
        match self.try_prepare(reread).await {
            Ok(next) => Some(next),
            Err(why) => {
                self.book(Err(why));
                None
            }
        }
    }

    async fn try_prepare(&self, reread: Option<&Reread>) -> Result<Next, String> {
        let changes = self.look(reread).await.map_err(|why| refusal(&why))?;
        let prepared = self.prepare(&changes).await.map_err(|why| refusal(&why))?;
        Ok(Next { changes, prepared })
    }

    /// Goes by another configuration.
    ///
    /// # Errors
    /// A part that was exchanged could not begin: then the agent is not whole any more.
    pub(super) async fn go_by(&mut self, next: Next) -> Result<(), Failed> {
        let Next { changes, prepared } = next;
        let (changed, needs_restart) = (changes.changed.clone(), changes.needs_restart.clone());
        self.swap(changes, prepared).await?;
        self.book(Ok(Done { changed, needs_restart }));
        Ok(())
    }

    fn book(&self, outcome: Outcome) {
        supervisor::ready();
        tell(&outcome);
        let clock = &self.ground.clock;
        self.picture.change(|now| now.reloads.book(clock, outcome));
    }

    async fn look(&self, reread: Option<&Reread>) -> Result<Changes, String> {
        let load = reread.ok_or("there is no configuration file to read again")?.load.clone();
        if self.config.is_once {
            return Err("an agent that runs once keeps its configuration".to_owned());
        }
        let Loaded { config, warnings } = blocking(move || load()).await?;
        for warning in warnings {
            warn!(%warning, "the new configuration is doubtful");
        }
        let (was, is) = (self.config.state_dir.display(), config.state_dir.display());
        if self.config.state_dir != config.state_dir {
            return Err(format!("state_dir cannot change from {was} to {is} without a restart"));
        }
        Ok(Changes::between(&self.config, config))
    }

    async fn prepare(&self, changes: &Changes) -> Result<Prepared, StartError> {
        let mut opened = BTreeMap::new();
        let prepared = self.prepare_with(changes, &mut opened).await;
        if prepared.is_err() {
            close(&opened).await;
        }
        let (connected, renewal, bound) = prepared?;
        Ok(Prepared { opened, connected, renewal, bound })
    }

    async fn prepare_with(
        &self,
        changes: &Changes,
        opened: &mut BTreeMap<String, Writer>,
    ) -> Result<(Vec<Connected>, Renewal, Vec<(String, http::Bound)>), StartError> {
        let config = &changes.config;
        for name in &changes.streams.added {
            let Some(stream) = config.streams.get(name) else { continue };
            opened.insert(name.clone(), open_queue(stream, &self.ground).await?);
        }
        self.check_open_doors(config)?;
        let mut connected = Vec::new();
        let used = config.used_destinations();
        for name in changes.destinations.iter().filter(|name| used.contains(name.as_str())) {
            connected.push(self.deliveries.connect(config, name).await?);
        }
        let mut queues = self.picture.queues();
        queues.extend(opened.clone());
        let below = below(config, &queues, &self.state, &self.ground).await?;
        let renewal = self.admission.prepare(below, config.admission.clone());
        let renewal = renewal.map_err(StartError::Setting)?;
        let mut bound = Vec::new();
        for settings in &config.http {
            if changes.listeners.added.contains(&settings.name) {
                let listener = bind(settings, &self.ground, &self.deliveries).await?;
                bound.push((settings.name.clone(), listener));
            }
        }
        Ok((connected, renewal, bound))
    }

    /// A socket on the network that a service manager handed over says so only when it is there.
    fn check_open_doors(&self, config: &Config) -> Result<(), StartError> {
        for settings in &config.http {
            let Some(part) = settings.open_part() else { continue };
            let addresses = self.addresses.http.get(&settings.name).into_iter().flatten();
            let mut at = addresses.filter_map(|address| address.parse::<SocketAddr>().ok());
            if let Some(address) = at.find(|address| !address.ip().is_loopback()) {
                return Err(StartError::Setting(format!(
                    "{part} would be open to the network at {address}; name who may come in with `auth`"
                )));
            }
        }
        Ok(())
    }

    /// Sources that end, then the door, sources that begin, then delivery: no record is handed in for
    /// a stream that is not there.
    async fn swap(&mut self, changes: Changes, prepared: Prepared) -> Result<(), Failed> {
        let Prepared { opened, connected, renewal, bound } = prepared;
        self.picture.change(|now| now.queues.extend(opened));
        self.end_sources(&changes).await;
        self.admission.renew(renewal);
        self.config = changes.config.clone();
        telemetry::set_level(self.config.log_level);
        self.begin_sources(&changes, bound);
        self.exchange_workers(&changes, connected).await?;
        for stream in &changes.streams.removed {
            self.let_go(stream).await;
        }
        if let Err(error) = self.state_dir.publish(&self.addresses) {
            warn!(%error, "addresses.json cannot be written; commands may not find new listeners");
        }
        Ok(())
    }

    async fn end_sources(&mut self, changes: &Changes) {
        let listeners = changes.listeners.removed.iter().map(|name| format!("http.{name}"));
        let tails = changes.tails.removed.iter().chain(&changes.tails.altered);
        let ending: Vec<_> = listeners.chain(tails.map(|name| format!("tail.{name}"))).collect();
        self.sources.dismiss(&ending, Instant::now() + EXCHANGE_GRACE).await;
        for name in &changes.listeners.removed {
            self.hatches.remove(name);
            self.addresses.http.remove(name);
        }
        self.picture.change(|now| {
            changes.tails.removed.iter().for_each(|name| drop(now.tails.remove(name)));
        });
    }

    fn begin_sources(&mut self, changes: &Changes, bound: Vec<(String, http::Bound)>) {
        for settings in &self.config.http {
            if let Some(hatch) = self.hatches.get(&settings.name) {
                hatch.exchange(settings.clone());
            }
        }
        for (name, listener) in bound {
            self.addresses.http.insert(name.clone(), listener.addresses());
            self.serve(&name, listener);
        }
        let names = || changes.tails.added.iter().chain(&changes.tails.altered);
        let begins = |name: &String| names().any(|begins| begins == name);
        for settings in changes.config.tail.iter().filter(|settings| begins(&settings.name)) {
            let (tail, watch) =
                tail(&self.config, settings, &self.ground, &self.admission, &self.state);
            let shown = (settings.stream.clone(), watch);
            self.picture.change(|now| drop(now.tails.insert(settings.name.clone(), shown)));
            self.follow(&settings.name, tail);
        }
    }

    async fn exchange_workers(
        &mut self,
        changes: &Changes,
        connected: Vec<Connected>,
    ) -> Result<(), Failed> {
        self.feeding.dismiss(&changes.destinations, Instant::now() + EXCHANGE_GRACE).await;
        if changes.is_uplink {
            self.uplink = crate::delivery::Uplink::new(&self.config.uplink);
        }
        for destination in &changes.destinations {
            self.deliveries.retire(destination, &self.uplink);
            self.picture.change(|now| now.forget(destination));
        }
        let queues = self.picture.queues();
        for one in connected {
            let destination = one.destination().to_owned();
            let fed = self.deliveries.employ(one, &queues, &self.uplink).await;
            let fed = fed.map_err(|why| Failed {
                task: format!("delivery to {destination}"),
                why: why.to_string(),
            })?;
            self.picture.change(|now| now.see(&fed));
            self.feed(&destination, fed);
        }
        Ok(())
    }

    /// Closes the queue of a stream that is gone; what waits in it is kept.
    async fn let_go(&self, stream: &str) {
        let mut gone = None;
        self.picture.change(|now| gone = now.queues.remove(stream));
        let Some(queue) = gone else { return };
        let waiting = queue.overview().ledgers.iter().map(|(_, one)| one.waiting).max();
        let waiting = waiting.unwrap_or_default();
        close(&BTreeMap::from([(stream.to_owned(), queue)])).await;
        if waiting > 0 {
            warn!(
                stream,
                waiting,
                "the stream is gone from the configuration; what waits in its queue is kept, but \
                 goes nowhere until the stream is back"
            );
        }
    }
}

/// The words of faults at a start, without what is true only there.
fn refusal(why: &impl Display) -> String {
    why.to_string().trim_end_matches("; nothing was started").to_owned()
}

async fn close(queues: &BTreeMap<String, Writer>) {
    for (stream, queue) in queues {
        if let Err(why) = queue.close().await {
            warn!(stream, why, "the queue was not closed cleanly; some records may go again");
        }
    }
}
