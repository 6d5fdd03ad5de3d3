//! Every bound at one below, at, and one above.

use super::*;

#[tokio::test]
async fn bodies_declared_or_not_are_bounded() {
    let wanted = Wanted { max_body_bytes: 100, ..Wanted::default() };
    let open = wanted.open().await;

    for (bytes, status) in [(99, 202), (100, 202), (101, 413), (1 << 20, 413)] {
        let reply = open.post(&[], "x".repeat(bytes)).await;
        assert_eq!(reply.status, status, "{bytes} declared");
        if status == 413 {
            check_problem(&reply, 413, "body-too-large");
            assert_eq!(reply.header("connection"), Some("close"));
        }
        let body = "x".repeat(bytes);
        let chunked = format!(
            "POST {PATH} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n{bytes:x}\r\n{body}\r\n0\r\n\r\n"
        );
        let heard = open.raw(chunked.as_bytes()).await;
        assert!(heard.starts_with(&format!("HTTP/1.1 {status} ")), "{bytes} in chunks: {heard}");
    }
    assert_eq!(open.stored(), 4);
}

#[tokio::test]
async fn records_are_bounded_by_their_stream() {
    let open = Wanted { max_record_bytes: 100, ..Wanted::default() }.open().await;

    for (bytes, status) in [(99, 202), (100, 202), (101, 413)] {
        assert_eq!(open.post(&[], "x".repeat(bytes)).await.status, status, "{bytes}");
    }
}

#[tokio::test]
async fn a_hash_key_is_a_whole_number_or_the_request_is_refused() {
    let mut open = Wanted::default().open().await;
    for key in ["", "-1", "01", "340282366920938463463374607431768211456"] {
        let reply = open.post(&[("weir-explicit-hash-key", key)], "x").await;
        check_problem(&reply, 400, "bad-hash-key");
    }
    assert_eq!(open.stored(), 0);

    let key = ("weir-explicit-hash-key", "340282366920938463463374607431768211455");
    check_accepted(&open.post(&[key, ("content-type", "application/x-ndjson")], "a\nb").await, 2);
    assert_eq!(open.hash_keys().await, [Some(u128::MAX); 2]);
}

#[tokio::test]
async fn partition_keys_are_bounded_in_characters_and_are_text() {
    let open = Wanted::default().open().await;
    let key = "weir-partition-key";

    for (value, status) in
        [("k", 202), (&"é".repeat(255), 202), (&"é".repeat(256), 202), (&"é".repeat(257), 400)]
    {
        assert_eq!(open.post(&[(key, value)], "x").await.status, status, "{value}");
    }
    let reply = open.post(&[(key, "")], "x").await;
    check_problem(&reply, 400, "bad-partition-key");
    let detail = "In `Weir-Partition-Key`, the partition key has 0 characters; it should have 1 to 256. Nothing was stored.";
    assert_eq!(json(&reply)["detail"], detail);
    let said = b"POST /v1/streams/access HTTP/1.1\r\nhost: a\r\nweir-partition-key: \xff\r\ncontent-length: 1\r\n\r\nx";
    let heard = open.raw(said).await;
    assert!(heard.starts_with("HTTP/1.1 400 "), "{heard}");
    assert!(heard.contains("the partition key is not UTF-8"), "{heard}");
}

#[tokio::test]
async fn what_decides_about_a_record_stands_there_once() {
    let open = Wanted::default().open().await;
    for (name, slug) in [
        ("weir-partition-key", "bad-partition-key"),
        ("weir-explicit-hash-key", "bad-hash-key"),
        ("idempotency-key", "bad-idempotency-key"),
    ] {
        for (one, other) in [("1", "2"), ("1", "1")] {
            let reply = open.post(&[(name, one), (name, other)], "x").await;
            check_problem(&reply, 400, slug);
            let detail = json(&reply)["detail"].as_str().unwrap().to_owned();
            assert!(detail.contains("there are several keys; it should be one"), "{detail}");
        }
    }
    assert_eq!(open.stored(), 0);
}

#[tokio::test]
async fn paths_and_heads_are_bounded() {
    let open = Wanted::default().open().await;
    let path = |bytes: usize| format!("{PATH}?{}", "q".repeat(bytes - PATH.len() - 1));

    for (bytes, status) in [(4095, 202), (4096, 202), (4097, 414)] {
        let reply = open.ask(Method::POST, &path(bytes), &[], "x").await;
        assert_eq!(reply.status, status, "{bytes}");
    }
    // What a call sends by itself: host, connection, content-length.
    let own =
        "host".len() + open.addresses[0].len() + "connectionclose".len() + "content-length1".len();
    for (bytes, status) in [(-1_isize, 202), (0, 202), (1, 431)] {
        let value = "v".repeat((16_384 - own - "x-long".len()).strict_add_signed(bytes));
        let reply = open.post(&[("x-long", &value)], "x").await;
        assert_eq!(reply.status, status, "{bytes}");
    }
}

#[tokio::test]
async fn the_memory_of_all_bodies_is_bounded() {
    let settings = Wanted::default().settings(&Scratch::new());
    let budget = body::Budget::new(&settings);
    let (mut first, mut second) = (budget.share(), budget.share());

    assert_eq!(first.grow(40 << 20), Ok(()));
    assert_eq!(second.grow(24 << 20), Ok(()));
    assert_eq!(second.grow(1), Err(problem::Fault::Busy));
    drop(first);
    assert_eq!(second.grow(1), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn packed_bodies_take_the_room_that_they_may_need_in_turn() {
    let settings = Wanted { max_unpacked_bytes: 4 << 20, ..Wanted::default() };
    let budget = body::Budget::new(&settings.settings(&Scratch::new()));
    let whole = 4 << 20;

    let (mut first, mut second, mut third) = (budget.share(), budget.share(), budget.share());
    assert_eq!(first.take_turn(whole).await, Ok(()));
    // They wait for a while, and not for ever; plain bodies do not wait for them.
    let second_waits = tokio::time::Instant::now();
    assert_eq!(second.take_turn(1).await, Err(problem::Fault::Busy));
    assert!(second_waits.elapsed() >= Duration::from_secs(5));
    assert_eq!(third.grow(40 << 20), Ok(()));

    // What it turned out to be is much less, and the next ones go on in the order they came.
    first.unpacked(1 << 20);
    assert_eq!(second.take_turn(3 << 20).await, Ok(()));
    let (mut fourth, mut fifth) = (budget.share(), budget.share());
    let give_back = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        drop((first, second));
    };
    let (fourth_has, fifth_has, ()) =
        tokio::join!(fourth.take_turn(whole), fifth.take_turn(whole), give_back);
    assert_eq!((fourth_has, fifth_has), (Ok(()), Err(problem::Fault::Busy)));
}

#[tokio::test]
async fn many_tiny_records_take_room_and_those_that_never_fit_are_refused_for_good() {
    let settings = Wanted::default().settings(&Scratch::new());
    let budget = body::Budget::new(&settings);
    let (mut first, mut second) = (budget.share(), budget.share());

    assert_eq!(first.grow_by_records(100_000, 0), Ok(()));
    assert_eq!(second.grow_by_records(100_000, 192), Ok(()));
    assert_eq!(budget.share().grow_by_records(100_000, 0), Err(problem::Fault::Busy));
    drop(first);
    assert_eq!(budget.share().grow_by_records(100_000, 0), Ok(()));
    drop(second);
    let limit = (64 << 20) / (128 + 2 * 1024);
    let never = Err(problem::Fault::TooManyRecords { limit });
    assert_eq!(budget.share().grow_by_records(limit + 1, 1024), never);
    assert_eq!(budget.share().grow_by_records(limit, 1024), Ok(()));

    let open = Wanted { max_body_bytes: 128 << 10, ..Wanted::default() }.open().await;
    let key = "é".repeat(256);
    let headers = [("content-type", "application/x-ndjson"), ("weir-partition-key", &key)];
    assert_eq!(open.post(&headers, "1\n".repeat(1_000)).await.status, 202);
    let reply = open.post(&headers, "1\n".repeat(60_000)).await;
    check_problem(&reply, 413, "too-many-records");
    assert_eq!(open.stored(), 1_000);
}
