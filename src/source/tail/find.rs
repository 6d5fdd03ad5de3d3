//! Globs become the files that exist now, and the folders in which more may appear.
//!
//! Shell rules: `*`, `?` and `[…]` stay within one name and pass over hidden names, `**` stands for
//! any folders below (links to folders are not entered: they may lead round in a circle). Files
//! behind links are found, pipes and devices are not.

use std::path::{Component, Path, PathBuf};

use glob::{MatchOptions, Pattern};

use super::route::Route;
use super::search::{Found, FoundFile, Search};
use crate::base::disk::foreign::{self, ForeignId, ForeignKind};

/// Deepest folder that `**` enters; deeper ones are no place for logs.
const DEPTH_MAX: usize = 64;

const SHELL: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// What to follow and what not.
#[derive(Debug)]
pub(super) struct Globs {
    include: Vec<Include>,
    exclude: Vec<Pattern>,
    /// Only files that it leads to this stream.
    route: Option<(Route, String)>,
}

#[derive(Debug)]
struct Include {
    whole: Pattern,
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Literal(PathBuf),
    Any(Pattern),
    Deep,
}

impl Globs {
    /// In words, which glob is none and why.
    pub(super) fn new(include: &[String], exclude: &[String]) -> Result<Self, String> {
        let include = include.iter().map(|text| Include::new(text)).collect::<Result<_, _>>()?;
        let exclude = exclude.iter().map(|text| pattern(text)).collect::<Result<_, _>>()?;
        Ok(Self { include, exclude, route: None })
    }

    /// Of the files, only those that a route leads to `stream`.
    pub(super) fn along(mut self, route: Option<Route>, stream: &str) -> Self {
        self.route = route.map(|route| (route, stream.to_owned()));
        self
    }

    fn is_ours(&self, path: &Path) -> bool {
        self.route.as_ref().is_none_or(|(route, stream)| route.of(path) == Some(stream.as_str()))
    }

    /// Looks through the folders, each of which is entered first: if events of it are asked for then,
    /// whatever changes in it afterwards is told. Blocks.
    pub(super) fn find(&self, enter: &mut dyn FnMut(&Path, ForeignId)) -> Found {
        self.search(Search::new(None, enter))
    }

    /// The same of one folder alone, and what is in it.
    pub(super) fn find_in(&self, folder: &Path, enter: &mut dyn FnMut(&Path, ForeignId)) -> Found {
        self.search(Search::new(Some(folder), enter))
    }

    fn search(&self, mut search: Search<'_>) -> Found {
        for include in &self.include {
            self.walk(Path::new(""), &include.parts, 0, &mut search);
        }
        search.end()
    }

    /// Whether a path is one of those to follow, existing or not.
    pub(super) fn matches(&self, path: &Path) -> bool {
        let included = |include: &Include| matches(&include.whole, path);
        self.include.iter().any(included) && !self.excludes(path) && self.is_ours(path)
    }

    /// A pattern without a slash is about the name alone.
    pub(super) fn excludes(&self, path: &Path) -> bool {
        let name = Path::new(path.file_name().unwrap_or_default());
        self.exclude.iter().any(|pattern| {
            let subject = if pattern.as_str().contains('/') { path } else { name };
            matches(pattern, subject)
        })
    }

    fn walk(&self, at: &Path, parts: &[Part], depth: usize, search: &mut Search<'_>) {
        let may_be = depth < DEPTH_MAX && search.leads_by(at);
        let Some((part, rest)) = parts.split_first().filter(|_| may_be) else { return };
        match part {
            Part::Literal(name) if rest.is_empty() => {
                search.enter(at);
                self.take(at.join(name), ForeignKind::Link, search);
            }
            Part::Literal(name) => self.walk(&at.join(name), rest, depth + 1, search),
            Part::Any(pattern) => {
                for (path, kind) in search.list(at) {
                    let name = Path::new(path.file_name().unwrap_or_default());
                    if !matches(pattern, name) {
                        continue;
                    }
                    let may_be = |wanted| kind == wanted || kind == ForeignKind::Link;
                    if rest.is_empty() && may_be(ForeignKind::File) {
                        self.take(path, kind, search);
                    } else if !rest.is_empty() && may_be(ForeignKind::Folder) {
                        self.walk(&path, rest, depth + 1, search);
                    }
                }
            }
            Part::Deep => {
                self.walk(at, rest, depth + 1, search);
                for (path, kind) in search.list(at) {
                    if kind == ForeignKind::Folder && !is_hidden(&path) {
                        self.walk(&path, parts, depth + 1, search);
                    }
                }
            }
        }
    }

    /// Adds a regular file; `kind` says whether the name may be a link to it.
    fn take(&self, path: PathBuf, kind: ForeignKind, search: &mut Search<'_>) {
        if !search.wants(&path) || self.excludes(&path) || !self.is_ours(&path) {
            return;
        }
        match foreign::look(&path) {
            Ok(look) if look.kind == ForeignKind::File => {
                let may_lead = (kind != ForeignKind::File).then(|| foreign::resolve(&path).ok());
                let target = may_lead.flatten().filter(|target| *target != path);
                if let Some(folder) = target.as_deref().and_then(Path::parent) {
                    search.enter(folder);
                }
                search.add(path, FoundFile { look, target });
            }
            Ok(_) => {}
            Err(error) => search.complain(path, error),
        }
    }
}

impl Include {
    fn new(text: &str) -> Result<Self, String> {
        // `**` at the end stands for all files below.
        let text = if text.ends_with("**") { format!("{text}/*") } else { text.to_owned() };
        // Events come with absolute paths.
        let text = match std::path::absolute(&text) {
            Ok(path) => path.to_string_lossy().into_owned(),
            Err(error) => return Err(format!("`{text}` is no path: {error}")),
        };
        let whole = pattern(&text)?;
        let mut parts = Vec::new();
        for component in Path::new(&text).components() {
            let name = component.as_os_str().to_str().unwrap_or_default();
            match component {
                Component::Normal(_) if name == "**" => parts.push(Part::Deep),
                Component::Normal(_) if name.contains(['*', '?', '[']) => {
                    parts.push(Part::Any(pattern(name)?));
                }
                _ => match parts.last_mut() {
                    Some(Part::Literal(before)) => before.push(component),
                    _ => parts.push(Part::Literal(Path::new("").join(component))),
                },
            }
        }
        // The last name of a literal path stands alone: the folder above it is to be watched.
        if let Some(Part::Literal(path)) = parts.last()
            && let (Some(folder), Some(name)) = (path.parent(), path.file_name())
        {
            let (folder, name) = (folder.to_path_buf(), PathBuf::from(name));
            parts.pop();
            parts.extend([Part::Literal(folder), Part::Literal(name)]);
        }
        Ok(Self { whole, parts })
    }
}

fn pattern(text: &str) -> Result<Pattern, String> {
    Pattern::new(text).map_err(|error| {
        format!("`{text}` is not a glob: {} (character {})", error.msg, error.pos + 1)
    })
}

/// A name that is not UTF-8 is compared as it would be shown.
fn matches(pattern: &Pattern, path: &Path) -> bool {
    pattern.matches_with(&path.to_string_lossy(), SHELL)
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

#[cfg(test)]
mod tests {
    use super::super::tests::Scratch;
    use super::*;

    fn paths(found: Found) -> Vec<PathBuf> {
        found.files.into_iter().map(|(path, _)| path).collect()
    }

    #[track_caller]
    fn check(scratch: &Scratch, include: &[&str], exclude: &[&str], expected: &[&str]) {
        let include: Vec<_> = include.iter().map(|glob| scratch.text(glob)).collect();
        let exclude: Vec<_> = exclude.iter().map(|glob| (*glob).to_owned()).collect();
        let globs = Globs::new(&include, &exclude).unwrap();
        let found = globs.find(&mut |_, _| {});
        let expected: Vec<_> = expected.iter().map(|name| scratch.path(name)).collect();
        assert!(found.unreadable.is_empty());
        assert_eq!(paths(found), expected);
        assert!(expected.iter().all(|path| globs.matches(path)), "matches says the same");
    }

    #[test]
    fn globs_find_files_as_a_shell_does() {
        let scratch = Scratch::new();
        for name in ["a.log", "b.log", "b.txt", ".c.log", "n/x/d.log", "n/e.log", "n/.h/f.log"] {
            scratch.write(name, "");
        }
        check(&scratch, &["*.log"], &[], &["a.log", "b.log"]);
        check(&scratch, &["?.log", "b.*"], &[], &["a.log", "b.log", "b.txt"]);
        check(&scratch, &["[!a].log"], &[], &["b.log"]);
        check(&scratch, &[".*.log"], &[], &[".c.log"]);
        check(&scratch, &["**/*.log"], &[], &["a.log", "b.log", "n/e.log", "n/x/d.log"]);
        check(&scratch, &["n/**"], &[], &["n/e.log", "n/x/d.log"]);
        check(&scratch, &["*/*/*.log"], &[], &["n/x/d.log"]);
        check(&scratch, &["a.log", "missing/z.log"], &[], &["a.log"]);
        check(&scratch, &["**/*.log"], &["b*", "e.log"], &["a.log", "n/x/d.log"]);
        check(&scratch, &["**/*.log"], &["/**/n/**/*.log"], &["a.log", "b.log"]);
    }

    #[test]
    fn files_behind_links_are_found_and_pipes_and_folders_are_not() {
        let scratch = Scratch::new();
        scratch.write("real/a.txt", "x");
        scratch.write("dir.log/b.txt", "x");
        let link = |to: &str, at: &str| {
            std::os::unix::fs::symlink(scratch.path(to), scratch.path(at)).unwrap();
        };
        link("real/a.txt", "a.log");
        link("nowhere", "dangling.log");
        link("real", "real/circle");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, scratch.path("p.log"), fifo, mode, 0).unwrap();

        check(&scratch, &["*.log"], &[], &["a.log"]);
        check(&scratch, &["**/*.txt"], &[], &["dir.log/b.txt", "real/a.txt"]);
        let found = Globs::new(&[scratch.text("*.log")], &[]).unwrap().find(&mut |_, _| {});
        assert!(
            found.folders.contains_key(&scratch.path("real")),
            "the target's folder is watched"
        );
    }

    #[test]
    fn names_that_are_not_utf_8_are_found_and_relative_globs_become_absolute() {
        use std::os::unix::ffi::OsStrExt as _;

        let scratch = Scratch::new();
        let odd = std::ffi::OsStr::from_bytes(b"a\xff.log");
        std::fs::write(scratch.path("").join(odd), "").unwrap();
        let globs = Globs::new(&[scratch.text("*.log"), "src/lib.*".into()], &[]).unwrap();

        let found: Vec<_> = paths(globs.find(&mut |_, _| {}));

        assert_eq!(found.len(), 2);
        assert!(found.contains(&scratch.path("").join(odd)));
        assert!(found.iter().all(|path| path.is_absolute() && globs.matches(path)));
    }

    #[test]
    fn a_missing_folder_is_waited_for_where_it_would_appear() {
        let scratch = Scratch::new();
        let globs = Globs::new(&[scratch.text("later/on/*.log")], &[]).unwrap();
        let watched = || globs.find(&mut |_, _| {}).folders.into_keys().collect::<Vec<_>>();

        assert_eq!(watched(), [scratch.path("")]);
        scratch.write("later/on/a.log", "");
        assert_eq!(watched(), [scratch.path("later/on")]);
    }

    #[test]
    fn a_folder_is_entered_before_it_is_looked_through() {
        let scratch = Scratch::new();
        let globs = Globs::new(&[scratch.text("**/*.log")], &[]).unwrap();
        scratch.write("a/1.log", "");
        let mut entered = Vec::new();
        let found = globs.find(&mut |folder, _| {
            entered.push(folder.to_path_buf());
            // What is made from now on brings an event; what was made before is found.
            std::fs::write(folder.join("new.log"), "").unwrap();
        });
        assert_eq!(entered, [scratch.path(""), scratch.path("a")]);
        let names = ["a/1.log", "a/new.log", "new.log"].map(|name| scratch.path(name));
        assert_eq!(paths(found), names);
    }

    #[test]
    fn one_folder_is_looked_through_alone() {
        let scratch = Scratch::new();
        for name in ["a.log", "b/1.log", "b/1.txt", "b/c/2.log", "bb/3.log"] {
            scratch.write(name, "");
        }
        let look = |glob: &str, folder: &str| {
            let globs = Globs::new(&[scratch.text(glob)], &[]).unwrap();
            let mut entered = Vec::new();
            let found = globs.find_in(&scratch.path(folder), &mut |at, _| entered.push(at.into()));
            assert!(found.unreadable.is_empty());
            (entered, paths(found))
        };
        let all = |names: &[&str]| names.iter().map(|name| scratch.path(name)).collect::<Vec<_>>();

        let (entered, found) = look("**/*.log", "b");
        assert_eq!((entered, found), (all(&["", "b", "b/c"]), all(&["b/1.log", "b/c/2.log"])));
        assert_eq!(look("*/*.log", "b").1, all(&["b/1.log"]));
        assert_eq!(look("b/c/*.log", "b").1, all(&["b/c/2.log"]));
        assert_eq!(look("b/1.log", "b").1, all(&["b/1.log"]));
        assert_eq!(look("bb/*.log", "b").1, all(&[]));
        assert_eq!(look("*.log", "b").1, all(&[]));
    }

    #[test]
    fn a_missing_folder_that_comes_while_the_one_above_is_entered_is_found() {
        let scratch = Scratch::new();
        let globs = Globs::new(&[scratch.text("later/on/*.log")], &[]).unwrap();
        let mut entered = Vec::new();
        let found = globs.find(&mut |folder, _| {
            entered.push(folder.to_path_buf());
            scratch.write("later/on/a.log", "");
        });
        assert_eq!(entered, [scratch.path(""), scratch.path("later/on")]);
        assert_eq!(paths(found), [scratch.path("later/on/a.log")]);
    }

    #[test]
    fn what_is_no_glob_is_named_with_the_reason() {
        let wrong = Globs::new(&["/var/log/[.log".into()], &[]).unwrap_err();
        assert_eq!(wrong, "`/var/log/[.log` is not a glob: invalid range pattern (character 10)");
        assert!(Globs::new(&["/var/a**b".into()], &[]).is_err());
    }
}
