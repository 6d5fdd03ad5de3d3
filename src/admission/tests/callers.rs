//! Who is let in, and what strangers are told.

use super::*;
use crate::admission::callers::Proof;

#[tokio::test(start_paused = true)]
async fn only_a_known_caller_is_told_that_a_stream_does_not_exist() {
    let door = Door::new();
    let secret = door.add_key(&key("device-1"));
    let admission = door.open();

    assert_eq!(knock(&admission, Some(&secret), "access").await.unwrap().caller(), "device-1");
    assert_eq!(knock(&admission, Some(&secret), "none").await.unwrap_err(), Refusal::UnknownStream);
    let cut = secret.strip_prefix("w");
    for stranger in [None, Some(""), Some("weir_guess"), cut, Some("é")] {
        assert_eq!(
            knock(&admission, stranger, "access").await.unwrap_err(),
            Refusal::UnknownCaller
        );
        assert_eq!(knock(&admission, stranger, "none").await.unwrap_err(), Refusal::UnknownCaller);
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_with_a_scope_opens_nothing_else_and_does_not_tell_what_exists() {
    let door = Door::new();
    let streams = Some(vec!["access".to_owned()]);
    let secret = door.add_key(&keys::NewKey { streams, ..key("device-1") });
    let admission = door.open();

    assert!(knock(&admission, Some(&secret), "access").await.is_ok());
    for other in ["audit", "none"] {
        assert_eq!(knock(&admission, Some(&secret), other).await.unwrap_err(), Refusal::NotAllowed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_ends_at_its_time() {
    let door = Door::new();
    let expires = Some("2026-11-22T06:05:20.123Z".to_owned());
    let secret = door.add_key(&keys::NewKey { expires, ..key("device-1") });
    let admission = door.open();

    tokio::time::advance(Duration::from_millis(999)).await;
    assert!(knock(&admission, Some(&secret), "access").await.is_ok());
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(knock(&admission, Some(&secret), "access").await.unwrap_err(), Refusal::NotAllowed);
}

#[tokio::test(start_paused = true)]
async fn two_keys_of_one_caller_work_side_by_side() {
    let door = Door::new();
    let (old, new) = (door.add_key(&key("device-1")), door.add_key(&key("device-1")));
    let admission = door.open();

    for secret in [old, new] {
        assert_eq!(knock(&admission, Some(&secret), "access").await.unwrap().caller(), "device-1");
    }
}

#[tokio::test(start_paused = true)]
async fn a_revoked_key_and_a_new_one_are_noticed_within_a_second() {
    let door = Door::new();
    let old = door.add_key(&key("device-1"));
    let admission = door.open();
    assert!(knock(&admission, Some(&old), "access").await.is_ok());

    keys::revoke(door.disk.as_ref(), &door.keys_path(), "device-1").unwrap();
    let new = door.add_key(&key("device-2"));
    tokio::time::advance(Duration::from_secs(1)).await;

    assert_eq!(knock(&admission, Some(&old), "access").await.unwrap_err(), Refusal::UnknownCaller);
    assert_eq!(knock(&admission, Some(&new), "access").await.unwrap().caller(), "device-2");
}

#[tokio::test(start_paused = true)]
async fn a_broken_keys_file_keeps_the_older_keys_in_force_until_it_is_mended() {
    let door = Door::new();
    let secret = door.add_key(&key("device-1"));
    let admission = door.open();
    let good = std::fs::read(door.keys_path()).unwrap();

    std::fs::write(door.keys_path(), "[[key]\n").unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(knock(&admission, Some(&secret), "access").await.is_ok());

    std::fs::write(door.keys_path(), "").unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(knock(&admission, Some(&secret), "access").await.is_err());

    std::fs::write(door.keys_path(), good).unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(knock(&admission, Some(&secret), "access").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_missing_keys_file_lets_nobody_in_until_it_is_made() {
    let door = Door::new();
    let admission = door.open();
    assert_eq!(knock(&admission, Some("x"), "access").await.unwrap_err(), Refusal::UnknownCaller);

    let secret = door.add_key(&key("device-1"));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(knock(&admission, Some(&secret), "access").await.is_ok());

    std::fs::remove_file(door.keys_path()).unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(knock(&admission, Some(&secret), "access").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_malformed_keys_file_is_a_fault_at_start_with_its_line() {
    let door = Door::new();
    std::fs::write(door.keys_path(), "# keys\n\n[[key]]\nname = \"a\"\n").unwrap();

    let words = door.try_open().unwrap_err();

    let path = door.keys_path();
    let expected =
        format!("the keys file `{}` of auth `keys`: line 3: missing field `hash`", path.display());
    assert_eq!(words, expected);
}

#[tokio::test(start_paused = true)]
async fn a_key_whose_plan_is_not_configured_opens_nothing() {
    let door = Door::new();
    let plan = Some("gatway".to_owned());
    let secret = door.add_key(&keys::NewKey { plan, ..key("device-1") });

    assert_eq!(
        knock(&door.open(), Some(&secret), "access").await.unwrap_err(),
        Refusal::NotAllowed
    );
}

#[tokio::test(start_paused = true)]
async fn a_door_whose_block_is_unknown_lets_nobody_in() {
    let door = Door::new();
    let secret = door.add_key(&key("device-1"));
    let admission = door.open();
    let shown = Shown { api_key: Some(&secret), ..Shown::default() };
    let (auth, declared_bytes) = (&["other".into()], None);
    let knock = Knock {
        source: "http.lan",
        auth,
        bounds: Bounds::default(),
        stream: "access",
        declared_bytes,
        shown,
    };

    assert_eq!(admission.enter(&knock).await.unwrap_err(), Refusal::UnknownCaller);
}

/// A signature over the body that ends in "!".
#[derive(Debug)]
struct Shouted;

impl Proof for Shouted {
    fn judge(&self, body: &[u8]) -> Result<(), Refusal> {
        if body.ends_with(b"!") { Ok(()) } else { Err(Refusal::UnknownCaller) }
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_comes_in_and_no_plan_is_charged_before_the_body_is_proven() {
    let bytes = Some(ByteRate { bytes: ByteSize(100), per: Duration::from_secs(1) });
    let door = Door::new().with_plan("p", PlanSettings { bytes, ..PlanSettings::default() });
    let admission = door.open();
    let enter = || {
        let (auth, declared_bytes, shown) = (&[][..], Some(100), Shown::default());
        let knock = Knock {
            source: "http.lan",
            auth,
            bounds: Bounds::default(),
            stream: "access",
            declared_bytes,
            shown,
        };
        let proof: Option<Box<dyn Proof>> = Some(Box::new(Shouted));
        let plan = Some("p".into());
        admission.let_in(&knock, Caller { plan, proof, ..Caller::default() }).unwrap()
    };

    let mut pass = enter();
    assert_eq!(admission.admit(&pass, records(1)).unwrap_err(), Refusal::UnknownCaller);
    assert_eq!(admission.prove(&mut pass, b"hello").unwrap_err(), Refusal::UnknownCaller);
    assert_eq!(admission.admit(&pass, records(1)).unwrap_err(), Refusal::UnknownCaller);
    assert_eq!(admission.prove(&mut pass, b"hello!"), Ok(()));
    assert_eq!(admission.admit(&pass, records(1)).unwrap().0.count(), 1);

    let guesses = Some(CountRate { count: 2, per: Duration::from_secs(20) });
    let address = Some("192.0.2.7".parse().unwrap());
    let knock = Knock {
        source: "http.lan",
        auth: &[],
        bounds: Bounds { guesses, ..Bounds::default() },
        stream: "access",
        declared_bytes: None,
        shown: Shown { address, ..Shown::default() },
    };
    for body in [&b"hello"[..], b"hello", b"hello!", b"hello"] {
        let proof: Option<Box<dyn Proof>> = Some(Box::new(Shouted));
        let mut pass = admission.let_in(&knock, Caller { proof, ..Caller::default() }).unwrap();
        assert_eq!(admission.prove(&mut pass, body).is_ok(), body == b"hello!");
    }
    let silenced = admission.enter(&knock).await.unwrap_err();
    assert!(matches!(silenced, Refusal::TooManyGuesses { .. }), "{silenced:?}");

    let charged_twice = admission.prove(&mut enter(), b"hello!").unwrap_err();
    assert!(matches!(charged_twice, Refusal::TooFast { .. }), "{charged_twice:?}");
}

/// An access key's id is no secret; which streams there are is for those who have the secret, too.
#[tokio::test]
async fn who_only_says_to_be_somebody_learns_no_streams_and_guesses() {
    let admission = Door::new().open();
    let guesses = Some(CountRate { count: 3, per: Duration::from_mins(1) });
    let shown = Shown { address: Some("192.0.2.7".parse().unwrap()), ..Shown::default() };
    let bounds = Bounds { guesses, ..Bounds::default() };
    let judged = |stream: &str, body: &[u8]| {
        let (source, auth) = ("http.lan", &[][..]);
        let knock = Knock { source, auth, bounds, stream, declared_bytes: None, shown };
        let proof: Option<Box<dyn Proof>> = Some(Box::new(Shouted));
        let streams = Some(vec!["access".to_owned()]);
        let mut pass = admission.let_in(&knock, Caller { proof, streams, ..Caller::default() })?;
        let told = admission.prove(&mut pass, body);
        let admitted = admission.admit(&pass, records(1));
        let is_nobody = matches!(admitted, Err(Refusal::UnknownCaller));
        assert_eq!(is_nobody, told.is_err(), "nothing is taken before it is shown");
        told
    };

    assert_eq!(judged("access", b"hello!"), Ok(()));
    assert_eq!(judged("audit", b"hello!"), Err(Refusal::NotAllowed));
    assert_eq!(judged("nosuch", b"hello!"), Err(Refusal::NotAllowed));
    for stream in ["access", "audit", "nosuch", "access"] {
        assert_eq!(judged(stream, b"hello"), Err(Refusal::UnknownCaller), "{stream}");
    }

    let knock = Knock {
        source: "http.lan",
        auth: &[],
        bounds,
        stream: "access",
        declared_bytes: None,
        shown,
    };
    let silenced = admission.enter(&knock).await.unwrap_err();
    assert!(matches!(silenced, Refusal::TooManyGuesses { .. }), "{silenced:?}");
}
