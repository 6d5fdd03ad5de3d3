//! Tokens over real sockets: the good ones come in, every bad one gets its exact answer.

use serde_json::json;

use super::*;
use crate::admission::{Algorithm, JwtSettings, KeysFrom};
use crate::base::issuer::{TestKey, jwks, part};
use crate::sink::WebSettings;

const ISSUER: &str = "https://issuer.example";
const NOW_S: u64 = NOW / 1000;

/// Tokens of one issuer, whose keys stand in a file.
fn jwt(file: PathBuf) -> JwtSettings {
    JwtSettings {
        issuer: ISSUER.into(),
        audience: vec!["weir".into(), "other".into()],
        keys: KeysFrom::File(file),
        cache: "/nowhere".into(),
        algorithms: Algorithm::ALL.iter().map(|(_, algorithm)| *algorithm).collect(),
        scopes: Vec::new(),
        required: Vec::new(),
        leeway: Duration::from_secs(60),
        caller_claim: "sub".into(),
        plan_claim: None,
        refresh: Duration::from_hours(1),
        offline: Duration::from_hours(24),
        web: WebSettings { ca_bundle: None, timeout: Duration::from_secs(1) },
    }
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": "weir", "sub": "device-1",
        "iat": NOW_S, "nbf": NOW_S, "exp": NOW_S + 300,
    })
}

/// The claims with some of them changed, or taken out by null.
fn with(changes: Value) -> Value {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

/// A door that takes tokens signed with these keys.
async fn door(keys: &[&TestKey], change: impl FnOnce(&mut JwtSettings)) -> (Open, Scratch) {
    let scratch = Scratch::new();
    let file = scratch.join("jwks.json");
    std::fs::write(&file, jwks(keys).to_string()).unwrap();
    let mut settings = jwt(file);
    change(&mut settings);
    let auth = vec![("issuer", AuthKind::Jwt(Box::new(settings)))];
    (Wanted { auth, ..Wanted::default() }.open().await, scratch)
}

async fn show(open: &Open, token: &str) -> Reply {
    open.post(&[("authorization", &format!("Bearer {token}"))], "x").await
}

async fn check_bad(open: &Open, name: &str, token: &str, why: &str) {
    let before = open.stored();
    let reply = show(open, token).await;
    let body = json(&reply);
    assert_eq!(body["type"], "urn:weir:problem:bad-token", "{name}: {body}");
    assert_eq!(reply.status, 401, "{name}");
    let detail = format!("The token is not taken: {why}. Nothing was stored.");
    assert_eq!(body["detail"], detail, "{name}");
    let challenge = reply.header("www-authenticate").unwrap();
    assert!(challenge.contains("error=\"invalid_token\""), "{name}: {challenge}");
    assert_eq!(open.stored(), before, "{name}");
}

#[tokio::test]
async fn every_algorithm_with_a_private_key_is_taken() {
    let (rsa, p256, p384, ed) =
        (TestKey::rsa("r"), TestKey::p256("p"), TestKey::p384("q"), TestKey::ed25519("e"));
    let (open, _scratch) = door(&[&rsa, &p256, &p384, &ed], |_| ()).await;

    for (key, algorithm) in [
        (&rsa, "RS256"),
        (&rsa, "RS384"),
        (&rsa, "RS512"),
        (&rsa, "PS256"),
        (&rsa, "PS384"),
        (&rsa, "PS512"),
        (&p256, "ES256"),
        (&p384, "ES384"),
        (&ed, "EdDSA"),
    ] {
        let token = key.sign(algorithm, &claims());
        assert_eq!(show(&open, &token).await.status, 202, "{algorithm}");
        // The second time it is remembered.
        assert_eq!(show(&open, &token).await.status, 202, "{algorithm}");
        let bare = open.post(&[("authorization", &token)], "x").await;
        assert_eq!(bare.status, 202, "{algorithm}");
    }
    let numbers = open.metrics.encode();
    let label = "weir_caller_records_total{caller=\"device-1\",stream=\"access\"} 27\n";
    assert!(numbers.contains(label), "{numbers}");
}

#[tokio::test]
async fn no_token_chooses_how_it_is_judged() {
    let (rsa, p256, ed) = (TestKey::rsa("k"), TestKey::p256("p"), TestKey::ed25519("e"));
    let (open, _scratch) = door(&[&rsa, &p256, &ed], |settings| {
        settings.algorithms = vec![Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa];
    })
    .await;
    let hmac = |bytes: &[u8]| {
        let header = part(json!({"alg": "HS256", "kid": "k"}).to_string());
        let message = format!("{header}.{}", part(claims().to_string()));
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, bytes);
        let tag = ring::hmac::sign(&key, message.as_bytes());
        format!("{message}.{}", part(tag.as_ref()))
    };
    let unsigned = |algorithm: &str| {
        let header = part(json!({"alg": algorithm, "kid": "k"}).to_string());
        format!("{header}.{}.", part(claims().to_string()))
    };
    let not_taken = "its algorithm is not taken";

    for algorithm in ["none", "None", "NONE", "nOnE", ""] {
        check_bad(&open, algorithm, &unsigned(algorithm), not_taken).await;
    }
    check_bad(&open, "HS256 by the public key", &hmac(&rsa.public_bytes()), not_taken).await;
    check_bad(&open, "HS256 by nothing", &hmac(b""), not_taken).await;
    check_bad(&open, "RS512", &rsa.sign("RS512", &claims()), not_taken).await;
    check_bad(&open, "lower case", &rsa.sign("rs256", &claims()), not_taken).await;
    let other_kind = p256.sign_with(&json!({"alg": "ES256", "kid": "k"}), &claims());
    check_bad(&open, "another kind of key", &other_kind, "its key is not known").await;
    check_bad(&open, "unsigned", &unsigned("RS256"), "its signature is wrong").await;
    let own = json!({"alg": "ES256", "jwk": TestKey::p256("x").jwk()});
    let own = TestKey::p256("x").sign_with(&own, &claims());
    check_bad(&open, "a key of its own", &own, "its signature is wrong").await;
    let crit = rsa.sign_with(&json!({"alg": "RS256", "kid": "k", "crit": ["exp"]}), &claims());
    check_bad(&open, "crit", &crit, "it has extensions that are not known").await;
    let nameless = rsa.sign_with(&json!({"alg": "RS256"}), &claims());
    assert_eq!(show(&open, &nameless).await.status, 202, "no key id: all keys are tried");
}

#[tokio::test]
async fn every_bad_token_gets_its_exact_answer_and_stores_nothing() {
    let (key, stranger) = (TestKey::p256("k"), TestKey::p256("k"));
    let (open, _scratch) = door(&[&key], |settings| {
        settings.scopes = vec!["ingest".into()];
        settings.required =
            vec![("tenant".into(), None), ("token_use".into(), Some("access".into()))];
    })
    .await;
    let good = json!({"scope": "read ingest", "tenant": 7, "token_use": "access"});
    let sign = |changes: Value| {
        let mut all = good.clone();
        all.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        key.sign("ES256", &with(all))
    };
    assert_eq!(show(&open, &sign(json!({}))).await.status, 202);

    let at = |name: &str, offset: i64| json!({ name: NOW_S as i64 + offset });
    for (name, changes, why) in [
        ("expired", at("exp", -60), "it has expired"),
        ("without an end", json!({"exp": null}), "it never expires"),
        ("an end that is a text", json!({"exp": "9999999999"}), "a time in it is none"),
        ("not yet", at("nbf", 62), "it is not valid yet"),
        ("a begin that is a text", json!({"nbf": "0"}), "a time in it is none"),
        ("of the future", at("iat", 62), "it was made in the future"),
        ("another audience", json!({"aud": "theirs"}), "it is for another audience"),
        ("other audiences", json!({"aud": ["a", "b"]}), "it is for another audience"),
        ("no audience", json!({"aud": null}), "it is for another audience"),
        ("another client", json!({"aud": null, "client_id": "x"}), "it is for another audience"),
        (
            "client beside audience",
            json!({"aud": "x", "client_id": "weir"}),
            "it is for another audience",
        ),
        ("an odd audience", json!({"aud": 7}), "it is for another audience"),
        ("no scope", json!({"scope": null}), "it lacks the scope"),
        ("another scope", json!({"scope": "ingested in gest"}), "it lacks the scope"),
        ("a claim missing", json!({"tenant": null}), "a claim is missing"),
        ("another use", json!({"token_use": "id"}), "a claim has another value"),
        ("nobody", json!({"sub": null}), "it names no caller"),
        ("a number", json!({"sub": 7}), "it names no caller"),
        ("an empty name", json!({"sub": ""}), "its caller has no usable name"),
        ("a name of two lines", json!({"sub": "a\nb"}), "its caller has no usable name"),
        ("a long name", json!({"sub": "x".repeat(257)}), "its caller has no usable name"),
    ] {
        check_bad(&open, name, &sign(changes), why).await;
    }
    for (name, changes) in [
        ("just expired", at("exp", -30)),
        ("soon", at("nbf", 60)),
        ("soon made", at("iat", 60)),
        ("one of many", json!({"aud": ["a", "other"]})),
        ("the client", json!({"aud": null, "client_id": "weir"})),
        ("half a second", json!({"exp": NOW_S as f64 + 0.5})),
        ("scp", json!({"scope": null, "scp": ["ingest"]})),
        ("a long name", json!({"sub": "x".repeat(256)})),
    ] {
        assert_eq!(show(&open, &sign(changes)).await.status, 202, "{name}");
    }
    let wrong = "its signature is wrong";
    let whole = sign(json!({}));
    check_bad(&open, "a wrong key", &stranger.sign("ES256", &with(good.clone())), wrong).await;
    let unknown = TestKey::p256("who").sign("ES256", &claims());
    check_bad(&open, "an unknown key", &unknown, "its key is not known").await;
    let (message, signature) = whole.rsplit_once('.').unwrap();
    let (header, _) = message.split_once('.').unwrap();
    let swapped = format!("{header}.{}.{signature}", part(claims().to_string()));
    check_bad(&open, "changed claims", &swapped, wrong).await;
    check_bad(&open, "a cut signature", whole.get(..whole.len() - 2).unwrap(), wrong).await;
}

#[tokio::test]
async fn what_is_no_token_of_this_issuer_is_unknown() {
    let key = TestKey::p256("k");
    let (open, _scratch) = door(&[&key], |_| ()).await;
    let slash = key.sign("ES256", &with(json!({"iss": format!("{ISSUER}/")})));
    let whole = key.sign("ES256", &claims());

    for token in ["", "x", "a.b", "a.b.c", &slash, whole.get(..40).unwrap(), "weir_key", "é.é.é"]
    {
        check_problem(&show(&open, token).await, 401, "unknown-caller");
    }
    let basic = open.post(&[("authorization", &format!("Basic {whole}"))], "x").await;
    check_problem(&basic, 401, "unknown-caller");
    let large = "a".repeat(17 << 10);
    check_problem(&show(&open, &large).await, 431, "head-too-large");
    let megabyte = "a".repeat(1 << 20);
    let said =
        format!("POST {PATH} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {megabyte}\r\n\r\n");
    let mut stream = TcpStream::connect(&open.addresses[0]).await.unwrap();
    // The door closes in the middle of it.
    stream.write_all(said.as_bytes()).await.ok();
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).await.ok();
    let heard = String::from_utf8_lossy(&heard);
    assert!(heard.is_empty() || heard.starts_with("HTTP/1.1 431"), "{heard}");
    assert_eq!(show(&open, &whole).await.status, 202);
    assert_eq!(open.stored(), 1);
}

#[tokio::test]
async fn the_first_block_that_knows_the_caller_decides() {
    let (mine, theirs) = (TestKey::p256("k"), TestKey::p256("k"));
    let scratch = Scratch::new();
    let block = |name: &str, key: &TestKey, issuer: &str| {
        let file = scratch.join(name);
        std::fs::write(&file, jwks(&[key]).to_string()).unwrap();
        AuthKind::Jwt(Box::new(JwtSettings { issuer: issuer.into(), ..jwt(file) }))
    };
    let auth = vec![
        ("mine", block("mine", &mine, ISSUER)),
        ("theirs", block("theirs", &theirs, "https://other.example")),
    ];
    let keys = vec![key("a")];
    let open = Wanted { auth, keys, ..Wanted::default() }.open().await;
    let other = with(json!({"iss": "https://other.example"}));

    assert_eq!(show(&open, &open.secrets[0]).await.status, 202);
    assert_eq!(show(&open, &mine.sign("ES256", &claims())).await.status, 202);
    assert_eq!(show(&open, &theirs.sign("ES256", &other)).await.status, 202);
    check_bad(&open, "mine", &theirs.sign("ES256", &claims()), "its signature is wrong").await;
}
