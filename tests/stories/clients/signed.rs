//! Signatures that botocore made, right ones and those that no longer fit: the service's own code for each.

use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{KEY, refused, run};
use crate::support::agent::Agent;
use crate::support::books::{Books, Row};
use crate::support::client::Answer;
use crate::support::gate::Gate;
use crate::support::peers::venv_program;
use crate::support::scratch::Scratch;

const BODY: &str = r#"{"StreamName":"orders","Data":"YQ==","PartitionKey":"k"}"#;
const OTHER_KEY: (&str, &str) = ("AKIAWEIROTHER", "another-secret");
const TOKEN: &str = "a-session-token==";

/// Sends each request in turn.
#[track_caller]
pub(super) fn ask(
    scratch: &Scratch,
    url: &str,
    ca: Option<&Path>,
    requests: &[Value],
) -> Vec<Answer> {
    let mut command = Command::new(venv_program("python"));
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/signed.py"));
    let asked = json!({ "url": url, "ca": ca, "requests": requests });
    let said = run(scratch, command, &asked.to_string());
    let said: Vec<Value> = serde_json::from_str(&said).unwrap();
    let answer = |one: Value| Answer {
        status: serde_json::from_value(one["status"].clone()).unwrap(),
        headers: serde_json::from_value(one["headers"].clone()).unwrap(),
        body: one["body"].as_str().unwrap().to_owned(),
    };
    said.into_iter().map(answer).collect()
}

/// A PutRecord by the key of these tests, with these members beside.
pub(super) fn request(more: &Value) -> Value {
    let mut request = json!({
        "target": "Kinesis_20131202.PutRecord", "kind": "application/x-amz-json-1.1",
        "service": "kinesis", "key": KEY.0, "secret": KEY.1, "body": BODY,
    });
    for (name, value) in more.as_object().unwrap() {
        request[name] = value.clone();
    }
    request
}

/// What is signed wrong, the code and status it gets, and a part of the message.
fn wrong() -> Vec<(Value, &'static str, u16, &'static str)> {
    let invalid = "InvalidSignatureException";
    let incomplete = "IncompleteSignatureException";
    let unknown = "UnrecognizedClientException";
    let another_body = BODY.replace("YQ==", "Yg==");
    let changed = |then: Value| json!({ "then": then });
    let header = |name: &str, value: Value| changed(json!({ "headers": { name: value } }));
    vec![
        (
            header("authorization", Value::Null),
            "MissingAuthenticationTokenException",
            400,
            "Missing",
        ),
        (json!({"secret": "not-this"}), invalid, 400, "does not match"),
        (json!({"key": "AKIANOBODY"}), unknown, 400, ""),
        (json!({"key": OTHER_KEY.0, "secret": OTHER_KEY.1}), "AccessDeniedException", 400, ""),
        (json!({"token": TOKEN}), unknown, 400, ""),
        (json!({"service": "firehose"}), invalid, 400, "correct service"),
        (json!({"late": 400}), invalid, 400, "Signature expired"),
        (json!({"late": -400}), invalid, 400, "Signature not yet current"),
        (json!({"unsigned": true}), invalid, 400, "UNSIGNED-PAYLOAD is not allowed"),
        (json!({"presigned": 60, "late": 70}), invalid, 400, "Signature expired"),
        // That one is right; botocore leaves it no body.
        (json!({"presigned": 60}), "SerializationException", 400, ""),
        (json!({"presigned": 700_000}), incomplete, 403, "X-Amz-Expires"),
        (changed(json!({"body": another_body})), invalid, 400, "does not match"),
        (changed(json!({"body": ""})), invalid, 400, "does not match"),
        (
            header("x-amz-target", json!("Kinesis_20131202.PutRecords")),
            invalid,
            400,
            "does not match",
        ),
        (header("x-amz-more", json!("x")), invalid, 400, "'x-amz-more' must be signed"),
        (header("x-amz-date", Value::Null), incomplete, 403, "X-Amz-Date"),
        (
            header("authorization", json!("AWS4-HMAC-SHA256 Credential=a")),
            incomplete,
            403,
            "Credential",
        ),
        (header("authorization", json!("AWS4-HMAC-SHA1 x")), incomplete, 403, "algorithm"),
        (header("authorization", json!("Bearer x")), unknown, 400, ""),
    ]
}

#[test]
fn each_signature_that_does_not_fit_gets_its_code_and_stores_nothing() {
    let scratch = Scratch::new("clients-signed");
    let (id, secret) = OTHER_KEY;
    let other = format!(
        "[[key]]\naccess_key_id = \"{id}\"\nsecret_access_key = \"{secret}\"\nname = \"other\"\n\
         streams = [\"others\"]\n"
    );
    let file = super::keys(&scratch, &other);
    let text = format!(
        "[http.sdks]\nlisten = \"127.0.0.1:0\"\nauth = [\"sdks\"]\n\
         [auth.sdks]\ntype = \"sigv4\"\nfile = \"{}\"\n\
         [stream.orders]\ndestinations = [\"archive\"]\n[stream.others]\ndestinations = [\"archive\"]\n\
         [destination.archive]\ntype = \"directory\"\npath = \"archive\"\nobject_age = \"1 s\"\n",
        file.display()
    );
    let agent = Agent::start(&scratch, &text);
    let url = format!("http://{}/", agent.http("sdks"));
    let wrong = wrong();
    let requests: Vec<Value> = wrong.iter().map(|(more, ..)| request(more)).collect();

    let answers = ask(&scratch, &url, None, &requests);

    assert_eq!(answers.len(), wrong.len());
    for (answer, (what, code, status, says)) in answers.iter().zip(&wrong) {
        let said = answer.json();
        assert_eq!((&said["__type"], answer.status), (&json!(code), *status), "{what}: {answer:?}");
        assert_eq!(answer.header("x-amzn-errortype"), Some(*code), "{what}");
        assert!(said["message"].as_str().unwrap().contains(says), "{what}: {said}");
        assert!(answer.header("x-amzn-requestid").is_some_and(|id| !id.is_empty()), "{what}");
        assert!(!answer.body.contains(KEY.1), "no secret in {answer:?}");
    }
    assert_eq!(Books::check(&agent).row("orders", "archive"), Row::default());

    // The same, as they were signed.
    let right = [json!({}), json!({"late": 200}), json!({"late": -200})];
    let right: Vec<Value> = right.iter().map(request).collect();
    for answer in ask(&scratch, &url, None, &right) {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let three = Row { accepted: 3, delivered: 3, ..Row::default() };
    assert_eq!(Books::settled(&agent).row("orders", "archive"), three);
}

/// A token of an issuer whose keys were never seen: nobody knows whether it is right.
#[test]
fn who_cannot_be_judged_now_is_told_to_come_back() {
    let scratch = Scratch::new("clients-unchecked");
    let nobody = Gate::shut();
    let issuer = nobody.url().replace("http:", "https:");
    let text = format!(
        "[http.open]\nlisten = \"127.0.0.1:0\"\nauth = [\"tokens\"]\n\
         [auth.tokens]\ntype = \"jwt\"\nissuer = \"{issuer}\"\naudience = [\"weir\"]\n\
         [stream.orders]\ndestinations = [\"archive\"]\n\
         [destination.archive]\ntype = \"directory\"\npath = \"archive\"\n"
    );
    let agent = Agent::start(&scratch, &text);
    let part = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({"iss": issuer, "aud": "weir", "sub": "till", "exp": 4_102_444_800_u64});
    let token = format!("{}.{}.AAE", part(json!({"alg": "ES256", "kid": "k"})), part(claims));
    let bearer = format!("Bearer {token}");

    for (target, host_id) in
        [("Kinesis_20131202.PutRecord", true), ("Firehose_20150804.PutRecord", false)]
    {
        let said = refused::call_with(
            &agent.http("open"),
            target,
            &[("authorization", &bearer)],
            &json!({"StreamName": "orders", "Data": "YQ=="}),
        );
        let code = said.value()["__type"].clone();
        assert_eq!((code, said.status), (json!("ServiceUnavailableException"), 503), "{said:?}");
        assert_eq!(said.header("x-amz-retry-after"), "1000");
        assert_eq!(!said.header("x-amz-id-2").is_empty(), host_id);
    }
    assert_eq!(Books::check(&agent).row("orders", "archive"), Row::default());
}
