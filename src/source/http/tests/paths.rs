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

/// Rules and fixed routes see what a parameter will be, not how it was written.
#[tokio::test]
async fn no_rule_and_no_route_is_passed_by_writing_a_path_in_another_way() {
    let guarded = RouteSettings {
        name: "admin".into(),
        auth: Some(vec!["nobody".into()]),
        ..route("/ingest/admin/events", 202, None)
    };
    let rules = vec![RuleSettings {
        name: "evil".into(),
        mode: Mode::Block,
        addresses: Nets::default(),
        methods: Vec::new(),
        path: Some(admission::Pattern::new("/ingest/evil:1/*", None)),
        header: None,
        rate: None,
    }];
    let routes = vec![route("/ingest/{device}/events", 202, None), guarded];
    let open = Wanted { routes, rules, ..Wanted::default() }.open().await;

    for (path, status, slug) in [
        ("/ingest/evil:1/events", 403, "blocked-by-rule"),
        ("/ingest/%65vil%3a1/events", 403, "blocked-by-rule"),
        ("/ingest/admin/events", 401, "unknown-caller"),
        ("/%69ngest/%61dmin/event%73", 401, "unknown-caller"),
        ("/ingest//events", 404, "unknown-path"),
        ("/ingest/../ingest/d/events", 400, "bad-path"),
        ("/ingest/%2e%2e/events", 400, "bad-path"),
        ("/ingest/%6/events", 400, "bad-path"),
    ] {
        check_problem(&open.ask(Method::POST, path, &[], "x").await, status, slug);
    }

    assert_eq!(open.stored(), 0);
    check_accepted(&open.ask(Method::POST, "/ingest/%64-1/events", &[], "x").await, 1);
    check_accepted(&open.ask(Method::POST, "/v1/streams/%61ccess", &[], "x").await, 1);
}

/// A socket that was handed over shows its address only when it is there; the configuration knew none.
#[test]
fn an_open_route_is_not_served_on_an_address_of_the_network() {
    let open = RouteSettings { auth: Some(Vec::new()), ..route("/open", 202, None) };
    let closed = RouteSettings { auth: Some(vec!["keys".into()]), ..route("/closed", 202, None) };
    let handed_over = Listen::Systemd("in".into());
    for (keys, routes, part) in [
        (vec![key("a")], vec![closed.clone(), open], Some("[route.r]")),
        (vec![], vec![], Some("[http.lan]")),
        (vec![key("a")], vec![closed], None),
    ] {
        let settings = Wanted { keys, routes, ..Wanted::default() }.settings(&Scratch::new());
        let at = |address: &str| {
            check_open_door(&settings, &handed_over, address.parse().ok())
                .map_err(|error| error.to_string())
        };

        assert_eq!((at("127.0.0.1:80"), at("unix:/in")), (Ok(()), Ok(())));
        match part {
            Some(part) => {
                let words = at("192.0.2.1:80").unwrap_err();
                assert!(words.starts_with(&format!("{part} would be open")), "{words}");
            }
            None => assert_eq!(at("192.0.2.1:80"), Ok(())),
        }
    }
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
