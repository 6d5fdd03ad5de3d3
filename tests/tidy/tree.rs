//! The files of the repository, and just enough of Rust's grammar to read them as text.

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::Path;

/// Every text file, sorted by path.
pub struct Tree {
    pub files: Vec<File>,
}

pub struct File {
    /// From the root, with `/`.
    pub path: String,
    pub text: String,
    /// The text with comments and literals blanked, but for the quotes around strings; as long as
    /// the text, so that offsets agree. Empty unless it is Rust.
    pub code: String,
    /// Whether only tests see it.
    pub is_test: bool,
}

impl Tree {
    /// Reads what lies below the root, but for what is made: `target` and git's own.
    pub fn read(root: &Path) -> Self {
        let mut found = Vec::new();
        collect(root, "", &mut found);
        Self::of(found)
    }

    /// A tree of these paths and texts.
    pub fn of(found: Vec<(String, String)>) -> Self {
        let mut files: Vec<File> = found.into_iter().map(File::new).collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let test_modules: BTreeSet<String> = files.iter().flat_map(File::test_modules).collect();
        for file in &mut files {
            file.is_test |= test_modules.iter().any(|module| {
                file.path == format!("{module}.rs") || file.path.starts_with(&format!("{module}/"))
            });
        }
        Self { files }
    }

    pub fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    pub fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.path.ends_with(".rs"))
    }

    /// The Rust files that belong to a room.
    pub fn rooms(&self) -> impl Iterator<Item = (&File, &str)> {
        self.rust().filter_map(|file| Some((file, file.room()?)))
    }
}

impl File {
    fn new((path, text): (String, String)) -> Self {
        let code = if path.ends_with(".rs") { blank(&text) } else { String::new() };
        let is_test =
            !path.starts_with("src/") || path.contains("/tests/") || path.ends_with("/tests.rs");
        Self { path, text, code, is_test }
    }

    /// `queue` of `src/queue/frame.rs`; `None` for `src/lib.rs`.
    pub fn room(&self) -> Option<&str> {
        self.path.strip_prefix("src/")?.split_once('/').map(|(room, _)| room)
    }

    /// `path:line`, for a finding.
    pub fn at(&self, offset: usize) -> String {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        format!("{}:{}", self.path, before.matches('\n').count() + 1)
    }

    /// The code that is compiled into the product: items under `#[cfg(test)]` are blanked.
    pub fn production(&self) -> String {
        if self.is_test {
            return String::new();
        }
        let mut code = self.code.clone();
        for item in self.test_items() {
            let blanks = spaces(code.get(item.clone()).unwrap_or_default());
            code.replace_range(item, &blanks);
        }
        code
    }

    /// How many lines are not under `#[cfg(test)]`.
    pub fn production_lines(&self) -> usize {
        let lines = |text: &str| text.matches('\n').count();
        let test_lines: usize = self
            .test_items()
            .into_iter()
            .map(|item| lines(self.code.get(item).unwrap_or_default()) + 1)
            .sum();
        if self.is_test { 0 } else { lines(&self.text).saturating_sub(test_lines) }
    }

    /// Where the items under `#[cfg(test)]` stand, attribute included.
    fn test_items(&self) -> Vec<Range<usize>> {
        const ATTRIBUTE: &str = "#[cfg(test)]";
        let mut items: Vec<Range<usize>> = Vec::new();
        for (start, _) in self.code.match_indices(ATTRIBUTE) {
            if items.last().is_some_and(|last| last.contains(&start)) {
                continue;
            }
            let body = start + ATTRIBUTE.len();
            let rest = self.code.get(body..).unwrap_or_default();
            items.push(start..body + item_length(rest));
        }
        items
    }

    /// `src/queue/model` for `#[cfg(test)] mod model;` in `src/queue/mod.rs`.
    fn test_modules(&self) -> Vec<String> {
        let (folder, name) = self.path.rsplit_once('/').unwrap_or_default();
        let stem = name.trim_end_matches(".rs");
        let inside = match stem {
            "mod" | "lib" | "main" => folder.to_owned(),
            _ => format!("{folder}/{stem}"),
        };
        let items = self.test_items().into_iter().filter_map(|item| self.code.get(item));
        items
            .filter_map(|item| item.trim_end().strip_suffix(';')?.rsplit_once("mod "))
            .map(|(_, module)| format!("{inside}/{}", module.trim()))
            .collect()
    }

    /// The first names of paths that begin with `root`, such as `crate::`, in `code`, which is this
    /// file's or a blanked part of it: of `crate::{base, queue::Writer}` those are `base` and
    /// `queue`. A glob or the root itself gives an empty name.
    pub fn first_names(code: &str, root: &str) -> Vec<(usize, String)> {
        let mut names = Vec::new();
        for (start, _) in code.match_indices(root) {
            let before = code.get(..start).unwrap_or_default();
            if before.ends_with(|c: char| is_word(c) || c == ':') {
                continue;
            }
            let rest = code.get(start + root.len()..).unwrap_or_default();
            match rest.trim_start().strip_prefix('{') {
                None => names.push((start, word(rest))),
                Some(group) => {
                    names.extend(group_names(group).into_iter().map(|name| (start, name)));
                }
            }
        }
        names
    }
}

/// How far the first item goes: to its `;`, or to the end of its braces.
fn item_length(code: &str) -> usize {
    let mut depth = 0_u32;
    for (offset, c) in code.char_indices() {
        match c {
            '{' | '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            '}' if depth <= 1 => return offset + 1,
            '}' => depth -= 1,
            ';' if depth == 0 => return offset + 1,
            _ => {}
        }
    }
    code.len()
}

/// The first names of a group whose `{` was passed.
fn group_names(group: &str) -> Vec<String> {
    let mut names = Vec::new();
    let (mut depth, mut begins) = (0_u32, true);
    for (offset, c) in group.char_indices() {
        match c {
            '}' if depth == 0 => break,
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => begins = true,
            _ if c.is_whitespace() => {}
            _ if begins => {
                names.push(word(group.get(offset..).unwrap_or_default()));
                begins = false;
            }
            _ => {}
        }
    }
    names
}

/// The identifier at the start.
fn word(text: &str) -> String {
    let name: String = text.trim_start().chars().take_while(|c| is_word(*c)).collect();
    if name == "self" { String::new() } else { name }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn spaces(text: &str) -> String {
    text.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect()
}

/// Replaces comments, strings and characters by spaces, byte for byte, and keeps the lines and the
/// quotes around strings.
pub fn blank(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = literal_length(rest, code.ends_with(is_word));
        let taken = if length == 0 { c.len_utf8() } else { length };
        let (part, after) = rest.split_at(taken);
        code.push_str(&if length == 0 { part.to_owned() } else { blank_literal(part) });
        rest = after;
    }
    code
}

fn blank_literal(literal: &str) -> String {
    let mut blanks = spaces(literal);
    if !literal.starts_with(['/', '\'']) {
        for quote in [literal.find('"'), literal.rfind('"')].into_iter().flatten() {
            blanks.replace_range(quote..=quote, "\"");
        }
    }
    blanks
}

/// How long the comment or literal at the start is; 0 if there is none.
fn literal_length(rest: &str, in_word: bool) -> usize {
    let to = |end: Option<usize>| end.unwrap_or(rest.len());
    if rest.starts_with("//") {
        return to(rest.find('\n'));
    }
    if rest.starts_with("/*") {
        return block_comment(rest);
    }
    if rest.starts_with('"') {
        return quoted(rest, '"');
    }
    if rest.starts_with('\'') {
        let mut after = rest.chars().skip(1);
        let (first, second) = (after.next(), after.next());
        let is_char = first == Some('\\') || second == Some('\'');
        return if is_char { quoted(rest, '\'') } else { 0 };
    }
    // A `b` or `c` before the `r` was passed as a word of one letter.
    let raw = rest.strip_prefix('r').filter(|_| !in_word).or_else(|| {
        ["br", "cr"].iter().find_map(|prefix| rest.strip_prefix(*prefix)).filter(|_| !in_word)
    });
    let Some(raw) = raw else { return 0 };
    let hashes = raw.len() - raw.trim_start_matches('#').len();
    if !raw.trim_start_matches('#').starts_with('"') {
        return 0;
    }
    let closing = format!("\"{}", "#".repeat(hashes));
    let opening = rest.len() - raw.len() + hashes + 1;
    let body = rest.get(opening..).unwrap_or_default();
    to(body.find(&closing).map(|end| opening + end + closing.len()))
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (offset, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return offset + 1,
            _ => {}
        }
    }
    rest.len()
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_u32, 0);
    while let Some(here) = rest.get(at..).filter(|here| !here.is_empty()) {
        let step = if here.starts_with("/*") {
            depth += 1;
            2
        } else if here.starts_with("*/") {
            depth -= 1;
            2
        } else {
            here.chars().next().map_or(1, char::len_utf8)
        };
        at += step;
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn collect(root: &Path, below: &str, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(root.join(below)).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
        // Git's own is a folder, or in a linked checkout a file that names one.
        if name == ".git" {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            if name != "target" {
                collect(root, &path, found);
            }
        } else if let Ok(text) = fs::read_to_string(entry.path()) {
            found.push((path, text));
        }
    }
}

/// A tree for the tests of a rule.
pub fn small_tree(files: &[(&str, &str)]) -> Tree {
    Tree::of(files.iter().map(|(path, text)| ((*path).into(), (*text).into())).collect())
}

#[test]
fn comments_and_literals_are_blanked_and_nothing_else() {
    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(blank(text), expected);
        assert_eq!(blank(text).len(), text.len());
    }

    check("a // b\nc", "a     \nc");
    check("a /* b /* c */ d */ e", "a                   e");
    check(r#"f("a\"b", c)"#, "f(\"    \", c)");
    check("f(r#\"a\"b\"#, c)", "f(  \"   \" , c)");
    check("f(br\"a\", b\"c\")", "f(  \" \", b\" \")");
    check("for 'a' in x: &'a str", "for     in x: &'a str");
    check("'\\'' + '\"' + 'ß' + x", "     +     +      + x");
    check("tar\"a\"", "tar\" \"");
}

#[test]
fn what_stands_under_cfg_test_is_no_production() {
    let file = File::new((
        "src/queue/mod.rs".into(),
        "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n#[cfg(test)]\nmod model;\n\
         fn c() {}\n"
            .into(),
    ));

    assert_eq!(file.production_lines(), 2);
    assert!(!file.production().contains("fn b"));
    assert!(file.production().contains("fn c"));
    assert_eq!(file.test_modules(), ["src/queue/model"]);
}

#[test]
fn paths_are_found_alone_and_in_groups() {
    let names = |code: &str| {
        File::first_names(code, "crate::").into_iter().map(|(_, name)| name).collect::<Vec<_>>()
    };

    assert_eq!(names("use crate::base::clock::Clock;"), ["base"]);
    assert_eq!(
        names("use crate::{\n  admin, queue::{Group, Mark},\n sink as s };"),
        ["admin", "queue", "sink"]
    );
    assert_eq!(names("use crate::*; use crate::{self};"), ["", ""]);
    assert_eq!(names("mycrate::x crate_x"), [""; 0]);
}
