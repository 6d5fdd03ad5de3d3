//! `Idempotency-Key`: a request that comes again gets the first answer and is not stored.

use super::*;

const KEY: (&str, &str) = ("idempotency-key", "8e03978e-40d5-43dd-bc93-6894a57f9324");

#[tokio::test]
async fn a_request_that_comes_again_gets_the_first_receipt_and_is_not_stored() {
    let open = Wanted::default().open().await;

    let first = open.post(&[LINES, KEY], "1\n2\n3").await;
    check_accepted(&first, 3);
    assert_eq!(first.header("idempotent-replayed"), None);
    let again = open.post(&[LINES, KEY], "1\n2\n3").await;

    check_accepted(&again, 3);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(json(&again), json(&first), "the same ids");
    assert_eq!(open.stored(), 3);
    let text = open.metrics.encode();
    assert!(text.contains("weir_queue_repeated_groups_total{stream=\"access\"} 1"), "{text}");
    assert!(text.contains("weir_accepted_records_total{stream=\"access\",source=\"http.lan\"} 3"));
}

#[tokio::test]
async fn the_same_key_with_another_content_is_refused() {
    let open = Wanted::default().open().await;
    check_accepted(&open.post(&[LINES, KEY], "1\n2").await, 2);

    for (headers, body) in [
        (&[LINES, KEY][..], "1\n3"),
        (&[KEY], "1\n2"),
        (&[LINES, KEY, ("weir-partition-key", "k")], "1\n2"),
    ] {
        check_problem(&open.post(headers, body).await, 422, "idempotency-key-reused");
    }

    assert_eq!(open.stored(), 2);
    let again = open.post(&[LINES, KEY], "1\n2").await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"), "the key still holds");
}

/// A gateway that relays for many devices, each of which numbers its messages from 1.
#[tokio::test]
async fn the_same_key_and_body_on_another_path_or_route_or_for_another_key_is_another_content() {
    let route = |name: &str, path: &str| RouteSettings {
        name: name.into(),
        methods: vec![ANY.into()],
        path: path.into(),
        stream: "access".into(),
        auth: None,
        plan: None,
        split_arrays: false,
        thanks: Thanks { status: 202, body: None },
        treatment: None,
    };
    let routes = vec![route("a", "/ingest/{device}/events"), route("b", "/other/{device}")];
    let partition_key = KeyTemplate::parse("{route:device}|{header:x-device}").ok();
    let open = Wanted { routes, partition_key, ..Wanted::default() }.open().await;
    let device = |name| [KEY, ("x-device", name)];
    let first = open.ask(Method::POST, "/ingest/d-1/events", &device("d"), "on").await;
    check_accepted(&first, 1);

    for (method, path, name) in [
        (Method::POST, "/ingest/d-2/events", "d"),
        (Method::PUT, "/ingest/d-1/events", "d"),
        (Method::POST, "/ingest/d-1/events", "e"),
        (Method::POST, "/other/d-1", "d"),
        (Method::POST, PATH, "d"),
    ] {
        let reply = open.ask(method, path, &device(name), "on").await;
        check_problem(&reply, 422, "idempotency-key-reused");
    }

    assert_eq!(open.stored(), 1);
    let again = open.ask(Method::POST, "/ingest/d-1/events", &device("d"), "on").await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (202, Some("true")));
    assert_eq!(json(&again), json(&first));
}

#[tokio::test]
async fn a_key_is_valid_for_its_caller_only() {
    let open = Wanted { keys: vec![key("a"), key("b")], ..Wanted::default() };
    let open = open.open().await;
    for secret in &open.secrets {
        let reply = open.post(&[("x-api-key", secret), KEY], "mine").await;
        check_accepted(&reply, 1);
        assert_eq!(reply.header("idempotent-replayed"), None);
    }
    assert_eq!(open.stored(), 2);
}

#[tokio::test]
async fn keys_that_cannot_be_used_are_refused_before_the_body_is_read() {
    let open = Wanted::default().open().await;

    for value in ["", "two words", "schl\u{fc}ssel", &"k".repeat(256)] {
        let reply = open.post(&[("idempotency-key", value)], "x").await;
        check_problem(&reply, 400, "bad-idempotency-key");
    }
    check_problem(&open.post(&[KEY, KEY], "x").await, 400, "bad-idempotency-key");
    assert_eq!(open.stored(), 0);
    check_accepted(&open.post(&[("idempotency-key", &"k".repeat(255))], "x").await, 1);
}

#[tokio::test]
async fn a_request_that_was_refused_leaves_no_key_behind() {
    let open = Wanted { max_record_bytes: 3, ..Wanted::default() }.open().await;

    check_problem(&open.post(&[KEY], "too long").await, 413, "record-too-large");
    let reply = open.post(&[KEY], "ok").await;

    check_accepted(&reply, 1);
    assert_eq!(reply.header("idempotent-replayed"), None);
}

#[tokio::test]
async fn many_at_once_with_one_key_are_stored_once() {
    let open = Wanted::default().open().await;

    let replies = futures_of(&open, 20).await;

    let first = json(&replies[0]);
    assert!(replies.iter().all(|reply| json(reply) == first));
    let stored: Vec<_> =
        replies.iter().filter(|reply| reply.header("idempotent-replayed").is_none()).collect();
    assert_eq!((stored.len(), open.stored()), (1, 1));
}

async fn futures_of(open: &Open, count: usize) -> Vec<Reply> {
    let mut all = Vec::new();
    let mut posts: Vec<_> = (0..count).map(|_| Box::pin(open.post(&[KEY], "one"))).collect();
    std::future::poll_fn(|context| {
        posts.retain_mut(|post| match post.as_mut().poll(context) {
            std::task::Poll::Ready(reply) => {
                all.push(reply);
                false
            }
            std::task::Poll::Pending => true,
        });
        if posts.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    all
}
