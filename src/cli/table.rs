//! Rows of text in columns: words to the left, numbers to the right.

/// Lays rows out under a head; columns whose cells are all numbers or dashes stand to the right.
pub(super) fn lay_out(head: &[&str], rows: &[Vec<String>]) -> String {
    let columns: Vec<Column> = (0..head.len()).map(|index| Column::of(index, head, rows)).collect();
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
    let lines = std::iter::once(&head).chain(rows).map(|row| {
        let cells: Vec<String> =
            row.iter().zip(&columns).map(|(cell, column)| column.pad(cell)).collect();
        cells.join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

struct Column {
    width: usize,
    right: bool,
}

impl Column {
    fn of(index: usize, head: &[&str], rows: &[Vec<String>]) -> Self {
        let cells = || rows.iter().filter_map(|row| row.get(index));
        let widest = cells().map(|cell| cell.chars().count()).max().unwrap_or(0);
        let title = head.get(index).map_or(0, |title| title.chars().count());
        let numeric = |cell: &String| cell.chars().all(|c| c.is_ascii_digit() || " -.".contains(c));
        Self { width: widest.max(title), right: cells().all(numeric) }
    }

    fn pad(&self, cell: &str) -> String {
        let room = " ".repeat(self.width.saturating_sub(cell.chars().count()));
        if self.right { format!("{room}{cell}") } else { format!("{cell}{room}") }
    }
}

/// `18 204`: digits in groups of three.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

/// `1 record is`, `18 204 records are`.
pub(super) fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// `42 s`, `3 min`, `2 h`, `5 d`: one unit, rounded down.
pub(super) fn age(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_to_the_right_and_words_to_the_left() {
        let rows = [vec!["a".into(), "1 204".into()], vec!["long".into(), "-".into()]];

        assert_eq!(lay_out(&["NAME", "COUNT"], &rows), "NAME  COUNT\na     1 204\nlong      -");
    }

    #[test]
    fn counts_are_grouped_and_ages_have_one_unit() {
        assert_eq!(["0", "999", "1 000", "18 204", "1 000 000"], [0, 999, 1_000, 18_204, 1_000_000].map(count).each_ref().map(String::as_str));
        assert_eq!(["0 s", "119 s", "2 min", "2 h", "2 d"], [0, 119, 120, 7_200, 172_800].map(age).each_ref().map(String::as_str));
    }
}
