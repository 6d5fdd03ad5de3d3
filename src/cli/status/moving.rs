//! What moves between two looks at an agent: rates, and where they lead; pure.

use std::collections::{BTreeMap, VecDeque};

use serde_json::Value;

use super::{number, table};
use crate::cli::table::{age, count, lay_out};

/// How far back looks are kept, in milliseconds.
const KEPT_MS: u64 = 60_000;
/// Rates are of the last so many milliseconds: enough to be calm, little enough to be true.
const RATE_MS: u64 = 5_000;
/// A backlog is judged by more: it moves in batches.
const TREND_MS: u64 = 30_000;
/// Bars of a small chart, each a second or more.
const BARS: usize = 20;

/// The looks of the last minute.
#[derive(Debug, Default)]
pub(super) struct Moving(VecDeque<Look>);

#[derive(Debug)]
struct Look {
    at_ms: u64,
    uptime_s: u64,
    values: BTreeMap<String, u64>,
}

/// Of all streams and destinations.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Sums {
    /// Records a second.
    pub(super) into: Option<f64>,
    pub(super) out: Option<f64>,
    pub(super) waiting: u64,
    pub(super) dead: u64,
    pub(super) held: usize,
}

impl Moving {
    /// Takes note of what the agent said.
    pub(super) fn look(&mut self, status: &Value, at_ms: u64) {
        let mut values = BTreeMap::new();
        for (stream, queue) in table(status, "streams") {
            values.insert(format!("in {stream}"), number(queue, "committed"));
            let mut most = 0;
            for (destination, ledger) in table(queue, "destinations") {
                for what in ["delivered", "waiting"] {
                    let name = format!("{what} {stream} {destination}");
                    values.insert(name, number(ledger, what));
                }
                most = most.max(number(ledger, "waiting_bytes"));
            }
            values.insert(format!("bytes {stream}"), most);
        }
        let uptime_s = number(status, "uptime_s");
        // A restarted agent may count anew.
        if self.0.back().is_some_and(|last| last.uptime_s > uptime_s) {
            self.0.clear();
        }
        self.0.push_back(Look { at_ms, uptime_s, values });
        let oldest = at_ms.saturating_sub(KEPT_MS);
        while self.0.front().is_some_and(|look| look.at_ms < oldest) {
            self.0.pop_front();
        }
    }

    /// Change per second; `None` before there are two looks.
    fn slope(&self, name: &str, over_ms: u64) -> Option<f64> {
        let last = self.0.back()?;
        let begin = last.at_ms.saturating_sub(over_ms + over_ms / 20);
        let first = self.0.iter().find(|look| look.at_ms >= begin && look.at_ms < last.at_ms)?;
        let ms = last.at_ms - first.at_ms;
        let change = float(*last.values.get(name)?) - float(*first.values.get(name)?);
        Some(change / (float(ms) / 1000.0))
    }

    pub(super) fn sums(&self, status: &Value) -> Sums {
        let mut sums = Sums::default();
        let add = |sum: &mut Option<f64>, rate: Option<f64>| {
            *sum = rate.map(|rate| rate + sum.unwrap_or(0.0)).or(*sum);
        };
        for (stream, queue) in table(status, "streams") {
            add(&mut sums.into, self.slope(&format!("in {stream}"), RATE_MS));
            for (destination, ledger) in table(queue, "destinations") {
                let name = format!("delivered {stream} {destination}");
                add(&mut sums.out, self.slope(&name, RATE_MS));
                sums.waiting += number(ledger, "waiting");
                sums.dead += number(ledger, "dead");
                sums.held += usize::from(ledger.get("hold").is_some_and(|hold| !hold.is_null()));
            }
        }
        sums
    }

    /// The table of what moves.
    pub(super) fn draw(&self, status: &Value, _now_unix_ms: u64) -> String {
        const HEAD: [&str; 8] =
            ["STREAM", "DESTINATION", "IN/S", "OUT/S", "WAITING", "DRAINED", "FULL", "OUT, LATELY"];
        let mut rows = Vec::new();
        for (stream, queue) in table(status, "streams") {
            let into = rate(self.slope(&format!("in {stream}"), RATE_MS));
            let full = self.full(stream, queue);
            for (destination, ledger) in table(queue, "destinations") {
                let delivered = format!("delivered {stream} {destination}");
                rows.push(vec![
                    stream.to_owned(),
                    destination.to_owned(),
                    into.clone(),
                    rate(self.slope(&delivered, RATE_MS)),
                    count(number(ledger, "waiting")),
                    self.drained(stream, destination, ledger),
                    full.clone(),
                    self.bars(&delivered),
                ]);
            }
        }
        lay_out(&HEAD, &rows)
    }

    /// When nothing waits any more.
    fn drained(&self, stream: &str, destination: &str, ledger: &Value) -> String {
        let waiting = number(ledger, "waiting");
        if waiting == 0 {
            return "now".into();
        }
        let slope = self.slope(&format!("waiting {stream} {destination}"), TREND_MS);
        let falls = slope.filter(|slope| *slope < 0.0);
        falls.map_or_else(|| "not yet".into(), |slope| after(float(waiting) / -slope))
    }

    /// When the queue is full.
    fn full(&self, stream: &str, queue: &Value) -> String {
        let free = number(queue, "max_bytes").saturating_sub(number(queue, "used_bytes"));
        let slope = self.slope(&format!("bytes {stream}"), KEPT_MS);
        let rises = slope.filter(|slope| *slope > 0.0);
        rises.map_or_else(|| "never".into(), |slope| after(float(free) / slope))
    }

    /// How much came between each two of the last looks.
    fn bars(&self, name: &str) -> String {
        const MARKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        let values: Vec<u64> =
            self.0.iter().filter_map(|look| look.values.get(name).copied()).collect();
        let steps: Vec<u64> = values
            .iter()
            .zip(values.iter().skip(1))
            .map(|(before, now)| now.saturating_sub(*before))
            .collect();
        let shown = steps.get(steps.len().saturating_sub(BARS)..).unwrap_or_default();
        let most = shown.iter().copied().max().unwrap_or(0).max(1);
        let mark = |step: &u64| usize::try_from((step * 7).div_ceil(most)).unwrap_or(7).min(7);
        shown.iter().filter_map(|step| MARKS.get(mark(step))).collect()
    }
}

fn rate(rate: Option<f64>) -> String {
    match rate {
        None => "-".into(),
        Some(rate) if rate < 10.0 => format!("{:.1}", rate.max(0.0)),
        Some(rate) => count(whole(rate)),
    }
}

fn after(seconds: f64) -> String {
    format!("in {}", age(whole(seconds).max(1)))
}

#[expect(clippy::cast_precision_loss, reason = "a figure to look at, not to count with")]
fn float(number: u64) -> f64 {
    number as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it saturates, which is what is wanted of a figure to look at"
)]
fn whole(number: f64) -> u64 {
    number.round() as u64
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(uptime_s: u64, committed: u64, delivered: u64, waiting_bytes: u64) -> Value {
        json!({ "uptime_s": uptime_s, "streams": { "access": {
            "committed": committed, "used_bytes": 500, "max_bytes": 1_000, "destinations": {
                "cloud": { "delivered": delivered, "waiting": committed - delivered, "dead": 1,
                    "waiting_bytes": waiting_bytes, "hold": null },
            },
        } } })
    }

    fn cells(moving: &Moving, status: &Value) -> Vec<String> {
        let drawn = moving.draw(status, 0);
        let row = drawn.lines().nth(1).unwrap_or_default();
        row.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect()
    }

    #[test]
    fn rates_and_where_they_lead_are_of_the_last_looks() {
        let mut moving = Moving::default();
        let first = status(10, 1_000, 100, 400);
        moving.look(&first, 10_000);
        assert_eq!(
            cells(&moving, &first),
            ["access", "cloud", "-", "-", "900", "not yet", "never"]
        );

        // In 20 a second, out 120: 100 a second less, 700 after two seconds.
        moving.look(&status(11, 1_020, 220, 300), 11_000);
        let last = status(12, 1_040, 340, 200);
        moving.look(&last, 12_000);
        let row = ["access", "cloud", "20", "120", "700", "in 7 s", "never", "██"];
        assert_eq!(cells(&moving, &last), row);
        let sums = moving.sums(&last);
        assert_eq!((sums.into, sums.out), (Some(20.0), Some(120.0)));
        assert_eq!((sums.waiting, sums.dead, sums.held), (700, 1, 0));
    }

    #[test]
    fn a_queue_that_fills_says_when_and_a_restart_begins_anew() {
        let mut moving = Moving::default();
        moving.look(&status(10, 100, 0, 100), 10_000);
        let last = status(11, 200, 0, 150);
        moving.look(&last, 11_000);
        let row = ["access", "cloud", "100", "0.0", "200", "not yet", "in 10 s", "▁"];
        assert_eq!(cells(&moving, &last), row);

        let anew = status(1, 50, 50, 0);
        moving.look(&anew, 12_000);
        assert_eq!(cells(&moving, &anew), ["access", "cloud", "-", "-", "0", "now", "never"]);
    }

    #[test]
    fn no_more_than_a_minute_is_kept() {
        let mut moving = Moving::default();
        (0..200).for_each(|second| moving.look(&status(second, second, 0, 0), second * 1_000));
        assert_eq!(moving.0.len(), 61);
        assert_eq!(moving.slope("in access", KEPT_MS), Some(1.0));
    }
}
