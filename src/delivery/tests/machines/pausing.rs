//! When a destination, or a record, is tried again.

use std::time::Duration;

use tokio::time::Instant;

use super::{fault, numbers, parcel};
use crate::delivery::class::Class;
use crate::delivery::retry::{Gate, Pause, Waiting};
use crate::sink::{At, Fault};

#[test]
fn no_two_agents_look_at_a_held_destination_or_try_an_entry_again_together() {
    let (first, most) = (Duration::from_millis(100), Duration::from_secs(30));
    let now = Instant::now();
    let look = |_| {
        let mut pause = Pause::new(first, most);
        pause.met(now, Class::Auth, fault(At::Answer(403), "AccessDeniedException"), false);
        match pause.gate(now) {
            Gate::Closed(until) => until - now,
            gate => panic!("{gate:?}"),
        }
    };
    let entry = |_| Pause::new(first, most).wait_of_entry(3, None);
    for (waits, whole) in
        [((0..200).map(look).collect::<Vec<_>>(), most), ((0..200).map(entry).collect(), first * 4)]
    {
        assert!(waits.iter().all(|wait| (whole / 2..=whole).contains(wait)), "{waits:?}");
        let early = waits.iter().filter(|wait| **wait < whole * 3 / 4).count();
        assert!((40..160).contains(&early), "{early} of 200 in the first half");
    }
}

fn pause() -> Pause {
    Pause::new(Duration::from_secs(1), Duration::from_secs(60))
}

fn closed_for(pause: &Pause, now: Instant) -> Duration {
    match pause.gate(now) {
        Gate::Closed(until) => until - now,
        gate => panic!("the gate is {gate:?}"),
    }
}

#[test]
fn in_trouble_one_request_looks_and_each_that_fails_doubles_the_wait() {
    let mut now = Instant::now();
    let mut pause = pause();
    assert_eq!(pause.gate(now), Gate::Open);
    pause.met(now, Class::Transient, fault(At::Timeout, "timeout"), false);

    for whole in [1, 2, 4, 8, 16, 32, 60, 60] {
        let wait = closed_for(&pause, now);
        let whole = Duration::from_secs(whole);
        assert!(wait >= whole / 2 && wait <= whole, "{wait:?} of {whole:?}");
        pause.met(now, Class::Transient, fault(At::Timeout, "timeout"), false);
        assert_eq!(closed_for(&pause, now), wait, "a straggler tells nothing new");
        now += wait;
        assert_eq!(pause.gate(now), Gate::Probe);
        pause.probe_sent();
        assert_eq!(pause.gate(now + whole), Gate::Probing);
        assert_eq!(pause.answered(false), None, "neither does one that got through before");
        pause.met(now, Class::Transient, fault(At::Timeout, "timeout"), true);
    }

    now += closed_for(&pause, now);
    pause.probe_sent();
    let ended = pause.answered(true).unwrap();
    assert_eq!((ended.tries, pause.gate(now)), (9, Gate::Open));
    pause.met(now, Class::Transient, fault(At::Timeout, "timeout"), false);
    assert!(closed_for(&pause, now) <= Duration::from_secs(1), "a new trouble starts small");
}

#[test]
fn a_hold_is_looked_at_slowly_from_the_start_and_the_upstreams_wish_is_kept_within_reason() {
    let now = Instant::now();
    for (class, code, is_quick_once) in [
        (Class::Auth, "AccessDeniedException", false),
        (Class::Auth, "ExpiredTokenException", true),
        (Class::Clock, "RequestTimeTooSkewed", true),
        (Class::Config, "ResourceNotFoundException", false),
    ] {
        let mut pause = pause();
        pause.met(now, class, fault(At::Answer(400), code), false);
        let first = closed_for(&pause, now);
        assert_eq!(first <= Duration::from_secs(1), is_quick_once, "{code}: {first:?}");
        pause.probe_sent();
        pause.met(now + first, class, fault(At::Answer(400), code), true);
        assert!(closed_for(&pause, now + first) >= Duration::from_secs(30), "{code}");
    }
    for (asked, kept) in [(7, 7), (100_000, 300)] {
        let mut pause = pause();
        let retry_after = Some(Duration::from_secs(asked));
        let fault = Fault { retry_after, ..fault(At::Answer(503), "SlowDown") };
        pause.met(now, Class::Throttled, fault, false);
        assert_eq!(closed_for(&pause, now), Duration::from_secs(kept));
    }
}

#[test]
fn waiting_parcels_come_back_when_they_are_due_and_not_before() {
    let now = Instant::now();
    let second = Duration::from_secs(1);
    let mut waiting = Waiting::default();
    waiting.push(now + second * 2, vec![parcel(3, 1)]);
    waiting.push(now + second, vec![parcel(1, 1)]);
    waiting.push(now + second, vec![parcel(2, 1)]);

    assert_eq!((waiting.take_due(now), waiting.due()), (Vec::new(), Some(now + second)));
    assert_eq!(numbers(&waiting.take_due(now + second)), [1, 2]);
    assert_eq!(numbers(&waiting.take_due(now + second * 5)), [3]);
    assert_eq!(waiting.due(), None);
}
