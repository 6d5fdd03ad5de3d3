//! Events of the file system: they only make things faster, a scan finds whatever they miss.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use notify::{ErrorKind, Event, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

use super::find::Globs;
use super::news::{self, News};
use super::search::Found;
use super::unsettled::Unsettled;
use crate::base::disk::foreign::{self, ForeignId};

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

    /// Looks through the folders, and watches these and no others from now on: each before it is looked
    /// through, so that nothing comes in between. Blocks.
    pub(super) fn look_through(&mut self, globs: &Globs) -> Found {
        self.is_blind = self.watcher.is_none();
        let found = globs.find(&mut |folder, id| self.enter(folder, id));
        self.elsewhere.retain(|folder| found.folders.contains_key(folder));
        let watcher = &mut self.watcher;
        self.watched.retain(|folder, _| {
            let stays = found.folders.contains_key(folder);
            if let Some(watcher) = watcher.as_mut().filter(|_| !stays) {
                // A folder that is gone took its watch with it.
                drop(watcher.unwatch(folder));
            }
            stays
        });
        found
    }

    /// Watches new folders, and looks through these alone: what is in them has `appeared`. Gives those
    /// back that take a scan. Blocks.
    pub(super) fn look_into(
        &mut self,
        new: BTreeSet<PathBuf>,
        globs: &Globs,
        appeared: &mut BTreeSet<PathBuf>,
    ) -> Unsettled {
        let mut unsettled = Unsettled::default();
        for folder in new {
            let found = globs.find_in(&folder, &mut |folder, id| self.enter(folder, id));
            appeared.extend(found.files.into_iter().map(|(path, _)| path));
            if self.is_blind() || !found.unreadable.is_empty() {
                unsettled.note(folder);
            }
        }
        unsettled
    }

    /// Watches a folder from now on.
    fn enter(&mut self, folder: &Path, id: ForeignId) {
        if self.is_blind || self.watched.get(folder) == Some(&id) {
            return;
        }
        self.judge(folder);
        let Some(watcher) = &mut self.watcher else { return };
        if self.watched.remove(folder).is_some() {
            drop(watcher.unwatch(folder));
        }
        match watcher.watch(folder, RecursiveMode::NonRecursive) {
            Ok(()) => {
                // It may have been replaced before it was watched.
                let id = foreign::look(folder).map_or(id, |look| look.id);
                self.watched.insert(folder.to_path_buf(), id);
            }
            // It went away again; the next scan knows.
            Err(error) if matches!(error.kind, ErrorKind::PathNotFound) => {}
            Err(error) => self.go_blind(&error, "fs.inotify.max_user_watches"),
        }
    }

    /// Returns when there is news.
    pub(super) async fn rung(&self) {
        self.mailbox.bell.notified().await;
    }

    /// Takes the news.
    pub(super) fn take(&mut self) -> News {
        let news = std::mem::take(&mut *self.mailbox.lock());
        if !news.lost.is_empty() {
            for (_, id) in self.watched.iter_mut().filter(|(at, _)| news.lost.may_have_replaced(at))
            {
                // Nobody has this number: at the next look it is watched anew. Its own number may be
                // that of the folder which now has its name, and to be told of a removal takes away
                // the watch of whatever has the name by then.
                *id = ForeignId::default();
            }
        }
        news
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
        let led = event.as_ref().map(|event| news::led(event, globs)).unwrap_or_default();
        let is_news = self.lock().receive(event, led, globs);
        if is_news {
            self.bell.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use notify::event::{EventKind, ModifyKind, RenameMode};

    use super::super::tests::Scratch;
    use super::*;

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
    fn a_folder_that_was_replaced_is_watched_anew() {
        let scratch = Scratch::new();
        scratch.write("a/1.log", "");
        let globs = Arc::new(Globs::new(&[scratch.text("*/*.log")], &[]).unwrap());
        let mut watch = Watch::new("t", Arc::clone(&globs));
        watch.look_through(&globs);
        let id = |watch: &Watch| watch.watched.get(&scratch.path("a")).copied();
        let before = id(&watch);
        assert_eq!(before, Some(super::super::tests::id_of(&scratch.path("a"))));

        // The new one may have the number of the old one, so it is the event that tells.
        let mut lost = News::default();
        lost.lost.note(scratch.path("a"));
        *watch.mailbox.lock() = lost;
        watch.take();
        assert_eq!(id(&watch), Some(ForeignId::default()));
        watch.look_through(&globs);
        assert_eq!(id(&watch), before);

        std::fs::remove_dir_all(scratch.path("a")).unwrap();
        watch.look_through(&globs);
        assert_eq!(id(&watch), None);
        assert!(watch.watched.contains_key(&scratch.path("")));
    }
}
