//! The page weir.toml(5), in the language of man pages.

use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

use super::{PAGE_HEAD, TABLES, default, heading, rows, value};

/// The text of weir.toml(5).
pub fn manual() -> String {
    let mut page = Roff::new();
    let version = concat!("weir ", env!("CARGO_PKG_VERSION"));
    page.control("TH", ["weir.toml", "5", "", version, ""]);
    page.control("SH", ["NAME"]).text([roman("weir.toml - configuration of the agent weir")]);
    page.control("SH", ["DESCRIPTION"]);
    // What stands above the first blank line but one are the title and a note to who edits the page.
    for paragraph in PAGE_HEAD.split("\n\n").skip(2) {
        match paragraph.strip_prefix("- ") {
            None => _ = page.control("PP", []).text(inlines(paragraph)),
            Some(points) => {
                for point in points.split("\n- ") {
                    page.control("IP", ["\\(bu", "2"]).text(inlines(point));
                }
            }
        }
    }
    for table in TABLES {
        page.control("SH", [heading(table).replace('`', "").as_str()]).text(inlines(table.effect));
        for (name, key) in rows(table) {
            let mut term = vec![bold(name), roman(" ("), italic(plain(&value(key))), roman(")")];
            term.push(roman(format!(", {}", plain(&default(key)))));
            page.control("TP", []).text(term).text(inlines(key.effect));
        }
    }
    page.control("SH", ["FILES"]).text([bold("/etc/weir/weir.toml")]);
    page.control("SH", ["SEE ALSO"]).text([bold("weir"), roman("(1), "), bold("weir-check")]);
    page.text([roman("(1)")]);
    page.render()
}

/// What Markdown marks as code or strong is bold.
fn inlines(markdown: &str) -> Vec<Inline> {
    let text = markdown.replace("**", "`").split_whitespace().collect::<Vec<_>>().join(" ");
    let parts = text.split('`').enumerate().filter(|(_, part)| !part.is_empty());
    parts.map(|(at, part)| if at % 2 == 1 { bold(part) } else { roman(part) }).collect()
}

fn plain(markdown: &str) -> String {
    markdown.replace(['`', '*'], "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_setting_and_no_markdown() {
        let page = manual();

        for table in TABLES {
            for (name, _) in rows(table) {
                let term = format!(".TP\n\\fB{}\\fR (", name.replace('-', "\\-"));
                assert!(page.contains(&term), "`{name}` of `{}` is missing", table.name);
            }
        }
        assert!(!page.contains('`') && !page.contains("**"), "{page}");
    }
}
