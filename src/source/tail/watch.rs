//! Events of the file system: they only make things faster, a scan finds whatever they miss.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use notify::event::{AccessKind, AccessMode, CreateKind, Event, EventKind, ModifyKind, RemoveKind};
use notify::{ErrorKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

use super::find::Globs;
use crate::base::disk::foreign::{self, ForeignId};

/// Most paths remembered between two steps; beyond it a scan is cheaper.
const WRITTEN_MAX: usize = 10_000;
/// Most new files that are met one by one.
const APPEARED_MAX: usize = 100;
/// Most places remembered to which links led that were made between two steps.
const LED_MAX: usize = 1000;

/// Watches folders and remembers what happened in them.
#[derive(Debug)]
pub(super) struct Watch {
    block: String,
    mailbox: Arc<Mailbox>,
    watcher: Option<RecommendedWatcher>,
    watched: BTreeMap<PathBuf, ForeignId>,
    is_blind: bool,
    has_said_so: bool,
    /// Watched folders on file systems whose changes may bring no event.
    elsewhere: BTreeSet<PathBuf>,
    has_said_elsewhere: bool,
}

/// What happened since one last asked.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    /// Files that were written.
    pub(super) written: BTreeSet<PathBuf>,
    /// Files that were made.
    pub(super) appeared: BTreeSet<PathBuf>,
    /// Links that were made, and where they led then: they may lead elsewhere by the time of the scan.
    pub(super) led: BTreeSet<(PathBuf, PathBuf)>,
    /// Whether names came or went in another way.
    pub(super) names_changed: bool,
}

#[derive(Debug, Default)]
struct Mailbox {
    news: Mutex<News>,
    bell: Notify,
}

impl Watch {
    pub(super) fn new(block: &str, globs: Arc<Globs>) -> Self {
        let mailbox = Arc::new(Mailbox::default());
        let inside = Arc::clone(&mailbox);
        let watcher = notify::recommended_watcher(move |event| inside.receive(event, &globs));
        let mut watch = Self {
            block: block.to_owned(),
            mailbox,
            watcher: None,
            watched: BTreeMap::new(),
            is_blind: false,
            has_said_so: false,
            elsewhere: BTreeSet::new(),
            has_said_elsewhere: false,
        };
        match watcher {
            Ok(watcher) => watch.watcher = Some(watcher),
            Err(error) => watch.go_blind(&error, "fs.inotify.max_user_instances"),
        }
        watch
    }

    /// Whether files must be looked at by the clock because not all events come.
    pub(super) fn is_blind(&self) -> bool {
        self.is_blind || !self.elsewhere.is_empty()
    }

    /// Watches these folders and no others. `true` if some are watched from now on only: what
    /// happened in them since they were looked through brought no event. Blocks.
    pub(super) fn cover(&mut self, folders: &BTreeMap<PathBuf, ForeignId>) -> bool {
        let Some(mut watcher) = self.watcher.take() else { return false };
        self.elsewhere.retain(|folder| folders.contains_key(folder));
        let mut is_wider = false;
        self.watched.retain(|folder, id| {
            let stays = folders.get(folder) == Some(id);
            if !stays {
                // A folder that is gone took its watch with it.
                drop(watcher.unwatch(folder));
            }
            stays
        });
        self.is_blind = false;
        for (folder, id) in folders {
            if self.watched.contains_key(folder) {
                continue;
            }
            self.judge(folder);
            match watcher.watch(folder, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    is_wider = true;
                    self.watched.insert(folder.clone(), *id);
                }
                // It went away again; the next scan knows.
                Err(error) if matches!(error.kind, ErrorKind::PathNotFound) => {}
                Err(error) => {
                    self.go_blind(&error, "fs.inotify.max_user_watches");
                    break;
                }
            }
        }
        self.watcher = Some(watcher);
        is_wider
    }

    /// Returns when there is news.
    pub(super) async fn rung(&self) {
        self.mailbox.bell.notified().await;
    }

    /// Takes the news.
    pub(super) fn take(&self) -> News {
        std::mem::take(&mut *self.mailbox.news.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Events are asked for all the same: what is written on this host brings some.
    fn judge(&mut self, folder: &Path) {
        let Ok(Some(kind)) = foreign::without_events(folder) else { return };
        self.elsewhere.insert(folder.to_path_buf());
        if !std::mem::replace(&mut self.has_said_elsewhere, true) {
            tracing::info!(
                tail = self.block,
                folder = %folder.display(),
                file_system = kind,
                "changes on this file system may bring no event, so the files are looked at every \
                 second"
            );
        }
    }

    fn go_blind(&mut self, error: &notify::Error, sysctl: &str) {
        self.is_blind = true;
        if !std::mem::replace(&mut self.has_said_so, true) {
            tracing::warn!(
                tail = self.block,
                %error,
                sysctl,
                "not all folders can be watched, so the files are looked at every second instead; \
                 if a limit is reached, raise the one named here"
            );
        }
    }
}

impl Mailbox {
    fn receive(&self, event: notify::Result<Event>, globs: &Globs) {
        let led = event.as_ref().map(|event| led(event, globs)).unwrap_or_default();
        let mut news = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = match event {
            Ok(event) => news.add(event, globs),
            // Whatever was lost, a scan finds it.
            Err(_) => !std::mem::replace(&mut news.names_changed, true),
        };
        if news.led.len() < LED_MAX {
            news.led.extend(led);
        }
        drop(news);
        if is_news {
            self.bell.notify_one();
        }
    }
}

/// Where links lead that an event says were made.
fn led(event: &Event, globs: &Globs) -> Vec<(PathBuf, PathBuf)> {
    if !matches!(event.kind, EventKind::Create(_) | EventKind::Modify(ModifyKind::Name(_))) {
        return Vec::new();
    }
    let ours = event.paths.iter().filter(|path| globs.matches(path));
    ours.filter_map(|path| Some((path.clone(), foreign::led_by_link(path)?))).collect()
}

impl News {
    /// Adds an event; `false` if it changes nothing.
    fn add(&mut self, event: Event, globs: &Globs) -> bool {
        let matters = |event: &Event| event.paths.iter().any(|path| globs.matches(path));
        let is_about_names = match event.kind {
            EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Metadata(_))
            | EventKind::Access(AccessKind::Close(AccessMode::Write)) => {
                let before = self.written.len();
                self.written.extend(event.paths);
                if self.written.len() <= WRITTEN_MAX {
                    return self.written.len() > before;
                }
                self.written.clear();
                true
            }
            EventKind::Access(_) => false,
            EventKind::Create(CreateKind::File) => {
                let before = self.appeared.len();
                self.appeared.extend(event.paths.into_iter().filter(|path| globs.matches(path)));
                if self.appeared.len() <= APPEARED_MAX {
                    return self.appeared.len() > before;
                }
                self.appeared.clear();
                true
            }
            EventKind::Remove(RemoveKind::File) => matters(&event),
            // A folder came or went, something was renamed, or events were lost.
            _ => true,
        };
        is_about_names && !std::mem::replace(&mut self.names_changed, true)
    }
}

#[cfg(test)]
mod tests {
    use notify::event::{DataChange, RenameMode};

    use super::super::tests::Scratch;
    use super::*;

    #[test]
    fn only_what_matters_is_news_and_it_is_news_once() {
        let globs = Globs::new(&["/l/*.log".into()], &[]).unwrap();
        let mut news = News::default();
        let mut tell = |kind, path: &str| news.add(Event::new(kind).add_path(path.into()), &globs);
        let written = EventKind::Modify(ModifyKind::Data(DataChange::Any));
        let opened = EventKind::Access(AccessKind::Open(AccessMode::Any));
        let renamed = EventKind::Modify(ModifyKind::Name(RenameMode::To));

        assert!(!tell(opened, "/l/a.log"), "weir opens files itself");
        assert!(tell(written, "/l/a.log"));
        assert!(!tell(written, "/l/a.log"));
        assert!(!tell(EventKind::Create(CreateKind::File), "/l/a.txt"));
        assert!(tell(EventKind::Create(CreateKind::File), "/l/b.log"));
        assert!(!tell(EventKind::Create(CreateKind::File), "/l/b.log"), "known already");
        assert!(!news.names_changed, "a new file is looked at by itself");
        let mut tell = |kind, path: &str| news.add(Event::new(kind).add_path(path.into()), &globs);
        assert!(tell(renamed, "/l/b.log.1"));
        assert!(!tell(renamed, "/l/b.log.1"), "known already that names changed");
        assert_eq!(news.written, BTreeSet::from(["/l/a.log".into()]));
        assert_eq!(news.appeared, BTreeSet::from(["/l/b.log".into()]));
        assert!(news.names_changed);
    }

    #[test]
    fn where_a_link_led_is_known_when_it_leads_elsewhere_already() {
        let scratch = Scratch::new();
        let globs = Globs::new(&[scratch.text("*.log")], &[]).unwrap();
        let mailbox = Mailbox::default();
        let renamed = EventKind::Modify(ModifyKind::Name(RenameMode::To));
        let link = scratch.path("a.log");
        for name in ["1.txt", "2.txt"] {
            scratch.write(name, "");
            drop(std::fs::remove_file(&link));
            std::os::unix::fs::symlink(scratch.path(name), &link).unwrap();
            mailbox.receive(Ok(Event::new(renamed).add_path(link.clone())), &globs);
        }
        scratch.write("b.log", "");
        mailbox.receive(Ok(Event::new(renamed).add_path(scratch.path("b.log"))), &globs);

        let news = std::mem::take(&mut *mailbox.news.lock().unwrap());
        let led = ["1.txt", "2.txt"].map(|name| (link.clone(), scratch.path(name)));
        assert_eq!(news.led, BTreeSet::from(led), "a file is no link");
    }

    #[test]
    fn when_too_much_is_written_at_once_a_scan_looks_at_everything() {
        let globs = Globs::new(&["/l/*.log".into()], &[]).unwrap();
        let mut news = News::default();
        for number in 0..=WRITTEN_MAX {
            let written = EventKind::Modify(ModifyKind::Data(DataChange::Any));
            news.add(Event::new(written).add_path(format!("/l/{number}.log").into()), &globs);
        }
        assert!(news.names_changed && news.written.is_empty());

        let mut news = News::default();
        for number in 0..=APPEARED_MAX {
            let made = EventKind::Create(CreateKind::File);
            news.add(Event::new(made).add_path(format!("/l/{number}.log").into()), &globs);
        }
        assert!(news.names_changed && news.appeared.is_empty());
    }
}
