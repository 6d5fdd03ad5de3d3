//! Records that are checked by a schema and changed by a program: what the sender hears.

use std::collections::BTreeSet;

use super::*;
use crate::admission::{Outlets, Schema, Transform, WhenWrong};

fn schema(text: &str) -> Treatment {
    Treatment { schema: Some(Schema::parse(text, true).unwrap()), transform: None }
}

fn program(text: &str) -> Treatment {
    let outlets = Outlets {
        to: BTreeSet::new(),
        when_wrong: WhenWrong::Reject,
        time: Duration::from_secs(10),
    };
    let transform = Transform::compile(text, outlets).unwrap().0;
    Treatment { schema: None, transform: Some(transform) }
}

#[tokio::test]
async fn every_fault_is_named_by_index_and_pointer_and_nothing_is_stored() {
    let treatment = schema(
        r#"{"required": ["id"], "properties": {"user": {"properties": {"id": {"type": "integer"}}}}}"#,
    );
    let open = Wanted { treatment, ..Wanted::default() }.open().await;
    let body = "{\"id\":1}\n{\"user\":{\"id\":\"x\"}}\n{\"id\":2}\nhello";

    let reply = open.post(&[LINES], body).await;

    check_problem(&reply, 422, "records-rejected");
    let said = json(&reply);
    assert_eq!(
        said["detail"],
        "2 of 4 records are not acceptable. None was stored; correct them and send all 4 again."
    );
    let mut rejected = said["rejected"].as_array().unwrap().clone();
    rejected.sort_by_key(|one| one.to_string());
    let one = |index: u64, pointer: &str, reason: &str| serde_json::json!({ "index": index, "pointer": pointer, "reason": reason });
    assert_eq!(
        rejected,
        [
            one(1, "/id", "missing"),
            one(1, "/user/id", "\"x\" is not of type \"integer\""),
            one(3, "", "not JSON: expected value at line 1 column 1"),
        ]
    );
    assert_eq!((&said["rejected_count"], open.stored()), (&Value::from(2), 0));
    check_accepted(&open.post(&[LINES], "{\"id\":1}").await, 1);
}

#[tokio::test]
async fn however_many_faults_there_are_the_answer_is_small() {
    let treatment = schema(r#"{"items": {"type": "string", "maxLength": 1}}"#);
    let open = Wanted { treatment, ..Wanted::default() }.open().await;
    let line = format!("[{}1]\n", "1,".repeat(50));

    let reply = open.post(&[LINES], line.repeat(600)).await;

    check_problem(&reply, 422, "records-rejected");
    assert_eq!(json(&reply)["rejected"].as_array().unwrap().len(), 100);
    assert_eq!(json(&reply)["rejected_count"], 600);
    assert!(reply.body.len() < 64 << 10, "{} bytes", reply.body.len());
}

#[tokio::test]
async fn the_sender_hears_what_was_dropped_and_every_protocol_gets_its_whole_count() {
    let treatment = program("if .keep != true { abort }");
    let open = Wanted { treatment, ..Wanted::default() }.open().await;

    let reply = open.post(&[LINES], "{\"keep\":true}\n{\"keep\":false}\n{}").await;
    check_accepted(&reply, 3);
    assert_eq!((&json(&reply)["dropped"], open.stored()), (&Value::from(2), 1));
    let reply = open.post(&[], "{}").await;
    check_accepted(&reply, 1);
    assert_eq!((&json(&reply)["dropped"], open.stored()), (&Value::from(1), 1));

    let body = r#"{"records":[{"data":{"keep":true}},{"data":{}}]}"#;
    let reply = open.ask(Method::PUT, "/streams/access/records", &[], body).await;
    assert_eq!(json(&reply)["Records"].as_array().unwrap().len(), 2);
    assert_eq!(open.stored(), 2);
    let text = open.metrics.encode();
    let dropped = "weir_transform_dropped_records_total{stream=\"access\",source=\"http.lan\"} 4";
    assert!(text.contains(dropped), "{text}");
}

#[tokio::test]
async fn a_route_checks_and_changes_what_comes_in_by_it_alone() {
    let route = RouteSettings {
        name: "devices".into(),
        methods: vec!["POST".into()],
        path: "/ingest/{device}".into(),
        stream: "access".into(),
        auth: None,
        plan: None,
        split_arrays: false,
        thanks: Thanks { status: 202, body: None },
        treatment: Some(Arc::new(program(".device = %route.device"))),
    };
    let treatment = schema(r#"{"required": ["device"]}"#);
    let mut open = Wanted { routes: vec![route], treatment, ..Wanted::default() }.open().await;

    check_problem(&open.post(&[], "{}").await, 422, "records-rejected");
    let reply = open.ask(Method::POST, "/ingest/d-1", &[], "{}").await;
    check_accepted(&reply, 1);

    let budget = queue::Budget { count: 1, bytes: 1 << 20 };
    let stored = open.reader.next(budget).await.unwrap();
    let record = crate::record::decode(stored[0].payload.clone()).unwrap();
    assert_eq!(record.payload, r#"{"device":"d-1"}"#);
}

#[tokio::test]
async fn a_deep_record_costs_an_answer_and_nothing_else() {
    let open = Wanted { treatment: program("."), ..Wanted::default() }.open().await;
    let deep = "[".repeat(15_000) + &"]".repeat(15_000);
    // What a program cannot look into does not pass it by.
    let reply = open.post(&[], deep.clone()).await;
    check_problem(&reply, 422, "records-rejected");
    assert_eq!(json(&reply)["rejected"][0]["reason"], "it begins as JSON and is none");

    let open = Wanted { treatment: schema("true"), ..Wanted::default() }.open().await;
    let reply = open.post(&[], deep).await;
    check_problem(&reply, 422, "records-rejected");
    assert_eq!(json(&reply)["rejected"][0]["reason"], "nested deeper than 128 values");
}

#[tokio::test]
async fn large_records_are_looked_into_only_while_there_is_room_for_their_values() {
    let open = Wanted { treatment: schema("true"), ..Wanted::default() }.open().await;
    let large = format!("[{}0]", "0,".repeat(10_000));
    let all = open.admission.room(u64::MAX).await;
    assert_eq!(all.bytes(), 256 << 20);
    // As many small ones as there are threads are looked into at once, without that room.
    check_accepted(&open.post(&[], "{}").await, 1);

    let (reply, ()) = tokio::join!(open.post(&[], large.clone()), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(open.stored(), 1);
        drop(all);
    });

    check_accepted(&reply, 1);
    // What was taken was given back: all of it can be had again.
    let all = tokio::time::timeout(Duration::from_secs(60), open.admission.room(u64::MAX));
    drop(all.await.unwrap());
    check_accepted(&open.post(&[LINES, ("content-encoding", "identity")], large).await, 1);
}
