//! Nothing gets through, though each entry may fail for its own shard alone. Unlike other trouble it
//! stops nothing, as what can go should go; but it is shown and told like any other. Pure; the caller
//! brings the time.

use std::time::Duration;

use tokio::time::Instant;

use super::class::Class;
use super::retry::Trouble;
use crate::sink::Fault;

/// Whether nothing gets through, and since when.
#[derive(Debug)]
pub(super) struct Jam {
    /// It is worth telling when it lasts as long.
    after: Duration,
    trouble: Option<Trouble>,
}

impl Jam {
    /// A busy moment is no news: every shard has one now and then.
    pub(super) fn lasting(after: Duration) -> Self {
        Self { after, trouble: None }
    }

    /// None of what was sent together got through.
    pub(super) fn met(&mut self, now: Instant, class: Class, fault: Fault) {
        let (since, tries) = self.trouble.as_ref().map_or((now, 0), |old| (old.since, old.tries));
        self.trouble = Some(Trouble::passed_by(class, fault, since, tries.saturating_add(1)));
    }

    /// Something got through, or there is nothing that could; what is over by that.
    pub(super) fn end(&mut self) -> Option<Trouble> {
        self.trouble.take()
    }

    /// What to show, if it has lasted.
    pub(super) fn trouble(&self, now: Instant) -> Option<&Trouble> {
        let has_lasted = |trouble: &&Trouble| now.duration_since(trouble.since) >= self.after;
        self.trouble.as_ref().filter(has_lasted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::At;

    #[test]
    fn it_is_shown_once_it_has_lasted_with_its_beginning_until_something_gets_through() {
        let fault = |code: &str| Fault {
            at: At::Entry,
            code: code.into(),
            message: String::new(),
            retry_after: None,
        };
        let (begun, second) = (Instant::now(), Duration::from_secs(1));
        let mut jam = Jam::lasting(30 * second);
        jam.met(begun, Class::Throttled, fault("first"));
        jam.met(begun + 29 * second, Class::Throttled, fault("second"));
        assert_eq!(jam.trouble(begun + 29 * second), None);

        let shown = jam.trouble(begun + 30 * second).unwrap();
        assert_eq!((shown.since, shown.tries, shown.fault.code.as_str()), (begun, 2, "second"));
        assert_eq!(shown.next_try(), None, "it is tried all the time");

        assert_eq!(jam.end().unwrap().since, begun);
        jam.met(begun + 31 * second, Class::Throttled, fault("third"));
        assert_eq!(jam.trouble(begun + 60 * second), None, "that is another one");
    }
}
