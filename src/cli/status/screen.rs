//! A terminal taken over for a while, and given back as it was.

use std::io::{self, Write as _};

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, isatty, tcgetattr, tcgetwinsize,
    tcsetattr,
};

/// The other screen; no cursor; no line goes on in the next one.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";
/// What a screen that does not tell its size is taken for.
const ROWS: u16 = 24;
/// Heads of tables.
const HEADS: [&str; 2] = ["STREAM ", "TAIL "];
/// What is to be seen first.
const GRAVE: [&str; 4] = ["NO ANSWER", "not ready", " is held for ", "in memory only"];

/// The terminal; given back when dropped.
pub(super) struct Screen {
    /// How keys were read before.
    before: Option<Termios>,
    is_coloured: bool,
}

impl Screen {
    pub(super) fn enter() -> io::Result<Self> {
        let stdin = io::stdin();
        let before = if isatty(&stdin) { Some(tcgetattr(&stdin)?) } else { None };
        if let Some(before) = &before {
            let mut keys = before.clone();
            // Keys come one by one and are not shown; Ctrl-C stays a signal.
            keys.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
            keys.special_codes[SpecialCodeIndex::VMIN] = 1;
            keys.special_codes[SpecialCodeIndex::VTIME] = 0;
            tcsetattr(&stdin, OptionalActions::Now, &keys)?;
        }
        let screen = Self { before, is_coloured: std::env::var_os("NO_COLOR").is_none() };
        let mut out = io::stdout().lock();
        out.write_all(ENTER.as_bytes())?;
        out.flush()?;
        Ok(screen)
    }

    /// Draws the text from the top, as much as there is room for, and a line at the bottom.
    pub(super) fn show(&mut self, text: &str, foot: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let rows = tcgetwinsize(&out).map_or(0, |size| size.ws_row);
        let rows = usize::from(if rows == 0 { ROWS } else { rows });
        // One write, so that nobody sees half of it.
        out.write_all(frame(text, foot, rows, self.is_coloured).as_bytes())?;
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Where the terminal is gone there is nothing to give back.
        let mut out = io::stdout().lock();
        out.write_all(LEAVE.as_bytes()).and_then(|()| out.flush()).ok();
        if let Some(before) = &self.before {
            tcsetattr(io::stdin(), OptionalActions::Now, before).ok();
        }
    }
}

/// From the first cell; each line cleared to its end, and all below.
fn frame(text: &str, foot: &str, rows: usize, is_coloured: bool) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let room = rows.saturating_sub(2).max(1);
    let shown = lines.len().min(room);
    let mut frame = String::from("\x1b[H");
    for line in lines.iter().take(shown) {
        frame.push_str(&painted(line, is_coloured));
        frame.push_str("\x1b[K\n");
    }
    let more = match lines.len() - shown {
        0 => String::new(),
        hidden => format!("   {hidden} more lines do not fit"),
    };
    frame.push_str(&format!("\x1b[K\n{}\x1b[J", paint("2", &format!("{foot}{more}"), is_coloured)));
    frame
}

fn painted(line: &str, is_coloured: bool) -> String {
    // Names and words may be anybody's: none moves the cursor.
    let line = line.replace(char::is_control, "?");
    if HEADS.iter().any(|head| line.starts_with(head)) {
        paint("1", &line, is_coloured)
    } else if GRAVE.iter().any(|words| line.contains(words)) {
        paint("31", &line, is_coloured)
    } else {
        line
    }
}

fn paint(code: &str, text: &str, is_coloured: bool) -> String {
    if is_coloured { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_fits_the_screen_and_says_what_does_not() {
        let text = "STREAM  X\na to b is held for 3 s\n\nplain\u{1b}[2J\nlast";

        assert_eq!(
            frame(text, "q ends", 24, true),
            "\x1b[H\x1b[1mSTREAM  X\x1b[0m\x1b[K\n\x1b[31ma to b is held for 3 s\x1b[0m\x1b[K\n\
             \x1b[K\nplain?[2J\x1b[K\nlast\x1b[K\n\x1b[K\n\x1b[2mq ends\x1b[0m\x1b[J"
        );
        assert_eq!(
            frame(text, "q ends", 4, false),
            "\x1b[HSTREAM  X\x1b[K\na to b is held for 3 s\x1b[K\n\x1b[K\nq ends   3 more lines do not fit\x1b[J"
        );
    }
}
