//! Each answer by itself: what is accepted, and every refusal with its status and slug.

use super::*;

#[tokio::test]
async fn one_body_is_one_record_and_is_answered_with_its_id() {
    let open = Wanted::default().open().await;

    let reply = open.post(&[("content-type", "application/json")], "{\"a\":1}\n").await;

    check_accepted(&reply, 1);
    let body = json(&reply);
    let id: crate::record::RecordId = body["first"].as_str().unwrap().parse().unwrap();
    assert!((NOW..NOW + 60_000).contains(&id.unix_ms()));
    assert_eq!(body["last"], body["first"]);
    assert_eq!(reply.header("x-request-id").unwrap().len(), 26);
    assert_eq!(open.stored(), 1);
}

#[tokio::test]
async fn lines_are_records_with_ids_in_a_row() {
    let open = Wanted::default().open().await;

    for media in ["application/x-ndjson", "application/jsonl", "Application/JSONLines; charset=x"] {
        let reply = open.post(&[("content-type", media)], "1\r\n\n2\n3").await;
        check_accepted(&reply, 3);
        let body = json(&reply);
        let first: crate::record::RecordId = body["first"].as_str().unwrap().parse().unwrap();
        assert_eq!(body["last"], first.plus(2).to_string());
    }
    assert_eq!(open.stored(), 9);
}

#[tokio::test]
async fn probes_answer_without_a_key() {
    let open = Wanted { keys: vec![key("a")], ..Wanted::default() }.open().await;

    for (path, words) in [("/livez", "live\n"), ("/readyz", "ready\n")] {
        let reply = open.ask(Method::GET, path, &[], "").await;
        assert_eq!((reply.status, reply.body.as_ref()), (200, words.as_bytes()));
        assert_eq!(open.ask(Method::HEAD, path, &[], "").await.status, 200);
        let reply = open.ask(Method::DELETE, path, &[], "").await;
        check_problem(&reply, 405, "wrong-method");
        assert_eq!(reply.header("allow"), Some("GET, HEAD"));
    }
}

#[tokio::test]
async fn a_door_that_is_not_ready_says_so_without_saying_why() {
    let scratch = Scratch::new();
    let (disk, metrics): (SharedDisk, _) = (Arc::new(RealDisk), Metrics::default());
    let empty = admission::Settings::default();
    let (clock, queues) = (Clock::real(), BTreeMap::new());
    let admission = Admission::open(
        admission::Below { disk, clock, queues, lambdas: BTreeMap::new(), quotas: None },
        empty,
        &metrics,
    )
    .unwrap();
    let bound = bind(Arc::new(RealDisk), Wanted::default().settings(&scratch)).await.unwrap();
    let target = format!("http://{}", bound.addresses()[0]);
    let bound = bound.with_readiness(Arc::new(|| vec!["secret trouble".into()]));
    let (_stop, stopping) = shutdown::channel();
    #[expect(clippy::disallowed_methods, reason = "it ends with the test")]
    tokio::spawn(bound.serve(admission, metrics, stopping));

    let reply = call(&target, Call::new(Method::GET, "/readyz", "")).await.unwrap();

    assert_eq!((reply.status, reply.body.as_ref()), (503, b"not ready\n".as_ref()));
}

#[tokio::test]
async fn other_paths_and_methods_are_refused() {
    let open = Wanted { keys: vec![key("a")], ..Wanted::default() }.open().await;

    for path in ["/", "/v1/streams/", "/v1/streams/a/b", "/v2/streams/access", "/V1/streams/access"]
    {
        check_problem(&open.ask(Method::POST, path, &[], "x").await, 404, "unknown-path");
    }
    for method in [Method::PUT, Method::GET, Method::PATCH] {
        let reply = open.ask(method, PATH, &[], "x").await;
        check_problem(&reply, 405, "wrong-method");
        assert_eq!(reply.header("allow"), Some("POST"));
    }
    let head = open.ask(Method::HEAD, PATH, &[], "").await;
    assert_eq!((head.status, head.header("allow"), head.body.len()), (405, Some("POST"), 0));
    assert_eq!(open.stored(), 0);
}

#[tokio::test]
async fn only_known_callers_hand_in_and_learn_which_streams_exist() {
    let scoped = keys::NewKey { streams: Some(vec!["b".into()]), ..key("b") };
    let open = Wanted { keys: vec![key("device-1"), scoped], ..Wanted::default() }.open().await;
    let [good, scoped] = open.secrets.as_slice() else { panic!() };
    let bearer = format!("bearer {good}");

    for (header, value) in [("x-api-key", good), ("authorization", &bearer)] {
        check_accepted(&open.post(&[(header, value)], "x").await, 1);
    }
    let wrong = [
        ("accept", "*/*"),
        ("x-api-key", "weir_0000000000000000000000000000000000000000000"),
        ("x-api-key", ""),
        ("x-api-key", "é"),
        ("authorization", good.as_str()),
        ("authorization", "Basic Zm9vOmJhcg=="),
    ];
    for path in [PATH, "/v1/streams/none"] {
        for header in wrong {
            let reply = open.ask(Method::POST, path, &[header], "x").await;
            check_problem(&reply, 401, "unknown-caller");
            assert_eq!(reply.header("www-authenticate"), Some("Bearer realm=\"weir\""));
        }
    }
    check_problem(&open.post(&[("x-api-key", scoped)], "x").await, 403, "not-allowed");
    let reply = open.ask(Method::POST, "/v1/streams/none", &[("x-api-key", good)], "x").await;
    check_problem(&reply, 404, "unknown-stream");
    assert_eq!(open.stored(), 2);
}

#[tokio::test]
async fn a_key_that_expired_or_was_revoked_is_refused() {
    let expires = Some("2026-11-22T06:05:20.123Z".to_owned());
    let keys = vec![keys::NewKey { expires, ..key("a") }, key("b")];
    tokio::time::pause();
    let open = Wanted { keys, ..Wanted::default() }.open().await;
    let [short, gone] = open.secrets.as_slice() else { panic!() };
    for secret in [short, gone] {
        check_accepted(&open.post(&[("x-api-key", secret)], "x").await, 1);
    }

    keys::revoke(open.disk.as_ref(), &open.keys_file, "b").unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;

    check_problem(&open.post(&[("x-api-key", short)], "x").await, 403, "not-allowed");
    check_problem(&open.post(&[("x-api-key", gone)], "x").await, 401, "unknown-caller");
}

#[tokio::test]
async fn too_fast_is_told_when_to_come_back_and_too_much_at_once_that_it_is() {
    let rate = Some(CountRate { count: 1, per: Duration::from_secs(60) });
    let plan = PlanSettings { rate, burst: Some(2), ..PlanSettings::default() };
    let open = Wanted { keys: vec![key("device-1")], plan, ..Wanted::default() }.open().await;
    let post = |body: &'static str| {
        let headers = [LINES, ("x-api-key", open.secrets[0].as_str())];
        let open = &open;
        async move { open.post(&headers, body).await }
    };

    check_problem(&post("1\n2\n3\n").await, 413, "over-burst");
    check_accepted(&post("1\n2\n").await, 2);
    let late = post("3\n").await;
    check_problem(&late, 429, "too-fast");
    assert_eq!(late.header("retry-after"), Some("60"));
    let detail = "Nothing was stored. Send the same request again after 60 seconds.";
    assert_eq!(json(&late)["detail"], detail);
    assert_eq!(open.stored(), 2);
}

#[tokio::test]
async fn wrong_records_are_named_by_index_and_nothing_is_stored() {
    let open = Wanted { max_record_bytes: 3, ..Wanted::default() }.open().await;

    let reply = open.post(&[LINES], b"1\n\n\xff\n12345\n123\n".as_ref()).await;
    check_problem(&reply, 422, "records-rejected");
    let body = json(&reply);
    assert_eq!(
        body["rejected"],
        serde_json::json!([
            { "index": 1, "reason": "line 3 is not UTF-8: its byte 1 is no text" },
            { "index": 2, "reason": "the record has 5 bytes; this stream takes at most 3" },
        ])
    );
    assert_eq!(body["rejected_count"], 2);

    let reply = open.post(&[LINES], "1\n12345\n").await;
    check_problem(&reply, 413, "record-too-large");
    assert_eq!(
        json(&reply)["detail"],
        "1 of 2 records is larger than this stream takes. None was stored; correct them and send all 2 again."
    );
    check_problem(&open.post(&[], "1234").await, 413, "record-too-large");
    assert_eq!(open.stored(), 0);
}

#[tokio::test]
async fn a_body_without_records_is_refused() {
    let open = Wanted::default().open().await;

    check_problem(&open.post(&[], "").await, 400, "empty-body");
    check_problem(&open.post(&[LINES], "").await, 400, "empty-body");
    check_problem(&open.post(&[LINES], "\r\n\n").await, 400, "empty-body");
}

#[tokio::test]
async fn a_full_queue_is_answered_with_when_to_come_back_and_counted() {
    let open =
        Wanted { max_body_bytes: 1 << 20, max_record_bytes: 1 << 20, ..Wanted::default() }.open();
    let open = open.await;
    let big = "x".repeat(1 << 19);

    let mut reply = open.post(&[], big.clone()).await;
    for _ in 0..10 {
        if reply.status != 202 {
            break;
        }
        reply = open.post(&[], big.clone()).await;
    }

    check_problem(&reply, 503, "queue-full");
    assert_eq!(reply.header("retry-after"), Some("5"));
    assert_eq!(open.ask(Method::GET, "/readyz", &[], "").await.status, 503);
    let numbers = open.metrics.encode();
    for line in [
        "weir_http_requests_total{listener=\"lan\",route=\"streams\",status=\"503\"} 1",
        "weir_http_requests_total{listener=\"lan\",route=\"readyz\",status=\"503\"} 1",
        "weir_refusals_total{source=\"http.lan\",reason=\"queue-full\"} 1",
        "weir_http_connections{listener=\"lan\"} ",
        "weir_http_request_duration_seconds_count{listener=\"lan\",route=\"readyz\"} 1",
    ] {
        assert!(numbers.contains(line), "{line} is not in:\n{numbers}");
    }
}

#[tokio::test]
async fn a_closed_queue_is_answered_as_stopping() {
    let open = Wanted::default().open().await;
    open.queue.close().await.unwrap();

    check_problem(&open.post(&[], "x").await, 503, "stopping");
}
