//! Callers whom somebody else knows, asked over real sockets: issuers of tokens, authorizers.

mod authorizers;

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};

use hyper::http::request::Parts;
use hyper::{Method, Request};
use serde_json::{Value, json};

use super::*;
use crate::base::issuer::{TestKey, jwks};
use crate::sink::WebSettings;

/// Somebody who answers every request with the same JSON, and counts them.
struct Server {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
    status: Arc<AtomicU16>,
    answer: Arc<Mutex<Value>>,
    heard: Arc<Mutex<Value>>,
    serving: tokio::task::JoinHandle<()>,
}

impl Server {
    async fn start(answer: Value) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let status = Arc::new(AtomicU16::new(200));
        let (answer, heard) = (Arc::new(Mutex::new(answer)), Arc::new(Mutex::new(Value::Null)));
        let parts = (asked.clone(), status.clone(), answer.clone(), heard.clone());
        let app = axum::Router::new().fallback(move |body: Bytes| {
            let (asked, status, answer, heard) = parts.clone();
            async move {
                asked.fetch_add(1, Ordering::SeqCst);
                *heard.lock().unwrap() = serde_json::from_slice(&body).unwrap_or_default();
                let status = axum::http::StatusCode::from_u16(status.load(Ordering::SeqCst));
                (status.unwrap(), answer.lock().unwrap().to_string())
            }
        });
        #[expect(clippy::disallowed_methods, reason = "it ends with the test")]
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { address, asked, status, answer, heard, serving }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn say(&self, answer: Value) {
        *self.answer.lock().unwrap() = answer;
    }
}

fn web() -> WebSettings {
    WebSettings { ca_bundle: None, timeout: Duration::from_secs(5) }
}

fn head(path: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(Method::POST).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

async fn enter(admission: &Admission, head: &Parts) -> Result<Pass, Refusal> {
    enter_within(admission, head, None).await
}

/// Where so many guesses are borne.
async fn enter_within(
    admission: &Admission,
    head: &Parts,
    guesses: Option<CountRate>,
) -> Result<Pass, Refusal> {
    let address = Some("192.0.2.7".parse().unwrap());
    let params = [("device".to_owned(), "d-1".to_owned())];
    let pattern = "/ingest/{device}/events";
    let shown = Shown {
        head: Some(head),
        address,
        request: "R1",
        pattern,
        params: &params,
        ..Shown::default()
    };
    let (auth, bounds) = (&["other".into()], Bounds { guesses, ..Bounds::default() });
    let knock =
        Knock { source: "http.lan", auth, bounds, stream: "access", declared_bytes: None, shown };
    admission.enter(&knock).await
}

/// The caller's name.
async fn name(admission: &Admission, head: &Parts) -> Result<String, Refusal> {
    enter(admission, head).await.map(|pass| pass.caller().to_owned())
}

const ISSUER: &str = "https://issuer.example";

fn jwt(door: &Door, keys: KeysFrom) -> JwtSettings {
    JwtSettings {
        issuer: ISSUER.into(),
        audience: vec!["weir".into()],
        keys,
        cache: door.scratch.join("issuers/other.jwks"),
        algorithms: vec![Algorithm::Es256],
        scopes: Vec::new(),
        required: Vec::new(),
        leeway: Duration::ZERO,
        caller_claim: "sub".into(),
        plan_claim: Some("plan".into()),
        refresh: Duration::from_hours(1),
        offline: Duration::from_hours(24),
        web: web(),
    }
}

fn signed(key: &TestKey, more: Value) -> Parts {
    let mut claims = json!({"iss": ISSUER, "aud": "weir", "sub": "d-1", "exp": NOW / 1000 + 900});
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    head("/", &[("authorization", &format!("Bearer {}", key.sign("ES256", &claims)))])
}

fn with_jwt(door: Door, settings: JwtSettings) -> Door {
    door.with_auth(AuthKind::Jwt(Box::new(settings)))
}

#[tokio::test]
async fn keys_are_fetched_once_and_kept_for_a_restart_without_network() {
    let key = TestKey::p256("k");
    let server = Server::start(jwks(&[&key])).await;
    let door = Door::new();
    let settings = jwt(&door, KeysFrom::Url(server.url()));
    let door = with_jwt(door, settings.clone());
    let admission = door.open();
    let token = signed(&key, json!({}));

    for _ in 0..3 {
        assert_eq!(name(&admission, &token).await.as_deref(), Ok("d-1"));
    }
    assert_eq!(server.asked(), 1);

    server.serving.abort();
    let again = door.open();
    assert_eq!(name(&again, &token).await.as_deref(), Ok("d-1"));

    // Keys of another issuer of the same name are not taken for its own.
    let other = JwtSettings { issuer: "https://evil.example".into(), ..settings };
    let other = with_jwt(door, other).open();
    let evil = signed(&key, json!({"iss": "https://evil.example"}));
    assert_eq!(name(&other, &evil).await, Err(Refusal::Unchecked));
}

#[tokio::test]
async fn a_key_that_is_not_known_is_asked_for_but_not_each_time() {
    let (old, new) = (TestKey::p256("old"), TestKey::p256("new"));
    let server = Server::start(jwks(&[&old])).await;
    let door = Door::new();
    let settings = jwt(&door, KeysFrom::Url(server.url()));
    let admission = with_jwt(door, settings).open();
    let unknown = Err(Refusal::BadToken { why: "its key is not known" });

    assert_eq!(name(&admission, &signed(&new, json!({}))).await, unknown);
    server.say(jwks(&[&old, &new]));
    for _ in 0..50 {
        let guess = TestKey::p256("guess");
        assert_eq!(name(&admission, &signed(&guess, json!({}))).await, unknown);
    }
    assert_eq!(server.asked(), 1, "the first question is a moment ago");
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(10)).await;
    tokio::time::resume();
    assert_eq!(name(&admission, &signed(&new, json!({}))).await.as_deref(), Ok("d-1"));
    assert_eq!(server.asked(), 2);
    assert_eq!(name(&admission, &signed(&old, json!({}))).await.as_deref(), Ok("d-1"));
}

#[tokio::test]
async fn an_issuer_that_is_away_and_was_never_asked_makes_callers_wait() {
    let door = Door::new();
    let settings = jwt(&door, KeysFrom::Url("http://127.0.0.1:9".into()));
    let admission = with_jwt(door, settings).open();

    let refusal = name(&admission, &signed(&TestKey::p256("k"), json!({}))).await;

    assert_eq!(refusal, Err(Refusal::Unchecked));
}

#[tokio::test]
async fn discovery_believes_only_what_the_issuer_says_of_itself() {
    let key = TestKey::p256("k");
    let keys = Server::start(jwks(&[&key])).await;
    for (claims_to_be, expected) in
        [(None, Ok("d-1")), (Some("http://other"), Err(Refusal::Unchecked))]
    {
        let issuer = Server::start(Value::Null).await;
        let of = claims_to_be.map_or(issuer.url(), str::to_owned);
        issuer.say(json!({"issuer": of, "jwks_uri": keys.url()}));
        let door = Door::new();
        let settings = JwtSettings { issuer: issuer.url(), ..jwt(&door, KeysFrom::Discovery) };
        let admission = with_jwt(door, settings).open();
        let token = signed(&key, json!({"iss": issuer.url()}));

        let found = name(&admission, &token).await;

        assert_eq!(found.as_deref().map_err(Clone::clone), expected, "{of}");
    }
}

#[tokio::test]
async fn a_plan_that_a_token_names_must_exist() {
    let key = TestKey::p256("k");
    let door = Door::new().with_plan("gold", PlanSettings::default());
    let file = door.scratch.join("jwks.json");
    std::fs::write(&file, jwks(&[&key]).to_string()).unwrap();
    let settings = jwt(&door, KeysFrom::File(file));
    let admission = with_jwt(door, settings).open();

    assert!(name(&admission, &signed(&key, json!({"plan": "gold"}))).await.is_ok());
    let free = name(&admission, &signed(&key, json!({"plan": "free"}))).await;
    assert_eq!(free, Err(Refusal::NotAllowed));
}
