//! Clients that others wrote for Kinesis and Firehose are pointed at weir and changed in nothing else: what
//! they put while the upstream is away arrives when it is back, with its key and in its order.

mod chain;
mod command_line;
mod firehose;
mod killed;
mod kinesis;
mod lists;
mod refused;
mod rust_sdk;
mod signed;
mod tls;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::books::Books;
use crate::support::peers::{Arrival, venv_program};
use crate::support::scratch::Scratch;
use crate::support::{PATIENCE, wait_at_most, wait_for};

/// The key that the clients sign with; weir knows it under another name.
const KEY: (&str, &str) = ("AKIAWEIRTEST", "a-secret-of-this-test/+=");
/// The name of the stream in the clients' own settings; weir's own name for it is `orders`.
const ALIAS: &str = "orders-prod";

/// A record as a client is given it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Given {
    data: Vec<u8>,
    key: Option<String>,
    hash_key: Option<u128>,
}

/// What a client did.
#[derive(Debug, Default, PartialEq, Eq)]
struct Done {
    /// Numbers or ids, in the order of the records.
    told: Vec<String>,
    /// Of each call of many: how many were taken, and how many, all behind those, held back.
    calls: Vec<(u64, u64)>,
    /// The content type that its requests had, where it tells.
    kind: Option<String>,
}

impl Done {
    /// How many records it had to put again.
    fn again(&self) -> u64 {
        self.calls.iter().map(|(_, held_back)| held_back).sum()
    }
}

/// A client, and how it is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    Boto3,
    JavaScript,
    /// Both clients of the SDK for Java 2: the one that waits puts one by one, the other many.
    Java,
    Rust,
}

/// What a client is to do.
#[derive(Clone, Copy)]
struct Put<'a> {
    /// Where weir listens.
    endpoint: &'a str,
    service: &'static str,
    /// `many` or `one`.
    form: &'static str,
    records: &'a [Given],
    /// How often it tries a call.
    attempts: u32,
    /// Whom it trusts; needed for TLS.
    ca: Option<&'a Path>,
}

impl<'a> Put<'a> {
    fn kinesis(endpoint: &'a str, form: &'static str, records: &'a [Given]) -> Self {
        Self { endpoint, service: "kinesis", form, records, attempts: 3, ca: None }
    }

    fn firehose(endpoint: &'a str, form: &'static str, records: &'a [Given]) -> Self {
        Self { service: "firehose", ..Self::kinesis(endpoint, form, records) }
    }

    fn with_attempts(self, attempts: u32) -> Self {
        Self { attempts, ..self }
    }
}

/// Records under a few keys, some with all bytes; each says its place.
fn given(count: usize) -> Vec<Given> {
    let record = |number: usize| {
        let mut data = format!("{{\"number\":{number:06}}}").into_bytes();
        if number.is_multiple_of(7) {
            data.extend(0..=255);
        }
        let key = Some(format!("device \u{e9} {}", number % 5));
        Given { data, key, hash_key: None }
    };
    (0..count).map(record).collect()
}

/// A file of access keys: the one of these tests, and more.
fn keys(scratch: &Scratch, more: &str) -> PathBuf {
    let (id, secret) = KEY;
    let keys = scratch.write(
        "access-keys.toml",
        &format!(
            "[[key]]\naccess_key_id = \"{id}\"\nsecret_access_key = \"{secret}\"\nname = \"till\"\n{more}"
        ),
    );
    rustix::fs::chmod(&keys, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    keys
}

/// A door that signed requests come in by, and a stream that leads to `cloud`.
fn config(scratch: &Scratch, more: &str, destination: &str) -> String {
    format!(
        "[http.sdks]\nlisten = \"127.0.0.1:0\"\nauth = [\"sdks\"]\n\
         [auth.sdks]\ntype = \"sigv4\"\nfile = \"{}\"\n{more}\n\
         [stream.orders]\naliases = [\"{ALIAS}\"]\ndestinations = [\"cloud\"]\n{destination}",
        keys(scratch, "").display()
    )
}

fn endpoint(agent: &Agent) -> String {
    format!("http://{}", agent.http("sdks"))
}

impl Client {
    fn command(self) -> Command {
        let file =
            |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name);
        match self {
            Self::Boto3 => {
                let mut command = Command::new(venv_program("python"));
                command.arg(file("put.py"));
                command
            }
            Self::JavaScript => {
                let mut command = Command::new("node");
                command.arg(file("put.mjs")).env("WEIR_TEST_CLIENTS", node_modules());
                command
            }
            Self::Java => {
                let mut command = Command::new("java");
                // Short-lived: neither the best code nor the best collector pays.
                command.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m"]);
                let classes = compiled(&file("Put.java"));
                let all = std::iter::once(classes).chain(jars());
                command.arg("--class-path").arg(std::env::join_paths(all).unwrap()).arg("Put");
                command
            }
            Self::Rust => unreachable!("the SDK for Rust runs in this process"),
        }
    }

    /// Puts records, in calls of many or one by one; ends when all are taken.
    #[track_caller]
    fn put(self, scratch: &Scratch, what: &Put<'_>) -> Done {
        if matches!(self, Self::Rust) {
            return rust_sdk::put(what);
        }
        let records: Vec<Value> = what
            .records
            .iter()
            .map(|one| {
                let hash_key = one.hash_key.map(|hash_key| hash_key.to_string());
                json!([BASE64_STANDARD.encode(&one.data), one.key, hash_key])
            })
            .collect();
        let asked = json!({
            "endpoint": what.endpoint, "service": what.service, "stream": ALIAS, "form": what.form,
            "key": KEY.0, "secret": KEY.1, "attempts": what.attempts, "records": records,
        });
        let mut command = self.command();
        if let Some(ca) = what.ca {
            command.env("AWS_CA_BUNDLE", ca).env("NODE_EXTRA_CA_CERTS", ca);
            if self == Self::Java {
                command.env("JAVA_TOOL_OPTIONS", trusted_by_java(scratch, ca));
            }
        }
        let said = run(scratch, command, &asked.to_string());
        let mut said: Value = serde_json::from_str(&said).unwrap();
        Done {
            told: serde_json::from_value(said["told"].take()).unwrap(),
            calls: serde_json::from_value(said["calls"].take()).unwrap(),
            kind: said["kind"].as_str().map(str::to_owned),
        }
    }
}

pub(crate) fn node_modules() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = std::env::var_os("WEIR_TEST_CLIENTS")
        .map_or_else(|| root.join("target/clients"), PathBuf::from);
    assert!(
        folder.join("node_modules").exists(),
        "the SDK for JavaScript is missing: run ./tests/run once, it installs it"
    );
    folder
}

/// The folder that a source of Java was compiled into, once for all tests.
fn compiled(source: &Path) -> PathBuf {
    static CLASSES: OnceLock<PathBuf> = OnceLock::new();
    let compile = || {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("java-clients");
        let mut command = Command::new("javac");
        command.arg("--class-path").arg(std::env::join_paths(jars()).unwrap());
        let done = command.arg("-d").arg(&folder).arg(source).output().unwrap();
        assert!(done.status.success(), "{done:?}");
        folder
    };
    CLASSES.get_or_init(compile).clone()
}

/// The SDK for Java, for a class path. It comes with the Kinesis consumer for Python, which is written in Java.
fn jars() -> Vec<PathBuf> {
    let libraries = venv_program("python").parent().unwrap().join("../lib");
    let packages = fs::read_dir(&libraries).unwrap().map(|one| one.unwrap().path());
    let folders = packages.map(|one| one.join("site-packages/amazon_kclpy/jars"));
    let folder = folders.into_iter().find(|folder| folder.exists());
    let folder = folder.expect("the SDK for Java is missing: run ./tests/run once, it installs it");
    let jars = fs::read_dir(folder).unwrap().map(|one| one.unwrap().path());
    // Without it nothing is logged, and standard output is ours.
    let is_wanted = |jar: &PathBuf| !jar.to_string_lossy().contains("/logback-");
    jars.filter(is_wanted).collect()
}

/// Java reads no PEM: the authority in a store of its own kind, as options.
#[track_caller]
fn trusted_by_java(scratch: &Scratch, ca: &Path) -> OsString {
    let store = scratch.join("trusted.p12");
    if !store.exists() {
        let mut command = Command::new("keytool");
        command.args(["-importcert", "-noprompt", "-alias", "site", "-storetype", "PKCS12"]);
        command.args(["-storepass", "changeit", "-file"]).arg(ca).arg("-keystore").arg(&store);
        run(scratch, command, "");
    }
    let mut options = OsString::from("-Djavax.net.ssl.trustStorePassword=changeit");
    options.push(" -Djavax.net.ssl.trustStore=");
    options.push(store);
    options
}

/// Runs a client to its end with nothing of the tester's environment but what the command names; what it says.
#[track_caller]
fn run(scratch: &Scratch, mut command: Command, input: &str) -> String {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let number = RUNS.fetch_add(1, Ordering::Relaxed);
    let input = scratch.write(&format!("client-{number}.in"), input);
    let file = |end: &str| scratch.join(&format!("client-{number}.{end}"));
    let (stdout, stderr) = (file("out"), file("err"));
    let own: Vec<(OsString, OsString)> = command
        .get_envs()
        .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
        .collect();
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.env_clear().env("PATH", path).env("HOME", scratch.path());
    command.env("AWS_EC2_METADATA_DISABLED", "true").env("AWS_DEFAULT_REGION", "eu-west-1");
    command.env("AWS_ACCESS_KEY_ID", KEY.0).env("AWS_SECRET_ACCESS_KEY", KEY.1).envs(own);
    let mut child = command
        .stdin(Stdio::from(File::open(input).unwrap()))
        .stdout(File::create(&stdout).unwrap())
        .stderr(File::create(&stderr).unwrap())
        .spawn()
        .unwrap();
    let status = wait_at_most(PATIENCE, || child.try_wait().unwrap());
    let said = fs::read_to_string(&stderr).unwrap();
    let Some(status) = status else {
        child.kill().unwrap();
        child.wait().unwrap();
        panic!("the client did not end in {PATIENCE:?}: {said}");
    };
    assert!(status.success(), "{status}: {said}");
    fs::read_to_string(&stdout).unwrap()
}

/// Numbers, each longer or larger than the one before.
#[track_caller]
fn check_growing(told: &[String]) {
    assert!(told.is_sorted_by(|a, b| (a.len(), a) < (b.len(), b)), "{told:?}");
}

/// Every record arrived once, with its key, and those of one key in their order.
#[track_caller]
fn check_arrived(given: &[Given], arrived: &[Arrival]) {
    let mut expected: BTreeMap<&str, Vec<&[u8]>> = BTreeMap::new();
    for one in given {
        expected.entry(one.key.as_deref().unwrap()).or_default().push(&one.data);
    }
    let mut seen: BTreeMap<&str, Vec<&[u8]>> = BTreeMap::new();
    for one in arrived {
        seen.entry(&one.partition_key).or_default().push(&one.data);
    }
    assert!(seen == expected, "{} of {} arrived", arrived.len(), given.len());
}

fn waiting(agent: &Agent) -> u64 {
    Books::check(agent).row("orders", "cloud").waiting
}

/// Waits until weir has turned somebody away, or held records back, for this reason.
#[track_caller]
fn wait_for_refusal(agent: &Agent, reason: &str) {
    let line = format!("weir_refusals_total{{source=\"http.sdks\",reason=\"{reason}\"}}");
    wait_for(reason, || agent.metrics().lines().any(|one| one.starts_with(&line)).then_some(()));
}
