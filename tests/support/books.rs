//! The books: what was accepted is delivered, dead, dropped, damaged or waiting, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use super::agent::Agent;
use super::wait_for;

/// The ledgers of every stream and destination at one moment, as `/status` shows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Books {
    rows: BTreeMap<(String, String), Row>,
}

/// One ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Row {
    pub accepted: u64,
    pub delivered: u64,
    pub dead: u64,
    pub dropped: u64,
    pub damaged: u64,
    pub waiting: u64,
}

impl Books {
    /// Reads the books and checks that each row balances.
    #[track_caller]
    pub fn check(agent: &Agent) -> Self {
        Self::of(&agent.status())
    }

    /// The same from what `/status` or `weir status --json` said.
    #[track_caller]
    pub fn of(status: &Value) -> Self {
        let books = Self::read(status);
        for ((stream, destination), row) in &books.rows {
            assert!(row.balances(), "{stream} for {destination} does not balance:\n{books}");
        }
        books
    }

    /// Waits until nothing waits any more, as long as something still moves, then checks.
    #[track_caller]
    pub fn settled(agent: &Agent) -> Self {
        let mut before = Self::check(agent);
        loop {
            let what = format!("the next record to be settled; the books stand at\n{before}\n");
            let books = wait_for(&what, || {
                let books = Self::check(agent);
                (books != before || books.nothing_waits()).then_some(books)
            });
            if books.nothing_waits() {
                return books;
            }
            before = books;
        }
    }

    fn nothing_waits(&self) -> bool {
        self.rows.values().all(|row| row.waiting == 0)
    }

    #[track_caller]
    fn read(status: &Value) -> Self {
        let mut rows = BTreeMap::new();
        let streams = status["streams"].as_object();
        for (stream, facts) in streams.unwrap_or_else(|| panic!("no streams in {status}")) {
            let destinations = facts["destinations"].as_object();
            let destinations = destinations.unwrap_or_else(|| panic!("no destinations: {facts}"));
            for (destination, ledger) in destinations {
                rows.insert((stream.clone(), destination.clone()), Row::read(ledger));
            }
        }
        Self { rows }
    }

    /// One ledger.
    #[track_caller]
    pub fn row(&self, stream: &str, destination: &str) -> Row {
        let key = (stream.to_owned(), destination.to_owned());
        *self.rows.get(&key).unwrap_or_else(|| panic!("no {stream} for {destination} in\n{self}"))
    }
}

impl Row {
    fn balances(&self) -> bool {
        let Self { accepted, delivered, dead, dropped, damaged, waiting } = *self;
        accepted == delivered + dead + dropped + damaged + waiting
    }

    /// One ledger as `/status` or `weir queue stat --json` shows it.
    #[track_caller]
    pub fn read(ledger: &Value) -> Self {
        let number = |name: &str| {
            ledger[name].as_u64().unwrap_or_else(|| panic!("no number `{name}` in {ledger}"))
        };
        Self {
            accepted: number("accepted"),
            delivered: number("delivered"),
            dead: number("dead"),
            dropped: number("dropped"),
            damaged: number("damaged"),
            waiting: number("waiting"),
        }
    }
}

impl fmt::Display for Books {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads = ["accepted", "delivered", "dead", "dropped", "damaged", "waiting"];
        write!(f, "{:24}", "stream > destination")?;
        heads.iter().try_for_each(|head| write!(f, "{head:>10}"))?;
        for ((stream, destination), row) in &self.rows {
            write!(f, "\n{:24}", format!("{stream} > {destination}"))?;
            let Row { accepted, delivered, dead, dropped, damaged, waiting } = row;
            for number in [accepted, delivered, dead, dropped, damaged, waiting] {
                write!(f, "{number:>10}")?;
            }
        }
        Ok(())
    }
}

/// What arrived at a destination, held against what had to arrive.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Arrivals {
    /// Had to arrive and did not; at most ten of them.
    pub missing: Vec<String>,
    /// Arrived and nobody had handed it in, or changed; at most ten of them.
    pub foreign: Vec<String>,
    /// How many different payloads arrived.
    pub distinct: u64,
    /// How many arrived on top of that.
    pub duplicates: u64,
}

/// Holds what arrived against what must arrive and what may: a record whose answer got lost was
/// perhaps stored. Every payload of a test is different, so that each can be counted.
pub fn compare(
    must: &BTreeSet<String>,
    may: &BTreeSet<String>,
    arrived: impl IntoIterator<Item = Vec<u8>>,
) -> Arrivals {
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    for payload in arrived {
        *seen.entry(String::from_utf8_lossy(&payload).into_owned()).or_default() += 1;
    }
    let missing = must.iter().filter(|payload| !seen.contains_key(*payload));
    let foreign = seen.keys().filter(|payload| !must.contains(*payload) && !may.contains(*payload));
    Arrivals {
        missing: missing.take(10).cloned().collect(),
        foreign: foreign.take(10).cloned().collect(),
        distinct: seen.len() as u64,
        duplicates: seen.values().map(|count| count - 1).sum(),
    }
}

impl Arrivals {
    /// Asserts that nothing is missing or foreign, and at most so many came more than once.
    #[track_caller]
    pub fn complete(&self, destination: &str, duplicates_max: u64) {
        println!(
            "{destination}: {} different records, {} duplicates (bound {duplicates_max})",
            self.distinct, self.duplicates
        );
        assert!(
            self.missing.is_empty() && self.foreign.is_empty(),
            "{destination} is not complete: {self:#?}"
        );
        assert!(
            self.duplicates <= duplicates_max,
            "{destination} has more than {duplicates_max} duplicates: {self:?}"
        );
    }
}

#[test]
fn what_is_missing_foreign_or_twice_is_told_apart() {
    let set = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let arrived = ["a", "b", "b", "b", "x", "y"].map(|text| text.as_bytes().to_vec());

    let arrivals = compare(&set(&["a", "b", "c"]), &set(&["x"]), arrived);

    let expected = Arrivals {
        missing: vec!["c".into()],
        foreign: vec!["y".into()],
        distinct: 4,
        duplicates: 2,
    };
    assert_eq!(arrivals, expected);
}

#[test]
fn books_that_do_not_balance_are_found() {
    let row = Row { accepted: 6, delivered: 1, dead: 1, dropped: 1, damaged: 1, waiting: 1 };
    assert!(!row.balances());
    assert!(Row { waiting: 2, ..row }.balances());
}
