//! The same over TLS: each client chooses its version of HTTP by ALPN, and trusts the site's own authority.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{Client, Put, check_arrived, config, given, keys, signed};
use crate::support::agent::Agent;
use crate::support::books::{Books, Row};
use crate::support::peers::Kinesis;
use crate::support::scratch::Scratch;
use crate::support::tls_peer::{ALWAYS, Authority};

/// A door in TLS, with a certificate for its address; the file of its authority.
fn door(scratch: &Scratch) -> (String, PathBuf) {
    let authority = Authority::new("the authority of a site");
    let own = authority.issue("127.0.0.1", ALWAYS);
    let (cert, key) = (scratch.write("tls.crt", &own.cert), scratch.write("tls.key", &own.key));
    rustix::fs::chmod(&key, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    let tls = format!("tls = {{ cert = \"{}\", key = \"{}\" }}", cert.display(), key.display());
    (tls, scratch.write("ca.pem", &authority.pem))
}

#[track_caller]
fn check(client: Client) {
    let scratch = Scratch::new("clients-tls");
    let mut kinesis = Kinesis::start();
    kinesis.create_stream("orders", 2);
    let destination = kinesis.destination("cloud", "orders") + "ordering = \"key\"\n";
    kinesis.vanish();
    let (tls, ca) = door(&scratch);
    let text = config(&scratch, "", &destination).replacen("auth =", &format!("{tls}\nauth ="), 1);
    let agent = Agent::start(&scratch, &text);
    let all = given(520);
    let (many, one) = all.split_at(510);
    let url = format!("https://{}", agent.http("sdks"));

    let put = |form, records| Put { ca: Some(&ca), ..Put::kinesis(&url, form, records) };
    let first = client.put(&scratch, &put("many", many));
    let rest = client.put(&scratch, &put("one", one));

    assert_eq!((first.told.len(), rest.told.len()), (510, 10));
    kinesis.appear();
    let delivered = Row { accepted: 520, delivered: 520, ..Row::default() };
    assert_eq!(Books::settled(&agent).row("orders", "cloud"), delivered);
    check_arrived(&all, &kinesis.records("orders"));
}

/// It offers HTTP/1.1 and nothing else.
#[test]
fn boto3_speaks_http_1_within_tls() {
    check(Client::Boto3);
}

/// It offers HTTP/2 and nothing else, and gives up if that is not chosen.
#[test]
fn the_sdk_for_javascript_speaks_http_2_within_tls() {
    check(Client::JavaScript);
}

/// It offers both.
#[test]
fn the_sdk_for_rust_speaks_within_tls() {
    check(Client::Rust);
}

/// Its client that waits speaks HTTP/1.1, the other one HTTP/2.
#[test]
fn the_sdk_for_java_speaks_within_tls() {
    check(Client::Java);
}

/// A key that is signed with, but of a body that nobody signed: only where the block says so.
#[test]
fn a_body_that_is_not_signed_is_taken_within_tls_where_that_is_allowed() {
    let scratch = Scratch::new("clients-unsigned");
    let (tls, ca) = door(&scratch);
    let file = keys(&scratch, "");
    let text = format!(
        "[http.sdks]\nlisten = \"127.0.0.1:0\"\n{tls}\nauth = [\"sdks\"]\n\
         [http.strict]\nlisten = \"127.0.0.1:0\"\n{tls}\nauth = [\"strict\"]\n\
         [auth.sdks]\ntype = \"sigv4\"\nunsigned_payload = true\nfile = \"{0}\"\n\
         [auth.strict]\ntype = \"sigv4\"\nfile = \"{0}\"\n\
         [stream.orders]\ndestinations = [\"archive\"]\n\
         [destination.archive]\ntype = \"directory\"\npath = \"archive\"\nobject_age = \"1 s\"\n",
        file.display()
    );
    let agent = Agent::start(&scratch, &text);
    let ask = |door: &str, more: &Value| {
        let url = format!("https://{}/", agent.http(door));
        signed::ask(&scratch, &url, Some(&ca), &[signed::request(more)]).remove(0)
    };
    let other = r#"{"StreamName":"orders","Data":"Yg==","PartitionKey":"k"}"#;

    let taken = ask("sdks", &json!({"unsigned": true}));
    let another_body = ask("sdks", &json!({"unsigned": true, "then": {"body": other}}));
    let refused = ask("strict", &json!({"unsigned": true}));

    assert_eq!((taken.status, another_body.status), (200, 200), "{taken:?} {another_body:?}");
    assert_eq!(refused.status, 400, "{refused:?}");
    let said = refused.json();
    assert_eq!(said["__type"], "InvalidSignatureException");
    assert!(said["message"].as_str().unwrap().contains("UNSIGNED-PAYLOAD"), "{said}");
    let two = Row { accepted: 2, delivered: 2, ..Row::default() };
    assert_eq!(Books::settled(&agent).row("orders", "archive"), two);
}
