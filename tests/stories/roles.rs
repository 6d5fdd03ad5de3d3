//! A role is taken on, and everything is signed: by STS and Kinesis of others, who check each
//! signature with botocore and each call against a policy that grants `kinesis:PutRecords` alone.

use crate::support::agent::Agent;
use crate::support::books::{Books, Row};
use crate::support::peers::{Moto, REGION};
use crate::support::scratch::Scratch;
use crate::support::tls_peer::Tap;
use crate::support::wait_for;

/// The calls that make what is here.
const OPEN_CALLS: usize = 6;
const ROLE: &str = "arn:aws:iam::123456789012:role/ingest";

/// A device that may do nothing but take on a role, which may do nothing but put records; the
/// device's key and its secret.
fn grant(moto: &Moto) -> (String, String) {
    let policy = |action: &str| {
        format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":"{action}","Resource":"*"}}]}}"#
        )
    };
    let (assume, put) = (policy("sts:AssumeRole"), policy("kinesis:PutRecords"));
    let trust = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":"*"}}]}"#;
    let named = ("PolicyName", "granted");
    moto.create_stream("orders");
    moto.iam(&[("Action", "CreateUser"), ("UserName", "device")]);
    moto.iam(&[
        ("Action", "PutUserPolicy"),
        ("UserName", "device"),
        named,
        ("PolicyDocument", &assume),
    ]);
    moto.iam(&[
        ("Action", "CreateRole"),
        ("RoleName", "ingest"),
        ("AssumeRolePolicyDocument", trust),
    ]);
    moto.iam(&[
        ("Action", "PutRolePolicy"),
        ("RoleName", "ingest"),
        named,
        ("PolicyDocument", &put),
    ]);
    let made = moto.iam(&[("Action", "CreateAccessKey"), ("UserName", "device")]);
    let between = |name: &str| {
        let (_, rest) = made.split_once(&format!("<{name}>")).unwrap();
        rest.split_once('<').unwrap().0.to_owned()
    };
    (between("AccessKeyId"), between("SecretAccessKey"))
}

fn config(moto: &Moto, sts: &Tap, (id, secret): (&str, &str)) -> String {
    let (url, sts) = (moto.url(), sts.address);
    format!(
        r#"
        [http.local]
        listen = "127.0.0.1:0"
        [stream.orders]
        destinations = ["cloud"]
        [destination.cloud]
        type = "kinesis"
        stream_name = "orders"
        region = "{REGION}"
        endpoint_url = "{url}"
        linger = "10 ms"
        retry_first = "10 ms"
        retry_max = "200 ms"
        access_key_id = "{id}"
        secret_access_key = "{secret}"
        assume_role = {{ arn = "{ROLE}", external_id = "agreed-7", endpoint_url = "http://{sts}" }}
        "#
    )
}

#[test]
fn a_role_that_may_only_put_records_is_taken_on_and_every_signature_holds() {
    let scratch = Scratch::new("roles");
    let moto = Moto::start_strict(&scratch, OPEN_CALLS);
    let (id, secret) = grant(&moto);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let sts =
        runtime.block_on(Tap::start(moto.url().trim_start_matches("http://").parse().unwrap()));
    let wrong = secret.chars().rev().collect::<String>();

    let agent = Agent::start(&scratch, &config(&moto, &sts, (&id, &wrong)));
    for number in 0..20 {
        let line = format!("order {number}");
        assert_eq!(agent.client("local").post("orders", line.as_bytes()).unwrap().status, 202);
    }
    let hold = wait_for("the hold", || {
        let hold = agent.status()["streams"]["orders"]["destinations"]["cloud"]["hold"].take();
        (!hold.is_null()).then_some(hold)
    });
    assert_eq!(hold["class"], "auth", "{hold}");
    assert!(agent.terminate().success());

    let agent = Agent::start(&scratch, &config(&moto, &sts, (&id, &secret)));
    let books = Books::settled(&agent);

    let delivered = Row { accepted: 20, delivered: 20, ..Row::default() };
    assert_eq!(books.row("orders", "cloud"), delivered);
    let asked = sts.heard();
    let bodies: Vec<_> = asked.lines().filter(|line| line.contains("Action=AssumeRole")).collect();
    assert!(bodies.len() >= 2, "with the wrong secret and with the right one: {asked}");
    assert!(bodies.iter().all(|body| body.contains("&ExternalId=agreed-7")), "{bodies:?}");
    for permission in ["kinesis:DescribeStreamSummary", "kinesis:ListShards"] {
        let log = agent.log();
        let told = log.lines().filter(|line| line.contains(permission)).count();
        assert_eq!(told, 1, "{permission} is missing, and named once: {log}");
    }
    assert!(!agent.log().contains(&secret) && !agent.log().contains("agreed-7"));
    assert!(agent.terminate().success());
}
