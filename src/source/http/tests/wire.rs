//! How requests come over the line: early answers, slow and vanishing senders, HTTP/2.

use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::*;

/// Reads until the text ends so.
async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut heard = Vec::new();
    while !heard.ends_with(end.as_bytes()) {
        let byte = stream.read_u8().await.unwrap();
        heard.push(byte);
    }
    String::from_utf8(heard).unwrap()
}

#[tokio::test]
async fn a_sender_that_asks_first_is_told_to_go_on_only_if_it_may() {
    let keys = vec![key("device-1")];
    let open = Wanted { keys, max_body_bytes: 100, ..Wanted::default() }.open().await;
    let secret = open.secrets[0].as_str();
    let ask = |key: &str, stream: &str, bytes: usize| {
        format!(
            "POST /v1/streams/{stream} HTTP/1.1\r\nhost: a\r\nx-api-key: {key}\r\nexpect: 100-continue\r\ncontent-length: {bytes}\r\n\r\n"
        )
    };

    for (said, expected) in [
        (ask("wrong", "access", 4), "HTTP/1.1 401 "),
        (ask(secret, "none", 4), "HTTP/1.1 404 "),
        (ask(secret, "access", 101), "HTTP/1.1 413 "),
    ] {
        let heard = open.raw(said.as_bytes()).await;
        assert!(heard.starts_with(expected), "{heard}");
        assert!(heard.contains("connection: close\r\n"), "{heard}");
    }
    let mut stream = TcpStream::connect(&open.addresses[0]).await.unwrap();
    stream.write_all(ask(secret, "access", 4).as_bytes()).await.unwrap();
    assert_eq!(read_until(&mut stream, "\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"abcd").await.unwrap();
    let heard = read_until(&mut stream, "}").await;
    assert!(heard.starts_with("HTTP/1.1 202 Accepted\r\n"), "{heard}");
    assert_eq!(open.stored(), 1);
}

#[tokio::test]
async fn a_refused_sender_that_sends_on_reads_its_answer() {
    let open = Wanted { max_body_bytes: 100, ..Wanted::default() }.open().await;

    let reply = open.post(&[], "x".repeat(3 << 20)).await;

    check_problem(&reply, 413, "body-too-large");
}

#[tokio::test]
async fn pipelined_requests_are_answered_one_by_one() {
    let open = Wanted::default().open().await;
    let one = |body: &str, more: &str| {
        format!(
            "POST {PATH} HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n{more}\r\n{body}",
            body.len()
        )
    };

    let said = one("abc", "") + &one("d", "") + &one("ef", "connection: close\r\n");
    let heard = open.raw(said.as_bytes()).await;

    assert_eq!(heard.matches("HTTP/1.1 202 Accepted").count(), 3, "{heard}");
    assert_eq!(open.stored(), 3);
}

#[tokio::test]
async fn a_sender_that_vanishes_in_its_body_stores_nothing_and_harms_nobody() {
    let open = Wanted::default().open().await;
    let mut stream = TcpStream::connect(&open.addresses[0]).await.unwrap();
    let said = format!("POST {PATH} HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc");
    stream.write_all(said.as_bytes()).await.unwrap();

    stream.shutdown().await.unwrap();
    let mut heard = String::new();
    stream.read_to_string(&mut heard).await.unwrap();

    assert!(heard.is_empty() || heard.starts_with("HTTP/1.1 400 "), "{heard}");
    assert_eq!(open.stored(), 0);
    check_accepted(&open.post(&[], "x").await, 1);
}

#[tokio::test]
async fn malformed_requests_are_refused_and_the_connection_ends() {
    let open = Wanted::default().open().await;
    let head = format!("POST {PATH} HTTP/1.1\r\nhost: a\r\n");

    for (said, status) in [
        ("\0\0\0\0\r\n\r\n".to_owned(), "400"),
        ("POST\r\n\r\n".to_owned(), "400"),
        (format!("POST {PATH} HTTP/9.9\r\n\r\n"), "400"),
        (format!("{head}content-length: 1\r\ncontent-length: 2\r\n\r\nab"), "400"),
        (format!("{head}content-length: -1\r\n\r\n"), "400"),
        (format!("{head}transfer-encoding: gzip\r\n\r\n"), "400"),
        (format!("{head}transfer-encoding: chunked\r\n\r\nzz\r\n"), "400"),
        (format!("{head}x: {}\r\n\r\n", "v".repeat(128 << 10)), "431"),
        (format!("{head}{}\r\n", "x: y\r\n".repeat(200)), "431"),
    ] {
        let heard = open.raw(said.as_bytes()).await;
        assert!(heard.starts_with(&format!("HTTP/1.1 {status} ")), "{said:.80}: {heard}");
    }
    assert_eq!(open.stored(), 0);
}

#[tokio::test]
async fn both_lengths_at_once_smuggle_nothing() {
    let open = Wanted::default().open().await;
    let said = format!(
        "POST {PATH} HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nPOST {PATH} HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nx"
    );

    let heard = open.raw(said.as_bytes()).await;

    assert!(heard.starts_with("HTTP/1.1 400 "), "{heard}");
    assert_eq!(heard.matches("HTTP/1.1 ").count(), 1, "{heard}");
    assert_eq!(open.stored(), 0);
}

#[tokio::test]
async fn http2_by_prior_knowledge_is_served_on_the_same_port() {
    let open = Wanted { max_body_bytes: 100, ..Wanted::default() }.open().await;
    let stream = TcpStream::connect(&open.addresses[0]).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();

    let exchange = async move {
        let mut statuses = Vec::new();
        for bytes in [3, 101, 5] {
            let body = Full::new(bytes::Bytes::from("x".repeat(bytes)));
            let uri = format!("http://a{PATH}");
            let request = Request::post(uri).version(Version::HTTP_2).body(body).unwrap();
            let answer = sender.send_request(request).await.unwrap();
            assert!(answer.headers().contains_key("x-request-id"));
            assert!(!answer.headers().contains_key("connection"));
            statuses.push(answer.status().as_u16());
            answer.into_body().collect().await.unwrap();
        }
        statuses
    };
    let (statuses, _) = tokio::join!(exchange, connection);

    assert_eq!(statuses, [202, 413, 202]);
    assert_eq!(open.stored(), 2);
}

#[tokio::test]
async fn the_unix_socket_is_the_same_door_and_both_close_when_it_stops() {
    let open = Wanted::default().open().await;
    let unix = open.addresses[1].clone();
    assert!(unix.starts_with("unix:/"));

    let reply = call(&unix, Call::new(Method::POST, PATH, "x")).await.unwrap();
    check_accepted(&reply, 1);

    open.stop.ask();
    open.served.await.unwrap().unwrap();
    for target in [unix, format!("http://{}", open.addresses[0])] {
        assert!(call(&target, Call::new(Method::GET, "/livez", "")).await.is_err());
    }
}

#[tokio::test]
async fn a_slow_body_is_answered_and_a_slow_head_is_cut_off() {
    let open = Wanted::default().open().await;
    tokio::time::pause();

    let said = format!("POST {PATH} HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc");
    let began = tokio::time::Instant::now();
    let heard = open.raw(said.as_bytes()).await;
    assert!(heard.starts_with("HTTP/1.1 408 "), "{heard}");
    assert!(heard.contains("urn:weir:problem:body-too-slow"), "{heard}");
    assert_eq!(began.elapsed().as_secs(), 30);

    let began = tokio::time::Instant::now();
    assert_eq!(open.raw(b"POST /v1/streams/acc").await, "");
    assert_eq!(began.elapsed().as_secs(), 10);
    assert_eq!(open.stored(), 0);
}

#[tokio::test]
async fn a_body_must_keep_its_rate_after_its_first_seconds() {
    let min_body_rate = Some("100 B/s".parse().unwrap());
    let open = Wanted { min_body_rate, ..Wanted::default() }.open().await;
    let ask = |bytes: usize| {
        let sent = "x".repeat(bytes);
        format!("POST {PATH} HTTP/1.1\r\nhost: a\r\ncontent-length: 5000\r\n\r\n{sent}")
    };
    tokio::time::pause();

    // Each byte that came buys its share of a second.
    for (bytes, seconds) in [(0, 5), (1, 5), (100, 6), (1000, 15), (4000, 30)] {
        let began = tokio::time::Instant::now();
        let heard = open.raw(ask(bytes).as_bytes()).await;
        assert!(heard.starts_with("HTTP/1.1 408 "), "{heard}");
        assert!(heard.contains("urn:weir:problem:body-too-slow"), "{heard}");
        assert_eq!(began.elapsed().as_secs(), seconds, "{bytes} bytes");
    }
    assert_eq!(open.stored(), 0);
}
