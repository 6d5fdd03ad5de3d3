//! The reference in three forms, made from the rows that the parser reads: `config/weir.toml` with
//! every setting commented out at its default, `docs/CONFIG.md`, and the page weir.toml(5).

mod manual;

pub use manual::manual;

use super::key::{Default, Key, Kind, Table};
use super::sections::TABLES;

/// Characters in a line of the commented file.
const WIDTH: usize = 96;

/// The text of `config/weir.toml`.
pub fn commented_file() -> String {
    let mut file = FILE_HEAD.to_owned();
    let mut explained: Vec<String> = Vec::new();
    for table in TABLES {
        file.push('\n');
        file.push_str(&ruler(table));
        file.push_str(&prose(table.effect));
        if !table.name.is_empty() {
            file.push_str(&format!("\n#{}\n", header(table)));
        }
        let mut is_repeating = false;
        for (name, key) in rows(table) {
            let title = format!("{} {name}", table.name);
            let was_repeating = is_repeating;
            is_repeating = explained.contains(&title) && key.name != "type";
            match (is_repeating, was_repeating) {
                (false, _) => file.push_str(&format!("\n{}", prose(&sentence(key)))),
                (true, false) => file.push_str("\n# As above:\n"),
                (true, true) => {}
            }
            file.push_str(&line(table, &name, key));
            explained.push(title);
        }
    }
    file
}

/// The text of `docs/CONFIG.md`.
pub fn page() -> String {
    let mut page = PAGE_HEAD.to_owned();
    for table in TABLES {
        page.push_str(&format!("\n## {}\n\n{}\n\n", heading(table), table.effect));
        page.push_str("| setting | value | default | what it does |\n|---|---|---|---|\n");
        for (name, key) in rows(table) {
            let (value, default) = (value(key), default(key));
            page.push_str(&format!("| `{name}` | {value} | {default} | {} |\n", key.effect));
        }
    }
    page
}

/// What may be written, in Markdown.
fn value(key: &Key) -> String {
    match key.range() {
        range if range.is_empty() => kind(key.kind).to_owned(),
        range if matches!(key.kind, Kind::Choice(_)) => range,
        range => format!("{}, {range}", kind(key.kind)),
    }
}

/// What holds when nothing is written, in Markdown.
fn default(key: &Key) -> String {
    match key.default {
        Default::Required(example) => format!("**required**; e.g. `{example}`"),
        Default::Otherwise { example, then } => format!("{then}; e.g. `{example}`"),
        _ => format!("`{}`", key.default_toml().unwrap_or_default()),
    }
}

/// The settings of a table under their full names; those below one name follow one by one.
pub(super) fn rows(table: &Table) -> Vec<(String, &'static Key)> {
    let mut rows = Vec::new();
    for key in table.keys() {
        match key.kind {
            Kind::Rows(below) => {
                rows.extend(below.iter().map(|row| (format!("{}.{}", key.name, row.name), row)));
            }
            _ => rows.push((key.name.to_owned(), key)),
        }
    }
    rows
}

fn header(table: &Table) -> String {
    match table.example {
        Some(example) => format!("[{}.{example}]", table.name),
        None => format!("[{}]", table.name),
    }
}

fn heading(table: &Table) -> String {
    let name = match table.example {
        _ if table.name.is_empty() => "Top of the file".to_owned(),
        Some(_) => format!("`[{}.NAME]`", table.name),
        None => format!("`[{}]`", table.name),
    };
    match table.variant {
        Some(variant) => format!("{name}, `type = \"{variant}\"`"),
        None => name,
    }
}

fn ruler(table: &Table) -> String {
    let title = heading(table).replace('`', "");
    let rest = WIDTH.saturating_sub(title.chars().count() + 6);
    format!("# ── {title} {}\n", "─".repeat(rest))
}

/// `#name = value`; the type is the one that the table is about.
fn line(table: &Table, name: &str, key: &Key) -> String {
    match table.variant.filter(|_| name == "type") {
        Some(variant) => format!("#{name} = \"{variant}\"\n"),
        None => format!("#{name} = {}\n", key.example_toml()),
    }
}

fn sentence(key: &Key) -> String {
    let mut sentence = key.effect.to_owned();
    if !key.range().is_empty() && key.name != "type" {
        // Ranges stay on one line.
        let range = key.range().replace('`', "").replace(' ', "\u{a0}");
        sentence.push_str(&format!(" ({range})"));
    }
    match key.default {
        Default::Required(_) => sentence.push_str(" Required."),
        Default::Otherwise { then, .. } => {
            sentence.push_str(&format!(" Example; without it: {then}."));
        }
        _ => {}
    }
    sentence
}

/// Wrapped, each line behind `# `.
fn prose(text: &str) -> String {
    let mut lines = String::new();
    let mut line = "#".to_owned();
    for word in text.replace('`', "").split(' ') {
        if line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push_str(&format!("{line}\n"));
            "#".clone_into(&mut line);
        }
        line.push_str(&format!(" {word}"));
    }
    lines.push_str(&format!("{line}\n"));
    lines.replace('\u{a0}', " ")
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Size => "size",
        Kind::Time => "time",
        Kind::Count => "number",
        Kind::Rate => "rate",
        Kind::ByteRate => "byte rate",
        Kind::Flag => "`true` or `false`",
        Kind::Choice(_) => "one of",
        Kind::Text => "text",
        Kind::Path => "path",
        Kind::Texts => "text, or list",
        Kind::Secret => "secret",
        Kind::Secrets => "secret, or list",
        Kind::NamedSecrets => "table of secrets",
        Kind::Rows(_) => "table",
    }
}

const FILE_HEAD: &str = r#"# weir.toml: every setting, commented out at its default.
#
# Lines that begin with `#` and a letter or bracket are settings: take the `#` away to set them. What
# stands in brackets behind a dot is a name of your choice; names tie the tables together. What is
# required, and what has no default, shows an example.
#
# `weir check --config FILE` checks a file as a whole and says what would run. docs/CONFIG.md tells
# how values are written; config/examples/ has complete files to begin with.
"#;

const PAGE_HEAD: &str = r#"# Configuration

<!-- Made from the rows in src/config/sections by `UPDATE=1 cargo test --lib config`; a test keeps it in step. -->

One TOML file, `weir.toml`. Every part is a named table, and names tie the tables together: a
`[tail.NAME]` feeds a stream, a `[stream.NAME]` leads to destinations, an `[http.NAME]` asks auth
blocks, an `[auth.NAME]` gives a plan. `weir check --config FILE` checks the file as a whole, shows
all faults at once with their places, and says what would run.

- **Sizes** are whole numbers with a unit: `"64 MiB"` (`B`, `KiB`, `MiB`, `GiB`, `TiB`, and decimal
  `kB`, `MB`, `GB`, `TB`). **Times** too: `"30 s"` (`ms`, `s`, `min`, `h`, `d`). **Rates** are
  `"500/s"` and `"2 MiB/s"`.
- **Environment**: any text may be `"${NAME}"` as a whole; the variable must be set then. Numbers,
  `true` and `false` may come from the environment in the same way.
- **Secrets** are best not in the file: `"${NAME}"`, `"file:PATH"` (the content of a file, without its
  final newline) or `"credential:NAME"` (handed over by systemd's `LoadCredential`). They are never
  printed.
- **Paths** that are relative begin at the folder of the configuration file, also in globs, `unix:`
  and `file:`.
- **Names** of tables have 1 to 64 of `A-Z`, `a-z`, `0-9`, `_`, `-` and `.`, and do not begin with `.`.
- **Unknown** keys and tables are faults. The file has at most 1 MiB.
"#;
