//! Time and number: nobody holds a connection for ever.

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::*;

/// Serves one pipe, writes `said` into it, and gives back the answer and the seconds until the
/// server closed.
async fn talk(said: &str) -> (String, u64) {
    let (mut ours, theirs) = tokio::io::duplex(1 << 16);
    let (_stop, stopping) = shutdown::channel();
    let peer = Peer::of("pipe");
    let (limits, start) = (limits(), Instant::now());
    ours.write_all(said.as_bytes()).await.unwrap();

    let (text, ()) = tokio::join!(
        read_all(&mut ours),
        serve_one(theirs, peer, &limits, Arc::new(Echo::default()), stopping),
    );
    (text, start.elapsed().as_secs())
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_end_is_cut_off_after_its_time() {
    assert_eq!(talk("").await, (String::new(), 10));
    assert_eq!(talk("POST / HT").await, (String::new(), 10));
    assert_eq!(talk("POST / HTTP/1.1\r\nhost: a\r\n").await, (String::new(), 10));
}

#[tokio::test(start_paused = true)]
async fn a_quiet_connection_is_closed_after_its_rest() {
    let (text, seconds) = talk("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;

    assert!(text.starts_with("HTTP/1.1 200 OK") && text.ends_with("\r\n\r\n0"), "{text}");
    assert_eq!(seconds, 120);
}

#[tokio::test(start_paused = true)]
async fn a_second_head_that_does_not_end_is_cut_off_too() {
    let (mut ours, theirs) = tokio::io::duplex(1 << 16);
    let (_stop, stopping) = shutdown::channel();
    let peer = Peer::of("pipe");
    let start = Instant::now();
    let sender = async {
        ours.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        tokio::time::sleep(Duration::from_secs(60)).await;
        ours.write_all(b"GET / HT").await.unwrap();
        read_all(&mut ours).await
    };

    let limits = limits();
    tokio::join!(sender, serve_one(theirs, peer, &limits, Arc::new(Echo::default()), stopping));

    assert_eq!(start.elapsed().as_secs(), 70);
}

#[tokio::test(start_paused = true)]
async fn pipelined_requests_are_answered_in_order() {
    let said = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc\
        POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\nconnection: close\r\n\r\nz";

    let (text, seconds) = talk(said).await;

    assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 2, "{text}");
    assert!(text.find("\r\n\r\n3").unwrap() < text.find("\r\n\r\n1").unwrap(), "{text}");
    assert_eq!(seconds, 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_under_way_is_finished_when_stopping_is_asked() {
    let (mut ours, theirs) = tokio::io::duplex(1 << 16);
    let (stop, stopping) = shutdown::channel();
    let peer = Peer::of("pipe");
    ours.write_all(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let asker = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        stop.ask();
    };

    let limits = limits();
    let start = Instant::now();
    let (text, (), ()) = tokio::join!(
        read_all(&mut ours),
        serve_one(theirs, peer, &limits, Arc::new(Echo::default()), stopping),
        asker
    );

    assert!(text.ends_with("\r\n\r\n0"), "{text}");
    assert_eq!(start.elapsed().as_secs(), 60);
}

#[tokio::test]
async fn one_connection_more_waits_until_another_ends() {
    let listener = tcp().await;
    let address = listener.tcp_address().unwrap();
    let (_stop, echo, _served) = start(vec![listener], Limits { max_connections: 1, ..limits() });
    let ask = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let mut first = TcpStream::connect(address).await.unwrap();
    let mut second = TcpStream::connect(address).await.unwrap();
    second.write_all(ask).await.unwrap();
    while echo.open.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }

    first.write_all(ask).await.unwrap();
    assert!(read_all(&mut first).await.ends_with("0"));
    assert!(read_all(&mut second).await.ends_with("0"));
}

#[tokio::test]
async fn one_sender_cannot_take_all_places() {
    let listener = tcp().await;
    let address = listener.tcp_address().unwrap();
    let (_stop, echo, _served) =
        start(vec![listener], Limits { max_connections: 8, max_per_sender: 2, ..limits() });
    let ask = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let (mut first, _second) =
        (TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap());

    let mut third = TcpStream::connect(address).await.unwrap();
    assert_eq!(read_all(&mut third).await, "");
    assert_eq!(echo.turned_away.lock().unwrap().as_slice(), [TurnedAway::TooMany]);

    first.write_all(ask).await.unwrap();
    assert!(read_all(&mut first).await.ends_with("0"));
    while echo.open.load(Ordering::Relaxed) > 1 {
        tokio::task::yield_now().await;
    }
    let mut fourth = TcpStream::connect(address).await.unwrap();
    fourth.write_all(ask).await.unwrap();
    assert!(read_all(&mut fourth).await.ends_with("0"));
}

#[tokio::test]
async fn a_proxy_may_have_any_number_of_connections() {
    let listener = tcp().await;
    let address = listener.tcp_address().unwrap();
    let (_stop, echo, _served) = start(vec![listener], Limits { max_per_sender: 1, ..limits() });
    let ask = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

    let _first = TcpStream::connect(address).await.unwrap();
    let mut second = TcpStream::connect(address).await.unwrap();
    assert_eq!(read_all(&mut second).await, "", "it has one already");
    // Who is a proxy may be another thing from one connection to the next.
    echo.are_proxies.store(true, Ordering::Relaxed);
    let mut third = TcpStream::connect(address).await.unwrap();
    third.write_all(ask).await.unwrap();

    assert!(read_all(&mut third).await.ends_with("0"));
}

#[tokio::test]
async fn a_listener_where_nobody_comes_takes_no_seat_from_the_others() {
    let listeners = vec![tcp().await, tcp().await, tcp().await];
    let addresses: Vec<_> = listeners.iter().filter_map(Listener::tcp_address).collect();
    let (_stop, _, _served) = start(listeners, Limits { max_connections: 1, ..limits() });

    for address in addresses {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
        assert!(read_all(&mut stream).await.ends_with("0"));
    }
}

#[tokio::test]
async fn who_sends_on_after_a_refusal_still_reads_it() {
    let listener = tcp().await;
    let address = listener.tcp_address().unwrap();
    let (_stop, _, _served) = start(vec![listener], limits());
    let mut stream = TcpStream::connect(address).await.unwrap();
    let body = vec![b'x'; 2 << 20];

    let head =
        format!("POST /refuse HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&body).await.unwrap();
    let text = read_all(&mut stream).await;

    assert!(text.contains("connection: close") && text.ends_with("refused"), "{text}");
}

#[tokio::test]
async fn http2_is_spoken_with_those_who_begin_with_it() {
    let listener = tcp().await;
    let address = listener.tcp_address().unwrap();
    let (_stop, _, _served) = start(vec![listener], limits());
    let stream = TcpStream::connect(address).await.unwrap();

    let io = hyper_util::rt::TokioIo::new(stream);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    let exchange = async move {
        let request = Request::post("http://a/").body(Full::new(Bytes::from_static(b"abc")));
        let answer = sender.send_request(request.unwrap()).await.unwrap();
        answer.into_body().collect().await.unwrap().to_bytes()
    };
    let (body, _) = tokio::join!(exchange, connection);

    assert_eq!(body, "3");
}
