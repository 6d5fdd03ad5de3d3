//! Routes of the configuration: where records go, who may hand them in, and how it is answered.

use super::*;

fn route(path: &str, status: u16, body: Option<&str>) -> RouteSettings {
    RouteSettings {
        name: "r".into(),
        methods: vec!["POST".into()],
        path: path.into(),
        stream: "access".into(),
        auth: None,
        plan: None,
        split_arrays: false,
        thanks: Thanks { status, body: body.map(str::to_owned) },
        treatment: None,
    }
}

#[tokio::test]
async fn a_route_answers_as_it_says_and_refuses_as_others_do() {
    let routes = vec![
        route("/ingest/{device}/events", 204, None),
        route("/plain", 200, Some("thanks")),
        RouteSettings { split_arrays: true, ..route("/json", 201, Some("{}")) },
    ];
    let open = Wanted { routes, native: false, ..Wanted::default() }.open().await;
    let json_type = [("content-type", "application/json")];

    let reply = open.ask(Method::POST, "/ingest/d-1/events?x=1", &[], "a").await;
    assert_eq!((reply.status, reply.body.len()), (204, 0));
    assert_eq!(reply.header("content-type"), None);
    let reply = open.ask(Method::POST, "/plain", &[], "b").await;
    assert_eq!((reply.status, reply.body.as_ref()), (200, b"thanks".as_slice()));
    assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"));
    let reply = open.ask(Method::POST, "/json", &json_type, "[1,2]").await;
    assert_eq!((reply.status, reply.header("content-type")), (201, Some("application/json")));
    assert_eq!(open.stored(), 4);

    check_problem(&open.ask(Method::POST, "/plain", &[], "").await, 400, "empty-body");
    check_problem(&open.ask(Method::PUT, "/plain", &[], "x").await, 405, "wrong-method");
    check_problem(&open.ask(Method::POST, "/plain/", &[], "x").await, 404, "unknown-path");
    check_problem(&open.ask(Method::POST, "/ingest/%ff/events", &[], "x").await, 400, "bad-path");
    check_problem(&open.post(&[], "x").await, 404, "unknown-path");
    assert_eq!(open.stored(), 4);
    let text = open.metrics.encode();
    let line = "weir_http_requests_total{listener=\"lan\",route=\"route\",status=\"204\"} 1";
    assert!(text.contains(line), "{text}");
}

#[tokio::test]
async fn a_route_may_ask_for_callers_of_its_own() {
    let routes = vec![
        RouteSettings { auth: Some(Vec::new()), ..route("/open", 202, None) },
        route("/closed", 202, None),
    ];
    let open = Wanted { routes, keys: vec![key("a")], ..Wanted::default() }.open().await;
    let key = [("x-api-key", open.secrets[0].as_str())];

    check_accepted(&open.ask(Method::POST, "/open", &[], "x").await, 1);
    check_accepted(&open.ask(Method::POST, "/closed", &key, "x").await, 1);
    check_problem(&open.ask(Method::POST, "/closed", &[], "x").await, 401, "unknown-caller");
    assert_eq!(open.stored(), 2);
}

#[tokio::test]
async fn a_parameter_of_the_path_becomes_the_key_where_the_stream_says_so() {
    let routes = vec![route("/ingest/{device}/events", 204, None)];
    let partition_key = Some(KeyTemplate::parse("{route:device}").unwrap());
    let mut open = Wanted { routes, partition_key, ..Wanted::default() }.open().await;

    for path in ["/ingest/d-1/events", "/ingest/caf%C3%A9/events"] {
        assert_eq!(open.ask(Method::POST, path, &[], "x").await.status, 204);
    }

    let keys: Vec<_> = open.records().await.into_iter().map(|(_, key)| key.unwrap()).collect();
    assert_eq!(keys, ["d-1", "caf\u{e9}"]);
}
