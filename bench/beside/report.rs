//! Figures as tables of Markdown and as bars in SVG.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// One figure of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) digits: usize,
}

/// What was measured in one work: for each system its runs.
pub(crate) struct Table {
    title: String,
    columns: &'static [Column],
    rows: Vec<(String, Vec<Vec<f64>>)>,
    notes: Vec<String>,
}

/// All works so far.
#[derive(Default)]
pub(crate) struct Report {
    text: String,
    charts: Vec<(String, String)>,
}

impl Table {
    pub(crate) fn new(title: &str, columns: &'static [Column]) -> Self {
        Self { title: title.to_owned(), columns, rows: Vec::new(), notes: Vec::new() }
    }

    /// One more run of this row; `NAN` where there is nothing to say.
    pub(crate) fn add(&mut self, row: &str, figures: &[f64]) {
        let row = match self.rows.iter().position(|(name, _)| name == row) {
            Some(place) => &mut self.rows[place],
            None => {
                self.rows.push((row.to_owned(), Vec::new()));
                self.rows.last_mut().expect("it was pushed")
            }
        };
        row.1.push(figures.to_vec());
    }

    pub(crate) fn note(&mut self, words: String) {
        self.notes.push(words);
    }

    /// The median, and how far the runs lie apart.
    fn cell(runs: &[Vec<f64>], place: usize, digits: usize) -> String {
        let mut values: Vec<f64> = runs.iter().map(|run| run[place]).collect();
        values.sort_by(f64::total_cmp);
        let median = values[values.len() / 2];
        let shown = |value: f64| {
            if value.is_nan() { "–".to_owned() } else { format!("{value:.digits$}") }
        };
        let (least, most) = (shown(values[0]), shown(values[values.len() - 1]));
        if least == most {
            return least;
        }
        format!("{} ({least} to {most})", shown(median))
    }

    fn markdown(&self) -> String {
        let mut text = format!("### {}\n\n|", self.title);
        for name in std::iter::once("").chain(self.columns.iter().map(|column| column.name)) {
            text += &format!(" {name} |");
        }
        text += "\n|";
        text += &"---|".repeat(self.columns.len() + 1);
        for (name, runs) in &self.rows {
            text += &format!("\n| {name} |");
            for (place, column) in self.columns.iter().enumerate() {
                text += &format!(" {} |", Self::cell(runs, place, column.digits));
            }
        }
        text += "\n\n";
        for note in &self.notes {
            text += &format!("{note}\n\n");
        }
        text
    }

    /// Medians of one column, the largest as wide as the picture.
    fn chart(&self, place: usize) -> String {
        const ROW: usize = 28;
        let median = |runs: &[Vec<f64>]| {
            let mut values: Vec<f64> = runs.iter().map(|run| run[place]).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        let bars: Vec<_> = self.rows.iter().map(|(name, runs)| (name, median(runs))).collect();
        let most = bars.iter().map(|(_, value)| *value).fold(f64::MIN_POSITIVE, f64::max);
        let letters = bars.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
        let left = (letters * 7 + 20).max(150);
        let height = ROW * bars.len() + 40;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"760\" height=\"{height}\" \
             font-family=\"sans-serif\" font-size=\"13\">\n\
             <rect width=\"760\" height=\"{height}\" fill=\"#fff\"/>\n\
             <text x=\"8\" y=\"20\" font-weight=\"bold\">{}: {}</text>\n",
            escaped(&self.title),
            escaped(self.columns[place].name),
        );
        for (row, (name, value)) in bars.iter().enumerate() {
            let (top, width) =
                (34 + row * ROW, value.max(0.0) / most * (590 - left.min(490)) as f64);
            let color = if name.starts_with("weir") { "#0b7285" } else { "#adb5bd" };
            let digits = self.columns[place].digits;
            writeln!(
                svg,
                "<text x=\"8\" y=\"{}\">{}</text><rect x=\"{left}\" y=\"{top}\" width=\"{width:.1}\" \
                 height=\"18\" fill=\"{color}\"/><text x=\"{:.1}\" y=\"{}\">{value:.digits$}</text>",
                top + 14,
                escaped(name),
                left as f64 + 6.0 + width,
                top + 14,
            )
            .expect("a string takes it");
        }
        svg + "</svg>\n"
    }
}

impl Report {
    /// Takes a table in, with pictures of these columns.
    pub(crate) fn add(&mut self, table: Table, drawn: &[&str]) {
        let markdown = table.markdown();
        println!("{markdown}");
        self.text += &markdown;
        for name in drawn {
            let place = table.columns.iter().position(|column| column.name == *name);
            let file = format!("bench-{}.svg", self.charts.len() + 1);
            self.text += &format!("![{}: {name}](images/{file})\n\n", table.title);
            self.charts.push((file, table.chart(place.expect("a column of the table"))));
        }
    }

    /// Takes in a picture of how something went, each row as wide as the picture.
    pub(crate) fn add_curves(&mut self, title: &str, curves: &[(String, Vec<f64>)]) {
        let file = format!("bench-{}.svg", self.charts.len() + 1);
        self.text += &format!("![{title}](images/{file})\n\n");
        self.charts.push((file, drawn_over_time(title, curves)));
    }

    pub(crate) fn say(&mut self, words: &str) {
        println!("{words}\n");
        self.text += &format!("{words}\n\n");
    }

    /// Puts it in place of the last report in the page, and its pictures beside it.
    pub(crate) fn write(&self, docs: &Path) {
        const BEGIN: &str = "<!-- bench/run writes from here -->\n";
        const END: &str = "<!-- to here -->\n";
        let page = docs.join("BENCHMARKS.md");
        let text = fs::read_to_string(&page).expect("the page of benchmarks");
        let (before, rest) = text.split_once(BEGIN).expect("the place of the report");
        let (_, after) = rest.split_once(END).expect("the end of the place of the report");
        let text = format!("{before}{BEGIN}\n{}{END}{after}", self.text);
        fs::write(&page, text).expect("the page can be written");
        for (file, svg) in &self.charts {
            fs::write(docs.join("images").join(file), svg).expect("a picture can be written");
        }
    }
}

/// Each row in a strip of its own, all with one scale.
fn drawn_over_time(title: &str, curves: &[(String, Vec<f64>)]) -> String {
    const STRIP: f64 = 70.0;
    const LEFT: f64 = 200.0;
    const WIDTH: f64 = 500.0;
    let most = curves.iter().flat_map(|(_, values)| values).copied().fold(1.0, f64::max);
    let height = 40.0 + (STRIP + 10.0) * curves.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"760\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"760\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"8\" y=\"20\" font-weight=\"bold\">{}</text>\n",
        escaped(title),
    );
    for (row, (name, values)) in curves.iter().enumerate() {
        let bottom = 34.0 + (STRIP + 10.0) * row as f64 + STRIP;
        let step = WIDTH / values.len().saturating_sub(1).max(1) as f64;
        let point = |(place, value): (usize, &f64)| {
            format!("{:.1},{:.1}", LEFT + step * place as f64, bottom - value / most * STRIP)
        };
        let points: Vec<String> = values.iter().enumerate().map(point).collect();
        let color = if name.starts_with("weir") { "#0b7285" } else { "#868e96" };
        let highest = values.iter().copied().fold(0.0, f64::max);
        writeln!(
            svg,
            "<text x=\"8\" y=\"{:.1}\">{}</text><text x=\"706\" y=\"{:.1}\">{highest:.0}</text>\
             <polyline points=\"{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"1.5\"/>\
             <path d=\"M{LEFT} {bottom}h{WIDTH}\" stroke=\"#ced4da\"/>",
            bottom - STRIP / 2.0,
            escaped(name),
            bottom - highest / most * STRIP + 4.0,
            points.join(" "),
        )
        .expect("a string takes it");
    }
    svg + "</svg>\n"
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}
