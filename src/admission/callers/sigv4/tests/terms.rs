//! What a signature is held to beside the bytes that it covers: time, scope, key, mode.

use super::*;

/// With the body left out of the signature, as botocore does for S3 where it is told to.
fn with_an_unsigned_body() -> Sent {
    let signed = format!(
        "{SCOPE}, SignedHeaders=content-type;host;x-amz-content-sha256;x-amz-date;x-amz-target, \
         Signature=b9a9099f65004f4f1ef5055100f1fc712621f9405cf274304f1eb59a5d0aaf7e"
    );
    let content = ("x-amz-content-sha256", UNSIGNED);
    Sent::new("/", &[TARGET, KIND, DATE, content, ("authorization", &signed)], BODY)
}

#[tokio::test(start_paused = true)]
async fn clocks_may_be_apart_by_the_window_and_no_more() {
    let at = |now: u64, sent: &Sent| judge(&signers(KEYS, now, |_| {}), sent);
    let right = Some(Ok("till".to_owned()));
    let sent = in_headers();
    for now in [SIGNED_AT - WINDOW, SIGNED_AT - 1, SIGNED_AT + WINDOW] {
        assert_eq!(at(now, &sent), right, "{now}");
    }
    check_invalid(at(SIGNED_AT + WINDOW + 1, &sent), "Signature expired");
    check_invalid(at(SIGNED_AT - WINDOW - 60 * SECOND, &sent), "Signature not yet current");

    let presigned = presigned();
    assert_eq!(at(SIGNED_AT + 59 * SECOND, &presigned), right);
    check_invalid(at(SIGNED_AT + 60 * SECOND + 1, &presigned), "Signature expired");
    check_invalid(at(SIGNED_AT - WINDOW - 60 * SECOND, &presigned), "not yet current");

    let hour = 3600 * SECOND;
    let wide = |settings: &mut SigV4Settings| settings.skew = Duration::from_millis(2 * hour);
    assert_eq!(judge(&signers(KEYS, SIGNED_AT + hour, wide), &sent), right);
}

#[tokio::test(start_paused = true)]
async fn scope_and_key_are_judged_before_the_body() {
    let replaced = |one: &str, other: &str| {
        let sent = in_headers();
        let signed = sent.headers["authorization"].replacen(one, other, 1);
        sent.with("authorization", &signed)
    };
    check_invalid(at_once(&replaced("/kinesis/", "/firehose/")), "correct service");
    check_invalid(at_once(&replaced("/kinesis/", "/s3/")), "correct service");
    check_invalid(at_once(&replaced("20261122/", "20261121/")), "Date in Credential scope");
    let region = |settings: &mut SigV4Settings| settings.region = Some("eu-central-1".into());
    check_invalid(judge(&signers(KEYS, SIGNED_AT, region), &in_headers()), "valid region");
    assert_eq!(at_once(&replaced("AKIAEXAMPLE", "AKIAOTHER")), None, "another block may know it");
    assert_eq!(at_once(&Sent::new("/", &[TARGET], b"")), None, "not signed at all");
    let bearer = ("authorization", "Bearer AWS4-HMAC");
    assert_eq!(at_once(&Sent::new("/", &[TARGET, bearer], b"")), None);

    let unknown = Some(Err(Refusal::from(SignatureFault::UnknownKey)));
    assert_eq!(at_once(&with_token()), unknown, "a token that the key does not have");
    let keys = format!("{KEYS}session_token = \"another\"\n");
    assert_eq!(judge(&signers(&keys, SIGNED_AT, |_| {}), &with_token()), unknown);
    assert_eq!(judge(&signers(&keys, SIGNED_AT, |_| {}), &in_headers()), unknown);
    let over = format!("{KEYS}expires = \"2026-11-22T06:05:19Z\"\n");
    let judged = judge(&signers(&over, SIGNED_AT, |_| {}), &in_headers());
    assert_eq!(judged, Some(Err(Refusal::NotAllowed)));
    let plan = format!("{KEYS}plan = \"gone\"\n");
    let judged = judge(&signers(&plan, SIGNED_AT, |_| {}), &in_headers());
    assert_eq!(judged, Some(Err(Refusal::NotAllowed)));
}

#[tokio::test(start_paused = true)]
async fn what_is_missing_is_named() {
    let (mut dateless, mut both) = (in_headers(), presigned());
    dateless.headers.remove("x-amz-date");
    both.headers.insert("authorization", in_headers().headers["authorization"].clone());
    check_invalid(at_once(&both), "Found both");

    let signed = |text: &str| in_headers().with("authorization", text);
    let mut table = vec![(dateless, "X-Amz-Date")];
    for (text, says) in [
        ("AWS4-HMAC-SHA256", "'Credential'"),
        ("AWS4-HMAC-SHA256 Credential=a/b/c/d", "exactly 5"),
        ("AWS4-HMAC-SHA256 Credential=/20261122/r/kinesis/aws4_request", "empty"),
        ("AWS4-HMAC-SHA256 Credential=a/b/c/d/aws5_request", "exactly 5"),
        ("AWS4-HMAC-SHA256 Credential=a/20261122/r/kinesis/aws4_request", "'SignedHeaders'"),
        (
            "AWS4-HMAC-SHA256 Credential=a/20261122/r/kinesis/aws4_request, SignedHeaders=host",
            "'Signature'",
        ),
        ("AWS4-HMAC-SHA1 Credential=a/20261122/r/kinesis/aws4_request", "algorithm"),
        ("AWS4-ECDSA-P256-SHA256 Credential=a", "algorithm"),
    ] {
        table.push((signed(text), says));
    }
    table.push((in_headers().with("x-amz-date", "2026-11-22T06:05:19Z"), "basic format"));
    for name in ["X-Amz-Credential=", "X-Amz-Date=", "X-Amz-Expires=", "X-Amz-Signature="] {
        let sent = presigned();
        table.push((Sent { uri: sent.uri.replacen(name, "x=", 1), ..sent }, name));
    }
    for seconds in ["0", "604801", "-1", "1.5"] {
        let sent = presigned();
        let uri = sent.uri.replacen("X-Amz-Expires=60", &format!("X-Amz-Expires={seconds}"), 1);
        table.push((Sent { uri, ..sent }, "X-Amz-Expires"));
    }
    for (sent, says) in table {
        let judged = at_once(&sent);
        let Some(Err(Refusal::BadSignature(SignatureFault::Incomplete(why)))) = &judged else {
            panic!("{says}: {judged:?}")
        };
        assert!(why.contains(says.trim_end_matches('=')), "{says}: {why}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_is_signed_unless_the_block_says_otherwise() {
    let unsigned = in_headers().with("x-amz-content-sha256", UNSIGNED);
    let signed = unsigned.headers["authorization"].replacen(
        "host;x-amz-date",
        "host;x-amz-content-sha256;x-amz-date",
        1,
    );
    let unsigned = unsigned.with("authorization", &signed);
    check_invalid(at_once(&unsigned), "UNSIGNED-PAYLOAD is not allowed");

    let allows = |settings: &mut SigV4Settings| settings.allows_unsigned_body = true;
    let judged = judge(&signers(KEYS, SIGNED_AT, allows), &unsigned);
    check_invalid(judged, "does not match");

    let lying = Sent {
        headers: BTreeMap::from_iter(
            unsigned.headers.clone().into_iter().chain([("x-amz-content-sha256", "00".repeat(32))]),
        ),
        ..unsigned
    };
    check_invalid(at_once(&lying), "does not match");
}

#[tokio::test(start_paused = true)]
async fn what_botocore_signed_without_the_body_is_right_where_that_is_allowed() {
    let signers = signers(KEYS, SIGNED_AT, |settings: &mut SigV4Settings| {
        settings.allows_unsigned_body = true
    });
    let sent = with_an_unsigned_body();
    let right = Some(Ok("till".to_owned()));

    check_invalid(at_once(&sent), "UNSIGNED-PAYLOAD is not allowed");
    assert_eq!(judge(&signers, &sent), right);
    let other = Sent { body: b"anything".to_vec(), ..sent.clone() };
    assert_eq!(judge(&signers, &other), right, "that is what it means");
    let target = sent.clone().with("x-amz-target", "Kinesis_20131202.PutRecords");
    check_invalid(judge(&signers, &target), "does not match");
    let hash = hex(&Sha256::digest(BODY));
    check_invalid(judge(&signers, &sent.with("x-amz-content-sha256", &hash)), "does not match");
    assert_eq!(judge(&signers, &in_headers()), right, "a signed body is as good as ever");
}

#[tokio::test(start_paused = true)]
async fn the_other_modes_believe_the_key_or_look_at_nothing() {
    let mode = |mode| move |settings: &mut SigV4Settings| settings.mode = mode;
    let wrong = Sent { body: Vec::new(), ..in_headers() };
    let identify = signers(KEYS, SIGNED_AT + 10 * WINDOW, mode(SignatureMode::Identify));
    assert_eq!(judge(&identify, &wrong), Some(Ok("till".into())));
    let off = signers(KEYS, SIGNED_AT, mode(SignatureMode::Off));
    assert_eq!(judge(&off, &in_headers()), None);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_everybody_may_read_is_refused() {
    let scratch = Scratch::new();
    let file = scratch.join("access-keys.toml");
    std::fs::write(&file, KEYS).unwrap();
    rustix::fs::chmod(&file, rustix::fs::Mode::from_raw_mode(0o604)).unwrap();
    let disk: SharedDisk = Arc::new(RealDisk);
    let ground = Ground { disk, clock: Clock::starting_at(SIGNED_AT), plans: Arc::default() };

    let why = Signers::open(&ground, "sdks", settings(file)).unwrap_err();

    assert!(why.contains("everybody on this host may read it; chmod 600 "), "{why}");
}
