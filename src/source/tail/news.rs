//! What events of the file system tell, gathered until somebody asks.

use std::collections::BTreeSet;
use std::path::PathBuf;

use notify::event::{AccessKind, AccessMode, CreateKind, Event, EventKind, ModifyKind, RemoveKind};

use super::find::Globs;
use super::unsettled::Unsettled;
use crate::base::disk::foreign;

/// Most paths remembered between two steps; beyond it a scan is cheaper.
const WRITTEN_MAX: usize = 10_000;
/// Most new files that are met one by one; beyond it a scan is cheaper.
const APPEARED_MAX: usize = 1000;
/// Most new folders that are looked through one by one; beyond it a scan is cheaper.
const FOLDERS_MAX: usize = 100;
/// Most places remembered to which links led that were made between two steps.
const LED_MAX: usize = 1000;

/// What happened since one last asked.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    /// Files that were written.
    pub(super) written: BTreeSet<PathBuf>,
    /// Files that were made.
    pub(super) appeared: BTreeSet<PathBuf>,
    /// Links that were made, and where they led then: they may lead elsewhere by the time of the scan.
    pub(super) led: BTreeSet<(PathBuf, PathBuf)>,
    /// Folders that were made.
    pub(super) folders: BTreeSet<PathBuf>,
    /// Names that came or went in another way.
    pub(super) names: Unsettled,
    /// Those of them that may be of folders which are not watched any more.
    pub(super) lost: Unsettled,
}

impl News {
    /// Takes in what the system tells, and where links led that were made; `false` if it changes
    /// nothing.
    pub(super) fn receive(
        &mut self,
        event: notify::Result<Event>,
        led: Vec<(PathBuf, PathBuf)>,
        globs: &Globs,
    ) -> bool {
        if self.led.len() < LED_MAX {
            self.led.extend(led);
        }
        match event {
            Ok(event) => self.add(event, globs),
            // Whatever was lost, a scan finds it.
            Err(_) => self.lose(),
        }
    }

    fn add(&mut self, event: Event, globs: &Globs) -> bool {
        match event.kind {
            EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Metadata(_))
            | EventKind::Access(AccessKind::Close(AccessMode::Write)) => {
                let before = self.written.len();
                self.written.extend(event.paths);
                if self.written.len() <= WRITTEN_MAX {
                    return self.written.len() > before;
                }
                self.written.clear();
                self.names.note_everywhere()
            }
            EventKind::Access(_) => false,
            EventKind::Create(CreateKind::File) => {
                let before = self.appeared.len();
                self.appeared.extend(event.paths.into_iter().filter(|path| globs.matches(path)));
                if self.appeared.len() <= APPEARED_MAX {
                    return self.appeared.len() > before;
                }
                self.appeared.clear();
                self.names.note_everywhere()
            }
            EventKind::Create(CreateKind::Folder) if self.folders.len() < FOLDERS_MAX => {
                let before = self.folders.len();
                self.folders.extend(event.paths);
                self.folders.len() > before
            }
            EventKind::Remove(RemoveKind::File) => {
                self.note_all(event.paths.into_iter().filter(|path| globs.matches(path)))
            }
            // Events were lost.
            _ if event.paths.is_empty() => self.lose(),
            // A folder came or went, or something was renamed.
            _ => {
                for path in &event.paths {
                    self.lost.note(path.clone());
                }
                self.note_all(event.paths.into_iter())
            }
        }
    }

    /// Whether any of these names is news.
    fn note_all(&mut self, paths: impl Iterator<Item = PathBuf>) -> bool {
        let mut is_news = false;
        for path in paths {
            is_news |= self.names.note(path);
        }
        is_news
    }

    fn lose(&mut self) -> bool {
        self.lost.note_everywhere();
        self.names.note_everywhere()
    }
}

/// Where links lead that an event says were made.
pub(super) fn led(event: &Event, globs: &Globs) -> Vec<(PathBuf, PathBuf)> {
    if !matches!(event.kind, EventKind::Create(_) | EventKind::Modify(ModifyKind::Name(_))) {
        return Vec::new();
    }
    let ours = event.paths.iter().filter(|path| globs.matches(path));
    ours.filter_map(|path| Some((path.clone(), foreign::led_by_link(path)?))).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use notify::event::{DataChange, RenameMode};

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
        assert!(news.names.is_empty(), "a new file is looked at by itself");
        let mut tell = |kind, path: &str| news.add(Event::new(kind).add_path(path.into()), &globs);
        assert!(tell(renamed, "/l/b.log.1"));
        assert!(!tell(renamed, "/l/b.log.1"), "known already that names changed");
        assert_eq!(news.written, BTreeSet::from(["/l/a.log".into()]));
        assert_eq!(news.appeared, BTreeSet::from(["/l/b.log".into()]));
        assert!(news.names.touches(Path::new("/l/b.log")));
        assert!(
            !news.names.touches(Path::new("/m/b.log")),
            "elsewhere everything stands as it stood"
        );
    }

    #[test]
    fn folders_that_came_or_went_and_lost_events_may_cost_watches() {
        let globs = Globs::new(&["/l/**/*.log".into()], &[]).unwrap();
        let mut news = News::default();
        let mut tell = |kind, path: &str| news.add(Event::new(kind).add_path(path.into()), &globs);
        assert!(tell(EventKind::Create(CreateKind::Folder), "/l/new"));
        assert!(!tell(EventKind::Create(CreateKind::Folder), "/l/new"), "known already");
        assert!(tell(EventKind::Remove(RemoveKind::Folder), "/l/a"));
        assert!(tell(EventKind::Remove(RemoveKind::Folder), "/l/b"));
        assert!(tell(EventKind::Remove(RemoveKind::File), "/l/c.log"));
        let is_lost = |news: &News, name: &str| news.lost.may_have_replaced(Path::new(name));
        assert!(is_lost(&news, "/l/a") && is_lost(&news, "/l/b/c") && !is_lost(&news, "/l"));
        assert!(!is_lost(&news, "/l/c.log") && !is_lost(&news, "/l/new"));
        assert_eq!(news.folders, BTreeSet::from(["/l/new".into()]), "it is looked at by itself");

        assert!(news.add(Event::new(EventKind::Other), &globs));
        assert!(!news.receive(Err(notify::Error::generic("lost")), Vec::new(), &globs));
        assert_eq!((&news.names, &news.lost), (&Unsettled::everywhere(), &Unsettled::everywhere()));
    }

    #[test]
    fn when_too_much_is_written_at_once_a_scan_looks_at_everything() {
        let globs = Globs::new(&["/l/*.log".into()], &[]).unwrap();
        let mut news = News::default();
        for number in 0..=WRITTEN_MAX {
            let written = EventKind::Modify(ModifyKind::Data(DataChange::Any));
            news.add(Event::new(written).add_path(format!("/l/{number}.log").into()), &globs);
        }
        assert!(
            news.names == Unsettled::everywhere()
                && news.lost.is_empty()
                && news.written.is_empty()
        );

        let mut news = News::default();
        for number in 0..=APPEARED_MAX {
            let made = EventKind::Create(CreateKind::File);
            news.add(Event::new(made).add_path(format!("/l/{number}.log").into()), &globs);
        }
        assert!(
            news.names == Unsettled::everywhere()
                && news.lost.is_empty()
                && news.appeared.is_empty()
        );
    }
}
