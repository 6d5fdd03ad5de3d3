//! Who comes in is known by tokens of a real issuer and by an authorizer, and what a plan grants is remembered.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, sync_channel};

use serde_json::{Value, json};
use weir::base::issuer::{TestKey, jwks};

use crate::support::agent::Agent;
use crate::support::books::Books;
use crate::support::peers::Moto;
use crate::support::scratch::Scratch;
use crate::support::tls_peer::{ALWAYS, Authority, TlsFront};
use crate::support::wait_for;

/// A listener that asks `auth`, a stream, and a folder where it ends.
fn config(scratch: &Scratch, auth: &str) -> String {
    format!(
        r#"
        [http.local]
        listen = "127.0.0.1:0"
        auth = "callers"
        [auth.callers]
        {auth}
        [stream.orders]
        destinations = ["archive"]
        partition_key = "{{caller}}"
        queue = {{ min_free_disk = "0 B" }}
        [destination.archive]
        type = "directory"
        path = "{}"
        "#,
        scratch.folder("archive").display()
    )
}

/// The status of a request with this token.
fn post(agent: &Agent, token: &str) -> (u16, Option<String>) {
    let bearer = format!("Bearer {token}");
    let answer =
        agent.client("local").post_with("orders", b"x", &[("authorization", &bearer)]).unwrap();
    (answer.status, answer.problem())
}

#[test]
fn tokens_of_a_cognito_that_somebody_else_wrote_come_in() {
    let scratch = Scratch::new("cognito");
    let moto = Moto::start(&scratch);
    let (pool, client, access, id) = moto.cognito_tokens();
    let jwks = scratch.write("jwks.json", &moto.cognito_keys(&pool));
    let auth = |more: &str| {
        let jwks = jwks.display();
        let issuer = format!("https://cognito-idp.us-east-1.amazonaws.com/{pool}");
        config(
            &scratch,
            &format!(
                "type = \"jwt\"\nissuer = \"{issuer}\"\naudience = \"{client}\"\njwks = \"{jwks}\"\n{more}"
            ),
        )
    };
    let refused = |status, slug: &str| (status, Some(slug.to_owned()));

    let agent =
        Agent::start(&scratch, &auth("token_use = \"access\"\ncaller_claim = \"username\""));
    assert_eq!(post(&agent, &access), (202, None));
    assert_eq!(post(&agent, &id), refused(401, "bad-token"), "a token for something else");
    let mut forged = access.clone();
    let last = if forged.ends_with('A') { "B" } else { "A" };
    forged.replace_range(forged.len() - 10..forged.len() - 9, last);
    assert_eq!(post(&agent, &forged).0, 401);
    assert_eq!(post(&agent, "x"), refused(401, "unknown-caller"));
    let numbers = agent.metrics();
    assert!(numbers.contains("weir_caller_records_total{caller=\"device-1\",stream=\"orders\"} 1"));
    assert!(Books::settled(&agent).row("orders", "archive").accepted >= 1);
    agent.terminate();

    let agent =
        Agent::start(&scratch, &auth("token_use = \"id\"\ncaller_claim = \"cognito:username\""));
    assert_eq!(post(&agent, &id), (202, None));
    assert_eq!(post(&agent, &access), refused(401, "bad-token"));
}

/// Answers each path by the text that belongs to it.
fn answer(listener: TcpListener, answers: Vec<(&'static str, String)>) {
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut reader = BufReader::new(connection.unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap_or(0) > 0 {}
            let asked = head.split(' ').nth(1).unwrap_or_default();
            let Some((_, body)) = answers.iter().find(|(path, _)| *path == asked) else { continue };
            let head = format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            reader.get_mut().write_all((head + body).as_bytes()).ok();
        }
    });
}

#[test]
fn an_issuer_behind_tls_is_found_by_discovery_trusted_by_its_authority_and_not_needed_later() {
    let scratch = Scratch::new("issuer");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (authority, stranger) = (Authority::new("ours"), Authority::new("others"));
    scratch.write("ca.pem", &authority.pem);
    scratch.write("stranger.pem", &stranger.pem);
    let key = TestKey::p256("one");
    let inner = TcpListener::bind("127.0.0.1:0").unwrap();
    let own = authority.issue("localhost", ALWAYS);
    let front = runtime.block_on(TlsFront::start(&own, inner.local_addr().unwrap()));
    let url = format!("https://localhost:{}", front.address.port());
    let discovery = json!({ "issuer": url, "jwks_uri": format!("{url}/keys") }).to_string();
    let keys = jwks(&[&key]).to_string();
    answer(inner, vec![("/.well-known/openid-configuration", discovery), ("/keys", keys)]);
    let claims = json!({ "iss": url, "aud": "weir", "sub": "device-1", "exp": 4_000_000_000_u64 });
    let token = key.sign("ES256", &claims);
    let auth = |ca: &str| {
        config(
            &scratch,
            &format!(
                "type = \"jwt\"\nissuer = \"{url}\"\naudience = \"weir\"\nca_bundle = \"{ca}\""
            ),
        )
    };

    let agent = Agent::start(&scratch, &auth("stranger.pem"));
    assert_eq!(post(&agent, &token).0, 503, "nobody we trust says who that is");
    assert!(agent.terminate().success());

    let agent = Agent::start(&scratch, &auth("ca.pem"));
    assert_eq!(post(&agent, &token), (202, None));
    assert!(agent.terminate().success());

    drop(runtime);
    let agent = Agent::start(&scratch, &auth("ca.pem"));
    assert_eq!(post(&agent, &token), (202, None), "its keys are on disk");
    let other = TestKey::p256("two").sign("ES256", &claims);
    assert_ne!(post(&agent, &other).0, 202);
}

/// A Lambda of one function: it gives the same answer to every invocation, and shows their heads and
/// events.
fn lambda(answer: Value) -> (String, Receiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (said, heard) = sync_channel(16);
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut reader = BufReader::new(connection.unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
            let length = head.to_ascii_lowercase();
            let length = length.split_once("content-length: ").unwrap().1;
            let length = length.split_once('\r').unwrap().0.parse().unwrap();
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            said.send((head, serde_json::from_slice(&body).unwrap())).ok();
            let body = answer.to_string();
            let head = format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            reader.get_mut().write_all((head + &body).as_bytes()).unwrap();
        }
    });
    (url, heard)
}

#[test]
fn a_lambda_authorizer_is_asked_as_api_gateway_asks_it() {
    let scratch = Scratch::new("authorizer");
    let allow = json!({"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": "*/POST/*"});
    let (url, heard) = lambda(json!({
        "principalId": "device-7",
        "policyDocument": {"Version": "2012-10-17", "Statement": [allow]},
    }));
    let agent = Agent::start(
        &scratch,
        &config(
            &scratch,
            &format!(
                "type = \"lambda_authorizer\"\nfunction = \"authorize:live\"\nregion = \"eu-west-1\"\nendpoint_url = \"{url}\""
            ),
        ),
    );

    assert_eq!(post(&agent, "one"), (202, None));
    assert_eq!(post(&agent, "one"), (202, None));

    let (head, event) = heard.recv().unwrap();
    assert!(heard.try_recv().is_err(), "the second was answered from memory");
    assert!(
        head.starts_with("POST /2015-03-31/functions/authorize%3Alive/invocations HTTP/1.1"),
        "{head}"
    );
    let signed = head.to_ascii_lowercase();
    assert!(
        signed.contains("authorization: aws4-hmac-sha256 credential=akiaiosfodnn7example/"),
        "{head}"
    );
    assert!(signed.contains("/eu-west-1/lambda/aws4_request"), "{head}");
    assert_eq!((&event["type"], &event["httpMethod"]), (&json!("REQUEST"), &json!("POST")));
    assert_eq!(event["headers"]["authorization"], "Bearer one");
    assert_eq!(event["pathParameters"], json!({"stream": "orders"}));
    assert_eq!(event["requestContext"]["identity"]["sourceIp"], "127.0.0.1");
    let numbers = agent.metrics();
    assert!(numbers.contains("weir_caller_records_total{caller=\"device-7\",stream=\"orders\"} 2"));
}

#[test]
fn what_was_used_of_a_quota_is_known_after_a_restart() {
    let scratch = Scratch::new("quota");
    let archive = scratch.folder("archive");
    let config = format!(
        r#"
        [http.local]
        listen = "127.0.0.1:0"
        plan = "all"
        [plan.all]
        quota = "3/month"
        [stream.orders]
        destinations = ["archive"]
        queue = {{ min_free_disk = "0 B" }}
        [destination.archive]
        type = "directory"
        path = "{}"
        "#,
        archive.display()
    );
    let agent = Agent::start(&scratch, &config);
    for _ in 0..2 {
        assert_eq!(agent.client("local").post("orders", b"x").unwrap().status, 202);
    }
    assert!(agent.terminate().success());

    let agent = Agent::start(&scratch, &config);
    assert_eq!(agent.client("local").post("orders", b"x").unwrap().status, 202);
    let over = agent.client("local").post("orders", b"x").unwrap();
    assert_eq!((over.status, over.problem().as_deref()), (429, Some("over-quota")));
    assert!(over.header("retry-after").is_some());
    assert_eq!(Books::settled(&agent).row("orders", "archive").accepted, 3);

    // A kill forgets about two seconds of use.
    let saved = |agent: &Agent| !agent.metrics().contains("\nweir_state_commits_total 0\n");
    wait_for("the count to be on disk", || saved(&agent).then_some(()));
    agent.kill();
    let agent = Agent::start(&scratch, &config);
    let over = agent.client("local").post("orders", b"x").unwrap();
    assert_eq!((over.status, over.problem().as_deref()), (429, Some("over-quota")));
}
