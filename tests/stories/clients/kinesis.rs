//! Clients that others wrote for Kinesis and Firehose are pointed at weir and changed in nothing else: what
//! they put while the upstream is away arrives when it is back, with its key and in its order.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::support::agent::{Agent, weir};
use crate::support::books::{Books, Row};
use crate::support::peers::{Arrival, Kinesis, Moto, venv_program};
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
#[derive(Debug)]
struct Done {
    /// Numbers or ids, in the order of the records.
    told: Vec<String>,
    /// How many records it had to put again.
    again: u64,
}

/// A client, and how it is started.
#[derive(Clone, Copy, Debug)]
enum Client {
    Boto3,
    JavaScript,
    Rust,
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

fn config(scratch: &Scratch, more: &str, destination: &str) -> String {
    let keys = scratch.write(
        "access-keys.toml",
        &format!(
            "[[key]]\naccess_key_id = \"{}\"\nsecret_access_key = \"{}\"\nname = \"till\"\n",
            KEY.0, KEY.1
        ),
    );
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::chmod(&keys, mode).unwrap();
    format!(
        "[http.sdks]\nlisten = \"127.0.0.1:0\"\nauth = [\"sdks\"]\n\
         [auth.sdks]\ntype = \"sigv4\"\nfile = \"{}\"\n{more}\n\
         [stream.orders]\naliases = [\"{ALIAS}\"]\ndestinations = [\"cloud\"]\n{destination}",
        keys.display()
    )
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
            Self::Rust => unreachable!("the SDK for Rust runs in this process"),
        }
    }

    /// Puts records, in calls of many or one by one; ends when all are taken.
    #[track_caller]
    fn put(self, scratch: &Scratch, agent: &Agent, what: &Put<'_>) -> Done {
        if matches!(self, Self::Rust) {
            return rust::put(&format!("http://{}", agent.http("sdks")), what);
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
            "endpoint": format!("http://{}", agent.http("sdks")),
            "service": what.service, "stream": ALIAS, "form": what.form,
            "key": KEY.0, "secret": KEY.1, "attempts": what.attempts, "records": records,
        });
        let said = run(scratch, self.command(), &asked.to_string());
        let said: Value = serde_json::from_str(&said).unwrap();
        Done {
            told: serde_json::from_value(said["told"].clone()).unwrap(),
            again: said["again"].as_u64().unwrap(),
        }
    }
}

/// What a client is to do.
struct Put<'a> {
    service: &'static str,
    /// `many` or `one`.
    form: &'static str,
    records: &'a [Given],
    /// How often it tries a call.
    attempts: u32,
}

fn node_modules() -> std::path::PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = std::env::var_os("WEIR_TEST_CLIENTS")
        .map_or_else(|| root.join("target/clients"), std::path::PathBuf::from);
    assert!(
        folder.join("node_modules").exists(),
        "the SDK for JavaScript is missing: run ./tests/run once, it installs it"
    );
    folder
}

/// Runs a client to its end; what it says.
#[track_caller]
fn run(scratch: &Scratch, mut command: Command, input: &str) -> String {
    let input = scratch.write("client.in", input);
    let (stdout, stderr) = (scratch.join("client.out"), scratch.join("client.err"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let clients = command.get_envs().find(|(name, _)| *name == "WEIR_TEST_CLIENTS");
    let clients = clients.and_then(|(_, value)| value.map(std::ffi::OsStr::to_owned));
    command.env_clear().env("PATH", path).env("HOME", scratch.path());
    command.envs(clients.map(|folder| ("WEIR_TEST_CLIENTS", folder)));
    command.env("AWS_EC2_METADATA_DISABLED", "true").env("AWS_DEFAULT_REGION", "eu-west-1");
    command.env("AWS_ACCESS_KEY_ID", KEY.0).env("AWS_SECRET_ACCESS_KEY", KEY.1);
    let mut child = command
        .stdin(File::open(input).unwrap())
        .stdout(File::create(&stdout).unwrap())
        .stderr(File::create(&stderr).unwrap())
        .stdin(Stdio::from(File::open(scratch.join("client.in")).unwrap()))
        .spawn()
        .unwrap();
    let status = wait_at_most(PATIENCE, || child.try_wait().unwrap());
    let said = std::fs::read_to_string(&stderr).unwrap();
    let Some(status) = status else {
        child.kill().unwrap();
        child.wait().unwrap();
        panic!("the client did not end in {PATIENCE:?}: {said}");
    };
    assert!(status.success(), "{status}: {said}");
    std::fs::read_to_string(&stdout).unwrap()
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

/// Puts into Kinesis while it is away, then lets it come.
#[track_caller]
fn check_kinesis(client: Client) {
    let scratch = Scratch::new("clients");
    let mut kinesis = Kinesis::start();
    kinesis.create_stream("orders", 2);
    let destination = kinesis.destination("cloud", "orders") + "ordering = \"key\"\n";
    kinesis.vanish();
    let agent = Agent::start(&scratch, &config(&scratch, "", &destination));
    let all = given(720);
    let (many, one) = all.split_at(700);

    let put = |form, records| Put { service: "kinesis", form, records, attempts: 3 };
    let first = client.put(&scratch, &agent, &put("many", many));
    let rest = client.put(&scratch, &agent, &put("one", one));

    assert_eq!((first.told.len(), rest.told.len(), first.again), (700, 20, 0));
    let told: Vec<String> = first.told.into_iter().chain(rest.told).collect();
    check_growing(&told);
    assert!(kinesis_waits(&agent, 720));
    kinesis.appear();
    let delivered = Row { accepted: 720, delivered: 720, ..Row::default() };
    assert_eq!(Books::settled(&agent).row("orders", "cloud"), delivered);
    check_arrived(&all, &kinesis.records("orders"));
    assert_eq!(agent.terminate().code(), Some(0));
}

fn kinesis_waits(agent: &Agent, count: u64) -> bool {
    Books::check(agent).row("orders", "cloud").waiting == count
}

/// The same with Firehose, which keeps no keys.
#[track_caller]
fn check_firehose(client: Client) {
    let scratch = Scratch::new("clients-firehose");
    let moto = Moto::start(&scratch);
    moto.create_delivery_stream("orders");
    let destination = moto.destination("cloud", "orders");
    let agent = Agent::start(&scratch, &config(&scratch, "", &destination));
    let line = |number: usize| Given {
        data: format!("{{\"number\":{number}}}\n").into_bytes(),
        key: None,
        hash_key: None,
    };
    let all: Vec<Given> = (0..520).map(line).collect();
    let (many, one) = all.split_at(510);

    let put = |form, records| Put { service: "firehose", form, records, attempts: 3 };
    let first = client.put(&scratch, &agent, &put("many", many));
    let rest = client.put(&scratch, &agent, &put("one", one));

    assert_eq!((first.told.len(), rest.told.len()), (510, 10));
    assert_eq!(Books::settled(&agent).row("orders", "cloud").delivered, 520);
    let mut lines = moto.lines("orders");
    let mut expected: Vec<Vec<u8>> =
        all.iter().map(|one| one.data.trim_ascii_end().to_vec()).collect();
    lines.sort();
    expected.sort();
    assert!(lines == expected, "{} of {}", lines.len(), expected.len());
}

/// A plan that lets half of a call through, and a queue that is full until the upstream is back: the
/// client comes again by its own policy, and nothing is lost.
#[track_caller]
fn check_back_pressure(client: Client) {
    let scratch = Scratch::new("clients-slow");
    let mut kinesis = Kinesis::start();
    kinesis.create_stream("orders", 2);
    let destination = kinesis.destination("cloud", "orders") + "ordering = \"key\"\n";
    let plan = "plan = \"slow\"\n[plan.slow]\nrate = \"400/s\"\nburst = 200\n";
    let agent = Agent::start(&scratch, &config(&scratch, plan, &destination));
    let all = given(900);

    let put = Put { service: "kinesis", form: "many", records: &all, attempts: 50 };
    let done = client.put(&scratch, &agent, &put);

    assert_eq!(done.told.len(), 900);
    assert!(done.again > 0, "some were held back in the middle of a call");
    check_growing(&done.told);
    assert_eq!(Books::settled(&agent).row("orders", "cloud").delivered, 900);
    check_arrived(&all, &kinesis.records("orders"));
    drop(agent);

    let scratch = Scratch::new("clients-full");
    kinesis.create_stream("full", 2);
    let destination = kinesis.destination("cloud", "full") + "ordering = \"key\"\n";
    kinesis.vanish();
    let text = config(&scratch, "", &destination).replace(
        "destinations =",
        "queue = { max_bytes = \"4 MiB\" }\nmax_record = \"256 KiB\"\ndestinations =",
    );
    let agent = Agent::start(&scratch, &text);
    let mut large = given(90);
    large.iter_mut().for_each(|one| one.data.resize(64 << 10, b'.'));

    let put = Put { service: "kinesis", form: "one", records: &large, attempts: 100 };
    let done = std::thread::scope(|scope| {
        let done = scope.spawn(|| client.put(&scratch, &agent, &put));
        wait_for("the queue to be full", || {
            let metrics = agent.metrics();
            let refused = "weir_refusals_total{source=\"http.sdks\",reason=\"queue-full\"}";
            metrics.lines().any(|line| line.starts_with(refused)).then_some(())
        });
        kinesis.appear();
        done.join().unwrap()
    });

    assert_eq!(done.told.len(), 90);
    assert_eq!(Books::settled(&agent).row("orders", "cloud").delivered, 90);
    check_arrived(&large, &kinesis.records("full"));
}

#[test]
fn boto3_puts_into_kinesis_through_an_outage() {
    check_kinesis(Client::Boto3);
}

#[test]
fn boto3_puts_into_firehose() {
    check_firehose(Client::Boto3);
}

#[test]
fn boto3_waits_where_it_is_told_to() {
    check_back_pressure(Client::Boto3);
}

#[test]
fn the_sdk_for_javascript_puts_into_kinesis_through_an_outage_over_http_2() {
    check_kinesis(Client::JavaScript);
}

#[test]
fn the_sdk_for_javascript_puts_into_firehose() {
    check_firehose(Client::JavaScript);
}

#[test]
fn the_sdk_for_javascript_waits_where_it_is_told_to() {
    check_back_pressure(Client::JavaScript);
}

#[test]
fn the_sdk_for_rust_puts_into_kinesis_through_an_outage() {
    check_kinesis(Client::Rust);
}

#[test]
fn the_sdk_for_rust_waits_where_it_is_told_to() {
    check_back_pressure(Client::Rust);
}

#[test]
fn the_command_line_puts_lists_and_is_refused_as_at_aws() {
    let scratch = Scratch::new("clients-cli");
    let mut kinesis = Kinesis::start();
    kinesis.create_stream("orders", 1);
    let destination = kinesis.destination("cloud", "orders");
    kinesis.vanish();
    let agent = Agent::start(&scratch, &config(&scratch, "", &destination));
    let url = format!("http://{}", agent.http("sdks"));
    let aws = |arguments: &[&str]| {
        let mut command = Command::new(venv_program("python"));
        command.arg(venv_program("aws")).args(["--endpoint-url", &url, "--output", "json"]);
        command.args(arguments);
        let said = run(&scratch, command, "");
        serde_json::from_str::<Value>(&said).unwrap()
    };
    let records = "Data=hello,PartitionKey=a Data=there,PartitionKey=b";

    let mut put = vec!["kinesis", "put-records", "--stream-name", ALIAS, "--records"];
    put.extend(records.split(' '));
    let put = aws(&put);
    let summary = aws(&["kinesis", "describe-stream-summary", "--stream-name", ALIAS]);
    let listed = aws(&["kinesis", "list-streams"]);

    assert_eq!(put["FailedRecordCount"], 0, "{put}");
    let arn = format!("arn:aws:kinesis:eu-west-1:000000000000:stream/{ALIAS}");
    assert_eq!(summary["StreamDescriptionSummary"]["StreamARN"], arn);
    assert_eq!(listed["StreamNames"], json!(["orders", ALIAS]));
    kinesis.appear();
    assert_eq!(Books::settled(&agent).row("orders", "cloud").delivered, 2);
    let mut payloads = kinesis.payloads("orders");
    payloads.sort();
    assert_eq!(payloads, [b"hello".to_vec(), b"there".to_vec()]);
}

#[test]
fn an_explicit_hash_key_chooses_the_shard_upstream() {
    let scratch = Scratch::new("clients-hash");
    let kinesis = Kinesis::start();
    kinesis.create_stream("orders", 4);
    let destination = kinesis.destination("cloud", "orders");
    let agent = Agent::start(&scratch, &config(&scratch, "", &destination));
    let hashes = [0, 1 << 126, 1 << 127, u128::MAX];
    let record = |hash_key: u128| Given {
        data: hash_key.to_string().into_bytes(),
        key: Some("same".into()),
        hash_key: Some(hash_key),
    };
    let records = hashes.map(record);

    let put = Put { service: "kinesis", form: "many", records: &records, attempts: 3 };
    Client::Boto3.put(&scratch, &agent, &put);
    Books::settled(&agent);

    let arrived = kinesis.records("orders");
    assert_eq!(arrived.len(), 4);
    for one in arrived {
        let hash: u128 = String::from_utf8(one.data).unwrap().parse().unwrap();
        let bounds = [&one.range.0, &one.range.1].map(|bound| bound.parse::<u128>().unwrap());
        assert!((bounds[0]..=bounds[1]).contains(&hash), "{hash} in {bounds:?}");
    }
}

/// One weir sends to another, which sends to the cloud: what is packed for the shards of the cloud at the
/// edge lies whole in one of them there, and the books of both balance.
#[test]
fn an_agent_that_sends_to_another_packs_for_the_shards_behind_it() {
    let (edge_scratch, hub_scratch) = (Scratch::new("chain-edge"), Scratch::new("chain-hub"));
    let mut kinesis = Kinesis::start();
    kinesis.create_stream("orders", 4);
    let destination = kinesis.destination("cloud", "orders");
    let hub = Agent::start(&hub_scratch, &config(&hub_scratch, "", &destination));
    wait_for("the hub to know the shards", || {
        let log = hub.log();
        log.contains("the shards of the stream are known").then_some(())
    });
    kinesis.vanish();
    let url = format!("http://{}", hub.http("sdks"));
    let edge = Agent::start(
        &edge_scratch,
        &format!(
            "[http.local]\nlisten = \"127.0.0.1:0\"\n[stream.orders]\ndestinations = [\"hub\"]\n\
             [destination.hub]\ntype = \"kinesis\"\nstream_name = \"{ALIAS}\"\nregion = \"eu-west-1\"\n\
             endpoint_url = \"{url}\"\nlinger = \"1 s\"\nretry_max = \"1 s\"\nordering = \"key\"\n\
             access_key_id = \"{}\"\nsecret_access_key = \"{}\"\n",
            KEY.0, KEY.1
        ),
    );
    let client = edge.client("local");
    let keys: Vec<String> = (0..16).map(|number| format!("device {number}")).collect();
    let mut all = Vec::new();
    for (number, key) in keys.iter().cycle().take(48).enumerate() {
        let lines: Vec<String> =
            (0..50).map(|line| format!("{{\"batch\":{number:03},\"line\":{line}}}")).collect();
        let headers =
            [("content-type", "application/x-ndjson"), ("weir-partition-key", key.as_str())];
        let body = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        assert_eq!(client.post_with("orders", body.as_bytes(), &headers).unwrap().status, 202);
        let given =
            |line: String| Given { data: line.into(), key: Some(key.clone()), hash_key: None };
        all.extend(lines.into_iter().map(given));
    }

    let of_edge = Books::settled(&edge).row("orders", "hub");
    let waiting = Books::check(&hub).row("orders", "cloud");
    kinesis.appear();
    let of_hub = Books::settled(&hub).row("orders", "cloud");

    let count = all.len() as u64;
    assert_eq!(of_edge, Row { accepted: count, delivered: count, ..Row::default() });
    assert!(waiting.accepted < count / 4, "{} of {count} came unpacked", waiting.accepted);
    assert_eq!(of_hub.delivered, waiting.accepted);
    check_arrived(&all, &kinesis.records("orders"));
    drop((edge, hub));
}

#[test]
fn keys_that_everybody_may_read_start_nothing() {
    let scratch = Scratch::new("clients-open");
    let kinesis = Kinesis::start();
    let text = config(&scratch, "", &kinesis.destination("cloud", "orders"));
    let mode = rustix::fs::Mode::from_raw_mode(0o644);
    rustix::fs::chmod(scratch.join("access-keys.toml"), mode).unwrap();
    let file = crate::support::agent::configure(&scratch, &text).display().to_string();

    let ended = weir(&scratch, &["run", "--config", &file]);

    assert_eq!(ended.code, Some(78), "{ended:?}");
    assert!(ended.stderr.contains("chmod 600"), "{ended:?}");
}

/// The SDK that weir itself speaks with, as an application would use it.
mod rust {
    use aws_credential_types::Credentials;
    use aws_sdk_kinesis::Client;
    use aws_sdk_kinesis::config::retry::RetryConfig;
    use aws_sdk_kinesis::config::{BehaviorVersion, Builder, Region};
    use aws_sdk_kinesis::primitives::Blob;
    use aws_sdk_kinesis::types::PutRecordsRequestEntry;

    use super::{ALIAS, Done, Given, KEY, Put};

    pub(super) fn put(endpoint: &str, what: &Put<'_>) -> Done {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let http = aws_smithy_http_client::Builder::new().build_http();
        let settings = Builder::new()
            .behavior_version(BehaviorVersion::latest())
            .http_client(http)
            .endpoint_url(endpoint)
            .region(Region::new("eu-west-1"))
            .credentials_provider(Credentials::new(KEY.0, KEY.1, None, None, "test"))
            .retry_config(RetryConfig::standard().with_max_attempts(what.attempts))
            .build();
        let client = Client::from_conf(settings);
        runtime.block_on(async {
            if what.form == "one" {
                one_by_one(&client, what.records).await
            } else {
                many(&client, what.records).await
            }
        })
    }

    async fn one_by_one(client: &Client, records: &[Given]) -> Done {
        let mut told = Vec::new();
        for one in records {
            let put = client.put_record().stream_name(ALIAS).data(Blob::new(one.data.clone()));
            let answer = put.set_partition_key(one.key.clone()).send().await.unwrap();
            told.push(answer.sequence_number);
        }
        Done { told, again: 0 }
    }

    async fn many(client: &Client, records: &[Given]) -> Done {
        let entry = |one: &Given| {
            PutRecordsRequestEntry::builder()
                .data(Blob::new(one.data.clone()))
                .set_partition_key(one.key.clone())
                .build()
                .unwrap()
        };
        let mut left: Vec<_> = records.iter().map(entry).collect();
        let mut done = Done { told: Vec::new(), again: 0 };
        while !left.is_empty() {
            let batch: Vec<_> = left.drain(..left.len().min(500)).collect();
            let put = client.put_records().stream_name(ALIAS).set_records(Some(batch.clone()));
            let answer = put.send().await.unwrap();
            let mut held_back = Vec::new();
            for (entry, result) in batch.into_iter().zip(answer.records) {
                match result.sequence_number {
                    Some(number) => done.told.push(number),
                    None => held_back.push(entry),
                }
            }
            done.again += held_back.len() as u64;
            left.splice(..0, held_back);
        }
        done
    }
}
