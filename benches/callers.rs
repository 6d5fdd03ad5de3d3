//! What it costs to know a caller and hold it to its plan, beside an open door and one durable append in
//! the same run.
//!
//! `cargo bench --bench callers` prints Markdown: microseconds per request of one record.

#![expect(clippy::print_stdout, reason = "a bench prints what it finds")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::http::request::Parts;
use serde_json::json;
use tokio::time::Instant;
use weir::admission::{
    Admission, Algorithm, AuthKind, AuthSettings, Below, Bounds, JwtSettings, KeysFrom, Knock,
    Period, PlanSettings, Quota, Settings, Shown, StreamSettings, keys,
};
use weir::base::clock::Clock;
use weir::base::disk::{RealDisk, SharedDisk};
use weir::base::issuer::{TestKey, jwks};
use weir::base::units::{ByteRate, ByteSize, CountRate};
use weir::queue;
use weir::record::RawRecord;
use weir::sink::WebSettings;
use weir::telemetry::Metrics;

const SECOND: Duration = Duration::from_secs(1);
const ROUNDS: u32 = 20_000;
/// Keys in the file: each request hashes one and compares with all.
const KEYS: usize = 100;

fn main() {
    let folder = std::env::temp_dir().join(format!("weir-callers-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("the temporary folder can be written");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be made").block_on(compare(&folder));
    std::fs::remove_dir_all(&folder).expect("what was made can be removed");
}

async fn compare(folder: &std::path::Path) {
    let (disk, clock): (SharedDisk, _) = (Arc::new(RealDisk), Clock::real());
    let file = folder.join("keys.toml");
    let mut secret = None;
    for n in 0..KEYS {
        let new = keys::NewKey { name: format!("device-{n}"), ..keys::NewKey::default() };
        secret = keys::add(disk.as_ref(), &clock, &file, &new).ok();
    }
    let secret = secret.expect("a key can be made");
    let (rsa, ec) = (TestKey::rsa("r"), TestKey::p256("e"));
    let set = folder.join("jwks.json");
    std::fs::write(&set, jwks(&[&rsa, &ec]).to_string()).expect("the folder can be written");
    let admission = open(folder, &disk, &clock, &file, &set);
    let claims = json!({
        "iss": "i", "aud": "weir", "sub": "d", "exp": clock.unix_ms() / 1000 + 3600,
    });
    let token = |key: &TestKey, name: &str, n: u32| {
        let mut claims = claims.clone();
        claims.as_object_mut().expect("claims are an object").insert("jti".into(), n.into());
        let token = key.sign(name, &claims);
        let request = Request::builder().header("authorization", format!("Bearer {token}"));
        request.body(()).expect("a token is a header").into_parts().0
    };
    let one = [token(&ec, "ES256", 0)];
    let fresh_ec: Vec<Parts> = (0..2_000).map(|n| token(&ec, "ES256", n)).collect();
    let fresh_rsa: Vec<Parts> = (0..500).map(|n| token(&rsa, "RS256", n)).collect();
    let none = [Request::new(()).into_parts().0];

    println!("| door | µs per request | beside the open door |\n|---|---|---|");
    let open = round(&admission, &[], None, &none, ROUNDS).await;
    for (name, auth, key, heads, rounds) in [
        ("open", None, None, &none[..], ROUNDS),
        ("api_key, 100 keys", Some("bare"), Some(secret.reveal()), &none[..], ROUNDS),
        ("api_key, plan, quota", Some("planned"), Some(secret.reveal()), &none[..], ROUNDS),
        ("jwt, remembered", Some("tokens"), None, &one[..], ROUNDS),
        ("jwt, new ES256", Some("tokens"), None, &fresh_ec[..], 2_000),
        ("jwt, new RS256", Some("tokens"), None, &fresh_rsa[..], 500),
    ] {
        let auth: Vec<String> = auth.into_iter().map(str::to_owned).collect();
        let took = round(&admission, &auth, key, heads, rounds).await;
        println!("| {name} | {took:.2} | +{:.2} |", took - open);
    }
    let began = Instant::now();
    for _ in 0..200 {
        let pass = admission.enter_openly("bench", "s").expect("there is a stream");
        let admitted = admission.admit(&pass, vec![record()]).expect("nothing is wrong").0;
        admission.store(admitted).await.expect("there is room");
    }
    println!("| open, and stored durably | {:.2} | |", micros(began, 200));
}

/// Enters and admits one record of 1 KiB, again and again.
async fn round(
    admission: &Admission,
    auth: &[String],
    api_key: Option<&str>,
    heads: &[Parts],
    rounds: u32,
) -> f64 {
    let began = Instant::now();
    for head in heads.iter().cycle().take(rounds as usize) {
        let shown = Shown { api_key, head: Some(head), ..Shown::default() };
        let (bounds, declared_bytes) = (Bounds::default(), Some(1024));
        let knock = Knock { source: "http.lan", auth, bounds, stream: "s", declared_bytes, shown };
        let pass = admission.enter(&knock).await.expect("the caller is known");
        drop(admission.admit(&pass, vec![record()]).expect("nothing is wrong"));
    }
    micros(began, rounds)
}

fn micros(began: Instant, rounds: u32) -> f64 {
    began.elapsed().as_secs_f64() * 1e6 / f64::from(rounds)
}

fn record() -> RawRecord {
    RawRecord { payload: vec![b'x'; 1024].into(), ..RawRecord::default() }
}

fn open(
    folder: &std::path::Path,
    disk: &SharedDisk,
    clock: &Clock,
    file: &std::path::Path,
    set: &std::path::Path,
) -> Arc<Admission> {
    let block = |kind, plan: Option<&str>| AuthSettings {
        kind,
        plan: plan.map(str::to_owned),
        streams: None,
    };
    let keys = || AuthKind::ApiKey { file: file.to_owned() };
    let jwt = AuthKind::Jwt(Box::new(JwtSettings {
        issuer: "i".into(),
        audience: vec!["weir".into()],
        keys: KeysFrom::File(set.to_owned()),
        cache: folder.join("cache"),
        algorithms: vec![Algorithm::Rs256, Algorithm::Es256],
        scopes: Vec::new(),
        required: Vec::new(),
        leeway: SECOND,
        caller_claim: "sub".into(),
        plan_claim: None,
        refresh: SECOND,
        offline: SECOND,
        web: WebSettings { ca_bundle: None, timeout: SECOND },
    }));
    let many = CountRate { count: 1_000_000_000, per: SECOND };
    let quota = Some(Quota { limit: u64::MAX, period: Period::Day });
    let plan = PlanSettings {
        requests: Some(many),
        rate: Some(many),
        bytes: Some(ByteRate { bytes: ByteSize(1 << 40), per: SECOND }),
        quota,
        quota_bytes: quota,
        ..PlanSettings::default()
    };
    let stream = StreamSettings {
        max_record_bytes: 1 << 20,
        partition_key: None,
        aliases: Vec::new(),
        plan: None,
        treatment: Default::default(),
    };
    let settings = Settings {
        streams: BTreeMap::from([("s".into(), stream)]),
        auth: BTreeMap::from([
            ("bare".into(), block(keys(), None)),
            ("planned".into(), block(keys(), Some("p"))),
            ("tokens".into(), block(jwt, None)),
        ]),
        plans: BTreeMap::from([("p".into(), plan)]),
    };
    let metrics = Metrics::default();
    let queue = queue::Settings {
        folder: folder.join("queue"),
        stream: "s".into(),
        max_bytes: 64 << 20,
        min_free_disk: 0,
        cursor_save_after: SECOND,
        policy: queue::Policy::default(),
        compresses: false,
        keys: queue::Keys::default(),
        sync: queue::SyncLevel::Always,
    };
    let opened = queue::open(disk.clone(), queue, &["sink".into()], &metrics);
    let writer = opened.expect("a queue can be opened").writer;
    let queues = BTreeMap::from([("s".to_owned(), writer)]);
    let lambdas = BTreeMap::new();
    let below = Below { disk: disk.clone(), clock: clock.clone(), queues, lambdas, quotas: None };
    Admission::open(below, settings, &metrics).expect("the settings are sound")
}
