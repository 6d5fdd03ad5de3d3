//! The file as written: from a place in it to line, column and an excerpt that can be shown.

use std::ops::Range;

/// Bytes from … to … of the file.
pub(super) type Place = Range<usize>;

/// Characters of a long line that are shown before and behind the place.
const BEFORE_MAX: usize = 60;
const BEHIND_MAX: usize = 90;

/// What stands for a secret.
const STARS: &str = "***";

/// The text of the file, and what of it is never shown.
#[derive(Debug)]
pub(super) struct Written<'t> {
    text: &'t str,
    /// Where each line begins.
    lines: Vec<usize>,
    masks: Vec<Place>,
}

/// A line of the file with the part that matters; counted in characters as shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Excerpt {
    /// From 1.
    pub(super) line: usize,
    /// From 1, in characters; a tab is one.
    pub(super) column: usize,
    pub(super) shown: String,
    pub(super) indent: usize,
    pub(super) width: usize,
}

impl<'t> Written<'t> {
    pub(super) fn new(text: &'t str, masks: Vec<Place>) -> Self {
        let behind_newlines = text.match_indices('\n').map(|(at, _)| at + 1);
        Self { text, lines: std::iter::once(0).chain(behind_newlines).collect(), masks }
    }

    /// The excerpt around a place, which may be empty, or span lines: then its first line counts.
    pub(super) fn excerpt(&self, place: &Place) -> Excerpt {
        let start = self.boundary(place.start);
        let line = self.lines.partition_point(|from| *from <= start).max(1);
        let from = self.lines.get(line - 1).copied().unwrap_or(0);
        let rest = self.text.get(from..).unwrap_or_default();
        let whole = rest.split('\n').next().unwrap_or_default().trim_end_matches('\r');
        let before = self.text.get(from..start).unwrap_or_default();
        let column = before.chars().count() + 1;

        let is_long = whole.chars().nth(BEFORE_MAX + BEHIND_MAX).is_some();
        let skipped = if is_long { column.saturating_sub(BEFORE_MAX + 1) } else { 0 };
        let left: usize = whole.chars().take(skipped).map(char::len_utf8).sum();
        let mut excerpt = Excerpt { line, column, ..Excerpt::default() };
        if skipped > 0 {
            excerpt.shown.push('…');
        }
        self.draw(
            &mut excerpt,
            whole.get(left..).unwrap_or_default(),
            from + left,
            &(start..place.end),
        );
        excerpt
    }

    /// Puts the rest of a line, which begins at byte `from` of the file, into the excerpt.
    fn draw(&self, excerpt: &mut Excerpt, rest: &str, from: usize, place: &Place) {
        let mut shown = excerpt.shown.chars().count();
        let (mut indent, mut end) = (None, None);
        let mut masked_by = None;
        for (count, (at, c)) in rest.char_indices().enumerate() {
            let at = from + at;
            let mask = self.masks.iter().find(|mask| mask.contains(&at));
            let is_masked = mask.is_some() && mask == masked_by;
            if at >= place.start && indent.is_none() {
                // Within a secret the carets stand below its stars.
                indent = Some(if is_masked { shown.saturating_sub(STARS.len()) } else { shown });
            }
            if at >= place.end && end.is_none() {
                end = Some(shown);
            }
            if count >= BEFORE_MAX + BEHIND_MAX {
                excerpt.shown.push('…');
                break;
            }
            if is_masked {
                continue;
            }
            masked_by = mask;
            let before = excerpt.shown.len();
            match c {
                _ if mask.is_some() => excerpt.shown.push_str(STARS),
                '\t' => excerpt.shown.push_str("    "),
                c if c.is_control() => excerpt.shown.push('\u{fffd}'),
                c => excerpt.shown.push(c),
            }
            shown += excerpt.shown.get(before..).unwrap_or_default().chars().count();
        }
        excerpt.indent = indent.unwrap_or(shown);
        excerpt.width = end.unwrap_or(shown).saturating_sub(excerpt.indent).max(1);
    }

    fn boundary(&self, at: usize) -> usize {
        let at = at.min(self.text.len());
        (0..=at).rev().find(|at| self.text.is_char_boundary(*at)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, place: Place, line_column: (usize, usize), picture: &str) {
        let excerpt = Written::new(text, Vec::new()).excerpt(&place);
        let carets = " ".repeat(excerpt.indent) + &"^".repeat(excerpt.width);
        assert_eq!((excerpt.line, excerpt.column), line_column);
        assert_eq!(format!("{}\n{carets}", excerpt.shown), picture);
    }

    #[test]
    fn columns_count_characters_and_tabs_are_drawn_as_four_spaces() {
        check("a = 1\nb = 2\n", 6..7, (2, 1), "b = 2\n^");
        check("köln = ü1", 8..11, (1, 8), "köln = ü1\n       ^^");
        check("\tb = 2", 1..2, (1, 2), "    b = 2\n    ^");
        check("a = \"\u{1b}[31m\"", 4..6, (1, 5), "a = \"\u{fffd}[31m\"\n    ^^");
        check("a = 1\r\nb", 4..20, (1, 5), "a = 1\n    ^");
    }

    #[test]
    fn places_at_and_beyond_the_end_are_drawn_behind_the_last_character() {
        check("", 0..0, (1, 1), "\n^");
        check("a =", 3..3, (1, 4), "a =\n   ^");
        check("a =", 99..100, (1, 4), "a =\n   ^");
        check("a\n", 2..2, (2, 1), "\n^");
        check("ü", 1..2, (1, 1), "ü\n^");
    }

    #[test]
    fn of_a_long_line_only_what_is_around_the_place_is_shown() {
        let text = format!("a = \"{}\" x {}", "1".repeat(500), "2".repeat(500));

        let excerpt = Written::new(&text, Vec::new()).excerpt(&(507..508));

        assert_eq!((excerpt.line, excerpt.column), (1, 508));
        assert_eq!(excerpt.shown, format!("…{}\" x {}…", "1".repeat(58), "2".repeat(88)));
        assert_eq!((excerpt.indent, excerpt.width), (61, 1));
    }

    #[test]
    fn a_secret_is_shown_as_three_stars_also_where_the_finding_is_about_it() {
        let text = "key = \"hush\" x";
        let written = Written::new(text, vec![6..12, 90..99]);

        for place in [6..12, 8..10] {
            let excerpt = written.excerpt(&place);
            assert_eq!(excerpt.shown, "key = *** x");
            assert_eq!((excerpt.indent, excerpt.width), (6, 3));
        }
    }
}
