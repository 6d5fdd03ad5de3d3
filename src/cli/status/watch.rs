//! `weir status --watch`: the same picture, drawn anew each second, with what moves.
//!
//! One thread asks, one hears keys, one hears signals; the main one draws what they tell, so that it
//! ends at once even while an agent does not answer.

use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use hyper::Method;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use super::moving::Moving;
use super::screen::Screen;
use super::{Show, picture, unready};
use crate::base::clock::{Clock, rfc3339};
use crate::cli::report::Answer;
use crate::cli::table::{age, count};

/// What happens while one watches.
enum Event {
    Answered(Value),
    /// Why there was no answer.
    Silent(String),
    /// The screen has another size, or a key was pressed.
    Redraw,
    End,
}

/// Events that may wait; whoever brings more waits as well.
const EVENTS_MAX: usize = 16;
/// How often the time is drawn although nothing happens.
const CLOCK_EVERY: Duration = Duration::from_secs(1);

pub(super) fn watch(show: &Show) -> Answer {
    // An agent that is not there at the start is a fault; one that goes away later may come back.
    let first = show.reach.ask(Method::GET, "/status", None)?;
    let (events, happened) = sync_channel(EVENTS_MAX);
    let (asking, answers) = (show.clone(), events.clone());
    thread("ask", move || ask(&asking, &answers))?;
    let signals = events.clone();
    let (listening, listens) = sync_channel(1);
    thread("signals", move || listen(&signals, &listening))?;
    // Before anything is drawn or written: who sees it may send a signal. An error says that none is
    // heard; signals then do what they do to any process.
    listens.recv().ok();
    let screen = if !show.json && io::stdout().is_terminal() {
        thread("keys", move || hear(&events))?;
        Some(Screen::enter()?)
    } else {
        None
    };
    let mut view =
        View { json: show.json, screen, moving: Moving::default(), last: first, silent: None };
    view.moving.look(&view.last, Clock::real().unix_ms());
    view.look_on(&happened)?;
    Ok(ExitCode::SUCCESS)
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new().name(name.into()).spawn(work).map(drop)
}

fn ask(show: &Show, answers: &SyncSender<Event>) {
    loop {
        std::thread::sleep(show.every.0);
        let event = match show.reach.ask(Method::GET, "/status", None) {
            Ok(status) => Event::Answered(status),
            Err(report) => Event::Silent(report.first_line()),
        };
        if answers.send(event).is_err() {
            return;
        }
    }
}

fn hear(events: &SyncSender<Event>) {
    for key in io::stdin().lock().bytes() {
        let event = match key {
            Ok(b'q' | b'Q') => Event::End,
            Ok(_) => Event::Redraw,
            Err(_) => return,
        };
        if events.send(event).is_err() {
            return;
        }
    }
}

/// Ends of any kind, and changes of the size of the screen.
fn listen(events: &SyncSender<Event>, listening: &SyncSender<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return };
    let heard: io::Result<()> = runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let mut resized = signal(SignalKind::window_change())?;
        listening.send(()).ok();
        loop {
            let event = tokio::select! {
                _ = interrupt.recv() => Event::End,
                _ = terminate.recv() => Event::End,
                _ = hangup.recv() => Event::End,
                _ = resized.recv() => Event::Redraw,
            };
            if events.send(event).is_err() {
                return Ok(());
            }
        }
    });
    drop(heard);
}

struct View {
    json: bool,
    screen: Option<Screen>,
    moving: Moving,
    last: Value,
    /// Since when nobody answers, in milliseconds since 1970, and why.
    silent: Option<(u64, String)>,
}

impl View {
    /// Draws until it is told to end, or nobody reads any more.
    fn look_on(&mut self, happened: &Receiver<Event>) -> io::Result<()> {
        let mut is_news = true;
        loop {
            match self.draw(is_news) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                drawn => drawn?,
            }
            is_news = true;
            match happened.recv_timeout(CLOCK_EVERY) {
                Ok(Event::Answered(status)) => {
                    self.moving.look(&status, Clock::real().unix_ms());
                    (self.last, self.silent) = (status, None);
                }
                Ok(Event::Silent(why)) => {
                    let since = self.silent.take().map(|(since, _)| since);
                    self.silent = Some((since.unwrap_or_else(|| Clock::real().unix_ms()), why));
                }
                Ok(Event::Redraw) | Err(RecvTimeoutError::Timeout) => is_news = false,
                Ok(Event::End) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }

    fn draw(&mut self, is_news: bool) -> io::Result<()> {
        let now = Clock::real().unix_ms();
        let Some(screen) = &mut self.screen else {
            return if is_news { self.print(now) } else { Ok(()) };
        };
        let mut parts = picture(&self.last, now, Some(self.moving.draw(&self.last, now)));
        if let Some((since, why)) = &self.silent {
            let since = age(now.saturating_sub(*since) / 1000);
            parts.insert(0, format!("NO ANSWER for {since}: {why}\nwhat stands below is not live"));
        }
        let time = rfc3339(now);
        let time = time.get(11..19).unwrap_or_default();
        screen.show(&parts.join("\n\n"), &format!("{time} UTC   q ends"))
    }

    /// A line for each answer, where there is no screen to draw on.
    fn print(&self, now: u64) -> io::Result<()> {
        let mut out = io::stdout().lock();
        match (self.json, &self.silent) {
            (true, None) => writeln!(out, "{}", self.last)?,
            // There is no JSON of an agent that does not answer.
            (true, Some(_)) => {}
            (false, _) => writeln!(out, "{} {}", rfc3339(now), self.line())?,
        }
        out.flush()
    }

    fn line(&self) -> String {
        if let Some((_, why)) = &self.silent {
            return format!("no answer: {why}");
        }
        let ready = if unready(&self.last).is_empty() { "ready" } else { "not ready" };
        let sums = self.moving.sums(&self.last);
        let held = if sums.held == 0 { String::new() } else { format!(", {} held", sums.held) };
        let rate = |rate: Option<f64>| rate.map_or_else(|| "-".into(), |rate| format!("{rate:.1}"));
        format!(
            "{ready}, in {}/s, out {}/s, {} waiting, {} dead{held}",
            rate(sums.into),
            rate(sums.out),
            count(sums.waiting),
            count(sums.dead)
        )
    }
}
