//! How fast, how much at once, and how exactly one is told to wait.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn rate(count: u64, per: Duration) -> Option<CountRate> {
    Some(CountRate { count, per })
}

fn bytes(count: u64) -> Option<ByteRate> {
    Some(ByteRate { bytes: ByteSize(count), per: SECOND })
}

/// A door with one plan and a caller that has it.
fn planned(plan: PlanSettings) -> (Door, Arc<Admission>, String) {
    let door = Door::new().with_plan("p", plan);
    let secret = door.add_key(&keys::NewKey { plan: Some("p".into()), ..key("device-1") });
    let admission = door.open();
    (door, admission, secret)
}

#[tokio::test(start_paused = true)]
async fn records_beyond_the_burst_wait_exactly_as_long_as_they_are_told() {
    let plan = PlanSettings {
        rate: rate(10, SECOND),
        burst: Some(5),
        bytes: None,
        ..PlanSettings::default()
    };
    let (_door, admission, secret) = planned(plan);
    let pass = knock(&admission, Some(&secret), "access").await.unwrap();

    assert!(admission.admit(&pass, records(5)).is_ok());
    let refusal = admission.admit(&pass, records(2)).unwrap_err();
    assert_eq!(refusal, Refusal::TooFast { retry_after: Duration::from_millis(200) });

    tokio::time::advance(Duration::from_millis(199)).await;
    let refusal = admission.admit(&pass, records(2)).unwrap_err();
    assert_eq!(refusal, Refusal::TooFast { retry_after: Duration::from_millis(1) });
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(admission.admit(&pass, records(2)).is_ok());
}

#[tokio::test(start_paused = true)]
async fn more_at_once_than_the_burst_never_gets_through_and_is_told_so() {
    let plan = PlanSettings {
        rate: rate(10, SECOND),
        burst: Some(5),
        bytes: bytes(1000),
        ..PlanSettings::default()
    };
    let (_door, admission, secret) = planned(plan);
    let pass = knock(&admission, Some(&secret), "access").await.unwrap();

    let refusal = admission.admit(&pass, records(6)).unwrap_err();
    assert_eq!(refusal, Refusal::OverBurst { limit: 5, unit: "records" });
    let refusal = admission.charge_bytes(&pass, 1001).unwrap_err();
    assert_eq!(refusal, Refusal::OverBurst { limit: 1000, unit: "bytes" });
    assert!(admission.admit(&pass, records(5)).is_ok());
    assert!(admission.charge_bytes(&pass, 1000).is_ok());
    assert!(admission.charge_bytes(&pass, 0).is_ok());
}

#[tokio::test(start_paused = true)]
async fn declared_bytes_are_charged_at_the_door() {
    let (_door, admission, secret) = planned(PlanSettings {
        rate: None,
        burst: None,
        bytes: bytes(1000),
        ..PlanSettings::default()
    });
    let knock = async |declared| {
        let shown = Shown { api_key: Some(&secret), ..Shown::default() };
        let (auth, declared_bytes) = (&["keys".into()], Some(declared));
        let knock = Knock {
            source: "http.lan",
            auth,
            bounds: Bounds::default(),
            stream: "access",
            declared_bytes,
            shown,
        };
        admission.enter(&knock).await
    };

    assert!(knock(1000).await.is_ok());
    let refusal = knock(500).await.unwrap_err();
    assert_eq!(refusal, Refusal::TooFast { retry_after: Duration::from_millis(500) });
    assert!(matches!(knock(1001).await.unwrap_err(), Refusal::OverBurst { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_burst_that_is_not_set_is_one_second_of_the_rate() {
    for (per, expected) in [(SECOND, 500), (60 * SECOND, 9), (86_400 * SECOND, 1)] {
        let plan = PlanSettings {
            rate: rate(500, per),
            burst: None,
            bytes: None,
            ..PlanSettings::default()
        };
        let (_door, admission, secret) = planned(plan);
        let pass = knock(&admission, Some(&secret), "access").await.unwrap();

        let refusal = admission.admit(&pass, records(expected + 1)).unwrap_err();
        assert_eq!(refusal, Refusal::OverBurst { limit: expected as u64, unit: "records" });
        assert!(admission.admit(&pass, records(expected)).is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn callers_of_one_plan_do_not_share_their_buckets_and_keys_of_one_caller_do() {
    let plan =
        PlanSettings { rate: rate(1, SECOND), burst: None, bytes: None, ..PlanSettings::default() };
    let door = Door::new().with_plan("p", plan);
    let new = |name: &str| keys::NewKey { plan: Some("p".into()), ..key(name) };
    let secrets = [new("a"), new("a"), new("b")].map(|new| door.add_key(&new));
    let admission = door.open();
    let mut fits = Vec::new();
    for secret in secrets {
        let pass = knock(&admission, Some(&secret), "access").await.unwrap();
        fits.push(admission.admit(&pass, records(1)).is_ok());
    }

    assert_eq!(fits, [true, false, true]);
}

#[tokio::test(start_paused = true)]
async fn an_open_door_has_no_plan() {
    let door = Door::new();
    let admission = door.open();
    let pass = walk_in(&admission);

    assert_eq!(pass.caller(), "");
    assert!(admission.charge_bytes(&pass, u64::MAX).is_ok());
    assert!(admission.admit(&pass, records(1000)).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_lets_nothing_through_is_a_fault_at_start() {
    let nothing =
        PlanSettings { rate: rate(0, SECOND), burst: None, bytes: None, ..PlanSettings::default() };
    let no_burst = PlanSettings {
        rate: rate(1, SECOND),
        burst: Some(0),
        bytes: None,
        ..PlanSettings::default()
    };
    let no_bytes =
        PlanSettings { rate: None, burst: None, bytes: bytes(0), ..PlanSettings::default() };
    let no_rate =
        PlanSettings { rate: None, burst: Some(5), bytes: None, ..PlanSettings::default() };

    for (plan, words) in [
        (nothing, "plan `p` lets nothing through, ever: its `rate` or its burst is 0"),
        (no_burst, "plan `p` lets nothing through, ever: its `rate` or its burst is 0"),
        (no_bytes, "plan `p` lets nothing through, ever: its `bytes` or its burst is 0"),
        (no_rate, "plan `p` has a burst but no `rate`; add it"),
    ] {
        assert_eq!(Door::new().with_plan("p", plan).try_open().unwrap_err(), words);
    }
}

/// A request of one record over this way, stored.
async fn hand_in(
    admission: &Admission,
    secret: &str,
    bounds: Bounds<'_>,
) -> Result<Receipt, Refusal> {
    let address = Some("192.0.2.7".parse().unwrap());
    let shown = Shown { api_key: Some(secret), address, ..Shown::default() };
    let (source, auth, declared_bytes) = ("http.lan", &["keys".into()], Some(1));
    let knock = Knock { source, auth, bounds, stream: "access", declared_bytes, shown };
    let pass = admission.enter(&knock).await?;
    let (admitted, _) = admission.admit(&pass, records(1))?;
    admission.store(admitted).await
}

#[tokio::test(start_paused = true)]
async fn listeners_streams_and_addresses_have_plans_too_and_all_must_agree() {
    let two = PlanSettings { requests: rate(2, SECOND), ..PlanSettings::default() };
    let listener = Bounds { plan: Some(("p", "http.lan")), ..Bounds::default() };
    let address = Bounds { address_plan: Some("p"), ..Bounds::default() };
    for (bounds, stream_plan) in
        [(listener, None), (address, None), (Bounds::default(), Some("p".to_owned()))]
    {
        let mut door = Door::new().with_plan("p", two.clone());
        door.stream_plan = stream_plan;
        let secrets = ["a", "b", "c"].map(|name| door.add_key(&key(name)));
        let admission = door.open();

        assert!(hand_in(&admission, &secrets[0], bounds).await.is_ok(), "{bounds:?}");
        assert!(hand_in(&admission, &secrets[1], bounds).await.is_ok(), "{bounds:?}");
        let third = hand_in(&admission, &secrets[2], bounds).await;
        let wait = Duration::from_millis(500);
        assert_eq!(third, Err(Refusal::TooFast { retry_after: wait }), "{bounds:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_address_is_held_before_it_is_known_who_comes() {
    let one = PlanSettings { requests: rate(1, SECOND), ..PlanSettings::default() };
    let admission = Door::new().with_plan("p", one).open();
    let bounds = Bounds { address_plan: Some("p"), ..Bounds::default() };

    assert_eq!(hand_in(&admission, "guess", bounds).await, Err(Refusal::UnknownCaller));
    assert!(matches!(hand_in(&admission, "guess", bounds).await, Err(Refusal::TooFast { .. })));
}

fn of_day(limit: u64) -> Option<Quota> {
    Some(Quota { limit, period: Period::Day })
}

#[tokio::test]
async fn a_quota_lasts_across_a_restart_and_counts_only_what_is_stored() {
    let plan = PlanSettings { quota: of_day(3), ..PlanSettings::default() };
    let mut door = Door::new().with_plan("p", plan);
    let secret = door.add_key(&keys::NewKey { plan: Some("p".into()), ..key("device-1") });
    let open = |door: &Door| {
        let (disk, clock, folder) =
            (door.disk.clone(), door.clock.clone(), door.scratch.join("kept"));
        std::fs::create_dir_all(&folder).unwrap();
        crate::state::State::open(disk, clock, &folder, &Metrics::default())
    };
    let state = open(&door);
    door.quotas = Some(state.quota());
    let admission = door.open();

    let pass = knock(&admission, Some(&secret), "access").await.unwrap();
    drop(admission.admit(&pass, records(3)).unwrap());
    assert!(hand_in(&admission, &secret, Bounds::default()).await.is_ok());
    assert!(hand_in(&admission, &secret, Bounds::default()).await.is_ok());
    admission.save_quotas();
    drop((pass, admission));
    state.close();

    let state = open(&door);
    door.quotas = Some(state.quota());
    let again = door.open();
    assert_eq!(format!("{:?}", state.overview().health), "OnDisk");
    assert_eq!(state.quota().scan("").len(), 1);
    assert!(hand_in(&again, &secret, Bounds::default()).await.is_ok());
    let over = hand_in(&again, &secret, Bounds::default()).await;
    assert!(matches!(over, Err(Refusal::OverQuota { .. })), "{over:?}");
    state.close();
}

#[tokio::test(start_paused = true)]
async fn a_quota_of_bytes_refuses_what_would_go_beyond_it_as_a_whole() {
    let plan =
        PlanSettings { quota: of_day(10), quota_bytes: of_day(3), ..PlanSettings::default() };
    let (_door, admission, secret) = planned(plan);
    let pass = knock(&admission, Some(&secret), "access").await.unwrap();

    let never = admission.admit(&pass, records(4)).unwrap_err();
    assert_eq!(never, Refusal::OverBurst { limit: 3, unit: "bytes" });
    let held = admission.admit(&pass, records(3)).unwrap();
    assert!(admission.admit(&pass, records(1)).is_err(), "what is under way counts");
    drop(held);
    let (admitted, _) = admission.admit(&pass, records(3)).unwrap();
    assert_eq!(admission.store(admitted).await.unwrap().accepted, 3);
    let over = admission.admit(&pass, records(1)).unwrap_err();
    assert!(matches!(over, Refusal::OverQuota { .. }), "{over:?}");
}

#[tokio::test(start_paused = true)]
async fn a_repetition_needs_no_quota_and_nothing_else_under_a_key_goes_without() {
    let plan = PlanSettings { quota: of_day(1), ..PlanSettings::default() };
    let (_door, admission, secret) = planned(plan);
    let pass = knock(&admission, Some(&secret), "access").await.unwrap().with_key(true);
    let store = async |key: &str, content: &[u8]| {
        let (admitted, _) = admission.admit(&pass, records(1))?;
        let once = Once { key, content: &[content] };
        admission.store(admitted.once(&pass, &once)).await.map(|receipt| receipt.is_repeated)
    };

    assert_eq!(store("a", b"1").await, Ok(false));
    assert_eq!(store("a", b"1").await, Ok(true));
    assert_eq!(store("a", b"2").await, Err(Refusal::KeyReused));
    let over = store("b", b"1").await;
    assert!(matches!(over, Err(Refusal::OverQuota { .. })), "{over:?}");
    let (admitted, _) = admission.admit(&pass, records(1)).unwrap();
    let over = admission.store(admitted).await;
    assert!(matches!(over, Err(Refusal::OverQuota { .. })), "without a key: {over:?}");
    assert_eq!(admission.last_place("access"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_leaves_while_it_is_stored_has_used_its_quota() {
    let plan = PlanSettings { quota: of_day(1), ..PlanSettings::default() };
    let (_door, admission, secret) = planned(plan);
    let pass = knock(&admission, Some(&secret), "access").await.unwrap();

    let (admitted, _) = admission.admit(&pass, records(1)).unwrap();
    let mut leaving = Box::pin(admission.store(admitted));
    std::future::poll_fn(|cx| {
        assert!(leaving.as_mut().poll(cx).is_pending());
        std::task::Poll::Ready(())
    })
    .await;
    drop(leaving);

    assert!(matches!(admission.admit(&pass, records(1)), Err(Refusal::OverQuota { .. })));
}

#[tokio::test(start_paused = true)]
async fn an_address_that_guesses_is_not_listened_to_for_a_while_right_or_wrong() {
    let door = Door::new();
    let secret = door.add_key(&key("device-1"));
    let admission = door.open();
    let guesses = Some(CountRate { count: 5, per: Duration::from_secs(50) });
    let bounds = Bounds { guesses, ..Bounds::default() };

    for _ in 0..6 {
        assert!(hand_in(&admission, &secret, bounds).await.is_ok());
        assert_eq!(hand_in(&admission, "guess", bounds).await, Err(Refusal::UnknownCaller));
    }
    let wait = Refusal::TooManyGuesses { retry_after: Duration::from_secs(10) };
    for shown in ["guess", &secret] {
        assert_eq!(hand_in(&admission, shown, bounds).await, Err(wait.clone()), "{shown}");
    }
    tokio::time::advance(Duration::from_secs(10)).await;
    assert!(hand_in(&admission, &secret, bounds).await.is_ok());
}
