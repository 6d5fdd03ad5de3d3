//! Sizes, names and marks: what can be seen in one file.

use super::tree::{File, Tree};

const LINES_MAX: usize = 400;

/// Say nothing about what is inside.
const EMPTY_WORDS: [&str; 12] = [
    "util",
    "utils",
    "common",
    "helper",
    "helpers",
    "misc",
    "manager",
    "managers",
    "processor",
    "processors",
    "handler",
    "handlers",
];

pub fn files_are_short(tree: &Tree) -> Vec<String> {
    let long = tree.rust().filter(|file| file.production_lines() > LINES_MAX);
    long.map(|file| {
        format!(
            "{}:{LINES_MAX}: {} lines before the tests; split it where two thoughts meet",
            file.path,
            file.production_lines()
        )
    })
    .collect()
}

pub fn names_are_ours(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for file in tree.rust() {
        let name = file.path.trim_end_matches(".rs");
        let parts = name.split('/').flat_map(|part| part.split('_'));
        findings.extend(parts.filter(|part| EMPTY_WORDS.contains(part)).map(|part| {
            format!("{}:1: `{part}` in a file name says nothing; name what is inside", file.path)
        }));
        for (offset, name) in type_names(&file.code) {
            let words = words_of(&name);
            if let Some(word) = words.iter().find(|word| EMPTY_WORDS.contains(&word.as_str())) {
                findings.push(format!(
                    "{}: `{word}` in `{name}` says nothing; name what it is",
                    file.at(offset)
                ));
            }
        }
    }
    findings
}

/// The names of types that are defined here.
fn type_names(code: &str) -> Vec<(usize, String)> {
    let mut names = Vec::new();
    for keyword in ["struct ", "enum ", "trait ", "type ", "union "] {
        for (start, _) in code.match_indices(keyword) {
            let rest = code.get(start + keyword.len()..).unwrap_or_default();
            let name: String =
                rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            names.push((start, name));
        }
    }
    names
}

/// `ShardMapper` is `shard` and `mapper`.
fn words_of(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for c in name.chars() {
        match words.last_mut() {
            Some(word) if !c.is_uppercase() => word.push(c),
            _ => words.push(c.to_lowercase().collect()),
        }
    }
    words
}

pub fn nothing_is_half_done(tree: &Tree) -> Vec<String> {
    const MARKS: [(&str, &str); 5] = [
        ("todo!", "write it"),
        ("unimplemented!", "write it"),
        ("dbg!", "take it out"),
        ("#[ignore", "make it run, or take it out"),
        ("#[should_panic", "assert what is returned, or move the check into a type"),
    ];
    let mut findings = Vec::new();
    for file in tree.rust() {
        for (mark, instead) in MARKS {
            findings.extend(
                found(file, &file.code, mark).map(|at| format!("{at}: `{mark}`; {instead}")),
            );
        }
    }
    let note = concat!("FIX", "ME");
    for file in &tree.files {
        findings.extend(
            found(file, &file.text, note)
                .map(|at| format!("{at}: `{note}`; do it, or open an issue")),
        );
    }
    findings
}

pub fn disk_is_behind_its_door(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for (file, _) in tree.rooms().filter(|(_, room)| *room != "base") {
        let code = file.production();
        for root in ["std::", "tokio::"] {
            let names = File::first_names(&code, root).into_iter();
            findings.extend(names.filter(|(_, name)| name == "fs").map(|(offset, _)| {
                format!("{}: `{root}fs`; go through `base::disk::Disk`", file.at(offset))
            }));
        }
    }
    findings
}

/// Absolute paths of a workplace, and hosts of registries that a clone must not depend on.
pub fn no_machine_is_named(tree: &Tree) -> Vec<String> {
    let paths = [concat!("/wo", "rk"), concat!("/ro", "ot"), concat!("/ho", "me")];
    let hosts = [
        concat!("index.", "crates.io"),
        concat!("static.", "crates.io"),
        concat!("files.", "pythonhosted.org"),
        concat!("pypi.org", "/simple"),
        concat!("registry.", "npmjs.org"),
        concat!("arti", "factory"),
        concat!("index", "-url"),
        concat!("find", "-links"),
    ];
    let mut findings = Vec::new();
    for file in &tree.files {
        for path in paths {
            for (start, _) in file.text.match_indices(path) {
                if stands_alone(&file.text, start, start + path.len()) {
                    findings.push(format!(
                        "{}: `{path}` is a path of one machine; ask the environment, or take a \
                         folder of the system",
                        file.at(start)
                    ));
                }
            }
        }
        for host in hosts {
            findings.extend(found(file, &file.text, host).map(|at| {
                format!("{at}: `{host}` names a registry; leave that to the tool's own settings")
            }));
        }
    }
    let lock = tree.file("Cargo.lock").into_iter();
    findings.extend(lock.flat_map(|lock| {
        let sources = lock.text.match_indices("\nsource = ").filter(|(start, _)| {
            let rest = lock.text.get(start + 1..).unwrap_or_default();
            !rest.starts_with("source = \"registry+https://github.com/rust-lang/crates.io-index\"")
        });
        sources.map(|(start, _)| {
            format!(
                "{}: a crate from elsewhere than crates.io; take a published one",
                lock.at(start + 1)
            )
        })
    }));
    findings
}

/// Whether a path that begins and ends here is a whole first component: `/etc` in `"/etc/x"`, but
/// not in `/etcetera` or `a/etc`.
fn stands_alone(text: &str, start: usize, end: usize) -> bool {
    let before = text.get(..start).and_then(|before| before.chars().next_back());
    let after = text.get(end..).and_then(|after| after.chars().next());
    let goes_on = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    !before.is_some_and(|c| goes_on(c) || matches!(c, '}' | ')' | '/' | '*'))
        && !after.is_some_and(|c| goes_on(c) && c != '.')
}

fn found<'a>(file: &'a File, text: &'a str, mark: &'a str) -> impl Iterator<Item = String> + 'a {
    text.match_indices(mark).map(|(offset, _)| file.at(offset))
}

#[cfg(test)]
mod on_small_trees {
    use super::super::tree::small_tree;
    use super::*;

    #[track_caller]
    fn check(rule: fn(&Tree) -> Vec<String>, path: &str, text: &str, expected: &[&str]) {
        let findings = rule(&small_tree(&[(path, text)]));
        let places: Vec<&str> =
            findings.iter().map(|finding| finding.split(';').next().unwrap()).collect();
        assert_eq!(places, expected);
    }

    #[test]
    fn a_long_file_is_found_and_its_tests_are_free() {
        let at_the_limit = "\n".repeat(LINES_MAX);
        let with_tests = format!("{at_the_limit}#[cfg(test)]\nmod tests {{\n\n}}\n");
        let beyond = "\n".repeat(LINES_MAX + 1);

        check(files_are_short, "src/queue/a.rs", &at_the_limit, &[]);
        check(files_are_short, "src/queue/a.rs", &with_tests, &[]);
        check(
            files_are_short,
            "src/queue/a.rs",
            &beyond,
            &["src/queue/a.rs:400: 401 lines before the tests"],
        );
    }

    #[test]
    fn empty_words_are_found_in_names_of_files_and_types() {
        check(
            names_are_ours,
            "src/queue/frame_utils.rs",
            "",
            &["src/queue/frame_utils.rs:1: `utils` in a file name says nothing"],
        );
        check(
            names_are_ours,
            "tests/common/mod.rs",
            "",
            &["tests/common/mod.rs:1: `common` in a file name says nothing"],
        );
        check(
            names_are_ours,
            "src/queue/a.rs",
            "\npub struct QueueManager {}",
            &["src/queue/a.rs:2: `manager` in `QueueManager` says nothing"],
        );
        check(names_are_ours, "src/queue/a.rs", "struct Managerial; // struct Helper", &[]);
    }

    #[test]
    fn marks_of_half_done_work_are_found() {
        check(nothing_is_half_done, "src/a/b.rs", "fn a() { todo!() }", &["src/a/b.rs:1: `todo!`"]);
        check(
            nothing_is_half_done,
            "tests/b.rs",
            "#[ignore = \"slow\"]",
            &["tests/b.rs:1: `#[ignore`"],
        );
        check(
            nothing_is_half_done,
            "docs/A.md",
            concat!("\nFIX", "ME later"),
            &[concat!("docs/A.md:2: `FIX", "ME`")],
        );
        check(nothing_is_half_done, "src/a/b.rs", "const A: &str = \"todo!\";", &[]);
    }

    #[test]
    fn the_disk_is_found_however_it_is_imported() {
        let rule = disk_is_behind_its_door;
        check(rule, "src/queue/a.rs", "use std::fs::File;", &["src/queue/a.rs:1: `std::fs`"]);
        check(rule, "src/queue/a.rs", "use std::{fs, io};", &["src/queue/a.rs:1: `std::fs`"]);
        check(
            rule,
            "src/queue/a.rs",
            "async { tokio::fs::read(x) }",
            &["src/queue/a.rs:1: `tokio::fs`"],
        );
        check(rule, "src/queue/a.rs", "use std::os::unix::fs::X;", &[]);
        check(rule, "src/base/a.rs", "use std::fs::File;", &[]);
        check(rule, "src/queue/a.rs", "#[cfg(test)]\nmod tests { use std::fs; }", &[]);
    }

    #[test]
    fn machines_and_registries_are_found() {
        let rule = no_machine_is_named;
        let (path, host) = (concat!("/ro", "ot"), concat!("index.", "crates.io"));
        check(
            rule,
            "docs/A.md",
            &format!("see `{path}/x`"),
            &[&format!("docs/A.md:1: `{path}` is a path of one machine")],
        );
        check(rule, "docs/A.md", &format!("see {path}s, a{path}, and {path}-x"), &[]);
        check(
            rule,
            "docs/A.md",
            &format!("\nhttps://{host}/a"),
            &[&format!("docs/A.md:2: `{host}` names a registry")],
        );
        check(
            rule,
            "Cargo.lock",
            "\nsource = \"git+https://example.com/a\"\n",
            &["Cargo.lock:2: a crate from elsewhere than crates.io"],
        );
    }
}
