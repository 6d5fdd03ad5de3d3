//! What becomes of records: ids, rejections, receipts, marks.

use super::*;
use crate::record::{KeyTemplate, Origin, decode};

fn reasons(rejections: &[Rejection]) -> Vec<(usize, bool, &str)> {
    rejections.iter().map(|r| (r.index, r.too_large, r.flaws[0].reason.as_str())).collect()
}

#[tokio::test(start_paused = true)]
async fn what_is_right_goes_on_and_what_is_wrong_comes_back_with_its_bytes() {
    let door = Door::new();
    let admission = door.open();
    let pass = walk_in(&admission);
    let long = "x".repeat(101);
    let far = "é".repeat(257);
    let all = [
        raw("a", None),
        raw(&long, None),
        raw("b", Some("")),
        raw(&"x".repeat(100), Some(&"é".repeat(256))),
        raw("c", Some(&far)),
    ];

    let (admitted, rejections) = admission.admit(&pass, &all).unwrap();

    assert_eq!(admitted.count(), 2);
    assert_eq!(
        reasons(&rejections),
        [
            (1, true, "the record has 101 bytes; this stream takes at most 100"),
            (2, false, "the partition key has 0 characters; it should have 1 to 256"),
            (4, false, "the partition key has 257 characters; it should have 1 to 256"),
        ]
    );
    for rejection in rejections {
        assert_eq!(rejection.raw, all[rejection.index]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_receipt_names_ids_in_a_row_and_the_time_of_acceptance() {
    let door = Door::new();
    let admission = door.open();
    let pass = walk_in(&admission);

    let (admitted, _) = admission.admit(&pass, records(3)).unwrap();
    let receipt = admission.store(admitted).await.unwrap();

    let first = receipt.first.unwrap();
    assert_eq!((receipt.accepted, receipt.last), (3, Some(first.plus(2))));
    assert_eq!(first.unix_ms(), NOW);
}

#[tokio::test(start_paused = true)]
async fn a_record_carries_its_source_its_caller_and_its_key() {
    let door = Door::new();
    let secret = door.add_key(&key("device-1"));
    let admission = door.open();
    let pass = knock(&admission, Some(&secret), "access").await.unwrap();

    let of_hash = RawRecord { hash_key: Some(7), ..raw("hello", Some("k")) };
    let (admitted, _) = admission.admit(&pass, vec![of_hash]).unwrap();
    let record = decode(admitted.encoded().remove(0)).unwrap();

    assert_eq!((record.source.as_str(), record.caller.as_str()), ("http.lan", "device-1"));
    assert_eq!((record.partition_key.as_deref(), record.only_for), (Some("k"), None));
    assert_eq!((record.hash_key, record.payload.as_ref()), (Some(7), &b"hello"[..]));
}

#[tokio::test(start_paused = true)]
async fn marks_become_durable_with_or_without_records() {
    let door = Door::new();
    let admission = door.open();
    let pass = walk_in(&admission);
    let mark = |admitted: Admitted, value: &'static str| {
        admitted.with_mark("tail/nginx/1".into(), Some(value.into()))
    };

    let (admitted, _) = admission.admit(&pass, records(1)).unwrap();
    admission.store(mark(admitted, "7")).await.unwrap();
    assert_eq!(admission.marks("access", "tail/"), [("tail/nginx/1".into(), "7".into())]);

    let (admitted, _) = admission.admit(&pass, Vec::new()).unwrap();
    let receipt = admission.store(mark(admitted, "9")).await.unwrap();
    assert_eq!((receipt.accepted, receipt.first, receipt.last), (0, None, None));
    assert_eq!(admission.marks("access", "tail/nginx"), [("tail/nginx/1".into(), "9".into())]);
    assert_eq!(admission.marks("access", "other/"), []);
    assert_eq!(admission.marks("none", ""), []);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_and_makes_the_agent_unready() {
    let door = Door::new();
    let mut settings = Settings::default();
    settings.streams.insert("access".into(), open_stream(1 << 20));
    let metrics = Metrics::default();
    let queues = BTreeMap::from([("access".to_owned(), door.queue("access", &metrics))]);
    let (disk, clock) = (door.disk.clone(), door.clock.clone());
    let admission = Admission::open(
        Below { disk, clock, queues, lambdas: BTreeMap::new(), quotas: None },
        settings,
        &metrics,
    )
    .unwrap();
    let pass = walk_in(&admission);
    let big = "x".repeat(1 << 19);
    assert_eq!(admission.unready(), Vec::<String>::new());

    let mut refusal = None;
    for _ in 0..10 {
        let (admitted, _) = admission.admit(&pass, vec![raw(&big, None)]).unwrap();
        refusal = admission.store(admitted).await.err();
    }

    assert_eq!(refusal, Some(Refusal::Full { retry_after: Duration::from_secs(5) }));
    let unready = admission.unready();
    assert!(unready[0].starts_with("stream `access` takes nothing: the queue is full"));
    let numbers = metrics.encode();
    let labels = "{stream=\"access\",source=\"tail.nginx\"}";
    assert!(numbers.contains(&format!("weir_accepted_bytes_total{labels} ")), "{numbers}");
    let refusals = "weir_refusals_total{source=\"tail.nginx\",reason=\"queue-full\"} ";
    assert!(numbers.contains(refusals), "{numbers}");
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_leaves_while_its_records_are_stored_breaks_nothing() {
    let door = Door::new();
    let admission = door.open();
    let pass = walk_in(&admission);

    let (admitted, _) = admission.admit(&pass, records(1)).unwrap();
    let mut leaving = Box::pin(admission.store(admitted));
    std::future::poll_fn(|cx| {
        assert!(leaving.as_mut().poll(cx).is_pending());
        std::task::Poll::Ready(())
    })
    .await;
    drop(leaving);

    let (admitted, _) = admission.admit(&pass, records(1)).unwrap();
    assert_eq!(admission.store(admitted).await.unwrap().accepted, 1);
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_a_queue_is_a_fault_at_start() {
    let door = Door::new();
    let mut settings = Settings::default();
    settings.streams.insert("access".into(), open_stream(1));
    let (disk, clock) = (door.disk.clone(), door.clock.clone());

    let below =
        Below { disk, clock, queues: BTreeMap::new(), lambdas: BTreeMap::new(), quotas: None };
    let opened = Admission::open(below, settings, &Metrics::default());

    assert_eq!(opened.unwrap_err(), "stream `access` has no queue");
}

#[tokio::test(start_paused = true)]
async fn a_record_without_a_key_gets_that_of_the_template_and_one_with_a_key_keeps_it() {
    let door = Door::new();
    let mut settings = Settings::default();
    let template = KeyTemplate::parse("{json:/id}|{header:x-device}").unwrap();
    let stream = StreamSettings { partition_key: Some(template), ..open_stream(100) };
    settings.streams.insert("access".into(), stream);
    let metrics = Metrics::default();
    let queues = BTreeMap::from([("access".to_owned(), door.queue("access", &metrics))]);
    let (disk, clock) = (door.disk.clone(), door.clock.clone());
    let admission = Admission::open(
        Below { disk, clock, queues, lambdas: BTreeMap::new(), quotas: None },
        settings,
        &metrics,
    )
    .unwrap();
    let pass = walk_in(&admission);
    assert_eq!(pass.key_headers().collect::<Vec<_>>(), ["x-device"]);
    let headers = vec![("x-device".to_owned(), "d-7".to_owned())];
    let origin = Some(Arc::new(Origin { headers, ..Origin::default() }));

    let from_device = RawRecord { origin, ..raw("no JSON", None) };
    let all =
        vec![raw("{\"id\":1}", None), raw("{\"id\":2}", Some("own")), from_device, raw("x", None)];
    let (admitted, rejections) = admission.admit(&pass, all).unwrap();

    assert_eq!(rejections, []);
    let keys: Vec<_> =
        admitted.encoded().into_iter().map(|bytes| decode(bytes).unwrap().partition_key).collect();
    let key = |key: &str| Some(key.into());
    assert_eq!(keys, [key("1"), key("own"), key("d-7"), None]);
}
