//! The upstream: credentials, the way there, permissions, limits, the time it has.

use super::super::report::Exit;
use super::{Found, Health};
use crate::base::clock::Clock;
use crate::config::Destination;
use crate::sink::{At, Fault, Firehose, Kinesis, Probed, ServiceClock};

/// A host's clock that is off by less disturbs nobody.
const OFF_MS_MAX: u64 = 60_000;

/// Asks a destination; a directory has nobody to ask.
pub(super) async fn look(name: &str, destination: &Destination) -> Vec<Found> {
    let clock = ServiceClock::new(Clock::real(), None);
    let probed = match destination {
        Destination::Kinesis(settings) => match Kinesis::connect(settings, &clock).await {
            Ok(kinesis) => kinesis.probe().await,
            Err(words) => return vec![unusable(name, words)],
        },
        Destination::Firehose(settings) => match Firehose::connect(settings, &clock).await {
            Ok(firehose) => firehose.probe().await,
            Err(words) => return vec![unusable(name, words)],
        },
        Destination::Directory(_) => return Vec::new(),
    };
    let about = name.to_owned();
    let mut all: Vec<_> = probed.into_iter().map(|probed| judged(about.clone(), probed)).collect();
    if clock.is_sure() {
        all.push(time(about, clock.memory().offset_ms));
    }
    all
}

fn unusable(name: &str, words: String) -> Found {
    Found { about: name.to_owned(), what: "settings", health: Health::Fault(Exit::Config), words }
}

fn judged(about: String, probed: Probed) -> Found {
    let Probed { what, heard, without } = probed;
    let (health, words) = match (heard, without) {
        (Ok(words), _) => (Health::Well, words),
        (Err(fault), Some(without)) if is_denied(&fault) => {
            (Health::Note, format!("not allowed; without it, {without}"))
        }
        (Err(fault), Some(_)) if !is_missing(&fault) => (Health::Note, told(&fault)),
        (Err(fault), _) => (Health::Fault(exit(&fault)), told(&fault)),
    };
    Found { about, what, health, words }
}

fn time(about: String, offset_ms: i64) -> Found {
    let is_off = offset_ms.unsigned_abs() > OFF_MS_MAX;
    let (health, words) = if is_off {
        let seconds = offset_ms / 1_000;
        let words = format!(
            "the service's time is {seconds} s ahead of the host's; weir signs by the service's"
        );
        (Health::Note, words)
    } else {
        (Health::Well, "the host's clock is right".into())
    };
    Found { about, what: "clock", health, words }
}

fn told(fault: &Fault) -> String {
    let Fault { code, message, .. } = fault;
    if message.is_empty() { code.clone() } else { format!("{code}: {message}") }
}

fn is_denied(fault: &Fault) -> bool {
    fault.code.starts_with("AccessDenied")
}

fn is_missing(fault: &Fault) -> bool {
    fault.code.starts_with("ResourceNotFound")
}

fn exit(fault: &Fault) -> Exit {
    match fault.at {
        At::Credentials => Exit::NoPermission,
        At::Settings => Exit::Config,
        _ if is_missing(fault) => Exit::Config,
        At::Answer(401 | 403) => Exit::NoPermission,
        At::Answer(400) => Exit::NoPermission,
        _ => Exit::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(at: At, code: &str, without: Option<&'static str>, health: Health) {
        let fault = Fault { at, code: code.into(), message: "words".into(), retry_after: None };
        let probed = Probed { what: "kinesis:X", heard: Err(fault), without };
        assert_eq!(judged("cloud".into(), probed).health, health, "{code}");
    }

    #[test]
    fn what_is_missing_says_whether_anything_works_without_it_and_who_can_mend_it() {
        let denied = "AccessDeniedException";
        check(At::Answer(400), denied, None, Health::Fault(Exit::NoPermission));
        check(At::Answer(400), denied, Some("less is learned"), Health::Note);
        let missing = "ResourceNotFoundException";
        check(At::Answer(400), missing, None, Health::Fault(Exit::Config));
        check(At::Answer(400), missing, Some("less is learned"), Health::Fault(Exit::Config));
        check(At::Credentials, "no-credentials", None, Health::Fault(Exit::NoPermission));
        check(At::Transport, "connection-refused", None, Health::Fault(Exit::Unavailable));
        check(At::Timeout, "timeout", Some("less is learned"), Health::Note);
        check(At::Answer(500), "InternalFailure", None, Health::Fault(Exit::Unavailable));
    }

    #[test]
    fn a_clock_that_is_off_by_more_than_a_minute_is_named() {
        for (offset_ms, health) in
            [(60_000, Health::Well), (60_001, Health::Note), (-60_001, Health::Note)]
        {
            assert_eq!(time("cloud".into(), offset_ms).health, health);
        }
    }
}
