//! Authorizers: what they are asked, what they answer, and for how long that counts.

use super::*;

fn authorizer(server: &Server) -> AuthorizerSettings {
    AuthorizerSettings {
        to: AuthorizerTo::Http { url: server.url(), bearer: None, web: web() },
        event: EventKind::Request,
        identity: vec![Identity::Header("authorization".into())],
        api: "arn:aws:execute-api:eu-west-1:123456789012:weir/prod".into(),
        ttl: Duration::from_secs(300),
        stale: Duration::ZERO,
        timeout: Duration::from_secs(5),
        max_concurrent: 4,
        plan_context: Some("plan".into()),
    }
}

fn asking(settings: AuthorizerSettings) -> Arc<Admission> {
    let door = Door::new().with_plan("gold", PlanSettings::default());
    door.with_auth(AuthKind::Authorizer(Box::new(settings))).open()
}

fn policy(effect: &str, resource: &str) -> Value {
    json!({
        "principalId": "user-1",
        "policyDocument": {"Version": "2012-10-17", "Statement": [
            {"Action": "execute-api:Invoke", "Effect": effect, "Resource": resource},
        ]},
        "context": {"plan": "gold"},
    })
}

const PATH: &str = "/ingest/d-1/events?a=1&b=%20x&a=2";

#[tokio::test]
async fn an_answer_is_kept_by_identity_and_its_policy_judged_for_each_request() {
    let server =
        Server::start(policy("Allow", "arn:aws:execute-api:*:*:weir/prod/POST/ingest/*")).await;
    let admission = asking(authorizer(&server));
    let one = [("authorization", "one")];

    assert_eq!(name(&admission, &head(PATH, &one)).await.as_deref(), Ok("user-1"));
    assert_eq!(name(&admission, &head("/other", &one)).await, Err(Refusal::NotAllowed));
    assert_eq!(name(&admission, &head(PATH, &one)).await.as_deref(), Ok("user-1"));
    assert_eq!(server.asked(), 1);
    assert_eq!(name(&admission, &head(PATH, &[])).await, Err(Refusal::UnknownCaller));
    let empty = head(PATH, &[("authorization", "")]);
    assert_eq!(name(&admission, &empty).await, Err(Refusal::UnknownCaller));
    assert_eq!(server.asked(), 1, "without an identity nobody is asked");

    server.say(policy("Deny", "*"));
    let two = head(PATH, &[("authorization", "two")]);
    assert_eq!(name(&admission, &two).await, Err(Refusal::NotAllowed));
    assert_eq!(server.asked(), 2);
}

#[tokio::test]
async fn the_events_are_those_of_api_gateway() {
    let server = Server::start(policy("Allow", "*")).await;
    let said = async |event| {
        let admission = asking(AuthorizerSettings { event, ..authorizer(&server) });
        let headers = [("authorization", "one"), ("x-a", "1"), ("x-a", "2"), ("cookie", "c=d")];
        name(&admission, &head(PATH, &headers)).await.unwrap();
        server.heard.lock().unwrap().clone()
    };
    let arn = "arn:aws:execute-api:eu-west-1:123456789012:weir/prod/POST/ingest/d-1/events";

    let token = said(EventKind::Token).await;
    assert_eq!(token, json!({"type": "TOKEN", "authorizationToken": "one", "methodArn": arn}));

    let request = said(EventKind::Request).await;
    assert_eq!(request["type"], "REQUEST");
    assert_eq!(request["methodArn"], arn);
    assert_eq!(request["resource"], "/ingest/{device}/events");
    assert_eq!(request["path"], "/ingest/d-1/events");
    assert_eq!(request["httpMethod"], "POST");
    assert_eq!(request["headers"]["x-a"], "2");
    assert_eq!(request["multiValueHeaders"]["x-a"], json!(["1", "2"]));
    assert_eq!(request["queryStringParameters"], json!({"a": "2", "b": " x"}));
    assert_eq!(request["pathParameters"], json!({"device": "d-1"}));
    let context = &request["requestContext"];
    assert_eq!(context["accountId"], "123456789012");
    assert_eq!((&context["apiId"], &context["stage"]), (&json!("weir"), &json!("prod")));
    assert_eq!(context["identity"]["sourceIp"], "192.0.2.7");
    assert_eq!(context["requestId"], "R1");

    let request = said(EventKind::Request2).await;
    assert_eq!((&request["version"], &request["routeArn"]), (&json!("2.0"), &json!(arn)));
    assert_eq!(request["routeKey"], "POST /ingest/{device}/events");
    assert_eq!(request["rawQueryString"], "a=1&b=%20x&a=2");
    assert_eq!(request["queryStringParameters"], json!({"a": "1,2", "b": " x"}));
    assert_eq!(request["headers"]["x-a"], "1,2");
    assert_eq!(request["cookies"], json!(["c=d"]));
    assert_eq!(request["identitySource"], json!(["one"]));
    assert_eq!(request["requestContext"]["http"]["sourceIp"], "192.0.2.7");
}

#[tokio::test]
async fn what_is_no_answer_lets_nobody_in_and_says_come_again() {
    let server = Server::start(json!({"isAuthorized": "true"})).await;
    let admission = asking(authorizer(&server));
    let come = async |who: &str| name(&admission, &head(PATH, &[("authorization", who)])).await;

    assert_eq!(come("odd").await, Err(Refusal::Unchecked));
    for (status, refusal) in [
        (500, Refusal::Unchecked),
        (401, Refusal::UnknownCaller),
        (403, Refusal::NotAllowed),
        (302, Refusal::Unchecked),
    ] {
        server.status.store(status, Ordering::SeqCst);
        assert_eq!(come(&status.to_string()).await, Err(refusal), "{status}");
    }
    server.status.store(200, Ordering::SeqCst);
    server.say(json!({"isAuthorized": true, "context": {"principalId": "p-2"}}));
    assert_eq!(come("odd").await.as_deref(), Ok("p-2"), "faults are not kept");
}

#[tokio::test]
async fn a_stale_answer_counts_while_it_is_away_only_if_that_was_chosen() {
    for (stale, expected) in [(0, Err(Refusal::Unchecked)), (600, Ok("user-1".to_owned()))] {
        let server = Server::start(policy("Allow", "*")).await;
        let stale = Duration::from_secs(stale);
        let admission = asking(AuthorizerSettings { stale, ..authorizer(&server) });
        let one = head(PATH, &[("authorization", "one")]);
        assert!(name(&admission, &one).await.is_ok());
        let address = server.address;
        server.serving.abort();
        let gone = server.serving.await;
        assert!(gone.is_err(), "{address} is closed");
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(300)).await;
        tokio::time::resume();

        assert_eq!(name(&admission, &one).await, expected);
    }
}

#[tokio::test]
async fn many_with_one_identity_ask_once() {
    let server = Server::start(policy("Allow", "*")).await;
    let admission = asking(authorizer(&server));
    let one = head(PATH, &[("authorization", "one")]);

    let all = (0..50).map(|_| name(&admission, &one));
    let all = futures_of(all.collect()).await;

    assert!(all.iter().all(Result::is_ok));
    assert_eq!(server.asked(), 1);
}

/// Waits for all at once.
async fn futures_of<F: Future>(all: Vec<F>) -> Vec<F::Output> {
    let mut all: Vec<_> = all.into_iter().map(|one| (Box::pin(one), None)).collect();
    std::future::poll_fn(|cx| {
        let mut is_done = true;
        for (future, output) in &mut all {
            if output.is_none() {
                match future.as_mut().poll(cx) {
                    std::task::Poll::Ready(ready) => *output = Some(ready),
                    std::task::Poll::Pending => is_done = false,
                }
            }
        }
        if is_done { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    all.into_iter().map(|(_, output)| output.unwrap()).collect()
}

#[tokio::test]
async fn whoever_makes_an_authorizer_say_no_again_and_again_is_guessing() {
    let guesses = Some(CountRate { count: 3, per: Duration::from_mins(1) });
    for (status, answer) in
        [(200, policy("Deny", "*")), (200, json!({"isAuthorized": false})), (403, Value::Null)]
    {
        let server = Server::start(answer).await;
        server.status.store(status, Ordering::SeqCst);
        let admission = asking(authorizer(&server));
        let come = async |who: &str| {
            let head = head(PATH, &[("authorization", who)]);
            enter_within(&admission, &head, guesses).await.map(drop)
        };

        for n in 0..4 {
            assert_eq!(come(&n.to_string()).await, Err(Refusal::NotAllowed), "{status} {n}");
        }
        let told = come("5").await;

        assert!(matches!(told, Err(Refusal::TooManyGuesses { .. })), "{status} {told:?}");
        assert_eq!(server.asked(), 4);
    }
}

/// A device that tries what it may not, and is known: its neighbours must not pay for that.
#[tokio::test]
async fn a_kept_no_is_no_further_guess() {
    let guesses = Some(CountRate { count: 3, per: Duration::from_mins(1) });
    let server = Server::start(policy("Allow", "*/POST/own")).await;
    let admission = asking(authorizer(&server));
    let one = head(PATH, &[("authorization", "one")]);

    for _ in 0..50 {
        let told = enter_within(&admission, &one, guesses).await.map(drop);
        assert_eq!(told, Err(Refusal::NotAllowed));
    }
}

#[tokio::test]
async fn whoever_shows_nothing_has_guessed_nothing() {
    let guesses = Some(CountRate { count: 3, per: Duration::from_mins(1) });
    let server = Server::start(policy("Allow", "*")).await;
    let admission = asking(authorizer(&server));
    let nothing = head(PATH, &[]);
    for _ in 0..50 {
        let told = enter_within(&admission, &nothing, guesses).await.map(drop);
        assert_eq!(told, Err(Refusal::UnknownCaller));
    }

    let one = head(PATH, &[("authorization", "one")]);
    assert!(enter_within(&admission, &one, guesses).await.is_ok());
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_its_callers_alone() {
    let server = Server::start(json!({"isAuthorized": true, "context": {"x": "y".repeat(70_000)}}));
    let server = server.await;
    let admission = asking(authorizer(&server));
    let come = async |who: &str| name(&admission, &head(PATH, &[("authorization", who)])).await;

    assert_eq!(come("long").await, Err(Refusal::Unchecked));
    server.say(policy("Allow", "*"));

    assert_eq!(come("other").await.as_deref(), Ok("user-1"), "at once");
}

#[tokio::test]
async fn an_identity_that_stands_there_twice_is_none() {
    let server = Server::start(policy("Allow", "*")).await;
    let identity = vec![Identity::Header("x-token".into()), Identity::Query("t".into())];
    let admission = asking(AuthorizerSettings { identity, ..authorizer(&server) });

    let two_headers = head("/?t=1", &[("x-token", "a"), ("x-token", "b")]);
    assert_eq!(name(&admission, &two_headers).await, Err(Refusal::UnknownCaller));
    let two_queries = head("/?t=1&t=2", &[("x-token", "a")]);
    assert_eq!(name(&admission, &two_queries).await, Err(Refusal::UnknownCaller));
    assert_eq!(server.asked(), 0);
    assert!(name(&admission, &head("/?t=1", &[("x-token", "a")])).await.is_ok());
}
