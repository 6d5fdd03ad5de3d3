//! Who comes in at all, before anything else.

use super::*;

fn nets(texts: &[&str]) -> Nets {
    Nets(texts.iter().map(|text| text.parse().unwrap()).collect())
}

const FROM: &str = "x-forwarded-for";

#[tokio::test]
async fn only_the_allowed_come_in_and_the_denied_do_not() {
    let proxies = Proxies { nets: nets(&["127.0.0.1"]), ..Proxies::default() };
    let open = Wanted {
        allow: nets(&["10.0.0.0/8", "fd00::/8"]),
        deny: nets(&["10.6.6.6"]),
        proxies,
        ..Wanted::default()
    };
    let open = open.open().await;

    for inside in ["10.0.0.1", "::ffff:10.0.0.1", "fd00::1", "6.6.6.6, 10.0.0.1"] {
        check_accepted(&open.post(&[(FROM, inside)], "x").await, 1);
    }
    for outside in ["11.0.0.1", "10.6.6.6", "fe80::1", "10.0.0.1, 6.6.6.6"] {
        check_problem(&open.post(&[(FROM, outside)], "x").await, 403, "address-not-allowed");
    }
    assert_eq!(open.stored(), 4);
    let text = open.metrics.encode();
    let line = "weir_http_turned_away_total{listener=\"lan\",reason=\"address\"} 4";
    assert!(text.contains(line), "{text}");
}

#[tokio::test]
async fn the_address_is_judged_before_path_and_key() {
    let open = Wanted { deny: nets(&["127.0.0.0/8"]), keys: vec![key("a")], ..Wanted::default() };
    let open = open.open().await;

    for path in [PATH, "/livez", "/nowhere"] {
        let reply = open.ask(Method::GET, path, &[], "").await;
        check_problem(&reply, 403, "address-not-allowed");
    }
    // Lists of networks say nothing about unix sockets.
    let unix = open.addresses[1].clone();
    let reply = call(&unix, Call::new(Method::GET, "/livez", "")).await.unwrap();
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn a_door_without_the_native_api_has_only_its_health() {
    let open = Wanted { native: false, ..Wanted::default() }.open().await;

    check_problem(&open.post(&[], "x").await, 404, "unknown-path");
    assert_eq!(open.ask(Method::GET, "/livez", &[], "").await.status, 200);
}
